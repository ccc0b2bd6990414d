package broker

import (
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// logicalAsk is a question about offsets of a logical queue.
type logicalAsk struct {
	b     *Broker
	topic *topic
	queue *static.Queue
	h     command.OffsetHeader // in memory of its own
}

// askLogical answers a question about a logical queue of t with the header that serve returns. Since other brokers may have
// to be asked it goes on beside the connection.
func (b *Broker) askLogical(req *wire.Frame, t *topic, serve func(*logicalAsk) (header any, err error)) {
	own := req.Clone()
	x := &logicalAsk{b: b, topic: t}
	if err := x.h.Decode(own.Ext); err != nil {
		refuse(req, command.StatusInvalidParameter, "%v", err)
		return
	}
	if x.queue = t.led(x.h.QueueID); x.queue == nil {
		what := "does not exit in request process of current broker"
		if command.Code(req.Code) == command.GetMinOffset {
			what = "is not leader in broker"
		}
		refuseWith(req, t.notLed(x.h.QueueID, what))
		return
	}
	b.forwards.run(req.Call(), func() {
		header, err := serve(x)
		if err != nil {
			refuseCallWith(own.Call(), err)
			return
		}
		own.Call().Reply(&wire.Response{Header: header})
	})
}

// static reports whether a request is about logical queues of t; t may be nil.
func (t *topic) static(physical bool) bool { return t != nil && t.mapping != nil && !physical }

// here returns the queue of a stretch that is on this broker, nil if the topic does not have it any more.
func (x *logicalAsk) here(it *static.Item) *store.Queue {
	if int(it.QueueID) >= len(x.topic.queues) {
		return nil
	}
	return x.topic.queue(it.QueueID)
}

// remote asks the broker of a stretch; change makes of the header what is asked. ok is false if it does not know.
func (x *logicalAsk) remote(it *static.Item, code command.Code, change func(*command.OffsetHeader)) (f *wire.Frame, ok bool, err error) {
	h := command.OffsetHeader{Group: x.h.Group, Topic: x.topic.bytes, QueueID: it.QueueID, HasQueueID: true, SetZero: true,
		BrokerName: []byte(it.Broker), Physical: true}
	if change != nil {
		change(&h)
	}
	f, err = x.b.askBroker(x.topic.Name, it.Broker, &wire.Request{Code: code, Header: &h})
	switch {
	case err != nil:
		return nil, false, err
	case command.Status(f.Code) == command.StatusQueryNotFound:
		return f, false, nil
	case command.Status(f.Code) != command.StatusSuccess:
		return nil, false, unexpected(it.Broker, f)
	}
	return f, true, nil
}

// offset is remote for answers that are an offset.
func (x *logicalAsk) offset(it *static.Item, code command.Code, change func(*command.OffsetHeader)) (off int64, ok bool, err error) {
	f, ok, err := x.remote(it, code, change)
	if !ok || err != nil {
		return -1, false, err
	}
	var r command.OffsetResponse
	err = command.Decode(f.Ext, &r)
	return r.Offset, err == nil, err
}

// end is the offset behind the last message of a stretch.
func (x *logicalAsk) end(it *static.Item) (int64, error) {
	if it.Broker != x.b.Name() {
		off, _, err := x.offset(it, command.GetMaxOffset, nil)
		return off, err
	}
	if q := x.here(it); q != nil {
		return int64(q.Max()), nil
	}
	return 0, nil
}

// maxOffset is GET_MAX_OFFSET of a logical queue. Java asks for the wrong queue while a queue is being moved.
func (x *logicalAsk) maxOffset() (any, error) {
	it := x.queue.Last()
	if it == nil {
		return nil, x.topic.undecided(x.queue.ID)
	}
	off, err := x.end(it)
	return &command.OffsetResponse{Offset: it.Logical(off)}, err
}

// minOffset is GET_MIN_OFFSET of a logical queue.
func (x *logicalAsk) minOffset() (any, error) {
	it := x.queue.First()
	if it == nil {
		return nil, x.topic.undecided(x.queue.ID)
	}
	var off int64
	var err error
	if it.Broker != x.b.Name() {
		off, _, err = x.offset(it, command.GetMinOffset, nil)
	} else if q := x.here(it); q != nil {
		off = int64(q.Min())
	}
	return &command.OffsetResponse{Offset: it.Given(off)}, err
}

// earliest is when the first message of a stretch was stored, -1 if there is none.
func (x *logicalAsk) earliest(it *static.Item) (int64, error) {
	if it.Broker != x.b.Name() {
		f, _, err := x.remote(it, command.GetEarliestMsgStoretime, nil)
		if err != nil {
			return -1, err
		}
		var r command.TimestampResponse
		err = command.Decode(f.Ext, &r)
		return r.Timestamp, err
	}
	if q := x.here(it); q != nil {
		if ms, ok := q.EarliestTime(); ok {
			return ms, nil
		}
	}
	return -1, nil
}

// earliestTime is GET_EARLIEST_MSG_STORETIME of a logical queue. Java takes the number of the logical queue for that of a
// queue of the broker.
func (x *logicalAsk) earliestTime() (any, error) {
	it := x.queue.First()
	if it == nil {
		return nil, x.topic.undecided(x.queue.ID)
	}
	ms, err := x.earliest(it)
	return &command.TimestampResponse{Timestamp: ms}, err
}

// byTime is SEARCH_OFFSET_BY_TIMESTAMP of one stretch.
func (x *logicalAsk) byTime(it *static.Item, upper bool) (int64, error) {
	if it.Broker != x.b.Name() {
		off, _, err := x.offset(it, command.SearchOffsetByTimestamp, func(h *command.OffsetHeader) {
			h.Group, h.Timestamp, h.HasTimestamp, h.BoundaryType = nil, x.h.Timestamp, true, x.h.BoundaryType
		})
		return off, err
	}
	if q := x.here(it); q != nil {
		return int64(q.OffsetByTime(x.h.Timestamp, upper)), nil
	}
	return 0, nil
}

// offsetByTime is SEARCH_OFFSET_BY_TIMESTAMP of a logical queue: it looks into the stretch that has the message. Java answers
// with what the last one says, and does not translate 0.
func (x *logicalAsk) offsetByTime() (any, error) {
	it, err := x.stretchOf(strings.EqualFold(string(x.h.BoundaryType), "upper"))
	if err != nil {
		return nil, err
	}
	off, err := x.byTime(it, strings.EqualFold(string(x.h.BoundaryType), "upper"))
	return &command.OffsetResponse{Offset: it.Logical(off)}, err
}

// stretchOf is the stretch with the first message that was stored at a time or later or, with upper, with the last one that
// was stored at the time or before.
func (x *logicalAsk) stretchOf(upper bool) (*static.Item, error) {
	first, last := x.queue.First(), x.queue.Last()
	if first == nil {
		return nil, x.topic.undecided(x.queue.ID)
	}
	items := x.queue.Items()
	for i := range items {
		it := &items[i]
		if upper {
			it = &items[len(items)-1-i]
		}
		switch {
		case it.LogicOffset < 0:
		case upper && it.Gen == first.Gen, !upper && it.Gen == last.Gen:
			return it, nil
		case upper:
			if ms, err := x.earliest(it); err != nil || ms >= 0 && ms <= x.h.Timestamp {
				return it, err
			}
		default:
			off, err := x.byTime(it, false)
			if err != nil {
				return nil, err
			}
			if end, err := x.end(it); err != nil || off < end {
				return it, err
			}
		}
	}
	return first, nil
}

// updateLogical is UPDATE_CONSUMER_OFFSET of a logical queue: the offset is kept by the broker that has the stretch. What is
// kept here is stored at once, so that commits keep their order.
func (b *Broker) updateLogical(req *wire.Frame, t *topic, h *command.OffsetHeader) {
	q := t.led(h.QueueID)
	if q == nil {
		refuseWith(req, t.notLed(h.QueueID, "does not exit in request process of current broker"))
		return
	}
	it := q.At(h.CommitOffset)
	switch {
	case it == nil:
		refuseWith(req, t.undecided(h.QueueID))
	case it.Broker != b.Name():
		behind := b.committedBehind(t, h.Group, q, it)
		b.askLogical(req, t, func(x *logicalAsk) (any, error) {
			_, _, err := x.remote(it, command.UpdateConsumerOffset, func(h *command.OffsetHeader) {
				h.CommitOffset, h.HasCommit = it.Physical(x.h.CommitOffset), true
			})
			if err == nil {
				b.dropCommitted(t, x.h.Group, behind)
			}
			return nil, err
		})
	default:
		if err := b.commitLogical(t, h.Group, q, it, h.CommitOffset); err != nil {
			refuseWith(req, err)
			return
		}
		req.Call().Reply(&succeeded)
	}
}

// query is QUERY_CONSUMER_OFFSET of a logical queue: the newest stretch of which the group has an offset counts.
func (x *logicalAsk) query() (any, error) {
	items := x.queue.Items()
	if x.queue.Plain() {
		h := x.h
		h.QueueID = items[0].QueueID
		off, err := x.b.committedOrStart(x.topic, &h)
		return &command.OffsetResponse{Offset: items[0].Logical(int64(off))}, err
	}
	for i := len(items) - 1; i >= 0; i-- {
		it := &items[i]
		if it.LogicOffset < 0 {
			continue
		}
		off, ok := int64(x.b.offsets.committed(x.topic.bytes, x.h.Group, it.QueueID)), true
		if it.Broker != x.b.Name() {
			var err error
			if off, ok, err = x.offset(it, command.QueryConsumerOffset, func(h *command.OffsetHeader) { h.SetZero = false }); err != nil {
				return nil, err
			}
		}
		if ok && skua.QueueOffset(off) != noOffset {
			return &command.OffsetResponse{Offset: it.Logical(off)}, nil
		}
	}
	return nil, refusalf(command.StatusQueryNotFound, "Not found, maybe this group consumer boot first: logical queue %d of %s", x.queue.ID, x.topic.Name)
}
