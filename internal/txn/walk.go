package txn

import (
	"hash/maphash"

	"github.com/skuamq/skua"
)

// Walk finds out, after a restart, at which of the places that are not known to be done halves do wait, and under which
// names. It is to be shown all of them, in order. Of two places of the same half the later one counts.
type Walk struct {
	book    *Book
	begin   skua.QueueOffset
	ended   map[skua.QueueOffset]bool // places before begin that op messages tell of
	seed    maphash.Seed
	keys    map[uint64]Half // the last one with a unique key, by its hash; nil: do not look at them
	foreign bool
}

// NewWalk begins a walk. With keys, halves that were stored again by who did not say where they had been are found by their
// unique keys; that takes memory for each half.
func (b *Book) NewWalk(keys bool) *Walk {
	w := &Walk{book: b, begin: b.first, ended: map[skua.QueueOffset]bool{}, seed: maphash.MakeSeed()}
	if keys {
		w.keys = map[uint64]Half{}
	}
	return w
}

// Op notes a place that an op message tells of.
func (w *Walk) Op(at skua.QueueOffset) {
	if at < w.begin {
		w.ended[at] = true
	}
	w.book.Mark(at)
}

// Foreign reports whether there were halves that are only found with keys.
func (w *Walk) Foreign() bool { return w.foreign && w.keys == nil }

// Half shows the next half. It returns the places that turn out to be done: former ones of it, or its own if it was ended
// under the name of its first one.
func (w *Walk) Half(h *Half) (former []skua.QueueOffset) {
	b := w.book
	leave := func(at skua.QueueOffset) {
		if b.Mark(at) {
			former = append(former, at)
		}
	}
	if h.First != h.Offset {
		before, ok := b.moved[h.First]
		if !ok && !h.Marked && (w.ended[h.First] || h.First >= w.begin && b.Done(h.First)) {
			leave(h.Offset) // Java's op messages tell of ended halves only
			return former
		}
		if ok && before != h.Offset {
			leave(before)
		}
		leave(h.First)
		b.moved[h.First] = h.Offset
	}
	w.foreign = w.foreign || h.Foreign
	if w.keys == nil || len(h.UniqueKey) == 0 {
		return former
	}
	key := maphash.Bytes(w.seed, h.UniqueKey)
	if before, ok := w.keys[key]; ok && h.Foreign && !b.Done(before.Offset) {
		leave(before.Offset)
		b.moved[before.First] = h.Offset
	}
	w.keys[key] = Half{Offset: h.Offset, First: h.First}
	return former
}
