package store

import (
	"sort"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// timeHead is as much of a record as its store time needs, bytes.
const timeHead = 88

// StoreTime is when the message at off was stored, ms. ok is false if the queue has no such message any more.
func (q *Queue) StoreTime(off skua.QueueOffset) (ms int64, ok bool) {
	if off < q.Min() || off >= q.Max() {
		return 0, false
	}
	u, err := q.unit(int64(off))
	if err != nil || u.Filler() {
		return 0, false
	}
	return q.store.storeTime(u.Log)
}

// storeTime reads the store time of the record at log.
func (s *Store) storeTime(log int64) (int64, bool) {
	var b [timeHead]byte
	if err := s.log.read(b[:], log); err != nil {
		return 0, false
	}
	return record.StoreTimeOf(b[:]), true
}

// Entry is a queue entry.
type Entry struct {
	LogOffset skua.LogOffset
	Size      int32 // bytes of the record
	TagsCode  int64
}

// Entry returns the entry at off. ok is false if the queue has no such entry that readers may see.
func (q *Queue) Entry(off skua.QueueOffset) (e Entry, ok bool) {
	if off < q.Min() || off >= q.Max() {
		return e, false
	}
	u, err := q.unit(int64(off))
	if err != nil || u.Filler() {
		return e, false
	}
	tags, _ := q.tags(u)
	return Entry{LogOffset: skua.LogOffset(u.Log), Size: u.Size, TagsCode: tags}, true
}

// EarliestTime is when the first message of the queue was stored, ms; ok is false if there is none.
func (q *Queue) EarliestTime() (ms int64, ok bool) { return q.StoreTime(q.Min()) }

// OffsetByTime finds an offset by time, ms. With upper false it is the first message stored at or after ms, Max if there
// is none. With upper true it is the last one stored at or before ms, Min if there is none. It reads the disk.
func (q *Queue) OffsetByTime(ms int64, upper bool) skua.QueueOffset {
	lo, hi := q.Min(), q.Max()
	if lo >= hi {
		return hi
	}
	n := sort.Search(int(hi-lo), func(i int) bool {
		_, t, ok := q.timeFrom(lo+skua.QueueOffset(i), hi)
		// Of an entry that cannot be read retention has just taken the record: it is old.
		return ok && (t > ms || !upper && t == ms)
	})
	if upper {
		return skua.QueueOffset(q.baseOf(int64(lo) + int64(max(n-1, 0))))
	}
	if at, _, ok := q.timeFrom(lo+skua.QueueOffset(n), hi); ok {
		return at
	}
	return lo + skua.QueueOffset(n)
}

// timeFrom finds the first entry from off on, and before hi, that is not a filler, and when its message was stored, ms. ok
// is false if there is none, or its message is no longer there.
func (q *Queue) timeFrom(off, hi skua.QueueOffset) (at skua.QueueOffset, ms int64, ok bool) {
	for ; off < hi; off++ {
		u, err := q.unit(int64(off))
		if err != nil {
			break
		}
		if !u.Filler() {
			ms, ok = q.store.storeTime(u.Log)
			return off, ms, ok
		}
	}
	return hi, 0, false
}

// EarliestTime is when the first message in the log was stored, ms; ok is false if the log is empty.
func (s *Store) EarliestTime() (ms int64, ok bool) {
	if s.Min() >= s.Max() {
		return 0, false
	}
	return s.storeTime(int64(s.Min()))
}

// Behind is how many bytes of the log have no queue entry in files yet; they have one in memory.
func (s *Store) Behind() int64 {
	s.flusher.mu.Lock()
	defer s.flusher.mu.Unlock()
	return max(s.log.end.Load()-s.flusher.written.End, 0)
}

// IndexBehind is how many bytes of the log are not indexed yet.
func (s *Store) IndexBehind() int64 {
	if s.index == nil {
		return 0
	}
	return max(int64(s.Max())-s.index.position(), 0)
}

// Sizes are parts of the log, bytes.
type Sizes struct {
	Log       int64 // that its files take, with the space that is reserved
	Unflushed int64 // that are not on disk yet
	Staged    int64 // that are not in files yet
	Ring      int64 // that can be staged; 0 while there is no space for the ring
}

// Sizes returns the sizes as of now.
func (s *Store) Sizes() Sizes {
	l := s.log
	durable, drained := l.durable.Load(), l.drained.Load() // before the end, which they do not overtake
	end := l.end.Load()
	sizes := Sizes{Log: l.reserved.Load() - int64(s.Min()), Unflushed: end - durable, Staged: end - drained}
	if ring := l.ring.Load(); ring != nil {
		sizes.Ring = ring.size
	}
	return sizes
}

// Stats counts what was appended since Open.
type Stats struct {
	Messages, Bytes int64
	Appends         int64 // that stored them
	Waits           int64 // appends that had to wait for the disk
	WaitTime        int64 // ns that they waited
	puts            PutTimes
}

// Stats returns the counts.
func (s *Store) Stats() Stats {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.mu.stats
}
