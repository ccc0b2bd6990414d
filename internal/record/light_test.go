package record

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua"
)

// lights lists what EachLight says of a message to topic.
func lights(topic, names, offsets string) (out []string) {
	m := Message{Topic: []byte(topic)}
	m.Properties = AppendProperty(AppendProperty([]byte("A\x01b"), skua.PropMultiDispatch, names), skua.PropMultiQueueOffset, offsets)
	EachLight(&m, func(name []byte, off int64) bool {
		out = append(out, fmt.Sprint(string(name), "=", off))
		return true
	})
	return out
}

func TestEachLight(t *testing.T) {
	for _, c := range []struct {
		topic, names, offsets string
		want                  []string
	}{
		{"T", "%LMQ%a", "0", []string{"%LMQ%a=0"}},
		{"T", "%LMQ%a,%LMQ%b", "12,9223372036854775807", []string{"%LMQ%a=12", "%LMQ%b=9223372036854775807"}},
		{"T", "%LMQ%a,,", "3", []string{"%LMQ%a=3"}},
		{"T", "%LMQ%a/b,%LMQ%..,x,,%LMQ%b", "0,1,2,,4", []string{"%LMQ%..=1", "%LMQ%b=4"}},
		{"T", "%LMQ%a,%LMQ%b", "1", nil},
		{"T", "%LMQ%a", "1,2", nil},
		{"T", "%LMQ%a,%LMQ%b", "-1,99999999999999999999", nil},
		{"T", "%LMQ%a,%LMQ%b", "9223372036854775808,x", nil},
		{"T", "%LMQ%" + strings.Repeat("x", 251) + ",%LMQ%\\,%LMQ%\x00", "1,2,3", nil},
		{"T", ",", ",", nil},
		{"%RETRY%g", "%LMQ%a", "0", nil},
		{"%DLQ%g", "%LMQ%a", "0", nil},
		{"%LMQ%b", "%LMQ%a", "0", nil},
		{skua.ScheduleTopic, "%LMQ%a", "0", nil},
		{skua.TimerTopic, "%LMQ%a", "0", nil},
		{skua.HalfTopic, "%LMQ%a", "0", []string{"%LMQ%a=0"}},
	} {
		if got := lights(c.topic, c.names, c.offsets); !slices.Equal(got, c.want) {
			t.Errorf("%s to %s with %s: %q, want %q", c.names, c.topic, c.offsets, got, c.want)
		}
	}
	half := Message{Topic: []byte("T"), SysFlag: FlagTransactionPrepared, Properties: []byte("INNER_MULTI_DISPATCH\x01%LMQ%a\x02INNER_MULTI_QUEUE_OFFSET\x010\x02")}
	EachLight(&half, func(name []byte, _ int64) bool {
		t.Errorf("a prepared message has an entry in %s", name)
		return true
	})
}

func TestLightList(t *testing.T) {
	for list, want := range map[string]string{
		"%LMQ%a": "", "%LMQ%a,%LMQ%b,": `"" does not begin with %LMQ%`, "%LMQ%a/../..": "", "%LMQ%": "", "%LMQ%..": "",
		"a": `"a" does not begin with %LMQ%`, "%LMQ%a,,%LMQ%b": `"" does not begin with %LMQ%`,
		"%LMQ%" + strings.Repeat("x", 251):          "has 256 bytes; at most 255 are allowed",
		"%LMQ%a\\b":                                 "none of them a backslash",
		strings.Repeat("%LMQ%a,", 1024) + "%LMQ%a,": "it has more than 1024 names",
	} {
		if want == `"" does not begin with %LMQ%` && strings.HasSuffix(list, ",") {
			want = "" // what LightNames has cut off
			list = string(trimList([]byte(list)))
		}
		got := LightList(trimList([]byte(list)))
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.60s: %q, want %q", list, got, want)
		}
	}
}

// The offsets go behind all other properties, and in front of the seal.
func TestAppendLight(t *testing.T) {
	for _, long := range []bool{false, true} {
		for _, seal := range []bool{false, true} {
			m := Message{Topic: []byte("T"), Body: []byte("body"), BornHost: netip.MustParseAddrPort("[::1]:9"), StoreHost: netip.MustParseAddrPort("127.0.0.1:8"),
				Properties: []byte("INNER_MULTI_DISPATCH\x01%LMQ%a,%LMQ%b")}
			if long {
				m.Topic = []byte(strings.Repeat("T", 200))
			}
			plain := m
			if seal {
				plain.Properties = AppendUnsealed(nil, m.Properties)
			}
			rec := AppendLight([]byte("before"), Append(nil, &plain), []byte("12,0"), seal)[len("before"):]
			Place(rec, 7, 1000, 5)
			if seal {
				Seal(rec)
			}
			got, n, err := Decode(rec)
			if err != nil || n != len(rec) || int(got.Size) != len(rec) || !got.BodyIntact() {
				t.Fatalf("%v, %d bytes of %d", err, n, len(rec))
			}
			if want := "INNER_MULTI_DISPATCH\x01%LMQ%a,%LMQ%b\x02INNER_MULTI_QUEUE_OFFSET\x0112,0\x02"; string(WithoutSeal(got.Properties)) != want {
				t.Errorf("properties %q, want %q", got.Properties, want)
			}
			if found, intact := CheckSeal(rec, &got); found != seal || intact != seal {
				t.Errorf("seal found %v, intact %v", found, intact)
			}
			if n := LightProperties(Append(nil, &plain), []byte("12,0")); len(got.Properties)-n > 1 || len(got.Properties) < n {
				t.Errorf("%d bytes of properties, foretold were %d", len(got.Properties), n)
			}
			if at := LightSize([]byte("%LMQ%a,%LMQ%b")); len(rec)-len(Append(nil, &plain)) > at {
				t.Errorf("grew by more than %d", at)
			}
		}
	}
}

func TestWithoutLightOffsets(t *testing.T) {
	in := []byte("A\x01b\x02INNER_MULTI_QUEUE_OFFSET\x017\x02C\x01d\x02INNER_MULTI_QUEUE_OFFSET\x018")
	if !HasLightOffsets(in) {
		t.Error("offsets not seen")
	}
	if got := AppendWithoutLightOffsets(nil, in); string(got) != "A\x01b\x02C\x01d\x02" || HasLightOffsets(got) {
		t.Errorf("%q", got)
	}
}

// Whatever the lists hold: names are those of folders, offsets are none below 0, and what a list that is good makes of a
// record comes out again.
func FuzzLight(f *testing.F) {
	f.Add("%LMQ%a,%LMQ%b", "1,2")
	f.Add("%LMQ%a/b,%LMQ%..,,", "0,1")
	f.Add(",", "")
	f.Add("%LMQ%a\x02INNER_MULTI_QUEUE_OFFSET\x013", "4")
	f.Fuzz(func(t *testing.T, names, offsets string) {
		m := Message{Topic: []byte("T"), BornHost: netip.MustParseAddrPort("127.0.0.1:1"), StoreHost: netip.MustParseAddrPort("127.0.0.1:1")}
		m.Properties = AppendProperty(nil, skua.PropMultiDispatch, names)
		given := m
		given.Properties = AppendProperty(slices.Clone(m.Properties), skua.PropMultiQueueOffset, offsets)
		EachLight(&given, func(name []byte, off int64) bool {
			if off < 0 || !strings.HasPrefix(string(name), skua.LMQPrefix) || strings.ContainsAny(string(name), "/\\\x00,") || len(name) > 255 {
				t.Errorf("%q at %d", name, off)
			}
			return true
		})
		m.Properties = AppendWithoutLightOffsets(nil, m.Properties)
		list := LightNames(m.Properties)
		if len(list) == 0 || LightList(list) != "" || len(m.Properties) > MaxProperties/2 {
			return
		}
		var numbers []byte
		var want []string
		for n := 0; len(list) > 0; n++ {
			name, rest, queue := NextLight(list)
			if n > 0 {
				numbers = append(numbers, ',')
			}
			numbers = fmt.Append(numbers, n)
			if queue {
				want = append(want, fmt.Sprint(string(name), "=", n))
			}
			list = rest
		}
		rec := AppendLight(nil, Append(nil, &m), numbers, false)
		out, n, err := Decode(rec)
		if err != nil || n != len(rec) {
			t.Fatal(err)
		}
		var got []string
		EachLight(&out, func(name []byte, off int64) bool {
			got = append(got, fmt.Sprint(string(name), "=", off))
			return true
		})
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}
