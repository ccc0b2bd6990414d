package broker

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Names of statistics, as VIEW_BROKER_STATS_DATA asks for them.
const (
	statTopicPut     = "TOPIC_PUT_NUMS"  // key: topic
	statTopicPutSize = "TOPIC_PUT_SIZE"  // key: topic
	statGroupGet     = "GROUP_GET_NUMS"  // key: topic@group
	statGroupGetSize = "GROUP_GET_SIZE"  // key: topic@group
	statSendBack     = "SNDBCK_PUT_NUMS" // key: topic@group
	statDeadLetter   = "DLQ_PUT_NUMS"    // key: topic@group
	statBrokerPut    = "BROKER_PUT_NUMS" // key: cluster
	statBrokerGet    = "BROKER_GET_NUMS" // key: cluster
)

// maxStatCounters bounds the topics, and the pairs of topic and group, that are counted apart; further ones count for
// the broker only.
const maxStatCounters = 1_000_000

// totalSamplesKept are the samples of the broker's totals, one a second, for rates over ten minutes.
const totalSamplesKept = 601

// topicStats counts what producers did to one topic.
type topicStats struct {
	put     counter // messages; an event each request
	putSize counter // bytes of records
}

// groupStats counts what one consumer group did to one topic.
type groupStats struct {
	get        counter // messages
	getSize    counter // bytes of records
	sendBack   counter // messages sent back
	deadLetter counter // messages given up
}

// groupKey is a group on a topic.
type groupKey struct{ topic, group string }

// stats counts what the broker does. Counting neither allocates nor waits: hot paths keep the pointer to a topicStats
// or groupStats, or find it by a read-locked look-up.
type stats struct {
	started time.Time

	put, got           counter      // messages that were stored and delivered; an event each request
	putBytes, gotBytes atomic.Int64 // of these
	putFailed          atomic.Int64 // messages that the store refused
	getMiss            atomic.Int64 // pulls that found nothing

	lightTogether bool // light queues, and groups of them, are counted as %LMQ%; set once

	mu     sync.RWMutex
	topics map[string]*topicStats   // guarded by mu
	groups map[groupKey]*groupStats // guarded by mu

	rates struct {
		sync.Mutex
		samples          []totals // oldest first, one a second
		day              string   // date of today
		today, yesterday totals   // at the start of the day
	}

	sampled, sampledHour, sampledDay time.Time // when the windows were fed last; used by the ticker only
}

// totals are the counts of the whole broker at some time.
type totals struct {
	at                                    int64 // ms
	put, got, gotBytes, getFound, getMiss int64
}

func newStats(now time.Time) *stats {
	s := &stats{started: now, sampled: now, sampledHour: now, sampledDay: now, topics: map[string]*topicStats{}, groups: map[groupKey]*groupStats{}}
	s.rates.day = now.Format(time.DateOnly)
	return s
}

// discardedTopic and discardedGroup count for names beyond the limit, and nobody reads them.
var (
	discardedTopic topicStats
	discardedGroup groupStats
)

// counted is the name under which a topic or group is counted.
func (s *stats) counted(name []byte) []byte {
	if s.lightTogether && bytes.HasPrefix(name, lightPrefix) {
		return lightPrefix
	}
	return name
}

// topic returns the counters of a topic, which stay valid until forgetTopic. It allocates only for a new one.
func (s *stats) topic(name []byte) *topicStats {
	name = s.counted(name)
	s.mu.RLock()
	t := s.topics[string(name)]
	s.mu.RUnlock()
	if t != nil {
		return t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.topics[string(name)]; t != nil {
		return t
	}
	if len(s.topics) >= maxStatCounters {
		return &discardedTopic
	}
	t = new(topicStats)
	s.topics[string(name)] = t
	return t
}

// group returns the counters of a group on a topic, as topic does.
func (s *stats) group(topic, group []byte) *groupStats {
	topic, group = s.counted(topic), s.counted(group)
	s.mu.RLock()
	g := s.groups[groupKey{string(topic), string(group)}]
	s.mu.RUnlock()
	if g != nil {
		return g
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := groupKey{string(topic), string(group)}
	if g := s.groups[key]; g != nil {
		return g
	}
	if len(s.groups) >= maxStatCounters {
		return &discardedGroup
	}
	g = new(groupStats)
	s.groups[key] = g
	return g
}

// forgetTopic drops the counters of a deleted topic.
func (s *stats) forgetTopic(topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.topics, topic)
	for k := range s.groups {
		if k.topic == topic {
			delete(s.groups, k)
		}
	}
}

// forgetGroup drops the counters of a deleted consumer group.
func (s *stats) forgetGroup(group string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.groups {
		if k.group == group {
			delete(s.groups, k)
		}
	}
}

// stored counts messages that the store took, sent in one request.
func (s *stats) stored(t *topicStats, messages, bytes int64) {
	t.put.addN(messages, 1)
	t.putSize.addN(bytes, 1)
	s.put.addN(messages, 1)
	s.putBytes.Add(bytes)
}

// delivered counts messages that one pull got.
func (s *stats) delivered(g *groupStats, messages, bytes int64) {
	g.get.addN(messages, 1)
	g.getSize.addN(bytes, 1)
	s.got.addN(messages, 1)
	s.gotBytes.Add(bytes)
}

// missed counts a pull that got nothing.
func (s *stats) missed() { s.getMiss.Add(1) }

// refused counts messages that the store did not take.
func (s *stats) refused(messages int64) { s.putFailed.Add(messages) }

func (s *stats) totals(now time.Time) totals {
	return totals{now.UnixMilli(), s.put.sum.Load(), s.got.sum.Load(), s.gotBytes.Load(), s.got.times.Load(), s.getMiss.Load()}
}

// second samples the totals; it is to be called each second.
func (s *stats) second(now time.Time) {
	r := &s.rates
	r.Lock()
	defer r.Unlock()
	t := s.totals(now)
	if day := now.Format(time.DateOnly); day != r.day {
		r.day, r.yesterday, r.today = day, r.today, t
	}
	if len(r.samples) == totalSamplesKept {
		copy(r.samples, r.samples[1:])
		r.samples[totalSamplesKept-1] = t
		return
	}
	r.samples = append(r.samples, t)
}

// sample feeds the windows of all counters.
func (s *stats) sample(now time.Time, what sampling) {
	s.put.take(now, what)
	s.got.take(now, what)
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, t := range s.topics {
		t.put.take(now, what)
		t.putSize.take(now, what)
	}
	for _, g := range s.groups {
		g.get.take(now, what)
		g.getSize.take(now, what)
		g.sendBack.take(now, what)
		g.deadLetter.take(now, what)
	}
}

// perSecond are rates over the last 10 s, minute and ten minutes.
type perSecond [3]float64

// String gives the three numbers separated by spaces.
func (p perSecond) String() string {
	out := make([]byte, 0, 48)
	for i, v := range p {
		if i > 0 {
			out = append(out, ' ')
		}
		out = strconv.AppendFloat(out, v, 'f', -1, 64)
	}
	return string(out)
}

// rate returns the rates of one of the totals. Over a window that is longer than the broker has run it is the rate
// since the start; Java leaves such numbers out, and tools that read the third of one or two fail.
func (s *stats) rate(of func(totals) int64) perSecond {
	s.rates.Lock()
	defer s.rates.Unlock()
	var p perSecond
	samples := s.rates.samples
	if len(samples) == 0 {
		return p
	}
	last := samples[len(samples)-1]
	for i, back := range [...]int{10, 60, 600} {
		first := samples[max(0, len(samples)-1-back)]
		if ms := last.at - first.at; ms > 0 {
			p[i] = float64(of(last)-of(first)) * 1000 / float64(ms)
		}
	}
	return p
}

// mornings returns the totals at the start of yesterday and of today, 0 if the broker did not run then.
func (s *stats) mornings() (yesterday, today totals) {
	s.rates.Lock()
	defer s.rates.Unlock()
	return s.rates.yesterday, s.rates.today
}

// find returns the counter of a statistic by the names that VIEW_BROKER_STATS_DATA carries, nil if nothing was counted.
func (s *stats) find(name, key string) *counter {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var c *counter
	t, g := s.topics[key], s.groups[splitStatKey(key)]
	switch {
	case name == statBrokerPut:
		c = &s.put
	case name == statBrokerGet:
		c = &s.got
	case t != nil && name == statTopicPut:
		c = &t.put
	case t != nil && name == statTopicPutSize:
		c = &t.putSize
	case g != nil && name == statGroupGet:
		c = &g.get
	case g != nil && name == statGroupGetSize:
		c = &g.getSize
	case g != nil && name == statSendBack:
		c = &g.sendBack
	case g != nil && name == statDeadLetter:
		c = &g.deadLetter
	}
	if c == nil || c.times.Load() == 0 {
		return nil
	}
	return c
}

// splitStatKey reads topic@group; a topic holds no @.
func splitStatKey(key string) groupKey {
	for i := range len(key) {
		if key[i] == '@' {
			return groupKey{key[:i], key[i+1:]}
		}
	}
	return groupKey{topic: key}
}

// tick feeds the statistics each second.
func (b *Broker) tick(now time.Time) {
	b.stats.second(now)
	b.latencies.roll(now, b.store)
	b.wheel.second(now)
	if what := b.stats.due(now); what.minute {
		b.stats.sample(now, what)
	}
}

// due says which windows are to be sampled now. It is asked each second.
func (s *stats) due(now time.Time) sampling {
	if now.Sub(s.sampled) < minuteSampling {
		return sampling{}
	}
	what := sampling{minute: true}
	if what.hour = now.Sub(s.sampledHour) >= hourSampling; what.hour {
		s.sampledHour = now
	}
	if what.day = now.Sub(s.sampledDay) >= daySampling; what.day {
		s.sampledDay = now
	}
	s.sampled = now
	return what
}

// countedTopic is a topic of which something was counted.
type countedTopic struct {
	name  string
	stats *topicStats
}

// countedTopics are the topics to which something was put, sorted.
func (s *stats) countedTopics() []countedTopic {
	s.mu.RLock()
	var all []countedTopic
	for name, t := range s.topics {
		if t.put.times.Load() > 0 {
			all = append(all, countedTopic{name, t})
		}
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b countedTopic) int { return strings.Compare(a.name, b.name) })
	return all
}

// countedGroup is a group on a topic of which something was counted.
type countedGroup struct {
	groupKey
	stats *groupStats
}

// countedGroups are the groups that are counted, sorted.
func (s *stats) countedGroups() []countedGroup {
	s.mu.RLock()
	all := make([]countedGroup, 0, len(s.groups))
	for key, g := range s.groups {
		all = append(all, countedGroup{key, g})
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b countedGroup) int {
		return cmp.Or(strings.Compare(a.topic, b.topic), strings.Compare(a.group, b.group))
	})
	return all
}
