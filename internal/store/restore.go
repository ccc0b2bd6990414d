package store

import (
	"fmt"
	"math"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Limits of what a start holds in memory or makes up.
const (
	maxRestored = 64 << 10 // entries of one queue that wait to be written
	maxGap      = 1 << 24  // missing entries that are made up for
)

// setEnd makes next the end of the queue, all of it in files.
func (q *Queue) setEnd(next int64) {
	q.tail, q.tailFrom, q.flushed, q.synced, q.next = nil, math.MaxInt64, next, next, next
	q.maxLog = 0
	if u, err := q.unit(next - 1); next > 0 && err == nil && !u.Filler() {
		q.maxLog = u.Log + int64(u.Size)
	}
	q.tailFrom = next
	q.visible.Store(next)
}

// restore makes sure that the queues have the entries of m, a record that is in the log.
func (s *Store) restore(m *record.Message) error {
	if !m.Queued() || !layout.Storable(string(m.Topic)) || m.QueueID < 0 {
		return nil
	}
	if err := s.restoreOwn(m); err != nil {
		return err
	}
	return s.restoreLight(m)
}

// restoreOwn is restore for the queue that m was sent to.
func (s *Store) restoreOwn(m *record.Message) error {
	if s.deletions.covers(m.Topic, m) {
		return nil
	}
	q := s.queues.find(m.Topic, m.QueueID)
	if q == nil {
		topic := string(m.Topic)
		q = s.queueOf(topic, m.QueueID, m.SysFlag&record.FlagInnerBatch != 0)
	}
	if m.SysFlag&record.FlagInnerBatch != 0 && !q.batch {
		return nil // the topic was another one then
	}
	return s.restoreEntry(q, m, int64(m.QueueOffset))
}

// restoreEntry makes sure that q has the entry of m at off.
func (s *Store) restoreEntry(q *Queue, m *record.Message, off int64) error {
	if off < q.begin() {
		if int64(m.LogOffset) < q.maxLog && !s.rebuild {
			return nil // retention took the entry
		}
		// The topic was deleted and made again, and its offsets began anew; or the first files of the queue are gone.
		if err := q.restart(); err != nil {
			return err
		}
	}
	if off < q.next {
		if u, err := q.unit(off); err == nil && u.Log == int64(m.LogOffset) && q.extensionIntact(u, m) {
			return q.dropOlder(m, off+q.span(m))
		}
		if err := q.cut(off); err != nil {
			return err
		}
		s.o.Log.Warn("queue entry did not match the commit log; entries from it on are made again", "topic", q.topic,
			"queue", q.id, "offset", off)
	}
	if err := q.pad(off, int64(m.LogOffset)-int64(m.LogOffset)%s.o.SegmentSize); err != nil {
		return err
	}
	tags := s.tagsCode(m, record.TagsCode(m.Properties))
	if q.ext != nil && q.extends() {
		var filter []byte
		if s.o.FilterBits != nil {
			filter = s.o.FilterBits(nil, m)
		}
		tags = q.extendLocked(m, tags, filter)
	}
	for range q.span(m) {
		q.tail = layout.AppendUnit(q.tail, int64(m.LogOffset), m.Size, tags)
		q.next++
	}
	q.maxLog = int64(m.LogOffset) + int64(m.Size)
	q.visible.Store(q.next)
	s.soilLocked(q)
	if q.next-q.flushed < maxRestored {
		return nil
	}
	if err := q.flush(keepUnits); full(err) {
		return nil // flushRestored looks after it
	} else if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	q.cool()
	return nil
}

// dropOlder removes the entries behind that of m, those from next on, if the last of them is of a record in front of m: they
// are of a topic of that name that was deleted. Those that are right the scan still has before it.
func (q *Queue) dropOlder(m *record.Message, next int64) error {
	end := int64(m.LogOffset) + int64(m.Size)
	if next >= q.next || q.maxLog >= end {
		return nil
	}
	q.store.o.Log.Warn("entries of a deleted topic of the same name are removed", "topic", q.topic, "queue", q.id, "from", next, "to", q.next)
	if err := q.cut(next); err != nil {
		return err
	}
	q.maxLog = end
	return nil
}

// pad makes off the next offset of the queue, which is not behind it. A queue without entries begins there; in others
// entries of lost messages stand for what is missing. fileStart is that of the log file of the record for off.
func (q *Queue) pad(off, fileStart int64) error {
	gap := off - q.next
	if gap == 0 {
		return nil
	}
	if q.next == 0 && q.shelf == nil {
		q.tailFrom, q.flushed, q.synced, q.next = off, off, off, off
		return nil
	}
	if gap > maxGap {
		return fmt.Errorf("store: queue %s ends at %d, but the commit log goes on with %d; make it again from the log with: skua store repair %s",
			q.dir(), q.next, off, q.store.o.Dir)
	}
	q.store.o.Log.Warn("queue lacks entries, which stay lost", "topic", q.topic, "queue", q.id, "from", q.next, "to", off)
	for ; q.next < off; q.next++ {
		q.tail = layout.AppendLost(q.tail, fileStart)
	}
	return nil
}

// restart removes all entries and files.
func (q *Queue) restart() error {
	if err := q.remove(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	q.next, q.synced, q.maxLog = 0, 0, 0
	q.visible.Store(0)
	q.min.Store(0)
	q.expired.Store(true) // Min is to be found again
	return nil
}

// cut removes the entries from off on.
func (q *Queue) cut(off int64) error {
	off = q.baseOf(off)
	q.min.Store(min(off, q.min.Load()))
	if off < q.flushed {
		begin := q.begin() // which an empty shelf no longer tells
		q.tail = nil
		if err := q.shelf.truncate(off); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		q.setEnd(max(off, begin))
		return q.settleExtension()
	}
	q.tail = q.tail[:(off-q.tailFrom)*layout.UnitSize]
	q.next = off
	q.visible.Store(off)
	return q.settleExtension()
}

// cutLog removes the entries of records at and behind end.
func (q *Queue) cutLog(end int64) error {
	return q.cut(q.search(q.begin(), q.next, func(u layout.Unit) bool { return u.Log >= end && !u.Filler() }))
}

// flushRestored writes the entries that the scan made. Those for which there is no space stay in memory and dirty, for the
// flusher to try again.
func (s *Store) flushRestored() error {
	dirty := s.dirty
	s.dirty = nil
	for _, q := range dirty {
		err := q.flush(keepUnits)
		if full(err) {
			s.dirty = append(s.dirty, q)
			continue
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		q.dirty = false
		q.cool()
	}
	return nil
}
