package txn

import (
	"math"
	"math/bits"

	"github.com/skuamq/skua"
)

// Book knows which halves of a queue wait. What it keeps of one that was stored once is little more than a bit, and
// nothing once all around it are done:
//
//	       first              seen                end (the caller's)
//	---------+------------------+--------------------+
//	all done | some wait, all   | some wait, none of | not stored yet
//	         | were looked at   | these was looked at|
//	---------+------------------+--------------------+
//	         pages of 1,024 halves, from that of first on; nil: none of its halves is done or was looked at
//
// Of one that was stored again it also keeps its present place under the name of its first one.
type Book struct {
	first skua.QueueOffset
	base  int64 // number of pages[0]
	pages []*page
	done  int64 // halves from first on that are done
	moved map[skua.QueueOffset]skua.QueueOffset
	taken map[skua.QueueOffset]skua.LogOffset

	look
}

const pageSize = 1024

// page is what is known of as many halves.
type page struct {
	done  [pageSize / 64]uint64
	left  int    // that are not done
	due   int64  // when one that was looked at is to be looked at again, ms
	until Groups // those that they wait for
}

const never = math.MaxInt64

// full stands for pages whose halves are all done.
var full = &page{due: never}

// NewBook returns the book of a queue of which all halves before first are done, and none from there on.
func NewBook(first skua.QueueOffset) *Book {
	return &Book{first: first, base: int64(first) / pageSize, look: look{seen: first, page: -1},
		moved: map[skua.QueueOffset]skua.QueueOffset{}, taken: map[skua.QueueOffset]skua.LogOffset{}}
}

// First is the first place that is not done, or may not be: all before it are.
func (b *Book) First() skua.QueueOffset { return b.first }

// Waiting is how many of the halves before end are not done.
func (b *Book) Waiting(end skua.QueueOffset) int64 { return int64(end-b.first) - b.done }

// Sparse reports whether so many of the halves before end are done that the first ones that wait had better be stored
// again behind: a start has to go through all from First on. It becomes true after slack halves at the earliest, and costs
// no more than one half stored again for each that is done.
func (b *Book) Sparse(end skua.QueueOffset, slack int64) bool {
	return int64(end-b.first) > 2*b.Waiting(end)+slack
}

// Done reports whether a place is done.
func (b *Book) Done(at skua.QueueOffset) bool {
	if at < b.first {
		return true
	}
	p := b.pageAt(at)
	return p != nil && p.has(at)
}

func (p *page) has(at skua.QueueOffset) bool {
	i := int64(at) % pageSize
	return p == full || p.done[i/64]>>(i%64)&1 != 0
}

// pageAt is the page of a place that is not before first; nil if there is none.
func (b *Book) pageAt(at skua.QueueOffset) *page {
	if i := int64(at)/pageSize - b.base; i < int64(len(b.pages)) {
		return b.pages[i]
	}
	return nil
}

// ownPage is pageAt, but makes the page.
func (b *Book) ownPage(at skua.QueueOffset) *page {
	i := int64(at)/pageSize - b.base
	for int64(len(b.pages)) <= i {
		b.pages = append(b.pages, nil)
	}
	if b.pages[i] != nil {
		return b.pages[i]
	}
	p := &page{left: pageSize, due: never}
	if i == 0 {
		for at := b.base * pageSize; at < int64(b.first); at++ {
			p.set(skua.QueueOffset(at))
		}
	}
	b.pages[i] = p
	return p
}

func (p *page) set(at skua.QueueOffset) {
	i := int64(at) % pageSize
	p.done[i/64] |= 1 << (i % 64)
	p.left--
}

// Mark notes that a place is done. It reports false if that was known.
func (b *Book) Mark(at skua.QueueOffset) bool {
	if b.Done(at) {
		return false
	}
	p := b.ownPage(at)
	p.set(at)
	b.done++
	if p.left == 0 {
		b.pages[int64(at)/pageSize-b.base] = full
	}
	if at == b.first {
		b.advance()
	}
	return true
}

// advance moves first to the next place that is not done.
func (b *Book) advance() {
	from := b.first
	for len(b.pages) > 0 {
		at := b.pages[0].next(b.first)
		if at/pageSize == b.first/pageSize {
			b.first = at
			break
		}
		b.first = at
		b.base++
		b.pages[0] = nil
		if b.pages = b.pages[1:]; len(b.pages) > 0 && b.pages[0] == nil {
			break
		}
	}
	b.done -= int64(b.first - from)
	b.seen = max(b.seen, b.first)
}

// next is the first place from at on, in the same page, that is not done; the beginning of the next page if all are. A nil
// page has nothing done.
func (p *page) next(at skua.QueueOffset) skua.QueueOffset {
	if p == nil {
		return at
	}
	i, begin := int64(at)%pageSize, at-at%pageSize
	if p == full {
		return begin + pageSize
	}
	for word := i / 64; word < int64(len(p.done)); word++ {
		waiting := ^p.done[word]
		if word == i/64 {
			waiting &= math.MaxUint64 << (i % 64)
		}
		if waiting != 0 {
			return begin + skua.QueueOffset(word*64+int64(bits.TrailingZeros64(waiting)))
		}
	}
	return begin + pageSize
}

// Next is the first place from at on, and before end, that is not done; end if there is none.
func (b *Book) Next(at, end skua.QueueOffset) skua.QueueOffset {
	for at = max(at, b.first); at < end; {
		next := b.pageAt(at).next(at)
		if next/pageSize == at/pageSize {
			return min(next, end)
		}
		at = next
	}
	return end
}

// Claim tells what came of Book.Claim.
type Claim int

// The outcomes.
const (
	Claimed Claim = iota // the place is the caller's until Finish, Move or Release
	Over                 // the half is done
	Busy                 // somebody else has claimed it
)

// Claim takes hold of the half that is, or was, at at and has first as its first place: nobody else then does anything
// about it. present is where it is now, which may be behind at. log is the end of the log at present: what the caller
// stores of the half will lie behind.
func (b *Book) Claim(at, first skua.QueueOffset, log skua.LogOffset) (present skua.QueueOffset, outcome Claim) {
	present = at
	if b.Done(present) {
		next, ok := b.moved[first]
		for ok && b.Done(next) {
			next, ok = b.moved[next]
		}
		if !ok {
			return at, Over
		}
		present = next
	}
	if _, busy := b.taken[present]; busy {
		return present, Busy
	}
	b.taken[present] = log
	return present, Claimed
}

// Release gives a claimed place back: nothing has become of the half.
func (b *Book) Release(present skua.QueueOffset) { delete(b.taken, present) }

// Finish notes that the half at a claimed place was ended or given up.
func (b *Book) Finish(present, first skua.QueueOffset) {
	delete(b.taken, present)
	delete(b.moved, first)
	b.Mark(present)
}

// Move notes that the half at a claimed place was stored again at to.
func (b *Book) Move(present, first, to skua.QueueOffset) {
	delete(b.taken, present)
	b.Mark(present)
	b.moved[first] = to
}

// Adopt notes that the half with first as its first place, of which nothing was known any more, waits at at.
func (b *Book) Adopt(first, at skua.QueueOffset) { b.moved[first] = at }

// Known reports whether the half with first as its first place waits at another one.
func (b *Book) Known(first skua.QueueOffset) bool { return b.moved[first] != 0 }

// Settled is the place in the log, end or before, before which everything that makes a place done is noted here: what is
// stored of halves that are claimed lies behind.
func (b *Book) Settled(end skua.LogOffset) skua.LogOffset {
	for _, log := range b.taken {
		end = min(end, log)
	}
	return end
}
