package wire

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Words of eight equal bytes, to look at eight characters at a time.
const (
	ones       = 0x0101010101010101
	highs      = ones << 7
	quotes     = ones * '"'
	backslants = ones * '\\'
	spaces     = ones * ' '
)

// zeroBytes has the high bit set of the lowest byte of w that is zero. Higher bytes may be marked wrongly.
func zeroBytes(w uint64) uint64 { return (w - ones) &^ w & highs }

// special returns the index of the first quote or backslash in b, len(b) if there is none.
func special(b []byte) int {
	i := 0
	for ; len(b)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		if m := zeroBytes(w^quotes) | zeroBytes(w^backslants); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(b); i++ {
		if b[i] == '"' || b[i] == '\\' {
			break
		}
	}
	return i
}

const hexDigits = "0123456789abcdef"

// plain returns the length of the prefix of s that stands in JSON text as it is: ASCII without quote, backslash and
// control characters.
func plain[T ~string | ~[]byte](s T) int {
	i := 0
	for ; len(s)-i >= 8; i += 8 {
		w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		control := (w - spaces) &^ w & highs
		if m := zeroBytes(w^quotes) | zeroBytes(w^backslants) | control | w&highs; m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			break
		}
	}
	return i
}

// appendEscaped appends s as it stands between the quotes of a JSON string. UTF-8 stays as it is; what is not UTF-8
// becomes U+FFFD.
func appendEscaped[T ~string | ~[]byte](b []byte, s T) []byte {
	for {
		n := plain(s)
		b = append(b, s[:n]...)
		if s = s[n:]; len(s) == 0 {
			return b
		}
		c := s[0]
		if c >= utf8.RuneSelf {
			var rune4 [utf8.UTFMax]byte
			r, size := utf8.DecodeRune(rune4[:copy(rune4[:], s)])
			b = utf8.AppendRune(b, r)
			s = s[size:]
			continue
		}
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		s = s[1:]
	}
}
