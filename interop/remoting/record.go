package remoting

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Magic numbers of the entries of a commit log: a message, a message whose topic length takes two bytes, and the filler
// at the end of a file.
const (
	messageV1 = 0xDAA320A7
	messageV2 = 0xDAA320AB
	blank     = 0xCBD43194
)

// Record is one stored message, as it stands in the commit log and in the answer to a pull.
type Record struct {
	Size       int
	Topic      string
	QueueID    int
	Offset     int64 // in its queue
	LogOffset  int64
	SysFlag    int
	BornTime   int64 // ms
	StoreTime  int64 // ms
	Reconsumed int
	Body       []byte // as stored: perhaps compressed
	Properties map[string]string
}

// ErrEnd marks the end of the messages: zeros, or the filler at the end of a file.
var ErrEnd = errors.New("no further message")

// Decode reads the record at the start of b. A wrong checksum, an impossible size or an unknown magic number is an error.
//
//	size i32 | magic i32 | body crc i32 | queue i32 | flag i32 | queue offset i64 | log offset i64 | sysflag i32 |
//	born time i64 | born host 8 or 20 | store time i64 | store host 8 or 20 | reconsumed i32 | prepared i64 |
//	body length i32, body | topic length u8 or i16, topic | properties length i16, properties
func Decode(b []byte) (Record, error) {
	if len(b) < 8 {
		return Record{}, ErrEnd
	}
	size, magic := int(binary.BigEndian.Uint32(b)), binary.BigEndian.Uint32(b[4:])
	switch {
	case magic == blank || size == 0:
		return Record{}, ErrEnd
	case magic != messageV1 && magic != messageV2, size < 91, size > len(b):
		return Record{}, fmt.Errorf("no message: size %d of %d, magic %x", size, len(b), magic)
	}
	r := reader{b: b[8:size]}
	rec := Record{Size: size}
	crc := uint32(r.int(4))
	rec.QueueID = int(r.int(4))
	r.int(4)
	rec.Offset, rec.LogOffset = r.int(8), r.int(8)
	rec.SysFlag = int(r.int(4))
	rec.BornTime = r.int(8)
	r.host(rec.SysFlag&0x10 != 0)
	rec.StoreTime = r.int(8)
	r.host(rec.SysFlag&0x20 != 0)
	rec.Reconsumed = int(r.int(4))
	r.int(8)
	rec.Body = r.take(int(r.int(4)))
	topicLength := 1
	if magic == messageV2 {
		topicLength = 2
	}
	rec.Topic = string(r.take(int(r.int(topicLength))))
	rec.Properties = properties(string(r.take(int(r.int(2)))))
	if r.short || len(r.b) != 0 {
		return rec, fmt.Errorf("message at %d: its parts do not add up to its size %d", rec.LogOffset, size)
	}
	if sum := crc32.ChecksumIEEE(rec.Body) & 0x7FFFFFFF; sum != crc {
		return rec, fmt.Errorf("message at %d: body checksum %x, stored %x", rec.LogOffset, sum, crc)
	}
	return rec, nil
}

// DecodeAll reads records until the end of b or to ErrEnd.
func DecodeAll(b []byte) ([]Record, error) {
	var all []Record
	for len(b) > 0 {
		r, err := Decode(b)
		if errors.Is(err, ErrEnd) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, r)
		b = b[r.Size:]
	}
	return all, nil
}

func properties(s string) map[string]string {
	m := map[string]string{}
	for pair := range strings.SplitSeq(s, "\x02") {
		if name, value, ok := strings.Cut(pair, "\x01"); ok {
			m[name] = value
		}
	}
	return m
}

// reader takes numbers and bytes off the front of b; short says that there were too few.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short = true
		r.b = nil
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) int(n int) int64 {
	var v int64
	for _, c := range r.take(n) {
		v = v<<8 | int64(c)
	}
	return v
}

func (r *reader) host(v6 bool) {
	if v6 {
		r.take(20)
	} else {
		r.take(8)
	}
}
