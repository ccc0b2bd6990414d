package store

import (
	"math"
	"path/filepath"
	"strconv"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// shelf is where the entries of one queue are that no longer are in memory only. Offsets are those of the queue, the
// bytes whole entries. Reads may come at any time and from many; of all the rest one is called at a time.
type shelf interface {
	// read fills b with the entries from offset from on; all zero where none was written. Error: segment.ErrOutside.
	read(b []byte, from int64) error
	// readNow is read that does not wait for the disk; it reports whether it has filled b.
	readNow(b []byte, from int64) bool
	// bounds returns the first offset that can be read and the one behind the last; equal if there is nothing. Behind
	// the last entry there may be room that reads as zero.
	bounds() (begin, end int64)
	// write puts entries behind those that are there; the first ones may begin anywhere. When it returns they survive the
	// process. b is only read, and not kept.
	write(b []byte, from int64) error
	// truncate removes the entries from offset end on.
	truncate(end int64) error
	// dropBefore may remove entries before off.
	dropBefore(off int64) error
	// sync makes the entries between two offsets durable.
	sync(from, to int64) error
	// remove removes everything.
	remove() error
}

// queueFiles is the shelf that Java knows: consumequeue/<topic>/<queue>/<20 digits>, entry n at byte 20 n.
type queueFiles struct{ run *segment.Run }

// dir is the folder of the queue's files.
func (q *Queue) dir() string {
	root := layout.QueueDir
	if q.batch {
		root = layout.BatchQueueDir
	}
	return filepath.Join(q.store.o.Dir, root, q.topic, strconv.Itoa(int(q.id)))
}

// queueFolder is a queue as the folder of its files.
type queueFolder Queue

func (f *queueFolder) Folder() string { return (*Queue)(f).dir() }

// findShelf finds what there is of q.
func findShelf(q *Queue) (shelf, error) {
	if q.batch {
		return findBatchFiles(q)
	}
	if q.store.shared != nil {
		return findChain(q), nil
	}
	return findQueueFiles(q)
}

// findQueueFiles finds the files of q.
func findQueueFiles(q *Queue) (queueFiles, error) {
	run, err := segment.OpenIn(q.store.queueDisk, q.store.o.QueueFileSize, (*queueFolder)(q))
	return queueFiles{run}, err
}

func (f queueFiles) read(b []byte, from int64) error { return f.run.ReadAt(b, from*layout.UnitSize) }

func (f queueFiles) readNow(b []byte, from int64) bool { return f.run.ReadNow(b, from*layout.UnitSize) }

func (f queueFiles) bounds() (begin, end int64) {
	begin, end = f.run.Bounds()
	return begin / layout.UnitSize, end / layout.UnitSize
}

func (f queueFiles) write(b []byte, from int64) error {
	if err := f.fillFirst(from * layout.UnitSize); err != nil {
		return err
	}
	return f.run.WriteAt(b, from*layout.UnitSize)
}

// fillFirst writes fillers in front of the first entry of a queue that does not begin with a file, as Java does.
func (f queueFiles) fillFirst(at int64) error {
	begin, end := f.run.Bounds()
	start := f.run.Start(at)
	if begin != end || at == start {
		return nil
	}
	b := make([]byte, 0, at-start)
	for int64(len(b)) < at-start {
		b = layout.AppendUnit(b, 0, math.MaxInt32, 0)
	}
	return f.run.WriteAt(b, start)
}

func (f queueFiles) truncate(end int64) error { return f.run.Truncate(end * layout.UnitSize) }

func (f queueFiles) dropBefore(off int64) error {
	_, err := f.run.DropBefore(off * layout.UnitSize)
	return err
}

func (f queueFiles) sync(from, to int64) error {
	return f.run.Sync(from*layout.UnitSize, to*layout.UnitSize)
}

func (f queueFiles) remove() error { return f.run.Remove() }
