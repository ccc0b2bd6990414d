package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
	"github.com/skuamq/skua/internal/wire"
)

// A topic of one queue is in order as a whole: whatever its messages are about, one after the other is handled, by one member
// of the group; when that fails it stands still, when it leaves another goes on.
func TestGlobalOrder(t *testing.T) {
	addr := nameServer(t)
	producers := open(t, addr)
	topic, group := unique(t), unique(t)
	createTopic(t, producers, command.CreateTopicHeader{Topic: topic, ReadQueues: 1, WriteQueues: 1, Order: true})
	p := newProducer(t, producers, ProducerOptions{})
	var mu sync.Mutex
	var seen []string
	failed := map[string]bool{}
	busy := false
	box := newInbox()
	options := PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Orderly: true, RetryPause: time.Hour, Handler: func(_ context.Context, m *Received) error {
		mu.Lock()
		defer mu.Unlock()
		if busy {
			t.Error("two handlers at a time")
		}
		busy = true
		defer func() { busy = false }()
		body := string(m.Body)
		if !failed[body] && m.Offset%7 == 3 {
			failed[body] = true
			return SuspendFor(0, errors.New("in a moment")) // the shortest: the pause of an hour would be noticed
		}
		seen = append(seen, body)
		box.add(m)
		return nil
	}}
	first := newPush(t, open(t, addr), options)
	newPush(t, open(t, addr), options)
	var want []string
	for i := range 60 {
		body := fmt.Sprint("m", i)
		want = append(want, body)
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte(body)}); err != nil {
			t.Fatal(err)
		}
		if i == 30 {
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	box.await(t, 60)
	mu.Lock()
	defer mu.Unlock()
	if got := slices.Compact(seen); !slices.Equal(got, want) {
		t.Errorf("handled in the order %v", got)
	}
}

func TestSuspendForIsBounded(t *testing.T) {
	p := &PushConsumer{o: PushOptions{RetryPause: time.Second}}
	cause := errors.New("cause")
	for pause, want := range map[time.Duration]time.Duration{-1: 10 * time.Millisecond, time.Hour: 30 * time.Second, time.Second / 2: time.Second / 2} {
		err := SuspendFor(pause, cause)
		if got := p.pauseOf(fmt.Errorf("wrapped: %w", err)); got != want || !errors.Is(err, cause) || err.Error() != "cause" {
			t.Errorf("%v: %v, %v", pause, got, err)
		}
	}
	if p.pauseOf(cause) != time.Second {
		t.Error("without SuspendFor RetryPause counts")
	}
}

// While the broker restarts the members of a group keep their queues: nobody takes one that another still works on, and order
// holds.
func TestOrderAcrossBrokerRestart(t *testing.T) {
	ns := ownNameServer(t)
	o := brokerOptions(t, "broker-a")
	o.NamesrvAddr = ns.Nameserver
	b := run(t, node.Config{Broker: &o})
	o.ListenPort = port(t, b.Broker)
	topic, group := unique(t), unique(t)
	producers := open(t, ns.Nameserver)
	p := newProducer(t, producers, ProducerOptions{SendTimeout: time.Second, Retries: 20})
	var mu sync.Mutex
	busy, seen := map[skua.Queue]bool{}, map[skua.Queue][]skua.QueueOffset{}
	box := newInbox()
	options := PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Orderly: true, Handler: func(_ context.Context, m *Received) error {
		mu.Lock()
		if busy[m.Queue] {
			t.Errorf("two handlers for %v at a time", m.Queue)
		}
		busy[m.Queue] = true
		mu.Unlock()
		if m.Offset%5 == 0 {
			time.Sleep(20 * time.Millisecond) // work that goes on while the broker is away
		}
		mu.Lock()
		defer mu.Unlock()
		busy[m.Queue] = false
		seen[m.Queue] = append(seen[m.Queue], m.Offset)
		box.add(m)
		return nil
	}}
	sendN(t, p, topic, "before", 40)
	for range 2 {
		newPush(t, open(t, ns.Nameserver), options)
	}
	box.await(t, 20)
	b.end()
	run(t, node.Config{Broker: &o})
	sendN(t, p, topic, "after", 40)
	box.await(t, 80)
	mu.Lock()
	defer mu.Unlock()
	for q, offsets := range seen {
		// A message whose progress was not committed comes again, after which the queue goes on from there.
		next := skua.QueueOffset(0)
		for _, off := range offsets {
			if off > next {
				t.Errorf("%v: offset %d was handled when %d was next: %v", q, off, next, offsets)
			}
			next = off + 1
		}
	}
}

// An order configuration fixes how many queues of each broker a producer uses, and marks the topic as ordered at its broker.
func TestOrderConfiguration(t *testing.T) {
	var ns nameserver.Options
	conf.Defaults(&ns)
	ns.BindAddress, ns.ListenPort, ns.OrderMessageEnable = "127.0.0.1", 0, true
	b := brokerOptions(t, "broker-a")
	addr := run(t, node.Config{Nameserver: &ns, Broker: &b}).Nameserver
	c := open(t, addr)
	topic := unique(t)
	space, value := skua.OrderTopicConfigNS, "broker-a:2"
	h := &command.KVHeader{Namespace: &space, Key: &topic, Value: &value}
	if _, err := c.pool.Call(deadline(t), addr, &wire.Request{Code: command.PutKVConfig, Header: h}); err != nil {
		t.Fatal(err)
	}
	createTopic(t, c, command.CreateTopicHeader{Topic: topic, ReadQueues: 8, WriteQueues: 8}) // upon which the broker registers
	r, err := c.fetchRoute(deadline(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.call(deadline(t), "topic", r.brokers["broker-a"][0], &wire.Request{Code: command.GetTopicConfig, Header: &command.TopicHeader{Topic: topic}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(f.Body, []byte(`"order":true`)) {
		t.Errorf("the broker did not mark the topic: %s", f.Body)
	}
	p := newProducer(t, c, ProducerOptions{})
	queues := map[int32]bool{}
	for i := range 20 {
		sent, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("x"), ShardingKey: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		queues[sent.Queue.ID] = true
	}
	if len(queues) != 2 || !queues[0] || !queues[1] {
		t.Errorf("messages went to queues %v", queues)
	}
}

func TestOrderConfigurationIsRead(t *testing.T) {
	q := func(broker string, ids ...int32) (queues []skua.Queue) {
		for _, id := range ids {
			queues = append(queues, skua.Queue{Topic: "t", Broker: broker, ID: id})
		}
		return queues
	}
	for text, want := range map[string][]skua.Queue{
		"":                               q("usual", 0),
		"b:2;a:1":                        append(q("b", 0, 1), q("a", 0)...),
		" b : 2 ;":                       q("b", 0, 1),
		"nonsense;b:x;c:-1;:3;d:9999999": q("usual", 0),
	} {
		r := newRoute("t", &command.TopicRoute{OrderConf: text, Brokers: []command.BrokerData{{Name: "usual", Addrs: map[skua.BrokerID]string{0: "x:1"}}},
			Queues: []command.QueueData{{BrokerName: "usual", Perm: 6, ReadQueues: 2, WriteQueues: 1}}})
		if !slices.Equal(r.write, want) || len(r.read) != 2 {
			t.Errorf("%q: writes to %v, want %v; reads %v", text, r.write, want, r.read)
		}
	}
}
