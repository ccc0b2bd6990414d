// Package segment keeps runs of files: files of one fixed size that are addressed by one offset, each named by the offset
// at which it starts. It hides which file holds a byte, in which directory it lies, and which files are open.
//
//	00000000000000000000 | 00000000000000001000 | 00000000000000002000      size 1000
//	0 ............... 999   1000 ........... 1999   2000 ........... 2999
//
// The files of a run follow one another without a gap; only the first start is free. Every file has its full size from
// the beginning (sparse, until Reserve), zero where nothing was written: where the data ends is for the user to know.
package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// ErrOutside tells that an offset lies outside the files of a run, for instance because its file was dropped.
var ErrOutside = errors.New("segment: offset outside the files")

// ErrGap tells that a file in the middle of a run is missing.
var ErrGap = errors.New("segment: gap")

// Run is a run of files. It is safe for concurrent use, but what is read while it is being written is undefined.
type Run struct {
	disk *Disk
	size int64
	in   folders

	mu      sync.RWMutex
	first   int64 // start of the first file
	count   int64 // files; they are contiguous
	fresh   bool  // a file was created and its directory not synced since
	founded bool  // that was the first file
}

// Open finds the files of a run in dir, which need not exist; size is the length of each file in bytes. Empty last files
// are removed, as they come from a crash in their creation; a file of another size, one that is there twice, or a gap is an
// error that names it. No file is opened.
func Open(d *Disk, size int64, dir string) (*Run, error) {
	return OpenIn(d, size, named(dir))
}

// OpenIn is Open for a directory that is asked for its name whenever a file is opened: of many runs none keeps its path.
func OpenIn(d *Disk, size int64, dir Folder) (*Run, error) {
	return open(&Run{disk: d, size: size, in: single{dir}})
}

// OpenDirs is Open for a run that lies in several directories.
func OpenDirs(d *Disk, size int64, dirs Dirs) (*Run, error) {
	return open(&Run{disk: d, size: size, in: &spread{dirs: dirs, home: map[int64]string{}}})
}

// Known is OpenIn for a run that is known to consist of count files from first on. It does not look at them.
func Known(d *Disk, size int64, dir Folder, first, count int64) *Run {
	return &Run{disk: d, size: size, in: single{dir}, first: first, count: count}
}

func open(r *Run) (*Run, error) {
	size := r.size
	starts, err := r.scan()
	if err != nil {
		return nil, err
	}
	if len(starts) == 0 {
		return r, nil
	}
	r.first, r.count = starts[0], int64(len(starts))
	for i, s := range starts {
		if want := r.first + int64(i)*size; s != want {
			return nil, fmt.Errorf("%w: %s is missing: the files beside it end at %d and go on at %d; "+
				"put it back, or move the files from %s on away and start without them",
				ErrGap, r.Path(want), want, s, FileName(s))
		}
	}
	return r, nil
}

// scan lists the starts of the files, sorted, and checks their sizes.
func (r *Run) scan() ([]int64, error) {
	var starts []int64
	sizes := map[int64]int64{}
	for dir := range r.in.all() {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			start, ok := ParseName(e.Name())
			if !ok || e.IsDir() {
				continue
			}
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			if _, twice := sizes[start]; twice {
				return nil, fmt.Errorf("segment: both %s and %s exist; move one of them away", r.Path(start), filepath.Join(dir, e.Name()))
			}
			starts, sizes[start] = append(starts, start), info.Size()
			r.in.set(start, dir)
		}
	}
	slices.Sort(starts)
	for n := len(starts); n > 0 && sizes[starts[n-1]] == 0; n = len(starts) {
		if err := r.disk.faults.Remove(r.Path(starts[n-1])); err != nil {
			return nil, err
		}
		starts = starts[:n-1]
	}
	for _, s := range starts {
		if sizes[s] != r.size {
			return nil, fmt.Errorf("segment: %s has %d bytes, but the configured file size is %d; set the size with which "+
				"the directory was made, or, if the other files have the configured one, mend it with: skua store repair", r.Path(s), sizes[s], r.size)
		}
	}
	return starts, nil
}

// Path is the path of the file that starts at start, or the one that it would get if it were made now.
func (r *Run) Path(start int64) string {
	return filepath.Join(r.in.of(start, start/r.size), FileName(start))
}

// FileSize is the length of each file, in bytes.
func (r *Run) FileSize() int64 { return r.size }

// Bounds returns the offset at which the first file starts and the one at which the last file ends; equal if there is no
// file.
func (r *Run) Bounds() (begin, end int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.first, r.first + r.count*r.size
}

// Start is the start of the file that holds off.
func (r *Run) Start(off int64) int64 { return off - off%r.size }

// ReadAt reads len(p) bytes at off, across files. Bytes never written are zero. It allocates nothing when the file is
// open. Errors: ErrOutside when a part has no file.
func (r *Run) ReadAt(p []byte, off int64) error {
	for len(p) > 0 {
		n := min(int64(len(p)), r.size-off%r.size)
		if err := r.readFile(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

func (r *Run) readFile(p []byte, off int64) error {
	start := r.Start(off)
	if begin, end := r.Bounds(); start < begin || start >= end {
		return ErrOutside
	}
	h, err := r.disk.acquire(r, start, false)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return ErrOutside
		}
		return err
	}
	defer r.disk.release(h)
	_, err = h.file.ReadAt(p, off-start)
	if err == io.EOF {
		err = fmt.Errorf("segment: %s is shorter than %d bytes: somebody else cut it", r.Path(start), r.size)
	}
	return err
}

// ReadNow is ReadAt that does not wait for the disk: it reports whether it has filled p. It is false on errors, too.
func (r *Run) ReadNow(p []byte, off int64) bool {
	for len(p) > 0 {
		n := min(int64(len(p)), r.size-off%r.size)
		h := r.opened(off)
		if h == nil {
			return false
		}
		ok := readNow(h.file, p[:n], off-h.key.start)
		r.disk.release(h)
		if !ok {
			return false
		}
		p, off = p[n:], off+n
	}
	return true
}

// Cached reports whether the byte at off can be read without waiting for the disk, as far as the system tells.
func (r *Run) Cached(off int64) bool {
	var b [1]byte
	return r.ReadNow(b[:], off)
}

// Announce tells the system that the n bytes at off will soon be read. It does not wait for them, but may for room in the
// queue of the disk. What is not there is passed over.
func (r *Run) Announce(off, n int64) {
	for n > 0 {
		part := min(n, r.size-off%r.size)
		if h := r.opened(off); h != nil {
			willNeed(h.file, off-h.key.start, part)
			r.disk.release(h)
		}
		off, n = off+part, n-part
	}
}

// opened is the file that holds off, to be released, nil if there is none or it cannot be opened.
func (r *Run) opened(off int64) *handle {
	start := r.Start(off)
	if begin, end := r.Bounds(); start < begin || start >= end {
		return nil
	}
	h, err := r.disk.acquire(r, start, false)
	if err != nil {
		return nil
	}
	return h
}

// WriteAt writes p at off, across files, and creates the files that it needs: the next ones, or the first one of an empty
// run. After an error a part may have been written. It returns when the system has the bytes, which then survive the
// process but not the machine.
func (r *Run) WriteAt(p []byte, off int64) error {
	for len(p) > 0 {
		n := min(int64(len(p)), r.size-off%r.size)
		if err := r.withFile(r.Start(off), func(h *handle, path string) error {
			return r.disk.faults.WriteAt(h.file, p[:n], off-h.key.start)
		}); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// Reserve takes the disk space of n bytes at off, so that writing them cannot fail for want of it, and creates the files
// it needs.
func (r *Run) Reserve(off, n int64) error {
	for n > 0 {
		part := min(n, r.size-off%r.size)
		if err := r.withFile(r.Start(off), func(h *handle, path string) error {
			if err := r.disk.faults.Reserving(path); err != nil {
				return err
			}
			if err := reserve(h.file, off-h.key.start, part); err != nil {
				return &fs.PathError{Op: "reserve", Path: path, Err: err}
			}
			return nil
		}); err != nil {
			return err
		}
		off, n = off+part, n-part
	}
	return nil
}

// NextData is the first offset from off on where a file may hold bytes other than zero, the end of the run if there is
// none. Places for which no disk space was ever written are passed over, where the file system tells.
func (r *Run) NextData(off int64) (int64, error) {
	_, end := r.Bounds()
	for off < end {
		start := r.Start(off)
		h, err := r.disk.acquire(r, start, false)
		if err != nil {
			return off, err
		}
		at, err := nextData(h.file, off-start)
		r.disk.release(h)
		if err != nil {
			return off, err
		}
		if at < r.size {
			return start + at, nil
		}
		off = start + r.size
	}
	return end, nil
}

// NextData is Run.NextData for a file of one's own: math.MaxInt64 if there is no data from off on.
func NextData(f *os.File, off int64) (int64, error) { return nextData(f, off) }

// StartSync asks the system to begin writing the n bytes at off to the disk, so that a later Sync has less to wait for.
func (r *Run) StartSync(off, n int64) {
	for n > 0 {
		start := r.Start(off)
		part := min(n, start+r.size-off)
		if h, err := r.disk.acquire(r, start, false); err == nil {
			startWriteback(h.file, off-start, part)
			r.disk.release(h)
		}
		off, n = off+part, n-part
	}
}

// Sync makes the bytes from begin to end, end excluded, durable, together with the existence of their files.
func (r *Run) Sync(begin, end int64) error {
	if err := r.syncDirs(); err != nil {
		return err
	}
	for start := r.Start(begin); start < end; start += r.size {
		h, err := r.disk.acquire(r, start, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil {
			return err
		}
		err = r.syncFile(h)
		r.disk.release(h)
		if err != nil {
			return err
		}
	}
	return nil
}

// syncDirs makes the existence of new files durable.
func (r *Run) syncDirs() error {
	r.mu.Lock()
	fresh, first := r.fresh, r.founded
	r.fresh, r.founded = false, false
	r.mu.Unlock()
	if !fresh {
		return nil
	}
	err := r.syncFresh(first)
	if err != nil {
		r.mu.Lock()
		r.fresh, r.founded = true, r.founded || first
		r.mu.Unlock()
	}
	return err
}

// syncFresh is syncDirs when there are new files. It is apart because what its loop uses is allocated.
func (r *Run) syncFresh(first bool) error {
	for dir := range r.in.all() {
		if err := r.disk.faults.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !first {
			continue
		}
		// The directory may be new itself, and the one above it.
		for _, up := range []string{filepath.Dir(dir), filepath.Dir(filepath.Dir(dir))} {
			if err := r.disk.faults.SyncDir(up); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
				return err
			}
		}
	}
	return nil
}

func (r *Run) syncFile(h *handle) error {
	path := h.file.Name()
	if err := r.disk.faults.Syncing(path); err != nil {
		return err
	}
	if err := datasync(h.file); err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	return nil
}

// withFile calls f with the file that starts at start. It creates the file if it is the next of the run, or the first.
func (r *Run) withFile(start int64, f func(h *handle, path string) error) error {
	h, err := r.grow(start)
	if err != nil {
		return err
	}
	defer r.disk.release(h)
	return f(h, h.file.Name())
}

func (r *Run) grow(start int64) (*handle, error) {
	r.mu.RLock()
	inside := r.count > 0 && start >= r.first && start < r.first+r.count*r.size
	r.mu.RUnlock()
	if inside {
		return r.disk.acquire(r, start, false)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.first + r.count*r.size
	if r.count > 0 && (start < r.first || start > end) {
		return nil, fmt.Errorf("%w: %s would leave a gap: files go from %d to %d", ErrOutside, FileName(start), r.first, end)
	}
	h, err := r.disk.acquire(r, start, true)
	if err != nil {
		return nil, err
	}
	r.fresh = true
	if r.count == 0 {
		r.first, r.count, r.founded = start, 1, true
	} else if start == end {
		r.count++
	}
	r.in.set(start, filepath.Dir(h.file.Name()))
	return h, nil
}

// Truncate makes end the end of the data: it zeroes what lies behind it in its file and removes the files behind. Of the
// first file at least the zeros stay. Reserved space behind end is given back.
func (r *Run) Truncate(end int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count > 0 {
		last := r.first + (r.count-1)*r.size
		if last < end || last == end && r.count == 1 {
			break
		}
		if err := r.removeLocked(last); err != nil {
			return err
		}
		r.count--
	}
	last := r.first + (r.count-1)*r.size
	if r.count == 0 || end >= last+r.size {
		return nil
	}
	h, err := r.disk.acquire(r, last, false)
	if err != nil {
		return err
	}
	defer r.disk.release(h)
	// Not by making the file shorter for a moment: a process killed then would leave a file of the wrong size.
	at := max(end-last, 0)
	if err := r.disk.faults.Changing("cut", h.file.Name()); err != nil {
		return err
	}
	if err := zero(h.file, at, r.size-at); err != nil {
		return &fs.PathError{Op: "cut", Path: h.file.Name(), Err: err}
	}
	return nil
}

// DropBefore removes the files that end at or before off, except the last file, and returns how many it removed.
func (r *Run) DropBefore(off int64) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for r.count > 1 && r.first+r.size <= off {
		if err := r.removeLocked(r.first); err != nil {
			return n, err
		}
		r.first, r.count, n = r.first+r.size, r.count-1, n+1
	}
	return n, nil
}

// Remove removes all files and the directories that are then empty.
func (r *Run) Remove() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count > 0 {
		if err := r.removeLocked(r.first); err != nil {
			return err
		}
		r.first, r.count = r.first+r.size, r.count-1
	}
	r.first = 0
	for dir := range r.in.all() {
		os.Remove(dir) // stays if there is something else in it
	}
	return nil
}

func (r *Run) removeLocked(start int64) error {
	r.disk.forget(r, start)
	err := r.disk.faults.Remove(r.Path(start))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	r.in.set(start, "")
	return err
}

// Forget closes the files of the run, when their last users are done, because somebody else moves or replaces them.
func (r *Run) Forget() {
	begin, end := r.Bounds()
	for start := begin; start < end; start += r.size {
		r.disk.forget(r, start)
	}
}

// ModTime is when the file that starts at start was last written.
func (r *Run) ModTime(start int64) (time.Time, error) {
	info, err := os.Stat(r.Path(start))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// DropEmpty removes the last files as long as they begin at or behind end, except the first: files made ahead of need.
func (r *Run) DropEmpty(end int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.count > 1 && r.first+(r.count-1)*r.size >= end {
		if err := r.removeLocked(r.first + (r.count-1)*r.size); err != nil {
			return err
		}
		r.count--
	}
	return nil
}
