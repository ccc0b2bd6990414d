package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// pullHeader is the header of a pull of everything in queue 0, not to be held.
func pullHeader(topic string, off int64) *command.PullHeader {
	return &command.PullHeader{Group: []byte("G"), Topic: []byte(topic), QueueOffset: off, MaxMessages: 32, SysFlag: command.PullSubscription,
		Subscription: []byte("*")}
}

func pullResponse(t testing.TB, f *wire.Frame) command.PullResponse {
	t.Helper()
	var r command.PullResponse
	if err := command.Decode(f.Ext, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// bodies are the bodies of records one behind the other.
func bodies(t testing.TB, records []byte) []string {
	t.Helper()
	var out []string
	for len(records) > 0 {
		m, n, err := record.Decode(records)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(m.Body))
		records = records[n:]
	}
	return out
}

// subscribe makes the peer a consumer of a group.
func (p *peer) subscribe(group string, s ...command.SubscriptionData) {
	p.t.Helper()
	p.must(command.HeartBeat, nil, command.HeartbeatData{ClientID: "c", Consumers: []command.ConsumerData{{Group: group, Model: command.Clustering,
		Type: command.ConsumePassively, FromWhere: command.FromFirstOffset, Subscriptions: s}}})
}

func TestPull(t *testing.T) {
	d := openDoor(t)
	for i := range 40 {
		d.peer.send("T", fmt.Sprint(i), "TAGS", string(rune('A'+i%2)))
	}
	answer := d.peer.must(command.PullMessage, pullHeader("T", 5), nil)
	if string(answer.Remark) != "FOUND" {
		t.Errorf("remark %s", answer.Remark)
	}
	got := bodies(t, answer.Body)
	if len(got) != 32 || got[0] != "5" || got[31] != "36" {
		t.Errorf("pulled %v", got)
	}
	if r := pullResponse(t, answer); r.NextOffset != 37 || r.MinOffset != 0 || r.MaxOffset != 40 || r.SuggestBroker != 0 {
		t.Errorf("answer %+v", r)
	}
	h := pullHeader("T", 0)
	h.Subscription, h.MaxMessages = []byte(" B ||C"), 3
	if got := bodies(t, d.peer.must(command.LitePullMessage, h, nil).Body); fmt.Sprint(got) != "[1 3 5]" {
		t.Errorf("pulled by tag %v", got)
	}
	h.MaxMessages, h.MaxBytes = 32, 300
	if got := bodies(t, d.peer.must(command.PullMessage, h, nil).Body); len(got) == 0 || len(got) > 3 {
		t.Errorf("pulled %d messages with maxMsgBytes=300", len(got))
	}
}

func TestPullStatuses(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	for i := range 5 {
		d.peer.send("T", fmt.Sprint(i), "TAGS", "A")
	}
	for _, c := range []struct {
		name   string
		queue  int32
		off    int64
		tags   string
		status command.Status
		remark string
		next   int64
	}{
		{"end", 0, 5, "*", 19, "OFFSET_OVERFLOW_ONE", 5},
		{"beyond the end", 0, 6, "*", 21, "OFFSET_OVERFLOW_BADLY", 5},
		{"before the beginning", 0, -5, "*", 21, "OFFSET_TOO_SMALL", 0},
		{"no match", 0, 0, "Z", 20, "NO_MATCHED_MESSAGE", 5},
		{"empty queue", 1, 0, "*", 19, "NO_MESSAGE_IN_QUEUE", 0},
		{"empty queue, other offset", 1, 5, "*", 21, "NO_MESSAGE_IN_QUEUE", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := pullHeader("T", c.off)
			h.QueueID, h.Subscription = c.queue, []byte(c.tags)
			answer := d.peer.call(command.PullMessage, h, nil)
			if command.Status(answer.Code) != c.status || string(answer.Remark) != c.remark {
				t.Errorf("got %d %s, want %d %s", answer.Code, answer.Remark, c.status, c.remark)
			}
			if r := pullResponse(t, answer); r.NextOffset != c.next {
				t.Errorf("next offset %d, want %d", r.NextOffset, c.next)
			}
			for _, field := range []string{"suggestWhichBrokerId", "nextBeginOffset", "minOffset", "maxOffset"} {
				if _, ok := answer.Ext.Get(field); !ok {
					t.Errorf("%s is missing", field)
				}
			}
		})
	}
}

func TestPullChecks(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "WriteOnly", ReadQueues: 1, WriteQueues: 1, Perm: 2, FilterType: "SINGLE_TAG"}, nil)
	off := command.DefaultGroupConfig("Off")
	off.ConsumeEnable = false
	noBroadcast := command.DefaultGroupConfig("NoBroadcast")
	noBroadcast.ConsumeBroadcastEnable = false
	for _, g := range []command.GroupConfig{off, noBroadcast, command.DefaultGroupConfig("Barred")} {
		d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, g)
	}
	no := false
	d.peer.must(command.UpdateAndGetGroupForbidden, &command.GroupForbiddenHeader{Group: "Barred", Topic: "T", Readable: &no}, nil)
	consumer := d.connect(nil)
	consumer.must(command.HeartBeat, nil, command.HeartbeatData{ClientID: "c", Consumers: []command.ConsumerData{
		{Group: "NoBroadcast", Model: command.Broadcasting, Type: command.ConsumePassively, Subscriptions: []command.SubscriptionData{{Topic: "T", Expression: "*"}}},
		{Group: "Online", Model: command.Clustering, Type: command.ConsumePassively, Subscriptions: []command.SubscriptionData{
			{Topic: "T", Expression: "*", Version: 10}, {Topic: "WriteOnly", Expression: "a > 1", ExpressionType: "SQL92"}}}}})
	const faq = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
	for _, c := range []struct {
		name      string
		status    command.Status
		remark    string
		forbidden int32
		alter     func(h *command.PullHeader)
	}{
		{"unknown topic", 17, "topic[Nope] not exist, apply first please! " + faq, 0, func(h *command.PullHeader) { h.Topic = []byte("Nope") }},
		{"topic not readable", 16, "the topic[WriteOnly] pulling message is forbidden", 3, func(h *command.PullHeader) { h.Topic = []byte("WriteOnly") }},
		{"group name", 26, "subscription group [G none] does not exist, " + faq, 0, func(h *command.PullHeader) { h.Group = []byte("G none") }},
		{"group switched off", 16, "subscription group no permission, Off", 2, func(h *command.PullHeader) { h.Group = []byte("Off") }},
		{"queue beyond the last", 29, "queueId[2] is illegal, topic:[T] topicConfig.readQueueNums:[2] consumer:[/127.0.0.1:", 0, func(h *command.PullHeader) { h.QueueID = 2 }},
		{"queue below 0", 29, "queueId[-1] is illegal", 0, func(h *command.PullHeader) { h.QueueID = -1 }},
		{"bad expression", 23, "parse the consumer's subscription failed", 0, func(h *command.PullHeader) { h.Subscription = []byte(" || ") }},
		{"bad condition", 23, "parse the consumer's subscription failed", 0, func(h *command.PullHeader) { h.ExpressionType = []byte("SQL92") }},
		{"nobody online", 24, "the consumer's group info not exist" + faq, 0, func(h *command.PullHeader) { h.SysFlag = 0 }},
		{"broadcast", 16, "the consumer group[NoBroadcast] can not consume by broadcast way", 4, func(h *command.PullHeader) { h.SysFlag, h.Group = 0, []byte("NoBroadcast") }},
		{"broadcast with a subscription of its own", 16, "the consumer group[NoBroadcast] can not consume by broadcast way", 4, func(h *command.PullHeader) { h.Group = []byte("NoBroadcast") }},
		{"barred", 16, "the consumer group[Barred] is forbidden for topic[T]", 5, func(h *command.PullHeader) { h.Group = []byte("Barred") }},
		{"not subscribed", 24, "the consumer's subscription not exist" + faq, 0, func(h *command.PullHeader) { h.SysFlag, h.Group, h.Topic = 0, []byte("Online"), []byte("TBW102") }},
		{"older subscription", 25, "the consumer's subscription not latest", 0, func(h *command.PullHeader) { h.SysFlag, h.Group, h.SubVersion = 0, []byte("Online"), 11 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := pullHeader("T", 0)
			c.alter(h)
			answer := d.peer.call(command.PullMessage, h, nil)
			if command.Status(answer.Code) != c.status || !strings.HasPrefix(string(answer.Remark), c.remark) {
				t.Errorf("got %d %q, want %d %q", answer.Code, answer.Remark, c.status, c.remark)
			}
			if f := pullResponse(t, answer).ForbiddenType; f != c.forbidden {
				t.Errorf("forbidden type %d, want %d", f, c.forbidden)
			}
		})
	}
}

func TestPullFromBrokerThatMayNotBeRead(t *testing.T) {
	d := openDoor(t, "brokerPermission", "2", "litePullMessageEnable", "false")
	d.peer.refused(16, "the broker[127.0.0.1] pulling message is forbidden", command.PullMessage, pullHeader("T", 0), nil)
	d = openDoor(t, "litePullMessageEnable", "false")
	d.peer.refused(16, "the broker[127.0.0.1] for lite pull consumer is forbidden", command.LitePullMessage, pullHeader("T", 0), nil)
}

func TestPullBySubscriptionOfHeartbeat(t *testing.T) {
	d := openDoor(t)
	d.peer.send("T", "a", "TAGS", "A")
	d.peer.send("T", "b", "TAGS", "B")
	d.peer.subscribe("G", command.SubscriptionData{Topic: "T", Expression: "B", Codes: []int32{record.HashString([]byte("B"))}, Tags: []string{"B"}, Version: 1})
	h := pullHeader("T", 0)
	h.SysFlag, h.Subscription, h.SubVersion = 0, nil, 1
	if got := bodies(t, d.peer.must(command.PullMessage, h, nil).Body); fmt.Sprint(got) != "[b]" {
		t.Errorf("pulled %v", got)
	}
}

// held starts a pull that the broker may hold, and returns what becomes of it.
func (p *peer) held(h *command.PullHeader, hold time.Duration) <-chan *wire.Frame {
	h.SysFlag |= command.PullSuspend
	h.SuspendTimeout = hold.Milliseconds()
	answer := make(chan *wire.Frame, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	go func() {
		defer cancel()
		f, err := p.pool.Call(ctx, p.addr, &wire.Request{Code: command.PullMessage, Header: h})
		if err != nil {
			p.t.Errorf("held pull: %v", err)
		}
		answer <- f
	}()
	return answer
}

func TestHeldPullIsWokenByMatchingMessage(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	h := pullHeader("T", 0)
	h.Subscription = []byte("B")
	begin := time.Now()
	answer := d.peer.held(h, 10*time.Second)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	d.peer.send("T", "a", "TAGS", "A")
	select {
	case f := <-answer:
		t.Fatalf("answered after a message that it does not want: %d %s", f.Code, f.Remark)
	case <-time.After(50 * time.Millisecond):
	}
	d.peer.send("T", "b", "TAGS", "B")
	if got := bodies(t, (<-answer).Body); fmt.Sprint(got) != "[b]" {
		t.Errorf("pulled %v", got)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestHeldPullExpires(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	begin := time.Now()
	slow, quick := d.peer.held(pullHeader("T", 0), 300*time.Millisecond), d.peer.held(pullHeader("T", 0), 100*time.Millisecond)
	for _, c := range []struct {
		answer <-chan *wire.Frame
		after  time.Duration
	}{{quick, 100 * time.Millisecond}, {slow, 300 * time.Millisecond}} {
		f := <-c.answer
		if command.Status(f.Code) != command.StatusPullNotFound || string(f.Remark) != "NO_MESSAGE_IN_QUEUE" {
			t.Errorf("got %d %s", f.Code, f.Remark)
		}
		if took := time.Since(begin); took < c.after || took > c.after+2*time.Second {
			t.Errorf("answered after %v, asked for %v", took, c.after)
		}
	}
}

func TestHeldPullWithUnwantedMessagesMovesOn(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	h := pullHeader("T", 0)
	h.Subscription = []byte("B")
	answer := d.peer.held(h, 200*time.Millisecond)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	d.peer.send("T", "a", "TAGS", "A")
	if f := <-answer; command.Status(f.Code) != command.StatusPullRetryImmediately || pullResponse(t, f).NextOffset != 1 {
		t.Errorf("got %d %s, next %d", f.Code, f.Remark, pullResponse(t, f).NextOffset)
	}
}

func TestHeldPullOfDeletedTopic(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	answer := d.peer.held(pullHeader("T", 0), 10*time.Second)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	d.peer.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	if f := <-answer; command.Status(f.Code) != command.StatusTopicNotExist {
		t.Errorf("got %d %s", f.Code, f.Remark)
	}
}

func TestHeldPullOfWhatMayNotBeReadAnyMore(t *testing.T) {
	d := openDoor(t)
	group := command.DefaultGroupConfig("G")
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, &group)
	change := func(perm skua.Perm, enabled bool) {
		d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 1, WriteQueues: 1, Perm: perm, FilterType: command.SingleTag}, nil)
		group.ConsumeEnable = enabled
		d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, &group)
	}
	for i, c := range []struct {
		perm    skua.Perm
		enabled bool
		remark  string
	}{
		{skua.PermWrite, true, "the topic[T] pulling message is forbidden"},
		{skua.PermRead | skua.PermWrite, false, "subscription group no permission, G"},
	} {
		change(skua.PermRead|skua.PermWrite, true)
		answer := d.peer.held(pullHeader("T", int64(i)), 10*time.Second)
		until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
		change(c.perm, c.enabled)
		d.peer.send("T", "x")
		if f := <-answer; command.Status(f.Code) != command.StatusNoPermission || !strings.HasPrefix(string(f.Remark), c.remark) {
			t.Errorf("got %d %s, want %s", f.Code, f.Remark, c.remark)
		}
	}
}

func TestHeldPullsOfClosedConnectionAreForgotten(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	c := d.dialRaw()
	const n = 100
	for range n {
		f := rawFrame(command.PullMessage, map[string]string{"consumerGroup": "G", "topic": "T", "queueId": "0", "queueOffset": "0", "maxMsgNums": "8",
			"sysFlag": "6", "suspendTimeoutMillis": "60000", "subscription": "*"}, nil)
		if _, err := c.conn.Write(f); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "pulls are held", func() bool { return d.b.HeldPulls() == n })
	c.conn.Close()
	until(t, "pulls are forgotten", func() bool { return d.b.HeldPulls() == 0 })
	d.peer.send("T", "x")
}

func TestHeldPullsAreAnsweredAtShutdown(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	answer := d.peer.held(pullHeader("T", 0), time.Minute)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	if err := d.b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if f := <-answer; f == nil || command.Status(f.Code) != command.StatusPullNotFound {
		t.Errorf("got %v", f)
	}
}

// Whatever the order of sends and pulls, each consumer gets each message.
func TestPullsMissNothing(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	const messages, consumers = 300, 4
	var wait sync.WaitGroup
	for c := range consumers {
		wait.Go(func() {
			p := d.connect(nil)
			for off := int64(0); off < messages; {
				h := pullHeader("T", off)
				h.Group = fmt.Appendf(nil, "G%d", c)
				f := <-p.held(h, 10*time.Second)
				if f == nil || f.Code != 0 {
					t.Errorf("consumer %d at %d: %v", c, off, f)
					return
				}
				for _, body := range bodies(t, f.Body) {
					if body != fmt.Sprint(off) {
						t.Errorf("consumer %d got %s at %d", c, body, off)
					}
					off++
				}
			}
		})
	}
	for i := range messages {
		d.peer.send("T", fmt.Sprint(i))
	}
	wait.Wait()
}

func TestPullCommitsOffset(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	for range 5 {
		d.peer.send("T", "x")
	}
	h := pullHeader("T", 3)
	h.SysFlag |= command.PullCommit
	h.CommitOffset = 2
	d.peer.must(command.PullMessage, h, nil)
	if off := d.peer.committed("G", "T", 0); off != 2 {
		t.Errorf("committed %d", off)
	}
	stats := ask[command.ConsumeStats](d.peer, command.GetConsumeStats, &command.ConsumeStatsHeader{Group: "G", Topic: "T"}, nil)
	if got := stats.Offsets[command.MessageQueue{Broker: "b", Topic: "T"}]; got.PullOffset != 5 || got.ConsumerOffset != 2 {
		t.Errorf("consume stats %+v", got)
	}
}

// committed is the offset that a group has committed, -1 if none.
func (p *peer) committed(group, topic string, queue int32) skua.QueueOffset {
	p.t.Helper()
	f := p.call(command.QueryConsumerOffset, &command.OffsetHeader{Group: []byte(group), Topic: []byte(topic), QueueID: queue}, nil)
	if f.Code != 0 {
		return -1
	}
	var r command.OffsetResponse
	if err := command.Decode(f.Ext, &r); err != nil {
		p.t.Fatal(err)
	}
	return skua.QueueOffset(r.Offset)
}

func TestHeldPullsAreBounded(t *testing.T) {
	d := openDoor(t, "maxHeldPulls", "1")
	d.peer.createTopic("T", 1)
	first := d.peer.held(pullHeader("T", 0), 10*time.Second)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	if f := <-d.peer.held(pullHeader("T", 0), time.Hour); command.Status(f.Code) != command.StatusPullNotFound {
		t.Errorf("pull beyond the limit: %d %s", f.Code, f.Remark)
	}
	d.peer.send("T", "x")
	if f := <-first; f.Code != 0 {
		t.Errorf("held pull: %d %s", f.Code, f.Remark)
	}
}

func TestShortPolling(t *testing.T) {
	d := openDoor(t, "longPollingEnable", "false", "shortPollingTimeMills", "100")
	d.peer.createTopic("T", 1)
	begin := time.Now()
	if f := <-d.peer.held(pullHeader("T", 0), time.Hour); command.Status(f.Code) != command.StatusPullNotFound {
		t.Errorf("got %d %s", f.Code, f.Remark)
	}
	if took := time.Since(begin); took < 100*time.Millisecond {
		t.Errorf("answered after %v", took)
	}
}

func TestResetWakesHeldPull(t *testing.T) {
	d := openDoor(t)
	for range 5 {
		d.peer.send("T", "x")
	}
	d.peer.commitAs("G", "T", 0, 5)
	answer := d.peer.held(pullHeader("T", 5), 10*time.Second)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	to := skua.QueueOffset(2)
	d.peer.must(command.InvokeBrokerToResetOffset, &command.ResetOffsetHeader{Group: "G", Topic: "T", QueueID: 0, Offset: &to, Force: true}, nil)
	f := <-answer
	if command.Status(f.Code) != command.StatusPullOffsetMoved || string(f.Remark) != "OFFSET_RESET" || pullResponse(t, f).NextOffset != 2 {
		t.Errorf("got %d %s, next %d", f.Code, f.Remark, pullResponse(t, f).NextOffset)
	}
	if off := d.peer.committed("G", "T", 0); off != 2 {
		t.Errorf("committed %d", off)
	}
}

// With slaveReadEnable consumers are sent to the brokers that their group names: one as long as they keep up, another when
// they have fallen behind what is in memory.
func TestPullSuggestsBroker(t *testing.T) {
	for _, c := range []struct {
		enabled string
		memory  int64 // percent; below 0: nothing
		want    int64
	}{{"false", 0, 0}, {"true", 40, 3}, {"true", -1, 7}} {
		d := openDoor(t, "slaveReadEnable", c.enabled)
		g := command.DefaultGroupConfig("G")
		g.BrokerID, g.BrokerWhenConsumingSlowly = 3, 7
		d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, g)
		d.close()
		d.o.EditStore(func(o *store.Options) { o.AccessInMemoryRatio = int(c.memory) })
		d.start()
		for range 3 {
			d.peer.send("T", "x")
		}
		if r := pullResponse(t, d.peer.must(command.PullMessage, pullHeader("T", 0), nil)); r.SuggestBroker != c.want {
			t.Errorf("slaveReadEnable=%s, %d %% in memory: broker %d is suggested, want %d", c.enabled, c.memory, r.SuggestBroker, c.want)
		}
	}
}
