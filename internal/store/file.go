package store

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/skuamq/skua/internal/layout"
)

// How entries get into the files of their queues. What a few queues got in a cycle is written to their files at once. Of
// many queues with few entries each that would cost more than anything else that happens to a message; their entries are
// written to the journal together, and to the files when some have gathered, at the latest after a while.
const (
	fewQueues   = 256                    // up to so many dirty queues are written to their files at once
	gathered    = 64 * layout.UnitSize   // so many bytes of entries are worth a write
	lateCycles  = 60                     // cycles in which the files catch up
	leastInTime = 512                    // queues that catch up in a cycle, at least, if they can
	filingTime  = 100 * time.Millisecond // for which a cycle lets queues catch up, so that the next one begins soon
	idlePace    = 4                      // times as many when few others get messages
)

// pace is fewQueues, leastInTime, sharedFile, keepBytes and drainDelay, which tests change.
type pace struct {
	few, late int
	shared    int64
	kept      int64
	delay     time.Duration
}

// warmth is what the flusher knows of a queue with entries in memory. It is zero for others, and guarded by flusher.mu,
// as is Queue.noted.
type warmth struct {
	cycle  int16 // of the last flush
	late   bool  // the queue is in flusher.late
	listed bool  // the queue is in flusher.warm
}

// heat returns what the flusher knows of q, which counts as warm from now on.
func (f *flusher) heat(q *Queue) *warmth {
	if !q.warm.listed {
		q.warm.listed = true
		f.warm = append(f.warm, q)
	}
	return &q.warm
}

// keep is how many flushed entries a warm queue keeps, when all of them have so many bytes for that.
func (f *flusher) keep(bytes int64) int64 {
	return min(max(bytes/layout.UnitSize/int64(len(f.warm)+1), keepLeast), keepUnits)
}

// coolDown lets queues give their memory back that have long been idle.
func (f *flusher) coolDown() {
	kept := f.warm[:0]
	for _, q := range f.warm {
		if f.cycle-q.warm.cycle > coolAfter && !q.warm.late {
			q.cool()
			if c, ok := q.shelf.(*chain); ok {
				c.forget()
			}
			q.warm, q.noted = warmth{}, 0
		} else {
			kept = append(kept, q)
		}
	}
	clear(f.warm[len(kept):])
	f.warm = kept
}

// lateQueues are queues whose entries of one cycle are in the journal and not in files.
type lateQueues struct {
	since   layout.Position // the log before it had its entries in files
	journal int64           // where their chunks begin
	queues  []*Queue
}

// filed is the place in the log before which all records have their entries in files.
func (f *flusher) filed() layout.Position {
	if len(f.late) > 0 {
		return f.late[0].since
	}
	return f.written
}

// flushQueues writes the entries of the dirty queues, which are those of all records before target, and lets those cool
// down that have long been idle.
func (s *Store) flushQueues(dirty []*Queue, target layout.Position) error {
	f := &s.flusher
	f.cycle++
	err := s.writeDirty(dirty)
	if err == nil {
		f.written = target
		s.noteWritten(len(dirty))
		err = s.catchUp(len(dirty))
	}
	if err == nil {
		err = s.trimJournal()
	}
	if err == nil && s.shared != nil {
		err = s.tendShared()
	}
	if err != nil {
		return s.log.failed(err)
	}
	f.coolDown()
	if ring := s.log.ring.Load(); len(f.warm) == 0 && ring != nil {
		ring.relax()
		s.index.relax()
	}
	return nil
}

// noteWritten tells the next start how far the journal goes, if dirty queues were many. What the rest of the cycle does may
// take long, and a start would have to read all of the log that came meanwhile.
func (s *Store) noteWritten(dirty int) {
	if s.journal != nil && dirty > s.o.pace.few {
		c := s.checkpointLocked()
		_ = overwrite(s.o.Faults, s.own(layout.CheckpointFile), c.Encode(), 0, false) // the end of the cycle writes it again, and reports
	}
}

// catchUp writes to their files some of the entries that only the journal has: more of them while few queues get messages.
func (s *Store) catchUp(dirty int) error {
	n := max(s.flusher.lateCount()/lateCycles, s.o.pace.late)
	if dirty <= s.o.pace.few {
		n *= idlePace
	}
	return s.fileLate(n, time.Now().Add(filingTime))
}

// writeDirty writes the entries of dirty queues to their files or to the journal.
func (s *Store) writeDirty(dirty []*Queue) error {
	f, j := &s.flusher, s.journal
	if j == nil || len(dirty) <= s.o.pace.few {
		if err := s.fileAll(dirty); err != nil {
			return err
		}
		return s.commitJournal()
	}
	batch := lateQueues{since: f.written, journal: j.end}
	var ready []*Queue
	noted := make([]int64, len(dirty))
	for i, q := range dirty {
		if q.batch {
			ready = append(ready, q)
			continue
		}
		noted[i] = j.addUnits(q, q.noted)
	}
	if err := s.commitJournal(); err != nil {
		return err
	}
	for i, q := range dirty {
		if q.batch {
			continue
		}
		w := f.heat(q)
		if !w.late {
			batch.queues = append(batch.queues, q)
		}
		w.cycle, w.late, q.noted = f.cycle, true, noted[i]
		if q.unfiled() >= gathered {
			ready = append(ready, q)
		}
	}
	if len(batch.queues) > 0 {
		f.late = append(f.late, batch)
	}
	return s.fileAll(ready)
}

// unfiled is how many bytes of entries are not in files.
func (q *Queue) unfiled() int64 {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return int64(len(q.tail)) - (q.flushed-q.tailFrom)*layout.UnitSize
}

// fileAll writes what queues have in memory to their files, and notes that.
func (s *Store) fileAll(qs []*Queue) error {
	f := &s.flusher
	for _, q := range qs {
		if err := q.flush(f.keep(s.o.pace.kept)); err != nil {
			return err
		}
		f.heat(q).cycle = f.cycle
		if s.shared == nil || q.batch || q.ext != nil { // the shared log is synced as a whole
			f.unsynced[q] = true
		}
		if s.journal != nil {
			s.journal.addEnd(q)
		}
	}
	return nil
}

// fileLate writes to their files what up to n queues have only in the journal, the oldest first, until the time is over.
func (s *Store) fileLate(n int, until time.Time) error {
	f := &s.flusher
	for ; n > 0 && len(f.late) > 0 && time.Now().Before(until); n-- {
		l := &f.late[0]
		if err := s.fileAll(l.queues[:1]); err != nil {
			return err
		}
		l.queues[0].warm.late = false
		if l.queues = l.queues[1:]; len(l.queues) == 0 {
			f.late = f.late[1:]
		}
	}
	return s.commitJournal()
}

// fileRest is fileLate for all queues. It tells how far it is when it takes long: each may get two directories and a file.
func (s *Store) fileRest() error {
	f := &s.flusher
	all, step := f.lateCount(), progressFirst
	if all == 0 {
		return nil
	}
	rest := lateQueues{since: f.late[0].since, journal: f.late[0].journal, queues: make([]*Queue, 0, all)}
	for _, l := range f.late {
		rest.queues = append(rest.queues, l.queues...)
	}
	slices.SortFunc(rest.queues, func(a, b *Queue) int { return cmp.Or(strings.Compare(a.topic, b.topic), cmp.Compare(a.id, b.id)) })
	for f.late = []lateQueues{rest}; ; step = progressEvery {
		if err := s.fileLate(math.MaxInt, time.Now().Add(step)); err != nil {
			return err
		}
		left := f.lateCount()
		if left == 0 {
			return nil
		}
		s.o.Log.Info("entries of many queues are being written to their files", "queues", all, "left", left)
	}
}

// lateCount is how many queues have entries that only the journal has.
func (f *flusher) lateCount() (n int) {
	for _, l := range f.late {
		n += len(l.queues)
	}
	return n
}

// commitJournal writes what was added to the journal. If that fails, for want of space as a rule, all entries are written
// to their files, and there is no journal any more.
func (s *Store) commitJournal() error {
	j, f := s.journal, &s.flusher
	if j == nil {
		return nil
	}
	err := j.commit()
	if err == nil {
		return nil
	}
	s.o.Log.Warn("journal of queues cannot be written; going on without it until the next start", "err", err)
	for q := range s.queues.all() {
		if q.unfiled() > 0 {
			if err := q.flush(f.keep(s.o.pace.kept)); err != nil {
				return err
			}
			f.heat(q).cycle = f.cycle
			f.unsynced[q] = true
		}
	}
	for _, q := range f.warm {
		q.warm.late = false
	}
	f.late = nil
	return s.dropJournal()
}

// trimJournal tells the state of the queues anew when the journal has grown, and drops what is of no use any more.
func (s *Store) trimJournal() error {
	j, f := s.journal, &s.flusher
	if j == nil {
		return nil
	}
	if f.retell || j.end-j.state > max(journalStep, 8*j.size) {
		if err := s.tellQueues(nil); err != nil {
			j.buf = j.buf[:0]
			s.o.Log.Warn("state of queues cannot be written to the journal; trying again", "err", err)
			return nil
		}
		f.retell = false
	}
	keep := j.state
	if len(f.late) > 0 {
		keep = min(keep, f.late[0].journal)
	}
	_, err := j.run.DropBefore(keep)
	return err
}

// settleQueues sees to it that the entries of all records before end are in files, and on disk, and reports whether they
// are: when the log has gone nobody can make them again, and a queue that has lost its last ones would give their offsets
// to other messages. A full disk is no reason to wait, since the log goes to make space.
func (s *Store) settleQueues(end int64) bool {
	f := &s.flusher
	f.mu.Lock()
	settled, written := f.synced.End >= end, f.written.End >= end
	f.mu.Unlock()
	if settled {
		return true
	}
	if !written {
		s.flushCycle()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	err := s.fileRest()
	if err == nil {
		err = s.syncQueues(true)
	}
	return err == nil && f.synced.End >= end || full(err)
}
