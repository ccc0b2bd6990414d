package txn

import (
	"hash/maphash"
	"time"

	"github.com/skuamq/skua"
)

// Groups is a set of producer groups, by a hash of their names: of 64 hashes those that are there have their bit.
type Groups uint64

// look is what a Book knows of when halves are to be looked at. There are passes: each looks at those that are due, in
// their order. What is to be looked at again later costs its page two words, not itself.
type look struct {
	seen    skua.QueueOffset // those before it were looked at
	fresh   int64            // none from seen on is to be looked at before, ms
	revived Groups           // have producers again, and not all that wait for them were looked at

	// The pass; passing is false between passes.
	passing bool
	groups  Groups           // that revived before it
	at      skua.QueueOffset // where it is
	page    int64            // that it is in, -1 if in none,
	due     int64            // with what it found there
	until   Groups
}

var groupSeed = maphash.MakeSeed()

// GroupOf is the set of one group.
func GroupOf(name []byte) Groups { return 1 << (maphash.Bytes(groupSeed, name) % 64) }

// busyWait is when a half that somebody holds is looked at again, ms.
const busyWait = 1000

// Look returns the next half before end that is to be looked at now, or false at the end of a pass. What is to be done
// about it is then told by Later or Stop, or it is claimed and becomes done. A pass may take any time; halves that are
// stored meanwhile are looked at when they are due.
func (b *Book) Look(now int64, end skua.QueueOffset) (at skua.QueueOffset, ok bool) {
	if !b.passing {
		b.passing, b.groups, b.revived, b.at = true, b.revived, 0, b.first
	}
	b.at = max(b.at, b.first)
	for b.at < b.seen {
		if b.enter(now) {
			if at = min(b.pageAt(b.at).next(b.at), b.seen); at < b.seen && int64(at)/pageSize == b.page {
				b.at = at + 1
				if _, busy := b.taken[at]; !busy {
					return at, true
				}
				b.Later(at, now+busyWait, 0)
				continue
			}
		}
		b.leave()
		b.at = b.at - b.at%pageSize + pageSize
	}
	for now >= b.fresh && b.seen < end {
		if at = b.Next(b.seen, end); at == end {
			b.seen = end
			break
		}
		b.seen, b.at = at+1, at+1
		if _, busy := b.taken[at]; !busy {
			return at, true
		}
		b.Later(at, now+busyWait, 0)
	}
	b.leave()
	b.passing = false
	return 0, false
}

// enter goes into the page of at, and reports whether anything there is to be looked at.
func (b *Book) enter(now int64) bool {
	n := int64(b.at) / pageSize
	if b.page == n {
		return true
	}
	b.leave()
	p := b.pageAt(b.at)
	if p == nil || p == full || p.due > now && p.until&b.groups == 0 {
		return false
	}
	b.page, b.due, b.until = n, never, 0
	return true
}

// leave notes what was found in the page that the pass is in.
func (b *Book) leave() {
	if i := b.page - b.base; b.page >= 0 && i >= 0 {
		if p := b.pages[i]; p != full {
			p.due, p.until = b.due, b.until
		}
	}
	b.page = -1
}

// Later tells of the half that Look returned that it is to be looked at again at when, ms, or when one of until has a
// producer.
func (b *Book) Later(at skua.QueueOffset, when int64, until Groups) {
	p := b.ownPage(at)
	if int64(at)/pageSize == b.page {
		b.due, b.until = min(b.due, when), b.until|until
	} else if p != full {
		p.due, p.until = min(p.due, when), p.until|until
	}
}

// Stop tells of the half that Look returned that neither it nor those behind that were not looked at yet are due before
// when, ms.
func (b *Book) Stop(at skua.QueueOffset, when int64) {
	if at < b.seen-1 {
		b.Later(at, when, 0) // there was a pass over it before
		return
	}
	b.seen, b.fresh = at, when
}

// Revive tells that groups have a producer, or producers with less to do. It reports whether halves may wait for them.
func (b *Book) Revive(groups Groups) bool {
	waited := b.passing && b.until&groups != 0
	for _, p := range b.pages {
		waited = waited || p != nil && p.until&groups != 0
	}
	if waited {
		b.revived |= groups
	}
	return waited
}

// Due is when to begin the next pass, ms: in the past if there is something to do, never if nothing before end waits.
func (b *Book) Due(end skua.QueueOffset) int64 {
	if b.passing || b.revived != 0 {
		return 0
	}
	due := int64(never)
	for _, p := range b.pages {
		if p != nil {
			due = min(due, p.due)
		}
	}
	if b.seen < end {
		due = min(due, b.fresh)
	}
	return due
}

// Grain rounds a time up, so that what falls due within a short time falls due together: to a sixteenth of step.
func Grain(when int64, step time.Duration) int64 {
	g := max(step.Milliseconds()/16, 1)
	if when > never-g {
		return never
	}
	return (when + g - 1) / g * g
}
