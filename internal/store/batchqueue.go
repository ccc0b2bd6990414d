package store

import (
	"errors"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// maxInner is the most messages that one record of a batch queue can hold.
const maxInner = 1<<15 - 1

// batchFiles is the shelf of a batch queue (queue.type=BatchCQ): batchconsumequeue/<topic>/<queue>/<20 digits>. Its files
// have a layout.BatchUnit for each record; to the queue they look as if each of the record's messages had an entry of its
// own, all with the same place in the log.
//
//	files:    [ base 0, count 3 ]                [ base 3, count 1 ]  [ base 4, count 2 ]
//	entries:  0: record a  1: record a  2: record a  3: record b        4: record c  5: record c
type batchFiles struct {
	store *Store
	run   *segment.Run
	end   atomic.Int64 // place of the next unit, counted in units
}

// findBatchFiles finds the files of q.
func findBatchFiles(q *Queue) (*batchFiles, error) {
	run, err := segment.OpenIn(q.store.queueDisk, q.store.o.BatchQueueSize, (*queueFolder)(q))
	if err != nil {
		return nil, err
	}
	f := &batchFiles{store: q.store, run: run}
	begin, end := run.Bounds()
	perFile := run.FileSize() / layout.BatchUnitSize
	f.end.Store(begin / layout.BatchUnitSize)
	for start := end/layout.BatchUnitSize - perFile; start >= begin/layout.BatchUnitSize; start -= perFile {
		n := sort.Search(int(perFile), func(i int) bool {
			_, ok := f.unit(start + int64(i))
			return !ok
		})
		if n > 0 {
			f.end.Store(start + int64(n))
			break
		}
	}
	return f, nil
}

// batchBuffers hold units on their way from the files.
var batchBuffers = sync.Pool{New: func() any { return new([16 * layout.BatchUnitSize]byte) }}

// unit reads the unit at place i.
func (f *batchFiles) unit(i int64) (layout.BatchUnit, bool) {
	u, err := f.unitBy(f.run.ReadAt, i)
	return u, err == nil
}

// unitBy reads the unit at place i with get, one of the ways to read bytes of the files.
func (f *batchFiles) unitBy(get func(b []byte, off int64) error, i int64) (layout.BatchUnit, error) {
	b := batchBuffers.Get().(*[16 * layout.BatchUnitSize]byte)
	defer batchBuffers.Put(b)
	if err := get(b[:layout.BatchUnitSize], i*layout.BatchUnitSize); err != nil {
		return layout.BatchUnit{}, err
	}
	u, ok := layout.DecodeBatchUnit(b[:])
	if !ok {
		return u, segment.ErrOutside
	}
	return u, nil
}

// first is the place of the first unit.
func (f *batchFiles) first() int64 {
	begin, _ := f.run.Bounds()
	return begin / layout.BatchUnitSize
}

// find is the place of the unit with the message at off, or else of the next one. What cannot be read is before it.
func (f *batchFiles) find(off int64) int64 {
	i, _ := f.findBy(f.run.ReadAt, off)
	return i
}

func (f *batchFiles) findBy(get func(b []byte, off int64) error, off int64) (place int64, err error) {
	first := f.first()
	return first + int64(sort.Search(int(max(f.end.Load()-first, 0)), func(i int) bool {
		u, e := f.unitBy(get, first+int64(i))
		if e != nil {
			err = e
		}
		return e == nil && u.Base+int64(u.Count) > off
	})), err
}

// errWait tells that reading would wait for the disk.
var errWait = errors.New("store: not in memory")

func (f *batchFiles) readNow(b []byte, from int64) bool {
	return f.readBy(func(b []byte, off int64) error {
		if !f.run.ReadNow(b, off) {
			return errWait
		}
		return nil
	}, b, from) == nil
}

func (f *batchFiles) read(b []byte, from int64) error { return f.readBy(f.run.ReadAt, b, from) }

func (f *batchFiles) readBy(get func(b []byte, off int64) error, b []byte, from int64) error {
	buf := batchBuffers.Get().(*[16 * layout.BatchUnitSize]byte)
	defer batchBuffers.Put(buf)
	i, err := f.findBy(get, from)
	if err != nil {
		return err
	}
	out := b[:0]
	for end := f.end.Load(); len(out) < len(b) && i < end; {
		n := min(end-i, int64(len(buf)/layout.BatchUnitSize))
		units := buf[:n*layout.BatchUnitSize]
		if err := get(units, i*layout.BatchUnitSize); err != nil {
			return err
		}
		for ; len(units) > 0 && len(out) < len(b); units = units[layout.BatchUnitSize:] {
			u, ok := layout.DecodeBatchUnit(units)
			if !ok {
				return segment.ErrOutside
			}
			for ; from < u.Base && len(out) < len(b); from++ {
				out = layout.AppendFiller(out)
			}
			for ; from < u.Base+int64(u.Count) && len(out) < len(b); from++ {
				out = layout.AppendUnit(out, u.Log, u.Size, u.Tags)
			}
		}
		i += n
	}
	clear(b[len(out):])
	return nil
}

func (f *batchFiles) bounds() (begin, end int64) {
	a, ok := f.unit(f.first())
	z, ok2 := f.unit(f.end.Load() - 1)
	if !ok || !ok2 {
		return 0, 0
	}
	return a.Base, z.Base + int64(z.Count)
}

func (f *batchFiles) write(b []byte, from int64) error {
	var units []byte
	for len(b) > 0 {
		u, _ := layout.DecodeUnit(b)
		n := int64(1)
		for b = b[layout.UnitSize:]; len(b) > 0; b = b[layout.UnitSize:] {
			if next, _ := layout.DecodeUnit(b); next != u {
				break
			}
			n++
		}
		if !u.Filler() {
			at, _ := f.store.storeTime(u.Log) // the record is in the ring, or was just read
			units = layout.BatchUnit{Log: u.Log, Size: u.Size, Tags: u.Tags, Time: at, Base: from, Count: int16(n)}.Append(units)
		}
		from += n
	}
	end := f.end.Load()
	if err := f.run.WriteAt(units, end*layout.BatchUnitSize); err != nil {
		return err
	}
	f.end.Store(end + int64(len(units)/layout.BatchUnitSize))
	return nil
}

func (f *batchFiles) truncate(end int64) error {
	i := f.find(end - 1) // a record goes as a whole
	if u, ok := f.unit(i); ok && u.Base+int64(u.Count) <= end {
		i++
	}
	if i >= f.end.Load() {
		return nil
	}
	f.end.Store(i)
	return f.run.Truncate(i * layout.BatchUnitSize)
}

func (f *batchFiles) dropBefore(off int64) error {
	_, err := f.run.DropBefore(f.find(off) * layout.BatchUnitSize)
	return err
}

func (f *batchFiles) sync(from, _ int64) error {
	return f.run.Sync(f.find(from)*layout.BatchUnitSize, f.end.Load()*layout.BatchUnitSize)
}

func (f *batchFiles) remove() error {
	f.end.Store(0)
	return f.run.Remove()
}

// BatchQueue is Queue for a topic with queue.type=BatchCQ, whether or not Options.Batched knows it already. Its records may hold several messages (SysFlag says
// record.FlagInnerBatch, the property INNER_NUM how many), each of which takes an offset. A queue that exists keeps its
// kind.
func (s *Store) BatchQueue(topic string, id int32) *Queue {
	return s.queues.get(topic, id, func(topic string, id int32) *Queue {
		return &Queue{store: s, topic: topic, id: id, batch: true}
	})
}

// Batch reports whether the queue is one of a topic with queue.type=BatchCQ.
func (q *Queue) Batch() bool { return q.batch }

// baseOf is the offset of the first message of the record that also holds the one at off.
func (q *Queue) baseOf(off int64) int64 {
	if !q.batch {
		return off
	}
	u, err := q.unit(off)
	for err == nil && !u.Filler() && off > 0 {
		before, err := q.unit(off - 1)
		if err != nil || before.Log != u.Log {
			break
		}
		off--
	}
	return off
}

// span is how many offsets the record of m takes in the queue.
func (q *Queue) span(m *record.Message) int64 {
	if !q.batch {
		return 1
	}
	return max(inner(m), 1)
}

// inner is how many messages the record of m holds, i.e. how many offsets it takes; 0 if it does not say so.
func inner(m *record.Message) int64 {
	if m.SysFlag&record.FlagInnerBatch == 0 {
		return 1
	}
	text, _ := record.Property(m.Properties, skua.PropInnerNum)
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n < 1 || n > maxInner {
		return 0
	}
	return n
}
