package layout

import (
	"encoding/binary"
	"hash/crc32"
)

// Checkpoint is Skua's own. It bounds what a start has to read.
//
//	0 8s "SKUACKP2" | 8 16s session | 24 16s boot id
//	40, 64, 88 position each of: the log that is on disk, the queue entries in files, the queue entries on disk
//	112 i64 log offset before which everything is indexed | 120, 128, 136, 144 i64 each of the tally
//	152 u32 CRC-32 of the bytes before
//
// A position is i64 end, i64 offset of the record that ends there, i64 its store time. It is written over in place: it is
// shorter than a disk sector, and a torn one fails its CRC, which only makes the start longer.
type Checkpoint struct {
	Session, Boot            Session
	Durable, Written, Synced Position
	Indexed                  int64
	Tally                    Tally
}

// Tally counts what queues a store has, so that a start can notice when some are gone.
type Tally struct {
	Queues     int64 // that ever had a message
	Begin, End int64 // sums of their first offsets in files, and of those behind the last
	Clean      int64 // 1: that was so at a clean stop; 0: at the start, and since then it may have become more
}

// Position is a place between two records.
type Position struct {
	End  int64 // the place
	Last int64 // offset of the record before it, -1 if unknown
	Time int64 // store time of that record, ms
}

const (
	checkpointMagic = "SKUACKP2"
	checkpointSize  = 156
)

// Encode returns the file's bytes.
func (c Checkpoint) Encode() []byte {
	b := append(make([]byte, 0, checkpointSize), checkpointMagic...)
	b = append(b, c.Session[:]...)
	b = append(b, c.Boot[:]...)
	e := binary.BigEndian
	for _, p := range []Position{c.Durable, c.Written, c.Synced} {
		b = e.AppendUint64(b, uint64(p.End))
		b = e.AppendUint64(b, uint64(p.Last))
		b = e.AppendUint64(b, uint64(p.Time))
	}
	for _, v := range []int64{c.Indexed, c.Tally.Queues, c.Tally.Begin, c.Tally.End, c.Tally.Clean} {
		b = e.AppendUint64(b, uint64(v))
	}
	return e.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// DecodeCheckpoint reads a checkpoint; ok is false if it is none, or torn.
func DecodeCheckpoint(b []byte) (c Checkpoint, ok bool) {
	if len(b) != checkpointSize || string(b[:8]) != checkpointMagic {
		return c, false
	}
	e := binary.BigEndian
	if crc32.ChecksumIEEE(b[:checkpointSize-4]) != e.Uint32(b[checkpointSize-4:]) {
		return c, false
	}
	copy(c.Session[:], b[8:])
	copy(c.Boot[:], b[24:])
	for i, p := range []*Position{&c.Durable, &c.Written, &c.Synced} {
		f := b[40+24*i:]
		p.End, p.Last, p.Time = int64(e.Uint64(f)), int64(e.Uint64(f[8:])), int64(e.Uint64(f[16:]))
	}
	for i, v := range []*int64{&c.Indexed, &c.Tally.Queues, &c.Tally.Begin, &c.Tally.End, &c.Tally.Clean} {
		*v = int64(e.Uint64(b[112+8*i:]))
	}
	return c, true
}

// JavaCheckpoint is Java's checkpoint file: six i64 at the beginning of 4096 bytes. The times are those of the last
// message, ms, that is flushed to which files.
type JavaCheckpoint struct {
	Log, Queues, Index     int64 // times
	MasterFlushed, Confirm int64 // log offsets
	QueuesEnd              int64 // log offset before which queues are flushed
}

const javaCheckpointSize = 4096

// Encode returns the file's bytes.
func (j JavaCheckpoint) Encode() []byte {
	b := make([]byte, 0, javaCheckpointSize)
	for _, v := range []int64{j.Log, j.Queues, j.Index, j.MasterFlushed, j.Confirm, j.QueuesEnd} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b[:javaCheckpointSize]
}

// DecodeJavaCheckpoint reads the file; what is missing is zero.
func DecodeJavaCheckpoint(b []byte) (j JavaCheckpoint) {
	for i, v := range []*int64{&j.Log, &j.Queues, &j.Index, &j.MasterFlushed, &j.Confirm, &j.QueuesEnd} {
		if len(b) >= 8*i+8 {
			*v = int64(binary.BigEndian.Uint64(b[8*i:]))
		}
	}
	return j
}
