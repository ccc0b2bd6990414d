package nameserver

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
)

// recording is one frame of testdata/namesrv.jsonl.
type recording struct {
	Request  command.Code   `json:"request"`
	Response bool           `json:"response"`
	Header   recordedHeader `json:"header"`
	Hex      string         `json:"hex"`
	Body     int            `json:"bodyLength"`
}

type recordedHeader struct {
	Code   int32             `json:"code"`
	Flag   int32             `json:"flag"`
	Opaque int32             `json:"opaque"`
	Remark string            `json:"remark"`
	Ext    map[string]string `json:"extFields"`
}

func (r *recording) frame(t *testing.T) []byte {
	t.Helper()
	b, err := hex.DecodeString(r.Hex)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r *recording) body(t *testing.T) []byte {
	b := r.frame(t)
	return b[len(b)-r.Body:]
}

// recordings are the requests of each code with the answers that Java gave.
func recordings(t *testing.T) map[command.Code][][2]recording {
	t.Helper()
	f, err := os.Open("testdata/namesrv.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pairs := make(map[command.Code][][2]recording)
	var last recording
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return pairs
		}
		var r recording
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Response {
			pairs[r.Request] = append(pairs[r.Request], [2]recording{last, r})
		}
		last = r
	}
}

// socket is a plain connection to a server, for bytes that were recorded.
type socket struct {
	net.Conn
}

// exchange sends a frame and reads the answer.
func (s socket) exchange(t *testing.T, frame []byte) (recordedHeader, []byte) {
	t.Helper()
	if _, err := s.Write(frame); err != nil {
		t.Fatal(err)
	}
	size := make([]byte, 8)
	if _, err := io.ReadFull(s, size); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, binary.BigEndian.Uint32(size)-4)
	if _, err := io.ReadFull(s, rest); err != nil {
		t.Fatal(err)
	}
	header, body := rest[:binary.BigEndian.Uint32(size[4:])&0xFFFFFF], rest[binary.BigEndian.Uint32(size[4:])&0xFFFFFF:]
	if size[4] != frame[4] {
		t.Errorf("a header of encoding %d was answered with one of %d", frame[4], size[4])
	}
	if size[4] == 1 {
		return compact(header), body
	}
	var h recordedHeader
	if err := json.Unmarshal(header, &h); err != nil {
		t.Fatal(err)
	}
	return h, body
}

// compact decodes a compact header.
func compact(b []byte) (h recordedHeader) {
	cut := func(n int) []byte {
		head := b[:n]
		b = b[n:]
		return head
	}
	i16 := func() int { return int(binary.BigEndian.Uint16(cut(2))) }
	i32 := func() int { return int(binary.BigEndian.Uint32(cut(4))) }
	h.Code = int32(i16())
	cut(3) // language, version
	h.Opaque, h.Flag = int32(i32()), int32(i32())
	h.Remark = string(cut(i32()))
	i32()
	h.Ext = make(map[string]string)
	for len(b) > 0 {
		key := string(cut(i16()))
		h.Ext[key] = string(cut(i32()))
	}
	return h
}

// How an answer is compared with Java's.
const (
	same  = iota // equal, but for the order of members and lists
	shape        // the same members: values depend on what else had been registered
)

// TestRecorded sends what was recorded between Java's servers and clients, byte by byte, and compares the answers with
// those of Java's name server. The recordings are from several runs: the steps bring the server into a like state.
func TestRecorded(t *testing.T) {
	s := start(t, func(o *Options) { o.SupportActingMaster = true })
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pairs := recordings(t)
	covered := make(map[command.Code]bool)
	step := func(code command.Code, n int, how int) {
		t.Helper()
		covered[code] = true
		request, want := pairs[code][n][0], pairs[code][n][1]
		h, body := socket{conn}.exchange(t, request.frame(t))
		compare(t, code, how, h, body, want.Header, want.body(t))
	}
	const all = 2 // brokers: 0 is the master, 1 is a slave of id 2
	step(command.GetBrokerClusterInfo, 0, same)
	step(command.GetRouteinfoByTopic, 5, same) // 17
	step(command.GetRouteinfoByTopic, 6, same) // 17, compact
	step(command.RegisterBroker, 4, same)      // bad CRC
	for n := range all {
		step(command.RegisterBroker, n, same)
	}
	step(command.GetBrokerMemberGroup, 0, shape)
	step(command.GetBrokerClusterInfo, 2, shape)
	for _, topic := range []string{"TopicA", "Retry"} {
		s.mu.Lock()
		s.table.AddTopic(topic, []command.QueueData{{BrokerName: "broker-a", Perm: 6, ReadQueues: 2, WriteQueues: 2}})
		s.mu.Unlock()
	}
	step(command.GetRouteinfoByTopic, 0, same)
	step(command.RegisterBroker, 3, same) // compact
	step(command.RegisterBroker, 2, same) // with acting master and a time of its own
	step(command.GetRouteinfoByTopic, 1, shape)
	step(command.GetRouteinfoByTopic, 3, shape)
	step(command.GetRouteinfoByTopic, 4, shape)
	step(command.QueryDataVersion, 0, shape)
	step(command.WipeWritePermOfBroker, 0, shape)
	step(command.AddWritePermOfBroker, 0, shape)
	step(command.GetAllTopicListFromNameserver, 0, shape)
	step(command.GetTopicsByCluster, 0, shape)
	step(command.GetSystemTopicListFromNS, 0, same)
	step(command.GetUnitTopicList, 0, same)
	step(command.GetHasUnitSubTopicList, 0, same)
	step(command.GetHasUnitSubUnunitTopicList, 0, same)
	step(command.RegisterTopicInNamesrv, 0, same)
	step(command.DeleteTopicInNamesrv, 0, same)
	step(command.GetKvlistByNamespace, 1, same) // 22
	step(command.PutKVConfig, 1, same)          // no key
	step(command.PutKVConfig, 0, same)
	step(command.GetKVConfig, 0, same)
	step(command.GetKVConfig, 1, same) // 22
	if err := s.kv.put("N", "k2", "ü"); err != nil {
		t.Fatal(err)
	}
	step(command.GetKvlistByNamespace, 0, same)
	step(command.DeleteKVConfig, 0, same)
	step(command.UpdateNamesrvConfig, 0, same)
	step(command.UpdateNamesrvConfig, 1, same) // black list
	step(command.GetNamesrvConfig, 0, shape)
	if err := s.kv.put("ORDER_TOPIC_CONFIG", "TopicA", "broker-a:4"); err != nil {
		t.Fatal(err)
	}
	step(command.GetRouteinfoByTopic, 2, shape) // with the configuration of ordered topics
	step(command.UnregisterBroker, 0, same)
	step(command.UnregisterBroker, 1, same) // compact
	step(999, 0, same)
	for code := range handlers {
		if !covered[code] && code != command.BrokerHeartbeat { // not recorded
			t.Errorf("no recorded frame of %v was sent", code)
		}
	}
}

func compare(t *testing.T, code command.Code, how int, h recordedHeader, body []byte, want recordedHeader, wantBody []byte) {
	t.Helper()
	if h.Code != want.Code || h.Flag != want.Flag || h.Opaque != want.Opaque {
		t.Errorf("%v: header %+v, want %+v", code, h, want)
	}
	first, _, _ := strings.Cut(want.Remark, "\n")
	if want.Code != 0 && !strings.HasPrefix(h.Remark, first) {
		t.Errorf("%v: remark %q, want %q", code, h.Remark, first)
	}
	for key, value := range want.Ext {
		if got, ok := h.Ext[key]; !ok || how == same && got != value {
			t.Errorf("%v: %s=%q, want %q", code, key, got, value)
		}
	}
	if len(wantBody) == 0 {
		if len(body) > 0 {
			t.Errorf("%v: body %s, want none", code, body)
		}
		return
	}
	if wantBody[0] != '{' {
		for line := range strings.Lines(string(wantBody)) {
			if key, _, _ := strings.Cut(line, "="); !strings.Contains("\n"+string(body), "\n"+key+"=") {
				t.Logf("%v: no key %s", code, key)
			}
		}
		return
	}
	var got, expected any
	if err := fastjson.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v: %v in %s", code, err, body)
	}
	if err := fastjson.Unmarshal(wantBody, &expected); err != nil {
		t.Fatal(err)
	}
	if how == same && !reflect.DeepEqual(ordered(got), ordered(expected)) {
		t.Errorf("%v: body %s, want %s", code, body, wantBody)
	}
	if how == shape && !slices.Equal(members("", expected), members("", got)) {
		t.Errorf("%v: members %v, want %v", code, members("", got), members("", expected))
	}
}

// ordered sorts lists of names, which are sets.
func ordered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = ordered(v[k])
		}
	case []any:
		slices.SortFunc(v, func(a, b any) int {
			x, _ := a.(string)
			y, _ := b.(string)
			return strings.Compare(x, y)
		})
	}
	return v
}

// members are the paths to all members, without the keys of maps.
func members(path string, v any) (paths []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, value := range v {
			if k == "orderTopicConf" || strings.Trim(k, "0123456789") == "" || strings.Contains(path, "Table") && !strings.Contains(path, "[key]") {
				k = "[key]"
			}
			paths = append(paths, members(path+"."+k, value)...)
		}
	case []any:
		for _, value := range v {
			paths = append(paths, members(path+"[]", value)...)
		}
	default:
		return []string{path}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}
