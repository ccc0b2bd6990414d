package store

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/skuamq/skua/internal/layout"
)

// Deleted reports whether the queue was deleted, or forgotten: the handle is of no use any more.
func (q *Queue) Deleted() bool {
	l := q.store.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return q.deleted
}

// Absent is a handle of a queue that the store does not have: it is empty, and appends to it fail.
func (s *Store) Absent(topic string, id int32) *Queue {
	return &Queue{store: s, topic: topic, id: id, deleted: true}
}

// DropUnused forgets the light queues that never had a message, but for those that keep says to keep.
func (s *Store) DropUnused(keep func(*Queue) bool) {
	if s.queues.lights() == 0 {
		return
	}
	gone := map[string]bool{}
	for _, name := range s.queues.names() {
		if q := s.queues.find([]byte(name), 0); q != nil && q.light() && q.Max() == 0 && !keep(q) && s.disown(q, 0) {
			gone[name] = true
		}
	}
	if len(gone) > 0 {
		s.o.LightGone(gone)
	}
}

// disown takes a light queue out of the table if it is the only one of its topic, ends at an offset, and all it has is in
// files. It reports whether it did.
func (s *Store) disown(q *Queue, end int64) bool {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	if q.deleted || q.next != end || q.dirty || len(s.queues.of(q.topic)) != 1 {
		return false
	}
	q.deleted = true
	s.queues.drop(q.topic)
	q.visible.Store(0)
	q.min.Store(0)
	return true
}

// dropOver removes light queues of which the log has no messages any more. Others keep their place for the sake of their number;
// of these there may be many that are used for a while and never again.
//
// Crash argument: the log has none of their records, so that a start cannot make their entries again, but for files that were
// not removed yet, which retention finds again.
func (s *Store) dropOver(over []*Queue) {
	if len(over) == 0 {
		return
	}
	s.forgetTally()
	gone := map[string]bool{}
	for _, q := range over {
		s.flusher.mu.Lock()
		ok := s.disown(q, q.visible.Load())
		var err error
		if ok {
			err = s.removeLight(q)
			gone[q.topic] = true
		}
		s.flusher.mu.Unlock()
		if err != nil {
			s.o.Log.Warn("files of a light queue without messages cannot be removed", "queue", q.topic, "err", err)
		}
	}
	s.flusher.mu.Lock()
	if s.journal != nil {
		if err := s.commitJournal(); err != nil {
			s.o.Log.Warn("journal of queues cannot be written", "err", err)
		}
	}
	s.flusher.mu.Unlock()
	if len(gone) > 0 {
		s.o.LightGone(gone)
		s.o.Log.Info("light queues of which all messages are gone are removed", "queues", len(gone))
	}
}

// removeLight removes what there is of a light queue that was disowned. The caller holds flusher.mu.
func (s *Store) removeLight(q *Queue) error {
	err := q.remove()
	if s.journal != nil {
		s.journal.add(&layout.Chunk{Kind: layout.ChunkGone, Topic: []byte(q.topic)})
	}
	if s.shared != nil {
		return errors.Join(err, s.shared.forget(q.topic))
	}
	_ = os.Remove(filepath.Join(s.o.Dir, layout.QueueDir, q.topic)) // stays if there is something else in it
	return err
}
