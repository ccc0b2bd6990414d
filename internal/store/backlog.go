package store

import "time"

// Figures of reading a backlog.
const (
	lookEvery   = 100 * time.Millisecond // after those who read the files
	farBehind   = 256 << 20              // bytes of the log
	manyBytes   = 24 << 10               // of messages between two looks
	calmLooks   = 5                      // looks at fewer in a row after which nobody counts as sending
	aheadAtOnce = 4 << 20                // bytes that are asked for as one piece, gaps between records included
	leastAhead  = 1 << 20                // bytes that are asked for behind them
)

// Crowded reports whether messages come in while others are read that are far behind. Then such reads do not run at once
// (WouldWait), and who lets them run elsewhere should leave processors to the senders. It is found out ten times a second.
func (s *Store) Crowded() bool { return s.crowded.Load() }

// behind reports whether off is far from the end of the log.
func (s *Store) behind(off int64) bool { return s.log.end.Load()-off > s.far }

// readersLoop looks after what readers of the files leave behind, as long as there are any: what is not read any more is
// taken out of the process, and of the system's cache if it is so old that Java would not expect it there: it has come from
// the disk, and would push out what is needed more.
func (s *Store) readersLoop() {
	for {
		select {
		case <-s.done.Done():
			return
		case <-s.readers.c:
		}
		s.readers.answer()
		for more, calm := true, calmLooks; more; {
			end := s.log.end.Load()
			select {
			case <-s.done.Done():
				return
			case <-time.After(lookEvery):
			}
			now := s.log.end.Load()
			if calm++; now-end >= manyBytes {
				calm = 0
			}
			s.crowded.Store(calm < calmLooks)
			more = s.logDisk.Trim(s.nowMs(), now-s.memorySpan())
		}
		s.crowded.Store(false)
	}
}

// announce tells the system which parts of the log are about to be read, so that they come with few large reads, or at
// least side by side. A reader who is here will most likely go on with what follows.
func (s *Store) announce(spans []span) {
	first, last := spans[0], spans[len(spans)-1]
	if n := last.log + int64(last.size) - first.log; n > 0 && n <= aheadAtOnce {
		n += min(max(4*n, leastAhead), aheadAtOnce)
		s.log.run.Announce(first.log, min(n, s.log.drained.Load()-first.log))
		return
	}
	for _, sp := range spans {
		s.log.run.Announce(sp.log, int64(sp.size))
	}
}
