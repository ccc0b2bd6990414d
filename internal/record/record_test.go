package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/skuamq/skua"
)

const javaRecord = "00000073daa320a777d1898200000003000000000000000000000005" +
	"00000000000003e8000000000000018bcfe568000a0000010000d9030000018bcfe568010a00000200002a9f" +
	"0000000000000000000000000000000548656c6c6f09546f70696354657374000a54414753015461674102"

func sample() Message {
	return Message{
		Topic: []byte("TopicTest"), QueueID: 3, QueueOffset: 5, LogOffset: 1000,
		BornTime: 1700000000000, BornHost: netip.MustParseAddrPort("10.0.0.1:55555"),
		StoreTime: 1700000000001, StoreHost: netip.MustParseAddrPort("10.0.0.2:10911"),
		Body: []byte("Hello"), Properties: []byte("TAGS\x01TagA\x02"),
	}
}

func TestRecordMatchesJava(t *testing.T) {
	want, err := hex.DecodeString(javaRecord)
	if err != nil {
		t.Fatal(err)
	}
	m := sample()
	if got := Append(nil, &m); !bytes.Equal(got, want) || len(got) != Size(&m) {
		t.Fatalf("record\n%x, want\n%x", got, want)
	}
	got, n, err := Decode(append(want, "more"...))
	if err != nil || n != 115 || string(got.Body) != "Hello" || !got.BodyIntact() || got.BodyCRC != 2010220930 {
		t.Fatalf("decoded %+v, %d, %v", got, n, err)
	}
	if again := Append(nil, &got); !bytes.Equal(again, want) {
		t.Fatalf("again\n%x", again)
	}
}

func TestRecordShapes(t *testing.T) {
	v6 := netip.MustParseAddrPort("[2001:db8::1]:1")
	mapped := netip.MustParseAddrPort("[::ffff:10.0.0.9]:7")
	cases := map[string]func(m *Message){
		"born v6":    func(m *Message) { m.BornHost = v6 },
		"store v6":   func(m *Message) { m.StoreHost = v6 },
		"both v6":    func(m *Message) { m.BornHost, m.StoreHost = v6, v6 },
		"mapped":     func(m *Message) { m.BornHost = mapped },
		"mapped v6":  func(m *Message) { m.BornHost = mapped; m.SysFlag |= FlagBornHostV6 },
		"no host":    func(m *Message) { m.BornHost = netip.AddrPort{} },
		"long topic": func(m *Message) { m.Topic = []byte(strings.Repeat("t", 128)) },
		"empty":      func(m *Message) { m.Body, m.Properties = nil, nil },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			m := sample()
			change(&m)
			b := Append(nil, &m)
			Place(b, 77, 88, 99)
			got, n, err := Decode(b)
			if err != nil || n != len(b) || n != Size(&m) {
				t.Fatalf("decode: %d of %d: %v", n, len(b), err)
			}
			if got.QueueOffset != 77 || got.LogOffset != 88 || got.StoreTime != 99 || StoreTimeOf(b) != 99 {
				t.Errorf("placed at %d %d %d", got.QueueOffset, got.LogOffset, got.StoreTime)
			}
			if !bytes.Equal(got.Topic, m.Topic) || !bytes.Equal(got.Body, m.Body) {
				t.Errorf("got %q %q", got.Topic, got.Body)
			}
			if !bytes.Equal(Append(nil, &got), b) {
				t.Error("encoding again gives other bytes")
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	m := sample()
	good := Append(nil, &m)
	change := func(at int, v byte) []byte { b := bytes.Clone(good); b[at] = v; return b }
	for name, c := range map[string]struct {
		b    []byte
		want error
	}{
		"nothing":       {nil, ErrShort},
		"cut":           {good[:len(good)-1], ErrShort},
		"zeros":         {make([]byte, 200), ErrCorrupt},
		"magic":         {change(7, 1), ErrCorrupt},
		"size":          {change(3, 90), ErrCorrupt},
		"negative size": {change(0, 0xff), ErrCorrupt},
		"body length":   {change(84, 0xff), ErrCorrupt},
		"topic length":  {change(93, 0x80), ErrCorrupt},
		"blank":         {AppendBlank(nil, 100), ErrBlank},
	} {
		if _, _, err := Decode(c.b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		inside := name == "body length" || name == "topic length" // which Begins does not look at
		if Begins(c.b, m.LogOffset) != inside {
			t.Errorf("%s: Begins is %v", name, !inside)
		}
	}
	if !Begins(good, m.LogOffset) || Begins(good, m.LogOffset+1) || Begins(append(good, 0), m.LogOffset) {
		t.Error("Begins does not know a record by size and offset")
	}
}

func TestProperties(t *testing.T) {
	for s, want := range map[string]map[string]string{
		"":                                  {},
		"A\x01b\x02C\x01d":                  {"A": "b", "C": "d"},
		"A\x01\x02C\x01d\x02x\x02":          {"C": "d"},
		"\x01v\x02A\x01b\x02A\x01c\x02":     {"A": "c"},
		"KEYS\x01k1 k2\x02TAGS\x01TagA\x02": {"KEYS": "k1 k2", "TAGS": "TagA"},
	} {
		got := ParseProperties([]byte(s))
		if !maps.Equal(got, want) {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
		for k, v := range want {
			if p, ok := Property([]byte(s), k); !ok || string(p) != v {
				t.Errorf("%q: %s is %q, %v", s, k, p, ok)
			}
		}
		if again := ParseProperties(AppendProperties(nil, got)); !maps.Equal(again, want) {
			t.Errorf("%q: again %v", s, again)
		}
	}
	b := AppendProperties(nil, map[string]string{"TAGS": "TagA", "KEYS": "k1 k2", "x": ""})
	if got := hex.EncodeToString(b); got != "4b455953016b31206b320254414753015461674102" {
		t.Errorf("written %s", got)
	}
	if got := AppendProperty([]byte("A\x01b"), "C", "d"); string(got) != "A\x01b\x02C\x01d\x02" {
		t.Errorf("appended %q", got)
	}
}

func TestHashAndTagsCode(t *testing.T) {
	for s, want := range map[string]int32{"TagA": 2598919, "": 0, "中文": 646394, "a😀": 1866116, "TopicTest#k1": 2746024} {
		if got := HashString([]byte(s)); got != want {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
	text := "TopicTest#7F00000100002A9F中a文😀b-TagA\x7f"
	for n := range len(text) + 1 {
		naive := int32(0)
		for _, u := range utf16.Encode([]rune(text[:n])) {
			naive = 31*naive + int32(u)
		}
		if got := HashString([]byte(text[:n])); utf8.ValidString(text[:n]) && got != naive {
			t.Errorf("%q: %d, want %d", text[:n], got, naive)
		}
	}
	if got := TagsCode([]byte("A\x01b\x02TAGS\x01TagA\x02")); got != 2598919 {
		t.Errorf("tags code %d", got)
	}
	if got := CRC([]byte("123456789")); got != 1274296614 {
		t.Errorf("crc %d", got)
	}
}

func TestBatch(t *testing.T) {
	const java = "0000002c000000000000000000000000000000026869001457414954017472756502544147530154616741" + "02"
	item := BatchItem{Body: []byte("hi"), Properties: []byte("WAIT\x01true\x02TAGS\x01TagA\x02")}
	b := AppendBatchItem(nil, item)
	if hex.EncodeToString(b) != java {
		t.Fatalf("item %x", b)
	}
	b = AppendBatchItem(b, BatchItem{Flag: 7, Body: []byte("two")})
	var got []BatchItem
	err := EachBatchItem(b, func(it BatchItem) bool { got = append(got, it); return true })
	if err != nil || len(got) != 2 || string(got[0].Properties) != string(item.Properties) || got[1].Flag != 7 {
		t.Fatalf("%v, %v", got, err)
	}
	for cut := 1; cut < len(b); cut++ {
		if cut == 44 {
			continue
		}
		if err := EachBatchItem(b[:cut], func(BatchItem) bool { return true }); err == nil {
			t.Errorf("cut at %d is taken", cut)
		}
	}
}

func TestOffsetID(t *testing.T) {
	for want, c := range map[string]struct {
		host string
		off  skua.LogOffset
	}{
		"0A00000200002A9F00000000000003E8":                         {"10.0.0.2:10911", 1000},
		"0000000000000000000000000000000100002A9F00000000000000FF": {"[::1]:10911", 255},
	} {
		host := netip.MustParseAddrPort(c.host)
		if got := AppendOffsetID(nil, host, c.off); string(got) != want {
			t.Errorf("id %s, want %s", got, want)
		}
		h, off, err := ParseOffsetID(want)
		if err != nil || h != host || off != c.off {
			t.Errorf("%s: %v %d %v", want, h, off, err)
		}
	}
	for _, bad := range []string{"", "0A", strings.Repeat("x", 32), "0A000002FFFF2A9F00000000000003E8"} {
		if _, _, err := ParseOffsetID(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	m := sample()
	buf := Append(nil, &m)
	id := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		buf = Append(buf[:0], &m)
		if _, _, err := Decode(buf); err != nil {
			t.Fatal(err)
		}
		TagsCode(m.Properties)
		id = AppendOffsetID(id[:0], m.StoreHost, 5)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecode(f *testing.F) {
	m := sample()
	f.Add(Append(nil, &m))
	m.BornHost = netip.MustParseAddrPort("[::1]:1")
	f.Add(Append(nil, &m))
	f.Add(AppendBlank(nil, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := Decode(b)
		if err != nil {
			return
		}
		if n != Size(&m) {
			// A port above 65535 or an odd IPv4 form may not survive, a size always does.
			t.Fatalf("size %d, read %d", Size(&m), n)
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add([]byte("A\x01b\x02C\x01d"))
	f.Add([]byte("\x01\x02\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := ParseProperties(b)
		for k, v := range m {
			if got, ok := Property(b, k); !ok || string(got) != v {
				t.Fatalf("%q: %q, map says %q", k, got, v)
			}
		}
		if again := ParseProperties(AppendProperties(nil, m)); !maps.Equal(again, m) {
			t.Fatalf("%v, again %v", m, again)
		}
	})
}

func FuzzBatch(f *testing.F) {
	f.Add(AppendBatchItem(nil, BatchItem{Body: []byte("a"), Properties: []byte("b")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		err := EachBatchItem(b, func(it BatchItem) bool { again = AppendBatchItem(again, it); return true })
		if err == nil && len(again) != len(b) {
			t.Fatalf("%d bytes, again %d", len(b), len(again))
		}
	})
}
