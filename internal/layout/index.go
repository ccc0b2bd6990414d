package layout

import (
	"encoding/binary"

	"github.com/skuamq/skua/internal/record"
)

// Index is an index file in memory: a hash table from keys to log offsets. Its methods must not be given damaged
// numbers, and need all of the file's bytes, see IndexFileSize; what they read they take as it is.
//
//	 0 i64 time of the first item, ms      32 i32 slots in use
//	 8 i64 time of the last item, ms       36 i32 number of the next item; the first is 1
//	16 i64 log offset of the first item    40 slots x i32: the newest item of the slot, 0 if none
//	24 i64 log offset of the last item     .. items x 20 bytes, by number; item 0 is never used
//
// An item is i32 hash of the key, i64 log offset, i32 seconds since the file's first time, i32 the item before it in its
// slot. The key is topic#key; its slot is the hash modulo slots.
type Index struct {
	Mem          []byte
	Slots, Items int32 // capacity: maxHashSlotNum, maxIndexNum
}

// Sizes of the parts of an index file, bytes.
const (
	IndexHeadSize = 40
	IndexSlotSize = 4
	IndexItemSize = 20
)

// IndexItem is an item of an index file.
type IndexItem struct {
	Hash    int32
	Log     int64 // log offset of the record
	Seconds int32 // since the file's first time
	Before  int32 // number of the item before it in its slot, 0 if none
}

// IndexFileSize is the length of an index file with so many slots and items, bytes.
func IndexFileSize(slots, items int32) int64 {
	return IndexHeadSize + IndexSlotSize*int64(slots) + IndexItemSize*int64(items)
}

func (x Index) i64(at int) int64       { return int64(binary.BigEndian.Uint64(x.Mem[at:])) }
func (x Index) setI64(at int, v int64) { binary.BigEndian.PutUint64(x.Mem[at:], uint64(v)) }
func (x Index) i32(at int) int32       { return int32(binary.BigEndian.Uint32(x.Mem[at:])) }
func (x Index) setI32(at int, v int32) { binary.BigEndian.PutUint32(x.Mem[at:], uint32(v)) }

// BeginTime is the store time of the first item, ms.
func (x Index) BeginTime() int64 { return x.i64(0) }

// EndTime is the store time of the last item, ms.
func (x Index) EndTime() int64 { return x.i64(8) }

// BeginOffset is the log offset of the first item.
func (x Index) BeginOffset() int64 { return x.i64(16) }

// EndOffset is the log offset of the last item.
func (x Index) EndOffset() int64 { return x.i64(24) }

// SlotsUsed is how many slots have items.
func (x Index) SlotsUsed() int32 { return x.i32(32) }

// Count is the number of the next item, at least 1.
func (x Index) Count() int32 { return max(x.i32(36), 1) }

// Full reports whether there is no room for an item.
func (x Index) Full() bool { return x.Count() >= x.Items }

// ItemEnd is the offset in the file behind the item with a number, bytes.
func (x Index) ItemEnd(number int32) int64 { return int64(x.itemAt(number)) + IndexItemSize }

// Slot is the number of the newest item of a slot.
func (x Index) Slot(n int32) int32 { return x.i32(IndexHeadSize + IndexSlotSize*int(n)) }

// Item is the item with a number.
func (x Index) Item(number int32) IndexItem {
	at := x.itemAt(number)
	return IndexItem{x.i32(at), x.i64(at + 4), x.i32(at + 12), x.i32(at + 16)}
}

func (x Index) slotAt(hash int32) int   { return IndexHeadSize + IndexSlotSize*int(hash%x.Slots) }
func (x Index) itemAt(number int32) int { return int(IndexFileSize(x.Slots, number)) }

// Seed begins a new file behind one that ended with an item of time and offset.
func (x Index) Seed(time, offset int64) {
	x.setI64(0, time)
	x.setI64(8, time)
	x.setI64(16, offset)
	x.setI64(24, offset)
	x.setI32(36, 1)
}

// Put adds an item. The file must not be full. Item, header and slot are written in this order, so that a killed process
// leaves at worst an item that no slot leads to.
func (x Index) Put(hash int32, log, time int64) {
	number := x.Count()
	at, slot := x.itemAt(number), x.slotAt(hash)
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
	x.setI32(at+12, secondsSince(x.BeginTime(), time))
	x.setI32(at+16, before)
	if before == 0 {
		x.setI32(32, x.i32(32)+1)
	}
	x.setI64(8, time)
	x.setI64(24, log)
	x.setI32(36, number+1)
	x.setI32(slot, number)
}

func secondsSince(begin, time int64) int32 {
	if begin <= 0 {
		return 0
	}
	return int32(min(max((time-begin)/1000, 0), 1<<31-1))
}

// Find calls yield with the log offsets of the items with hash from begin to end, ms, newest first, until it returns
// false. Chains of a damaged file end where they make no sense.
func (x Index) Find(hash int32, begin, end int64, yield func(log int64) bool) {
	count := x.Count()
	for n, last := x.i32(x.slotAt(hash)), count; n > 0 && n < last && n < x.Items; {
		i := x.Item(n)
		// Items carry full seconds: what lies in the last one before begin may be later than begin.
		time := x.BeginTime() + 1000*int64(i.Seconds)
		if time+1000 <= begin {
			return
		}
		if i.Hash == hash && time <= end && !yield(i.Log) {
			return
		}
		n, last = i.Before, n
	}
}

// Covers reports whether items may have times from begin to end.
func (x Index) Covers(begin, end int64) bool {
	return x.Count() > 1 && begin <= x.EndTime() && end >= x.BeginTime()
}

// KeyHash is the hash of topic#key that the index uses: not negative.
func KeyHash(topic, key []byte) int32 {
	return hashOf(record.HashMore(record.HashMore(record.HashString(topic), []byte{'#'}), key))
}

// TagKey is put in front of a tag to make the key by which the index finds it.
const TagKey = "T#"

// TagHash is the hash of topic#T#tag that the index uses for tags: KeyHash of TagKey and tag. It allocates nothing.
func TagHash(topic, tag []byte) int32 {
	return hashOf(record.HashMore(record.HashMore(record.HashString(topic), []byte("#"+TagKey)), tag))
}

// hashOf makes a hash of text one of the index.
func hashOf(h int32) int32 {
	if h < 0 {
		h = -h
	}
	return max(h, 0) // the least value has no opposite
}
