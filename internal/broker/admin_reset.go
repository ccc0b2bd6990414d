package broker

import (
	"fmt"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// resetOffset serves INVOKE_BROKER_TO_RESET_OFFSET: a group is to go on at another place in a topic. By default the
// broker remembers the new offsets and answers the next pulls with them; with useServerSideResetOffset=false it asks the
// members to move.
func (b *Broker) resetOffset(f *wire.Frame) {
	h := command.ResetOffsetHeader{QueueID: -1}
	if !decode(f, &h) {
		return
	}
	if b.options.Load().UseServerSideResetOffset {
		b.resetHere(f, &h)
	} else {
		b.resetAtMembers(f, &h)
	}
}

func (b *Broker) resetHere(f *wire.Frame, h *command.ResetOffsetHeader) {
	topic := b.topics.find(h.Topic)
	if topic == nil {
		refuse(f, command.StatusTopicNotExist, "Topic %s does not exist", h.Topic)
		return
	}
	if b.groups.lookup(h.Group) == nil { // not created: it may be misspelled
		refuse(f, command.StatusSubscriptionGroupNotExist, "Group %s does not exist", h.Group)
		return
	}
	if h.QueueID >= topic.ReadQueues {
		refuse(f, command.StatusSystemError, "No offset to be reset: topic %s has queues 0 to %d, not %d", h.Topic, topic.ReadQueues-1, h.QueueID)
		return
	}
	offsets := map[int32]skua.QueueOffset{}
	for id := range topic.ReadQueues {
		if h.QueueID >= 0 && h.QueueID != id {
			continue
		}
		off, err := b.resetTarget(h, topic.queue(id))
		if err != nil {
			refuse(f, command.StatusSystemError, "%v", err)
			return
		}
		offsets[id] = off
	}
	out := command.ResetOffset{Offsets: map[command.MessageQueue]skua.QueueOffset{}}
	for id, off := range offsets {
		b.offsets.reset(h.Topic, h.Group, id, off)
		out.Offsets[b.queue(h.Topic, id)] = off
	}
	b.polls.topicChanged(h.Topic) // pulls that wait for messages learn of it now
	b.log.Info("consumer offsets were reset", "group", h.Group, "topic", h.Topic, "offsets", offsets)
	answer(f, out)
}

// resetTarget is where one queue is to be reset to: the offset that was asked for, or the one of the time.
func (b *Broker) resetTarget(h *command.ResetOffsetHeader, q *store.Queue) (skua.QueueOffset, error) {
	if h.QueueID >= 0 && h.Offset != nil && *h.Offset != -1 {
		if first, end := b.minOf(q), q.Max(); *h.Offset < first || *h.Offset > end {
			return 0, fmt.Errorf("Target offset %d not in consume queue range [%d-%d]", *h.Offset, first, end)
		}
		return *h.Offset, nil
	}
	if h.Timestamp < 0 {
		return q.Max(), nil
	}
	return max(b.offsetByTimeOf(q, h.Timestamp, false), 0), nil
}

// The first release whose clients can be asked to reset, or tell, their offsets.
const v3_0_7Snapshot = 28

func (b *Broker) resetAtMembers(f *wire.Frame, h *command.ResetOffsetHeader) {
	topic := b.topics.find(h.Topic)
	if topic == nil {
		refuse(f, command.StatusSystemError, "[reset-offset] reset offset failed, no topic in this broker. topic=%s", h.Topic)
		return
	}
	members := b.clients.contacts(h.Group)
	if len(members) == 0 {
		refuse(f, command.StatusConsumerNotOnline, "Consumer not online, so can not reset offset. Group: %s Topic: %s Timestamp: %d", h.Group, h.Topic, h.Timestamp)
		return
	}
	out := command.ResetOffset{Offsets: map[command.MessageQueue]skua.QueueOffset{}}
	var list command.ResetOffsetList
	for id := range topic.WriteQueues {
		now := b.offsets.committed(topic.bytes, []byte(h.Group), id)
		if now == noOffset {
			refuse(f, command.StatusSystemError, "THe consumer group <%s> not exist", h.Group)
			return
		}
		to, err := b.resetTarget(&command.ResetOffsetHeader{Topic: h.Topic, QueueID: -1, Timestamp: h.Timestamp}, topic.queue(id))
		if err == nil && !h.Force {
			to = min(to, now)
		}
		mq := b.queue(h.Topic, id)
		out.Offsets[mq] = to
		list.Offsets = append(list.Offsets, command.ResetOffsetItem{Broker: mq.Broker, Offset: to, QueueID: id, Topic: mq.Topic})
	}
	for _, m := range members {
		if m.version < v3_0_7Snapshot {
			refuse(f, command.StatusSystemError, "the client does not support this feature. version=%d", m.version)
			return
		}
		body, err := fastjson.Marshal(out)
		if m.language == command.CPP {
			body, err = fastjson.Marshal(list)
		}
		if err != nil {
			refuse(f, command.StatusSystemError, "offsets cannot be encoded: %v", err)
			return
		}
		header := *h
		header.QueueID = -1
		if err := m.conn.Send(&wire.Request{Code: command.ResetConsumerClientOffset, Header: &header, Body: body}); err != nil {
			b.log.Warn("consumer could not be asked to reset its offsets", "group", h.Group, "client", m.id, "error", err)
		}
	}
	if f.Language == command.CPP {
		answer(f, list)
		return
	}
	answer(f, out)
}
