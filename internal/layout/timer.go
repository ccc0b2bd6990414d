package layout

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/skuamq/skua/internal/record"
)

// Sizes of timer files, bytes.
const (
	TimerSlots          = 2 * 7 * 24 * 3600 // in a wheel, whatever its precision
	TimerSlotSize       = 32
	TimerWheelSize      = TimerSlots * TimerSlotSize
	TimerUnitSize       = 52
	TimerBlankSize      = 16   // least space behind the last unit of a file of the timer log
	TimerCheckpointSize = 4096 // of the file
	TimerCheckpointUsed = 56   // of it
)

// What units of the timer log are, as bits.
const (
	TimerUsual   int32 = 1 // every unit
	TimerRolled  int32 = 2 // due later than the wheel reaches: to be put into it again
	TimerDeletes int32 = 4 // takes another message out
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
	Magic   int32 // TimerUsual, TimerRolled, TimerDeletes
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
	return u, e.Uint32(b) == TimerUnitSize && u.Magic > 0 && u.Magic < 16 && u.Size > 0 && u.Log >= 0
}

// Due is when the unit leaves the wheel, ms.
func (u TimerUnit) Due() int64 { return u.Written + int64(u.Delay) }

// AppendTimerBlank appends the mark that the rest of a file of the timer log, left bytes, is blank:
//
//	0 i32 left   4 i64 0   12 u32 MagicBlank
func AppendTimerBlank(b []byte, left int64) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(left))
	b = binary.BigEndian.AppendUint64(b, 0)
	return binary.BigEndian.AppendUint32(b, record.MagicBlank)
}

// TimerBlank reports whether b, of at least TimerBlankSize bytes, begins with the mark of AppendTimerBlank.
func TimerBlank(b []byte) bool { return binary.BigEndian.Uint32(b[12:]) == record.MagicBlank }

// TimerCheckpoint is config/timercheck, and the answer to GET_TIMER_CHECK_POINT: seven i64 at the beginning of 4096 bytes.
type TimerCheckpoint struct {
	Read         int64 // ms: slots before it were passed
	LogFlushed   int64 // the timer log before it is on disk, and in the wheel
	Queue        int64 // offset of the next message of the queue of timed messages
	MasterQueue  int64 // the same, of the master
	StateVersion int64
	Timestamp    int64 // ms: when it was written
	Counter      int64 // grows when it changes
}

// Append appends the bytes that are used to b.
func (c TimerCheckpoint) Append(b []byte) []byte {
	for _, v := range []int64{c.Read, c.LogFlushed, c.Queue, c.MasterQueue, c.StateVersion, c.Timestamp, c.Counter} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// DecodeTimerCheckpoint reads the bytes; ok is false if they are too few.
func DecodeTimerCheckpoint(b []byte) (c TimerCheckpoint, ok bool) {
	if len(b) < TimerCheckpointUsed {
		return c, false
	}
	for i, v := range []*int64{&c.Read, &c.LogFlushed, &c.Queue, &c.MasterQueue, &c.StateVersion, &c.Timestamp, &c.Counter} {
		*v = int64(binary.BigEndian.Uint64(b[8*i:]))
	}
	return c, true
}

// TimerMark is skua/timer: how far the timer had come when its process ended. It is not synced, so that it counts only in
// the run of the machine that it was written in, or if it is Clean.
//
//	 0 8s "SKUATMR1"   8 16s boot id   24 i64 precision, ms   32 i64 queue   40 i64 moment   48 i64 done   56 i64 1: clean
//	64 i64 set back from that moment
//	72 56s checkpoint that is in its file   128 56s the one that is about to replace it   184 u32 CRC-32 of all before
type TimerMark struct {
	Boot      Session
	Precision int64 // ms of a slot
	Queue     int64 // offset of the next message of the queue of timed messages
	Read      int64 // moment of the slot that is to be passed next
	Done      int64 // units of it that were dealt with
	Clean     bool  // everything was synced
	SetBack   int64 // slots up to this moment were passed before, and emptied: the clock was set back
	Checkpoint,
	Next TimerCheckpoint
}

const (
	timerMarkMagic = "SKUATMR1"
	timerMarkSize  = 188
)

// Append appends the mark's bytes to b.
func (m *TimerMark) Append(b []byte) []byte {
	from, clean := len(b), int64(0)
	if m.Clean {
		clean = 1
	}
	b = append(b, timerMarkMagic...)
	b = append(b, m.Boot[:]...)
	for _, v := range []int64{m.Precision, m.Queue, m.Read, m.Done, clean, m.SetBack} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	b = m.Next.Append(m.Checkpoint.Append(b))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[from:]))
}

// DecodeTimerMark reads a mark; ok is false if it is none, or torn.
func DecodeTimerMark(b []byte) (m TimerMark, ok bool) {
	e := binary.BigEndian
	if len(b) != timerMarkSize || string(b[:8]) != timerMarkMagic || e.Uint32(b[timerMarkSize-4:]) != crc32.ChecksumIEEE(b[:timerMarkSize-4]) {
		return m, false
	}
	copy(m.Boot[:], b[8:])
	clean := int64(0)
	for i, v := range []*int64{&m.Precision, &m.Queue, &m.Read, &m.Done, &clean, &m.SetBack} {
		*v = int64(e.Uint64(b[24+8*i:]))
	}
	m.Clean = clean == 1
	m.Checkpoint, _ = DecodeTimerCheckpoint(b[72:])
	m.Next, _ = DecodeTimerCheckpoint(b[72+TimerCheckpointUsed:])
	return m, true
}
