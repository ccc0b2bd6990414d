package segment

import (
	"container/list"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
)

// Disk opens the files of any number of runs and keeps the most recently used ones open, so that idle runs cost no file
// descriptors. It is safe for concurrent use.
type Disk struct {
	limit  int
	faults Faults

	loaded atomic.Int64 // chunks of mapped files in the process, about

	mu   sync.Mutex
	open map[fileKey]*handle
	lru  list.List // of *handle, the most recently used at the front
}

type fileKey struct {
	run   *Run
	start int64
}

// handle is an open file. What follows file is guarded by Disk.mu.
type handle struct {
	key     fileKey
	file    *os.File
	refs    int
	dropped bool // no longer in the table; closed when refs is 0
	at      *list.Element

	uses   int     // since the last Relax
	mem    []byte  // the mapped file, nil if it is not; while refs is above 0 it stays
	chunks []chunk // of mem
	noMap  bool    // mapping it has failed; Relax lets it be tried again

	past *os.File // the file opened again for direct writes, nil if it is not
}

// close gives everything back.
func (h *handle) close() {
	if h.mem != nil {
		unmapFile(h.takeMem())
	}
	if h.past != nil {
		h.past.Close()
	}
	h.file.Close()
}

// takeMem makes h one that is not mapped, and returns what is to be unmapped.
func (h *handle) takeMem() []byte {
	for i := range h.chunks {
		if h.chunks[i].used.Load() > 0 {
			h.key.run.disk.loaded.Add(-1)
		}
	}
	mem := h.mem
	h.mem, h.chunks = nil, nil
	return mem
}

// NewDisk returns a Disk that keeps up to limit files open, more only while they are in use.
func NewDisk(limit int, f Faults) *Disk {
	return &Disk{limit: max(limit, 1), faults: f, open: map[fileKey]*handle{}}
}

// acquire returns the open file of r that starts at start; with create it is made if missing.
func (d *Disk) acquire(r *Run, start int64, create bool) (*handle, error) {
	k := fileKey{r, start}
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.open[k]; h != nil {
		h.refs++
		h.uses++
		d.lru.MoveToFront(h.at)
		return h, nil
	}
	f, err := d.openFile(r.Path(start), r.size, create)
	if err != nil {
		return nil, err
	}
	h := &handle{key: k, file: f, refs: 1}
	h.at = d.lru.PushFront(h)
	d.open[k] = h
	d.shrinkLocked(d.limit)
	return h, nil
}

func (d *Disk) release(h *handle) {
	d.mu.Lock()
	h.refs--
	last := h.dropped && h.refs == 0
	d.mu.Unlock()
	if last {
		h.close()
	}
}

// forget closes the file of r that starts at start, when its last user is done.
func (d *Disk) forget(r *Run, start int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h := d.open[fileKey{r, start}]; h != nil {
		d.dropLocked(h)
	}
}

// Close closes all files, those in use as soon as they no longer are. Runs may still be used; they open their files again.
func (d *Disk) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.open {
		d.dropLocked(h)
	}
}

func (d *Disk) shrinkLocked(limit int) {
	for e := d.lru.Back(); e != nil && len(d.open) > limit; {
		h := e.Value.(*handle)
		e = e.Prev()
		if h.refs == 0 {
			d.dropLocked(h)
		}
	}
}

func (d *Disk) dropLocked(h *handle) {
	delete(d.open, h.key)
	d.lru.Remove(h.at)
	h.dropped = true
	if h.refs == 0 {
		h.close()
	}
}

func (d *Disk) openFile(path string, size int64, create bool) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return os.Open(path) // a directory that only holds old files may be read-only
	}
	if err == nil && create {
		return grown(f, size)
	}
	if err == nil || !create || !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := d.faults.Changing("create", path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644); err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

// grown is f, with its size if it has none: a process was killed between making it and growing it, and the run is one of
// which the files were not looked at, see Known. It closes f if that fails.
func grown(f *os.File, size int64) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// FileName is the name of the file that starts at start: 20 decimal digits.
func FileName(start int64) string { return fmt.Sprintf("%020d", start) }

// ParseName reads a file name; ok is false for files that are not part of a run.
func ParseName(name string) (start int64, ok bool) {
	if len(name) != 20 {
		return 0, false
	}
	start, err := strconv.ParseInt(name, 10, 64)
	return start, err == nil && start >= 0
}
