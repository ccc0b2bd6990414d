package client

import (
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// choose returns the queue for a parcel: the one it names, or that of its sharding key, or the next one in turn that is
// not on the broker avoid and not on one that was slow, if possible on the broker that the parcel is near to. r has at least
// one queue to write to.
func (p *Producer) choose(r *route, x *parcel, avoid string) skua.Queue {
	switch {
	case x.queue.Broker != "":
		return skua.Queue{Topic: x.topic, Broker: x.queue.Broker, ID: x.queue.ID}
	case x.sharding != "":
		return r.write[shard(x.sharding, len(r.write))]
	}
	n, first := len(r.write), int(p.turn.Add(1)%uint32(len(r.write)))
	if x.near != "" && x.near != avoid {
		for i := range n {
			if q := r.write[(first+i)%n]; r.home(q) == x.near {
				return q
			}
		}
	}
	for i := range n {
		q := r.write[(first+i)%n]
		if home := r.home(q); home != avoid && (!p.o.AvoidSlowBrokers || p.faults.usable(home, time.Now())) {
			return q
		}
	}
	return r.write[first]
}

// shard maps a key to one of n queues as Java's SelectMessageQueueByHash does, so that programs in both languages keep
// the order of a key between them.
func shard(key string, n int) int {
	h := record.HashString([]byte(key))
	if h < 0 {
		h = -h
	}
	if h < 0 { // the one number without a positive twin
		h = 0
	}
	return int(h) % n
}

// faults remembers which brokers were slow or failed, and until when to keep off them.
type faults struct {
	mu    sync.Mutex // guards until
	until map[string]time.Time
}

// penalties tell how long a broker is avoided after it took a certain time, as in Java.
var penalties = []struct{ took, avoid time.Duration }{
	{15 * time.Second, 30 * time.Second}, {5 * time.Second, 10 * time.Second}, {3 * time.Second, 6 * time.Second},
	{1800 * time.Millisecond, 5 * time.Second}, {550 * time.Millisecond, 2 * time.Second},
}

// failurePenalty is how long a broker is avoided that failed.
const failurePenalty = 10 * time.Second

func penalty(took time.Duration, failed bool) time.Duration {
	if failed {
		return failurePenalty
	}
	for _, p := range penalties {
		if took >= p.took {
			return p.avoid
		}
	}
	return 0
}

// note remembers how an attempt at a broker went.
func (f *faults) note(broker string, took time.Duration, failed bool) {
	avoid := penalty(took, failed)
	f.mu.Lock()
	defer f.mu.Unlock()
	if avoid == 0 {
		delete(f.until, broker)
		return
	}
	if f.until == nil {
		f.until = map[string]time.Time{}
	}
	f.until[broker] = time.Now().Add(avoid)
}

// usable reports whether there is no reason to keep off a broker.
func (f *faults) usable(broker string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.After(f.until[broker])
}
