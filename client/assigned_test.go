package client

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// reading are the queues of a topic that a member reads.
func (m *member) reading(topic string) []skua.Queue {
	m.mu.Lock()
	defer m.mu.Unlock()
	queues := slices.Collect(maps.Keys(m.lines))
	queues = slices.DeleteFunc(queues, func(q skua.Queue) bool { return q.Topic != topic })
	assign.SortQueues(queues)
	return queues
}

// reads waits until a consumer reads exactly these queues of a topic.
func reads(t *testing.T, p *PushConsumer, topic string, want ...skua.Queue) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !slices.Equal(p.m.reading(topic), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("reads %v, want %v", p.m.reading(topic), want)
		}
	}
}

// The broker divides the queues among those that leave it to it, anew when one goes; what an operator wants popped is left alone.
func TestQueuesDividedByBroker(t *testing.T) {
	var log lockedBuffer
	o := quickOptions(t, nameServer(t))
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c1, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c1.Close() })
	c2 := open(t, o.NameServers[0])
	topic, group := unique(t), unique(t)
	queues := fill(t, c1, topic)
	box := newInbox()
	options := PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, ByBroker: BrokerByCircle, Handler: box.handle}
	p1, p2 := newPush(t, c1, options), newPush(t, c2, options)
	ids := []string{c1.ID(), c2.ID()}
	slices.Sort(ids)
	for p, c := range map[*PushConsumer]*Client{p1: c1, p2: c2} {
		want, err := ByCircle(queues, ids, c.ID())
		if err != nil {
			t.Fatal(err)
		}
		reads(t, p, topic, want...)
	}
	box.await(t, 4)
	if err := p2.Close(); err != nil {
		t.Error(err)
	}
	reads(t, p1, topic, queues...)

	r := c1.routes.topic(topic).current.Load()
	addr, _ := r.master("broker-a")
	mode := func(mode command.RequestMode) {
		t.Helper()
		body, err := fastjson.Marshal(&command.MessageRequestMode{Group: group, Mode: mode, Topic: topic})
		if err == nil {
			_, err = c2.call(deadline(t), "setting the mode", addr, &wire.Request{Code: command.SetMessageRequestMode, Body: body})
		}
		if err != nil {
			t.Fatal(err)
		}
		p1.m.kick()
	}
	mode(command.ModePop)
	reads(t, p1, topic)
	reads(t, p1, skua.RetryTopic(group), skua.Queue{Topic: skua.RetryTopic(group), Broker: "broker-a"})
	p1.m.kick()
	mode(command.ModePull)
	reads(t, p1, topic, queues...)
	told := fmt.Sprintf("the broker wants 1 of the queues to be popped, which this client cannot; to pull them: mqadmin setConsumeMode -b %s -t %s -g %s -m PULL", addr, topic, group)
	if log.count(told) != 1 || log.count("queues are divided again") == 0 {
		t.Errorf("want %s\n%s", told, log.text())
	}
}

// A broker that does not divide queues is told of once, and asked again.
func TestBrokerThatDividesNothing(t *testing.T) {
	var log lockedBuffer
	f := newFake(t)
	o := quickOptions(t, f.addr)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	newPush(t, c, PushOptions{Group: "g", Subscriptions: []Subscription{{Topic: "t"}}, ByBroker: BrokerAveragely, Handler: newInbox().handle})
	for end := time.Now().Add(15 * time.Second); f.requests(command.QueryAssignment) < 6; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("asked %d times", f.requests(command.QueryAssignment))
		}
	}
	if n := strings.Count(log.text(), "queues are not divided as they should be"); n > 2 { // topic and retry topic
		t.Errorf("told %d times:\n%s", n, log.text())
	}
}

func TestByBrokerWhereItCannotBe(t *testing.T) {
	for want, o := range map[string]PushOptions{
		`ByBroker is "CONFIG"`:                  {ByBroker: "CONFIG"},
		"either Strategy or ByBroker":           {ByBroker: BrokerAveragely, Strategy: Averagely},
		"neither for orderly nor for broadcast": {ByBroker: BrokerAveragely, Orderly: true},
		"ByBroker is neither for orderly":       {ByBroker: BrokerAveragely, Broadcast: true},
	} {
		o.Group, o.Subscriptions, o.Handler = "g", []Subscription{{Topic: "t"}}, newInbox().handle
		if err := o.complete(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
