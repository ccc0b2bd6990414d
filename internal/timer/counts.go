package timer

import (
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// counts are how many messages of each topic wait in the wheel.
type counts struct {
	mu      sync.Mutex // guards the following, and what is in it
	topics  map[string]*TopicCount
	version int64 // grows with each change
	survey  *Survey
}

// TopicCount is how many messages of a topic wait.
type TopicCount struct {
	Count   int64
	Changed int64 // ms
	hash    int32
}

// change is a change of a count.
type change struct {
	topic *TopicCount
	by    int64
	now   int64 // ms
}

// of returns the count of a topic, which is made if there is none. It keeps topic not.
func (c *counts) of(topic []byte) *TopicCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ofLocked(topic)
}

func (c *counts) ofLocked(topic []byte) *TopicCount {
	n := c.topics[string(topic)]
	if n == nil {
		n = &TopicCount{hash: record.HashString(topic)}
		c.topics[string(topic)] = n
	}
	return n
}

func (c *counts) apply(changes []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range changes {
		c.addLocked(x.topic, x.by, x.now)
	}
}

func (c *counts) add(topic []byte, by, now int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addLocked(c.ofLocked(topic), by, now)
}

func (c *counts) addLocked(n *TopicCount, by, now int64) {
	n.Count += by
	n.Changed = now
	c.version++
	if c.survey != nil {
		c.survey.since[n.hash] += by
	}
}

// count changes the count of the topic that a message belongs to.
func (t *Timer) count(m *record.Message, by int64) {
	if topic, ok := record.Property(m.Properties, skua.PropRealTopic); ok {
		t.counts.add(topic, by, t.now)
	}
}

// Counts returns how many messages of each topic wait, and a number that grows with each change.
func (t *Timer) Counts() (topics map[string]TopicCount, version int64) {
	t.counts.mu.Lock()
	defer t.counts.mu.Unlock()
	topics = make(map[string]TopicCount, len(t.counts.topics))
	for name, n := range t.counts.topics {
		topics[name] = *n
	}
	return topics, t.counts.version
}

// SetCounts replaces the counts by those that were saved, with their version.
func (t *Timer) SetCounts(topics map[string]TopicCount, version int64) {
	t.counts.mu.Lock()
	defer t.counts.mu.Unlock()
	clear(t.counts.topics)
	for name, n := range topics {
		n.hash = record.HashString([]byte(name))
		t.counts.topics[name] = &n
	}
	t.counts.version = version
}

// Forget drops the count of a topic that was deleted.
func (t *Timer) Forget(topic string) {
	t.counts.mu.Lock()
	defer t.counts.mu.Unlock()
	if t.counts.topics[topic] != nil {
		delete(t.counts.topics, topic)
		t.counts.version++
	}
}

// Survey counts messages anew, by reading the timer log, since counts are not exact after a crash. It is begun by
// Timer.Survey, run by Run and ended by Adopt.
type Survey struct {
	t     *Timer
	read  int64           // messages that are due before it do not count
	end   int64           // units from here on neither
	found map[int32]int64 // by hash of topic
	since map[int32]int64 // what changed since the survey began; guarded by counts.mu
}

// Survey begins a survey. It is for the goroutine that calls Step. It is nil if a slot is being delivered, or another
// survey has not ended.
func (t *Timer) Survey() *Survey {
	t.counts.mu.Lock()
	defer t.counts.mu.Unlock()
	if t.slot.done > 0 || t.counts.survey != nil {
		return nil
	}
	s := &Survey{t: t, read: t.read, end: t.units.end, found: map[int32]int64{}, since: map[int32]int64{}}
	t.counts.survey = s
	return s
}

// Run reads the timer log, until stop is closed. It runs beside everything else.
func (s *Survey) Run(stop <-chan struct{}) error {
	_, err := (&unitLog{run: s.t.units.run}).each(0, func(pos int64, u layout.TimerUnit) bool {
		if s.t.present(u.Due()) >= s.read && pos < s.end {
			if u.Magic&layout.TimerDeletes != 0 {
				s.found[u.Topic]--
			} else {
				s.found[u.Topic]++
			}
		}
		select {
		case <-stop:
			return false
		default:
			return pos < s.end
		}
	})
	return err
}

// Adopt ends a survey: the counts are what it found, for the topics that have one and for others that exist. Without topics
// it changes nothing.
func (s *Survey) Adopt(topics []string, now int64) {
	c := &s.t.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.survey = nil
	if topics == nil {
		return
	}
	for _, name := range topics {
		if s.found[record.HashString([]byte(name))] != 0 {
			c.ofLocked([]byte(name))
		}
	}
	for _, n := range c.topics {
		if real := s.found[n.hash] + s.since[n.hash]; real != n.Count {
			n.Count, n.Changed = real, now
			c.version++
		}
	}
}

// Distances are the bounds, in seconds from the present, of the classes that ByDistance counts.
var Distances = [...]int64{5, 60, 300, 900, 3600, 14400, 28800, 86400}

// ByDistance counts the messages that are due within each of Distances, and not within the one before it. It may read the
// disk.
func (t *Timer) ByDistance(now int64) (n [len(Distances)]int64, err error) {
	t.mu.Lock()
	first := t.progress.read
	t.mu.Unlock()
	first = max(first, t.present(now))
	for i, d := range Distances {
		end := max(t.present(now)+d*1000/t.o.Precision, first)
		if n[i], err = t.wheel.between(first, min(end, first+turn)); err != nil {
			return n, err
		}
		first = end
	}
	return n, nil
}
