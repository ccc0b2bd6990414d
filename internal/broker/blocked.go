package broker

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// blockage is a queue that is consumed in order and in which a group does not get past a message.
type blockage struct {
	group, topic string
	queue        int32
	offset       skua.QueueOffset // of the message
	client       string           // that has locked the queue
	since        time.Time        // when it was first seen at the message
}

// blockedQueue names a blockage.
type blockedQueue struct {
	group, topic string
	queue        int32
}

// blockages watches the heads of queues that are consumed in order: one that stays where it is for too long is blocked. It is
// a table without clock, goroutine or I/O, safe for concurrent use. The zero value is ready.
type blockages struct {
	mu    sync.Mutex
	heads map[blockedQueue]*watched // guarded by mu
}

type watched struct {
	blockage
	told bool // it is blocked, and has been told
}

// observe takes the heads of all queues that are locked and have something to consume; since is to be left out. It returns
// what is to be logged: queues that have been where they are for after, and those that were and go on.
func (b *blockages) observe(heads []blockage, after time.Duration, now time.Time) (found []finding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make(map[blockedQueue]*watched, len(heads))
	for _, h := range heads {
		key := blockedQueue{h.group, h.topic, h.queue}
		w := b.heads[key]
		if w == nil || w.offset != h.offset {
			if w != nil && w.told {
				found = append(found, w.over(now))
			}
			w = &watched{blockage: h}
			w.since = now
		}
		w.client = h.client
		if !w.told && after > 0 && now.Sub(w.since) >= after {
			w.told = true
			found = append(found, finding{bad: true, text: fmt.Sprintf("queue is blocked: %s; see what its handler does, or skip the message by resetting the offset of the group", w.describe(now))})
		}
		seen[key] = w
	}
	for key, w := range b.heads {
		if seen[key] == nil && w.told {
			found = append(found, w.over(now))
		}
	}
	b.heads = seen
	slices.SortFunc(found, func(a, b finding) int { return cmp.Compare(a.text, b.text) })
	return found
}

func (w *watched) describe(now time.Time) string {
	return fmt.Sprintf("group %s has not consumed the message at offset %d of %s queue %d for %v, client %s", w.group, w.offset, w.topic, w.queue,
		now.Sub(w.since).Round(time.Second), w.client)
}

func (w *watched) over(now time.Time) finding {
	return finding{text: fmt.Sprintf("queue is not blocked any more: %s queue %d of group %s was for %v, at offset %d", w.topic, w.queue, w.group,
		now.Sub(w.since).Round(time.Second), w.offset)}
}

// list returns the queues that are blocked, those first that are longest.
func (b *blockages) list() []blockage {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []blockage
	for _, w := range b.heads {
		if w.told {
			all = append(all, w.blockage)
		}
	}
	slices.SortFunc(all, func(a, b blockage) int {
		return cmp.Or(a.since.Compare(b.since), cmp.Compare(a.group, b.group), cmp.Compare(a.topic, b.topic), cmp.Compare(a.queue, b.queue))
	})
	return all
}

// watchBlockages looks at the queues that are consumed in order.
func (b *Broker) watchBlockages(now time.Time) {
	var heads []blockage
	for _, l := range b.locks.all(now) {
		t := b.topics.find(l.queue.Topic)
		if t == nil || int(l.queue.ID) >= len(t.queues) {
			continue
		}
		p := b.offsets.progress(t.bytes, []byte(l.group), l.queue.ID)
		if head := p.head(); head != noOffset && head < t.queue(l.queue.ID).Max() {
			heads = append(heads, blockage{group: l.group, topic: l.queue.Topic, queue: l.queue.ID, offset: head, client: l.client})
		}
	}
	b.tell(b.blockages.observe(heads, time.Duration(b.options.Load().BlockedQueueTimeMillis)*time.Millisecond, now))
}

// maxToldBlockages is how many blocked queues runtime information names.
const maxToldBlockages = 16

// addBlockages adds to runtime information, in keys that Java does not have, how many queues are blocked, and those that are
// for longest: the offset of the message and for how many seconds.
func (b *Broker) addBlockages(t map[string]string, now time.Time) {
	all := b.blockages.list()
	t["blockedQueues"] = strconv.Itoa(len(all))
	for _, k := range all[:min(len(all), maxToldBlockages)] {
		t[fmt.Sprintf("blockedQueue_%s@%s_%d", k.topic, k.group, k.queue)] = fmt.Sprintf("%d,%d", k.offset, int64(now.Sub(k.since).Seconds()))
	}
}

// blockedOf returns the queues in which a group is blocked, as consume stats tell them.
func (b *Broker) blockedOf(group string, now time.Time) []command.BlockedQueue {
	var out []command.BlockedQueue
	for _, k := range b.blockages.list() {
		if k.group == group {
			out = append(out, command.BlockedQueue{Queue: b.queue(k.topic, k.queue), Offset: k.offset, Millis: now.Sub(k.since).Milliseconds(), ClientID: k.client})
		}
	}
	return out
}
