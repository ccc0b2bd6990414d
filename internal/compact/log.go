package compact

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Options are what the logs of a store have in common.
type Options struct {
	Dir       string // of the store
	LogSize   int64  // of a file of records, bytes; see Sizes
	UnitsSize int64  // of a file of entries, bytes
	MapBytes  int64  // memory for the keys of a pass
	Faults    segment.Faults
	// Free tells how many bytes of disk space ordinary users can still have in a directory; nil asks the system.
	Free func(dir string) (int64, error)
	Log  *slog.Logger
}

// Logs are the logs of a store.
type Logs struct {
	Options
	disk *segment.Disk
}

// openFiles is how many files stay open.
const openFiles = 256

// New returns the logs of a store, of which none is open yet.
func New(o Options) *Logs { return &Logs{Options: o, disk: segment.NewDisk(openFiles, o.Faults)} }

// Close closes all files. Logs can still be used, and open them again.
func (ls *Logs) Close() { ls.disk.Close() }

// Sizes are those of the files of records and of entries for the values of compactionMappedFileSize and
// compactionCqMappedFileSize, as Java rounds them: whole entries, and records a multiple of that, at least five times.
func Sizes(logSize, unitsSize int32) (ofLog, ofUnits int64) {
	ofUnits = int64(max(unitsSize/layout.BatchUnitSize, 2)) * layout.BatchUnitSize
	n, rest := int64(logSize)/ofUnits, int64(logSize)%ofUnits
	switch {
	case n < 5:
		return 5 * ofUnits, ofUnits
	case rest > 0 && rest < ofUnits/2:
		return n * ofUnits, ofUnits
	}
	return (n + 1) * ofUnits, ofUnits
}

// Log is the compacted log of a queue. Its methods may be called concurrently.
type Log struct {
	o     *Logs
	topic string
	queue int32

	appending sync.Mutex // held by those who write to the last part, or replace it
	passing   sync.Mutex // held by a pass; before appending

	next   atomic.Int64 // queue offset behind all that was copied
	synced atomic.Int64 // before it everything is on disk
	first  atomic.Int64 // queue offset of the first record, -1 if there is none

	mu     sync.RWMutex
	parts  []*part // in the order of their starts
	broken error   // files were not replaced as they should; they are to be loaded again
	unsure error   // a sync failed: nobody knows what the disk holds of the last part
	gone   bool    // removed
}

// Trust is what may be taken for granted of a log that is opened.
type Trust struct {
	// Doubt tells that the machine may have lost what was not synced. Then the last part is verified.
	Doubt bool
	// Again is the first queue offset from which on its owner can copy messages again. With doubt, those of the last part go.
	Again skua.QueueOffset
}

// Open opens or prepares the log of a queue. The error names file and cure.
func (ls *Logs) Open(topic string, queue int32, trust Trust) (*Log, error) {
	l := &Log{o: ls, topic: topic, queue: queue}
	err := l.load(trust, trust.Doubt)
	if !trust.Doubt {
		l.synced.Store(l.next.Load())
	}
	return l, err
}

// dir is a directory of the log's, of records or of entries.
func (l *Log) dir(of string) folder {
	return folder(filepath.Join(l.o.Dir, layout.CompactionDir, of, l.topic, strconv.Itoa(int(l.queue))))
}

func (l *Log) logDir() folder  { return l.dir(layout.CompactionLogDir) }
func (l *Log) unitDir() folder { return l.dir(layout.CompactionUnitDir) }

// compacting is where a pass makes the files that will be in dir.
func compacting(dir folder) folder { return folder(filepath.Join(string(dir), layout.CompactingDir)) }

// Next is the queue offset behind all that was copied. Like Synced and Min it does not block.
func (l *Log) Next() skua.QueueOffset { return skua.QueueOffset(l.next.Load()) }

// Synced is the queue offset before which everything that was copied is on disk.
func (l *Log) Synced() skua.QueueOffset { return skua.QueueOffset(l.synced.Load()) }

// Min is the queue offset of the first record; ok is false if there is none.
func (l *Log) Min() (off skua.QueueOffset, ok bool) {
	first := l.first.Load()
	return skua.QueueOffset(first), first >= 0
}

// setFirst makes Min what the parts say. The caller holds mu.
func (l *Log) setFirst() {
	for _, p := range l.parts {
		if p.count > 0 {
			l.first.Store(p.first)
			return
		}
	}
	l.first.Store(-1)
}

// Skip makes off the least that Next is: what comes before it and was not copied does not exist, or does not belong here.
func (l *Log) Skip(off skua.QueueOffset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next.Store(max(l.next.Load(), int64(off)))
}

// ErrTooLarge tells that a record does not fit into a file.
var ErrTooLarge = errors.New("compact: record larger than a file")

// Append copies records in the order of their queue offsets, but those that it has. When it returns without error they can be
// read, and survive the process; Sync makes them survive the machine. After an error some may have been copied.
func (l *Log) Append(records [][]byte) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	for len(records) > 0 && record.QueueOffsetOf(records[0]) < l.Next() {
		records = records[1:]
	}
	for len(records) > 0 {
		p, err := l.writable(len(records[0]))
		if err != nil {
			return err
		}
		grown, err := p.write(records)
		if err != nil {
			return err
		}
		records = records[grown.count-p.count:]
		l.mu.Lock()
		if n := len(l.parts); n == 0 || l.parts[n-1] != p {
			l.parts = append(l.parts, p)
		}
		*p = grown
		l.setFirst()
		l.next.Store(p.last + 1)
		l.mu.Unlock()
	}
	return nil
}

// Mend tries again what a pass has failed at when it replaced files: until then nothing can be read. It returns why the log
// cannot be used, if so.
func (l *Log) Mend() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	return l.usable()
}

// usable is Mend for those who hold appending.
func (l *Log) usable() error {
	l.mu.RLock()
	broken, unsure, gone := l.broken, l.unsure, l.gone
	l.mu.RUnlock()
	switch {
	case gone:
		return fmt.Errorf("compact: %s %d: %w", l.topic, l.queue, fs.ErrClosed)
	case unsure != nil:
		return unsure
	case broken != nil:
		return l.load(Trust{}, true)
	}
	return nil
}

// writable returns the part for a record of so many bytes. A new one is not among the parts until it has something.
func (l *Log) writable(size int) (*part, error) {
	start := int64(0)
	if n := len(l.parts); n > 0 { // only appenders add parts
		p := l.parts[n-1]
		if p.fits(size) {
			return p, nil
		}
		if err := l.finish(p); err != nil {
			return nil, err
		}
		start = p.start + l.o.LogSize
	}
	p := l.o.newPart(l.logDir(), l.unitDir(), start, false)
	if !p.fits(size) {
		return nil, fmt.Errorf("%w: it has %d bytes, files of compactionMappedFileSize have %d", ErrTooLarge, size, l.o.LogSize)
	}
	return p, nil
}

// finish ends the last part, and puts it on disk, so that only the last part can have anything that is not.
func (l *Log) finish(p *part) error {
	if !p.full {
		if err := p.close(); err != nil {
			return err
		}
		l.mu.Lock()
		p.full, p.dirty = true, true
		l.mu.Unlock()
	}
	return l.syncPart(p)
}

func (l *Log) syncPart(p *part) error {
	l.mu.Lock()
	was := p.dirty
	p.dirty = false
	l.mu.Unlock()
	if !was {
		return nil
	}
	err := p.sync()
	if err != nil {
		l.mu.Lock()
		l.unsure = fmt.Errorf("nothing is copied until the next start: %w", err)
		l.mu.Unlock()
	}
	return err
}

// Sync puts on disk what was copied.
func (l *Log) Sync() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	next := int64(l.Next())
	if n := len(l.parts); n > 0 {
		if err := l.syncPart(l.parts[n-1]); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced.Store(max(l.synced.Load(), next))
	return nil
}

// Remove removes the log with its files. Other methods then find nothing, or fail.
func (l *Log) Remove() error {
	l.mu.Lock()
	l.gone = true // a pass gives up
	l.mu.Unlock()
	l.passing.Lock()
	defer l.passing.Unlock()
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	l.parts = nil
	l.setFirst()
	l.next.Store(0)
	l.synced.Store(0)
	return l.o.Remove(l.topic, l.queue)
}

// forget closes the files of all parts.
func (l *Log) forget() {
	for _, p := range l.parts {
		p.log.Forget()
		p.units.Forget()
	}
}

// Remove removes what there may be of the log of a queue, which must not be open.
func (ls *Logs) Remove(topic string, queue int32) error {
	l := &Log{o: ls, topic: topic, queue: queue}
	logDir, unitDir := string(l.logDir()), string(l.unitDir())
	if err := ls.Faults.Changing("remove", logDir); err != nil {
		return err
	}
	err := errors.Join(os.RemoveAll(logDir), os.RemoveAll(unitDir), l.dropPlan())
	os.Remove(filepath.Dir(unitDir)) // stay if there is something else in them
	os.Remove(filepath.Dir(logDir))
	return err
}

// Stored are the numbers of the queues of a topic of which there are files, in no order.
func (ls *Logs) Stored(topic string) ([]int32, error) {
	entries, err := os.ReadDir(filepath.Join(ls.Dir, layout.CompactionDir, layout.CompactionLogDir, topic))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []int32
	for _, e := range entries {
		if n, err := strconv.ParseInt(e.Name(), 10, 32); err == nil && n >= 0 && e.IsDir() {
			out = append(out, int32(n))
		}
	}
	return out, nil
}

// Fits reports whether a record of so many bytes can be copied at all.
func (ls *Logs) Fits(size int) bool { return int64(size)+record.BlankSize <= ls.LogSize }
