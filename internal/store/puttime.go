package store

import (
	"slices"
	"time"
)

// PutBounds are the upper bounds, ms, of the classes of PutTimes; a last class has what is above all of them.
var PutBounds = [...]int64{0, 1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000}

// PutTimes counts appends by how long they took, in whole ms: until they had their place or, in SyncFlush, until they were
// on disk. Only those that wait look at a clock; all others count as 0 ms, which they are.
type PutTimes struct {
	Classes [len(PutBounds) + 1]int64
	Max     time.Duration
}

func (p *PutTimes) add(d time.Duration) {
	i, _ := slices.BinarySearch(PutBounds[:], d.Milliseconds())
	p.Classes[i]++
	p.Max = max(p.Max, d)
}

// PutTimes returns the counts since Open.
func (s *Store) PutTimes() PutTimes {
	s.log.mu.Lock()
	p, calls := s.log.mu.stats.puts, s.log.mu.stats.Appends
	s.log.mu.Unlock()
	s.waiters.mu.Lock()
	w := s.waiters.puts
	s.waiters.mu.Unlock()
	p.Max = max(p.Max, w.Max)
	for i, n := range w.Classes {
		p.Classes[i] += n
		calls -= p.Classes[i]
	}
	p.Classes[0] += max(calls, 0)
	return p
}
