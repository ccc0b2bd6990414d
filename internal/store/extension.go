package store

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// extension holds what the entries of one queue have no room for (enableConsumeQueueExt): units of several lengths, one
// behind the other, in files of their own. An entry that has one tells its address instead of the tags code. The files
// only follow the queue: they are written before it, and what the queue does not speak of does not count.
type extension struct {
	// Guarded by Queue.mu.
	run  *segment.Run // nil until there are files
	tail []byte       // what is not in files yet
	from int64        // where it goes

	synced int64 // bytes before it are on disk, as far as is known; of those who sync
}

func (q *Queue) extensionDir() string {
	return filepath.Join(q.store.o.Dir, layout.ExtDir, q.topic, strconv.Itoa(int(q.id)))
}

// extends reports whether new entries get an extension: with Java, too, those of light queues and batch queues get none.
func (q *Queue) extends() bool {
	return q.store.o.Extend && !q.batch && !strings.HasPrefix(q.topic, skua.LMQPrefix)
}

// loadExtension finds the extension files of a queue that was found, and their end.
func (q *Queue) loadExtension() error {
	if !q.store.extended {
		return nil
	}
	run, err := q.findExtension()
	if err != nil {
		return err
	}
	if begin, end := run.Bounds(); begin == end {
		return nil
	}
	q.ext = &extension{run: run, from: math.MaxInt64} // everything is in files
	return q.settleExtension()
}

func (q *Queue) findExtension() (*segment.Run, error) {
	return segment.Open(q.store.queueDisk, q.store.o.ExtensionSize, q.extensionDir())
}

// extendLocked notes what belongs to the entry of m, whose tags code is tags, and returns what the entry is to hold
// instead. A unit that is too long is left out, as in Java. The caller holds mu.
func (q *Queue) extendLocked(m *record.Message, tags int64, filter []byte) int64 {
	e := q.ext
	size := int64(layout.ExtHeadSize + len(filter))
	file := q.store.o.ExtensionSize
	if size > layout.ExtMaxSize || size+layout.ExtSpare > file {
		return tags
	}
	at := e.from + int64(len(e.tail))
	if left := file - at%file; size+layout.ExtSpare > left {
		stop := len(e.tail) + int(left)
		e.tail = layout.AppendExtEnd(e.tail)
		e.tail = append(e.tail, make([]byte, stop-len(e.tail))...)
		at += left
	}
	e.tail = layout.ExtUnit{Tags: tags, Time: m.StoreTime, Filter: filter}.Append(e.tail)
	return layout.ExtAddress(at)
}

// flushExtension writes units to their files. It must not run twice at a time.
func (q *Queue) flushExtension() error {
	e := q.ext
	if e == nil {
		return nil
	}
	q.mu.RLock()
	run, b, from := e.run, e.tail, e.from
	q.mu.RUnlock()
	if len(b) == 0 {
		return nil
	}
	if run == nil {
		var err error
		if run, err = q.findExtension(); err != nil {
			return err
		}
		if begin, end := run.Bounds(); begin != end { // left over from a queue that is no more
			if err := run.Remove(); err != nil {
				return err
			}
		}
	}
	if err := run.WriteAt(b, from); err != nil { // appenders only add behind b
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	e.run = run
	e.tail = e.tail[:copy(e.tail, e.tail[len(b):])]
	if len(e.tail) == 0 {
		e.tail = nil
	}
	e.from += int64(len(b))
	return nil
}

// syncExtension makes what is in the files durable.
func (q *Queue) syncExtension() error {
	e := q.ext
	if e == nil {
		return nil
	}
	q.mu.RLock()
	run, to := e.run, e.from
	q.mu.RUnlock()
	if run == nil || e.synced == to {
		return nil
	}
	if err := run.Sync(e.synced, to); err != nil {
		return err
	}
	e.synced = to
	return nil
}

// removeExtensionLocked removes units and files. The caller holds mu.
func (q *Queue) removeExtensionLocked() error {
	e := q.ext
	if e == nil {
		return nil
	}
	run := e.run
	e.run, e.tail, e.from, e.synced = nil, nil, 0, 0
	if run == nil {
		return nil
	}
	return run.Remove()
}

// extensionAt reads the unit at off, without its filter unless it is wanted.
func (q *Queue) extensionAt(off int64, wantFilter bool) (u layout.ExtUnit, size int) {
	e := q.ext
	if e == nil || off < 0 {
		return u, 0
	}
	b := oneUnit.Get().(*[layout.ExtHeadSize]byte)
	defer oneUnit.Put(b)
	if !q.readExtension(b[:], off) {
		return u, 0
	}
	u, size = layout.DecodeExtHead(b[:])
	if !wantFilter || size <= layout.ExtHeadSize {
		return u, size
	}
	long := make([]byte, size)
	if !q.readExtension(long, off) {
		return u, 0
	}
	return layout.DecodeExtUnit(long)
}

// readExtension fills b with the bytes at off.
func (q *Queue) readExtension(b []byte, off int64) bool {
	e := q.ext
	q.mu.RLock()
	run := e.run
	if from := e.from; off >= from {
		defer q.mu.RUnlock()
		return off-from <= int64(len(e.tail)) && copy(b, e.tail[off-from:]) == len(b)
	}
	q.mu.RUnlock()
	return run != nil && run.ReadAt(b, off) == nil
}

// tags is the tags code of an entry. ok is false if it lies in an extension that is lost; readers then take the message
// for one that matches, so that none is withheld.
func (q *Queue) tags(u layout.Unit) (tags int64, ok bool) {
	off, far := layout.ExtOffset(u.Tags)
	if !far {
		return u.Tags, true
	}
	x, size := q.extensionAt(off, false)
	return x.Tags, size > 0
}

// extensionIntact reports whether the entry u of m still has its extension, if it ever had one.
func (q *Queue) extensionIntact(u layout.Unit, m *record.Message) bool {
	off, far := layout.ExtOffset(u.Tags)
	if !far || q.ext == nil {
		return true
	}
	x, size := q.extensionAt(off, false)
	return size > 0 && x.Time == m.StoreTime
}

// maxLookBack is how many entries are looked at for one with an extension.
const maxLookBack = 1024

// settleExtension makes the extension end behind the unit of the queue's last entry that has one.
func (q *Queue) settleExtension() error {
	e := q.ext
	if e == nil {
		return nil
	}
	end := int64(-1)
	for at := q.next - 1; at >= max(q.begin(), q.next-maxLookBack) && end < 0; at-- {
		if u, err := q.unit(at); err == nil {
			if off, far := layout.ExtOffset(u.Tags); far {
				if _, size := q.extensionAt(off, false); size > 0 {
					end = off + int64(size)
				}
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case end < 0 && e.run == nil:
		end = 0
	case end < 0:
		end = scanExtension(e.run)
	}
	if end > e.from {
		e.tail = e.tail[:min(end-e.from, int64(len(e.tail)))]
		return nil
	}
	e.tail, e.from, e.synced = nil, end, min(e.synced, end)
	if e.run == nil || !q.extends() {
		return nil
	}
	if err := e.run.Truncate(end); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// scanExtension finds the end of the units in the last file, by reading them.
func scanExtension(run *segment.Run) int64 {
	begin, end := run.Bounds()
	b := make([]byte, layout.ExtHeadSize)
	at := max(end-run.FileSize(), begin)
	for at+layout.ExtHeadSize <= end && run.ReadAt(b, at) == nil {
		_, size := layout.DecodeExtHead(b)
		if size <= 0 {
			break
		}
		at += int64(size)
	}
	return at
}

// dropExtensionBefore removes the files with only units of entries before off.
func (q *Queue) dropExtensionBefore(off int64) error {
	if q.ext == nil || q.ext.run == nil {
		return nil
	}
	u, err := q.unit(off)
	if err != nil {
		return nil
	}
	at, far := layout.ExtOffset(u.Tags)
	if !far {
		return nil
	}
	_, err = q.ext.run.DropBefore(at)
	return err
}

// Extension is what an entry of a queue may have beside its tags code.
type Extension struct {
	StoreTime int64  // of the message, ms
	Filter    []byte // what Options.FilterBits returned; belongs to the caller
}

// Extension returns the extension of the entry at off. ok is false if it has none. It may read the disk.
func (q *Queue) Extension(off skua.QueueOffset) (x Extension, ok bool) {
	if off < q.Min() || off >= q.Max() {
		return x, false
	}
	u, err := q.unit(int64(off))
	if err != nil {
		return x, false
	}
	at, far := layout.ExtOffset(u.Tags)
	if !far {
		return x, false
	}
	unit, size := q.extensionAt(at, true)
	return Extension{StoreTime: unit.Time, Filter: unit.Filter}, size > 0
}
