package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// kind is the kind of a token.
type kind uint8

const (
	tokEnd kind = iota
	tokString
	tokDecimal
	tokFloat
	tokName
	tokSign // any of + - ( ) , = <> < <= > >=
	tokNot  // from here on: key words
	tokAnd
	tokOr
	tokBetween
	tokIn
	tokTrue
	tokFalse
	tokNull
	tokIs
	tokContains
	tokStartsWith
	tokEndsWith
)

var keywords = map[string]kind{"NOT": tokNot, "AND": tokAnd, "OR": tokOr, "BETWEEN": tokBetween, "IN": tokIn, "TRUE": tokTrue,
	"FALSE": tokFalse, "NULL": tokNull, "IS": tokIs, "CONTAINS": tokContains, "STARTSWITH": tokStartsWith, "ENDSWITH": tokEndsWith}

// longestKeyword is the length of STARTSWITH.
const longestKeyword = 10

// token is a piece of an expression: text, which begins at the byte at.
type token struct {
	kind kind
	at   int
	text string
}

// String is the token as errors name it.
func (t token) String() string {
	if t.kind == tokEnd {
		return "the end"
	}
	text := t.text
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return fmt.Sprintf("%q", text)
}

// maxShown is how many bytes of a token an error shows.
const maxShown = 40

// is reports whether t is the given sign.
func (t token) is(sign string) bool { return t.kind == tokSign && t.text == sign }

// lexer cuts an expression into tokens, the longest that fits at each place.
type lexer struct {
	text string
	at   int
}

// errorAt is an error about the byte at.
func (l *lexer) errorAt(at int, format string, args ...any) *SyntaxError {
	before := l.text[:at]
	line := strings.Count(before, "\n")
	return &SyntaxError{Line: line + 1, Column: utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1,
		Message: fmt.Sprintf(format, args...)}
}

// skip passes over white space and comments. A comment without its end is none.
func (l *lexer) skip() {
	for l.at < len(l.text) {
		rest := l.text[l.at:]
		end := 0
		switch {
		case strings.IndexByte(" \t\n\r\f", rest[0]) >= 0:
			end = 1
		case strings.HasPrefix(rest, "--"):
			end = strings.IndexAny(rest, "\r\n") + 1
		case strings.HasPrefix(rest, "/*"):
			if i := strings.Index(rest[2:], "*/"); i >= 0 {
				end = i + 4
			}
		}
		if end == 0 {
			return
		}
		l.at += end
	}
}

// scan returns the next token.
func (l *lexer) scan() (token, error) {
	l.skip()
	t := token{at: l.at}
	rest := l.text[l.at:]
	if rest == "" {
		return t, nil
	}
	n := 0
	switch c := rest[0]; {
	case nameByte(c, false):
		t.kind = tokName
		for n < len(rest) && nameByte(rest[n], true) {
			n++
		}
		if n <= longestKeyword {
			if k, ok := keywords[strings.ToUpper(rest[:n])]; ok {
				t.kind = k
			}
		}
	case digit(c) || c == '.':
		t.kind, n = number(rest)
	case c == '\'':
		t.kind, n = tokString, quoted(rest)
	default:
		t.kind, n = tokSign, sign(rest)
	}
	if n == 0 {
		return t, l.unknown()
	}
	t.text = rest[:n]
	l.at += n
	return t, nil
}

// unknown is the error about a place where no token begins.
func (l *lexer) unknown() error {
	rest := l.text[l.at:]
	switch {
	case rest[0] == '\'':
		return l.errorAt(l.at, "the string that begins here has no end: want a ' behind it; inside, ' is written ''")
	case rest[0] == '"':
		return l.errorAt(l.at, "found a double quote: strings stand in single quotes, properties without")
	case strings.HasPrefix(rest, "/*"):
		return l.errorAt(l.at, "the comment that begins here has no end: want */")
	case strings.HasPrefix(rest, "!="):
		return l.errorAt(l.at, "found !=, want <>")
	}
	_, size := utf8.DecodeRuneInString(rest)
	return l.errorAt(l.at, "found %q, which begins nothing: names of properties have letters, digits, _ and $ only", rest[:size])
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// nameByte reports whether c may be in a name, behind its first byte or as such.
func nameByte(c byte, inside bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '$' || inside && digit(c)
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return n
}

// exponent is the length of the exponent that s begins with, 0 if there is none.
func exponent(s string) int {
	if s == "" || s[0]|0x20 != 'e' {
		return 0
	}
	n := 1
	if n < len(s) && (s[n] == '+' || s[n] == '-') {
		n++
	}
	if d := digits(s[n:]); d > 0 {
		return n + d
	}
	return 0
}

// number is the kind and length of the number that s begins with, which is a digit or a point. A number that begins with 0
// and has neither point nor exponent ends there.
func number(s string) (kind, int) {
	n := digits(s)
	if n < len(s) && s[n] == '.' {
		if more := digits(s[n+1:]); n+more > 0 {
			n += 1 + more
			return tokFloat, n + exponent(s[n:])
		}
		return tokFloat, 0
	}
	if e := exponent(s[n:]); e > 0 {
		return tokFloat, n + e
	}
	if s[0] == '0' {
		return tokDecimal, 1
	}
	if n < len(s) && s[n]|0x20 == 'l' {
		n++
	}
	return tokDecimal, n
}

// quoted is the length of the string that s begins with, 0 if it has no end.
func quoted(s string) int {
	for n := 1; n < len(s); n++ {
		if s[n] != '\'' {
			continue
		}
		if n+1 == len(s) || s[n+1] != '\'' {
			return n + 1
		}
		n++
	}
	return 0
}

// sign is the length of the sign that s begins with, 0 if it is none.
func sign(s string) int {
	switch {
	case strings.HasPrefix(s, "<>"), strings.HasPrefix(s, "<="), strings.HasPrefix(s, ">="):
		return 2
	case strings.IndexByte("=<>(),+-", s[0]) >= 0:
		return 1
	}
	return 0
}
