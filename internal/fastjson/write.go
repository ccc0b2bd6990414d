package fastjson

import (
	"cmp"
	"encoding"
	"encoding/base64"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// form is one of the three ways to write.
type form struct {
	rawKeys bool // keys that are no strings are written without quotes
	browser bool // ASCII only; integers that JavaScript cannot hold in quotes
	indent  bool
}

// Marshal writes v in the dialect: compact, odd keys without quotes, UTF-8 as it is. A nil slice is written as [], a nil
// map as {}, a nil pointer is left out as a member. Maps are written in the order of their keys, so that equal values
// give equal bytes. The error names a type that has no JSON form.
func Marshal(v any) ([]byte, error) { return write(v, form{rawKeys: true}) }

// MarshalStandard writes v in standard JSON, as Java does for clients that need it: all keys in quotes, characters
// beyond ASCII as \uXXXX and / as \/, integers beyond 53 bits in quotes.
func MarshalStandard(v any) ([]byte, error) { return write(v, form{browser: true}) }

// MarshalPretty writes v in the dialect, indented with tabs: the form of config files.
func MarshalPretty(v any) ([]byte, error) { return write(v, form{rawKeys: true, indent: true}) }

func write(v any, f form) ([]byte, error) {
	w := writer{form: f}
	if err := w.value(reflect.ValueOf(v)); err != nil {
		return nil, err
	}
	return w.out, nil
}

type writer struct {
	form
	out   []byte
	depth int
}

var (
	rawType  = reflect.TypeFor[jsontext.Value]()
	textType = reflect.TypeFor[encoding.TextMarshaler]()
)

func (w *writer) value(v reflect.Value) error {
	if !v.IsValid() {
		w.out = append(w.out, "null"...)
		return nil
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return w.value(v.Elem())
	case reflect.Struct:
		return w.object(v)
	}
	if v.Type() == rawType {
		return w.raw(v.Bytes())
	}
	if v.Type().Implements(textType) {
		text, err := v.Interface().(encoding.TextMarshaler).MarshalText()
		w.string(string(text))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		w.string(v.String())
	case reflect.Bool:
		w.out = strconv.AppendBool(w.out, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.integer(v.Int())
	case reflect.Float32, reflect.Float64:
		w.float(v.Float())
	case reflect.Slice, reflect.Array:
		return w.list(v)
	case reflect.Map:
		return w.mapping(v)
	default:
		return fmt.Errorf("fastjson: %s has no JSON form", v.Type())
	}
	return nil
}

func (w *writer) raw(value []byte) error {
	if len(value) == 0 {
		value = []byte("null")
	}
	raw := jsontext.Value(slices.Clone(value))
	err := raw.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	w.out = append(w.out, raw...)
	return err
}

func (w *writer) integer(n int64) {
	const exact = 1<<53 - 1
	quote := w.browser && (n > exact || n < -exact)
	if quote {
		w.out = append(w.out, '"')
	}
	w.out = strconv.AppendInt(w.out, n, 10)
	if quote {
		w.out = append(w.out, '"')
	}
}

// float writes a double much as Java prints it: with a fraction, or with an exponent outside [1e-3, 1e7).
func (w *writer) float(f float64) {
	switch a := math.Abs(f); {
	case math.IsNaN(f) || math.IsInf(f, 0):
		w.out = append(w.out, "null"...)
	case f == math.Trunc(f) && a < 1e7:
		w.out = strconv.AppendFloat(w.out, f, 'f', 1, 64)
	case a >= 1e-3 && a < 1e7:
		w.out = strconv.AppendFloat(w.out, f, 'f', -1, 64)
	default:
		w.out = strconv.AppendFloat(w.out, f, 'E', -1, 64)
	}
}

func (w *writer) list(v reflect.Value) error {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		w.string(base64.StdEncoding.EncodeToString(v.Bytes()))
		return nil
	}
	return w.sequence('[', ']', v.Len(), func(i int) error { return w.value(v.Index(i)) })
}

// sequence writes n items between open and end.
func (w *writer) sequence(open, end byte, n int, item func(i int) error) error {
	w.out = append(w.out, open)
	w.depth++
	for i := range n {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		w.newline()
		if err := item(i); err != nil {
			return err
		}
	}
	w.depth--
	if n > 0 {
		w.newline()
	}
	w.out = append(w.out, end)
	return nil
}

func (w *writer) newline() {
	if !w.indent {
		return
	}
	w.out = append(w.out, '\n')
	for range w.depth {
		w.out = append(w.out, '\t')
	}
}

func (w *writer) mapping(v reflect.Value) error {
	type entry struct {
		name   string // of a string key, or of an object key its JSON
		number int64
		value  reflect.Value
	}
	kind := v.Type().Key().Kind()
	integers := kind >= reflect.Int && kind <= reflect.Int64
	entries := make([]entry, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		e := entry{value: it.Value()}
		switch {
		case integers:
			e.number = it.Key().Int()
		case kind == reflect.String:
			e.name = it.Key().String()
		case kind == reflect.Struct:
			text, err := write(it.Key().Interface(), form{rawKeys: true, browser: w.browser})
			if err != nil {
				return err
			}
			e.name = string(text)
		default:
			return fmt.Errorf("fastjson: %s has a key that has no JSON form", v.Type())
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.name, b.name))
	})
	return w.sequence('{', '}', len(entries), func(i int) error {
		e := entries[i]
		switch {
		case integers && w.rawKeys:
			w.out = strconv.AppendInt(w.out, e.number, 10)
		case integers:
			w.string(strconv.FormatInt(e.number, 10))
		case kind == reflect.Struct && w.rawKeys:
			w.out = append(w.out, e.name...)
		default:
			w.string(e.name)
		}
		w.out = append(w.out, ':')
		return w.value(e.value)
	})
}

// string writes s in quotes. Bytes that are not UTF-8 become U+FFFD.
func (w *writer) string(s string) {
	w.out = append(w.out, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			w.ascii(c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case w.browser && r > 0xFFFF:
			r -= 0x10000
			w.unicode(0xD800 + r>>10)
			w.unicode(0xDC00 + r&0x3FF)
		case w.browser || r < 0xA0 || r == '\u2028' || r == '\u2029':
			w.unicode(r)
		default:
			w.out = utf8.AppendRune(w.out, r)
		}
	}
	w.out = append(w.out, '"')
}

func (w *writer) ascii(c byte) {
	switch {
	case c == '"' || c == '\\' || c == '/' && w.browser:
		w.out = append(w.out, '\\', c)
	case c == '\n':
		w.out = append(w.out, `\n`...)
	case c == '\r':
		w.out = append(w.out, `\r`...)
	case c == '\t':
		w.out = append(w.out, `\t`...)
	case c == '\b':
		w.out = append(w.out, `\b`...)
	case c == '\f':
		w.out = append(w.out, `\f`...)
	case c < ' ' || c == 0x7F:
		w.unicode(rune(c))
	default:
		w.out = append(w.out, c)
	}
}

func (w *writer) unicode(r rune) {
	w.out = append(w.out, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}
