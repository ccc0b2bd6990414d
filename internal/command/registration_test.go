package command

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/fastjson"
)

func sampleRegistration() *RegisterBrokerBody {
	a := DefaultTopicConfig("a")
	a.Attributes = map[string]string{"message.type": "FIFO", "x": "1 2"}
	b := DefaultTopicConfig("b")
	b.Perm, b.ReadQueues, b.WriteQueues = 4, 3, 2
	return &RegisterBrokerBody{
		FilterServers: []string{"10.0.0.1:1"},
		Topics: TopicConfigWrapper{
			DataVersion:  DataVersion{Counter: 7, StateVersion: 1, Timestamp: 1700000000000},
			Topics:       map[string]TopicConfig{"a": a, "b": b},
			MappingInfos: map[string]TopicMapping{"s": {Broker: "broker-a", CurrIDs: map[int32]int32{0: 1}, Scope: "__global__", Topic: "s", TotalQueues: 4}},
		},
	}
}

func TestRegistration(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		want := sampleRegistration()
		data, err := EncodeRegistration(want, compressed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRegistration(data, V5_5_0)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Topics.MappingInfos, want.Topics.MappingInfos) || got.Topics.DataVersion != want.Topics.DataVersion ||
			!reflect.DeepEqual(got.FilterServers, want.FilterServers) {
			t.Errorf("compressed %v: %+v", compressed, got)
		}
		for name, c := range want.Topics.Topics {
			g := got.Topics.Topics[name]
			if g.ReadQueues != c.ReadQueues || g.WriteQueues != c.WriteQueues || g.Perm != c.Perm || g.FilterType != c.FilterType || len(g.Attributes) != len(c.Attributes) {
				t.Errorf("compressed %v: topic %+v, want %+v", compressed, g, c)
			}
		}
	}
}

func TestRegistrationOfOldBroker(t *testing.T) {
	var e registrationEncoder
	e.json(DataVersion{Counter: 1})
	e.int(1)
	e.bytes([]byte("t 4 4 6 SINGLE_TAG"))
	e.json([]string{})
	got, err := DecodeRegistration(deflate(t, e.out), 399)
	if err != nil {
		t.Fatal(err)
	}
	if c := got.Topics.Topics["t"]; c.ReadQueues != 4 || c.Perm != 6 || got.Topics.MappingInfos != nil {
		t.Errorf("got %+v", got)
	}
	if got, err := DecodeRegistration(nil, V5_5_0); err != nil || got.Topics.DataVersion != (DataVersion{}) {
		t.Errorf("empty body: %+v, %v", got, err)
	}
}

func deflate(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zlib.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBadRegistration(t *testing.T) {
	version, _ := fastjson.Marshal(DataVersion{})
	head := append(binary.BigEndian.AppendUint32(nil, uint32(len(version))), version...)
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"no JSON", []byte(`{"topic`), "ends within a string"},
		{"no zlib", []byte{0x78, 0, 1, 2}, "invalid header"},
		{"cut zlib", deflate(t, bytes.Repeat([]byte("abc"), 1000))[:10], "unexpected EOF"},
		{"nothing", deflate(t, nil), "unexpected EOF"},
		{"negative count", deflate(t, append(head, 0xFF, 0xFF, 0xFF, 0xFF)), "a count of -1"},
		{"huge count", deflate(t, append(head, 0x7F, 0xFF, 0xFF, 0xFF)), "a count of 2147483647"},
		{"length beyond the end", deflate(t, append(head, 0, 0, 0, 1, 0, 0, 1, 0)), "unexpected EOF"},
		{"few fields", deflate(t, append(head, 0, 0, 0, 1, 0, 0, 0, 3, 't', ' ', '4')), "fewer than 5 fields"},
		{"bad number", deflate(t, append(append(head, 0, 0, 0, 1, 0, 0, 0, 9), "t x 4 6 S"...)), "invalid syntax"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := DecodeRegistration(tt.data, V5_5_0)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// FuzzRegistration checks that no body makes the decoder panic, and that what it reads can be written and read again.
func FuzzRegistration(f *testing.F) {
	for _, compressed := range []bool{false, true} {
		data, err := EncodeRegistration(sampleRegistration(), compressed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, false)
	}
	f.Add(deflate(f, []byte("\x00\x00\x00\x02{}\x00\x00\x00\x00")), false)
	f.Add([]byte("\x00\x00\x00\x02{}\x00\x00\x00\x01\x00\x00\x00\x09t 1 1 6 S"), true)
	f.Fuzz(func(t *testing.T, data []byte, inner bool) {
		if inner { // the bytes are those inside of the zlib stream, which a fuzzer hardly ever gets right
			data = deflate(t, data)
		}
		body, err := DecodeRegistration(data, V5_5_0)
		if err != nil {
			return
		}
		again, err := EncodeRegistration(body, false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeRegistration(again, V5_5_0); err != nil {
			t.Fatalf("%v in %s", err, again)
		}
	})
}
