package store

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/layout"
)

// drainLoop is the writer: it moves bytes from the staging ring to the segment files. In SyncFlush it syncs them too, so
// that everything that was appended during one sync rides on the next.
func (s *Store) drainLoop() {
	l := s.log
	var p primer
	for {
		select {
		case <-s.done.Done():
			return
		case <-l.writer.c:
		}
		l.writer.answer()
		err := l.drainTo(s.o.SyncFlush)
		if err == nil && s.o.SyncFlush {
			err = s.syncAndPublish()
		}
		if err != nil {
			s.writeFailed(err)
		}
		p.prime(l)
	}
}

// writeFailed answers those who wait for a disk that failed. A full one may recover in time.
func (s *Store) writeFailed(err error) {
	var r *RefusedError
	if errors.As(err, &r) && r.Reason == DiskFull {
		return
	}
	s.waiters.finish(s.log.durable.Load(), err)
}

func (s *Store) syncAndPublish() error {
	durable, err := s.log.sync()
	s.publish(durable)
	return err
}

// reserveLoop takes disk space ahead of the appenders.
func (s *Store) reserveLoop() {
	l := s.log
	for {
		select {
		case <-s.done.Done():
			return
		case <-l.reserver.c:
		}
		l.reserver.answer()
		s.reserve()
	}
}

func (s *Store) reserve() {
	l := s.log
	if l.ring.Load() == nil {
		return // keepLoop tries to get it
	}
	if err := l.reserve(); err != nil && l.reserved.Load()-l.end.Load() < int64(s.o.MaxMessageSize) {
		_ = l.failed(fmt.Errorf("commit log: %w", err))
	}
}

// flusher is the state of the background flush.
type flusher struct {
	tally      layout.Tally    // at the start; guarded by mu
	cycleMu    sync.Mutex      // held during a cycle and its checkpoint
	mu         sync.Mutex      // held during a cycle
	durable    layout.Position // the log before it is on disk
	written    layout.Position // entries of all records before it are in queue files or the journal
	synced     layout.Position // in queue files, and on disk
	unsynced   map[*Queue]bool
	warm       []*Queue     // queues with entries in memory
	late       []lateQueues // queues of which only the journal has some entries, oldest first
	retell     bool         // the journal must tell the state of the queues anew
	cycle      int16        // wraps
	lastSync   time.Time
	justSynced bool // the last cycle synced the queue files
	unmarked   bool // the last checkpoint could not be written, which was logged
	syncAll    bool // the next sync must reach files of which nothing is known
}

// Pace of the background flush.
const (
	coolAfter     = 20               // cycles after which an idle queue gives its memory back
	queueSyncTime = 10 * time.Second // between syncs of queue files
	fewFiles      = 64               // up to so many queues are synced one by one
)

// flushLoop flushes in the background, as long as there is something to flush.
func (s *Store) flushLoop() {
	for {
		select {
		case <-s.done.Done():
			return
		case <-s.busy.c:
		}
		select {
		case <-s.done.Done():
			return
		case <-time.After(s.o.pace.delay):
		}
		s.log.writer.ring()
		select {
		case <-s.done.Done():
			return
		case <-time.After(s.o.FlushInterval):
		}
		s.busy.answer()
		s.flushCycle()
		if s.flusher.hot() {
			s.busy.ring() // come back, to let things cool down
		}
	}
}

// flushCycle moves everything that was appended before it into Java's files: first the log, then the queue entries that
// point into it, then a checkpoint that says so.
func (s *Store) flushCycle() {
	s.flusher.cycleMu.Lock()
	defer s.flusher.cycleMu.Unlock()
	if err := s.flush(); err != nil {
		s.writeFailed(err)
		return
	}
	err := s.writeCheckpoints(s.flusher.justSynced)
	if err != nil && !s.flusher.unmarked {
		s.o.Log.Warn("checkpoint cannot be written; the next start may take longer", "err", err)
	}
	s.flusher.unmarked = err != nil
}

func (s *Store) flush() error {
	f := &s.flusher
	f.mu.Lock()
	defer f.mu.Unlock()
	dirty, target := s.takeDirty()
	err := s.log.drain()
	if err == nil {
		err = s.flushQueues(dirty, target)
	}
	if err == nil && s.shared != nil {
		if err = s.shared.note(target); err != nil {
			err = s.log.failed(err)
		}
	}
	if err != nil {
		s.giveBackDirty(dirty)
		return err
	}
	if !s.o.SyncFlush {
		if err := s.syncAndPublish(); err != nil {
			return err
		}
	}
	if s.log.durable.Load() >= target.End {
		f.durable = target
	}
	before := f.lastSync
	err = s.syncQueues(false)
	f.justSynced = f.lastSync != before
	return err
}

// takeDirty returns the queues with unwritten entries, and the layout.Position before which all records have their entries in
// files once these queues are flushed.
func (s *Store) takeDirty() ([]*Queue, layout.Position) {
	l := s.log
	l.mu.Lock()
	defer l.mu.Unlock()
	dirty := s.dirty
	s.dirty = nil
	for _, q := range dirty {
		q.dirty = false
	}
	return dirty, layout.Position{End: l.end.Load(), Last: l.mu.last, Time: l.mu.lastTime}
}

// giveBackDirty undoes takeDirty for queues that could not be written.
func (s *Store) giveBackDirty(qs []*Queue) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, q := range qs {
		if !q.dirty {
			q.dirty = true
			s.dirty = append(s.dirty, q)
		}
	}
}

// syncQueues makes the queue files durable: now and then, as the log can rebuild what they lose with the machine.
func (s *Store) syncQueues(now bool) error {
	f := &s.flusher
	if !now && time.Since(f.lastSync) < queueSyncTime {
		return nil
	}
	if s.shared != nil {
		if err := s.shared.sync(); err != nil {
			return s.log.broken(err)
		}
	}
	if f.syncAll || len(f.unsynced) > fewFiles {
		if err := syncFileSystem(s.o.Faults, s.o.Dir); err != nil {
			return s.log.broken(err)
		}
	} else {
		for q := range f.unsynced {
			if err := q.sync(); err != nil {
				return s.log.broken(err)
			}
		}
	}
	clear(f.unsynced)
	f.syncAll = false
	f.synced, f.lastSync = f.filed(), time.Now()
	return nil
}

// flushAll puts everything on disk.
func (s *Store) flushAll() error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := s.syncAndPublish(); err != nil {
		return err
	}
	s.flusher.mu.Lock()
	defer s.flusher.mu.Unlock()
	if err := s.fileRest(); err != nil {
		return err
	}
	return s.syncQueues(true)
}

// hot reports whether queues keep entries in memory.
func (f *flusher) hot() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.warm) > 0 || len(f.late) > 0
}
