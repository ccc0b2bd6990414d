package store

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// recovery is one start of a store.
type recovery struct {
	s       *Store
	own     layout.Checkpoint
	ownOK   bool
	crashed bool           // the last user of the directory did not stop cleanly
	last    layout.Session // of the last run, if it was Skua's and did not stop cleanly
	staged  *ring          // of the last run, nil if it is of no use
	wild    bool           // the machine was down since: what staged holds must prove itself
	adopted bool           // staged is used although the abort file is not that of its session
	known   int64          // everything before it is known to have been in the files
	from    layout.Position
	end     layout.Position
	why     error // what ended the scan
	read    scanner

	began, report time.Time // of the scan, and of the next line about it

	told     bool  // the journal of queues was used
	logBegin int64 // begin of the log for which the journal of queues tells their least offsets
}

// recover finds the end of the log, makes the queues agree with it and begins a new session.
func (s *Store) recover() error {
	r := &recovery{s: s, read: scanner{run: s.log.run}}
	s.flusher.unsynced = map[*Queue]bool{}
	root, err := changed(s.o.Dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	crashed, last, err := aborted(s.o.Dir)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	r.crashed, r.last, s.killed = crashed, last, crashed
	if r.own, r.ownOK, err = s.readCheckpoints(); err != nil {
		return err
	}
	if err := s.readDeletions(); err != nil {
		return err
	}
	if err := r.openStaged(); err != nil {
		return err
	}
	if err := r.readShared(); err != nil {
		return err
	}
	if s.shared == nil && (r.adopted || !r.readJournal(root)) {
		if err := s.loadQueues(); err != nil {
			return err
		}
	}
	if err := s.beginShared(); err != nil {
		return err
	}
	if err := r.replayStaged(); err != nil {
		return err
	}
	r.from = r.start()
	if begin, _ := s.log.run.Bounds(); r.from.End > begin {
		why := s.doubt
		if why == nil {
			why = r.doubt()
		}
		if why != nil {
			s.o.Log.Warn("queue files are not what they should be; what is missing is made again from the log", "why", why)
			r.from, s.rebuild = layout.Position{End: begin, Last: -1}, true
		}
	}
	if err := r.scan(); err != nil {
		return err
	}
	s.scanned = r.end.End - r.from.End
	if err := r.checkDamage(); err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	return r.begin()
}

// openStaged opens the ring, if there is one.
func (r *recovery) openStaged() error {
	s := r.s
	if _, err := os.Stat(s.own(layout.StagingFile)); err != nil {
		if r.crashed && r.ownOK && r.own.Session == r.last && r.own.Boot == bootID() {
			s.o.Log.Warn("the staging file of the killed broker is missing; its last messages may be lost", "file", s.own(layout.StagingFile))
		}
		return nil
	}
	if err := r.checkStaged(); err != nil {
		return err
	}
	old, err := openRing(s.o.Faults, s.own(layout.StagingFile), s.o.StagingSize)
	if err != nil {
		return err
	}
	s.log.ring.Store(old)
	r.adopt(old)
	return nil
}

// replayStaged writes to the segments what only the ring of the last session holds.
func (r *recovery) replayStaged() error {
	s, old := r.s, r.s.log.ring.Load()
	if old == nil {
		return nil
	}
	mine, sameBoot := old.of(r.last)
	if !mine {
		return nil // a new file, or somebody else has used the directory since
	}
	r.staged = old
	if r.wild = !sameBoot; r.wild {
		return nil // the header may be older than the data; scan looks at the records
	}
	from, end := old.drained.Load(), old.end.Load()
	if from < 0 || end < from || end-from > old.size {
		return fmt.Errorf("store: %s is damaged: it claims to hold the log from %d to %d; move it away to give up what only it holds",
			s.own(layout.StagingFile), from, end)
	}
	if end > from {
		if err := s.log.run.WriteAt(old.slice(from, end-from), from); err != nil {
			return fmt.Errorf("store: the messages in %s cannot be written to the commit log: %w", s.own(layout.StagingFile), err)
		}
		s.o.Log.Info("messages staged by the last run are written to the commit log", "from", from, "to", end)
	}
	r.known = end
	return nil
}

// start chooses where the scan begins: a place before which all queue entries are in files.
func (r *recovery) start() layout.Position {
	s := r.s
	begin, end := s.log.run.Bounds()
	first := layout.Position{End: begin, Last: -1}
	if begin == end || s.queues.empty() {
		return first
	}
	if s.shared != nil {
		return r.startShared(first)
	}
	if r.ownOK {
		p := r.own.Synced
		if s.journal != nil {
			p = r.own.Written // what was written is all there
		}
		if p.End >= begin && r.endsRecord(p) {
			return p
		}
	}
	for at := end - s.o.SegmentSize; at > begin; at -= s.o.SegmentSize {
		if r.startsHere(at) {
			return layout.Position{End: at, Last: -1}
		}
	}
	return first
}

// endsRecord reports whether the log still has the record that ends at p.
func (r *recovery) endsRecord(p layout.Position) bool {
	if p.Last < 0 {
		return false
	}
	m, n, err := r.read.record(p.Last)
	return err == nil && int64(m.LogOffset) == p.Last && p.Last+int64(n) == p.End
}

// startsHere is Java's rule for a file from which a start reads the log: after a clean stop one that the queues cover,
// after a crash one that is older than the checkpoint.
func (r *recovery) startsHere(at int64) bool {
	m, _, err := r.read.record(at)
	if err != nil || m.StoreTime == 0 {
		return false
	}
	if !r.crashed {
		return int64(m.LogOffset) <= r.s.maxQueued()
	}
	j := r.s.java
	return m.StoreTime <= min(j.Log, j.Queues)-3000
}

// maxQueued is the end of the newest record that has a queue entry.
func (s *Store) maxQueued() int64 {
	var n int64
	for q := range s.queues.all() {
		n = max(n, q.maxLog)
	}
	return n
}

// scan walks the records from r.from to the end of the log and restores their queue entries.
func (r *recovery) scan() error {
	size := r.s.o.SegmentSize
	r.end = r.from
	r.progress()
	if err := r.scanAhead(); err != nil {
		return err
	}
	for n := 0; ; n++ {
		if n%4096 == 4095 {
			r.progress()
		}
		at := r.end.End
		m, n, err := r.record(at)
		if errors.Is(err, record.ErrBlank) {
			r.end.End = at - at%size + size
			continue
		}
		if err != nil && unreadable(err) {
			return fmt.Errorf("store: the commit log cannot be read at log offset %d: %w", at, err)
		}
		if err != nil {
			r.why = err
			return nil
		}
		if err := r.s.restore(&m); err != nil {
			return err
		}
		r.end = layout.Position{End: at + int64(n), Last: at, Time: max(r.end.Time, m.StoreTime)}
	}
}

// record reads the record at at, from the files or, if it is not good there, from what is staged.
func (r *recovery) record(at int64) (record.Message, int, error) {
	m, n, err := r.read.record(at)
	if err == nil {
		b, _ := r.read.bytes(at, int64(n))
		err = r.verify(b[:n], &m)
	}
	if err == nil || errors.Is(err, record.ErrBlank) || !r.restage(at) {
		return m, n, err
	}
	return r.read.record(at)
}

// verify returns what is wrong with m, whose bytes are b, as far as checksums tell. It may be called by many at a time.
func (r *recovery) verify(b []byte, m *record.Message) error {
	if r.s.o.checksSeals() && brokenSeal(b, m) {
		return fmt.Errorf("%w: its bytes do not have the checksum that its last property tells", record.ErrCorrupt)
	}
	if (r.s.o.CheckCRC || int64(m.LogOffset) >= r.own.Durable.End) && !m.BodyIntact() {
		return fmt.Errorf("%w: the checksum of its body is %d, not %d", record.ErrCorrupt, record.CRC(m.Body), m.BodyCRC)
	}
	return nil
}

// restage copies the record at at from the ring to the files, and reports whether there was one. It is for rings of which
// nobody knows how much reached the disk before the machine went down, so that the record must prove itself: it tells its
// own offset, its body its checksum, and its texts must be well-formed, as no checksum covers them.
func (r *recovery) restage(at int64) bool {
	if !r.wild || at > r.staged.end.Load() {
		return false
	}
	left := min(r.s.o.SegmentSize-at%r.s.o.SegmentSize, r.staged.size)
	b := r.staged.slice(at, left)
	m, n, err := record.Decode(b)
	switch {
	case errors.Is(err, record.ErrBlank) && int64(n) == left:
		next, _, err := record.Decode(r.staged.slice(at+left, min(r.s.o.SegmentSize, r.staged.size)))
		if err != nil || int64(next.LogOffset) != at+left {
			return false
		}
		n = record.BlankSize
	case err != nil || int64(m.LogOffset) != at || !m.BodyIntact() || !wellFormed(&m) || r.s.o.checksSeals() && brokenSeal(b[:n], &m):
		return false
	}
	if err := r.s.log.run.WriteAt(b[:n], at); err != nil {
		return false
	}
	r.read.forget()
	return true
}

// checksSeals reports whether a record that does not agree with its seal is damaged. Without the option it is not: a Java
// broker may have stored a message together with the seal of another record.
func (o *Options) checksSeals() bool { return o.Seal || o.CheckSeals }

func brokenSeal(rec []byte, m *record.Message) bool {
	found, intact := record.CheckSeal(rec, m)
	return found && !intact
}

// wellFormed reports whether topic and properties look as if they were whole.
func wellFormed(m *record.Message) bool {
	p := m.Properties
	return layout.Storable(string(m.Topic)) && (len(p) == 0 || p[len(p)-1] == 2)
}

// settle cuts off what lies behind the end of the log, in the log and in the queues.
func (r *recovery) settle() error {
	s, end := r.s, r.end.End
	begin, stop := s.log.run.Bounds()
	var head [record.BlankSize]byte
	if s.log.run.ReadAt(head[:], end) == nil && head != [record.BlankSize]byte{} {
		s.o.Log.Warn("commit log ends in a torn record, which is cut off", "file", s.log.run.Path(s.log.run.Start(end)), "offset", end,
			"found", r.why)
	}
	if end < stop {
		if err := s.log.run.Truncate(end); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	var cut atomic.Int64
	err := inParallel(s.queues.all(), func(q *Queue) error {
		if q.maxLog > end {
			cut.Add(1)
			if err := q.cutLog(end); err != nil {
				return err
			}
		} else if r.told && r.logBegin == begin && !q.batch && !q.expired.Swap(false) {
			return nil // the journal has told Min
		}
		q.correctMin(begin)
		return nil
	})
	if err != nil {
		return err
	}
	if err := r.finishDeletions(); err != nil {
		return err
	}
	if n := cut.Load(); n > 0 {
		s.o.Log.Warn("queues pointed behind the end of the commit log and were cut", "queues", n, "end", end)
	}
	if s.journal != nil && len(s.dirty) > s.o.pace.few {
		return nil // they go to the journal
	}
	return s.flushRestored()
}

// begin opens a new session at the end of the log.
func (r *recovery) begin() error {
	s, l, end := r.s, r.s.log, r.end.End
	l.mu.last, l.mu.lastTime = r.end.Last, max(r.end.Time, r.own.Written.Time)
	l.end.Store(end)
	l.drained.Store(end)
	l.claimed.Store(end)
	l.reserved.Store(end)
	l.base = end
	begin, _ := l.run.Bounds()
	synced := int64(0)
	if r.ownOK && r.own.Synced.End <= end {
		synced = r.own.Synced.End
	}
	if err := s.settleDeletions(begin, end, synced); err != nil {
		return err
	}
	l.durable.Store(max(begin, min(r.own.Durable.End, end)))
	if s.o.SyncFlush {
		if _, err := l.sync(); err != nil {
			return err
		}
	}
	s.flusher.written = layout.Position{End: end, Last: l.mu.last, Time: l.mu.lastTime}
	if len(s.dirty) > 0 && s.journal == nil { // there was no space for entries; the next start has to make them again
		s.flusher.written = r.from
	}
	if r.ownOK && r.own.Synced.End <= end {
		s.flusher.synced, s.flusher.durable = r.own.Synced, r.own.Durable
	}
	s.flusher.syncAll = true
	if err := s.openIndex(r); err != nil {
		return err
	}
	s.retally(0)
	if err := s.beginStaging(r.wild || r.staged == nil); err != nil {
		return err
	}
	if err := r.moveQueues(); err != nil {
		return err
	}
	if err := r.handOver(); err != nil {
		return err
	}
	if r.crashed {
		s.o.Log.Info("store recovered after a crash", "scanned from", r.from.End, "end", end)
	}
	return nil
}

// handOver begins the journal of queues of this session, and leaves what only it holds to the flusher.
func (r *recovery) handOver() error {
	s, f := r.s, &r.s.flusher
	had := s.journal != nil
	if err := s.beginJournal(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if !had {
		return nil
	}
	late := lateQueues{since: f.synced}
	for q := range s.queues.all() {
		if q.unfiled() > 0 && !q.batch {
			late.queues = append(late.queues, q)
			f.heat(q).late, q.noted = true, q.next
		}
	}
	if s.journal == nil {
		f.written = f.synced // there was no space; the next start makes the entries again
	} else if len(late.queues) > 0 {
		late.journal = s.journal.state
		f.late = append(f.late, late)
	}
	return nil
}
