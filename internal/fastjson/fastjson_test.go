package fastjson

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// queue is a struct that serves as the key of maps, like command.MessageQueue.
type queue struct {
	Broker string `json:"brokerName"`
	ID     int32  `json:"queueId"`
	Topic  string `json:"topic"`
}

func (q *queue) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain queue
	return DecodeKey(dec, (*plain)(q))
}

func TestUnmarshalDialect(t *testing.T) {
	type offsets struct {
		Table map[queue]int64 `json:"offsetTable"`
	}
	b := queue{"b", 0, "t"}
	tests := []struct {
		name, in string
		into     any // pointer to a zero value of want's type
		want     any
	}{
		{"integer keys", `{0:"a",1:"b"}`, new(map[int64]string), map[int64]string{0: "a", 1: "b"}},
		{"quoted integer keys", `{"0":"a","1":"b"}`, new(map[int64]string), map[int64]string{0: "a", 1: "b"}},
		{"negative key", `{-1:"a"}`, new(map[int32]string), map[int32]string{-1: "a"}},
		{"object keys", `{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"t"}:5}}`, new(offsets), offsets{map[queue]int64{b: 5}}},
		{"object keys with white space", "{ \"offsetTable\" :\n{ {\"brokerName\":\"b\" , \"queueId\":0,\"topic\":\"t\" } : 5 } }", new(offsets), offsets{map[queue]int64{b: 5}}},
		{"object key as text", `{"offsetTable":{"{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"t\"}":5}}`, new(offsets), offsets{map[queue]int64{b: 5}}},
		{"object as a value", `[{"brokerName":"b","queueId":0,"topic":"t"}]`, new([]queue), []queue{b}},
		{"bare names", `{brokerName:'b',queueId:"0",topic:"t"}`, new(queue), b},
		{"single quotes", `['it\'s "so"']`, new([]string), []string{`it's "so"`}},
		{"superfluous commas", `[1,,2,]`, new([]int64), []int64{1, 2}},
		{"leading comma", `{,"a":1,}`, new(map[string]int64), map[string]int64{"a": 1}},
		{"numbers in quotes", `["1",2,""]`, new([]int32), []int32{1, 2, 0}},
		{"big numbers in quotes", `["-9223372036854775808"]`, new([]int64), []int64{math.MinInt64}},
		{"floats in quotes", `["1.5",0.0,1E10]`, new([]float64), []float64{1.5, 0, 1e10}},
		{"booleans in quotes", `["true","TRUE","x",1,0,true]`, new([]bool), []bool{true, true, false, true, false, true}},
		{"numbers for strings", `[1,true,"x"]`, new([]string), []string{"1", "true", "x"}},
		{"NaN", `[NaN,1.0]`, new([]float64), []float64{0, 1}},
		{"null", `{"offsetTable":null}`, new(offsets), offsets{}},
		{"reference", `[{"$ref":"$.x"}]`, new([]queue), []queue{{}}},
		{"unknown members", `{"topic":"t","more":{{"a":1}:{2:[3]}},x:{1:2}}`, new(queue), queue{Topic: "t"}},
		{"repeated members", `{"topic":"a","topic":"b"}`, new(queue), queue{Topic: "b"}},
		{"raw control characters", "[\"a\tb\x01\"]", new([]string), []string{"a\tb\x01"}},
		{"odd escapes", `["\v\x41\'\0"]`, new([]string), []string{"\vA'\x00"}},
		{"browser form", `["\u4E2D\/\uD83D\uDE00"]`, new([]string), []string{"中/😀"}},
		{"no UTF-8", "[\"a\xff\"]", new([]string), []string{"a\ufffd"}},
		{"base64", `["AQI="]`, new([][]byte), [][]byte{{1, 2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := []byte(tt.in)
			if err := Unmarshal(in, tt.into); err != nil {
				t.Fatal(err)
			}
			if got := reflect.ValueOf(tt.into).Elem().Interface(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
			if string(in) != tt.in {
				t.Error("input was changed")
			}
		})
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "", "the text ends early at byte 0"},
		{"open object", `{"a":1`, "the text ends early"},
		{"open string", `["abc`, "ends within a string at byte 5"},
		{"no colon", `{"a" 1}`, "no colon after a name at byte 5"},
		{"no comma", `[1 2]`, "no comma between members at byte 3"},
		{"more text", `{} x`, "text after the value at byte 3"},
		{"wrong bracket", `[1}`, "no comma"},
		{"key in key", `{{{"a":1}:2}:3}`, "a key within a key"},
		{"depth", strings.Repeat("[", 1000), "nested too deep"},
		{"depth of objects", strings.Repeat(`{a:`, 1000), "nested too deep"},
		{"type", `{"a":"x"}`, "invalid syntax"},
		{"overflow", `{"a":99999999999999999999}`, "out of range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v map[string]int64
			err := Unmarshal([]byte(tt.in), &v)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

type sample struct {
	Name    string            `json:"name"`
	Addrs   map[int64]string  `json:"addrs"`
	Nothing *int64            `json:"nothing"`
	Empty   string            `json:"empty,omitzero"`
	List    []string          `json:"list"`
	Gone    []string          `json:"gone,omitzero"`
	Rate    float64           `json:"rate"`
	Big     int64             `json:"big"`
	By      map[queue]int64   `json:"by"`
	Texts   map[string]string `json:"texts"`
	Secret  string            `json:"-"`
	Unknown jsontext.Value    `json:",embed"`
}

var sampleValue = sample{
	Name:    "中/\n\"",
	Addrs:   map[int64]string{10: "b", 2: "a"},
	Big:     1 << 60,
	By:      map[queue]int64{{"b", 1, "t"}: 6, {"b", 0, "t"}: 5},
	Secret:  "no",
	Unknown: jsontext.Value(`{"more":[1,2],"name":"ignored"}`),
}

func TestMarshal(t *testing.T) {
	tests := []struct {
		name    string
		marshal func(any) ([]byte, error)
		want    string
	}{
		{"dialect", Marshal, `{"addrs":{2:"a",10:"b"},"big":1152921504606846976,` +
			`"by":{{"brokerName":"b","queueId":0,"topic":"t"}:5,{"brokerName":"b","queueId":1,"topic":"t"}:6},` +
			`"list":[],"more":[1,2],"name":"中/\n\"","rate":0.0,"texts":{}}`},
		{"standard", MarshalStandard, `{"addrs":{"2":"a","10":"b"},"big":"1152921504606846976",` +
			`"by":{"{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"t\"}":5,"{\"brokerName\":\"b\",\"queueId\":1,\"topic\":\"t\"}":6},` +
			`"list":[],"more":[1,2],"name":"\u4E2D\/\n\"","rate":0.0,"texts":{}}`},
		{"pretty", MarshalPretty, "{\n\t\"addrs\":{\n\t\t2:\"a\",\n\t\t10:\"b\"\n\t},\n\t\"big\":1152921504606846976,\n" +
			"\t\"by\":{\n\t\t{\"brokerName\":\"b\",\"queueId\":0,\"topic\":\"t\"}:5,\n\t\t{\"brokerName\":\"b\",\"queueId\":1,\"topic\":\"t\"}:6\n\t},\n" +
			"\t\"list\":[],\n\t\"more\":[1,2],\n\t\"name\":\"中/\\n\\\"\",\n\t\"rate\":0.0,\n\t\"texts\":{}\n}"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.marshal(&sampleValue)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			var back sample
			if err := Unmarshal(got, &back); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back.By, sampleValue.By) || back.Name != sampleValue.Name || back.Big != sampleValue.Big {
				t.Errorf("read back as %+v", back)
			}
		})
	}
}

func TestMarshalScalars(t *testing.T) {
	tests := []struct {
		in   any
		want string
	}{
		{nil, "null"}, {1.0, "1.0"}, {0.25, "0.25"}, {-1234567.0, "-1234567.0"}, {1e7, "1E+07"}, {math.NaN(), "null"},
		{"\x00\x1f\x7f\u0085\u2028\t", `"\u0000\u001F\u007F\u0085\u2028\t"`}, {"\xff", "\"\ufffd\""},
		{[]byte{1, 2}, `"AQI="`}, {[2]bool{true}, "[true,false]"}, {map[string]any{"b": nil, "a": int32(1)}, `{"a":1,"b":null}`},
	}
	for _, tt := range tests {
		got, err := Marshal(tt.in)
		if err != nil || string(got) != tt.want {
			t.Errorf("Marshal(%v) = %s, %v; want %s", tt.in, got, err, tt.want)
		}
	}
	if got, err := MarshalStandard("😀<>"); err != nil || string(got) != `"\uD83D\uDE00<>"` {
		t.Errorf("emoji: %s, %v", got, err)
	}
	for _, v := range []any{make(chan int), map[bool]int{true: 1}, uint(1)} {
		if _, err := Marshal(v); err == nil {
			t.Errorf("%T has a JSON form", v)
		}
	}
}

func TestDecodeEnum(t *testing.T) {
	names := []string{"ZERO", "ONE"}
	for in, want := range map[string]string{`"ONE"`: "ONE", `"one"`: "ONE", `1`: "ONE", `0`: "ZERO", `7`: "", `-1`: "", `null`: "", `"NEW"`: "NEW"} {
		got, err := DecodeEnum(jsontext.NewDecoder(strings.NewReader(in)), names)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
	if _, err := DecodeEnum(jsontext.NewDecoder(strings.NewReader(`{}`)), names); err == nil {
		t.Error("an object was read as an enumeration")
	}
}

// FuzzRelax checks that no text makes the reader panic, that what is JSON already keeps its meaning, and that its own
// output is stable.
func FuzzRelax(f *testing.F) {
	for _, s := range []string{`{0:"a"}`, `{{"brokerName":"b"}:5}`, `{a:'b',}`, `[1,,2]`, `["\x41\v"]`, `{"a":{"$ref":"$"}}`, `{{{1:2}:3}:4}`, "[\"\xff\"]", `["\u12"]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var odd any
		oddErr := Unmarshal(data, &odd)
		var strict any
		if json.Unmarshal(data, &strict) == nil {
			if oddErr != nil && !strings.Contains(oddErr.Error(), "too deep") {
				t.Fatalf("JSON is refused: %v", oddErr)
			}
			if oddErr == nil && !reflect.DeepEqual(odd, strict) {
				t.Fatalf("JSON means something else: %#v, not %#v", odd, strict)
			}
		}
		if oddErr != nil {
			return
		}
		once, err := relax(data)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := relax(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q becomes %q becomes %q, %v", data, once, twice, err)
		}
		text, err := Marshal(odd)
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := Unmarshal(text, &back); err != nil {
			t.Fatalf("cannot read back %s: %v", text, err)
		}
	})
}
