package command

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
)

// bodies are the types that stand in testdata/bodies.txt.
var bodies = map[string]any{
	"Assignments": Assignments{}, "BrokerMemberGroupBody": BrokerMemberGroupBody{}, "BrokerStatsData": BrokerStatsData{},
	"CheckClient": CheckClient{}, "ClusterInfo": ClusterInfo{}, "ConsumeMessageDirectlyResult": ConsumeMessageDirectlyResult{},
	"ConsumeQueueSlice": ConsumeQueueSlice{}, "ConsumeStats": ConsumeStats{}, "ConsumeStatsList": ConsumeStatsList{},
	"ConsumeTimeSpans": ConsumeTimeSpans{}, "ConsumerConnection": ConsumerConnection{}, "ConsumerFilters": ConsumerFilters{}, "ConsumerList": ConsumerList{},
	"ConsumerOffsets": ConsumerOffsets{}, "ConsumerPositions": ConsumerPositions{}, "ConsumerRunningInfo": ConsumerRunningInfo{},
	"CorrectionOffsets": CorrectionOffsets{}, "DataVersion": DataVersion{}, "DelayOffsets": DelayOffsets{},
	"GroupConfig": GroupConfig{}, "GroupConfigList": GroupConfigList{}, "GroupConfigWrapper": GroupConfigWrapper{},
	"GroupForbidden": GroupForbidden{}, "GroupList": GroupList{}, "GroupSubscription": GroupSubscription{}, "HAStatus": HAStatus{},
	"HeartbeatData": HeartbeatData{}, "KVTable": KVTable{}, "LockBatch": LockBatch{}, "LockBatchResponse": LockBatchResponse{},
	"MessageRequestMode": MessageRequestMode{}, "MessageRequestModes": MessageRequestModes{}, "ProducerConnection": ProducerConnection{},
	"ProducerTable": ProducerTable{}, "QueryAssignmentBody": QueryAssignmentBody{}, "RegisterBrokerBody": RegisterBrokerBody{},
	"ResetOffset": ResetOffset{}, "TopicConfigDetail": TopicConfigDetail{}, "TopicConfigList": TopicConfigList{},
	"TopicConfigTable": TopicConfigTable{}, "TopicConfigWrapper": TopicConfigWrapper{}, "TopicList": TopicList{},
	"TopicMappingDetail": TopicMappingDetail{}, "TopicMappingTable": TopicMappingTable{}, "TopicRoute": TopicRoute{},
	"TopicStatsTable": TopicStatsTable{},
}

// recorded returns the rows of a file in testdata, cut at tabs.
func recorded(t *testing.T, file string, columns int) [][]string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "#") {
			rows = append(rows, strings.SplitN(line, "\t", columns))
		}
	}
	return rows
}

// TestRecordedBodies reads what Java wrote and writes it again: nothing may be lost, and nothing that Java would take
// for something else added.
func TestRecordedBodies(t *testing.T) {
	for _, row := range recorded(t, "bodies.txt", 2) {
		name, text := row[0], row[1]
		zero, ok := bodies[name]
		if !ok {
			t.Errorf("no type %s", name)
			continue
		}
		v := reflect.New(reflect.TypeOf(zero))
		if err := fastjson.Unmarshal([]byte(text), v.Interface()); err != nil {
			t.Errorf("%s: %v in %.200s", name, err, text)
			continue
		}
		again, err := fastjson.Marshal(v.Interface())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		missing(t, name, plain(t, []byte(text)), plain(t, again))
	}
}

// plain reads a body without a type.
func plain(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	if err := fastjson.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// legacy members are not kept on purpose: Java's own code has no use for them either.
var legacy = []string{"filterClassSource"}

// missing reports members of want that got lacks or has another value for. Lists that were sets may be in any order.
func missing(t *testing.T, path string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: %v became %v", path, want, got)
			return
		}
		for k, v := range w {
			if slices.Contains(legacy, k) || v == nil {
				continue
			}
			if _, ok := g[key(t, g, k)]; !ok {
				t.Errorf("%s.%s is lost", path, k)
				continue
			}
			missing(t, path+"."+k, v, g[key(t, g, k)])
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(w) != len(g) {
			t.Errorf("%s: %v became %v", path, want, got)
			return
		}
		for i := range w {
			missing(t, path+"[]", w[i], g[i])
		}
	default:
		if !reflect.DeepEqual(want, got) {
			t.Errorf("%s: %v became %v", path, want, got)
		}
	}
}

// key finds k in m, also if it is an object whose members are in another order.
func key(t *testing.T, m map[string]any, k string) string {
	if _, ok := m[k]; ok || !strings.HasPrefix(k, "{") {
		return k
	}
	for other := range m {
		if reflect.DeepEqual(plain(t, []byte(k)), plain(t, []byte(other))) {
			return other
		}
	}
	return k
}

// TestMembersInOrder keeps the rule that fields stand in the order that they are written in, which makes a body easy to
// compare with Java's.
func TestMembersInOrder(t *testing.T) {
	for name, zero := range bodies {
		typ := reflect.TypeOf(zero)
		last := ""
		for i := range typ.NumField() {
			field := typ.Field(i)
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if tag == "" {
				continue
			}
			if tag < last {
				t.Errorf("%s: %s comes after %s", name, tag, last)
			}
			last = tag
		}
	}
}

func TestDefaults(t *testing.T) {
	var topics TopicConfigTable
	if err := fastjson.Unmarshal([]byte(`{"topicConfigTable":{"t":{"topicName":"t","order":true,"future":{"x":[1]}}}}`), &topics); err != nil {
		t.Fatal(err)
	}
	c := topics.Topics["t"]
	if c.ReadQueues != 16 || c.WriteQueues != 16 || c.Perm != skua.PermRead|skua.PermWrite || c.FilterType != SingleTag || !c.Order {
		t.Errorf("topic %+v", c)
	}
	var groups GroupConfigWrapper
	if err := fastjson.Unmarshal([]byte(`{"subscriptionGroupTable":{"g":{"groupName":"g","consumeEnable":false,"future":7}}}`), &groups); err != nil {
		t.Fatal(err)
	}
	g := groups.Groups["g"]
	want := DefaultGroupConfig("g")
	want.ConsumeEnable = false
	want.Unknown = jsontext.Value(`{"future":7}`)
	if !reflect.DeepEqual(g, want) {
		t.Errorf("group %+v, want %+v", g, want)
	}
	for _, v := range []any{&topics, &groups} {
		text, err := fastjson.MarshalPretty(v)
		if err != nil || !strings.Contains(string(text), `"future"`) {
			t.Errorf("a member of a newer release is lost: %s, %v", text, err)
		}
	}
}

// TestOtherClients reads what clients in other languages send.
func TestOtherClients(t *testing.T) {
	var h HeartbeatData
	text := `{"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"g","messageModel":1,
		"subscriptionDataSet":[{"codeSet":["2598919",-3],"subString":"TagA","topic":"t","tagsSet":["TagA"],"subVersion":"5"}]}],"producerDataSet":null}`
	if err := fastjson.Unmarshal([]byte(text), &h); err != nil {
		t.Fatal(err)
	}
	c := h.Consumers[0]
	if c.FromWhere != FromFirstOffset || c.Type != ConsumePassively || c.Model != Clustering {
		t.Errorf("enumerations %+v", c)
	}
	if s := c.Subscriptions[0]; !slices.Equal(s.Codes, []int32{2598919, -3}) || s.Version != 5 {
		t.Errorf("subscription %+v", s)
	}
	var r ConsumeMessageDirectlyResult
	if err := fastjson.Unmarshal([]byte(`{"consumeResult":4,"spentTimeMills":3}`), &r); err != nil || r.Result != ConsumeThrew {
		t.Errorf("result %+v, %v", r, err)
	}
	var conn Connection
	if err := fastjson.Unmarshal([]byte(`{"language":"GO","version":317}`), &conn); err != nil || conn.Language != Go {
		t.Errorf("connection %+v, %v", conn, err)
	}
	if err := fastjson.Unmarshal([]byte(`{"language":"KLINGON"}`), &conn); err != nil || conn.Language != Other {
		t.Errorf("connection %+v, %v", conn, err)
	}
	text2, err := fastjson.Marshal(Connection{Language: Rust})
	if err != nil || !strings.Contains(string(text2), `"language":"RUST"`) {
		t.Errorf("%s, %v", text2, err)
	}
}

func TestDataVersion(t *testing.T) {
	v := DataVersion{StateVersion: 3}
	next := v.Next(1000)
	if want := (DataVersion{Counter: 1, StateVersion: 3, Timestamp: 1000}); next != want {
		t.Errorf("got %+v, want %+v", next, want)
	}
	if next.Equal(v) || !next.Equal(next.Next(1000)) && next.Next(1000).Counter != 2 {
		t.Error("versions compare wrong")
	}
}

func TestQueues(t *testing.T) {
	q := skua.Queue{Topic: "t", Broker: "b", ID: 3}
	if QueueOf(q).Queue() != q {
		t.Error("a queue changes on the way")
	}
	text, err := fastjson.MarshalStandard(ResetOffsetList{Offsets: []ResetOffsetItem{{Broker: "b", Offset: 5, Topic: "t"}}})
	if err != nil || !json.Valid(text) {
		t.Errorf("%s, %v", text, err)
	}
}

// The names are those of Java's list.
func TestVersionName(t *testing.T) {
	for v, want := range map[int32]string{17: "V3_0_1", 36: "V3_0_11_SNAPSHOT", V3_0_11: "V3_0_11", 45: "V3_0_15", 47: "V3_1_0", 67: "V3_2_0", 85: "V3_2_9",
		87: "V3_3_1", 103: "V3_3_9", 105: "V3_4_1", V3_4_9: "V3_4_9", 195: "V3_9_1", 211: "V3_9_9", 213: "V4_0_0", V4_9_4: "V4_9_4", V5_0_0: "V5_0_0",
		V5_3_1: "V5_3_1", V5_5_0: "V5_5_0", 611: "V5_9_9", 612: "HIGHER_VERSION", 1 << 30: "HIGHER_VERSION", -5: "V3_0_0"} {
		if got := VersionName(v); got != want {
			t.Errorf("%d: %s, want %s", v, got, want)
		}
	}
}
