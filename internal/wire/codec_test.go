package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skuamq/skua/internal/command"
)

// recorded is one line of testdata/frames.jsonl.gz: a frame between Java 5.5.0 servers, clients and admin tools.
type recorded struct {
	Request    int32
	Response   bool
	Serialize  string
	BodyLength int
	Hex        string
	Header     struct {
		Code, Flag, Opaque, Version int32
		Language                    string
		Remark                      *string
		ExtFields                   map[string]*string
	}
}

func (r *recorded) bytes(t testing.TB) []byte {
	b, err := hex.DecodeString(r.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readRecorded(t testing.TB) []recorded {
	t.Helper()
	file, err := os.Open("testdata/frames.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []recorded
	for d := json.NewDecoder(bufio.NewReader(text)); ; {
		var r recorded
		if err := d.Decode(&r); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}

// decodeFrame decodes a copy of b.
func decodeFrame(t testing.TB, b []byte) *Frame {
	t.Helper()
	size, err := frameSize(b, MaxFrame)
	if err != nil || size != len(b) {
		t.Fatalf("frameSize: %d, %v; the frame has %d bytes", size, err, len(b))
	}
	f := new(Frame)
	if err := f.decode(bytes.Clone(b)); err != nil {
		t.Fatal(err)
	}
	return f
}

func fieldMap(f command.Fields) map[string]string {
	m := map[string]string{}
	for _, x := range f {
		m[string(x.Key)] = string(x.Value)
	}
	return m
}

// verbatim is a header that writes the fields of another in their order.
type verbatim command.Fields

func (v verbatim) Encode(w command.Writer) {
	for _, f := range v {
		w.Bytes(string(f.Key), f.Value)
	}
}

// reencode encodes what f holds.
func reencode(t testing.TB, f *Frame) []byte {
	t.Helper()
	var e encoder
	h := fixed{code: f.Code, opaque: f.Opaque, flag: f.Flag, language: f.Language, remark: string(f.Remark), encoding: f.Encoding}
	if err := e.encode(&h, verbatim(f.Ext), nil, f.Body, nil, MaxFrame); err != nil {
		t.Fatal(err)
	}
	return e.b
}

func TestRecordedFrames(t *testing.T) {
	all := readRecorded(t)
	if len(all) < 600 {
		t.Fatalf("only %d frames", len(all))
	}
	for i, r := range all {
		raw := r.bytes(t)
		f := decodeFrame(t, raw)
		want := map[string]string{}
		for k, v := range r.Header.ExtFields {
			if v != nil && (*v != "" || f.Encoding == JSON) {
				want[k] = *v
			}
		}
		if d := cmp.Diff(want, fieldMap(f.Ext)); d != "" {
			t.Errorf("frame %d, extFields: %s", i, d)
		}
		remark := ""
		if r.Header.Remark != nil {
			remark = *r.Header.Remark
		}
		h := r.Header
		if f.Code != h.Code || f.Flag != h.Flag || f.Opaque != h.Opaque || f.Version != h.Version || f.Language.String() != h.Language ||
			string(f.Remark) != remark || len(f.Body) != r.BodyLength {
			t.Errorf("frame %d: %+v, want %+v", i, f, h)
		}
		if got := f.Encoding == Compact; got != (r.Serialize == "ROCKETMQ") {
			t.Errorf("frame %d: encoding %v", i, f.Encoding)
		}

		again := reencode(t, f)
		if f.Encoding == Compact {
			java := bytes.Clone(raw)
			copy(java[11:], []byte{ownVersion >> 8, ownVersion & 255})
			if len(f.Ext) == len(h.ExtFields) && !bytes.Equal(again, java) {
				t.Errorf("frame %d:\n%x\nwant\n%x", i, again, java)
			}
		}
		g := decodeFrame(t, again)
		g.Version = f.Version
		if d := cmp.Diff(f, g, cmp.Comparer(func(a, b *Conn) bool { return a == b }), cmp.AllowUnexported(Frame{})); d != "" {
			t.Errorf("frame %d, encoded again: %s", i, d)
		}
		if f.Encoding == JSON && !json.Valid(again[prefixSize:prefixSize+headerSize(again)]) {
			t.Errorf("frame %d: not JSON: %q", i, again)
		}
	}
}

// The vectors of formats.md 9.
func TestVectors(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	route := decodeFrame(t, append(unhex("000000a7 000000a3"), `{"code":105,"extFields":{"topic":"TopicTest","acceptStandardJsonOnly":"true"},"flag":0,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}`...))
	compact := decodeFrame(t, unhex("0000004d 01000049 0069 00 01df 00000007 00000000 00000000 00000034 0005 746f706963 00000009 546f70696354657374 0016 6163636570745374616e646172644a736f6e4f6e6c79 00000004 74727565"))
	for _, f := range []*Frame{route, compact} {
		if f.Code != 105 || f.Opaque != 7 || f.Version != 479 || f.Ext.String("topic") != "TopicTest" || f.Ext.String("acceptStandardJsonOnly") != "true" || f.Body != nil || f.Remark != nil {
			t.Errorf("%+v", f)
		}
	}
	cut := decodeFrame(t, unhex("00000028 01000024 0d72 00 0000 00000007 00000000 00000000 0000000f 0001 65 00000000 0001 6b 00000001 76"))
	if cut.Code != 3442 || len(cut.Ext) != 1 || cut.Ext.String("k") != "v" {
		t.Errorf("%+v", cut)
	}
}

// header makes a JSON frame.
func header(text string) []byte {
	n := len(text)
	return append([]byte{0, 0, byte((n + 4) >> 8), byte(n + 4), 0, 0, byte(n >> 8), byte(n)}, text...)
}

func TestLenientJSON(t *testing.T) {
	for text, want := range map[string]Frame{
		`{}`:                                  {},
		" \t{ \"code\" : 1 , \"flag\":\n2 } ": {Code: 1, Flag: 2},
		`{"code":"310","opaque":"-5","version":"401"}`: {Code: 310, Opaque: -5, Version: 401},
		`{"code":null,"remark":null,"extFields":null}`: {},
		`{"code":1.9e1}`: {Code: 19},
		`{"code":-2147483648,"opaque":2147483647}`:           {Code: -1 << 31, Opaque: 1<<31 - 1},
		`{"language":"go"}`:                                  {Language: command.Go},
		`{"language":9}`:                                     {Language: command.Go},
		`{"language":"12"}`:                                  {Language: command.Rust},
		`{"language":"KLINGON"}`:                             {Language: command.Other},
		`{"language":99}`:                                    {Language: command.Other},
		`{"language":null}`:                                  {},
		`{"remark":"a\"\\\/\b\f\n\r\tz"}`:                    {Remark: []byte("a\"\\/\b\f\n\r\tz")},
		`{"remark":"\u00e9\u4E2D\ud83d\ude00\ud83dx\udc00"}`: {Remark: []byte("é中😀\uFFFDx\uFFFD")},
		`{"remark":"\ud83d\u0041"}`:                          {Remark: []byte("\uFFFDA")},
		"{\"remark\":\"raw\x01\"}":                           {Remark: []byte("raw\x01")},
		`{"remark":17}`:                                      {Remark: []byte("17")},
		`{"remark":""}`:                                      {},
		`{"other":{"a":[1,{"b":"]}"},[]],"c":{}},"code":5,"more":[true,false,null,-1.5e3,"\""]}`: {Code: 5},
		`{"extFields":{}}`: {},
		`{"extFields":{"a":"x","b":1,"c":true,"d":1.50,"e":"","f":null}}`: {Ext: command.Fields{
			field("a", "x"), field("b", "1"), field("c", "true"), field("d", "1.50"), field("e", "")}},
		`{"extFields":{"a":"1","a":"2"}}`:             {Ext: command.Fields{field("a", "1"), field("a", "2")}},
		`{"extFields":{"a":"1","a":null}}`:            {},
		`{"extFields":{"o":{"k":"a\nb"},"l":[1, 2]}}`: {Ext: command.Fields{field("o", `{"k":"a\nb"}`), field("l", "[1, 2]")}},
		`{"extFields":{"k\u0041y":"\u0001\u0002"}}`:   {Ext: command.Fields{field("kAy", "\x01\x02")}},
		`{"code":1,"code":2}`:                         {Code: 2},
	} {
		got := new(Frame)
		if err := got.decode(header(text)); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if len(got.Ext) == 0 {
			got.Ext = nil
		}
		if d := cmp.Diff(&want, got, cmp.AllowUnexported(Frame{}, Conn{}), cmp.Comparer(func(a, b *Conn) bool { return a == b })); d != "" {
			t.Errorf("%s: %s", text, d)
		}
	}
}

func field(k, v string) command.Field { return command.Field{Key: []byte(k), Value: []byte(v)} }

func TestBadJSON(t *testing.T) {
	many := `{"extFields":{` + strings.Repeat(`"a":"b",`, maxFields) + `"a":"b"}}`
	for _, text := range []string{
		``, ` `, `{`, `[]`, `null`, `"code"`, `{"code"}`, `{"code":}`, `{"code":1`, `{"code":1,}`, `{"code":1}x`, `{"code":1}}`, `{code:1}`,
		`{"code":2147483648}`, `{"code":"ten"}`, `{"code":{}}`, `{"code":tru}`, `{"remark":"a`, `{"remark":"a\`, `{"remark":"\x41"}`,
		`{"remark":"\u12`, `{"remark":"\u12g4"}`, `{"extFields":[]}`, `{"extFields":"x"}`, `{"extFields":{"a"}}`, `{"extFields":{"a":"b"`,
		`{"x":` + strings.Repeat("[", maxDepth+1), `{"x":` + strings.Repeat(`{"a":`, 200), `{"x":[}}`, `{"x":"abc\`, `{"x":[1,]}`, `{"x":{"a":1,}}`, many,
	} {
		f := new(Frame)
		if err := f.decode(header(text)); err == nil {
			t.Errorf("%.60q was taken", text)
		}
	}
}

func TestBadCompact(t *testing.T) {
	good := reencode(t, &Frame{Encoding: Compact, Remark: []byte("remark"), Ext: command.Fields{field("key", "value")}})
	whole := good[prefixSize:]
	if err := new(Frame).decodeCompact(whole); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if err := new(Frame).decodeCompact(whole[:n]); err == nil {
			t.Errorf("a header cut to %d bytes was taken", n)
		}
	}
	for at, n := range map[int]int{13: 4, 23: 4, 27: 2, 32: 4} { // the lengths
		for _, high := range []byte{0x7f, 0x80, 0xff} {
			b := bytes.Clone(whole)
			for i := range n {
				b[at+i] = 0xff
			}
			b[at] = high
			if err := new(Frame).decodeCompact(b); err == nil {
				t.Errorf("length %x at %d was taken", b[at:at+n], at)
			}
		}
	}
}

func TestFrameSize(t *testing.T) {
	for _, c := range []struct {
		hex  string
		size int
		bad  bool
	}{
		{"", 0, false}, {"000000", 0, false}, {"00000000", 0, true}, {"00000003", 0, true}, {"00000004", 8, false}, {"80000000", 0, true},
		{"ffffffff", 0, true}, {"00fffffc", 1 << 24, false}, {"00fffffd", 0, true}, {"47455420", 0, true},
		{"0000000400000000", 8, false}, {"0000000400000001", 0, true}, {"0000000402000000", 0, true}, {"0000000a01000006", 14, false},
	} {
		b, _ := hex.DecodeString(c.hex)
		if size, err := frameSize(b, MaxFrame); size != c.size || (err != nil) != c.bad {
			t.Errorf("%s: %d, %v", c.hex, size, err)
		}
	}
}

func TestEncodeLimit(t *testing.T) {
	e := encoder{b: []byte("before")}
	if err := e.encode(&fixed{}, nil, nil, make([]byte, 100), [][]byte{make([]byte, 100)}, 200); err == nil || string(e.b) != "before" {
		t.Errorf("%v, %q", err, e.b)
	}
}

// Codes above 16 bits do not fit into a compact header.
func TestWideCode(t *testing.T) {
	var e encoder
	if err := e.encode(&fixed{code: 200050, encoding: Compact}, nil, nil, nil, nil, MaxFrame); err != nil {
		t.Fatal(err)
	}
	if f := decodeFrame(t, e.b); f.Encoding != JSON || f.Code != 200050 {
		t.Errorf("%+v", f)
	}
}

func TestEscape(t *testing.T) {
	var all strings.Builder
	for c := range 256 {
		fmt.Fprintf(&all, "%c", c)
	}
	for _, s := range []string{"", "plain text of more than eight", all.String(), "1234567\"", "12345678\\9", "\xff\xfe", "a\xc3", "日本\u2028\x7f"} {
		got := appendEscaped(nil, s)
		if other := appendEscaped(nil, []byte(s)); !bytes.Equal(got, other) {
			t.Errorf("%q: string gives %s, bytes give %s", s, got, other)
		}
		var back string
		if err := json.Unmarshal(slices.Concat([]byte{'"'}, got, []byte{'"'}), &back); err != nil || back != strings.ToValidUTF8(s, "\uFFFD") {
			if !strings.Contains(s, "\xff") || err != nil { // ToValidUTF8 makes one of a run
				t.Errorf("%q: %q, %v", s, got, err)
			}
		}
	}
	if got := string(appendEscaped(nil, "A\x01B\x1f\n é")); got != `A\u0001B\u001f\u000a é` {
		t.Error(got)
	}
}

func TestCloneOwnsItsMemory(t *testing.T) {
	raw := reencode(t, &Frame{Code: 1, Remark: []byte("r"), Ext: command.Fields{field("k", "v")}, Body: []byte("body")})
	f := new(Frame)
	if err := f.decode(raw); err != nil {
		t.Fatal(err)
	}
	c := f.Clone()
	clear(raw)
	if string(c.Remark) != "r" || c.Ext.String("k") != "v" || string(c.Body) != "body" {
		t.Errorf("%+v", c)
	}
}
