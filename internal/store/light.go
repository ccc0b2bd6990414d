package store

import (
	"slices"
	"strconv"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Light queues are queues of messages that were sent to other topics. A message names those in which it wants an entry, too
// (package record, light.go): %LMQ%a is the only queue, number 0, of a topic of that name, and as cheap as any other.
//
//	one record:  topic T, queue 3, offset 7, INNER_MULTI_DISPATCH=%LMQ%a,%LMQ%b, INNER_MULTI_QUEUE_OFFSET=12,0
//	entries:     T/3 at 7, %LMQ%a/0 at 12, %LMQ%b/0 at 0
//
// Crash argument: the record tells all its entries, so that there is one thing that is there or is not. Its offsets in light
// queues are given under the lock of the log, as all others, and written into the record before its bytes count.
// A start makes from each record behind the checkpoint whatever entries are missing.

// maxLight is how many light queues there may be by default.
const maxLight = 1_000_000

// lightDraft is what an append enters in light queues.
type lightDraft struct {
	msgs  []lightMessage
	parts []lightPart
	room  int64  // the most that the records grow by, bytes
	whole []byte // memory for the records when their offsets are known
	list  []byte // memory for the text of offsets
}

// lightMessage is a message that names light queues.
type lightMessage struct {
	index int // among those of the append
	end   int // of its parts
}

// lightPart is one name in the list of a message. Those without a queue are told an offset all the same, so that the lists
// have the same length: the names that cannot be folders, as with Java, and those that stand there twice.
type lightPart struct {
	queue *Queue // nil: no entry
	same  int    // a part before it with the same queue, -1 if there is none
	off   int64
}

func (l *lightDraft) any() bool { return len(l.msgs) > 0 }

func (l *lightDraft) reset() {
	if l.any() {
		l.msgs, l.parts, l.room = l.msgs[:0], l.parts[:0], 0
	}
}

// free leaves nothing that keeps memory from being given back.
func (l *lightDraft) free() {
	clear(l.parts)
	if cap(l.whole) > maxKeptDraft {
		l.whole = nil
	}
}

// light reports whether q is a light queue.
func (q *Queue) light() bool { return strings.HasPrefix(q.topic, skua.LMQPrefix) && q.id == 0 }

// Find returns a queue, nil if there is none. It does not allocate.
func (s *Store) Find(topic []byte, id int32) *Queue { return s.queues.find(topic, id) }

// LightQueue is Queue for a light queue, of which there may be no more than SetMaxLight says. The error is a *RefusedError.
func (s *Store) LightQueue(name []byte) (*Queue, error) {
	if q := s.queues.find(name, 0); q != nil {
		return q, nil
	}
	if n := s.queues.lights(); int64(n) >= s.maxLight.Load() {
		return nil, refusef(TooManyLight, "%.300q would be a new light queue, and there are %d", name, n)
	}
	return s.Queue(string(name), 0), nil
}

// SetMaxLight replaces Options.MaxLight; 0 stands for the default. It takes no queue away.
func (s *Store) SetMaxLight(n int) {
	setDefault(&n, maxLight)
	s.maxLight.Store(int64(n))
}

// LightQueues is how many light queues there are.
func (s *Store) LightQueues() int { return s.queues.lights() }

// encodeLight finds the light queues of m, which is number i of the append. A list that makes no sense is none.
func (s *Store) encodeLight(d *draft, m *record.Message, i int) error {
	l := &d.light
	if record.HasLightOffsets(m.Properties) {
		m.Properties = record.AppendWithoutLightOffsets(nil, m.Properties)
	}
	names := record.LightNames(m.Properties)
	if len(names) == 0 || !s.o.Light || !m.Queued() || !record.LightTopic(m.Topic) || record.LightList(names) != "" {
		return nil
	}
	l.room += int64(record.LightSize(names))
	first := len(l.parts)
	for len(names) > 0 {
		name, rest, storable := record.NextLight(names)
		p := lightPart{same: -1}
		if storable {
			q, err := s.LightQueue(name)
			if err != nil {
				return err
			}
			if n := slices.IndexFunc(l.parts[first:], func(o lightPart) bool { return o.queue == q }); n >= 0 {
				p.same = first + n
			} else {
				p.queue = q
			}
		}
		l.parts = append(l.parts, p)
		names = rest
	}
	l.msgs = append(l.msgs, lightMessage{i, len(l.parts)})
	return nil
}

// numberLightLocked gives the messages of d their offsets in light queues and writes them into the records. If one gets too
// long nothing has happened.
func (s *Store) numberLightLocked(d *draft, ms []*record.Message) *RefusedError {
	l := &d.light
	for i := range l.parts {
		switch p := &l.parts[i]; {
		case p.same >= 0:
			p.off = l.parts[p.same].off
		case p.queue != nil:
			if p.queue.deleted {
				p.queue = s.Queue(p.queue.topic, 0)
			}
			p.off = p.queue.next
			p.queue.next++
		}
	}
	whole, b, from := l.whole[:0], d.buf, 0
	for i, m := range ms {
		rec := b[:d.size[i]]
		b = b[d.size[i]:]
		if n := slices.IndexFunc(l.msgs, func(o lightMessage) bool { return o.index == i }); n >= 0 {
			list := l.offsets(l.parts[from:l.msgs[n].end])
			from = l.msgs[n].end
			if n := record.LightProperties(rec, list); n > record.MaxProperties {
				l.whole = whole
				l.unnumber()
				return refusef(PropertiesTooLarge, "the properties have %d bytes with %s, the limit is %d", n, skua.PropMultiQueueOffset, record.MaxProperties)
			}
			at := len(whole)
			whole = record.AppendLight(whole, rec, list, s.o.Seal)
			d.size[i] = int32(len(whole) - at)
			m.Size = d.size[i]
		} else {
			whole = append(whole, rec...)
		}
	}
	d.buf, l.whole = whole, d.buf
	return nil
}

// unnumber takes back what numberLightLocked has given.
func (l *lightDraft) unnumber() {
	for _, p := range l.parts {
		if p.queue != nil {
			p.queue.next--
		}
	}
}

// offsets is the text of the offsets of parts.
func (l *lightDraft) offsets(parts []lightPart) []byte {
	l.list = l.list[:0]
	for i, p := range parts {
		if i > 0 {
			l.list = append(l.list, ',')
		}
		l.list = strconv.AppendInt(l.list, p.off, 10)
	}
	return l.list
}

// enqueueLightLocked makes the entries in light queues of messages that have their places.
func (s *Store) enqueueLightLocked(d *draft, ms []*record.Message) {
	for m, p := range d.light.entries {
		q, msg := p.queue, ms[m]
		q.mu.Lock()
		q.tail = layout.AppendUnit(q.tail, int64(msg.LogOffset), msg.Size, d.tags[m])
		q.maxLog = int64(msg.LogOffset) + int64(msg.Size)
		if s.o.SyncFlush {
			s.pending.push(pendingEntry{q, skua.QueueOffset(p.off), d.tags[m], q.maxLog})
		}
		q.mu.Unlock()
		s.soilLocked(q)
		if !s.o.SyncFlush {
			q.visible.Store(p.off + 1)
		}
	}
}

// entries yields the entries in light queues, each with the number of its message.
func (l *lightDraft) entries(yield func(int, lightPart) bool) {
	from := 0
	for _, m := range l.msgs {
		for _, p := range l.parts[from:m.end] {
			if p.queue != nil && !yield(m.index, p) {
				return
			}
		}
		from = m.end
	}
}

// arriveLight tells of messages in light queues.
func (s *Store) arriveLight(d *draft, ms []*record.Message) {
	if s.o.Arrived == nil || !d.light.any() {
		return
	}
	for m, p := range d.light.entries {
		s.o.Arrived(Arrival{Queue: p.queue, Offset: skua.QueueOffset(p.off), TagsCode: d.tags[m], Properties: ms[m].Properties})
	}
}

// restoreLight makes sure that light queues have the entries of m, a record that is in the log. What a Java broker has numbered in
// a way that makes no sense does not stop a start: entries of such are left out.
func (s *Store) restoreLight(m *record.Message) (err error) {
	record.EachLight(m, func(name []byte, off int64) bool {
		if s.deletions.covers(name, m) {
			return true
		}
		q := s.queues.find(name, 0)
		if q == nil {
			q = s.Queue(string(name), 0)
		}
		switch {
		case q.batch:
		case off > q.next+maxRestored && q.next > 0:
			s.o.Log.Warn("message tells an offset in a light queue that is far behind its end; it is not entered there", "queue", q.topic, "offset", off,
				"end", q.next, "log offset", m.LogOffset)
		default:
			err = s.restoreEntry(q, m, off)
		}
		return err == nil
	})
	return err
}

// placeOf is the offset of m in q; ok is false if q has no entry of m.
func (q *Queue) placeOf(m *record.Message) (off int64, ok bool) {
	if string(m.Topic) == q.topic && m.QueueID == q.id {
		return int64(m.QueueOffset), true
	}
	if !q.light() {
		return 0, false
	}
	return record.LightOffset(m, q.topic)
}
