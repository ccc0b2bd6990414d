package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// sharedLog has the entries of all queues one behind the other (storeType=defaultRocksDB), so that a queue needs no files
// of its own. It is a log of chunks in skua/shared; see chain for how the chunks of a queue hang together:
//
//	file: mark | units of A | units of C | mark | units of B | units of A | mark | 0 ...
//	      └ where the file before it ends        └ the log before this offset has its entries here
//
// A chunk that does not fit goes to the next file. The last mark tells a start from where to read the commit log, whatever
// happened before: chunks are in order, each has a checksum, and what follows the first one that is not whole is cut off.
// skua/shared.0 and .1, written in turns, tell where all queues ended at some place, so that a start reads only the chunks
// behind it. Without them it reads all.
//
// Its readers are many; one goroutine at a time writes, but for chunks, which any may add.
type sharedLog struct {
	run  *segment.Run
	file int64 // bytes of a file

	mu  sync.RWMutex // guards buf, and what follows
	buf []byte       // chunks that are not written, from end on
	top int64        // behind all records of which entries were added

	end    atomic.Int64 // bytes before it are written
	held   atomic.Int64 // links in memory, about
	synced int64        // bytes before it are on disk

	marked   bool            // mark is one
	mark     layout.Position // the last one
	logBegin int64           // begin of the commit log for which the queues know their first live entries
	state    sharedState
}

// sharedState is what was told of the queues last.
type sharedState struct {
	turn int64 // of the file that has it
	at   int64 // chunks before it
	size int64 // bytes
}

// Figures of the shared log.
const (
	sharedFile  = 64 << 20 // bytes of a file
	sharedStep  = 64 << 20 // after so many bytes the state is told anew
	sharedBuf   = 4 << 20  // bytes written at once
	sharedLinks = 1 << 20  // links that are kept in memory, 24 bytes each
)

// findShared finds the shared log; it may be empty.
func (s *Store) findShared() (*sharedLog, error) {
	run, err := segment.Open(s.queueDisk, s.o.pace.shared, s.own(layout.SharedDir))
	if err != nil {
		return nil, err
	}
	l := &sharedLog{run: run, file: run.FileSize(), mark: layout.Position{Last: -1}}
	begin, _ := run.Bounds()
	l.end.Store(begin)
	l.state.at = begin
	return l, nil
}

// removeShared removes the shared log. A start that finds a part of it takes it for whole only if there is a mark.
func (s *Store) removeShared() error {
	for _, name := range layout.SharedStates() {
		if err := s.o.Faults.Remove(s.own(name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	run, err := segment.Open(s.queueDisk, s.o.pace.shared, s.own(layout.SharedDir))
	if err != nil {
		return os.RemoveAll(s.own(layout.SharedDir))
	}
	return run.Remove()
}

// mostUnits is how many bytes of entries one chunk can have.
func (l *sharedLog) mostUnits() int {
	return min(layout.MaxChunkUnits, int(l.file)/4/layout.UnitSize*layout.UnitSize)
}

// add appends a chunk, and returns its place. commit writes it; after an error nothing was added.
func (l *sharedLog) add(c *layout.Chunk) (place int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) > sharedBuf {
		if err := l.commitLocked(); err != nil {
			return 0, err
		}
	}
	n := len(l.buf)
	place = l.end.Load() + int64(n)
	l.buf = c.Append(l.buf)
	if size, used := int64(len(l.buf)-n), place%l.file; used == 0 || used+size > l.file {
		l.buf = l.buf[:n]
		if used > 0 {
			l.buf = append(l.buf, make([]byte, l.file-used)...)
		}
		first := l.markChunk()
		first.Topic = binary.BigEndian.AppendUint64(nil, uint64(place))
		l.buf = first.Append(l.buf)
		place = l.end.Load() + int64(len(l.buf))
		l.buf = c.Append(l.buf)
	}
	if c.Kind == layout.ChunkUnits {
		l.top = max(l.top, c.Log)
	}
	return place, nil
}

// markChunk repeats the last mark.
func (l *sharedLog) markChunk() *layout.Chunk {
	c := &layout.Chunk{Kind: layout.ChunkMark, From: l.mark.End, First: l.mark.Last, Min: l.mark.Time, Log: l.top}
	if l.marked {
		c.Queue = 1
	}
	return c
}

// note notes that all records before p have their entries here.
func (l *sharedLog) note(p layout.Position) error {
	if l.marked && p == l.mark {
		return l.commit()
	}
	l.mu.RLock()
	c := layout.Chunk{Kind: layout.ChunkMark, Queue: 1, From: p.End, First: p.Last, Min: p.Time, Log: l.top}
	l.mu.RUnlock()
	if _, err := l.add(&c); err != nil {
		return err
	}
	if err := l.commit(); err != nil {
		return err
	}
	l.mark, l.marked = p, true
	return nil
}

// commit writes what was added. After an error it may be called again.
func (l *sharedLog) commit() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commitLocked()
}

func (l *sharedLog) commitLocked() error {
	if len(l.buf) == 0 {
		return nil
	}
	if err := l.run.WriteAt(l.buf, l.end.Load()); err != nil {
		return fmt.Errorf("shared queue log: %w", err)
	}
	l.end.Add(int64(len(l.buf)))
	if l.buf = l.buf[:0]; cap(l.buf) > 2*sharedBuf {
		l.buf = nil
	}
	return nil
}

// sync makes durable what was written.
func (l *sharedLog) sync() error {
	end := l.end.Load()
	if l.synced >= end {
		return nil
	}
	begin, _ := l.run.Bounds()
	if err := l.run.Sync(max(l.synced, begin), end); err != nil {
		return err
	}
	l.synced = end
	return nil
}

// reading is a way to read bytes of the shared log.
type reading func(b []byte, place int64) error

func (l *sharedLog) get(b []byte, place int64) error    { return l.getBy(l.run.ReadAt, b, place) }
func (l *sharedLog) getNow(b []byte, place int64) error { return l.getBy(l.runNow, b, place) }

func (l *sharedLog) runNow(b []byte, place int64) error {
	if !l.run.ReadNow(b, place) {
		return errWait
	}
	return nil
}

func (l *sharedLog) getBy(written reading, b []byte, place int64) error {
	if place+int64(len(b)) > l.end.Load() {
		l.mu.RLock()
		if at := place - l.end.Load(); at >= 0 {
			defer l.mu.RUnlock()
			if at+int64(len(b)) > int64(len(l.buf)) {
				return segment.ErrOutside
			}
			copy(b, l.buf[at:])
			return nil
		}
		l.mu.RUnlock() // it was written meanwhile
	}
	return written(b, place)
}

// scan calls f for the chunks from the end on until one is not whole, and makes that the end. f is also told the place.
func (l *sharedLog) scan(f func(c *layout.Chunk, place int64) error) error {
	_, stop := l.run.Bounds()
	b := make([]byte, 2*layout.MaxChunk)
	for at := l.end.Load(); at < stop; {
		n := min(int64(len(b)), l.file-at%l.file)
		if err := l.run.ReadAt(b[:n], at); err != nil {
			return err
		}
		begin := at
		for rest := b[:n]; ; {
			c, size := layout.DecodeChunk(rest)
			if size == 0 || size > len(rest) {
				break
			}
			if err := f(&c, at); err != nil {
				return err
			}
			rest, at = rest[size:], at+int64(size)
			l.end.Store(at)
		}
		if at > begin {
			continue
		}
		// There is no more in this file; the next one tells whether there was.
		next := at - at%l.file + l.file
		if next >= stop || !l.follows(next, at) {
			break
		}
		at = next
	}
	return nil
}

// follows reports whether the file that begins at next was begun when the one before it ended at end.
func (l *sharedLog) follows(next, end int64) bool {
	c, ok := l.firstOf(next)
	return ok && len(c.Topic) == 8 && int64(binary.BigEndian.Uint64(c.Topic)) == end
}

// firstOf reads the mark at the begin of the file at start, if that is written.
func (l *sharedLog) firstOf(start int64) (layout.Chunk, bool) {
	b := make([]byte, 128)
	if err := l.run.ReadAt(b, start); err != nil {
		return layout.Chunk{}, false
	}
	c, size := layout.DecodeChunk(b)
	return c, size > 0 && size <= len(b) && c.Kind == layout.ChunkMark
}

// cutTail removes what lies behind the end.
func (l *sharedLog) cutTail() error {
	_, stop := l.run.Bounds()
	end := l.end.Load()
	if end >= stop {
		return nil
	}
	if err := l.run.Truncate(end); err != nil {
		return err
	}
	// Chunks of which the cut is lost must not be found behind new ones.
	begin, stop := l.run.Bounds()
	return l.run.Sync(min(max(begin, end-1), stop), stop)
}
