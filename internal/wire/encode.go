package wire

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/skuamq/skua/internal/command"
)

// ownVersion is the release that this side announces.
const ownVersion = command.V5_5_0

// language is what this side announces. Java clients of release 4.0 drop a connection on which they see a language
// that is newer than they are, so a server does not say Go.
func (c *Conn) language() command.Language {
	if c.accepted {
		return command.Other
	}
	return command.Go
}

// fixed are the members of a header that each frame has.
type fixed struct {
	code, opaque, flag int32
	language           command.Language
	remark             string // "": none
	encoding           Encoding
}

// encoder appends one frame to b. It is the command.Writer of both header encodings.
type encoder struct {
	b       []byte
	compact bool
	entries int  // compact: where the length of the extFields stands
	open    bool // JSON: the extFields object has been begun
}

// encode appends a frame. What does not fit into a compact header (a code of more than 16 bits) is sent as JSON, which
// every peer reads. It fails, and appends nothing, if the frame exceeds limit bytes.
func (e *encoder) encode(h *fixed, header any, ext map[string]string, body []byte, parts [][]byte, limit int) error {
	start := len(e.b)
	e.compact, e.open = h.encoding == Compact && compactCarries(h.code), false
	e.b = append(e.b, 0, 0, 0, 0, 0, 0, 0, 0)
	if e.compact {
		e.beginCompact(h)
		e.fields(header, ext)
		e.endCompact()
	} else {
		e.beginJSON(h)
		e.fields(header, ext)
		e.endJSON(h)
	}
	headerLen := len(e.b) - start - prefixSize
	size := prefixSize + headerLen + len(body)
	for _, p := range parts {
		size += len(p)
	}
	if size > limit || headerLen > 0xffffff {
		e.b = e.b[:start]
		return malformed("frame of %d bytes exceeds the limit of %d", size, limit)
	}
	e.b = append(e.b, body...)
	for _, p := range parts {
		e.b = append(e.b, p...)
	}
	binary.BigEndian.PutUint32(e.b[start:], uint32(size-lengthSize))
	kind := uint32(JSON)
	if e.compact {
		kind = uint32(Compact)
	}
	binary.BigEndian.PutUint32(e.b[start+lengthSize:], kind<<24|uint32(headerLen))
	return nil
}

func (e *encoder) fields(header any, ext map[string]string) {
	if header != nil {
		command.Encode(e, header)
	}
	if len(ext) == 0 {
		return
	}
	for k, v := range ext {
		if !e.compact {
			k = string(appendEscaped(nil, k))
		}
		e.String(k, v)
	}
}

// Bytes writes an entry; none if value is nil.
func (e *encoder) Bytes(key string, value []byte) {
	switch {
	case value == nil:
	case !e.compact:
		e.jsonKey(key)
		e.b = append(appendEscaped(e.b, value), '"')
	case len(key) <= math.MaxInt16:
		e.compactKey(key, len(value))
		e.b = append(e.b, value...)
	}
}

// String writes an entry.
func (e *encoder) String(key, value string) {
	switch {
	case !e.compact:
		e.jsonKey(key)
		e.b = append(appendEscaped(e.b, value), '"')
	case len(key) <= math.MaxInt16:
		e.compactKey(key, len(value))
		e.b = append(e.b, value...)
	}
}

// Int writes an entry with a decimal value.
func (e *encoder) Int(key string, value int64) {
	if !e.compact {
		e.jsonKey(key)
		e.b = append(strconv.AppendInt(e.b, value, 10), '"')
		return
	}
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], value, 10)
	e.compactKey(key, len(text))
	e.b = append(e.b, text...)
}

// Bool writes an entry with the value true or false.
func (e *encoder) Bool(key string, value bool) {
	text := strconv.FormatBool(value)
	if e.compact {
		e.compactKey(key, len(text))
		e.b = append(e.b, text...)
		return
	}
	e.jsonKey(key)
	e.b = append(append(e.b, text...), '"')
}

// beginJSON appends a JSON header up to where the extFields stand.
func (e *encoder) beginJSON(h *fixed) {
	e.b = append(e.b, `{"code":`...)
	e.b = strconv.AppendInt(e.b, int64(h.code), 10)
}

// jsonKey appends a key, which needs no escapes, and the quote that begins its value, and begins the extFields before the
// first.
func (e *encoder) jsonKey(key string) {
	b := e.b
	if e.open {
		b = append(b, `,"`...)
	} else {
		e.open = true
		b = append(b, `,"extFields":{"`...)
	}
	b = append(b, key...)
	e.b = append(b, `":"`...)
}

// endJSON appends what follows the extFields.
func (e *encoder) endJSON(h *fixed) {
	b := e.b
	if e.open {
		b = append(b, '}')
	}
	b = append(b, `,"flag":`...)
	b = strconv.AppendInt(b, int64(h.flag), 10)
	b = append(b, `,"language":"`...)
	b = append(b, h.language.String()...)
	b = append(b, `","opaque":`...)
	b = strconv.AppendInt(b, int64(h.opaque), 10)
	if h.remark != "" {
		b = append(b, `,"remark":"`...)
		b = append(appendEscaped(b, h.remark), '"')
	}
	e.b = append(b, jsonEnd...)
}

// jsonEnd is how all headers end.
var jsonEnd = `,"serializeTypeCurrentRPC":"JSON","version":` + strconv.Itoa(ownVersion) + "}"
