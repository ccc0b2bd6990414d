package fastjson

import (
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep values may be nested. RocketMQ's own go six levels deep.
const maxDepth = 128

// SyntaxError tells where text is not even in the dialect.
type SyntaxError struct {
	Offset int // in bytes
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("fastjson: %s at byte %d", e.Reason, e.Offset)
}

// relax rewrites text in the dialect to JSON: keys become strings, an object that is a key becomes a string that holds
// its JSON. It rewrites tokens only; whether numbers and strings are well-formed is left to the parser that follows.
func relax(data []byte) ([]byte, error) {
	r := relaxer{in: data, out: make([]byte, 0, len(data)+len(data)/8)}
	if err := r.value(0); err != nil {
		return nil, err
	}
	if r.space(); r.pos < len(r.in) {
		return nil, r.fail("text after the value")
	}
	return r.out, nil
}

type relaxer struct {
	in, out []byte
	pos     int  // in in
	inKey   bool // within an object that is a key; there may be no other in it
}

func (r *relaxer) fail(reason string) error { return &SyntaxError{r.pos, reason} }

// space skips white space and returns the byte after it, 0 at the end.
func (r *relaxer) space() byte {
	for ; r.pos < len(r.in); r.pos++ {
		switch c := r.in[r.pos]; c {
		case ' ', '\t', '\n', '\r', '\f', '\b':
		default:
			return c
		}
	}
	return 0
}

func (r *relaxer) value(depth int) error {
	if depth > maxDepth {
		return r.fail("values are nested too deep")
	}
	switch c := r.space(); c {
	case '{':
		return r.members('}', depth, true)
	case '[':
		return r.members(']', depth, false)
	case '"', '\'':
		return r.text(c)
	default:
		word, err := r.word()
		if string(word) == "NaN" || string(word) == "undefined" {
			word = []byte("null")
		}
		r.out = append(r.out, word...)
		return err
	}
}

// members copies an object or an array up to its end. Any number of commas may follow a member.
func (r *relaxer) members(end byte, depth int, keyed bool) error {
	r.out = append(r.out, r.in[r.pos])
	r.pos++
	for n := 0; ; n++ {
		for commas := 0; ; commas++ {
			c := r.space()
			if c == end {
				r.out = append(r.out, end)
				r.pos++
				return nil
			}
			if c != ',' {
				if c == 0 && r.pos == len(r.in) {
					return r.fail("the text ends early")
				}
				if n > 0 && commas == 0 {
					return r.fail("no comma between members")
				}
				break
			}
			r.pos++
		}
		if n > 0 {
			r.out = append(r.out, ',')
		}
		if keyed {
			if err := r.key(depth); err != nil {
				return err
			}
		}
		if err := r.value(depth + 1); err != nil {
			return err
		}
	}
}

// key copies the name of a member and the colon.
func (r *relaxer) key(depth int) error {
	switch c := r.space(); c {
	case '"', '\'':
		if err := r.text(c); err != nil {
			return err
		}
	case '{':
		if err := r.objectKey(depth); err != nil {
			return err
		}
	default:
		word, err := r.word()
		if err != nil {
			return err
		}
		r.out = append(r.out, '"')
		r.out = append(r.out, word...)
		r.out = append(r.out, '"')
	}
	if r.space() != ':' {
		return r.fail("no colon after a name")
	}
	r.pos++
	r.out = append(r.out, ':')
	return nil
}

// objectKey copies an object as a string. Keys within keys are refused: each level would double the backslashes.
func (r *relaxer) objectKey(depth int) error {
	if r.inKey {
		return r.fail("an object as a key within a key")
	}
	start := len(r.out)
	r.inKey = true
	err := r.members('}', depth+1, true)
	r.inKey = false
	if err != nil {
		return err
	}
	object := string(r.out[start:])
	r.out, err = jsontext.AppendQuote(r.out[:start], object)
	if err != nil { // not UTF-8
		return r.fail(err.Error())
	}
	return nil
}

// word reads a number or a name without quotes.
func (r *relaxer) word() ([]byte, error) {
	start := r.pos
	for ; r.pos < len(r.in); r.pos++ {
		c := r.in[r.pos]
		if c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '-' || c == '+' || c == '.' || c == '_' || c == '$' || c == '@' || c == '%' || c >= utf8.RuneSelf {
			continue
		}
		break
	}
	if r.pos == start {
		if r.pos == len(r.in) {
			return nil, r.fail("the text ends early")
		}
		return nil, r.fail(fmt.Sprintf("unexpected %q", r.in[r.pos]))
	}
	return r.in[start:r.pos], nil
}

// text copies a string in either kind of quotes, with the escapes that only the dialect has rewritten.
func (r *relaxer) text(quote byte) error {
	r.out = append(r.out, '"')
	for r.pos++; r.pos < len(r.in); r.pos++ {
		switch c := r.in[r.pos]; {
		case c == quote:
			r.out = append(r.out, '"')
			r.pos++
			return nil
		case c == '\\':
			if r.pos++; r.pos == len(r.in) {
				return r.fail("the text ends within a string")
			}
			r.escape(r.in[r.pos])
		case c == '"':
			r.out = append(r.out, '\\', '"')
		case c < ' ':
			r.control(c)
		default:
			r.out = append(r.out, c)
		}
	}
	return r.fail("the text ends within a string")
}

// escape copies the escape with the letter c.
func (r *relaxer) escape(c byte) {
	switch {
	case c == '\'':
		r.out = append(r.out, c)
	case c == 'v':
		r.control('\v')
	case c == 'F':
		r.control('\f')
	case c >= '0' && c <= '7':
		r.control(c - '0')
	case c == 'x' && r.pos+2 < len(r.in):
		r.out = append(r.out, '\\', 'u', '0', '0', r.in[r.pos+1], r.in[r.pos+2])
		r.pos += 2
	default:
		r.out = append(r.out, '\\', c)
	}
}

func (r *relaxer) control(c byte) {
	r.out = append(r.out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

const hex = "0123456789ABCDEF"
