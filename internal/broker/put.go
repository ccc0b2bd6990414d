package broker

import (
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// put is the one way of messages into the store: those that producers send, that consumers send back, and that fall
// due. All of ms go to queue ms[0].QueueID of t, one behind the other. If level, the delay level that the properties of
// a single message ask for, is above 0, the message is parked in the schedule topic instead: its topic, queue and
// properties change, the latter to memory in scratch, which is grown as needed.
//
// When put returns without error the messages survive the process; for the disk see settle. It blocks for microseconds.
// Errors are those of store.Append.
func (b *Broker) put(t *topic, ms []*record.Message, level int, scratch *[]byte) (store.Receipt, error) {
	if level > 0 {
		*scratch = b.schedule.levels.transform(ms[0], level, *scratch)
		t = b.topics.find(skua.ScheduleTopic) // counted there, and in its own topic when it is delivered
	}
	q := t.queue(ms[0].QueueID)
	r, err := b.store.Append(q, ms...)
	if err != nil {
		b.stats.refused(int64(len(ms)))
		return r, err
	}
	b.stats.stored(t.counters, r.Messages, int64(r.End-r.LogOffset))
	return r, nil
}

// settle calls done when stored messages are as safe as the broker makes them, or at once if wait is false: see
// store.WhenDurable. It does not block; done must not either.
func (b *Broker) settle(r store.Receipt, wait bool, done func(error)) {
	if !wait {
		done(nil)
		return
	}
	b.store.WhenDurable(r.End, time.Duration(b.options.Load().SyncFlushTimeout)*time.Millisecond, done)
}
