package store

import (
	"errors"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// Queue is a queue of a topic: one entry for each message, in order.
//
// An entry is 20 bytes: i64 log offset, i32 size of the record, i64 tags code. The newest are in memory, in the very
// form in which they are written; all that were written are on the queue's shelf.
type Queue struct {
	store *Store
	topic string
	id    int32
	batch bool // see batchFiles

	// Guarded by Store.log.mu, as is next.
	dirty   bool // in Store.dirty
	deleted bool

	expired atomic.Bool // Min may be beyond what the log says
	warm    warmth      // beside it, as there is room

	visible atomic.Int64 // readers see offsets before it
	min     atomic.Int64 // and from here

	next  int64 // offset of the next message
	noted int64 // entries before it are in the journal

	mu       sync.RWMutex
	shelf    shelf  // nil until entries were put on it
	tail     []byte // entries from tailFrom on
	tailFrom int64
	flushed  int64 // entries before it are on the shelf
	synced   int64 // and on disk, as far as is known
	maxLog   int64 // behind the record of the last entry

	ext *extension // nil if no entry has one, and none gets one
}

// Flushed entries that busy queues keep in memory, for readers that are close behind: keepUnits each, fewer when there are so
// many of them that all would have more than keepBytes.
const (
	keepUnits = 1024
	keepLeast = 16
	keepBytes = 32 << 20
)

// Topic is the topic's name.
func (q *Queue) Topic() string { return q.topic }

// ID is the queue's number.
func (q *Queue) ID() int32 { return q.id }

// Min is the first offset that can be read; equal to Max if none can.
func (q *Queue) Min() skua.QueueOffset { return skua.QueueOffset(q.min.Load()) }

// Max is the offset of the next message to become visible.
func (q *Queue) Max() skua.QueueOffset { return skua.QueueOffset(q.visible.Load()) }

// units copies entries from offset from on into b, whole ones only, and returns how many it copied: as many as there are
// before the queue's end and as fit, but none beyond the boundary between shelf and memory. Unless it may wait for the
// disk the error can be errWouldWait.
func (q *Queue) units(b []byte, from int64, wait bool) (int, error) {
	q.mu.RLock()
	if from >= q.tailFrom {
		n := 0
		if at := (from - q.tailFrom) * layout.UnitSize; at < int64(len(q.tail)) {
			n = copy(b[:len(b)/layout.UnitSize*layout.UnitSize], q.tail[at:]) / layout.UnitSize
		}
		q.mu.RUnlock()
		return n, nil
	}
	shelf, stop := q.shelf, q.tailFrom
	q.mu.RUnlock()
	n := min(int64(len(b)/layout.UnitSize), stop-from)
	if shelf == nil {
		return 0, segment.ErrOutside
	}
	if b = b[:n*layout.UnitSize]; wait {
		return int(n), shelf.read(b, from)
	}
	if !shelf.readNow(b, from) {
		return 0, errWouldWait
	}
	return int(n), nil
}

// oneUnit holds buffers of one entry: what is handed to a shelf must not be on the stack.
var oneUnit = sync.Pool{New: func() any { return new([layout.UnitSize]byte) }}

// unit reads one entry.
func (q *Queue) unit(at int64) (layout.Unit, error) {
	b := oneUnit.Get().(*[layout.UnitSize]byte)
	defer oneUnit.Put(b)
	n, err := q.units(b[:], at, true)
	if err != nil || n == 0 {
		return layout.Unit{}, errors.Join(err, segment.ErrOutside)
	}
	u, ok := layout.DecodeUnit(b[:])
	if !ok {
		return layout.Unit{}, segment.ErrOutside
	}
	return u, nil
}

// search returns the first offset in [lo, hi) whose entry is as wanted, hi if none is. Entries that cannot be read count
// as not wanted; those of lost messages say nothing, the next other one speaks for them.
func (q *Queue) search(lo, hi int64, wanted func(layout.Unit) bool) int64 {
	end := hi // without lost ones behind the last that speaks
	for end > lo {
		if u, err := q.unit(end - 1); err != nil || !u.Lost() {
			break
		}
		end--
	}
	n := lo + int64(sort.Search(int(end-lo), func(i int) bool {
		at := lo + int64(i)
		u, err := q.unit(at)
		for err == nil && u.Lost() {
			at++
			u, err = q.unit(at)
		}
		return err == nil && wanted(u)
	}))
	if n == end {
		return hi
	}
	return n
}

// correctMin raises Min to the first entry whose record is still in the log, which begins at logMin, and returns that.
func (q *Queue) correctMin(logMin int64) (live int64) {
	live = q.begin()
	wanted := func(u layout.Unit) bool { return u.Log >= logMin && !u.Filler() }
	if u, err := q.unit(live); err != nil || !wanted(u) {
		live = q.search(live, max(live, q.visible.Load()), wanted)
	}
	q.raiseMin(live)
	return live
}

// begin is the offset of the first entry that exists, live or not.
func (q *Queue) begin() int64 {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.shelf != nil {
		if begin, end := q.shelf.bounds(); end > begin {
			return begin
		}
	}
	return q.tailFrom
}

// flush puts the entries on the shelf that are not there yet, and leaves keep to 2*keep flushed ones in memory. It must not run
// twice at a time.
func (q *Queue) flush(keep int64) error {
	q.mu.Lock()
	from := q.flushed
	b := q.tail[(from-q.tailFrom)*layout.UnitSize:]
	if q.shelf == nil && len(b) > 0 {
		shelf, err := findShelf(q)
		if err != nil {
			q.mu.Unlock()
			return err
		}
		q.shelf = shelf
	}
	shelf := q.shelf
	q.mu.Unlock()
	if len(b) == 0 {
		return nil
	}
	if err := q.flushExtension(); err != nil {
		return err
	}
	// Appenders only add behind b, and only flush moves it.
	if err := shelf.write(b, from); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushed = from + int64(len(b)/layout.UnitSize)
	if old := q.flushed - q.tailFrom - keep; old > keep {
		rest := q.tail[old*layout.UnitSize:]
		if keep < keepUnits && cap(q.tail) > 4*len(rest) { // what many queues had room for before counts, too
			q.tail = make([]byte, 0, 2*len(rest))
		}
		q.tail = append(q.tail[:0], rest...)
		q.tailFrom += old
	}
	return nil
}

// sync makes what is on the shelf durable.
func (q *Queue) sync() error {
	q.mu.RLock()
	shelf, from, to := q.shelf, q.synced, q.flushed
	q.mu.RUnlock()
	if shelf == nil || from == to {
		return nil
	}
	if err := q.syncExtension(); err != nil {
		return err
	}
	if err := shelf.sync(from, to); err != nil {
		return err
	}
	q.mu.Lock()
	q.synced = to
	q.mu.Unlock()
	return nil
}

// cool forgets the entries in memory that are on the shelf.
func (q *Queue) cool() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flushed == q.tailFrom+int64(len(q.tail)/layout.UnitSize) {
		q.tail, q.tailFrom = nil, q.flushed
	}
}
