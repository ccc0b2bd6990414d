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

// readNow reads len(p) bytes at off if they are in memory, and reports whether it did. Where the file system does not tell,
// they are taken to be.
func readNow(f *os.File, p []byte, off int64) bool {
	iov := unix.Iovec{Base: &p[0]}
	iov.SetLen(len(p))
	for {
		n, _, err := unix.Syscall6(unix.SYS_PREADV2, f.Fd(), uintptr(unsafe.Pointer(&iov)), 1, uintptr(off), uintptr(off>>32), unix.RWF_NOWAIT)
		switch err {
		case 0:
			return int(n) == len(p)
		case unix.EINTR:
		case unix.EOPNOTSUPP:
			m, err := f.ReadAt(p, off)
			return m == len(p) && err == nil
		default:
			return false
		}
	}
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

// resident reports whether all of mem, which begins with a page and has chunkSize bytes at most, is in memory.
func resident(mem []byte) bool {
	var pages [chunkSize >> 12]byte
	if _, _, err := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)),
		uintptr(unsafe.Pointer(&pages))); err != 0 {
		return false
	}
	for _, p := range pages[:(len(mem)+os.Getpagesize()-1)/os.Getpagesize()] {
		if p&1 == 0 {
			return false
		}
	}
	return true
}

// willNeed asks the system to read the n bytes at off into its cache, dontNeed to drop them from it.
func willNeed(f *os.File, off, n int64) { _ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_WILLNEED) }
func dontNeed(f *os.File, off, n int64) { _ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED) }

// unload takes the pages of mem, which stay in the system's cache, out of the process.
func unload(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTNEED) }

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
