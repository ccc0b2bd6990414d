package wire

import (
	"encoding/binary"
	"math"
	"math/bits"
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
			if usual, err := f.usualMember(&s); err != nil {
				return err
			} else if !usual {
				if err := f.member(&s); err != nil {
					return err
				}
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

// usualMember reads a member that is written as nearly all are, and reports whether it is one. It is what member does for
// them, in a third of the time.
func (f *Frame) usualMember(s *scanner) (usual bool, err error) {
	const code, flag, opaque, version = `"code":`, `"flag":`, `"opaque":`, `"version":`
	const java, rpc, ext = `"language":"JAVA"`, `"serializeTypeCurrentRPC":"JSON"`, `"extFields":`
	b := s.b[s.i:]
	if len(b) <= len(rpc) { // only the last member can be so near the end
		if len(b) > len(version) && string(b[:len(version)]) == version {
			s.i += len(version)
			f.Version, err = s.int32("version")
			return true, err
		}
		return false, nil
	}
	switch {
	case b[1] == 'c' && string(b[:len(code)]) == code:
		s.i += len(code)
		f.Code, err = s.int32("code")
	case b[1] == 'e' && string(b[:len(ext)]) == ext:
		s.i += len(ext)
		err = f.fields(s)
	case b[1] == 'f' && string(b[:len(flag)]) == flag:
		s.i += len(flag)
		f.Flag, err = s.int32("flag")
	case b[1] == 'l' && string(b[:len(java)]) == java:
		s.i += len(java)
		f.Language = command.Java
	case b[1] == 'o' && string(b[:len(opaque)]) == opaque:
		s.i += len(opaque)
		f.Opaque, err = s.int32("opaque")
	case b[1] == 's' && string(b[:len(rpc)]) == rpc:
		s.i += len(rpc)
	default:
		return false, nil
	}
	return true, err
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
	for {
		if end, err := f.plainFields(s); end || err != nil {
			return err
		}
		key, value, err := s.field()
		if err != nil {
			return err
		}
		if err := f.addField(key, value); err != nil {
			return err
		}
		if s.take(',') {
			continue
		}
		if s.take('}') {
			return nil
		}
		return s.fail("',' or '}'")
	}
}

// plainFields reads entries of the form "key":"value" without white space and without escapes in the key, as nearly all
// are, and reports whether it has come to the end. It is what field does for them, in less than half the time.
func (f *Frame) plainFields(s *scanner) (end bool, err error) {
	b, i, ext := s.b, s.i, f.Ext
	for len(ext) < maxFields && i+8 < len(b) && b[i] == '"' {
		key := i + 1
		stop := key + 1 // keys of one letter are the most frequent
		if b[stop] != '"' || b[key] == '\\' || b[key] == '"' {
			stop = key + special(b[key:])
		}
		if stop+3 > len(b) || string(b[stop:stop+3]) != `":"` {
			break
		}
		start := stop + 3
		if len(b)-start < 8 {
			break
		}
		// Most values are short, too.
		w := binary.LittleEndian.Uint64(b[start:])
		at := start
		if m := zeroBytes(w^quotes) | zeroBytes(w^backslants); m != 0 {
			at += bits.TrailingZeros64(m) / 8
		} else if at += 8 + special(b[start+8:]); at >= len(b) {
			break
		}
		value := b[start:at:at]
		if b[at] == '"' {
			s.i = at + 1
		} else {
			s.i = at
			if value, err = s.unescape(start); err != nil {
				return false, err
			}
		}
		if len(ext) < cap(ext) {
			ext = ext[:len(ext)+1]
		} else {
			ext = append(ext, command.Field{})
		}
		x := &ext[len(ext)-1] // set in place: a Field that is built and then copied costs more than all the rest
		x.Key, x.Value = b[key:stop:stop], value
		i = s.i
		if i < len(b) && b[i] == ',' {
			i++
			continue
		}
		f.Ext = ext
		if s.take('}') {
			return true, nil
		}
		if !s.take(',') {
			return false, s.fail("',' or '}'")
		}
		i = s.i
	}
	s.i, f.Ext = i, ext
	return false, nil
}

// int32 reads a number, in quotes or not; null and the empty string are 0. A fraction is cut off.
func (s *scanner) int32(member string) (int32, error) {
	at := s.i
	n, i := int64(0), at
	for i < len(s.b) && s.b[i]-'0' <= 9 && i-at < 9 {
		n = n*10 + int64(s.b[i]-'0')
		i++
	}
	if i > at && i < len(s.b) && (s.b[i] == ',' || s.b[i] == '}') { // nearly all numbers
		s.i = i
		return int32(n), nil
	}
	text, err := s.text()
	if err != nil {
		return 0, err
	}
	digits, negative := text, false
	if len(digits) > 0 && digits[0] == '-' {
		digits, negative = digits[1:], true
	}
	n = 0
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
