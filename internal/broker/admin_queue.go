package broker

import (
	"errors"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// maxQueueUnits bounds the entries of an answer to QUERY_CONSUME_QUEUE.
const maxQueueUnits = 1000

// queryQueue serves QUERY_CONSUME_QUEUE: entries of a consume queue, and whether a group's subscription lets them pass.
func (b *Broker) queryQueue(f *wire.Frame) {
	var h command.QueryQueueHeader
	if !decode(f, &h) {
		return
	}
	topic := b.topics.find(h.Topic)
	if topic == nil || h.QueueID < 0 || h.QueueID >= max(topic.ReadQueues, topic.WriteQueues) {
		refuse(f, command.StatusSystemError, "%d@%s is not exist!", h.QueueID, h.Topic)
		return
	}
	q := topic.queue(h.QueueID)
	body := command.ConsumeQueueSlice{MinIndex: q.Min(), MaxIndex: q.Max(), Entries: []command.ConsumeQueueUnit{}}
	var wanted *interest
	if view := b.clients.outlook([]byte(h.Group)); view != nil {
		wanted = view.topics[h.Topic]
	}
	passes := func(skua.QueueOffset, int64) bool { return false }
	switch {
	case wanted != nil:
		body.Subscription, body.FilterData = &wanted.SubscriptionData, "null"
		passes = func(_ skua.QueueOffset, tagsCode int64) bool { return wanted.match == nil || wanted.match(tagsCode) }
		if f := b.groupFilters.get([]byte(h.Topic), []byte(h.Group)); f != nil && f.err == nil && !wanted.Tagged() {
			text, _ := fastjson.MarshalPretty(f.ConsumerFilter)
			body.FilterData = string(text)
			passes = func(off skua.QueueOffset, _ int64) bool {
				x, ok := q.Extension(off)
				return !ok || f.wants.extension(x)
			}
		}
	case h.Group != "":
		body.FilterData = "No consumer online: " + h.Group + " subscribes nothing of " + h.Topic
	}
	last := skua.LogOffset(-1)
	for off := max(h.Index, q.Min()); off < q.Max() && len(body.Entries) < int(min(h.Count, maxQueueUnits)); off++ {
		if e, ok := q.Entry(off); ok && e.LogOffset != last { // several messages of a batch queue lie in one record
			last = e.LogOffset
			body.Entries = append(body.Entries, command.ConsumeQueueUnit{Offset: e.LogOffset, Size: e.Size, TagsCode: e.TagsCode,
				Eval: passes(off, e.TagsCode)})
		}
	}
	answer(f, body)
}

// cleanQueues serves CLEAN_EXPIRED_CONSUMEQUEUE.
func (b *Broker) cleanQueues(f *wire.Frame) {
	b.store.CleanQueues()
	succeed(f, nil, nil)
}

// deleteExpired serves DELETE_EXPIRED_COMMITLOG: retention does its work now, not at its hour.
func (b *Broker) deleteExpired(f *wire.Frame) {
	n := b.store.DeleteExpired()
	b.log.Info("expired files of the commit log were deleted on request", "by", f.Conn().RemoteAddr(), "files", n)
	succeed(f, nil, nil)
}

// cleanUnusedTopics serves CLEAN_UNUSED_TOPIC: it deletes the queues of topics that the broker no longer knows.
func (b *Broker) cleanUnusedTopics(f *wire.Frame) {
	for _, name := range b.store.Topics() {
		if b.topics.isSystem(name) || strings.HasPrefix(name, skua.LMQPrefix) {
			continue
		}
		err := b.topics.ifUnknown(name, func() error {
			b.log.Info("queues of an unknown topic are deleted on request", "topic", name, "by", f.Conn().RemoteAddr())
			return errors.Join(b.compaction.Load().forget(name), b.store.DeleteTopic(name))
		})
		if err != nil {
			refuse(f, command.StatusSystemError, "queues of topic %s cannot be deleted: %v", name, err)
			return
		}
	}
	succeed(f, nil, nil)
}
