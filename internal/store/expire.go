package store

import (
	"maps"
	"sync"
	"time"
)

// topicLimits are the topics whose messages expire before the files that hold them.
type topicLimits struct {
	mu   sync.Mutex
	keep map[string]time.Duration
}

// KeepFor makes messages of a topic unreadable by queue d after they were stored; 0 or less ends that, and so does
// DeleteTopic. The log has messages of all topics in the order of their arrival, so that their bytes stay until their file
// goes: no space is freed, and messages whose file goes earlier are gone earlier. What has become unreadable stays so
// until the store is opened without the limit. It takes effect within ten seconds and at each Expire.
func (s *Store) KeepFor(topic string, d time.Duration) {
	l := &s.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case d <= 0:
		delete(l.keep, topic)
	case l.keep == nil:
		l.keep = map[string]time.Duration{topic: d}
	default:
		l.keep[topic] = d
	}
}

// Expire applies the limits of KeepFor at once. It reads the disk.
func (s *Store) Expire() { s.expire() }

func (s *Store) expire() {
	s.limits.mu.Lock()
	keep := maps.Clone(s.limits.keep)
	s.limits.mu.Unlock()
	now := s.nowMs()
	for topic, d := range keep {
		for _, q := range s.Queues(topic) {
			q.expire(now - d.Milliseconds())
		}
	}
}

// expire makes unreadable what was stored before ms.
func (q *Queue) expire(ms int64) {
	at := q.OffsetByTime(ms, false)
	// The search takes what it cannot read for old. One message that is old indeed proves it for all before it.
	if t, ok := q.StoreTime(at - 1); ok && t < ms {
		q.expired.Store(true)
		q.raiseMin(int64(at))
	}
}

// raiseMin makes at the least readable offset, unless it is behind already. Those who find entries to be gone, or too
// old, do not know of one another.
func (q *Queue) raiseMin(at int64) {
	for old := q.min.Load(); old < at && !q.min.CompareAndSwap(old, at); old = q.min.Load() {
	}
}
