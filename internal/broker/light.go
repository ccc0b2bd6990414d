package broker

import (
	"bytes"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// Light queues (enableLmq): a message that is sent to a topic can name other queues in which it gets an entry, too. Each is
// queue 0 of a topic %LMQ%..., which nobody creates: topics and groups of such names exist as soon as somebody speaks of
// them, and are saved nowhere. What a client can make grow that way are the queues of the store, which have a limit and are
// forgotten when they were never written to, or when all of their messages have left the log.

// lightSweep is how often light queues are looked for that nobody uses.
const lightSweep = time.Minute

// lightPrefix is skua.LMQPrefix.
var lightPrefix = []byte(skua.LMQPrefix)

// isLight reports whether a topic is that of a light queue.
func (ts *topics) isLight(name string) bool {
	return ts.light && strings.HasPrefix(name, skua.LMQPrefix)
}

// lightTopic returns the topic of a light queue; nil if it cannot be a folder.
func (ts *topics) lightTopic(name string) *topic {
	if !layout.Storable(name) {
		return nil
	}
	c := command.DefaultTopicConfig(name)
	c.ReadQueues, c.WriteQueues = 1, 1
	t := &topic{TopicConfig: c, bytes: []byte(name), queues: make([]atomic.Pointer[store.Queue], 1), store: ts.store, light: true}
	t.counters = ts.stats.topic(t.bytes)
	return t
}

// lightGroup returns the group of a name that begins with %LMQ%.
func (gs *groups) lightGroup(name string) *group {
	return &group{command.DefaultGroupConfig(name), []byte(name), gs.forbidden[name]}
}

// reserve sees to it that the topic, if it is that of a light queue, has its queue. It fails if there are too many.
func (t *topic) reserve() error {
	if !t.light {
		return nil
	}
	q, err := t.store.LightQueue(t.bytes)
	if err != nil {
		return err
	}
	t.queues[0].Store(q)
	return nil
}

// lightQueue is the queue of a light topic for those who only look: asking makes none. See reserve for the others.
func (t *topic) lightQueue() *store.Queue {
	if q := t.store.Find(t.bytes, 0); q != nil {
		return q
	}
	return t.store.Absent(t.Name, 0)
}

// checkLight checks what a message that is sent says of light queues, and lets the store enter it there.
func (s *sending) checkLight() error {
	if !s.b.options.Load().dispatches() || !record.LightTopic(s.message.Topic) {
		return nil
	}
	names := record.LightNames(s.edited.out)
	if len(bytes.TrimSpace(names)) == 0 {
		return nil
	}
	if why := record.LightList(names); why != "" {
		return refusalf(command.StatusMessageIllegal, "the message is illegal: %s is to be a list of light queues, such as %sa,%sb: %s", skua.PropMultiDispatch,
			skua.LMQPrefix, skua.LMQPrefix, why)
	}
	s.message.Light = true
	return nil
}

// lightGone makes groups begin anew on light queues that the store has forgotten: their numbers do.
func (b *Broker) lightGone(names map[string]bool) {
	if <-b.opened; b.offsets == nil {
		return // it could not be opened
	}
	gone := func(topic string) bool { return names[topic] }
	b.offsets.begin(gone)
	b.polls.wakeTopics(gone)
}

// sweepLight forgets light queues that never had a message and that nobody waits for.
func (b *Broker) sweepLight(time.Time) {
	b.store.DropUnused(b.polls.awaited)
}

// awaited reports whether a pull waits for a message of q.
func (ps *polls) awaited(q *store.Queue) bool {
	s := ps.shard(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queues[q] != nil
}
