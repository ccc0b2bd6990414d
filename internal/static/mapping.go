package static

import (
	"maps"
	"slices"

	"github.com/skuamq/skua/internal/command"
)

// Item is one stretch of a logical queue.
type Item command.MappingItem

// decided reports whether the stretch has its place in the logical queue.
func (it *Item) decided() bool { return it.LogicOffset >= 0 }

// ended reports whether the end of the stretch was written down. Java's tools never do; the end is that of the queue.
func (it *Item) ended() bool { return it.EndOffset > it.StartOffset }

// Logical is the offset in the logical queue of an offset in the broker's queue, and of one before the stretch that of its
// beginning.
func (it *Item) Logical(physical int64) int64 {
	return it.LogicOffset + max(physical-it.StartOffset, 0)
}

// Given is Logical for what was just stored: -1 while the stretch has no place, and not beyond its end.
func (it *Item) Given(physical int64) int64 {
	switch {
	case !it.decided():
		return -1
	case it.EndOffset >= it.StartOffset:
		physical = min(physical, it.EndOffset)
	}
	return it.Logical(physical)
}

// Physical is the offset in the broker's queue of one in the logical queue. It may lie outside of the stretch.
func (it *Item) Physical(logical int64) int64 { return logical - it.LogicOffset + it.StartOffset }

// End is the logical offset of the end, as far as that was written down.
func (it *Item) End() int64 {
	if it.EndOffset >= it.StartOffset {
		return it.LogicOffset + it.EndOffset - it.StartOffset
	}
	return it.LogicOffset
}

// delta is what has to be added to offsets in the broker's queue.
func (it *Item) delta() int64 { return it.LogicOffset - it.StartOffset }

// Mapping is what one broker knows of the queues of a static topic. It does not change.
type Mapping struct {
	detail command.TopicMappingDetail
	queues map[int32]*Queue
	led    []*Queue       // in order
	grows  map[int32]bool // the queues of the broker that are written to
}

// New makes a mapping of what Accept has let pass, or of what was saved. It keeps d, which must not change any more.
func New(d command.TopicMappingDetail) *Mapping {
	m := &Mapping{detail: d, queues: make(map[int32]*Queue, len(d.Hosted)), grows: map[int32]bool{}}
	for _, id := range slices.Sorted(maps.Keys(d.Hosted)) {
		if len(d.Hosted[id]) == 0 {
			continue
		}
		q := &Queue{ID: id, items: make([]Item, len(d.Hosted[id]))}
		for i, it := range d.Hosted[id] {
			q.items[i] = Item(it)
		}
		m.queues[id] = q
		if q.Leader().Broker == d.Broker {
			q.leads = true
			m.led = append(m.led, q)
			m.grows[q.Leader().QueueID] = true
		}
	}
	return m
}

// Detail is the mapping as it is saved and sent. It must not be changed.
func (m *Mapping) Detail() *command.TopicMappingDetail { return &m.detail }

// Info is what name servers are told: which logical queues the broker leads.
func (m *Mapping) Info() command.TopicMapping {
	info := m.detail.TopicMapping
	info.Dirty, info.CurrIDs = false, make(map[int32]int32, len(m.led))
	for _, q := range m.led {
		info.CurrIDs[q.ID] = q.Leader().QueueID
	}
	return info
}

// Queue is a logical queue of which the broker has, or had, a part; nil for others. It does not allocate.
func (m *Mapping) Queue(id int32) *Queue { return m.queues[id] }

// Led returns the logical queues that the broker leads, in order. The slice must not be changed.
func (m *Mapping) Led() []*Queue { return m.led }

// Home is the queue of the broker to which a message goes that has waited while queues were moved: the one that it was meant
// for, or the last stretch of another logical queue, if readers may have left that one for good. If the broker leads no queue
// any more it is the one that it was meant for.
func (m *Mapping) Home(physical int32) int32 {
	if m.grows[physical] || len(m.led) == 0 {
		return physical
	}
	return m.led[int(uint32(physical))%len(m.led)].Leader().QueueID
}

// Queue is a logical queue. It does not change.
type Queue struct {
	ID    int32
	items []Item // at least one; the last one is written to
	leads bool
}

// Leads reports whether the last stretch is on the broker that has the mapping: it alone serves clients.
func (q *Queue) Leads() bool { return q.leads }

// Leader is the last stretch.
func (q *Queue) Leader() *Item { return &q.items[len(q.items)-1] }

// Items are all stretches, the oldest first; those without a place too. The slice must not be changed.
func (q *Queue) Items() []Item { return q.items }

// Plain reports whether offsets need no translation, as long as a queue was never moved.
func (q *Queue) Plain() bool { return len(q.items) == 1 && q.items[0].LogicOffset == 0 }

// First is the oldest stretch that has a place; nil if none has.
func (q *Queue) First() *Item {
	for i := range q.items {
		if q.items[i].decided() {
			return &q.items[i]
		}
	}
	return nil
}

// Last is the newest stretch that has a place, where the logical queue ends for readers; nil if none has.
func (q *Queue) Last() *Item {
	for i := len(q.items) - 1; i >= 0; i-- {
		if q.items[i].decided() {
			return &q.items[i]
		}
	}
	return nil
}

// At is the stretch that a logical offset belongs to, the oldest one for offsets before all; nil if none has a place.
func (q *Queue) At(logical int64) *Item {
	for i := len(q.items) - 1; i >= 0; i-- {
		if it := &q.items[i]; it.decided() && logical >= it.LogicOffset {
			return it
		}
	}
	return q.First()
}

// after is the stretch behind it; nil if there is none, or it has no place yet.
func (q *Queue) after(it *Item) *Item {
	for i := range q.items {
		if q.items[i].Gen == it.Gen && i+1 < len(q.items) && q.items[i+1].decided() {
			return &q.items[i+1]
		}
	}
	return nil
}
