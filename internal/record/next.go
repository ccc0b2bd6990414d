package record

import (
	"bytes"
	"encoding/binary"

	"github.com/skuamq/skua"
)

// magicStart is what the magic numbers of both versions begin with.
var magicStart = []byte{byte(MagicV1 >> 24), byte(MagicV1 >> 16 & 0xFF), byte(MagicV1 >> 8 & 0xFF)}

// Next looks for the first good record in b, as after damage: one that decodes, tells that it belongs where it lies, and
// whose body matches its checksum. off is where b lies in the log; room is the number of bytes from the beginning of b to
// the end of its file, which no record crosses. Before b[at] no good record begins. Err is nil if one does there;
// otherwise it is ErrShort: nothing can be told about b[at:] without the bytes behind b. Give it again together with
// these, twice as many as before at least; where there are none, the file has no good record from at on.
func Next(b []byte, off skua.LogOffset, room int64) (at int, err error) {
	for {
		i := bytes.Index(b[at:], magicStart)
		if i < 0 {
			// The last bytes may be those in front of a magic number, or a part of one.
			return max(at, len(b)-BlankSize+1), ErrShort
		}
		if i < 4 {
			at++ // too near the beginning to be the second word of a record at or behind at
			continue
		}
		at += i - 4
		m, size, err := Decode(b[at:])
		if int64(size) <= room-int64(at) {
			switch {
			case err == nil && m.LogOffset == off+skua.LogOffset(at) && m.BodyIntact():
				return at, nil
			case err == ErrShort && mayBelong(b[at:], off+skua.LogOffset(at)):
				return at, ErrShort
			}
		}
		at++
	}
}

// mayBelong reports whether the head of b, as far as it is there, tells that b belongs at off.
func mayBelong(b []byte, off skua.LogOffset) bool {
	return len(b) < 36 || skua.LogOffset(binary.BigEndian.Uint64(b[28:])) == off
}
