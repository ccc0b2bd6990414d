package layout

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Chunk is an item of the journal of queues, or of the shared queue log: what became of one queue, or of all.
//
//	0 4s "SKQJ" | 4 u32 CRC-32C of all bytes behind it | 8 u32 size of the chunk
//	12 u8 kind | 13 u8 length of topic | 14 u16 0 | 16 i32 queue
//	20 i64 from | 28 i64 first | 36 i64 min | 44 i64 max log
//	52 topic | units, 20 bytes each
type Chunk struct {
	Kind  ChunkKind
	Topic []byte // a view when decoded
	Queue int32
	From  int64 // see the kinds
	First int64 // ChunkEnd: offset of the first entry in files; ChunkUnits in the shared log: place of the chunk before, -1 if none
	Min   int64 // ChunkEnd: least offset of which the log has the record, -1 if unknown; ChunkUnits in the shared log: first offset
	Log   int64 // log offset behind the record of the last entry; ChunkBegin: begin of the log
	Units []byte
}

// ChunkKind tells what a chunk says.
type ChunkKind uint8

// The kinds of chunks.
const (
	ChunkUnits ChunkKind = 1 + iota // the queue has Units from offset From on, and nothing behind them
	ChunkEnd                        // entries before From are in the queue's files
	ChunkGone                       // the topic was deleted
	ChunkReset                      // nothing before it counts; Topic is a session
	ChunkBegin                      // the state of all queues follows
	ChunkWhole                      // it has been told completely
	ChunkClean                      // the store was stopped; From is when its directory changed last, ns
	// Of the shared log only: all entries of records before log offset From are before it, if Queue is 1; the last of these
	// records begins at First, -1 if there is none, and Min is the newest store time, ms. Log is behind all records of which
	// entries are before it. In the first chunk of a file Topic is the place where the file before it ends, 8 bytes.
	ChunkMark
)

const (
	chunkMagic = 0x534b514a
	chunkHead  = 52
	// MaxChunk is the greatest size of a chunk, bytes.
	MaxChunk = 1 << 20
	// MaxChunkUnits is how many bytes of units a chunk can hold.
	MaxChunkUnits = (MaxChunk - chunkHead - math.MaxUint8) / UnitSize * UnitSize
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends the chunk to b. Topic has 255 bytes at most, Units MaxChunkUnits.
func (c *Chunk) Append(b []byte) []byte {
	e, at := binary.BigEndian, len(b)
	b = e.AppendUint32(b, chunkMagic)
	b = e.AppendUint32(b, 0)
	b = e.AppendUint32(b, uint32(chunkHead+len(c.Topic)+len(c.Units)))
	b = append(b, byte(c.Kind), byte(len(c.Topic)), 0, 0)
	b = e.AppendUint32(b, uint32(c.Queue))
	for _, v := range [...]int64{c.From, c.First, c.Min, c.Log} {
		b = e.AppendUint64(b, uint64(v))
	}
	b = append(b, c.Topic...)
	b = append(b, c.Units...)
	e.PutUint32(b[at+4:], crc32.Checksum(b[at+8:], castagnoli))
	return b
}

// DecodeChunk reads the chunk at the beginning of b, and returns its size. Of a size of 0 there is none, or it is damaged;
// of one above len(b) it goes on behind b.
func DecodeChunk(b []byte) (c Chunk, size int) {
	e := binary.BigEndian
	if len(b) < chunkHead {
		return c, chunkHead
	}
	if e.Uint32(b) != chunkMagic {
		return c, 0
	}
	n, topic := e.Uint32(b[8:]), int(b[13])
	if n > MaxChunk || int(n) < chunkHead+topic || (int(n)-chunkHead-topic)%UnitSize != 0 {
		return c, 0
	}
	if size = int(n); size > len(b) {
		return c, size
	}
	if crc32.Checksum(b[8:size], castagnoli) != e.Uint32(b[4:]) {
		return c, 0
	}
	c.Kind, c.Queue = ChunkKind(b[12]), int32(e.Uint32(b[16:]))
	for i, v := range []*int64{&c.From, &c.First, &c.Min, &c.Log} {
		*v = int64(e.Uint64(b[20+8*i:]))
	}
	c.Topic, c.Units = b[chunkHead:chunkHead+topic], b[chunkHead+topic:size]
	return c, size
}
