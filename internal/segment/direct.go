package segment

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// DirectAlign is what offset, length and memory of a direct write must be multiples of, bytes.
const DirectAlign = 4096

// ErrNotDirect tells that the file system takes no direct writes, or not these.
var ErrNotDirect = errors.New("segment: no direct writes here")

// WriteDirect is WriteAt past the system's cache: the disk takes the bytes straight from p, which nobody may change
// meanwhile, and the cache has them only when somebody reads them. p and off must be multiples of DirectAlign. It must
// not run twice at a time. When it returns ErrNotDirect a part may have been written; WriteAt can write it all.
func (r *Run) WriteDirect(p []byte, off int64) error {
	if r.size%DirectAlign != 0 {
		return ErrNotDirect
	}
	for len(p) > 0 {
		n := min(int64(len(p)), r.size-off%r.size)
		if err := r.withFile(r.Start(off), func(h *handle, path string) error {
			f, err := r.disk.direct(h)
			if err != nil {
				return err
			}
			m := int(n)
			if fault := r.disk.faults.Write; fault != nil {
				if m, err = fault(path, off-h.key.start, m); err != nil {
					h.file.WriteAt(p[:m], off-h.key.start)
					return err
				}
			}
			if _, err = f.WriteAt(p[:m], off-h.key.start); refusesDirect(err) {
				return ErrNotDirect
			}
			if off+n == h.key.start+r.size {
				r.disk.buffer(h)
			}
			return err
		}); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// direct returns the file of h for direct writes.
func (d *Disk) direct(h *handle) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.past != nil {
		return h.past, nil
	}
	f, err := openDirect(h.file.Name())
	if err != nil {
		if refusesDirect(err) {
			err = ErrNotDirect
		}
		return nil, err
	}
	h.past = f
	return f, nil
}

// buffer closes what direct has opened.
func (d *Disk) buffer(h *handle) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.past != nil {
		h.past.Close()
		h.past = nil
	}
}

// refusesDirect reports whether err is how a file system tells that it takes no direct writes.
func refusesDirect(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}

// prewriteStep is how much is prewritten at a time, bytes.
const prewriteStep = 1 << 20

// Prewrite writes zeros to those whole pages of the n bytes at off, which must be reserved and unused, and syncs them.
// Syncing what is written there later then has no metadata to write, which takes about half the time. It does nothing
// where there are no direct writes, and what fails is no loss, so that it tells nothing.
func (r *Run) Prewrite(off, n int64) {
	zeros := make([]byte, prewriteStep+DirectAlign)
	skew := int(uintptr(unsafe.Pointer(unsafe.SliceData(zeros))) % DirectAlign)
	zeros = zeros[DirectAlign-skew:][:prewriteStep]
	for n > 0 && r.size%DirectAlign == 0 {
		part := min(n, r.size-off%r.size)
		_ = r.withFile(r.Start(off), func(h *handle, path string) error {
			f, err := openDirect(path)
			if err != nil {
				return err
			}
			defer f.Close()
			at, stop := off-h.key.start, off-h.key.start+part
			for at = (at + DirectAlign - 1) / DirectAlign * DirectAlign; at+DirectAlign <= stop; {
				m := min((stop-at)/DirectAlign*DirectAlign, prewriteStep)
				if _, err := f.WriteAt(zeros[:m], at); err != nil {
					return err
				}
				at += m
			}
			return datasync(f)
		})
		off, n = off+part, n-part
	}
}
