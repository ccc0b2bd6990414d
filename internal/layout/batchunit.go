package layout

import "encoding/binary"

// BatchUnitSize is the length of a BatchUnit, bytes.
const BatchUnitSize = 46

// BatchUnit is an entry of a batch consume queue: a record that holds Count messages, which have successive offsets in
// the queue. Entries stand in the order of Base; their place says nothing about it.
//
//	 0 i64 log offset   20 i64 store time, ms   36 i16 count
//	 8 i32 size         28 i64 base             38 i32 -1 (place in a compacted log)
//	12 i64 tags code                            42 i32 0
type BatchUnit struct {
	Log   int64 // offset of the record in the log
	Size  int32 // of the record, bytes
	Tags  int64
	Time  int64 // store time, ms
	Base  int64 // queue offset of the first message
	Count int16 // messages, at least 1
}

// Append appends the entry's bytes to b.
func (u BatchUnit) Append(b []byte) []byte {
	e := binary.BigEndian
	b = AppendUnit(b, u.Log, u.Size, u.Tags)
	b = e.AppendUint64(b, uint64(u.Time))
	b = e.AppendUint64(b, uint64(u.Base))
	b = e.AppendUint16(b, uint16(u.Count))
	b = e.AppendUint32(b, ^uint32(0))
	return e.AppendUint32(b, 0)
}

// AppendBatchEnd appends the entry that marks the end of a file of a compacted queue which is not full.
func AppendBatchEnd(b []byte) []byte {
	e := binary.BigEndian
	b = AppendUnit(b, -1, 0, 0)
	b = append(b, make([]byte, 18)...)
	b = e.AppendUint32(b, ^uint32(0))
	return e.AppendUint32(b, 0)
}

// DecodeBatchUnit reads the entry in the first BatchUnitSize bytes of b. ok is false where no entry was written.
func DecodeBatchUnit(b []byte) (u BatchUnit, ok bool) {
	e := binary.BigEndian
	u.Log = int64(e.Uint64(b))
	u.Size = int32(e.Uint32(b[8:]))
	u.Tags = int64(e.Uint64(b[12:]))
	u.Time = int64(e.Uint64(b[20:]))
	u.Base = int64(e.Uint64(b[28:]))
	u.Count = int16(e.Uint16(b[36:]))
	return u, u.Log >= 0 && u.Size > 0 && u.Base >= 0 && u.Count > 0
}
