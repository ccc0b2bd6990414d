package filter

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// valueKind is the kind of a value; its names are those of Java's classes but for text, a String.
type valueKind uint8

const (
	null valueKind = iota
	boolean
	text
	integer // 32 bits
	long    // 64 bits
	double
	failed // no value: what was evaluated cannot be
)

// value is a value during an evaluation. It does not own its bytes.
type value struct {
	kind  valueKind
	int   int64 // of an integer or long; of a boolean: 0 or 1
	float float64
	bytes []byte
}

func (v *value) number() bool { return v.kind == integer || v.kind == long || v.kind == double }

// negative is what a - makes of a value.
func (v *value) negative() value {
	switch v.kind {
	case integer, long:
		return value{kind: v.kind, int: -v.int}
	case double:
		return value{kind: double, float: -v.float}
	case failed:
		return *v
	}
	return value{}
}

// compare is negative, 0 or positive as l is less than, equal to, or greater than r, neither of which is NULL, nor are both
// strings. A string is read as what it is compared with; ok is false if it is none. A number is always less than a boolean, and
// the other way round. A boolean before a string is Java's own failure.
func compare(l, r *value) (c int, ok bool) {
	switch {
	case l.kind == text:
		v, ok := read(l.bytes, r.kind)
		return order(&v, r), ok
	case r.kind == text && l.kind == boolean:
		return 0, false
	case r.kind == text:
		v, ok := read(r.bytes, l.kind)
		return order(l, &v), ok
	}
	return order(l, r), true
}

// order compares values of which none is a string.
func order(l, r *value) int {
	switch {
	case (l.kind == boolean) != (r.kind == boolean):
		return -1
	case l.kind == double || r.kind == double:
		return orderDoubles(l.double(), r.double())
	}
	return cmp.Compare(l.int, r.int)
}

func (v *value) double() float64 {
	if v.kind == double {
		return v.float
	}
	return float64(v.int)
}

// orderDoubles orders as Java's Double.compareTo: -0 is before 0, and NaN, which equals itself, behind everything.
func orderDoubles(l, r float64) int {
	switch {
	case l < r:
		return -1
	case l > r:
		return 1
	case math.IsNaN(l) || math.IsNaN(r):
		return -cmp.Compare(l, r) // which has NaN first
	case l == 0:
		return cmp.Compare(sign0(l), sign0(r))
	}
	return 0
}

// sign0 tells 0 from -0.
func sign0(f float64) int {
	if math.Signbit(f) {
		return -1
	}
	return 0
}

// read reads a string as a value of some kind.
func read(b []byte, as valueKind) (v value, ok bool) {
	v.kind = as
	switch as {
	case boolean:
		if ok = true; bytes.EqualFold(b, []byte("true")) {
			v.int = 1
		}
	case integer:
		v.int, ok = parseInt(b, math.MinInt32, math.MaxInt32)
	case long:
		v.int, ok = parseInt(b, math.MinInt64, math.MaxInt64)
	case double:
		v.float, ok = parseDouble(b)
	}
	return v, ok
}

// parseInt reads a number between min and max as Java's Integer.parseInt: digits of any script, a sign before them.
func parseInt(b []byte, min, max int64) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative || len(b) > 0 && b[0] == '+' {
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	n := int64(0) // negative, as there is one more of these
	for len(b) > 0 {
		d, size := int64(b[0])-'0', 1
		if d < 0 || d > 9 {
			if d, size = foreignDigit(b); size == 0 {
				return 0, false
			}
		}
		if n < (min+d)/10 {
			return 0, false
		}
		n = 10*n - d
		b = b[size:]
	}
	if negative {
		return n, true
	}
	return -n, -n <= max && n != math.MinInt64
}

// foreignDigit is the digit that b begins with, and its size, 0 if it is none. Digits beyond the basic plane are two
// characters in Java, of which none is a digit.
func foreignDigit(b []byte) (digit int64, size int) {
	r, size := utf8.DecodeRune(b)
	if r < utf8.RuneSelf || r > math.MaxUint16 || r == utf8.RuneError {
		return 0, 0
	}
	for _, digits := range unicode.Nd.R16 {
		if r >= rune(digits.Lo) && r <= rune(digits.Hi) {
			return int64(r-rune(digits.Lo)) % 10, size
		}
	}
	return 0, 0
}

// parseDouble reads a number as Java's Double.valueOf: blanks around it do not matter, a D or F may end it, it may be
// hexadecimal with a binary exponent, and there are NaN and Infinity, in this spelling.
func parseDouble(b []byte) (float64, bool) {
	for len(b) > 0 && b[0] <= ' ' {
		b = b[1:]
	}
	for len(b) > 0 && b[len(b)-1] <= ' ' {
		b = b[:len(b)-1]
	}
	unsigned := b
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		unsigned = b[1:]
	}
	switch string(unsigned) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		if b[0] == '-' {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	}
	n, ok := doubleLength(unsigned)
	if !ok || n < len(unsigned)-1 {
		return 0, false
	}
	if n == len(unsigned)-1 {
		if c := unsigned[n] | 0x20; c != 'd' && c != 'f' {
			return 0, false
		}
		b = b[:len(b)-1]
	}
	// ParseFloat does not keep the string, and nothing else is wrong with it than that it may be out of range.
	f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(b), len(b)), 64)
	return f, true
}

// doubleLength is the length of the number that b begins with, and whether it is one.
func doubleLength(b []byte) (n int, ok bool) {
	digitOf, marker := decimalDigit, byte('e')
	hexadecimal := len(b) > 2 && b[0] == '0' && b[1]|0x20 == 'x'
	if hexadecimal {
		digitOf, marker, n = hexadecimalDigit, 'p', 2
	}
	begin := n
	for n < len(b) && digitOf(b[n]) {
		n++
	}
	mantissa := n - begin
	if n < len(b) && b[n] == '.' {
		n++
		begin = n
		for n < len(b) && digitOf(b[n]) {
			n++
		}
		mantissa += n - begin
	}
	if mantissa == 0 {
		return 0, false
	}
	if n == len(b) || b[n]|0x20 != marker {
		return n, !hexadecimal
	}
	n++
	if n < len(b) && (b[n] == '+' || b[n] == '-') {
		n++
	}
	begin = n
	for n < len(b) && digit(b[n]) {
		n++
	}
	return n, n > begin
}

func decimalDigit(c byte) bool { return digit(c) }

func hexadecimalDigit(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
