package broker

import (
	"strings"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// updateOffset serves UPDATE_CONSUMER_OFFSET. It does not allocate for a queue that has an offset already.
func (b *Broker) updateOffset(req *wire.Frame) {
	var h command.OffsetHeader
	if err := h.Decode(req.Ext); err != nil {
		refuse(req, command.StatusInvalidParameter, "%v", err)
		return
	}
	if b.groups.get(h.Group) == nil {
		refuse(req, command.StatusSubscriptionGroupNotExist, "Group %s not exist!", h.Group)
		return
	}
	t := b.topics.get(h.Topic)
	switch {
	case t == nil:
		refuse(req, command.StatusTopicNotExist, "Topic %s not exist!", h.Topic)
		return
	case !h.HasQueueID:
		refuse(req, command.StatusInvalidParameter, "QueueId is null, topic is %s", h.Topic)
		return
	case !h.HasCommit:
		refuse(req, command.StatusInvalidParameter, "Offset is null, topic is %s", h.Topic)
		return
	}
	if t.static(h.Physical) {
		b.updateLogical(req, t, &h)
		return
	}
	if err := b.commit(t, h.Group, h.QueueID, skua.QueueOffset(h.CommitOffset)); err != nil {
		refuse(req, command.StatusInvalidParameter, "%v", err)
		return
	}
	req.Call().Reply(&succeeded)
}

// succeeded is the answer without content. It is shared, and never changed.
var succeeded wire.Response

// errReset tells that an offset was not stored because an administrator has set another one.
var errReset = refusalf(command.StatusSuccess, "Offset has been previously reset")

// commit stores what a group has consumed of a queue.
func (b *Broker) commit(t *topic, group []byte, queue int32, off skua.QueueOffset) error {
	// Only queues that the topic has or had: a client must not fill the table with others.
	if (queue < 0 || int(queue) >= len(t.queues)) && b.offsets.committed(t.bytes, group, queue) == noOffset {
		return refusalf(command.StatusInvalidParameter, "queueId[%d] is illegal, topic %s has %d queues", queue, t.Name, len(t.queues))
	}
	if off < 0 {
		return refusalf(command.StatusInvalidParameter, "commitOffset[%d] is illegal, topic is %s: it is below 0", off, t.Name)
	}
	if b.offsets.full(t.bytes, group) {
		return refusalf(command.StatusInvalidParameter, "offset of group %s on topic %s cannot be kept: there are %d such already; delete groups or light queues", group,
			t.Name, maxOffsetPairs)
	}
	if !b.offsets.commit(t.bytes, group, queue, off) {
		return errReset
	}
	return nil
}

// queryOffset serves QUERY_CONSUMER_OFFSET: where a group goes on or, if it has no offset yet, whether it is to start at
// the beginning. If not, the client asks for the end or a time, by its own setting.
func (b *Broker) queryOffset(req *wire.Frame) {
	var h command.OffsetHeader
	if err := h.Decode(req.Ext); err != nil {
		refuse(req, command.StatusInvalidParameter, "%v", err)
		return
	}
	t := b.topics.get(h.Topic)
	if t.static(h.Physical) {
		b.askLogical(req, t, (*logicalAsk).query)
		return
	}
	off, err := b.committedOrStart(t, &h)
	if err != nil {
		refuseWith(req, err)
		return
	}
	succeed(req, &command.OffsetResponse{Offset: int64(off)}, nil)
}

// committedOrStart returns where a group goes on with a queue of t, which may be nil, or 0 if it is new and is to start
// there. The error is the refusal.
func (b *Broker) committedOrStart(t *topic, h *command.OffsetHeader) (skua.QueueOffset, error) {
	if off := b.offsets.committed(h.Topic, h.Group, h.QueueID); off >= 0 {
		return off, nil
	}
	if !h.SetZero {
		return 0, refusalf(command.StatusQueryNotFound, "Not found, do not set to zero, maybe this group boot first")
	}
	q := t.known(h.QueueID)
	switch {
	case q == nil:
	case q.Min() > 0:
		b.firsts.log(b, h, "as its consumers choose because older messages have been deleted")
	case q.Max() == 0:
		b.firsts.log(b, h, "at 0 because the queue is empty")
		return 0, nil
	case b.store.Hot(q, 0):
		b.firsts.log(b, h, "at 0 because the queue still holds its first message in memory: consumeFromWhere has no effect")
		return 0, nil
	default:
		b.firsts.log(b, h, "as its consumers choose because the first message is not in memory any more")
	}
	return 0, refusalf(command.StatusQueryNotFound, "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first")
}

// firsts remembers which groups were found to be new on which topics, so that it is logged once.
type firsts struct {
	mu   sync.Mutex
	seen map[offsetKey]bool
}

// maxFirsts bounds the memory of firsts; beyond it, it begins anew.
const maxFirsts = 10_000

func (f *firsts) log(b *Broker, h *command.OffsetHeader, why string) {
	key := offsetKey{string(h.Topic), string(h.Group)}
	f.mu.Lock()
	known := f.seen[key]
	if f.seen == nil || len(f.seen) >= maxFirsts {
		f.seen = map[offsetKey]bool{}
	}
	f.seen[key] = true
	f.mu.Unlock()
	if !known && !skua.IsRetryTopic(key.topic) {
		b.log.Info("group "+key.group+" is new on "+key.topic+": starting "+why, "queue", h.QueueID)
	}
}

// known returns a queue of the topic, nil if it does not have it. The topic may be nil.
func (t *topic) known(id int32) *store.Queue {
	if t == nil || id < 0 || int(id) >= len(t.queues) {
		return nil
	}
	return t.queue(id)
}

// maxOffset serves GET_MAX_OFFSET. Of a queue that does not exist it is 0, as in Java.
func (b *Broker) maxOffset(req *wire.Frame) {
	b.askQueue(req, (*logicalAsk).maxOffset, func(q *store.Queue, _ *command.OffsetHeader) any {
		return &command.OffsetResponse{Offset: int64(q.Max())}
	}, &command.OffsetResponse{})
}

// minOffset serves GET_MIN_OFFSET.
func (b *Broker) minOffset(req *wire.Frame) {
	b.askQueue(req, (*logicalAsk).minOffset, func(q *store.Queue, _ *command.OffsetHeader) any {
		return &command.OffsetResponse{Offset: int64(b.minOf(q))}
	}, &command.OffsetResponse{})
}

// offsetByTime serves SEARCH_OFFSET_BY_TIMESTAMP: the first message stored at a time or later or, with the upper
// boundary, the last one stored at the time or before.
func (b *Broker) offsetByTime(req *wire.Frame) {
	b.askQueue(req, (*logicalAsk).offsetByTime, func(q *store.Queue, h *command.OffsetHeader) any {
		return &command.OffsetResponse{Offset: int64(b.offsetByTimeOf(q, h.Timestamp, strings.EqualFold(string(h.BoundaryType), "upper")))}
	}, &command.OffsetResponse{})
}

// earliestTime serves GET_EARLIEST_MSG_STORETIME.
func (b *Broker) earliestTime(req *wire.Frame) {
	none := &command.TimestampResponse{Timestamp: -1}
	b.askQueue(req, (*logicalAsk).earliestTime, func(q *store.Queue, _ *command.OffsetHeader) any {
		if ms, ok := b.storeTimeOf(q, b.minOf(q)); ok {
			return &command.TimestampResponse{Timestamp: ms}
		}
		return none
	}, none)
}

// askQueue answers what of tells of a queue, or none if there is no such queue; logical tells it of a queue of a static topic.
func (b *Broker) askQueue(req *wire.Frame, logical func(*logicalAsk) (any, error), of func(*store.Queue, *command.OffsetHeader) any, none any) {
	var h command.OffsetHeader
	if err := h.Decode(req.Ext); err != nil {
		refuse(req, command.StatusInvalidParameter, "%v", err)
		return
	}
	t := b.topics.get(h.Topic)
	if t.static(h.Physical) {
		b.askLogical(req, t, logical)
		return
	}
	answer := none
	if q := t.known(h.QueueID); q != nil {
		answer = of(q, &h)
	}
	succeed(req, answer, nil)
}

// allOffsets serves GET_ALL_CONSUMER_OFFSET.
func (b *Broker) allOffsets(req *wire.Frame) {
	all := b.offsets.all()
	all.Unknown = nil
	answer(req, &all)
}
