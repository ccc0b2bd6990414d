package store

import (
	"math"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Receipt tells where messages were stored.
type Receipt struct {
	LogOffset   skua.LogOffset   // of the first record
	End         skua.LogOffset   // behind the last record
	QueueOffset skua.QueueOffset // of the first message
	StoreTime   int64            // ms
	Messages    int64            // in the records; one of a batch queue may hold several
}

// draft is the encoded form of the messages of one append, before it has its place.
type draft struct {
	buf   []byte
	tags  []int64 // tags code of each message
	size  []int32 // of each record
	props []byte  // properties of a message, with a place for its seal
	keys  []keyed // of all messages

	filters [][]byte // for the extension of each entry, if there are any
	bits    []byte   // that filters are views of

	light lightDraft // what is to be entered in light queues
}

func (d *draft) filter(i int) []byte {
	if i < len(d.filters) {
		return d.filters[i]
	}
	return nil
}

var drafts = sync.Pool{New: func() any { return new(draft) }}

// maxKeptDraft is the capacity, bytes, above which a draft is not kept.
const maxKeptDraft = 256 << 10

func (d *draft) free() {
	if cap(d.buf) <= maxKeptDraft {
		d.light.free()
		drafts.Put(d)
	}
}

// Append stores the messages ms one behind the other in q and fills in their LogOffset, QueueOffset, StoreTime and Size.
// When it returns the bytes are in memory that outlives the process; see WhenDurable for the disk. Messages whose SysFlag
// says prepared or rollback get no queue entry and queue offset 0. Those that are Light get entries in light queues, too.
// It blocks for microseconds, at most a second when the
// disk cannot keep up. Topic and QueueID of the messages must be those of q. The messages are stored all or none.
// It allocates nothing in the steady state. Errors: *RefusedError.
func (s *Store) Append(q *Queue, ms ...*record.Message) (Receipt, error) {
	if len(ms) == 0 {
		return Receipt{}, refusef(TopicInvalid, "no message given")
	}
	d := drafts.Get().(*draft)
	defer d.free()
	now := s.nowMs()
	if err := s.encode(d, q, ms, now); err != nil {
		return Receipt{}, err
	}
	l := s.log
	l.mu.Lock()
	at, refusal := l.roomLocked(int64(len(d.buf)) + d.light.room)
	if refusal == nil && q.deleted {
		refusal = refusef(Deleted, "topic %s was deleted while the message was on its way", q.topic)
	}
	if refusal == nil && d.light.any() {
		refusal = s.numberLightLocked(d, ms)
	}
	if refusal != nil {
		l.mu.Unlock()
		return Receipt{}, refusal
	}
	if now < l.mu.lastTime {
		// Clocks go back, and appenders overtake one another: store times never decrease.
		now = l.mu.lastTime
		s.stamp(d, ms, now)
	}
	l.mu.lastTime = now
	rec := s.placeLocked(d, q, ms, at, now)
	l.mu.Unlock()
	s.appended(rec.End)
	if !s.o.SyncFlush {
		s.arrive(q, ms, d.tags)
		s.arriveLight(d, ms)
	}
	return rec, nil
}

// encode checks the messages and writes their records into d.
func (s *Store) encode(d *draft, q *Queue, ms []*record.Message, now int64) error {
	d.buf, d.tags, d.size, d.filters = d.buf[:0], d.tags[:0], d.size[:0], d.filters[:0]
	d.keys, d.bits = d.keys[:0], d.bits[:0]
	d.light.reset()
	body := 0
	for i, m := range ms {
		body += len(m.Body)
		if err := s.check(q, m, body); err != nil {
			return err
		}
		m.StoreTime = now
		if m.Light {
			if err := s.encodeLight(d, m, i); err != nil {
				return err
			}
		}
		n := len(d.buf)
		if err := s.encodeRecord(d, m, q.batch && m.SysFlag&record.FlagInnerBatch != 0); err != nil {
			return err
		}
		m.Size = int32(len(d.buf) - n)
		d.size = append(d.size, m.Size)
		names := namesOf(m.Properties)
		d.tags = append(d.tags, s.tagsCode(m, int64(record.HashString(names.tag))))
		if s.index != nil {
			d.keys = names.hash(d.keys, m, i)
		}
		if s.o.Extend && s.o.FilterBits != nil {
			n := len(d.bits)
			d.bits = s.o.FilterBits(d.bits, m)
			d.filters = append(d.filters, d.bits[n:])
		}
	}
	if n := int64(len(d.buf)) + d.light.room; n > int64(s.o.MaxMessageSize)+recordExtra || n+record.BlankSize > s.o.SegmentSize {
		return refusef(BodyTooLarge, "records of %d bytes, allowed are %d (maxMessageSize %d) and what fits into a commit log "+
			"file of %d", n, int64(s.o.MaxMessageSize)+recordExtra, s.o.MaxMessageSize, s.o.SegmentSize)
	}
	return nil
}

// encodeRecord appends the record of m to d, with places for what is known only under the lock.
func (s *Store) encodeRecord(d *draft, m *record.Message, batch bool) error {
	m.Properties = record.WithoutSeal(m.Properties)
	if !s.o.Seal && !batch {
		d.buf = record.Append(d.buf, m)
		return nil
	}
	own := m.Properties
	if batch {
		m.Properties = record.AppendWithoutBase(nil, m.Properties)
	}
	if s.o.Seal {
		d.props = record.AppendUnsealed(d.props[:0], m.Properties)
		m.Properties = d.props
	}
	if n := len(m.Properties); n > record.MaxProperties {
		m.Properties = own
		return refusef(PropertiesTooLarge, "the properties have %d bytes with those that the store adds, the limit is %d", n, record.MaxProperties)
	}
	d.buf = record.Append(d.buf, m)
	m.Properties = own
	return nil
}

func (s *Store) check(q *Queue, m *record.Message, body int) error {
	switch {
	case body > int(s.o.MaxMessageSize):
		return refusef(BodyTooLarge, "the body has %d bytes, maxMessageSize is %d", body, s.o.MaxMessageSize)
	case len(m.Properties) > record.MaxProperties:
		return refusef(PropertiesTooLarge, "the properties have %d bytes, the limit is %d", len(m.Properties), record.MaxProperties)
	case len(m.Topic) > math.MaxUint8 || !layout.Storable(q.topic) || string(m.Topic) != q.topic || m.QueueID != q.id:
		return refusef(TopicInvalid, "message for %.300q queue %d, given to %.300q queue %d", m.Topic, m.QueueID, q.topic, q.id)
	}
	if m.SysFlag&record.FlagInnerBatch != 0 && (!q.batch || inner(m) == 0) {
		return refusef(TopicInvalid, "the message is a batch in one record; that takes a topic with queue.type=BatchCQ and the property "+
			"%s, a number from 1 to %d", skua.PropInnerNum, maxInner)
	}
	return nil
}

// stamp gives the messages of d another store time.
func (s *Store) stamp(d *draft, ms []*record.Message, now int64) {
	for i, m := range ms {
		m.StoreTime = now
		if s.o.TagsCode != nil {
			d.tags[i] = s.tagsCode(m, record.TagsCode(m.Properties))
		}
	}
}

// placeLocked gives the records their offsets, copies them into the log and makes the queue entries.
func (s *Store) placeLocked(d *draft, q *Queue, ms []*record.Message, at, now int64) Receipt {
	r := Receipt{LogOffset: skua.LogOffset(at), End: skua.LogOffset(at + int64(len(d.buf))), StoreTime: now}
	next, off := q.next, at
	b := d.buf
	for i, m := range ms {
		m.LogOffset, m.QueueOffset = skua.LogOffset(off), 0
		if m.Queued() {
			m.QueueOffset = skua.QueueOffset(next)
			next += q.span(m)
		}
		r.Messages += q.span(m)
		record.Place(b, m.QueueOffset, m.LogOffset, now)
		if q.batch && m.SysFlag&record.FlagInnerBatch != 0 {
			record.PutInnerBase(b[:d.size[i]], m.QueueOffset, s.o.Seal)
		}
		if s.o.Seal {
			record.Seal(b[:d.size[i]])
		}
		s.log.mu.last = off
		b, off = b[d.size[i]:], off+int64(d.size[i])
	}
	r.QueueOffset = ms[0].QueueOffset
	s.log.putLocked(at, d.buf)
	s.log.mu.stats.Appends++
	if s.index != nil {
		s.log.mu.fed.add(d.keys, ms, now, int64(r.End))
	}
	s.log.mu.stats.Messages += r.Messages
	s.log.mu.stats.Bytes += int64(len(d.buf))
	if next != q.next {
		s.enqueueLocked(d, q, ms, next)
	}
	if d.light.any() {
		s.enqueueLightLocked(d, ms)
	}
	return r
}

// enqueueLocked makes the queue entries of messages that have their places.
func (s *Store) enqueueLocked(d *draft, q *Queue, ms []*record.Message, next int64) {
	q.mu.Lock()
	for i, m := range ms {
		if !m.Queued() {
			continue
		}
		tags := d.tags[i]
		if q.ext != nil && q.extends() {
			tags = q.extendLocked(m, tags, d.filter(i))
		}
		n := q.span(m)
		for range n {
			q.tail = layout.AppendUnit(q.tail, int64(m.LogOffset), m.Size, tags)
		}
		q.maxLog = int64(m.LogOffset) + int64(m.Size)
		if s.o.SyncFlush {
			s.pending.push(pendingEntry{q, m.QueueOffset + skua.QueueOffset(n) - 1, d.tags[i], q.maxLog})
		}
	}
	q.mu.Unlock()
	q.next = next
	s.soilLocked(q)
	if !s.o.SyncFlush {
		q.visible.Store(next)
	}
}

// soilLocked notes that q has entries to be flushed.
func (s *Store) soilLocked(q *Queue) {
	if !q.dirty {
		q.dirty = true
		s.dirty = append(s.dirty, q)
	}
}

// appended tells the background goroutines that the log has grown to end.
func (s *Store) appended(end skua.LogOffset) {
	l := s.log
	if s.o.SyncFlush || int64(end)-l.drained.Load() >= drainStep {
		l.writer.ring()
	}
	s.busy.ring()
	s.index.wake()
	if l.reserved.Load()-int64(end) < min(reserveStep, s.o.SegmentSize/2) {
		l.reserver.ring()
	}
}

func (s *Store) arrive(q *Queue, ms []*record.Message, tags []int64) {
	if s.o.Arrived == nil {
		return
	}
	for i, m := range ms {
		if m.Queued() {
			s.o.Arrived(Arrival{Queue: q, Offset: m.QueueOffset, TagsCode: tags[i], Properties: m.Properties})
		}
	}
}

// tagsCode is the tags code of the queue entry of a message whose tag has the hash given.
func (s *Store) tagsCode(m *record.Message, hash int64) int64 {
	if s.o.TagsCode != nil {
		return s.o.TagsCode(m, hash)
	}
	return hash
}
