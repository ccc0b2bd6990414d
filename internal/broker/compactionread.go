package broker

import (
	"bytes"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// maxCompactedScan is how many bytes of records a read looks at that asks for some of them only.
const maxCompactedScan = 8 << 20

// read is Store.Read for a pull: of a compacted topic it reads what was copied there, and behind that the commit log.
func (p *pull) read(r *store.ReadResult) {
	if p.topic.compacted {
		if c := p.b.compaction.Load(); c.enabled() {
			c.read(p, r)
			return
		}
	}
	p.b.store.Read(p.queue, p.request, r)
}

// read reads for a pull of a compacted topic. An offset of which the message is gone stands for the next one that is there.
func (c *compaction) read(p *pull, r *store.ReadResult) {
	x, request := c.of(p.queue), p.request
	if x == nil {
		c.store.Read(p.queue, request, r)
		return
	}
	if next := x.Next(); request.Offset < next {
		r.Release()
		r.SuggestSlave, r.Err = false, nil
		r.Next, r.Min, r.Max = request.Offset, x.first(), p.queue.Max()
		if request.NoWait {
			r.Status = store.WouldWait
			return
		}
		if c.readCopies(x, &request, next, r) {
			return
		}
		request.Offset = next
	}
	c.store.Read(p.queue, request, r)
	r.Min = x.first()
}

// first is the offset of the first message that is left.
func (x *compacted) first() skua.QueueOffset {
	if off, ok := x.Min(); ok {
		return off
	}
	return x.queue.Min()
}

// readCopies reads messages that were copied, up to next. It reports false if there are none from the offset on.
func (c *compaction) readCopies(x *compacted, request *store.ReadRequest, next skua.QueueOffset, r *store.ReadResult) bool {
	o := c.b.options.Load()
	count, most := min(request.MaxMessages, int(o.MaxTransferCountOnMessageInMemory)), int(o.MaxTransferBytesOnMessageInMemory)
	if request.MaxBytes > 0 {
		most = min(most, request.MaxBytes)
	}
	seen, full := 0, false
	err := x.Read(max(request.Offset, 0), most, func(u layout.BatchUnit, rec []byte) bool {
		if u.Base >= int64(next) {
			return false
		}
		if n := len(r.Records); n > 0 && (n >= count || r.Bytes+len(rec) > most) || seen > maxCompactedScan {
			full = true
			return false
		}
		seen += len(rec)
		r.Next = skua.QueueOffset(u.Base) + 1
		if wanted(request, u, rec) {
			r.Records = append(r.Records, x.asInLog(u, rec))
			r.Bytes += len(rec)
		}
		return true
	})
	switch {
	case err != nil:
		r.Err = err
		c.log.Error("messages of a compacted topic cannot be read", "topic", x.queue.Topic(), "queue", x.queue.ID(), "error", err)
	case seen == 0:
		return false
	case !full:
		r.Next = next
	}
	if r.Status = store.NoMatchedMessage; len(r.Records) > 0 {
		r.Status = store.Found
	}
	return true
}

// wanted reports whether a message passes the filter of a read.
func wanted(request *store.ReadRequest, u layout.BatchUnit, rec []byte) bool {
	if request.Match != nil && !request.Match(u.Tags) {
		return false
	}
	if request.MatchProperties == nil {
		return true
	}
	m, _, err := record.Decode(rec)
	return err == nil && request.MatchProperties(m.Properties)
}

// asInLog is a copy of a record that tells its place in the commit log, as long as it is there: by that its consumers give it
// back, and it has its id. Later it tells the place in the compacted files, as with Java always.
func (x *compacted) asInLog(u layout.BatchUnit, rec []byte) []byte {
	b := bytes.Clone(rec)
	if e, ok := x.queue.Entry(skua.QueueOffset(u.Base)); ok && e.Size == u.Size {
		record.Move(b, e.LogOffset)
	}
	return b
}

// minOf is the offset of the first message of a queue.
func (b *Broker) minOf(q *store.Queue) skua.QueueOffset {
	if x := b.compaction.Load().of(q); x != nil {
		return x.first()
	}
	return q.Min()
}

// storeTimeOf is when a message was stored, ms. Of one that is gone from a compacted topic it is the time of the next that is
// left; ok is false if there is none.
func (b *Broker) storeTimeOf(q *store.Queue, off skua.QueueOffset) (ms int64, ok bool) {
	if ms, ok = q.StoreTime(off); ok {
		return ms, true
	}
	if x := b.compaction.Load().of(q); x != nil && off < x.Next() {
		u, ok := x.At(off)
		return u.Time, ok
	}
	return 0, false
}

// offsetByTimeOf is Queue.OffsetByTime for the messages that are left.
func (b *Broker) offsetByTimeOf(q *store.Queue, ms int64, upper bool) skua.QueueOffset {
	x := b.compaction.Load().of(q)
	if x == nil {
		return q.OffsetByTime(ms, upper)
	}
	if !upper {
		if off, ok := x.ByTime(ms); ok {
			return off
		}
		return max(q.OffsetByTime(ms, false), x.Next())
	}
	if off := q.OffsetByTime(ms, true); off >= x.Next() {
		if at, ok := q.StoreTime(off); ok && at <= ms {
			return off
		}
	}
	if off, ok := x.Before(ms); ok {
		return off
	}
	return x.first()
}
