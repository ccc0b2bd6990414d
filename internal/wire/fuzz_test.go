package wire

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"
	"unicode/utf8"
)

// FuzzFrame: whatever comes, a frame is refused, or decodes to what encodes and decodes to the same.
func FuzzFrame(f *testing.F) {
	for i, r := range readRecorded(f) {
		if i%20 == 0 && len(r.Hex) < 4000 {
			f.Add(r.bytes(f))
		}
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		size, err := frameSize(b, 1<<20)
		if err != nil || size < prefixSize || size > len(b) {
			return
		}
		first := new(Frame)
		if first.decode(bytes.Clone(b[:size])) != nil {
			return
		}
		for _, x := range first.Ext { // the encoder makes UTF-8 of what is not
			if first.Encoding == JSON && !(utf8.Valid(x.Key) && utf8.Valid(x.Value)) || len(x.Key) == 0 {
				return
			}
		}
		if !utf8.Valid(first.Remark) {
			return
		}
		second := decodeFrame(t, reencode(t, first))
		if second.Code != first.Code || second.Opaque != first.Opaque || second.Flag != first.Flag || !bytes.Equal(second.Remark, first.Remark) ||
			!bytes.Equal(second.Body, first.Body) || len(second.Ext) != len(first.Ext) {
			t.Fatalf("%+v\nencoded again: %+v", first, second)
		}
		for i, x := range first.Ext {
			if !bytes.Equal(x.Key, second.Ext[i].Key) || !bytes.Equal(x.Value, second.Ext[i].Value) {
				t.Fatalf("entry %q %q, encoded again: %q %q", x.Key, x.Value, second.Ext[i].Key, second.Ext[i].Value)
			}
		}
	})
}

// FuzzCompactHeader: no header is read beyond its end.
func FuzzCompactHeader(f *testing.F) {
	for _, r := range readRecorded(f) {
		if b := r.bytes(f); r.Serialize == "ROCKETMQ" {
			f.Add(b[prefixSize : prefixSize+headerSize(b)])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		guarded := append(bytes.Clone(b), "beyond the end"...)[:len(b):len(b)]
		frame := new(Frame)
		if frame.decodeCompact(guarded) == nil && len(b) < compactMin {
			t.Fatalf("%x was taken", b)
		}
	})
}

// FuzzJSONHeader compares with encoding/json: what that accepts as a header must be read alike.
func FuzzJSONHeader(f *testing.F) {
	for i, r := range readRecorded(f) {
		if b := r.bytes(f); i%10 == 0 && r.Serialize == "JSON" {
			f.Add(b[prefixSize : prefixSize+headerSize(b)])
		}
	}
	for _, s := range []string{`{"extFields":{"a":1,"b":null,"c":"\ud83d\ude00\n"},"x":[{}],"code":"3","language":2}`, `{"remark":"\ud800\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := new(Frame)
		err := got.decodeJSON(bytes.Clone(b))
		want, ok := twin(b)
		if !ok {
			return
		}
		if err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if got.Code != want.Code || got.Opaque != want.Opaque || got.Flag != want.Flag || got.Version != want.Version || string(got.Remark) != want.Remark {
			t.Fatalf("%q: %+v, want %+v", b, got, want)
		}
		have := fieldMap(got.Ext)
		maps.DeleteFunc(have, func(_, v string) bool { return v == "" })
		if !maps.Equal(have, want.ExtFields) {
			t.Fatalf("%q: %q, want %q", b, have, want.ExtFields)
		}
	})
}

type twinHeader struct {
	Code, Opaque, Flag, Version int32
	Remark                      string
	ExtFields                   map[string]string
}

// twin reads a header with encoding/json. It is not ok if that would not take it, or is known to read it otherwise:
// it ignores the case of keys, merges repeated members, and does not limit what we do.
func twin(b []byte) (h twinHeader, ok bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	if !utf8.Valid(b) || !json.Valid(b) || bytes.Count(b, []byte("[")) > maxDepth/2 || bytes.Count(b, []byte("{")) > maxDepth/2 {
		return h, false
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return h, false
	}
	seen := map[string]bool{}
	for d.More() {
		key, _ := d.Token()
		name := key.(string)
		var value any
		switch name {
		case "code":
			value = &h.Code
		case "opaque":
			value = &h.Opaque
		case "flag":
			value = &h.Flag
		case "version":
			value = &h.Version
		case "remark":
			value = &h.Remark
		case "extFields":
			value = &h.ExtFields
		default:
			value = new(json.RawMessage)
		}
		if err := d.Decode(value); err != nil || seen[name] {
			return h, false
		}
		seen[name] = true
	}
	for k, v := range h.ExtFields {
		if v == "" { // null is "" here
			delete(h.ExtFields, k)
		}
	}
	return h, len(h.ExtFields) <= maxFields
}
