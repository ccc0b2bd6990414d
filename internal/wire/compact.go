package wire

import (
	"encoding/binary"
	"math"

	"github.com/skuamq/skua/internal/command"
)

// The compact header, all integers big endian:
//
//	+----------+-------------+-------------+------------+----------+
//	| code i16 | language i8 | version i16 | opaque i32 | flag i32 |
//	+----------+----+--------+-+-----------+-----+------+----------+
//	| remark length i32 | bytes | extFields bytes i32 | entries    |
//	+-------------------+-------+---------------------+------------+
//	entry: key length i16, key, value length i32, value
//
// A string of length zero is null.
const compactMin = 21

// decodeCompact fills f from a compact header.
func (f *Frame) decodeCompact(b []byte) error {
	if len(b) < compactMin {
		return malformed("compact header of %d bytes, the least is %d", len(b), compactMin)
	}
	f.Code = int32(int16(binary.BigEndian.Uint16(b)))
	f.Language = command.Language(b[2])
	f.Version = int32(int16(binary.BigEndian.Uint16(b[3:])))
	f.Opaque = int32(binary.BigEndian.Uint32(b[5:]))
	f.Flag = int32(binary.BigEndian.Uint32(b[9:]))
	remark, b, ok := cut32(b[13:])
	if !ok {
		return malformed("compact header: the remark is longer than the header")
	}
	f.Remark = remark
	entries, _, ok := cut32(b)
	if !ok {
		return malformed("compact header: the extFields are longer than the header")
	}
	for len(entries) > 0 {
		var key, value []byte
		if key, entries, ok = cut16(entries); ok {
			value, entries, ok = cut32(entries)
		}
		if !ok {
			return malformed("compact header: an entry is longer than the extFields")
		}
		if key == nil {
			continue
		}
		if err := f.addField(key, value); err != nil {
			return err
		}
	}
	return nil
}

// cut32 cuts a string with a length of four bytes off b; nil if the length is zero.
func cut32(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	return cut(b[4:], int(int32(binary.BigEndian.Uint32(b))))
}

// cut16 is cut32 with a length of two bytes.
func cut16(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	return cut(b[2:], int(int16(binary.BigEndian.Uint16(b))))
}

func cut(b []byte, n int) (s, rest []byte, ok bool) {
	if n == 0 {
		return nil, b, true
	}
	if n < 0 || n > len(b) {
		return nil, nil, false
	}
	return b[:n:n], b[n:], true
}

// compactCarries reports whether a compact header has room for code.
func compactCarries(code int32) bool { return code >= math.MinInt16 && code <= math.MaxInt16 }

// beginCompact appends the fixed part of a compact header up to the remark, and room for the length of the extFields.
func (e *encoder) beginCompact(h *fixed) {
	b := binary.BigEndian.AppendUint16(e.b, uint16(h.code))
	b = append(b, byte(h.language))
	b = binary.BigEndian.AppendUint16(b, ownVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(h.opaque))
	b = binary.BigEndian.AppendUint32(b, uint32(h.flag))
	b = binary.BigEndian.AppendUint32(b, uint32(len(h.remark)))
	b = append(b, h.remark...)
	e.entries = len(b)
	e.b = append(b, 0, 0, 0, 0)
}

// endCompact fills in the length of the extFields.
func (e *encoder) endCompact() {
	binary.BigEndian.PutUint32(e.b[e.entries:], uint32(len(e.b)-e.entries-4))
}

func (e *encoder) compactKey(key string, valueSize int) {
	b := binary.BigEndian.AppendUint16(e.b, uint16(len(key)))
	b = append(b, key...)
	e.b = binary.BigEndian.AppendUint32(b, uint32(valueSize))
}
