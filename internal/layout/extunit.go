package layout

import (
	"encoding/binary"
	"math"
)

// ExtUnit is what a queue entry has no room for; it lies in a file of its own. The entry then has, instead of its tags
// code, the address of the unit.
//
//	0 i16 size of the unit   2 i64 tags code   10 i64 store time, ms   18 i16 length of the bit map, the bit map
//
// A file ends 4 bytes before its length at the latest; -1 instead of a size leads to the next file.
type ExtUnit struct {
	Tags   int64
	Time   int64  // store time, ms
	Filter []byte // bit map of the groups whose filters match; a view when decoded
}

// Sizes of extension files, bytes.
const (
	ExtHeadSize  = 20            // of a unit without its bit map
	ExtMaxSize   = math.MaxInt16 // of a unit
	ExtSpare     = 4             // at the end of each file
	extEnd       = -1
	extLeast     = math.MinInt64
	extAddressTo = math.MinInt32 // addresses are below the tags codes
)

// ExtAddress is what an entry has instead of its tags code when its extension is at off of the extension files.
func ExtAddress(off int64) int64 { return off + extLeast }

// ExtOffset reads a tags code that may be an address; ok is false if it is none.
func ExtOffset(tags int64) (off int64, ok bool) { return tags - extLeast, tags < extAddressTo }

// Append appends the unit's bytes to b. Its bit map must leave room for the rest of it.
func (u ExtUnit) Append(b []byte) []byte {
	e := binary.BigEndian
	b = e.AppendUint16(b, uint16(ExtHeadSize+len(u.Filter)))
	b = e.AppendUint64(b, uint64(u.Tags))
	b = e.AppendUint64(b, uint64(u.Time))
	b = e.AppendUint16(b, uint16(len(u.Filter)))
	return append(b, u.Filter...)
}

// AppendExtEnd appends the mark that the next unit is in the next file.
func AppendExtEnd(b []byte) []byte { return append(b, 0xFF, 0xFF) }

// DecodeExtUnit reads the unit at the beginning of b and its size; size is -1 for the mark at the end of a file, and 0
// where there is no unit.
func DecodeExtUnit(b []byte) (u ExtUnit, size int) {
	u, size = DecodeExtHead(b)
	if size > len(b) {
		return ExtUnit{}, 0
	}
	if size > 0 {
		u.Filter = b[ExtHeadSize:size:size]
	}
	return u, size
}

// DecodeExtHead is DecodeExtUnit without the bit map, of which b need not hold anything.
func DecodeExtHead(b []byte) (u ExtUnit, size int) {
	if len(b) < 2 {
		return u, 0
	}
	e := binary.BigEndian
	size = int(int16(e.Uint16(b)))
	if size == extEnd {
		return u, extEnd
	}
	if len(b) < ExtHeadSize || size < ExtHeadSize || ExtHeadSize+int(int16(e.Uint16(b[18:]))) != size {
		return u, 0
	}
	return ExtUnit{Tags: int64(e.Uint64(b[2:])), Time: int64(e.Uint64(b[10:]))}, size
}
