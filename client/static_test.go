package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/node"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/wire"
)

// staticTopic is a static topic of two queues on two brokers, as an administrator's tool sees it.
type staticTopic struct {
	t       *testing.T
	c       *Client
	name    string
	epoch   int64
	brokers map[string]string // addresses by name
	queues  map[string]int32  // that the topic has at each
	hosted  map[string]map[int32][]command.MappingItem
}

func openStaticTopic(t *testing.T) (*staticTopic, string) {
	ns := ownNameServer(t)
	s := &staticTopic{t: t, c: open(t, ns.Nameserver), name: unique(t), epoch: 1, brokers: map[string]string{}, queues: map[string]int32{"broker-a": 2},
		hosted: map[string]map[int32][]command.MappingItem{"broker-a": {}, "broker-b": {}}}
	for _, name := range []string{"broker-a", "broker-b"} {
		o := brokerOptions(t, name)
		o.NamesrvAddr = ns.Nameserver
		s.brokers[name] = run(t, node.Config{Broker: &o}).Broker
	}
	for id := range int32(2) {
		s.hosted["broker-a"][id] = []command.MappingItem{{Broker: "broker-a", EndOffset: -1, QueueID: id, TimeOfEnd: -1, TimeOfStart: -1}}
	}
	s.tell("broker-b")
	s.tell("broker-a")
	return s, ns.Nameserver
}

func (s *staticTopic) tell(broker string) {
	s.t.Helper()
	body, err := fastjson.Marshal(&command.TopicMappingDetail{TopicMapping: command.TopicMapping{Broker: broker, Epoch: s.epoch, Scope: static.GlobalScope, Topic: s.name, TotalQueues: 2},
		Hosted: s.hosted[broker]})
	if err != nil {
		s.t.Fatal(err)
	}
	h := &command.CreateTopicHeader{Topic: s.name, ReadQueues: s.queues[broker], WriteQueues: s.queues[broker], Perm: 6, FilterType: command.SingleTag}
	if _, err := s.c.call(deadline(s.t), "static topic", s.brokers[broker], &wire.Request{Code: command.UpdateAndCreateStaticTopic, Header: h, Body: body}); err != nil {
		s.t.Fatal(err)
	}
}

// move moves both queues, and says what the next stretch begins at.
func (s *staticTopic) move(from, to string, logic int64) {
	s.t.Helper()
	s.epoch++
	for id := range int32(2) {
		items := slices.Clone(s.hosted[from][id])
		items = append(items, command.MappingItem{Broker: to, EndOffset: -1, Gen: items[len(items)-1].Gen + 1, LogicOffset: -1, QueueID: s.queues[to], TimeOfEnd: -1, TimeOfStart: -1})
		s.queues[to]++
		s.hosted[from][id], s.hosted[to][id] = items, items
	}
	s.tell(to)
	s.tell(from)
	for id := range int32(2) {
		items := slices.Clone(s.hosted[to][id])
		items[len(items)-1].LogicOffset = logic
		s.hosted[to][id] = items
	}
	s.tell(to)
}

// Producers and consumers follow the queues of a static topic from broker to broker: each key keeps its queue, and the order in
// it holds.
func TestStaticTopicMoves(t *testing.T) {
	s, addr := openStaticTopic(t)
	p := newProducer(t, s.c, ProducerOptions{})
	var mu sync.Mutex
	seen := map[skua.Queue][]string{}
	offsets := map[string]skua.QueueOffset{}
	failed := false
	box := newInbox()
	newPush(t, open(t, addr), PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: s.name}}, Start: StartEarliest, Orderly: true, Handler: func(_ context.Context, m *Received) error {
		mu.Lock()
		defer mu.Unlock()
		if !failed && string(m.Body) == "b-20" {
			failed = true
			return SuspendFor(0, errors.New("in a moment"))
		}
		seen[m.Queue] = append(seen[m.Queue], string(m.Body))
		offsets[string(m.Body)] = m.Offset
		box.add(m)
		return nil
	}})
	want := map[skua.Queue][]string{}
	sent := map[string]skua.QueueOffset{}
	n := 0
	send := func(round string) {
		t.Helper()
		for i := range 40 {
			body := fmt.Sprintf("%s-%d", round, i)
			r, err := p.Send(deadline(t), &Message{Topic: s.name, Body: []byte(body), ShardingKey: fmt.Sprint("key", i%5)})
			if err != nil {
				t.Fatal(err)
			}
			want[r.Queue] = append(want[r.Queue], body)
			sent[body] = r.Offset
			n++
		}
	}
	send("a")
	s.move("broker-a", "broker-b", 10000)
	send("b")
	box.await(t, n)
	s.move("broker-b", "broker-a", 20000)
	send("c")
	box.await(t, n)
	mu.Lock()
	defer mu.Unlock()
	if len(want) != 2 {
		t.Errorf("sent to %d queues", len(want))
	}
	for q, bodies := range want {
		if q.Broker != "__syslo__global__" || !slices.Equal(slices.Compact(seen[q]), bodies) {
			t.Errorf("of queue %v came\n%v\nwant\n%v", q, seen[q], bodies)
		}
	}
	for body, off := range sent {
		if offsets[body] != off {
			t.Errorf("%s came at offset %d, was sent to %d", body, offsets[body], off)
		}
	}
}

// Questions about a logical queue go to the broker that leads it, also when the client learns of a move only by them; what a
// consumer sends back comes again.
func TestStaticTopicQuestions(t *testing.T) {
	s, addr := openStaticTopic(t)
	p := newProducer(t, s.c, ProducerOptions{})
	q := skua.Queue{Topic: s.name, Broker: "__syslo__global__", ID: 1}
	for i := range 3 {
		if _, err := p.Send(deadline(t), &Message{Topic: s.name, Body: fmt.Append(nil, i), Queue: q}); err != nil {
			t.Fatal(err)
		}
	}
	other := open(t, addr)
	ask := func(wantMin, wantMax skua.QueueOffset) {
		t.Helper()
		low, err := other.MinOffset(deadline(t), q)
		high, e := other.MaxOffset(deadline(t), q)
		if err := errors.Join(err, e); err != nil || low != wantMin || high != wantMax {
			t.Errorf("from %d to %d, want %d to %d; %v", low, high, wantMin, wantMax, err)
		}
	}
	ask(0, 3)
	s.move("broker-a", "broker-b", 10000)
	ask(0, 10000)
	if _, err := p.Send(deadline(t), &Message{Topic: s.name, Body: []byte("3"), Queue: q}); err != nil {
		t.Fatal(err)
	}
	ask(0, 10001)
	box := newInbox()
	newPush(t, other, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: s.name}}, Start: StartEarliest, Handler: func(_ context.Context, m *Received) error {
		box.add(m)
		if string(m.Body) == "1" && m.ReconsumeTimes == 0 {
			return RetryAt(1, errors.New("again"))
		}
		return nil
	}})
	box.until(t, func() bool { return len(box.by) == 4 && box.by["1"] == 2 })
}
