package store

import (
	"fmt"

	"github.com/skuamq/skua/internal/layout"
)

// beginStaging makes the ring, the abort file and the checkpoint those of a new session. When there is no space for the
// ring, the store refuses messages until there is. A ring that is not known to hold what the log has is made anew.
func (s *Store) beginStaging(wild bool) error {
	l := s.log
	if old := l.ring.Load(); old != nil {
		old.begin(layout.Session{}, 0) // from here on only the segments count
		// Records that went with the power, or with the head of the ring, must not come back after the next crash, from
		// where the new run has not been yet.
		if old.size != s.o.StagingSize || wild {
			l.unmap()
			if err := s.o.Faults.Remove(s.own(layout.StagingFile)); err != nil {
				return fmt.Errorf("store: %w", err)
			}
		}
	}
	s.session = newSession()
	if err := writeAbort(s.o.Faults, s.o.Dir, s.session); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := s.stage(); err != nil {
		return err
	}
	return s.writeCheckpoints(true)
}

// stage opens the ring, if there is space for it.
func (s *Store) stage() error {
	l := s.log
	if l.ring.Load() == nil {
		ring, err := openRing(s.o.Faults, s.own(layout.StagingFile), s.o.StagingSize)
		if full(err) {
			l.refuse(&RefusedError{Reason: DiskFull, Detail: fmt.Sprintf("%s needs %d bytes; free space, the store then goes on by itself",
				s.own(layout.StagingFile), s.o.StagingSize), Err: err}, false)
			return nil
		}
		if err != nil {
			return err
		}
		ring.begin(s.session, l.end.Load())
		l.ring.Store(ring)
		return nil
	}
	l.ring.Load().begin(s.session, l.end.Load())
	return nil
}
