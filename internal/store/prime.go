package store

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Figures of priming.
const (
	primeAhead = 4 << 20 // bytes in front of the end of the log
	primeStep  = 1 << 20 // bytes of one call
	primePause = 50 * time.Millisecond
)

// primer makes the pages of the ring writable into which appenders will put what comes next. Whenever the system has
// written pages of the ring to the disk, on its own or for somebody's sync, the next store to each is a fault, which has to
// note the file's new time in the file system's journal and may have to wait for that; an appender would do so with the
// lock of the log held. It belongs to the writer.
type primer struct {
	off  bool // the system cannot do it
	last time.Time
}

// prime makes writable the pages in front of the end of the log. That costs 50 us for each MiB, so that it is not done
// more often than each primePause: who sends more than 80 MiB/s meets few pages that were written since the last round.
func (p *primer) prime(l *commitLog) {
	if p.off || time.Since(p.last) < primePause {
		return
	}
	l.ringMu.RLock()
	defer l.ringMu.RUnlock()
	ring := l.ring.Load()
	if ring == nil {
		return
	}
	at := l.end.Load()
	at -= at % int64(os.Getpagesize())
	for stop := at + min(primeAhead, ring.size); at < stop; {
		n := min(primeStep, stop-at, ring.size-at%ring.size)
		if err := unix.Madvise(ring.slice(at, n), unix.MADV_POPULATE_WRITE); errors.Is(err, unix.EINVAL) {
			p.off = true // it takes Linux 5.14
			return
		}
		at += n
	}
	p.last = time.Now()
}
