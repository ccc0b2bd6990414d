package client

import (
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

func twoBrokers() *route {
	return newRoute("t", &command.TopicRoute{
		Brokers: []command.BrokerData{
			{Name: "b", Addrs: map[skua.BrokerID]string{0: "10.0.0.2:10911", 1: "10.0.0.3:10911"}},
			{Name: "a", Addrs: map[skua.BrokerID]string{0: "10.0.0.1:10911"}},
			{Name: "slave", Addrs: map[skua.BrokerID]string{1: "10.0.0.4:10911"}},
		},
		Queues: []command.QueueData{
			{BrokerName: "b", Perm: 6, ReadQueues: 3, WriteQueues: 2}, {BrokerName: "a", Perm: 6, ReadQueues: 2, WriteQueues: 2},
			{BrokerName: "slave", Perm: 6, ReadQueues: 1, WriteQueues: 1}, {BrokerName: "gone", Perm: 6, ReadQueues: 1, WriteQueues: 1},
		},
	})
}

func TestNewRoute(t *testing.T) {
	r := twoBrokers()
	if len(r.write) != 4 || r.write[0].Broker != "a" || len(r.read) != 6 {
		t.Errorf("write %v, read %v", r.write, r.read)
	}
	for _, test := range []struct {
		broker string
		id     skua.BrokerID
		want   string
	}{{"b", 0, "10.0.0.2:10911"}, {"b", 1, "10.0.0.3:10911"}, {"b", 7, "10.0.0.2:10911"}, {"slave", 0, "10.0.0.4:10911"}, {"gone", 0, ""}} {
		if got, _ := r.addr(test.broker, test.id); got != test.want {
			t.Errorf("broker %s %d: %q, want %q", test.broker, test.id, got, test.want)
		}
	}
}

func TestChoose(t *testing.T) {
	r := twoBrokers()
	p := &Producer{}
	counts := map[skua.Queue]int{}
	for range 40 {
		counts[p.choose(r, &parcel{topic: "t"}, "")]++
	}
	for q, n := range counts {
		if n != 10 {
			t.Errorf("queue %v was chosen %d times of 40", q, n)
		}
	}
	for range 10 {
		if q := p.choose(r, &parcel{topic: "t"}, "a"); q.Broker != "b" {
			t.Errorf("chose %v although its broker had failed", q)
		}
	}
	if q := p.choose(r, &parcel{topic: "t", queue: skua.Queue{Broker: "b", ID: 1}}, "b"); q != (skua.Queue{Topic: "t", Broker: "b", ID: 1}) {
		t.Errorf("chose %v instead of the named queue", q)
	}
	p.o.AvoidSlowBrokers = true
	p.faults.note("b", 600*time.Millisecond, false)
	for range 10 {
		if q := p.choose(r, &parcel{topic: "t"}, ""); q.Broker != "a" {
			t.Errorf("chose %v although its broker was slow", q)
		}
	}
	p.faults.note("a", time.Millisecond, true)
	p.choose(r, &parcel{topic: "t"}, "a") // no broker is fit: any will do
	if !p.faults.usable("b", time.Now().Add(3*time.Second)) {
		t.Error("a slow broker is avoided for more than 2 s")
	}
}

// Places as Java's SelectMessageQueueByHash chooses them.
func TestShard(t *testing.T) {
	for key, hash := range map[string]int{"TagA": 2598919, "": 0, "中文": 646394, "a😀": 1866116} {
		if got := shard(key, 1<<30); got != hash%(1<<30) {
			t.Errorf("%q: %d, want %d", key, got, hash)
		}
	}
	if got := shard("polygenelubricants", 7); got != 0 { // its hash is the least int32
		t.Errorf("the least hash: %d", got)
	}
}

func TestPenalty(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0: 0, 549 * time.Millisecond: 0, 550 * time.Millisecond: 2 * time.Second, 2 * time.Second: 5 * time.Second, 3 * time.Second: 6 * time.Second,
		5 * time.Second: 10 * time.Second, time.Minute: 30 * time.Second,
	} {
		if got := penalty(took, false); got != want {
			t.Errorf("%v: %v, want %v", took, got, want)
		}
	}
}
