package broker

import (
	"errors"
	"log/slog"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// delay is how long a message waits before it is delivered.
type delay struct {
	level int   // a delay level, above 0
	until int64 // or, above 0, a time as TIMER_OUT_MS, ms
}

// put is the one way of messages into the store: those that producers send, that consumers send back, and that fall
// due. All of ms go to queue ms[0].QueueID of t, one behind the other. A single message that has to wait is parked in a
// topic of the broker's instead: its topic, queue and properties change, the latter to memory in scratch, which is grown as
// needed.
//
// When put returns without error the messages survive the process; for the disk see settle. It blocks for microseconds.
// Errors are those of store.Append.
func (b *Broker) put(t *topic, ms []*record.Message, d delay, scratch *[]byte) (store.Receipt, error) {
	switch { // it is counted there, and in its own topic when it is delivered
	case d.level > 0:
		*scratch = b.schedule.levels.transform(ms[0], d.level, *scratch)
		t = b.topics.find(skua.ScheduleTopic)
	case d.until > 0:
		*scratch = park(ms[0], d.until, *scratch)
		t = b.topics.find(skua.TimerTopic)
	}
	if err := t.reserve(); err != nil {
		b.stats.refused(int64(len(ms)))
		return store.Receipt{}, err
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

// home is the topic and the queue to which a message of t goes that has waited, see static.Mapping; t may be nil. It goes there
// before leave is called.
func (ts *topics) home(t *topic, queue int32) (now *topic, at int32, leave func()) {
	if t == nil || t.mapping == nil {
		return t, queue, func() {}
	}
	if now = ts.enter(t); now == nil {
		return t, queue, func() {}
	}
	return now, now.mapping.Home(queue), now.gate.RUnlock
}

// storeCopy stores a message that leaves a topic of the broker's, in which it has waited, where it belongs; topics may be nil.
// If there are too many light queues it is in none of those that it names, so that others need not wait behind it, and the log tells.
func storeCopy(s *store.Store, topics *topics, st *stats, log *slog.Logger, m *record.Message) (store.Receipt, error) {
	if topics != nil {
		_, at, leave := topics.home(topics.get(m.Topic), m.QueueID)
		defer leave()
		m.QueueID = at
	}
	m.Light = true
	q := s.Queue(string(m.Topic), m.QueueID)
	r, err := s.Append(q, m)
	if refused := (*store.RefusedError)(nil); errors.As(err, &refused) && refused.Reason == store.TooManyLight {
		log.Error("message that has waited comes to its topic, but to none of the light queues that it names: there are too many", "topic", string(m.Topic),
			"error", err, "cure", "raise maxLmqConsumeQueueNum")
		m.Light = false
		r, err = s.Append(q, m)
	}
	if err != nil {
		st.refused(1)
		return r, err
	}
	st.stored(st.topic(m.Topic), 1, int64(m.Size))
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
