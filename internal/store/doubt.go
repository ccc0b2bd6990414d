package store

import (
	"fmt"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Queue files that were removed or overwritten while no broker ran would otherwise be noticed when somebody misses messages,
// or, worse, when a queue gives offsets a second time. Two cheap looks at every start find what is likely to happen:
// the checkpoint counts queues and entries, and the last entry of each queue must lead to its record.

// checkedQueues is of how many queues the last entry is looked at, which takes some microseconds each.
const checkedQueues = 5000

// tally sums up where all queues begin and where their files end: what else they have comes back from the journal or, if
// that is of no use, from the log. Nothing may be appended meanwhile.
func (s *Store) tally() (t layout.Tally) {
	for q := range s.queues.all() {
		if begin, end := q.begin(), q.flushed; end > 0 {
			t.Queues, t.Begin, t.End = t.Queues+1, t.Begin+begin, t.End+end
		}
	}
	return t
}

// forgetTally keeps a start from missing queues that are about to be removed.
func (s *Store) forgetTally() {
	f := &s.flusher
	f.cycleMu.Lock()
	defer f.cycleMu.Unlock()
	f.mu.Lock()
	known := f.tally != layout.Tally{}
	f.tally = layout.Tally{}
	f.mu.Unlock()
	if !known {
		return
	}
	if err := s.writeCheckpoints(true); err != nil {
		s.o.Log.Warn("checkpoint cannot be written; after a crash now, the next start may make the queues of a deleted topic again", "err", err)
	}
}

// retally notes what queues there are for the next start to compare with.
func (s *Store) retally(clean int64) {
	t := s.tally()
	t.Clean = clean
	s.flusher.mu.Lock()
	s.flusher.tally = t
	s.flusher.mu.Unlock()
}

// doubt tells why the queue files cannot be those of the last run; nil if they can. After a loss of power they may have lost
// entries, but only some that the scan makes again in any case.
func (r *recovery) doubt() error {
	if r.crashed && r.own.Boot != bootID() {
		return nil
	}
	was, is := r.own.Tally, r.s.tally()
	mine := r.ownOK && (!r.crashed || r.own.Session == r.last)
	switch {
	case mine && was.Clean == 1 && !r.crashed && is.End == was.End && is.Begin != was.Begin:
		return fmt.Errorf("they begin with other files than at the last stop")
	case mine && is.End < was.End:
		return fmt.Errorf("they have %d entries in %d queues, at the last stop there were %d in %d", is.End, is.Queues, was.End, was.Queues)
	}
	if is.Queues > checkedQueues {
		return nil
	}
	begin, _ := r.s.log.run.Bounds()
	for q := range r.s.queues.all() {
		if err := r.checkLast(q, begin); err != nil {
			return err
		}
	}
	return nil
}

// checkLast looks whether the last entry of q leads to its record, if the log, which begins at begin, still has that.
func (r *recovery) checkLast(q *Queue, begin int64) error {
	u, err := q.unit(q.next - 1)
	if q.next == 0 || err != nil || u.Filler() || u.Log < begin {
		return nil
	}
	if _, end := r.s.log.run.Bounds(); u.Log >= end {
		return fmt.Errorf("%s points to log offset %d, behind the files of the log", q.dir(), u.Log)
	}
	m, n, err := r.look(u.Log, u.Size)
	off, mine := q.placeOf(&m)
	switch {
	case r.crashed && err != nil:
		return nil // the log may be torn there
	case err != nil:
		return fmt.Errorf("%s points to log offset %d, where there is no record: %w", q.dir(), u.Log, err)
	case !mine || off != q.next-1 || n != int(u.Size):
		return fmt.Errorf("%s ends with an entry of another message, at offset %d", q.dir(), q.next-1)
	}
	return nil
}

// look reads one record of a size.
func (r *recovery) look(at int64, size int32) (m record.Message, n int, err error) {
	if size <= record.BlankSize || int64(size) > r.s.o.SegmentSize-at%r.s.o.SegmentSize {
		return m, 0, record.ErrCorrupt
	}
	b := make([]byte, size)
	if err := r.s.log.run.ReadAt(b, at); err != nil {
		return m, 0, err
	}
	m, n, err = record.Decode(b)
	if err == nil && int64(m.LogOffset) != at {
		err = record.ErrCorrupt
	}
	return m, n, err
}
