package store

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Figures of the write path.
const (
	drainStep  = 1 << 20               // the writer is woken when so many bytes wait
	drainDelay = 20 * time.Millisecond // and otherwise after this time
	maxDrain   = 4 << 20               // bytes of one write
)

// commitLog is the log: the staging ring in front of the segment files.
//
// Offsets only grow, in this order: durable <= drained <= end <= reserved, and end - drained <= size of the ring.
type commitLog struct {
	run     *segment.Run
	log     *slog.Logger
	space   func() string        // tells how full the disk is
	maxWait time.Duration        // appenders wait for space no longer
	ring    atomic.Pointer[ring] // nil while there is no space for it, and after the end
	ringMu  sync.RWMutex         // read-locked by those who look into the ring without mu or drainMu

	drained  atomic.Int64 // bytes before it are in the segment files
	durable  atomic.Int64 // bytes before it are on disk
	reserved atomic.Int64 // disk space is reserved up to here
	base     int64        // bytes before it are not in the ring
	claimed  atomic.Int64 // bytes before it minus the ring's size are overwritten
	end      atomic.Int64 // written under mu; bytes before it are complete

	mu struct {
		sync.Mutex
		space     sync.Cond // something below changed in favour of waiting appenders
		lastTime  int64     // newest store time, ms
		last      int64     // offset of the last record, -1 if there is none
		refusal   *RefusedError
		permanent bool // refusal stays until the restart
		waiting   int  // appenders in space.Wait
		stats     Stats
		fed       feed // for the indexer
	}
	refused atomic.Pointer[RefusedError] // mu.refusal for those who hold no lock

	drainMu   sync.Mutex // held while draining
	direct    directness // guarded by drainMu
	reserveMu sync.Mutex // held while reserving
	prewrite  bool       // zeros are written to reserved space, for the sake of many syncs
	ioFail    atomic.Pointer[RefusedError]

	writer   bell // rung when there is something to drain
	reserver bell // rung when space runs short
}

// roomLocked waits until n bytes can be appended and returns where. It writes the blank that ends a file if they do not
// fit there. n plus a blank must fit into a file, and four times into the ring.
func (l *commitLog) roomLocked(n int64) (int64, *RefusedError) {
	var deadline time.Time
	for {
		if r := l.mu.refusal; r != nil {
			return 0, r
		}
		at, tail := l.end.Load(), int64(0)
		if left := l.run.FileSize() - at%l.run.FileSize(); n+record.BlankSize > left {
			tail = left
		}
		stop := at + tail + n
		fits, reserved := stop-pageOf(l.drained.Load()) <= l.ring.Load().size, stop <= l.reserved.Load()
		if fits && reserved {
			if tail > 0 {
				l.blankLocked(at, tail)
			}
			return at + tail, nil
		}
		if !reserved {
			l.reserver.ring()
		}
		if !fits {
			l.writer.ring()
		}
		now := time.Now()
		if deadline.IsZero() {
			l.mu.stats.Waits++
			defer func() {
				waited := time.Since(now)
				l.mu.stats.WaitTime += int64(waited)
				l.mu.stats.puts.add(waited)
			}()
			deadline = now.Add(l.maxWait)
			t := time.AfterFunc(l.maxWait, l.wake)
			defer t.Stop()
		}
		if now.After(deadline) {
			return 0, refusef(Busy, "the disk has taken nothing for %v while %d bytes wait for it; look for other load on it",
				l.maxWait, at-l.drained.Load())
		}
		l.mu.waiting++
		l.mu.space.Wait()
		l.mu.waiting--
	}
}

// blankLocked fills the rest of a file, n bytes at at.
func (l *commitLog) blankLocked(at, n int64) {
	l.claimed.Store(at + n)
	b := l.ring.Load().slice(at, n)
	clear(b)
	record.AppendBlank(b[:0], n)
	l.publishLocked(at + n)
}

// putLocked copies b to the end of the log.
func (l *commitLog) putLocked(at int64, b []byte) {
	stop := at + int64(len(b))
	l.claimed.Store(stop)
	copy(l.ring.Load().slice(at, int64(len(b))), b)
	l.publishLocked(stop)
}

func (l *commitLog) publishLocked(end int64) {
	l.ring.Load().end.Store(end) // from here on the bytes survive the process
	l.end.Store(end)
}

// wake lets waiting appenders look again.
func (l *commitLog) wake() {
	l.mu.Lock()
	if l.mu.waiting > 0 {
		l.mu.space.Broadcast()
	}
	l.mu.Unlock()
}

// drain writes everything that is staged to the segment files. When it returns nil, what was in the log at the call is
// in the files.
func (l *commitLog) drain() error { return l.drainTo(true) }

// drainTo is drain, or if it need not be all, as much of it as is quick to write.
func (l *commitLog) drainTo(all bool) error {
	l.drainMu.Lock()
	defer l.drainMu.Unlock()
	if r := l.ioFail.Load(); r != nil {
		return r
	}
	ring := l.ring.Load()
	if ring == nil {
		return nil
	}
	at, stop := l.drained.Load(), l.end.Load()
	l.direct.look(at, stop-at, ring.size)
	if l.direct.on && !all {
		stop = pageOf(stop) // the rest of the page goes with what comes
	}
	for at < stop {
		n, err := l.writeOut(ring, at, stop)
		if err != nil {
			return l.failed(err)
		}
		at += n
		ring.drained.Store(at)
		l.drained.Store(at)
		l.wake()
	}
	return nil
}

// sync makes durable what was drained, and returns how far the log is durable then.
func (l *commitLog) sync() (int64, error) {
	if r := l.ioFail.Load(); r != nil {
		return l.durable.Load(), r
	}
	from, to := l.durable.Load(), l.drained.Load()
	if from == to {
		return to, nil
	}
	if err := l.run.Sync(from, to); err != nil {
		return from, l.broken(err)
	}
	l.durable.Store(to)
	return to, nil
}

// failed notes that the disk did not take bytes that the log has. A full disk is a passing trouble, as the bytes stay in
// the ring; after any other failure nobody knows what the disk holds, so that nothing is accepted until a restart, which
// reads it all again.
func (l *commitLog) failed(err error) error {
	if full(err) {
		r := &RefusedError{Reason: DiskFull, Detail: l.space() + ", and the file system has no space left; free space, the store then goes on by itself", Err: err}
		l.refuse(r, false)
		return r
	}
	return l.broken(err)
}

// full reports whether err tells that there is no space, or no quota.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// broken notes that a write or a sync failed and that nothing can be done about it. So are syncs for which there is no
// space: unlike after a write the system has dropped the bytes, wherever they were, and the next sync would report success.
func (l *commitLog) broken(err error) error {
	r := &RefusedError{Reason: Failed, Detail: "the disk failed, and what it holds is unknown: nothing is accepted until the broker is " +
		"restarted and has read it; see the system's log for the cause first", Err: err}
	l.ioFail.CompareAndSwap(nil, r)
	l.refuse(r, true)
	return r
}

// refuse makes appends fail with r, or succeed again if r is nil. A permanent refusal cannot be replaced.
func (l *commitLog) refuse(r *RefusedError, permanent bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.permanent {
		return
	}
	old := l.mu.refusal
	if old != nil && old.Reason == ReadOnly && r != nil && r.Reason == DiskFull {
		return // Accept shall not come by itself
	}
	l.mu.refusal, l.mu.permanent = r, permanent
	l.refused.Store(r)
	l.mu.space.Broadcast()
	switch {
	case r != nil && (old == nil || old.Reason != r.Reason) && r.Reason != Closed:
		l.log.Error("store refuses messages", "reason", r.Reason.String(), "detail", r.Detail, "err", r.Err)
	case r == nil && old != nil:
		l.log.Info("store takes messages again", "refused before", old.Reason.String())
	}
}

// reserve takes disk space ahead of the end of the log.
func (l *commitLog) reserve() error {
	l.reserveMu.Lock()
	defer l.reserveMu.Unlock()
	size := l.run.FileSize()
	ahead := min(2*reserveStep, size)
	for {
		at := l.reserved.Load()
		if at-l.end.Load() >= ahead {
			return nil
		}
		n := min(reserveStep, size-at%size)
		if l.prewrite {
			n = min(n, prewriteStep)
		}
		if err := l.run.Reserve(at, n); err != nil {
			return err
		}
		if l.prewrite {
			l.run.Prewrite(at, n)
		}
		l.reserved.Store(at + n)
		l.wake()
	}
}

// read copies the len(p) bytes of the log at off. Errors: segment.ErrOutside when they are not there, or no more.
func (l *commitLog) read(p []byte, off int64) error { return l.fetch(p, off, true) }

// fetch is read that, unless it may wait for the disk, gives up with errWouldWait.
func (l *commitLog) fetch(p []byte, off int64, wait bool) error {
	n := int64(len(p))
	if off < 0 || off+n > l.end.Load() {
		return segment.ErrOutside
	}
	if l.readRing(p, off) {
		return nil
	}
	if drained := l.drained.Load(); off+n > drained && off < drained {
		if err := l.fetch(p[drained-off:], drained, wait); err != nil {
			return err
		}
		p = p[:drained-off]
	}
	if wait {
		return l.run.ReadAt(p, off)
	}
	if !l.run.ReadNow(p, off) {
		return errWouldWait
	}
	return nil
}

// inRing reports whether off is to be read from the ring: always when it is not drained, and else when it is in the
// newer half, which will not be overwritten soon.
func (l *commitLog) inRing(off int64) bool {
	ring := l.ring.Load()
	return ring != nil && off >= l.base && (off >= l.drained.Load() || off >= l.end.Load()-ring.size/2)
}

// readRing copies the len(p) bytes at off if they are in the ring. It does nothing that needs the appenders' lock: an
// appender may come round while it copies; then it reports false, and the bytes are in the files.
func (l *commitLog) readRing(p []byte, off int64) bool {
	l.ringMu.RLock()
	defer l.ringMu.RUnlock()
	if !l.inRing(off) {
		return false
	}
	ring := l.ring.Load()
	copy(p, ring.slice(off, int64(len(p))))
	return off >= l.claimed.Load()-ring.size
}

// unmap gives the ring back. Nothing may be appended or drained any more.
func (l *commitLog) unmap() {
	l.ringMu.Lock()
	defer l.ringMu.Unlock()
	if ring := l.ring.Swap(nil); ring != nil {
		ring.close()
	}
}
