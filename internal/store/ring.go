package store

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// ring is the staging file: a shared mapping, so that what is copied into it outlives the process. The byte of the log
// at offset o is at o modulo size. The data is mapped twice, one mapping behind the other, so that every run of up to
// size bytes is one slice.
// Its head is a layout.StagingHead.
type ring struct {
	file    *os.File
	head    []byte
	data    []byte // 2 x size
	size    int64
	end     *atomic.Int64
	drained *atomic.Int64
}

// openRing opens or creates the staging file at path. Its space is reserved: a mapped page without would kill the process.
func openRing(faults segment.Faults, path string, size int64) (*ring, error) {
	if err := faults.Reserving(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	r, err := mapRing(f, size)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("store: %s: %w", path, err)
	}
	return r, nil
}

func mapRing(f *os.File, size int64) (*ring, error) {
	old, err := stagedSize(f)
	if err != nil {
		return nil, err
	}
	if old > 0 {
		size = old // it may still hold what the segments lack
	}
	if err := f.Truncate(layout.StagingHeadSize + size); err != nil {
		return nil, err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, layout.StagingHeadSize+size); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return nil, err
	}
	const prot = unix.PROT_READ | unix.PROT_WRITE
	head, err := unix.Mmap(int(f.Fd()), 0, layout.StagingHeadSize, prot, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	data, err := unix.Mmap(-1, 0, int(2*size), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		unix.Munmap(head)
		return nil, err
	}
	base := unsafe.Pointer(unsafe.SliceData(data))
	for i := range int64(2) {
		if _, err := unix.MmapPtr(int(f.Fd()), layout.StagingHeadSize, unsafe.Add(base, i*size), uintptr(size), prot,
			unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
			unix.Munmap(head)
			unix.Munmap(data)
			return nil, err
		}
	}
	return &ring{file: f, head: head, data: data, size: size,
		end: (*atomic.Int64)(unsafe.Pointer(&head[layout.StagingEndAt])), drained: (*atomic.Int64)(unsafe.Pointer(&head[layout.StagingDrainedAt]))}, nil
}

// stagedSize is the size that the head of an existing staging file tells, 0 if it is new or none of ours.
func stagedSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var b [256]byte
	if _, err := f.ReadAt(b[:], 0); err != nil {
		return 0, nil
	}
	if h, ok := layout.DecodeStagingHead(b[:], info.Size()); ok {
		return h.Size, nil
	}
	return 0, nil
}

// begin makes the ring one of session s, with all of the log before end in the segments.
func (r *ring) begin(s layout.Session, end int64) {
	layout.StagingHead{}.PutIdentity(r.head)
	r.end.Store(end)
	r.drained.Store(end)
	layout.StagingHead{Size: r.size, Session: s, Boot: bootID()}.PutIdentity(r.head)
}

// of reports whether the ring belongs to session s, and whether the machine has been up since.
func (r *ring) of(s layout.Session) (mine, sameBoot bool) {
	h, _ := layout.DecodeStagingHead(r.head, layout.StagingHeadSize+r.size)
	boot, none := bootID(), layout.Session{}
	return s != none && h.Session == s, boot != none && h.Boot == boot
}

// slice is the n bytes of the log at off, less if the ring is smaller.
func (r *ring) slice(off, n int64) []byte {
	at := off % r.size
	n = min(n, r.size)
	return r.data[at : at+n : at+n]
}

// relax gives the memory of the ring back to the system, which keeps the bytes in the file.
func (r *ring) relax() { _ = unix.Madvise(r.data, unix.MADV_DONTNEED) }

func (r *ring) close() error {
	err := errors.Join(unix.Munmap(r.head), unix.Munmap(r.data))
	return errors.Join(err, r.file.Close())
}

// bootID identifies the time since the machine was booted; zero if the system does not tell.
func bootID() (id layout.Session) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	n := 0
	for _, c := range b {
		if c == '-' || n == 2*len(id) {
			continue
		}
		d, ok := hexDigit(c)
		if !ok {
			break
		}
		id[n/2] |= d << (4 * (1 - n%2))
		n++
	}
	return id
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
