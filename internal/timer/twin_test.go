package timer

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua"
)

// twin is what a timer must do, in its simplest form: a list of messages, each with the moment that has to be over.
type twin struct {
	waiting  []parked
	arrived  []parked       // in the queue, not looked at yet
	times    map[string]int // how often each was delivered
	recalled map[string]bool
}

type parked struct {
	name  string
	out   int64 // ms
	rolls bool  // it goes round before it is due
}

// step is a round at a time at which all that has arrived is taken and all that is due is delivered. It returns that.
func (w *twin) step(now, unit int64) (due []string) {
	w.waiting = append(w.waiting, w.arrived...)
	w.arrived = nil
	kept := w.waiting[:0]
	for _, p := range w.waiting {
		if p.out/unit < now/unit {
			w.times[p.name]++
			due = append(due, p.name)
		} else {
			kept = append(kept, p)
		}
	}
	w.waiting = kept
	return due
}

// deliver takes out a message that was delivered in a round that was not complete, and reports whether it was due.
func (w *twin) deliver(name string, now, unit int64) bool {
	for _, list := range []*[]parked{&w.waiting, &w.arrived} {
		i := slices.IndexFunc(*list, func(p parked) bool { return p.name == name })
		if i >= 0 && (*list)[i].out/unit < now/unit {
			*list = slices.Delete(*list, i, i+1)
			w.times[name]++
			return true
		}
	}
	return false
}

// game is a random game with a timer and its twin.
type game struct {
	*rig
	*rand.Rand
	twin   twin
	sent   int
	powers int            // how often the machine went down: then messages may come again, those that go round more than once
	got    map[string]int // how often each was delivered
	moves  strings.Builder
}

func (g *game) note(format string, args ...any) { fmt.Fprintf(&g.moves, format+"\n", args...) }

func (g *game) sendSome() {
	for range 1 + g.IntN(40) {
		g.sent++
		delay := []int64{1000, 5000, 60_000, 3600_000, 5 * 24 * 3600_000}[g.IntN(5)]
		p := parked{name: fmt.Sprint("m", g.sent), out: g.out(g.now + g.Int64N(delay) - 300)}
		p.rolls = p.out-g.now >= g.rules.RollWindow*g.unit-1000
		g.put(p.name, p.out)
		g.twin.arrived = append(g.twin.arrived, p)
	}
	g.note("sent up to m%d", g.sent)
}

// recallSome recalls messages that are surely waiting. It leaves alone those that go round: if the clock is set forward so
// far that they become due before they have met their recall, they are delivered.
func (g *game) recallSome() {
	for range 1 + g.IntN(3) {
		if len(g.twin.waiting) == 0 {
			return
		}
		i := g.IntN(len(g.twin.waiting))
		p := g.twin.waiting[i]
		if p.rolls || p.out < g.now+3000 || p.out-g.now >= g.rules.RollWindow*g.unit {
			continue
		}
		g.put(p.name, p.out, skua.PropTimerDeleteKey, p.name)
		g.twin.recalled[p.name] = true
		g.twin.waiting = slices.Delete(g.twin.waiting, i, i+1)
		g.note("recalled %s", p.name)
	}
}

func (g *game) moveClock() {
	by := []int64{100, 1500, 20_000, 4000_000, 3 * 24 * 3600_000}[g.IntN(5)]
	by = g.Int64N(by)
	if g.IntN(12) == 0 {
		by = -by / 20
	}
	g.now += by
	g.note("clock by %d to %d", by, g.now-clock0)
}

// crash ends the timer and opens it again.
func (g *game) crash() {
	switch g.IntN(4) {
	case 0:
		g.note("restart")
		g.restart()
		return
	case 1:
		g.note("power loss")
		g.shelf.safe = len(g.shelf.all) // what was sent was acknowledged as durable
		g.power(func() bool { return g.IntN(2) == 0 })
		g.powers++
	default:
		g.note("kill")
		g.kill()
	}
	g.open()
}

// interrupt lets a step end in the middle.
func (g *game) interrupt() {
	begun := g.begun()
	g.shelf.puts, g.shelf.broken = g.IntN(50), errors.New("interrupted")
	for range 3 {
		if next, err := g.timer.Step(g.now, g.rules); err != nil || next > g.now {
			break
		}
	}
	g.shelf.puts = -1
	g.note("interrupted")
	for _, name := range g.delivered() {
		g.got[name]++
		if g.twin.times[name] < g.got[name] && !g.twin.deliver(name, max(g.now, begun), g.unit) && g.powers == 0 {
			g.t.Fatalf("%s was delivered", name)
		}
	}
}

// begun is when the slot fell due that is being delivered, which will be finished even if the clock was set back; 0: none.
func (g *game) begun() int64 {
	if !g.timer.begun() {
		return 0
	}
	return (g.timer.read + 1) * g.unit
}

// look compares what was delivered.
func (g *game) look() {
	begun := g.begun()
	g.steps()
	// A message may be taken and rolled, and be due again, at the same time.
	due, delivered := g.twin.step(g.now, g.unit), g.delivered()
	for _, name := range delivered {
		if g.got[name]++; g.got[name] > g.twin.times[name] {
			g.twin.deliver(name, begun, g.unit)
		}
	}
	for _, name := range delivered {
		switch have, want := g.got[name], g.twin.times[name]; {
		case have <= want || g.powers > 0 && want > 0:
		case g.powers > 0 && g.twin.recalled[name]: // the recall was forgotten, and late
		default:
			g.t.Fatalf("%s was delivered %d times, want %d; recalled: %v", name, have, want, g.twin.recalled[name])
		}
	}
	for _, name := range due {
		if g.got[name] < g.twin.times[name] {
			g.t.Fatalf("%s was not delivered", name)
		}
	}
	if n, want := g.timer.Pending(), int64(len(g.twin.waiting)); n != want && g.powers == 0 {
		g.t.Fatalf("%d pending, want %d", n, want)
	}
}

func play(t *testing.T, seed uint64, moves int) {
	g := &game{rig: newRig(t), Rand: random(seed), got: map[string]int{},
		twin: twin{times: map[string]int{}, recalled: map[string]bool{}}}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, &g.moves)
		}
	}()
	g.rules.RollWindow = []int64{172800, 1000, 2}[g.IntN(3)]
	for range moves {
		switch n := g.IntN(20); {
		case n < 8:
			g.sendSome()
			if g.IntN(2) == 0 {
				g.look()
			}
		case n < 9:
			g.look()
			g.recallSome()
			g.look()
		case n < 15:
			g.moveClock()
			if g.IntN(4) == 0 {
				g.interrupt()
			} else {
				g.look()
			}
		case n < 17:
			if err := g.flush(); err != nil {
				t.Fatal(err)
			}
		default:
			g.crash()
			g.look()
		}
	}
	g.look()
}

var games = flag.Int("twin", 15, "how many games the test against a twin plays")

func TestTwin(t *testing.T) {
	for i := range *games {
		seed := uint64(i)
		if i%2 == 1 {
			seed = rand.Uint64()
		}
		play(t, seed, 100)
	}
}
