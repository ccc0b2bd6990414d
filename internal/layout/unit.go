package layout

import (
	"encoding/binary"
	"math"
)

// UnitSize is the length of a Unit, bytes.
const UnitSize = 20

// Unit is an entry of a consume queue: i64 log offset, i32 size of the record, i64 tags code.
type Unit struct {
	Log  int64 // offset of the record in the log
	Size int32 // of the record, bytes
	Tags int64 // hash of its tag, or what else the queue is filtered by
}

// AppendUnit appends the entry of a record to b.
func AppendUnit(b []byte, log int64, size int32, tags int64) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(log))
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	return binary.BigEndian.AppendUint64(b, uint64(tags))
}

// AppendFiller appends an entry that stands for no message: the first file of a queue that does not begin at 0 is filled
// with them.
func AppendFiller(b []byte) []byte { return AppendUnit(b, 0, math.MaxInt32, 0) }

// DecodeUnit reads the entry in the first UnitSize bytes of b. ok is false where no entry was written.
func DecodeUnit(b []byte) (u Unit, ok bool) {
	u.Log = int64(binary.BigEndian.Uint64(b))
	u.Size = int32(binary.BigEndian.Uint32(b[8:]))
	u.Tags = int64(binary.BigEndian.Uint64(b[12:]))
	return u, u.Log >= 0 && u.Size > 0
}

// AppendLost appends an entry in the place of a message that the log no longer has. fileStart is where a file of the log
// starts, not before that of the entry in front of it nor behind that of the next one. The entry points to 2 bytes that
// cross this start, which is why Java, too, passes over it, and goes on with entries that point into the file. At the
// start of the log there is no such place: with 0 it appends a filler, behind which Java passes over entries of the
// first file as well.
func AppendLost(b []byte, fileStart int64) []byte {
	if fileStart <= 0 {
		return AppendFiller(b)
	}
	return AppendUnit(b, fileStart-1, 2, 0)
}

// leastRecord is less than any record of the log has, bytes.
const leastRecord = 91

// Lost reports whether the entry stands for a message that the log no longer has.
func (u Unit) Lost() bool { return u.Size < leastRecord }

// Filler reports whether the entry stands for no message, or for a lost one.
func (u Unit) Filler() bool { return u.Log == 0 && u.Size == math.MaxInt32 || u.Lost() }
