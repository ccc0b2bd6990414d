package store

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// indexFile is one file of the index, mapped.
type indexFile struct {
	layout.Index
	path     string
	faults   segment.Faults
	file     *os.File
	reserved int64 // bytes of the file that have disk space
}

// indexReserve is the steps in which items get disk space, bytes.
const indexReserve = 1 << 20

// errIndexSize tells that an index file is not as long as it must be.
var errIndexSize = errors.New("wrong size")

// openIndexFile maps the file at path, which is created if it is not there.
func openIndexFile(faults segment.Faults, path string, slots, items int32) (*indexFile, error) {
	if err := faults.Changing("create", path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	x := &indexFile{path: path, faults: faults, file: f, Index: layout.Index{Slots: slots, Items: items}}
	if err := x.mapIt(); err != nil {
		f.Close()
		return nil, fmt.Errorf("store: index %s: %w", path, err)
	}
	return x, nil
}

func (x *indexFile) mapIt() error {
	info, err := x.file.Stat()
	if err != nil {
		return err
	}
	size := layout.IndexFileSize(x.Slots, x.Items)
	switch info.Size() {
	case size:
	case 0:
		if err := x.file.Truncate(size); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%w: it has %d bytes; with maxHashSlotNum %d and maxIndexNum %d it must have %d", errIndexSize, info.Size(), x.Slots, x.Items, size)
	}
	x.Mem, err = unix.Mmap(int(x.file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		_ = unix.Madvise(x.Mem, unix.MADV_RANDOM)
	}
	return err
}

// seed begins a new file behind one that ended with an item of time and offset.
func (x *indexFile) seed(time, offset int64) error {
	if err := x.reserve(layout.IndexFileSize(x.Slots, 0)); err != nil {
		return err
	}
	x.Seed(time, offset)
	return nil
}

// reserve takes disk space for the first n bytes and some more: writing to a mapped page without would kill the process.
func (x *indexFile) reserve(n int64) error {
	if n <= x.reserved {
		return nil
	}
	if err := x.faults.Reserving(x.path); err != nil {
		return err
	}
	n = min(n+indexReserve, int64(len(x.Mem)))
	for {
		err := unix.Fallocate(int(x.file.Fd()), 0, x.reserved, n-x.reserved)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return &os.PathError{Op: "reserve", Path: x.path, Err: err}
		}
		x.reserved = n
		return nil
	}
}

// put adds an item. The file must not be full.
func (x *indexFile) put(hash int32, log, time int64) error {
	if err := x.reserve(x.ItemEnd(x.Count())); err != nil {
		return err
	}
	x.Put(hash, log, time)
	return nil
}

func (x *indexFile) sync() error {
	if err := x.faults.Syncing(x.path); err != nil {
		return err
	}
	if err := unix.Msync(x.Mem, unix.MS_SYNC); err != nil {
		return &os.PathError{Op: "sync", Path: x.path, Err: err}
	}
	return nil
}

func (x *indexFile) close() {
	if x.Mem != nil {
		_ = unix.Munmap(x.Mem)
		x.Mem = nil
	}
	x.file.Close()
}
