package command

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Field is one entry of extFields. Key and Value are views of the frame.
type Field struct{ Key, Value []byte }

// Fields are the extFields of a frame in order of arrival. Of entries with the same key the last one counts.
type Fields []Field

// Get returns the value of key, a view of the frame, and whether the key is there.
func (f Fields) Get(key string) ([]byte, bool) {
	for i := len(f) - 1; i >= 0; i-- {
		if string(f[i].Key) == key {
			return f[i].Value, true
		}
	}
	return nil, false
}

// String returns a copy of the value of key, "" if there is none.
func (f Fields) String(key string) string {
	v, _ := f.Get(key)
	return string(v)
}

// FieldError tells which header field could not be read.
type FieldError struct {
	Key, Value string
	Want       string // the type, such as "int32"
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("header field %s: %q is not of type %s", e.Key, e.Value, e.Want)
}

// MissingError tells which header field a request lacks.
type MissingError struct{ Key string }

func (e *MissingError) Error() string { return "header field " + e.Key + " is missing" }

// Options behind the name in a field's tag.
const (
	omitZero = "omitzero" // a zero value is not written
	required = "required" // a header without it cannot be read: zero would mean something else than nothing
)

// Int32 reads a decimal value of a field.
func (f Field) Int32() (int32, error) {
	n, err := f.integer(32, "int32")
	return int32(n), err
}

// Int64 reads a decimal value of a field.
func (f Field) Int64() (int64, error) { return f.integer(64, "int64") }

// Bool reads a value of a field as Java does: "true" in any case is true, all else is false.
func (f Field) Bool() bool {
	return len(f.Value) == 4 && strings.EqualFold(string(f.Value), "true")
}

// integer parses without allocating unless it fails.
func (f Field) integer(bits int, want string) (int64, error) {
	b, neg := f.Value, false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		neg = b[0] == '-'
		b = b[1:]
	}
	limit := uint64(1)<<(bits-1) - 1
	if neg {
		limit++
	}
	most := limit / 10 // of what one more digit may follow
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' || n > most {
			return 0, &FieldError{string(f.Key), string(f.Value), want}
		}
		if n = n*10 + uint64(c-'0'); n > limit {
			return 0, &FieldError{string(f.Key), string(f.Value), want}
		}
	}
	if len(b) == 0 {
		return 0, &FieldError{string(f.Key), string(f.Value), want}
	}
	if neg {
		return -int64(n), nil
	}
	return int64(n), nil
}

// Writer receives the fields of a header that is being encoded. Package wire has one for each header encoding. The
// callee copies keys and values before it returns. Keys are ASCII without quotes, backslashes and control characters.
type Writer interface {
	Bytes(key string, value []byte)
	String(key, value string)
	Int(key string, value int64)
	Bool(key string, value bool)
}

// Header is a header that encodes itself; hot headers implement it. A field that is unset is not written.
type Header interface{ Encode(w Writer) }

// Decoder is a header that decodes itself.
type Decoder interface{ Decode(f Fields) error }

// Encode writes header, which is nil, a Header, or a pointer to a struct whose fields are tagged `field:"name"`. Tagged
// fields are string, bool, int32, int64 or pointers to these, or named types of such kinds; nil pointers are not
// written, nor are zero values of fields tagged `field:"name,omitzero"`. Embedded structs are walked.
func Encode(w Writer, header any) {
	switch h := header.(type) {
	case nil:
	case Header:
		h.Encode(w)
	default:
		encodeStruct(w, reflect.ValueOf(header).Elem())
	}
}

// Decode fills header, a Decoder or a pointer to a tagged struct (see Encode), from f. A field that is missing keeps
// its value, or is a *MissingError if it is tagged `field:"name,required"`; one that does not parse is a *FieldError.
func Decode(f Fields, header any) error {
	if d, ok := header.(Decoder); ok {
		return d.Decode(f)
	}
	return decodeStruct(f, reflect.ValueOf(header).Elem())
}

func encodeStruct(w Writer, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		field, value := t.Field(i), v.Field(i)
		if field.Anonymous {
			encodeStruct(w, value)
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("field"), ",")
		if name == "" || option == omitZero && value.IsZero() {
			continue
		}
		if value.Kind() == reflect.Pointer {
			if value.IsNil() {
				continue
			}
			value = value.Elem()
		}
		switch value.Kind() {
		case reflect.String:
			w.String(name, value.String())
		case reflect.Bool:
			w.Bool(name, value.Bool())
		case reflect.Int32, reflect.Int64:
			w.Int(name, value.Int())
		default:
			panic("command: field " + field.Name + " of " + t.Name() + " has a kind that headers cannot carry")
		}
	}
}

func decodeStruct(f Fields, v reflect.Value) error {
	t := v.Type()
	for i := range t.NumField() {
		field, value := t.Field(i), v.Field(i)
		if field.Anonymous {
			if err := decodeStruct(f, value); err != nil {
				return err
			}
			continue
		}
		name, option, _ := strings.Cut(field.Tag.Get("field"), ",")
		text, ok := f.Get(name)
		if name != "" && !ok && option == required {
			return &MissingError{name}
		}
		if name == "" || !ok {
			continue
		}
		if value.Kind() == reflect.Pointer {
			value.Set(reflect.New(value.Type().Elem()))
			value = value.Elem()
		}
		if err := setValue(value, name, string(text)); err != nil {
			return err
		}
	}
	return nil
}

func setValue(value reflect.Value, name, text string) error {
	switch value.Kind() {
	case reflect.String:
		value.SetString(text)
	case reflect.Bool:
		value.SetBool(strings.EqualFold(text, "true"))
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, value.Type().Bits())
		if err != nil {
			return &FieldError{name, text, value.Kind().String()}
		}
		value.SetInt(n)
	}
	return nil
}
