package client

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

func TestPriority(t *testing.T) {
	c := open(t, nameServer(t))
	p := newProducer(t, c, ProducerOptions{})
	topic := unique(t)
	for _, m := range []struct {
		priority *int
		queue    int32
	}{{new(3), 3}, {new(0), 0}, {new(1), 1}, {new(math.MaxInt32), 3}} {
		sent, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("x"), Priority: m.priority})
		if err != nil || sent.Queue.ID != m.queue {
			t.Errorf("priority %d: %+v, %v", *m.priority, sent, err)
		}
	}
	if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("none")}); err != nil {
		t.Error(err)
	}
	seen := map[int]int{}
	for _, m := range readAll(t, c, topic, 5) {
		n, ok := m.Priority()
		if !ok {
			n = -1
		}
		seen[n]++
		if ok && m.Queue.ID != int32(min(n, 3)) || !ok && string(m.Body) != "none" {
			t.Errorf("%s of priority %d, %v is in queue %d", m.Body, n, ok, m.Queue.ID)
		}
	}
	if len(seen) != 5 {
		t.Error(seen)
	}
}

func TestPriorityThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		m    Message
		want string
	}{
		{Message{Priority: new(-1)}, "The priority must be greater than or equal to 0"},
		{Message{Priority: new(math.MaxInt32 + 1)}, "priority 2147483648 is more than 2147483647"},
		{Message{Priority: new(1), ShardingKey: "k"}, "either Priority or ShardingKey"},
		{Message{Priority: new(1), Queue: skua.Queue{Broker: "b"}}, "either Priority or ShardingKey or Queue"},
		{Message{Priority: new(1), DelayLevel: 1}, "cannot be delayed"},
		{Message{Priority: new(1), Delay: time.Second}, "cannot be delayed"},
		{Message{Properties: map[string]string{skua.PropPriority: "1"}}, "reserved"},
	} {
		c.m.Topic, c.m.Body = "t", []byte("x")
		if err := c.m.validate(100); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %s", c.m, err, c.want)
		}
	}
	m := &Message{Topic: "t", Body: []byte("x"), Priority: new(1)}
	if err := m.fits(m); err == nil {
		t.Error("in a batch")
	}
	if _, err := new(TransactionProducer).pack(deadline(t), m); err == nil || !strings.Contains(err.Error(), "priority") {
		t.Error("in a transaction:", err)
	}
}
