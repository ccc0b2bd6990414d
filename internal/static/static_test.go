package static

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// detail is a mapping of topic T at broker a with one queue of each list of items.
func detail(epoch int64, total int32, queues ...[]command.MappingItem) command.TopicMappingDetail {
	d := command.TopicMappingDetail{TopicMapping: command.TopicMapping{Broker: "a", Epoch: epoch, Scope: GlobalScope, Topic: "T", TotalQueues: total},
		Hosted: map[int32][]command.MappingItem{}}
	for i, items := range queues {
		d.Hosted[int32(i)] = items
	}
	return d
}

// item is a stretch that is open at its end.
func item(gen int32, broker string, queue int32, logic int64) command.MappingItem {
	return command.MappingItem{Broker: broker, EndOffset: -1, Gen: gen, LogicOffset: logic, QueueID: queue, TimeOfEnd: -1, TimeOfStart: -1}
}

func TestItem(t *testing.T) {
	open := Item(item(1, "a", 0, 1000))
	open.StartOffset = 10
	ended := open
	ended.EndOffset = 30
	undecided := Item(item(1, "a", 0, -1))
	tests := []struct {
		what      string
		got, want int64
	}{
		{"an offset", open.Logical(15), 1005},
		{"one before the stretch", open.Logical(3), 1000},
		{"and back", open.Physical(1005), 15},
		{"before all", open.Physical(990), 0},
		{"given", open.Given(40), 1030},
		{"given behind the end", ended.Given(40), 1020},
		{"given while it is moved", undecided.Given(7), -1},
		{"the end", ended.End(), 1020},
		{"an end that nobody wrote down", open.End(), 1000},
		{"room", int64(ended.Room(25, 32)), 5},
		{"room for all", int64(open.Room(25, 32)), 32},
		{"room at the end, to learn that it is one", int64(ended.Room(30, 32)), 1},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.what, tt.got, tt.want)
		}
	}
}

func TestAccept(t *testing.T) {
	base := detail(5, 2, []command.MappingItem{item(0, "a", 0, 0)}, []command.MappingItem{item(0, "b", 4, 0), item(1, "a", 1, 10000)})
	tests := []struct {
		what   string
		change func(*command.TopicMappingDetail)
		want   string // beginning of the error; "" for none
	}{
		{"the same again", func(*command.TopicMappingDetail) {}, ""},
		{"another topic", func(d *command.TopicMappingDetail) { d.Topic = "U" }, "The topic name is inconsistent in broker"},
		{"another broker", func(d *command.TopicMappingDetail) { d.Broker = "b" }, "The broker name is not equal a != b"},
		{"dirty", func(d *command.TopicMappingDetail) { d.Dirty = true }, "The mapping info is dirty in broker"},
		{"too many queues", func(d *command.TopicMappingDetail) { d.TotalQueues = MaxQueues + 1 }, "total queue number 65537"},
		{"a queue too many", func(d *command.TopicMappingDetail) { d.Hosted[2] = []command.MappingItem{item(0, "a", 2, 0)} }, "The total queue number in config dose not match the real hosted queues"},
		{"fewer queues", func(d *command.TopicMappingDetail) { d.TotalQueues, d.Epoch = 1, 6; delete(d.Hosted, 1) }, "Cannot decrease the queue num for static topic 1 < 2"},
		{"an older epoch", func(d *command.TopicMappingDetail) { d.Epoch = 4 }, "Can't accept data with small epoch 4 < 5"},
		{"another scope", func(d *command.TopicMappingDetail) { d.Scope = "x" }, "Can't accept data with unmatched scope x != __global__"},
		{"a queue less", func(d *command.TopicMappingDetail) { delete(d.Hosted, 0) }, "Cannot accept equal epoch with null data"},
		{"no stretches", func(d *command.TopicMappingDetail) { d.Hosted[0] = nil }, "The new item list is null or empty"},
		{"another leader", func(d *command.TopicMappingDetail) {
			d.Hosted[0] = append(d.Hosted[0], item(1, "b", 0, 10000))
		}, "The new leader is different but epoch equal"},
		{"another leader, later", func(d *command.TopicMappingDetail) {
			d.Epoch = 6
			d.Hosted[0] = append(d.Hosted[0], item(1, "b", 0, -1))
		}, ""},
		{"the past is changed", func(d *command.TopicMappingDetail) { d.Hosted[1][0].QueueID = 7 }, "the item of gen 0 is immutable"},
		{"a place is changed", func(d *command.TopicMappingDetail) { d.Hosted[1][1].LogicOffset = 20000 }, "the item of gen 1 is immutable"},
		{"the oldest is dropped", func(d *command.TopicMappingDetail) { d.Hosted[1] = d.Hosted[1][1:] }, ""},
		{"a queue of the broker that is not there", func(d *command.TopicMappingDetail) { d.Hosted[0][0].QueueID = 8 }, "The physical queue id is overflow the write queues"},
		{"a queue used twice", func(d *command.TopicMappingDetail) { d.Hosted[0][0].QueueID = 1 }, "Topic T global queue id 0 and 1 shared the same physical queue a-1"},
		{"a negative queue", func(d *command.TopicMappingDetail) { d.Hosted[0][0].QueueID = -1 }, "The field is illegal, should not be negative"},
		{"no broker", func(d *command.TopicMappingDetail) { d.Hosted[1][0].Broker = "" }, "The broker of item dose not exist"},
		{"an old stretch without a place", func(d *command.TopicMappingDetail) { d.Hosted[1][0].LogicOffset = -1 }, "The non-latest item has negative logic offset"},
		{"generations that go back", func(d *command.TopicMappingDetail) { d.Hosted[1][0].Gen = 1 }, "The gen dose not increase monotonically"},
		{"an end before the beginning", func(d *command.TopicMappingDetail) { d.Hosted[1][0].StartOffset, d.Hosted[1][0].EndOffset = 5, 4 }, "The endOffset is smaller than the start offset"},
		{"places that go back", func(d *command.TopicMappingDetail) { d.Hosted[1][0].LogicOffset = 10000 }, "The base logic offset dose not increase monotonically"},
		{"stretches that overlap", func(d *command.TopicMappingDetail) { d.Hosted[1][0].EndOffset = 10000 }, "The max logic offset dose not increase monotonically"},
		{"too many stretches", func(d *command.TopicMappingDetail) {
			d.Hosted[0] = make([]command.MappingItem, MaxItems+1)
		}, "logical queue 0 of T has 1001 items"},
	}
	for _, tt := range tests {
		old, err := Accept(nil, clone(base), "T", "a", 8, false)
		if err != nil {
			t.Fatal(err)
		}
		d := clone(base)
		tt.change(&d)
		m, err := Accept(old, d, "T", "a", 8, false)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.what, err)
		case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
			t.Errorf("%s: got %v, want %q", tt.what, err, tt.want)
		case err == nil && len(m.Detail().Hosted) != 2:
			t.Errorf("%s: %d queues", tt.what, len(m.Detail().Hosted))
		}
	}
}

func clone(d command.TopicMappingDetail) command.TopicMappingDetail {
	hosted := map[int32][]command.MappingItem{}
	for id, items := range d.Hosted {
		hosted[id] = append([]command.MappingItem{}, items...)
	}
	d.Hosted = hosted
	return d
}

// What an administrator forces may contradict what was, but queues that it does not name stay.
func TestForce(t *testing.T) {
	old := New(detail(5, 2, []command.MappingItem{item(0, "a", 0, 0)}, []command.MappingItem{item(0, "a", 1, 0)}))
	d := detail(4, 2, []command.MappingItem{item(0, "b", 3, 0)})
	m, err := Accept(old, d, "T", "a", 8, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Led()) != 1 || m.Led()[0].ID != 1 || m.Queue(0).Leads() || m.Home(1) != 1 || m.Home(0) != 1 {
		t.Errorf("leads %v", m.Info().CurrIDs)
	}
	if len(d.Hosted) != 1 {
		t.Error("the argument was changed")
	}
}

func TestOwners(t *testing.T) {
	m := func(broker string, epoch int64, total int32, scope string, ids ...int32) command.TopicMapping {
		out := command.TopicMapping{Broker: broker, Epoch: epoch, TotalQueues: total, Scope: scope, CurrIDs: map[int32]int32{}}
		for _, id := range ids {
			out.CurrIDs[id] = 7
		}
		return out
	}
	got := Owners("T", map[string]command.TopicMapping{
		"a": m("a", 1, 3, GlobalScope, 0, 1), "b": m("b", 2, 4, GlobalScope, 1), "c": m("c", 9, 1, "x", 0, 5, -1)})
	want := map[skua.Queue]string{
		{Topic: "T", Broker: "__syslo__global__", ID: 0}: "a",
		{Topic: "T", Broker: "__syslo__global__", ID: 1}: "b",
		{Topic: "T", Broker: "__syslo__global__", ID: 2}: skua.NoLogicalBroker,
		{Topic: "T", Broker: "__syslo__global__", ID: 3}: skua.NoLogicalBroker,
		{Topic: "T", Broker: "__syslo__x", ID: 0}:        "c",
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if n := len(Owners("T", nil)); n != 0 {
		t.Errorf("%d queues of a topic that is not static", n)
	}
}

func TestLookUps(t *testing.T) {
	m := New(detail(5, 3, []command.MappingItem{item(0, "a", 0, 0), item(3, "b", 0, 10000), item(4, "a", 2, -1)}, nil, []command.MappingItem{item(0, "b", 1, -1)}))
	q := m.Queue(0)
	for off, want := range map[int64]int32{-5: 0, 0: 0, 9999: 0, 10000: 3, 1 << 60: 3} {
		if got := q.At(off); got.Gen != want {
			t.Errorf("offset %d is in stretch %d, want %d", off, got.Gen, want)
		}
	}
	if m.Queue(1) != nil || m.Queue(9) != nil {
		t.Error("queues without stretches")
	}
	if q := m.Queue(2); q.At(0) != nil || q.First() != nil || q.Last() != nil || q.Leads() {
		t.Error("a stretch without a place was found")
	}
	if m.Home(0) != 2 || m.Home(2) != 2 || New(detail(1, 1)).Home(5) != 5 {
		t.Error("messages that have waited go to the wrong queue")
	}
	if !q.Leads() || q.Leader().QueueID != 2 || q.Last().Gen != 3 || q.Plain() || fmt.Sprint(m.Info().CurrIDs) != "map[0:2]" {
		t.Errorf("%+v", q)
	}
}
