package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/skuamq/skua/internal/command"
)

const (
	lengthSize = 4 // the length field
	prefixSize = 8 // length, type and header length
	maxFields  = 1024
)

// Frame is a decoded frame. All slices are views of the connection's read buffer, valid until the handler returns,
// except in frames that Call and Clone return, which own their memory.
//
// A field whose value is null, or of length zero in a compact header, which cannot tell the two apart, is not in Ext.
type Frame struct {
	Encoding Encoding
	Code     int32            // a command.Code in requests, a command.Status in responses
	Language command.Language // Java if the peer does not say, Other if it is unknown
	Version  int32            // ordinal of a release, see command
	Opaque   int32            // pairs a response with its request, in each direction for itself
	Flag     int32            // FlagResponse, FlagOneway
	Remark   []byte           // nil for none
	Ext      command.Fields   // at most 1024
	Body     []byte           // nil for none

	conn *Conn
}

// Clone returns a copy that owns its memory and can still be answered.
func (f *Frame) Clone() *Frame {
	c := *f
	size := len(f.Remark) + len(f.Body)
	for _, x := range f.Ext {
		size += len(x.Key) + len(x.Value)
	}
	memory := make([]byte, 0, size)
	own := func(b []byte) []byte {
		if b == nil {
			return nil
		}
		start := len(memory)
		memory = append(memory, b...)
		return memory[start:len(memory):len(memory)]
	}
	c.Remark, c.Body = own(f.Remark), own(f.Body)
	c.Ext = make(command.Fields, len(f.Ext))
	for i, x := range f.Ext {
		c.Ext[i] = command.Field{Key: own(x.Key), Value: own(x.Value)}
	}
	return &c
}

// Oneway reports whether the sender wants no answer.
func (f *Frame) Oneway() bool { return f.Flag&FlagOneway != 0 }

// Conn returns the connection that the frame came in on.
func (f *Frame) Conn() *Conn { return f.conn }

// Call returns what is needed to answer the request later, from any goroutine.
func (f *Frame) Call() Call {
	return Call{Conn: f.conn, Code: command.Code(f.Code), Opaque: f.Opaque, Version: f.Version, Encoding: f.Encoding, Oneway: f.Oneway()}
}

// protocolError tells why a stream is not one of frames. After it the stream has no next frame to be found.
type protocolError string

func (e protocolError) Error() string { return string(e) }

func malformed(format string, args ...any) error { return protocolError(fmt.Sprintf(format, args...)) }

// frameSize returns the size in bytes of the frame that b begins with, all fields included, as far as b tells: 0 if b
// is too short to say. It fails as soon as what is there cannot be the beginning of a frame of up to limit bytes.
func frameSize(b []byte, limit int) (int, error) {
	if len(b) < lengthSize {
		return 0, nil
	}
	length := int(int32(binary.BigEndian.Uint32(b)))
	if length < lengthSize || length > limit-lengthSize {
		return 0, malformed("length field %d is not in [%d, %d]", length, lengthSize, limit-lengthSize)
	}
	if len(b) < prefixSize {
		return lengthSize + length, nil
	}
	if b[4] > byte(Compact) {
		return 0, malformed("serialize type %d is neither 0 (JSON) nor 1 (ROCKETMQ)", b[4])
	}
	if n := headerSize(b); n > length-lengthSize {
		return 0, malformed("header length %d exceeds the %d bytes of the frame that are left", n, length-lengthSize)
	}
	return lengthSize + length, nil
}

// headerSize returns the length of the header of the frame that b begins with.
func headerSize(b []byte) int { return int(binary.BigEndian.Uint32(b[4:]) & 0xffffff) }

// decode fills f from b, one whole frame that frameSize has passed. Strings with escapes are unescaped in place, so b
// is no longer a frame afterwards. The memory of f.Ext is used again.
func (f *Frame) decode(b []byte) error {
	ext := f.Ext[:0]
	*f = Frame{Encoding: Encoding(b[4]), Ext: ext, conn: f.conn}
	header, body := b[prefixSize:prefixSize+headerSize(b)], b[prefixSize+headerSize(b):]
	if len(body) > 0 {
		f.Body = body[:len(body):len(body)]
	}
	if f.Encoding == Compact {
		return f.decodeCompact(header)
	}
	return f.decodeJSON(header)
}

// addField appends an entry of extFields. A null value takes back earlier entries of its key.
func (f *Frame) addField(key, value []byte) error {
	if value == nil {
		kept := f.Ext[:0]
		for _, x := range f.Ext {
			if string(x.Key) != string(key) {
				kept = append(kept, x)
			}
		}
		f.Ext = kept
		return nil
	}
	if len(f.Ext) == maxFields {
		return malformed("more than %d extFields", maxFields)
	}
	f.Ext = append(f.Ext, command.Field{Key: key, Value: value})
	return nil
}
