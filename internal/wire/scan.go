package wire

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 64

// scanner walks a JSON text once, unescaping strings where they stand. It takes what Java's decoder takes: control
// characters in strings, numbers in quotes, any value in extFields. It does not look at whether strings are UTF-8.
type scanner struct {
	b []byte
	i int // of the next byte
}

func (s *scanner) fail(want string) error {
	if s.i >= len(s.b) {
		return malformed("JSON header ends where %s should follow", want)
	}
	return malformed("JSON header has %q at byte %d, where %s should stand", s.b[s.i], s.i, want)
}

// next skips white space and returns the byte that follows, 0 at the end.
func (s *scanner) next() byte {
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// take consumes c if it is what follows.
func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c || s.next() == c {
		s.i++
		return true
	}
	return false
}

// field reads an entry of the extFields.
func (s *scanner) field() (key, value []byte, err error) {
	if key, err = s.key(); err == nil {
		value, err = s.text()
	}
	return key, value, err
}

// key reads a key and its colon.
func (s *scanner) key() ([]byte, error) {
	key, err := s.string()
	if err != nil {
		return nil, err
	}
	if !s.take(':') {
		return nil, s.fail("':'")
	}
	return key, nil
}

// text reads a value as text: nil for null, the content of a string, else the value as it stands.
func (s *scanner) text() ([]byte, error) {
	switch s.next() {
	case '"':
		return s.string()
	case 'n':
		return nil, s.literal("null")
	case '{', '[', 't', 'f':
		return s.skip()
	}
	start := s.i
	err := s.number()
	return s.b[start:s.i:s.i], err
}

// string reads a string and unescapes it in place. The result is never nil.
func (s *scanner) string() ([]byte, error) {
	if !s.take('"') {
		return nil, s.fail("a string")
	}
	start := s.i
	s.i += special(s.b[start:])
	if s.i < len(s.b) && s.b[s.i] == '"' {
		s.i++
		return s.b[start : s.i-1 : s.i-1], nil
	}
	return s.unescape(start)
}

// unescape reads the rest of a string, which began at start and has its first escape here.
func (s *scanner) unescape(start int) ([]byte, error) {
	b := s.b
	end := s.i // of the text that is unescaped already; it never overtakes the text to read
	for s.i < len(b) {
		i := s.i
		if b[i] == '"' {
			s.i++
			return b[start:end:end], nil
		}
		if c, ok := control(b[i:]); ok {
			b[end] = c
			end++
			s.i += 6
		} else if n, err := s.escape(end); err != nil {
			return nil, err
		} else {
			end += n
		}
		end = s.shift(end)
	}
	return nil, s.fail("'\"'")
}

// shift moves the text up to the next quote or backslash down to end, and returns where it then ends.
func (s *scanner) shift(end int) int {
	b, i := s.b, s.i
	for ; len(b)-i >= 8; i, end = i+8, end+8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := zeroBytes(w^quotes) | zeroBytes(w^backslants); m != 0 {
			break
		}
		binary.LittleEndian.PutUint64(b[end:], w) // end < i: it overwrites nothing that is still to be read
	}
	for ; i < len(b) && b[i] != '"' && b[i] != '\\'; i, end = i+1, end+1 {
		b[end] = b[i]
	}
	s.i = i
	return end
}

// control reads an escape of the form \u000X, with which Java separates properties.
func control(b []byte) (byte, bool) {
	if len(b) < 6 || b[1] != 'u' || b[2] != '0' || b[3] != '0' || b[4] != '0' {
		return 0, false
	}
	c := b[5] - '0'
	return c, c <= 9
}

// escape reads an escape sequence and writes what it stands for at end; it returns the size of that.
func (s *scanner) escape(end int) (int, error) {
	s.i++ // the backslash
	if s.i >= len(s.b) {
		return 0, s.fail("an escaped character")
	}
	c := s.b[s.i]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return s.unicode(end)
	default:
		return 0, s.fail("an escaped character")
	}
	s.b[end] = c
	s.i++
	return 1, nil
}

// unicode reads what follows the backslash of \uXXXX, and the second half of a surrogate pair. Half a pair becomes
// U+FFFD.
func (s *scanner) unicode(end int) (int, error) {
	r, ok := hex4(s.b[s.i+1:])
	if !ok {
		return 0, s.fail("'u' and four hexadecimal digits")
	}
	s.i += 5
	if r < utf8.RuneSelf {
		s.b[end] = byte(r)
		return 1, nil
	}
	if utf16.IsSurrogate(r) {
		low := rune(0)
		if rest := s.b[s.i:]; len(rest) >= 6 && rest[0] == '\\' && rest[1] == 'u' {
			low, _ = hex4(rest[2:])
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			s.i += 6
		}
	}
	return utf8.EncodeRune(s.b[end:end+utf8.UTFMax], r), nil
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// literal consumes word.
func (s *scanner) literal(word string) error {
	if string(s.b[s.i:min(len(s.b), s.i+len(word))]) != word {
		return s.fail(word)
	}
	s.i += len(word)
	return nil
}

// skip consumes a value of any kind and returns its text, unchanged.
func (s *scanner) skip() ([]byte, error) {
	var arrays uint64 // the kinds of the open values, the innermost in the lowest bit: 1 is an array
	depth := 0
	s.next()
	start := s.i
	for {
		opened, err := s.scalar(&arrays, &depth)
		if err != nil {
			return nil, err
		}
		for !opened {
			if depth == 0 {
				return s.b[start:s.i:s.i], nil
			}
			if s.take(',') {
				break
			}
			closing := byte('}')
			if arrays&1 == 1 {
				closing = ']'
			}
			if !s.take(closing) {
				return nil, s.fail("',' or the end of the value")
			}
			arrays, depth = arrays>>1, depth-1
		}
		if depth > 0 && arrays&1 == 0 {
			if err := s.skipString(); err != nil {
				return nil, err
			}
			if !s.take(':') {
				return nil, s.fail("':'")
			}
		}
	}
}

// scalar consumes a value that holds no others, or the opening of one that does, which it counts in arrays and depth;
// then opened is true.
func (s *scanner) scalar(arrays *uint64, depth *int) (opened bool, err error) {
	switch c := s.next(); {
	case c == '"':
		err = s.skipString()
	case c == 't':
		err = s.literal("true")
	case c == 'f':
		err = s.literal("false")
	case c == 'n':
		err = s.literal("null")
	case c == '{' || c == '[':
		if *depth == maxDepth {
			return false, malformed("JSON header nests deeper than %d", maxDepth)
		}
		s.i++
		if s.take(c + 2) {
			return false, nil
		}
		*depth++
		*arrays <<= 1
		if c == '[' {
			*arrays |= 1
		}
		return true, nil
	default:
		err = s.number()
	}
	return false, err
}

// skipString consumes a string and leaves it as it is.
func (s *scanner) skipString() error {
	if !s.take('"') {
		return s.fail("a string")
	}
	for {
		s.i += special(s.b[min(s.i, len(s.b)):])
		if s.i >= len(s.b) {
			return s.fail("'\"'")
		}
		if s.b[s.i] == '"' {
			s.i++
			return nil
		}
		s.i += 2 // the backslash and what it escapes
	}
}

// number consumes a number.
func (s *scanner) number() error {
	start := s.i
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c-'0' > 9 && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		s.i++
	}
	if s.i == start {
		return s.fail("a value")
	}
	return nil
}
