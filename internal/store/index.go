package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/record"
)

// indexer builds the index behind the appenders: from the keys that they feed it, and from the log, so that what it has
// not done is never lost. All its methods do nothing on nil, which stands for messageIndexEnable=false.
type indexer struct {
	s    *Store
	dir  string
	bell bell
	pos  atomic.Int64 // log offset before which everything is indexed
	full atomic.Int64 // time of the last item of the newest file that is full and on disk, ms
	last int64        // log offset of a record that is not before pos, but of which the files have some keys or all; -1 for none

	mu     sync.RWMutex // held for writing while files change
	files  []*indexFile // oldest first
	buf    []byte
	keys   []keyed // of one record
	fed    feed
	failed bool // the last attempt failed, which was logged
}

// openIndex opens the index files. After a crash which may have lost a part of them, those that Java does not trust are
// made again.
func (s *Store) openIndex(r *recovery) error {
	if s.o.NoIndex {
		return nil
	}
	x := &indexer{s: s, dir: filepath.Join(s.o.Dir, "index"), bell: newBell(), last: -1}
	s.index = x
	x.full.Store(s.java.Index)
	intact := !r.crashed || r.staged != nil && r.own.Boot == bootID()
	whole, err := x.open(r, intact)
	if err != nil {
		return err
	}
	begin, pos := int64(s.Min()), int64(0)
	if n := len(x.files); n > 0 {
		pos = x.files[n-1].EndOffset()
		x.last = pos // the file tells where its last record begins, which need not have all its keys there
		if intact && whole && r.ownOK {
			pos = max(pos, r.own.Indexed)
		}
	}
	end := s.log.end.Load()
	x.pos.Store(min(max(pos, begin), end))
	s.log.mu.fed.begin(end)
	x.bell.ring()
	return nil
}

// open opens the files up to the first one that is damaged; it removes that and those behind it, which are made again from
// the log. whole tells that there was none.
func (x *indexer) open(r *recovery, intact bool) (whole bool, err error) {
	s := x.s
	names, err := indexNames(x.dir)
	if err != nil {
		return false, err
	}
	whole = true
	for _, path := range names {
		f, err := openIndexFile(s.o.Faults, path, s.o.IndexSlots, s.o.IndexItems)
		if err != nil && !errors.Is(err, errIndexSize) {
			return false, err
		}
		why := err
		switch {
		case f == nil:
		case !intact && f.EndTime() >= s.java.Index:
			why = errors.New("it was not closed before the crash")
		default:
			var before *indexFile
			if n := len(x.files); n > 0 {
				before = x.files[n-1]
			}
			why = r.checkIndexFile(f, before)
		}
		if why == nil && whole {
			x.files = append(x.files, f)
			continue
		}
		if f != nil {
			f.close()
		}
		if err := s.o.Faults.Remove(path); err != nil {
			return false, fmt.Errorf("store: %w", err)
		}
		if whole {
			s.o.Log.Warn("index file cannot be used; it and those behind it are made again from the log", "file", path, "why", why)
		}
		whole = false
	}
	return whole, nil
}

// indexNames lists the index files, oldest first.
func indexNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: %w", err)
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() && len(e.Name()) == len("20060102150405000") {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (x *indexer) wake() {
	if x != nil {
		x.bell.ring()
	}
}

// position is the log offset before which everything is indexed.
func (x *indexer) position() int64 {
	if x == nil {
		return 0
	}
	return x.pos.Load()
}

// flushedTime is what Java's checkpoint says of the index.
func (x *indexer) flushedTime() int64 {
	if x == nil {
		return 0
	}
	return x.full.Load()
}

func (s *Store) indexLoop() {
	x := s.index
	for {
		select {
		case <-s.done.Done():
			return
		case <-x.bell.c:
		}
		select {
		case <-s.done.Done():
			return
		case <-time.After(s.o.pace.delay):
		}
		x.bell.answer()
		for x.step(s.done.Done()) {
		}
	}
}

// closeIndexTime is how long a stop waits for the index.
const closeIndexTime = 4 * time.Second

// indexStep is how much of the log is read at a time, bytes: what a processor's cache holds.
const indexStep = 128 << 10

// step indexes some of the log and reports whether there is more.
func (x *indexer) step(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	pos, end := x.pos.Load(), int64(x.s.Max())
	if begin := int64(x.s.Min()); pos < begin {
		pos = begin
		x.pos.Store(pos)
	}
	if pos >= end {
		return false
	}
	if pos >= x.fed.to {
		x.fed = x.s.log.take(x.fed) // it reaches end, or beyond
	}
	var err error
	if pos < x.fed.from {
		err = x.indexLocked(pos, min(end, x.fed.from))
	} else {
		err = x.putFed(end)
	}
	if err != nil && !x.failed {
		x.s.o.Log.Warn("index is behind; queries by key miss the newest messages", "log offset", x.pos.Load(), "err", err)
	}
	x.failed = err != nil
	return err == nil
}

// catchUp indexes the log up to end, for a second at most.
func (x *indexer) catchUp(end int64) {
	for start := time.Now(); x.pos.Load() < end && time.Since(start) < time.Second; {
		if !x.step(x.s.done.Done()) {
			return
		}
	}
}

// indexLocked reads some of the log from pos on and indexes the records in it.
func (x *indexer) indexLocked(pos, end int64) error {
	size := x.s.o.SegmentSize
	n := min(indexStep, end-pos, size-pos%size)
	for {
		x.buf = slices.Grow(x.buf[:0], int(n))[:n]
		if err := x.s.log.read(x.buf, pos); err != nil {
			return err
		}
		done, err := x.records(x.buf, pos)
		switch {
		case done > 0:
			return nil
		case errors.Is(err, record.ErrBlank):
			x.pos.Store(pos - pos%size + size)
			return nil
		case !errors.Is(err, record.ErrShort) || n == min(end-pos, size-pos%size):
			return fmt.Errorf("log offset %d: %w", pos, err)
		}
		n = min(8*n, end-pos, size-pos%size)
	}
}

// records indexes the whole records in b, which are at pos in the log, and returns how many bytes they have.
func (x *indexer) records(b []byte, pos int64) (done int, err error) {
	for done < len(b) {
		m, n, err := record.Decode(b[done:])
		if err != nil {
			return done, err
		}
		if err := x.add(&m); err != nil {
			return done, err
		}
		done += n
		x.pos.Store(pos + int64(done))
	}
	return done, nil
}

// add indexes the keys of one record.
func (x *indexer) add(m *record.Message) error {
	x.keys = namesOf(m.Properties).hash(x.keys[:0], m, 0)
	for _, k := range x.keys {
		if int64(m.LogOffset) == x.last && x.ends(k) {
			continue
		}
		if err := x.put(keyed{k.hash, int64(m.LogOffset), m.StoreTime}); err != nil {
			return err
		}
	}
	return nil
}

// ends reports whether k is among the items at the end of the files that are of the record at x.last.
func (x *indexer) ends(k keyed) bool {
	for _, f := range slices.Backward(x.files) {
		for n := f.Count() - 1; n > 0; n-- {
			switch item := f.Item(n); {
			case item.Log != x.last:
				return false
			case item.Hash == k.hash:
				return true
			}
		}
	}
	return false
}

// put indexes a key, unless a later one is indexed already.
func (x *indexer) put(k keyed) error {
	f, err := x.fileFor()
	if err == nil && k.log >= f.EndOffset() {
		err = f.put(k.hash, k.log, k.time)
	}
	return err
}

// fileFor returns the file that takes the next item, a new one if the last is full.
func (x *indexer) fileFor() (*indexFile, error) {
	var lastTime, lastOffset int64
	if n := len(x.files); n > 0 {
		last := x.files[n-1]
		if !last.Full() {
			return last, nil
		}
		if err := x.sync(last); err != nil {
			return nil, err
		}
		lastTime, lastOffset = last.EndTime(), last.EndOffset()
		x.full.Store(lastTime)
	}
	if err := os.MkdirAll(x.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := openIndexFile(x.s.o.Faults, x.newPath(), x.s.o.IndexSlots, x.s.o.IndexItems)
	if err != nil {
		return nil, err
	}
	if err := f.seed(lastTime, lastOffset); err != nil {
		f.close()
		os.Remove(f.path)
		return nil, err
	}
	x.files = append(x.files, f)
	return f, nil
}

// sync puts a file on disk. What a failed sync has dropped nobody knows, so that it is the end of this run.
func (x *indexer) sync(f *indexFile) error {
	err := f.sync()
	if err == nil {
		err = x.s.o.Faults.SyncDir(x.dir)
	}
	if err != nil {
		return x.s.log.broken(err)
	}
	return nil
}

// newPath names a file by the local time, later than all there are.
func (x *indexer) newPath() string {
	for t := x.s.o.Now(); ; t = t.Add(time.Millisecond) {
		name := t.Format("20060102150405") + fmt.Sprintf("%03d", t.Nanosecond()/1e6)
		path := filepath.Join(x.dir, name)
		if n := len(x.files); n == 0 || path > x.files[n-1].path {
			return path
		}
	}
}

// dropBefore removes the files whose newest item is of a record before off, except the last file.
func (x *indexer) dropBefore(off int64) error {
	if x == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.files) > 1 && x.files[0].EndOffset() < off {
		f := x.files[0]
		if err := x.s.o.Faults.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f.close()
		x.files = x.files[1:]
	}
	return nil
}

// close indexes what is left and puts the files on disk.
func (x *indexer) close() error {
	if x == nil {
		return nil
	}
	for start := time.Now(); x.step(nil); {
		if time.Since(start) > closeIndexTime {
			x.s.o.Log.Warn("index is not complete at the stop; the next start goes on with it", "log offset", x.pos.Load(), "end", x.s.Max())
			break
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if n := len(x.files); n > 0 {
		if err := x.sync(x.files[n-1]); err != nil {
			return err
		}
		x.full.Store(max(x.full.Load(), x.files[n-1].EndTime()))
	}
	return nil
}

// relax gives the memory of the mapped files back to the system, which keeps the bytes.
func (x *indexer) relax() {
	if x == nil {
		return
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, f := range x.files {
		_ = unix.Madvise(f.Mem, unix.MADV_DONTNEED)
	}
}

func (x *indexer) unmap() {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.files {
		f.close()
	}
	x.files = nil
}
