package txn

import (
	"time"

	"github.com/skuamq/skua"
)

// Limits of how many halves of a group are asked about at a time. Java's clients keep 2,000 such questions and drop more.
const (
	firstRoom = 100
	leastRoom = 10
	mostRoom  = 1000
)

// Asked bounds how many questions wait for an answer, for each group: one more for each that was answered, half as many
// when some were not. A group whose producers are slow, stuck, or just back with a million halves behind them gets as many
// as they answer. What it keeps is bounded by the groups that have producers.
type Asked struct {
	Interval time.Duration // a question that was not answered for so long will not be
	groups   map[string]*askedGroup
	swept    int64 // ms
}

type askedGroup struct {
	room int
	open map[skua.QueueOffset]int64 // places that were asked about, and when, ms
	full bool                       // there was one more to ask about than there was room for
}

// Room reports whether a group may be asked about one more half.
func (a *Asked) Room(group []byte, now int64) bool {
	if now-a.swept >= a.Interval.Milliseconds()/4 {
		a.sweep(now)
	}
	g := a.groups[string(group)]
	if g == nil {
		return true
	}
	g.full = len(g.open) >= g.room
	return !g.full
}

// Ask notes that a group was asked about the half at at.
func (a *Asked) Ask(group []byte, at skua.QueueOffset, now int64) {
	g := a.groups[string(group)]
	if g == nil {
		if a.groups == nil {
			a.groups = map[string]*askedGroup{}
		}
		g = &askedGroup{room: firstRoom, open: map[skua.QueueOffset]int64{}}
		a.groups[string(group)] = g
	}
	g.open[at] = now
}

// Answer notes that a group has answered about the half at at, whatever it said. It reports whether there is room for a
// good number of questions that had to wait.
func (a *Asked) Answer(group []byte, at skua.QueueOffset) bool {
	g := a.groups[string(group)]
	if g == nil {
		return false
	}
	if _, asked := g.open[at]; !asked {
		return false
	}
	delete(g.open, at)
	g.room = min(g.room+1, mostRoom)
	if g.full && len(g.open) <= g.room/2 {
		g.full = false
		return true
	}
	return false
}

// sweep forgets questions that will not be answered, and groups that are asked nothing.
func (a *Asked) sweep(now int64) {
	a.swept = now
	for name, g := range a.groups {
		late := false
		for at, when := range g.open {
			if now-when >= a.Interval.Milliseconds() {
				delete(g.open, at)
				late = true
			}
		}
		if late {
			g.room = max(g.room/2, leastRoom)
		}
		if len(g.open) == 0 && !late && !g.full {
			delete(a.groups, name)
		}
	}
}
