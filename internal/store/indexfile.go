package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/record"
)

// indexFile is one file of the index: a hash table from keys to log offsets, mapped.
//
//	 0 i64 time of the first item, ms      32 i32 slots in use
//	 8 i64 time of the last item, ms       36 i32 number of the next item; the first is 1
//	16 i64 log offset of the first item    40 slots x i32: the newest item of the slot, 0 if none
//	24 i64 log offset of the last item     .. items x 20 bytes, by number; item 0 is never used
//
// An item is i32 hash of the key, i64 log offset, i32 seconds since the file's first time, i32 the item before it in its
// slot. The key is topic#key; its slot is the hash modulo slots.
type indexFile struct {
	path         string
	file         *os.File
	mem          []byte
	slots, items int32
	reserved     int64 // bytes of the file that have disk space
}

const (
	indexHeader  = 40
	indexSlot    = 4
	indexItem    = 20
	indexReserve = 1 << 20 // items get disk space in such steps
)

func indexFileSize(slots, items int32) int64 {
	return indexHeader + indexSlot*int64(slots) + indexItem*int64(items)
}

// openIndexFile maps the file at path, which is created if it is not there.
func openIndexFile(path string, slots, items int32) (*indexFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	x := &indexFile{path: path, file: f, slots: slots, items: items}
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
	size := indexFileSize(x.slots, x.items)
	switch info.Size() {
	case size:
	case 0:
		if err := x.file.Truncate(size); err != nil {
			return err
		}
	default:
		return fmt.Errorf("it has %d bytes; with maxHashSlotNum %d and maxIndexNum %d it must have %d", info.Size(), x.slots, x.items, size)
	}
	x.mem, err = unix.Mmap(int(x.file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		_ = unix.Madvise(x.mem, unix.MADV_RANDOM)
	}
	return err
}

func (x *indexFile) i64(at int) int64        { return int64(binary.BigEndian.Uint64(x.mem[at:])) }
func (x *indexFile) setI64(at int, v int64)  { binary.BigEndian.PutUint64(x.mem[at:], uint64(v)) }
func (x *indexFile) i32(at int) int32        { return int32(binary.BigEndian.Uint32(x.mem[at:])) }
func (x *indexFile) setI32(at int, v int32)  { binary.BigEndian.PutUint32(x.mem[at:], uint32(v)) }
func (x *indexFile) beginTime() int64        { return x.i64(0) }
func (x *indexFile) endTime() int64          { return x.i64(8) }
func (x *indexFile) endOffset() int64        { return x.i64(24) }
func (x *indexFile) count() int32            { return max(x.i32(36), 1) }
func (x *indexFile) full() bool              { return x.count() >= x.items }
func (x *indexFile) slotAt(hash int32) int   { return indexHeader + indexSlot*int(hash%x.slots) }
func (x *indexFile) itemAt(number int32) int { return int(indexFileSize(x.slots, number)) }

// seed begins a new file behind one that ended with an item of time and offset.
func (x *indexFile) seed(time, offset int64) error {
	if err := x.reserve(indexFileSize(x.slots, 0)); err != nil {
		return err
	}
	x.setI64(0, time)
	x.setI64(8, time)
	x.setI64(16, offset)
	x.setI64(24, offset)
	x.setI32(36, 1)
	return nil
}

// reserve takes disk space for the first n bytes and some more: writing to a mapped page without would kill the process.
func (x *indexFile) reserve(n int64) error {
	if n <= x.reserved {
		return nil
	}
	n = min(n+indexReserve, int64(len(x.mem)))
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

// put adds an item. The file must not be full. Item, header and slot are written in this order, so that a killed process
// leaves at worst an item that no slot leads to.
func (x *indexFile) put(hash int32, log, time int64) error {
	number := x.count()
	at := x.itemAt(number)
	if err := x.reserve(int64(at + indexItem)); err != nil {
		return err
	}
	slot := x.slotAt(hash)
	before := x.i32(slot)
	if before <= 0 || before >= number {
		before = 0
	}
	if number == 1 {
		x.setI64(0, time)
		x.setI64(16, log)
	}
	x.setI32(at, hash)
	x.setI64(at+4, log)
	x.setI32(at+12, secondsSince(x.beginTime(), time))
	x.setI32(at+16, before)
	if before == 0 {
		x.setI32(32, x.i32(32)+1)
	}
	x.setI64(8, time)
	x.setI64(24, log)
	x.setI32(36, number+1)
	x.setI32(slot, number)
	return nil
}

func secondsSince(begin, time int64) int32 {
	if begin <= 0 {
		return 0
	}
	return int32(min(max((time-begin)/1000, 0), 1<<31-1))
}

// find calls yield with the log offsets of the items with hash from begin to end, ms, newest first, until it returns
// false. Chains of a damaged file end where they make no sense.
func (x *indexFile) find(hash int32, begin, end int64, yield func(log int64) bool) {
	count := x.count()
	for n, last := x.i32(x.slotAt(hash)), count; n > 0 && n < last && n < x.items; {
		at := x.itemAt(n)
		// Items carry full seconds: what lies in the last one before begin may be later than begin.
		time := x.beginTime() + 1000*int64(x.i32(at+12))
		if time+1000 <= begin {
			return
		}
		if x.i32(at) == hash && time <= end && !yield(x.i64(at+4)) {
			return
		}
		n, last = x.i32(at+16), n
	}
}

// covers reports whether items may have times from begin to end.
func (x *indexFile) covers(begin, end int64) bool {
	return x.count() > 1 && begin <= x.endTime() && end >= x.beginTime()
}

func (x *indexFile) sync() error {
	if err := unix.Msync(x.mem, unix.MS_SYNC); err != nil {
		return &os.PathError{Op: "sync", Path: x.path, Err: err}
	}
	return nil
}

func (x *indexFile) close() {
	if x.mem != nil {
		_ = unix.Munmap(x.mem)
		x.mem = nil
	}
	x.file.Close()
}

// keyHash is the hash of topic#key that the index uses: not negative.
func keyHash(topic, key []byte) int32 {
	h := record.HashMore(record.HashMore(record.HashString(topic), []byte{'#'}), key)
	if h < 0 {
		h = -h
	}
	return max(h, 0) // the least value has no opposite
}
