package segment

import (
	"errors"
	"math"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve allocates the blocks of n bytes at off. Where the file system cannot, zeros are written; off must then be
// behind all data.
func reserve(f *os.File, off, n int64) error {
	for {
		switch err := unix.Fallocate(int(f.Fd()), 0, off, n); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP):
			return writeZeros(f, off, n)
		default:
			return err
		}
	}
}

// zero makes the n bytes at off zero and gives their blocks back, as far as the file system can.
func zero(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EOPNOTSUPP):
			return writeZeros(f, off, n)
		default:
			return err
		}
	}
}

func writeZeros(f *os.File, off, n int64) error {
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		m, err := f.WriteAt(zeros[:min(n, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off, n = off+int64(m), n-int64(m)
	}
	return nil
}

// nextData is the first offset from off on at which f may hold bytes, math.MaxInt64 if there is none.
func nextData(f *os.File, off int64) (int64, error) {
	at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return math.MaxInt64, nil
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP):
		return off, nil
	}
	return at, err
}

// datasync makes the data of f durable, and of its attributes what reading it needs.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// cached reports whether the page at off is in memory. Where the file system does not tell, it is taken to be.
func cached(f *os.File, off int64) bool {
	var b [1]byte
	n, err := unix.Preadv2(int(f.Fd()), [][]byte{b[:]}, off, unix.RWF_NOWAIT)
	return n == 1 && err == nil || errors.Is(err, unix.EOPNOTSUPP)
}

// mapFile maps the first size bytes of f for reading, nil if that fails or the file is shorter.
func mapFile(f *os.File, size int64) []byte {
	if info, err := f.Stat(); err != nil || info.Size() < size || int64(int(size)) != size {
		return nil
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil
	}
	return mem
}

func unmapFile(mem []byte) { _ = unix.Munmap(mem) }

// resident reports whether the bytes from begin to end of mem are in memory, and whether all of mem is. mem begins with a
// page and has chunkSize bytes at most.
func resident(mem []byte, begin, end int64) (part, all bool) {
	var pages [chunkSize >> 12]byte
	if _, _, err := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)),
		uintptr(unsafe.Pointer(&pages))); err != 0 {
		return false, false
	}
	page := int64(os.Getpagesize())
	part, all = true, true
	for at := int64(0); at < int64(len(mem)); at += page {
		if pages[at/page]&1 == 0 {
			all = false
			part = part && (at+page <= begin || at >= end)
		}
	}
	return part, all
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// startWriteback asks the system to begin writing the n bytes at off to the disk, without waiting.
func startWriteback(f *os.File, off, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, n, unix.SYNC_FILE_RANGE_WRITE)
}

// openDirect opens a file for writes past the cache.
func openDirect(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0)
}
