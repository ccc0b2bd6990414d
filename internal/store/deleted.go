package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// deletions are the notes of topics that were deleted, in skua/deleted: the log has their messages until retention takes
// them, and queues that are made again from it must not get them back.
//
// Crash argument: a note is on disk before the first file of a queue goes, so a topic that was deleted halfway is deleted by
// the next start. Its end is the end of the log under the lock under which the queues became useless: all records of the
// topic are before it, and those of a topic that is made anew are not. Should the log lose its end with the machine, a start
// moves the end of the note back before anything is appended; should another broker do that, the time in the note tells
// new records from old ones. A note that is lost or torn means that messages of a deleted topic may come back, never that one
// is lost.
type deletions struct {
	known map[string]layout.Deletion // during a start; nil later
	size  int64                      // bytes of whole notes in the file; guarded by flusher.mu
}

// maxDeletions is how long the notes may get, bytes: more than ten thousand topics. Then old ones are given up.
const maxDeletions = 1 << 20

// covers reports whether m was stored in front of a deletion of a topic: its own, or a light queue that it names.
func (d *deletions) covers(topic []byte, m *record.Message) bool {
	note, ok := d.known[string(topic)]
	return ok && note.Covers(int64(m.LogOffset), m.StoreTime)
}

// readDeletions reads the notes for a start.
func (s *Store) readDeletions() error {
	b, err := os.ReadFile(s.own(layout.DeletedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("store: %w", err)
	}
	notes, size := layout.Deletions(b)
	s.deletions = deletions{known: notes, size: int64(size)}
	return nil
}

// finishDeletions removes queues of which the newest entry is of a deleted topic: the process died during the deletion, or
// the machine before their end was on disk.
func (r *recovery) finishDeletions() error {
	s := r.s
	for topic := range s.deletions.known {
		removed, left := 0, 0
		for _, q := range s.queues.of(topic) {
			if !r.endsDeleted(q) {
				left++
				continue
			}
			if err := q.restart(); err != nil {
				return err
			}
			removed++
		}
		if removed == 0 {
			continue
		}
		s.o.Log.Info("queues of a topic that was deleted before the broker died are removed", "topic", topic, "queues", removed)
		if left > 0 {
			continue
		}
		s.queues.drop(topic)
		if s.shared == nil {
			continue
		}
		if err := s.shared.forget(topic); err != nil && !full(err) { // the next start does it again
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// endsDeleted reports whether the newest entry of q is of a deleted topic. Where its record is gone its place decides, and a queue
// that has kept nothing but its number is that of the deleted topic if later records are all there.
func (r *recovery) endsDeleted(q *Queue) bool {
	begin, _ := r.s.log.run.Bounds()
	note := r.s.deletions.known[q.topic]
	if q.next > 0 && q.begin() == q.next {
		return note.End > begin
	}
	u, err := q.unit(q.next - 1)
	if q.next == 0 || err != nil || u.Filler() {
		return false
	}
	if u.Log < begin {
		return u.Log < note.End
	}
	m, _, err := r.look(u.Log, u.Size)
	_, mine := q.placeOf(&m)
	return err == nil && mine && r.s.deletions.covers([]byte(q.topic), &m)
}

// settleDeletions makes the notes those of a log from begin to end, before anything is appended to it. Queue entries before synced
// are on disk, and that those of topics that were deleted before are gone.
func (s *Store) settleDeletions(begin, end, synced int64) error {
	d := &s.deletions
	changed := false
	for topic, note := range d.known {
		switch {
		case note.End <= begin && note.End < synced:
			delete(d.known, topic)
			changed = true
		case note.End > end:
			note.End = end
			d.known[topic] = note
			changed = true
		}
	}
	notes := d.known
	d.known = nil
	info, err := os.Stat(s.own(layout.DeletedFile))
	if err == nil && info.Size() == d.size && !changed || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err = s.writeDeletions(notes); err == nil {
		return nil
	}
	s.o.Log.Warn("notes of deleted topics cannot be written, and are given up", "err", err)
	d.size = 0
	if err := errors.Join(s.o.Faults.Remove(s.own(layout.DeletedFile)), s.o.Faults.SyncDir(s.own(""))); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// noteDeletion notes that a topic was deleted. flusher.mu must be held.
func (s *Store) noteDeletion(topic string, note layout.Deletion) error {
	d, path := &s.deletions, s.own(layout.DeletedFile)
	b := layout.AppendDeletion(nil, topic, note)
	if d.size+int64(len(b)) > maxDeletions {
		if err := s.thinDeletions(); err != nil {
			return err
		}
	}
	if err := overwrite(s.o.Faults, path, b, d.size, true); err != nil {
		return err
	}
	if d.size == 0 {
		if err := s.o.Faults.SyncDir(s.own("")); err != nil {
			return err
		}
	}
	d.size += int64(len(b))
	return nil
}

// thinDeletions leaves those notes of which the log still has records, and half of what may be noted at most.
func (s *Store) thinDeletions() error {
	b, err := os.ReadFile(s.own(layout.DeletedFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	notes, _ := layout.Deletions(b[:min(int64(len(b)), s.deletions.size)])
	begin, _ := s.log.run.Bounds()
	size := 0
	for _, topic := range slices.Backward(byEnd(notes)) {
		size += len(layout.AppendDeletion(nil, topic, notes[topic]))
		if notes[topic].End <= begin || size > maxDeletions/2 {
			delete(notes, topic)
		}
	}
	return s.writeDeletions(notes)
}

// byEnd lists the topics of notes, the one that was deleted first in front.
func byEnd(notes map[string]layout.Deletion) []string {
	return slices.SortedFunc(maps.Keys(notes), func(a, b string) int { return cmp.Compare(notes[a].End, notes[b].End) })
}

// writeDeletions puts the file with notes in the place of the one that is there.
func (s *Store) writeDeletions(notes map[string]layout.Deletion) error {
	var b []byte
	for _, topic := range byEnd(notes) {
		b = layout.AppendDeletion(b, topic, notes[topic])
	}
	path := s.own(layout.DeletedFile)
	next := path + ".tmp"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := overwrite(s.o.Faults, next, b, 0, true); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	s.deletions.size = int64(len(b))
	return s.o.Faults.SyncDir(s.own(""))
}
