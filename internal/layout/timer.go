package layout

import "encoding/binary"

// Sizes of timer files, bytes.
const (
	TimerSlotSize = 32
	TimerUnitSize = 52
)

// TimerSlot is a slot of the timer wheel: the units of the timer log that are due at one moment, as a list.
//
//	0 i64 moment, in units of the wheel's precision   8 i64 first unit   16 i64 last unit   24 i32 units   28 i32 magic
type TimerSlot struct {
	Moment      int64
	First, Last int64 // places in the timer log, -1 for none
	Count       int32
	Magic       int32
}

// Append appends the slot's bytes to b.
func (s TimerSlot) Append(b []byte) []byte {
	e := binary.BigEndian
	b = e.AppendUint64(b, uint64(s.Moment))
	b = e.AppendUint64(b, uint64(s.First))
	b = e.AppendUint64(b, uint64(s.Last))
	b = e.AppendUint32(b, uint32(s.Count))
	return e.AppendUint32(b, uint32(s.Magic))
}

// DecodeTimerSlot reads the slot in the first TimerSlotSize bytes of b.
func DecodeTimerSlot(b []byte) TimerSlot {
	e := binary.BigEndian
	return TimerSlot{int64(e.Uint64(b)), int64(e.Uint64(b[8:])), int64(e.Uint64(b[16:])), int32(e.Uint32(b[24:])), int32(e.Uint32(b[28:]))}
}

// TimerUnit is an entry of the timer log.
//
//	 0 i32 52                      16 i64 time of writing, ms   28 i64 log offset       44 i64 0
//	 4 i64 unit before, -1: none   24 i32 delay, ms             36 i32 size of record
//	12 i32 magic                                                40 i32 hash of topic
type TimerUnit struct {
	Before  int64 // place of the unit before it in its slot, -1 for none
	Magic   int32 // 1 usual, 2 rolled, 4 deletes another
	Written int64 // ms
	Delay   int32 // ms from Written to when it is due
	Log     int64 // offset of the record in the log
	Size    int32 // of the record, bytes
	Topic   int32 // hash of the topic that the message goes to
}

// Append appends the unit's bytes to b.
func (u TimerUnit) Append(b []byte) []byte {
	e := binary.BigEndian
	b = e.AppendUint32(b, TimerUnitSize)
	b = e.AppendUint64(b, uint64(u.Before))
	b = e.AppendUint32(b, uint32(u.Magic))
	b = e.AppendUint64(b, uint64(u.Written))
	b = e.AppendUint32(b, uint32(u.Delay))
	b = e.AppendUint64(b, uint64(u.Log))
	b = e.AppendUint32(b, uint32(u.Size))
	b = e.AppendUint32(b, uint32(u.Topic))
	return e.AppendUint64(b, 0)
}

// DecodeTimerUnit reads the unit in the first TimerUnitSize bytes of b; ok is false where there is none.
func DecodeTimerUnit(b []byte) (u TimerUnit, ok bool) {
	e := binary.BigEndian
	u = TimerUnit{int64(e.Uint64(b[4:])), int32(e.Uint32(b[12:])), int64(e.Uint64(b[16:])), int32(e.Uint32(b[24:])),
		int64(e.Uint64(b[28:])), int32(e.Uint32(b[36:])), int32(e.Uint32(b[40:]))}
	return u, e.Uint32(b) == TimerUnitSize && u.Magic > 0 && u.Size > 0 && u.Log >= 0
}
