package broker

import (
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// Questions of administrators about how far consumers have come. They read store times from the log, which may block, so
// each is answered in its own goroutine.

// topicStatus serves GET_TOPIC_STATS_INFO.
func (b *Broker) topicStatus(f *wire.Frame) {
	var h command.TopicHeader
	if !decode(f, &h) {
		return
	}
	topic := b.topics.find(h.Topic)
	if topic == nil {
		refuse(f, command.StatusTopicNotExist, "topic[%s] not exist", h.Topic)
		return
	}
	out := command.TopicStatsTable{Offsets: map[command.MessageQueue]command.TopicOffset{}}
	for id := range max(topic.ReadQueues, topic.WriteQueues) {
		q := topic.queue(id)
		end := q.Max()
		o := command.TopicOffset{MinOffset: b.minOf(q), MaxOffset: end}
		if end > 0 {
			o.LastUpdate = b.storeTime(q, end-1)
		}
		out.Offsets[b.queue(topic.Name, id)] = o
	}
	minute, _, _ := b.stats.topic([]byte(topic.Name)).put.windows()
	out.PutTPS = minute.TPS
	answer(f, out)
}

// consumeStats serves GET_CONSUME_STATS.
func (b *Broker) consumeStats(f *wire.Frame) {
	var h command.ConsumeStatsHeader
	if !decode(f, &h) {
		return
	}
	topics := []string{h.Topic}
	if h.Topic == "" {
		if topics = splitList(h.Topics, ";"); len(topics) == 0 {
			topics = b.offsets.topicsOf(h.Group)
		}
	}
	out := command.ConsumeStats{Offsets: map[command.MessageQueue]command.ConsumeOffset{}}
	for _, topic := range topics {
		b.addProgress(&out, h.Group, topic)
	}
	out.Blocked = b.blockedOf(h.Group, b.now())
	answer(f, out)
}

// addProgress adds how far a group has come with a topic. It reports false, and adds nothing, if there is no such topic
// or the members of the group subscribe to other topics only.
func (b *Broker) addProgress(out *command.ConsumeStats, group, topic string) bool {
	t := b.topics.find(topic)
	view := b.clients.outlook([]byte(group))
	if t == nil || view != nil && len(view.topics) > 0 && view.topics[topic] == nil {
		return false
	}
	for id := range t.ReadQueues {
		p := b.offsets.progress(t.bytes, []byte(group), id)
		o := command.ConsumeOffset{BrokerOffset: t.queue(id).Max(), ConsumerOffset: max(p.committed, 0), PullOffset: max(p.pulled, 0)}
		if t.mapping != nil { // tools look for an offset in one stretch after the other
			o.ConsumerOffset, o.PullOffset = p.committed, max(p.committed, p.pulled)
		}
		if o.ConsumerOffset > 0 {
			o.LastTimestamp = b.storeTime(t.queue(id), o.ConsumerOffset-1)
		}
		out.Offsets[b.queue(topic, id)] = o
	}
	minute, _, _ := b.stats.group([]byte(topic), []byte(group)).get.windows()
	out.TPS += minute.TPS
	return true
}

// allConsumeStats serves GET_BROKER_CONSUME_STATS.
func (b *Broker) allConsumeStats(f *wire.Frame) {
	var h command.BrokerConsumeStatsHeader
	if !decode(f, &h) {
		return
	}
	out := command.ConsumeStatsList{BrokerAddr: b.Advertised()}
	for _, group := range b.groups.names() {
		list := []command.ConsumeStats{}
		for _, topic := range b.offsets.topicsOf(group) {
			if t := b.topics.find(topic); t == nil || h.Order && !t.Order {
				continue
			}
			one := command.ConsumeStats{Offsets: map[command.MessageQueue]command.ConsumeOffset{}}
			if !b.addProgress(&one, group, topic) {
				continue
			}
			for _, o := range one.Offsets {
				out.TotalDiff += int64(o.BrokerOffset - o.ConsumerOffset)
				out.InflightDiff += int64(max(o.PullOffset-o.ConsumerOffset, 0))
			}
			list = append(list, one)
		}
		out.Stats = append(out.Stats, map[string][]command.ConsumeStats{group: list})
	}
	answer(f, out)
}

// timeSpan serves QUERY_CONSUME_TIME_SPAN.
func (b *Broker) timeSpan(f *wire.Frame) {
	var h command.GroupHeader
	if !decode(f, &h) {
		return
	}
	topic := b.topics.find(h.Topic)
	if topic == nil {
		refuse(f, command.StatusTopicNotExist, "topic[%s] not exist", h.Topic)
		return
	}
	out := command.ConsumeTimeSpans{Queues: []command.QueueTimeSpan{}}
	for id := range topic.ReadQueues {
		out.Queues = append(out.Queues, b.queueTimeSpan(h.Group, topic, id))
	}
	answer(f, out)
}

func (b *Broker) queueTimeSpan(group string, t *topic, id int32) command.QueueTimeSpan {
	q := t.queue(id)
	first, end := b.minOf(q), q.Max()
	next := max(b.offsets.committed(t.bytes, []byte(group), id), 0)
	s := command.QueueTimeSpan{Queue: b.queue(t.Name, id)}
	if end > first {
		s.MinTime, s.MaxTime = b.storeTime(q, first), b.storeTime(q, end-1)
	}
	s.ConsumeTime = s.MinTime
	if next > 0 {
		s.ConsumeTime = b.storeTime(q, next-1)
	}
	if next < end {
		if at := b.storeTime(q, max(next, first)); at > 0 {
			s.Delay = b.now().UnixMilli() - at
		}
	}
	s.MinTimeText, s.MaxTimeText, s.ConsumeTimeText = dashTime(s.MinTime), dashTime(s.MaxTime), dashTime(s.ConsumeTime)
	return s
}

// dashTime spells a time as Java does in time spans.
func dashTime(ms int64) string {
	t := time.UnixMilli(ms)
	return t.Format("2006-01-02#15:04:05:") + t.Format(".000")[1:]
}

// cloneOffsets serves CLONE_GROUP_OFFSET: a group begins where another stands.
func (b *Broker) cloneOffsets(f *wire.Frame) {
	var h command.CloneOffsetHeader
	if !decode(f, &h) {
		return
	}
	topics := []string{h.Topic}
	if h.Topic == "" {
		topics = b.offsets.topicsOf(h.From)
	}
	for _, topic := range topics {
		t := b.topics.find(topic)
		if view := b.clients.outlook([]byte(h.From)); t == nil || !h.Offline && view != nil && view.topics[topic] == nil {
			continue
		}
		b.offsets.clone(h.From, h.To, topic)
	}
	b.log.Info("consumer offsets were cloned", "from", h.From, "to", h.To, "topics", topics)
	succeed(f, nil, nil)
}

// queue names a queue of this broker in bodies.
func (b *Broker) queue(topic string, id int32) command.MessageQueue {
	return command.MessageQueue{Broker: b.options.Load().BrokerName, QueueID: id, Topic: topic}
}

// storeTime is when a message was stored, in ms; 0 if it is no longer there.
func (b *Broker) storeTime(q *store.Queue, off skua.QueueOffset) int64 {
	ms, _ := b.storeTimeOf(q, off)
	return ms
}
