// Package fastjson reads and writes the JSON dialect that RocketMQ's bodies and config files are in. It hides where that
// dialect departs from JSON:
//
//	{0:"10.0.0.1:10911"}                               integer keys of maps without quotes
//	{{"brokerName":"b","queueId":0,"topic":"t"}:5}     objects as keys of maps
//	members in alphabetical order, members that are null left out
//
// Types are described as for encoding/json/v2: fields tagged `json:"name"`, `omitzero` for a member that Java leaves out
// when it is null, and one field `json:",embed"` of type jsontext.Value for members that the type does not know. A map
// whose Go key is an integer is written with integer keys, one whose key is a struct with object keys; such a struct
// reads itself by means of DecodeKey.
package fastjson

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// options are those of all reading: what Java's readers let pass, passes.
var options = json.JoinOptions(
	jsontext.AllowDuplicateNames(true),
	jsontext.AllowInvalidUTF8(true),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(readInt32),
		json.UnmarshalFromFunc(readInt64),
		json.UnmarshalFromFunc(readFloat),
		json.UnmarshalFromFunc(readBool),
		json.UnmarshalFromFunc(readString),
	)),
)

// Unmarshal reads data, in the dialect or in standard JSON, into v, a pointer. Besides the odd keys it accepts single
// quotes, names without quotes, superfluous commas, numbers and booleans in quotes and numbers for strings. Members that
// v lacks are skipped. data is not kept and not changed. The error tells the offset of what is wrong.
func Unmarshal(data []byte, v any) error {
	strict, err := relax(data)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(strict, v, options); err != nil {
		return fmt.Errorf("fastjson: %w", err)
	}
	return nil
}

// Decode reads the next value of dec into v with the tolerance of Unmarshal. It is for UnmarshalJSONFrom methods, to
// read into a type of the same fields without methods.
func Decode(dec *jsontext.Decoder, v any) error { return json.UnmarshalDecode(dec, v, options) }

// DecodeKey reads an object or, where the object is the key of a map, the text that Unmarshal made of it. A struct that
// is such a key calls it from UnmarshalJSONFrom with itself converted to a type without methods.
func DecodeKey[T any](dec *jsontext.Decoder, v *T) error {
	if dec.PeekKind() != '"' {
		return Decode(dec, v)
	}
	tok, err := dec.ReadToken()
	if err != nil {
		return err
	}
	return Unmarshal([]byte(tok.String()), v)
}

// DecodeEnum reads an enumeration as Java does: a name in any case, or its number, the index in names. It returns the
// name as in names; a name that is not there as it came, null and a number out of range as "".
func DecodeEnum(dec *jsontext.Decoder, names []string) (string, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return "", err
	}
	switch tok.Kind() {
	case '"':
		s := tok.String()
		for _, name := range names {
			if strings.EqualFold(name, s) {
				return name, nil
			}
		}
		return s, nil
	case '0':
		n, err := strconv.Atoi(tok.String())
		if err != nil || n < 0 || n >= len(names) {
			return "", nil
		}
		return names[n], nil
	case 'n':
		return "", nil
	}
	return "", fmt.Errorf("fastjson: an enumeration cannot be read from %s", tok.Kind())
}

// quoted reads the next value if it is a string; ok is false if it is none and was left for the usual reader.
func quoted(dec *jsontext.Decoder) (s string, ok bool, err error) {
	if dec.PeekKind() != '"' {
		return "", false, nil
	}
	tok, err := dec.ReadToken()
	if err != nil {
		return "", true, err
	}
	return tok.String(), true, nil
}

func readInt32(dec *jsontext.Decoder, v *int32) error {
	s, ok, err := quoted(dec)
	if !ok {
		return errors.ErrUnsupported
	}
	if err != nil {
		return err
	}
	n, err := parseInt(s, 32)
	*v = int32(n)
	return err
}

func readInt64(dec *jsontext.Decoder, v *int64) error {
	s, ok, err := quoted(dec)
	if !ok {
		return errors.ErrUnsupported
	}
	if err != nil {
		return err
	}
	*v, err = parseInt(s, 64)
	return err
}

func parseInt(s string, bits int) (int64, error) {
	if s == "" || s == "null" { // Java's readers take both for null
		return 0, nil
	}
	return strconv.ParseInt(s, 10, bits)
}

func readFloat(dec *jsontext.Decoder, v *float64) error {
	s, ok, err := quoted(dec)
	if !ok {
		return errors.ErrUnsupported
	}
	if err != nil || s == "" {
		return err
	}
	*v, err = strconv.ParseFloat(s, 64)
	return err
}

func readBool(dec *jsontext.Decoder, v *bool) error {
	switch dec.PeekKind() {
	case '"', '0':
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		s := tok.String()
		*v = s == "1" || strings.EqualFold(s, "true")
		return nil
	}
	return errors.ErrUnsupported
}

func readString(dec *jsontext.Decoder, v *string) error {
	switch dec.PeekKind() {
	case '0', 't', 'f':
		raw, err := dec.ReadValue()
		*v = string(bytes.Clone(raw))
		return err
	}
	return errors.ErrUnsupported
}
