package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/static"
)

// realNameServer starts a name server and returns its address.
func realNameServer(t testing.TB) string {
	t.Helper()
	var o nameserver.Options
	conf.Defaults(&o)
	o.BindAddress, o.ListenPort, o.KVConfigPath, o.ConfigStorePath = "127.0.0.1", 0, filepath.Join(t.TempDir(), "kv.json"), filepath.Join(t.TempDir(), "namesrv.properties")
	s, err := nameserver.New(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr()
}

// couple are two brokers of one cluster, which a static topic T moves between.
type couple struct {
	t      *testing.T
	names  string
	doors  map[string]*door
	shapes map[string]*shape
	epoch  int64
	total  int32
}

// shape is what a broker is told of T.
type shape struct {
	queues int32
	hosted map[int32][]command.MappingItem
}

func openCouple(t *testing.T, set ...string) *couple {
	t.Helper()
	c := &couple{t: t, names: realNameServer(t), doors: map[string]*door{}, shapes: map[string]*shape{}, epoch: 1}
	for _, name := range []string{"a", "b"} {
		d := openDoor(t, append([]string{"brokerName", name, "brokerIP1", "127.0.0.1", "namesrvAddr", c.names}, set...)...)
		<-d.b.Registered()
		c.doors[name], c.shapes[name] = d, &shape{hosted: map[int32][]command.MappingItem{}}
	}
	return c
}

// create gives T queues at a broker.
func (c *couple) create(at string, queues int32) {
	c.t.Helper()
	c.total = queues
	s := c.shapes[at]
	s.queues = queues
	for id := range queues {
		s.hosted[id] = []command.MappingItem{{Broker: at, EndOffset: -1, QueueID: id, TimeOfEnd: -1, TimeOfStart: -1}}
	}
	for _, name := range []string{"a", "b"} {
		c.tell(name)
	}
}

// tell sends a broker its shape.
func (c *couple) tell(name string) {
	c.t.Helper()
	h, d := c.request(name)
	c.doors[name].peer.must(command.UpdateAndCreateStaticTopic, h, d)
}

func (c *couple) request(name string) (*command.CreateTopicHeader, *command.TopicMappingDetail) {
	s := c.shapes[name]
	return &command.CreateTopicHeader{Topic: "T", DefaultTopic: skua.TemplateTopic, ReadQueues: s.queues, WriteQueues: s.queues, Perm: 6, FilterType: command.SingleTag},
		&command.TopicMappingDetail{TopicMapping: command.TopicMapping{Broker: name, Epoch: c.epoch, Scope: static.GlobalScope, Topic: "T", TotalQueues: c.total}, Hosted: s.hosted}
}

// move moves a queue in the steps of Java's tool; before is called before each.
func (c *couple) move(id int32, from, to string, logic int64, before ...func()) {
	c.t.Helper()
	c.epoch++
	s := c.shapes[to]
	s.queues++
	items := slices.Clone(c.shapes[from].hosted[id])
	items = append(items, command.MappingItem{Broker: to, EndOffset: -1, Gen: items[len(items)-1].Gen + 1, LogicOffset: -1, QueueID: s.queues - 1, TimeOfEnd: -1, TimeOfStart: -1})
	s.hosted[id], c.shapes[from].hosted[id] = items, items
	decided := slices.Clone(items)
	decided[len(decided)-1].LogicOffset = logic
	steps := []func(){func() { c.tell(to) }, func() { c.tell(from) }, func() { s.hosted[id] = decided; c.tell(to) }}
	for i, step := range steps {
		if i < len(before) && before[i] != nil {
			before[i]()
		}
		step()
	}
}

// put sends a message to a logical queue and returns the offset that the broker gives it.
func (c *couple) put(at string, id int32, body string) int64 {
	c.t.Helper()
	answer := c.doors[at].peer.must(command.SendMessageV2, toQueue(id), []byte(body))
	var r command.SendResponse
	if err := command.Decode(answer.Ext, &r); err != nil || id >= 0 && r.QueueID != id {
		c.t.Fatalf("sent to queue %d, the answer says %d, %v", id, r.QueueID, err)
	}
	return r.QueueOffset
}

func toQueue(id int32) *command.SendHeader {
	return &command.SendHeader{ProducerGroup: []byte("P"), Topic: []byte("T"), DefaultTopic: []byte(skua.TemplateTopic), DefaultQueues: 1, BornTimestamp: 1, QueueID: id}
}

// pulled is an answer to a pull, in short: status, next offset, and each message with its offset.
func (c *couple) pulled(at string, id int32, off int64) string {
	c.t.Helper()
	h := pullHeader("T", off)
	h.QueueID = id
	answer := c.doors[at].peer.call(command.PullMessage, h, nil)
	r := pullResponse(c.t, answer)
	out := fmt.Sprintf("%s next %d", command.Status(answer.Code), r.NextOffset)
	for rest := answer.Body; len(rest) > 0; {
		m, n, err := record.Decode(rest)
		if err != nil {
			c.t.Fatal(err)
		}
		out += fmt.Sprintf(" %d:%s", int64(m.QueueOffset)+r.OffsetDelta, m.Body)
		rest = rest[n:]
	}
	return out
}

func (c *couple) wantPulled(at string, id int32, off int64, want string) {
	c.t.Helper()
	if got := c.pulled(at, id, off); got != want {
		c.t.Errorf("pull of queue %d at %d from %s: got %q, want %q", id, off, at, got, want)
	}
}

// offset asks for an offset.
func (c *couple) offset(at string, code command.Code, h command.OffsetHeader) int64 {
	c.t.Helper()
	h.Topic, h.HasQueueID = []byte("T"), true
	answer := c.doors[at].peer.must(code, &h, nil)
	var r command.OffsetResponse
	if err := command.Decode(answer.Ext, &r); err != nil {
		c.t.Fatal(err)
	}
	return r.Offset
}

func (c *couple) wantOffset(at string, code command.Code, h command.OffsetHeader, want int64) {
	c.t.Helper()
	if got := c.offset(at, code, h); got != want {
		c.t.Errorf("%s of queue %d: got %d, want %d", code, h.QueueID, got, want)
	}
}

func (c *couple) commit(at string, id int32, off int64) {
	c.t.Helper()
	c.doors[at].peer.must(command.UpdateConsumerOffset, &command.OffsetHeader{Group: []byte("G"), Topic: []byte("T"), QueueID: id, CommitOffset: off, HasCommit: true, SetZero: true}, nil)
}

func (c *couple) wantCommitted(at string, id int32, want int64) {
	c.t.Helper()
	c.wantOffset(at, command.QueryConsumerOffset, command.OffsetHeader{Group: []byte("G"), QueueID: id, SetZero: true}, want)
}

// A queue of a static topic moves from one broker to another: producers and consumers see one queue.
func TestStaticTopic(t *testing.T) {
	c := openCouple(t)
	c.create("a", 2)
	a, b := c.doors["a"], c.doors["b"]
	for i := range 3 {
		if off := c.put("a", 1, fmt.Sprint("old", i)); off != int64(i) {
			t.Errorf("offset %d, want %d", off, i)
		}
	}
	b.peer.refused(command.StatusNotLeaderForQueue, "T-1 does not exit in request process of current broker b", command.SendMessageV2, toQueue(1), []byte("x"))
	c.wantPulled("a", 1, 1, "SUCCESS next 3 1:old1 2:old2")
	c.wantPulled("a", 1, 3, "PULL_NOT_FOUND next 3")
	c.wantPulled("a", 1, 9, "PULL_OFFSET_MOVED next 3")
	c.commit("a", 1, 1)
	c.wantCommitted("a", 1, 1)

	held := make(chan string, 2)
	hold := func(d *door, off int64) {
		t.Helper()
		waiting := d.connect(nil)
		h := pullHeader("T", off)
		h.QueueID, h.SysFlag, h.SuspendTimeout = 1, h.SysFlag|command.PullSuspend, 60_000
		go func() {
			answer := waiting.call(command.PullMessage, h, nil)
			held <- fmt.Sprintf("%s next %d", command.Status(answer.Code), pullResponse(t, answer).NextOffset)
		}()
		until(t, "a held pull", func() bool { return d.b.HeldPulls() == 1 })
	}
	wantHeld := func(want string) {
		t.Helper()
		if got := <-held; got != want {
			t.Errorf("a pull that was held: got %s, want %s", got, want)
		}
	}
	hold(a, 3)
	c.move(1, "a", "b", 10000, nil, func() {
		// Both are written to; the new one has no place yet.
		if off := c.put("b", 1, "new0"); off != -1 {
			t.Errorf("offset %d before the queue has a place", off)
		}
		c.put("a", 1, "old3")
		wantHeld("SUCCESS next 4")
		hold(a, 4)
	}, func() {
		wantHeld("NOT_LEADER_FOR_QUEUE next 0")
		a.peer.refused(command.StatusNotLeaderForQueue, "T-1 does not exit in request process of current broker a: it was moved to broker b", command.SendMessageV2, toQueue(1), []byte("x"))
		a.peer.refused(command.StatusNotLeaderForQueue, "T-1 cannot find mapping item in request process of current broker a", command.PullMessage, withQueue(pullHeader("T", 0), 1), nil)
		c.wantPulled("b", 1, 4, "PULL_NOT_FOUND next 4")
		c.wantOffset("b", command.GetMaxOffset, command.OffsetHeader{QueueID: 1}, 4)
		hold(b, 4)
	})
	wantHeld("PULL_RETRY_IMMEDIATELY next 10000")

	if off := c.put("b", 1, "new1"); off != 10001 {
		t.Errorf("offset %d behind the move", off)
	}
	c.wantPulled("b", 1, 2, "SUCCESS next 4 2:old2 3:old3")
	c.wantPulled("b", 1, 4, "PULL_RETRY_IMMEDIATELY next 10000")
	c.wantPulled("b", 1, 5000, "PULL_RETRY_IMMEDIATELY next 10000")
	c.wantPulled("b", 1, 10000, "SUCCESS next 10002 10000:new0 10001:new1")
	c.wantPulled("b", 1, 20000, "PULL_OFFSET_MOVED next 10002")
	c.wantOffset("b", command.GetMinOffset, command.OffsetHeader{QueueID: 1}, 0)
	c.wantOffset("b", command.GetMaxOffset, command.OffsetHeader{QueueID: 1}, 10002)
	c.wantPulled("a", 0, 0, "PULL_NOT_FOUND next 0") // the other queue has stayed

	// Offsets of consumers are kept where the messages are.
	c.wantCommitted("b", 1, 1)
	c.commit("b", 1, 3)
	c.wantCommitted("b", 1, 3)
	c.commit("b", 1, 10001)
	c.wantCommitted("b", 1, 10001)
	c.commit("b", 1, 2) // sent back
	c.wantCommitted("b", 1, 2)
	b.peer.must(command.PullMessage, withCommit(withQueue(pullHeader("T", 10000), 1), 10001), nil)
	c.wantCommitted("b", 1, 10001)

	wantRoute(t, c, map[string]map[int32]int32{"a": {0: 0}, "b": {1: 0}})
	restartBoth(c)
	c.wantPulled("b", 1, 10000, "SUCCESS next 10002 10000:new0 10001:new1")
	c.wantPulled("b", 1, 0, "SUCCESS next 4 0:old0 1:old1 2:old2 3:old3")
	wantRoute(t, c, map[string]map[int32]int32{"a": {0: 0}, "b": {1: 0}})

	c.move(1, "b", "a", 20000)
	c.put("a", 1, "again")
	c.wantPulled("a", 1, 2, "SUCCESS next 4 2:old2 3:old3") // its own
	c.wantPulled("a", 1, 4, "PULL_RETRY_IMMEDIATELY next 10000")
	c.wantPulled("a", 1, 10000, "SUCCESS next 10002 10000:new0 10001:new1") // of the other one
	c.wantPulled("a", 1, 10002, "PULL_RETRY_IMMEDIATELY next 20000")
	c.wantPulled("a", 1, 20000, "SUCCESS next 20001 20000:again")
	c.wantCommitted("a", 1, 10001)
}

func withQueue(h *command.PullHeader, id int32) *command.PullHeader {
	h.QueueID = id
	return h
}

func withCommit(h *command.PullHeader, off int64) *command.PullHeader {
	h.SysFlag, h.CommitOffset = h.SysFlag|command.PullCommit, off
	return h
}

// restartBoth stops both brokers and starts them again, with new ports.
func restartBoth(c *couple) {
	c.t.Helper()
	for _, d := range c.doors {
		d.restart()
	}
	for _, d := range c.doors {
		<-d.b.Registered()
	}
}

// wantRoute checks who leads what by the route of T.
func wantRoute(t *testing.T, c *couple, want map[string]map[int32]int32) {
	t.Helper()
	p := &peer{t: t, pool: c.doors["a"].peer.pool, addr: c.names}
	got := ""
	until(t, "the route", func() bool {
		r := ask[command.TopicRoute](p, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T", AcceptStandardJSONOnly: true}, nil)
		led := map[string]map[int32]int32{}
		for name, m := range r.Mappings {
			led[name] = m.CurrIDs
		}
		got = fmt.Sprint(led)
		return got == fmt.Sprint(want)
	})
}

// Times lead to the stretch that has the message, wherever it is.
func TestTimesOfAStaticTopic(t *testing.T) {
	c := openCouple(t)
	c.create("a", 1)
	mark := func() int64 { // a moment with no message in it
		for begin := time.Now().UnixMilli(); time.Now().UnixMilli() == begin; {
			runtime.Gosched()
		}
		now := time.Now().UnixMilli()
		for time.Now().UnixMilli() == now {
			runtime.Gosched()
		}
		return now
	}
	before := mark()
	c.put("a", 0, "0")
	between := mark()
	c.put("a", 0, "1")
	moved := mark()
	c.move(0, "a", "b", 10000)
	c.put("b", 0, "2")
	after := mark()
	search := func(ms int64, upper bool, want int64) {
		t.Helper()
		h := command.OffsetHeader{Timestamp: ms, HasTimestamp: true, BoundaryType: []byte("LOWER")}
		if upper {
			h.BoundaryType = []byte("UPPER")
		}
		c.wantOffset("b", command.SearchOffsetByTimestamp, h, want)
	}
	search(before, false, 0)
	search(between, false, 1)
	search(moved, false, 10000)
	search(after, false, 10001)
	search(between, true, 0)
	search(moved, true, 1)
	search(after, true, 10000)
	answer := c.doors["b"].peer.must(command.GetEarliestMsgStoretime, &command.OffsetHeader{Topic: []byte("T"), SetZero: true}, nil)
	var r command.TimestampResponse
	if err := command.Decode(answer.Ext, &r); err != nil || r.Timestamp <= before || r.Timestamp >= between {
		t.Errorf("earliest %d, want between %d and %d; %v", r.Timestamp, before, between, err)
	}
	for _, code := range []command.Code{command.SearchOffsetByTimestamp, command.GetMaxOffset, command.GetMinOffset, command.GetEarliestMsgStoretime, command.QueryConsumerOffset} {
		c.doors["a"].peer.refused(command.StatusNotLeaderForQueue, "T-0 ", code, &command.OffsetHeader{Group: []byte("G"), Topic: []byte("T"), SetZero: true}, nil)
	}
}

// What is asked with lo=false is about the queue of the broker.
func TestPhysicalQueues(t *testing.T) {
	c := openCouple(t)
	c.create("a", 1)
	c.put("a", 0, "0")
	c.move(0, "a", "b", 10000)
	c.put("b", 0, "1")
	for _, name := range []string{"a", "b"} {
		h := pullHeader("T", 0)
		h.Physical = true
		answer := c.doors[name].peer.must(command.PullMessage, h, nil)
		if r := pullResponse(t, answer); r.NextOffset != 1 || r.OffsetDelta != 0 || len(bodies(t, answer.Body)) != 1 {
			t.Errorf("at %s %+v", name, r)
		}
		c.wantOffset(name, command.GetMaxOffset, command.OffsetHeader{Physical: true}, 1)
	}
	table := ask[command.TopicStatsTable](c.doors["b"].peer, command.GetTopicStatsInfo, &command.TopicHeader{Topic: "T"}, nil)
	if got := table.Offsets[command.MessageQueue{Broker: "b", Topic: "T"}].MaxOffset; got != 1 {
		t.Errorf("statistics are of the broker's queues: max %d", got)
	}
	consumed := ask[command.ConsumeStats](c.doors["b"].peer, command.GetConsumeStats, &command.ConsumeStatsHeader{Group: "G", Topic: "T"}, nil)
	if got := consumed.Offsets[command.MessageQueue{Broker: "b", Topic: "T"}]; got.ConsumerOffset != -1 || got.BrokerOffset != 1 {
		t.Errorf("a group without offset: %+v", got)
	}
}

// A broker that has a part of a queue is away: what is there cannot be had, and the answer says why.
func TestAwayBroker(t *testing.T) {
	c := openCouple(t, "forwardTimeout", "500")
	c.create("a", 1)
	c.put("a", 0, "0")
	c.move(0, "a", "b", 10000)
	c.put("b", 0, "1")
	c.wantPulled("b", 0, 0, "SUCCESS next 1 0:0")
	c.doors["a"].restart() // at another port
	<-c.doors["a"].b.Registered()
	c.wantPulled("b", 0, 0, "SUCCESS next 1 0:0")
	c.doors["a"].close()
	p := c.doors["b"].peer
	p.refused(command.StatusSystemError, "cannot find addr for broker a", command.PullMessage, pullHeader("T", 0), nil)
	c.wantPulled("b", 0, 10000, "SUCCESS next 10001 10000:1")
	c.doors["a"].start()
	<-c.doors["a"].b.Registered()
	c.wantPulled("b", 0, 0, "SUCCESS next 1 0:0")
}

// Ordered consumers lock logical queues at the broker that leads them.
func TestLocksOfLogicalQueues(t *testing.T) {
	c := openCouple(t)
	c.create("a", 2)
	c.move(1, "a", "b", 10000)
	queues := []command.MessageQueue{{Broker: "__syslo__global__", Topic: "T"}, {Broker: "__syslo__global__", QueueID: 1, Topic: "T"}, {Broker: "__syslo__x", Topic: "T"}}
	lock := func(at, client string, want ...command.MessageQueue) {
		t.Helper()
		got := ask[command.LockBatchResponse](c.doors[at].peer, command.LockBatchMQ, nil, command.LockBatch{Group: "G", ClientID: client, Queues: queues}).Locked
		if !slices.Equal(got, want) {
			t.Errorf("locked %v, want %v", got, want)
		}
	}
	lock("a", "one", queues[0])
	lock("a", "two")
	lock("b", "two", queues[1])
	c.doors["a"].restart()
	lock("a", "two")
	c.doors["a"].peer.must(command.UnlockBatchMQ, nil, command.LockBatch{Group: "G", ClientID: "one", Queues: queues})
	lock("a", "two", queues[0])
}

// The mapping of a topic is told to those who ask for it, and goes with the topic.
func TestMappingOfATopic(t *testing.T) {
	c := openCouple(t)
	c.create("a", 2)
	p := c.doors["a"].peer
	yes := true
	logical := &command.TopicConfigHeader{Topic: "T", Logical: &yes}
	d := ask[command.TopicConfigDetail](p, command.GetTopicConfig, logical, nil)
	if d.Mapping == nil || d.Mapping.TotalQueues != 2 || len(d.Mapping.Hosted) != 2 || d.WriteQueues != 2 {
		t.Errorf("mapping %+v", d)
	}
	if body := string(p.must(command.GetTopicConfig, &command.TopicConfigHeader{Topic: "T"}, nil).Body); strings.Contains(body, "mappingDetail") {
		t.Errorf("it was not asked for: %s", body)
	}
	all := ask[command.TopicConfigWrapper](p, command.GetAllTopicConfig, nil, nil)
	if len(all.MappingDetails) != 1 || all.MappingDataVersion.Counter != 1 {
		t.Errorf("of all topics %+v, %+v", all.MappingDetails, all.MappingDataVersion)
	}
	// An ordinary change of the topic leaves the mapping as it is.
	p.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 3, WriteQueues: 3, Perm: 6, FilterType: command.SingleTag}, nil)
	if d := ask[command.TopicConfigDetail](p, command.GetTopicConfig, logical, nil); d.Mapping == nil || d.WriteQueues != 3 {
		t.Errorf("after a change %+v", d)
	}
	p.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	p.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 2, WriteQueues: 2, Perm: 6, FilterType: command.SingleTag}, nil)
	if d := ask[command.TopicConfigDetail](p, command.GetTopicConfig, logical, nil); d.Mapping != nil {
		t.Errorf("a topic of the same name has the mapping of one that was deleted: %+v", d)
	}
	c.doors["a"].close()
	if text, err := os.ReadFile(filepath.Join(c.doors["a"].o.StorePathRootDir, "config", "topicQueueMapping.json")); err != nil || strings.Contains(string(text), `"T"`) {
		t.Errorf("the file still has it: %s, %v", text, err)
	}
}

// What does not fit is refused, and changes nothing.
func TestBadMappings(t *testing.T) {
	c := openCouple(t)
	c.create("a", 2)
	p := c.doors["a"].peer
	tests := []struct {
		what   string
		change func(*command.CreateTopicHeader, *command.TopicMappingDetail)
		status command.Status
		remark string
	}{
		{"an older epoch", func(_ *command.CreateTopicHeader, d *command.TopicMappingDetail) { d.Epoch = 0 }, command.StatusSystemError, "Can't accept data with small epoch 0 < 1"},
		{"another broker", func(_ *command.CreateTopicHeader, d *command.TopicMappingDetail) { d.Broker = "b" }, command.StatusSystemError, "The broker name is not equal a != b"},
		{"too few queues here", func(h *command.CreateTopicHeader, _ *command.TopicMappingDetail) { h.WriteQueues = 1 }, command.StatusSystemError, "The physical queue id is overflow"},
		{"too many queues", func(h *command.CreateTopicHeader, _ *command.TopicMappingDetail) { h.WriteQueues = 70000 }, command.StatusInvalidParameter, "topic T: "},
		{"fewer logical queues", func(_ *command.CreateTopicHeader, d *command.TopicMappingDetail) { d.TotalQueues = 1 }, command.StatusSystemError, "The total queue number in config"},
		{"a system topic", func(h *command.CreateTopicHeader, d *command.TopicMappingDetail) {
			h.Topic, d.Topic = skua.ScheduleTopic, skua.ScheduleTopic
		}, command.StatusInvalidParameter, "The topic[SCHEDULE_TOPIC_XXXX] is conflict"},
		{"a bad name", func(h *command.CreateTopicHeader, d *command.TopicMappingDetail) { h.Topic, d.Topic = "T/", "T/" }, command.StatusInvalidParameter, "The specified topic"},
		{"a bad filter type", func(h *command.CreateTopicHeader, d *command.TopicMappingDetail) { h.FilterType = "x" }, command.StatusSystemError, "topicFilterType = [x] value invalid"},
	}
	for _, tt := range tests {
		h, d := c.request("a")
		tt.change(h, d)
		answer := p.call(command.UpdateAndCreateStaticTopic, h, d)
		if command.Status(answer.Code) != tt.status || !strings.HasPrefix(string(answer.Remark), tt.remark) {
			t.Errorf("%s: got %s %q, want %s %q", tt.what, command.Status(answer.Code), answer.Remark, tt.status, tt.remark)
		}
	}
	h, _ := c.request("a")
	p.refused(command.StatusSystemError, "the body cannot be read", command.UpdateAndCreateStaticTopic, h, []byte("{nonsense"))
	p.refused(command.StatusSystemError, "the body is missing", command.UpdateAndCreateStaticTopic, h, nil)
	p.refused(command.StatusInvalidParameter, "the body has ", command.UpdateAndCreateStaticTopic, h, []byte(strings.Repeat("{", 200_000)))
	p.refused(command.StatusNotLeaderForQueue, "T-2 does not exit in request process of current broker a: it was never here", command.SendMessageV2, toQueue(2), []byte("x"))
	if off := c.put("a", 1, "x"); off != 0 {
		t.Errorf("offset %d after refusals", off)
	}
	if off := c.put("a", -1, "any"); off < 0 {
		t.Errorf("offset %d in any queue", off)
	}
	// Who forces may go back.
	yes := true
	h, d := c.request("a")
	d.Epoch, h.Force = 0, &yes
	p.must(command.UpdateAndCreateStaticTopic, h, d)
}

// In the hours of deleteWhen what is of no use is dropped from mappings.
func TestSweepOfMappings(t *testing.T) {
	c := openCouple(t, "deleteWhen", "04")
	c.create("a", 2)
	four := time.Date(2026, 1, 1, 4, 30, 0, 0, time.Local)
	c.put("a", 1, "kept")
	c.move(0, "a", "b", 10000) // nothing was ever in it
	c.move(1, "a", "b", 10000)
	gens := func(at string, id int32) (out []int32) {
		yes := true
		d := ask[command.TopicConfigDetail](c.doors[at].peer, command.GetTopicConfig, &command.TopicConfigHeader{Topic: "T", Logical: &yes}, nil)
		for _, it := range d.Mapping.Hosted[id] {
			out = append(out, it.Gen)
		}
		return out
	}
	want := func(at string, id int32, want string) {
		t.Helper()
		if got := fmt.Sprint(gens(at, id)); got != want {
			t.Errorf("stretches of queue %d at %s: %s, want %s", id, at, got, want)
		}
	}
	b := c.doors["b"].b
	b.SweepMappings(four.Add(time.Hour))
	want("b", 0, "[0 1]")
	b.SweepMappings(four)
	want("b", 0, "[1]")
	want("b", 1, "[0 1]")
	c.wantPulled("b", 0, 0, "PULL_OFFSET_MOVED next 10000")

	// A queue that has moved on twice is forgotten where it was first: here a third broker leads it.
	d := openDoor(t, "brokerName", "c", "brokerIP1", "127.0.0.1", "namesrvAddr", c.names)
	<-d.b.Registered()
	c.doors["c"], c.shapes["c"] = d, &shape{hosted: map[int32][]command.MappingItem{}}
	c.shapes["b"].hosted[1] = gensOf(c, "b", 1)
	c.move(1, "b", "c", 20000)
	want("a", 1, "[0 1]")
	c.tell("a") // of the epoch only
	c.doors["a"].b.SweepMappings(four)
	want("a", 1, "[]")
	want("b", 1, "[0 1 2]")
	c.wantPulled("c", 1, 0, "SUCCESS next 1 0:kept")
}

// gensOf are the stretches of a queue at a broker.
func gensOf(c *couple, at string, id int32) []command.MappingItem {
	yes := true
	d := ask[command.TopicConfigDetail](c.doors[at].peer, command.GetTopicConfig, &command.TopicConfigHeader{Topic: "T", Logical: &yes}, nil)
	return d.Mapping.Hosted[id]
}

// Messages that wait while their queue moves away are delivered to one that is still read; the ends of transactions find their
// halves.
func TestWaitingMessagesOfAMovedQueue(t *testing.T) {
	c := openCouple(t, "messageDelayLevel", "1s 1h")
	c.create("a", 2)
	p := c.doors["a"].peer
	c.move(0, "a", "b", 10000)
	c.move(0, "b", "a", 20000)
	send := func(id int32, body string, properties ...string) command.SendResponse {
		t.Helper()
		h := toQueue(id)
		for i := 0; i < len(properties); i += 2 {
			h.Properties = record.AppendProperty(h.Properties, properties[i], properties[i+1])
		}
		if slices.Contains(properties, skua.PropTransactionPrepared) {
			h.SysFlag = record.FlagTransactionPrepared
		}
		var r command.SendResponse
		answer := p.must(command.SendMessageV2, h, []byte(body))
		if err := command.Decode(answer.Ext, &r); err != nil {
			t.Fatal(err)
		}
		r.MsgID, r.TransactionID = slices.Clone(r.MsgID), slices.Clone(r.TransactionID)
		return r
	}
	send(0, "delayed", skua.PropDelayLevel, "1")
	half := send(0, "half", skua.PropTransactionPrepared, "true", skua.PropProducerGroup, "P")
	if half.QueueOffset != 0 || half.QueueID != 0 {
		t.Errorf("half message at %d of queue %d", half.QueueOffset, half.QueueID)
	}
	c.move(0, "a", "b", 30000)
	_, off, err := record.ParseOffsetID(string(half.MsgID))
	if err != nil {
		t.Fatal(err)
	}
	p.must(command.EndTransaction, &command.EndTransactionHeader{ProducerGroup: []byte("P"), HalfOffset: skua.QueueOffset(half.QueueOffset),
		CommitLogOffset: off, Outcome: command.OutcomeCommit, MsgID: half.TransactionID, TransactionID: half.TransactionID}, nil)
	until(t, "both messages in the queue that has stayed", func() bool {
		got := c.pulled("a", 1, 0)
		return strings.Contains(got, ":delayed") && strings.Contains(got, ":half")
	})
}

// While a queue moves to and fro under load, none of its messages comes behind one that tells that the queue was given away: a
// tool that has been answered finds all of them.
func TestNothingIsStoredBehindAMove(t *testing.T) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			c := openCouple(t, "flushDiskType", flush)
			c.create("a", 1)
			stop, done := make(chan struct{}), make(chan int, 4)
			for range cap(done) {
				a, b := c.doors["a"].connect(nil), c.doors["b"].connect(nil)
				go func() {
					stored := 0
					for at, other := a, b; ; {
						select {
						case <-stop:
							done <- stored
							return
						default:
						}
						switch command.Status(at.call(command.SendMessageV2, toQueue(0), []byte("x")).Code) {
						case command.StatusSuccess:
							stored++
						case command.StatusNotLeaderForQueue:
							at, other = other, at
						default:
							t.Error("a send was refused")
							done <- stored
							return
						}
					}
				}()
			}
			ends := map[string]map[int32]int64{"a": {}, "b": {}}
			for n, from, to := int64(1), "a", "b"; n <= 10; n, from, to = n+1, to, from {
				old := c.shapes[from].hosted[0][len(c.shapes[from].hosted[0])-1].QueueID
				physical := func() int64 {
					return c.offset(from, command.GetMaxOffset, command.OffsetHeader{QueueID: old, Physical: true})
				}
				was := physical()
				until(t, "messages", func() bool { return physical() > was+3 })
				c.move(0, from, to, 100_000*n, nil, nil, func() { ends[from][old] = physical() })
			}
			close(stop)
			stored := 0
			for range cap(done) {
				stored += <-done
			}
			found := int64(0)
			for name, s := range c.shapes {
				for id := range s.queues {
					end := c.offset(name, command.GetMaxOffset, command.OffsetHeader{QueueID: id, Physical: true})
					if want, given := ends[name][id]; given && end != want {
						t.Errorf("queue %d of %s ended at %d when it was given away, and at %d later", id, name, want, end)
					}
					found += end
				}
			}
			if found != int64(stored) {
				t.Errorf("%d messages are there, %d were acknowledged", found, stored)
			}
		})
	}
}
