package wire

import (
	"math"
	"strconv"
	"strings"

	"github.com/skuamq/skua/internal/command"
)

// decodeJSON fills f from a JSON header.
func (f *Frame) decodeJSON(b []byte) error {
	s := scanner{b: b}
	if !s.take('{') {
		return s.fail("an object")
	}
	if !s.take('}') {
		for {
			if err := f.member(&s); err != nil {
				return err
			}
			if s.take(',') {
				continue
			}
			if s.take('}') {
				break
			}
			return s.fail("',' or '}'")
		}
	}
	if s.next() != 0 || s.i < len(b) {
		return s.fail("the end")
	}
	return nil
}

// member reads one member of the header object.
func (f *Frame) member(s *scanner) (err error) {
	key, err := s.key()
	if err != nil {
		return err
	}
	switch string(key) {
	case "code":
		f.Code, err = s.int32("code")
	case "flag":
		f.Flag, err = s.int32("flag")
	case "opaque":
		f.Opaque, err = s.int32("opaque")
	case "version":
		f.Version, err = s.int32("version")
	case "language":
		f.Language, err = s.language()
	case "remark":
		if f.Remark, err = s.text(); len(f.Remark) == 0 {
			f.Remark = nil
		}
	case "extFields":
		err = f.fields(s)
	default:
		if s.next() == '"' {
			err = s.skipString() // as skip does, but in less time
		} else {
			_, err = s.skip()
		}
	}
	return err
}

// fields reads the extFields.
func (f *Frame) fields(s *scanner) error {
	f.Ext = f.Ext[:0]
	if s.next() == 'n' {
		return s.literal("null")
	}
	if !s.take('{') {
		return s.fail("an object or null")
	}
	if s.take('}') {
		return nil
	}
	ext := f.Ext // a local one, for speed
	for {
		key, value, err := s.field()
		if err != nil {
			return err
		}
		if value != nil && len(ext) < maxFields {
			ext = append(ext, command.Field{Key: key, Value: value})
		} else {
			f.Ext = ext
			if err := f.addField(key, value); err != nil {
				return err
			}
			ext = f.Ext
		}
		if s.take(',') {
			continue
		}
		f.Ext = ext
		if s.take('}') {
			return nil
		}
		return s.fail("',' or '}'")
	}
}

// int32 reads a number, in quotes or not; null and the empty string are 0. A fraction is cut off.
func (s *scanner) int32(member string) (int32, error) {
	at := s.i
	text, err := s.text()
	if err != nil {
		return 0, err
	}
	digits, negative := text, false
	if len(digits) > 0 && digits[0] == '-' {
		digits, negative = digits[1:], true
	}
	n := int64(0)
	for _, c := range digits {
		if c -= '0'; c > 9 || n > math.MaxInt32 {
			return oddInt32(member, text, at)
		}
		n = n*10 + int64(c)
	}
	if negative {
		n = -n
	}
	if n != int64(int32(n)) {
		return oddInt32(member, text, at)
	}
	return int32(n), nil
}

// oddInt32 reads numbers that are not plain decimals.
func oddInt32(member string, text []byte, at int) (int32, error) {
	x, err := strconv.ParseFloat(string(text), 64)
	if x = math.Trunc(x); err != nil || !(x >= math.MinInt32 && x <= math.MaxInt32) {
		return 0, malformed("JSON header has %.40q for %s at byte %d, which is no 32-bit integer", text, member, at)
	}
	return int32(x), nil
}

// language reads the name of a language or its number.
func (s *scanner) language() (command.Language, error) {
	text, err := s.text()
	if err != nil || text == nil || string(text) == "JAVA" {
		return command.Java, err
	}
	for l := command.Java; l <= command.NodeJS; l++ { // names first: reading them as a number would make an error each time
		if strings.EqualFold(l.String(), string(text)) {
			return l, nil
		}
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 || n > int(command.NodeJS) {
		return command.Other, nil
	}
	return command.Language(n), nil
}
