package store

import (
	"cmp"
	"iter"
	"slices"
	"sync"
)

// queueTable holds the queues of a store. It is safe for concurrent use.
type queueTable struct {
	mu     sync.RWMutex
	topics map[string][]*Queue // sorted by id; none is empty
	light  int                 // light queues among them
}

// find returns a queue, nil if there is none. It does not allocate.
func (t *queueTable) find(topic []byte, id int32) *Queue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return at(t.topics[string(topic)], id)
}

// at finds the queue with a number, nil if there is none. As a rule a topic has all of its queues.
func at(qs []*Queue, id int32) *Queue {
	if uint(id) < uint(len(qs)) && qs[id].id == id {
		return qs[id]
	}
	if i, ok := seat(qs, id); ok {
		return qs[i]
	}
	return nil
}

// seat is where the queue with a number is in qs, or should be.
func seat(qs []*Queue, id int32) (int, bool) {
	return slices.BinarySearchFunc(qs, id, func(q *Queue, id int32) int { return cmp.Compare(q.id, id) })
}

// get returns a queue, which is made by fresh if there is none.
func (t *queueTable) get(topic string, id int32, fresh func(topic string, id int32) *Queue) *Queue {
	t.mu.RLock()
	q := at(t.topics[topic], id)
	t.mu.RUnlock()
	if q != nil {
		return q
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	qs := t.topics[topic]
	i, ok := seat(qs, id)
	if ok {
		return qs[i]
	}
	if len(qs) > 0 {
		topic = qs[0].topic // all queues of a topic share one string
	}
	q = fresh(topic, id)
	t.topics[topic] = slices.Insert(qs, i, q)
	if q.light() {
		t.light++
	}
	return q
}

// names returns the topics, in no order.
func (t *queueTable) names() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	names := make([]string, 0, len(t.topics))
	for name := range t.topics {
		names = append(names, name)
	}
	return names
}

// of returns the queues of a topic by number. The slice belongs to the caller.
func (t *queueTable) of(topic string) []*Queue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Clone(t.topics[topic])
}

// drop takes a topic out and returns its queues.
func (t *queueTable) drop(topic string) []*Queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	qs := t.topics[topic]
	delete(t.topics, topic)
	for _, q := range qs {
		if q.light() {
			t.light--
		}
	}
	return qs
}

// lights is how many light queues there are.
func (t *queueTable) lights() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.light
}

// clear forgets all queues.
func (t *queueTable) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.topics)
	t.light = 0
}

// empty reports whether there are no queues.
func (t *queueTable) empty() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.topics) == 0
}

// all yields the queues that were there when it began, topic by topic, in no order. It holds no lock meanwhile.
func (t *queueTable) all() iter.Seq[*Queue] {
	return func(yield func(*Queue) bool) {
		for _, name := range t.names() {
			for _, q := range t.of(name) {
				if !yield(q) {
					return
				}
			}
		}
	}
}
