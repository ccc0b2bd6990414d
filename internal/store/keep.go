package store

import (
	"fmt"
	"slices"
	"time"
)

// Pace of retention, as in Java.
const (
	keepEvery  = 10 * time.Second
	manualRuns = 20 // of a DeleteExpired
)

// pressure tells why files of the log must go before they expire, "" if they need not.
func (s *Store) pressure(r *Retention) string {
	if size := s.log.reserved.Load() - int64(s.Min()); r.MaxSize > 0 && size > r.MaxSize {
		return fmt.Sprintf("the log takes %d bytes, maxStoreSize is %d", size, r.MaxSize)
	}
	if r.NoForce {
		return ""
	}
	for _, u := range s.usages() {
		switch {
		case u.Ratio() > r.ForceRatio:
			return fmt.Sprintf("%s is %.1f %% full, the limit is %.0f %% (diskSpaceCleanForciblyRatio)", u.Path, 100*u.Ratio(), 100*r.ForceRatio)
		case u.Total > 0 && u.Free() < r.CleanFree:
			return fmt.Sprintf("%s has %d bytes free, wanted are %d (cleanFreeDiskSpace)", u.Path, u.Free(), r.CleanFree)
		}
	}
	return ""
}

// SetRetention replaces the rules. They count from the next look at the disk on, which CheckDisk hastens.
func (s *Store) SetRetention(r Retention) error {
	r, err := r.withDefaults()
	if err == nil {
		s.retention.Store(&r)
	}
	return err
}

// keepLoop looks after disk space and retention.
func (s *Store) keepLoop() {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	s.checkDisk()
	for {
		select {
		case <-s.done.Done():
			return
		case <-tick.C:
			s.logDisk.Relax()
			s.queueDisk.Relax()
			s.retain(s.manualRuns.Load() > 0)
			s.expire()
			s.checkDisk()
		case answer := <-s.diskCheck:
			s.checkDisk()
			close(answer)
		}
	}
}

// CheckDisk looks at once whether the disk has space, instead of within ten seconds, and returns what Refused returns
// then.
func (s *Store) CheckDisk() *RefusedError {
	answer := make(chan struct{})
	select {
	case s.diskCheck <- answer:
		<-answer
	case <-s.done.Done():
	}
	return s.Refused()
}

// checkDisk refuses messages while the disk is too full, and takes them again when it no longer is.
func (s *Store) checkDisk() {
	l := s.log
	if why := s.shortage(); why != "" {
		l.refuse(refusef(DiskFull, "%s; free space, or lower fileReservedTime", why), false)
		return
	}
	if r := l.refused.Load(); r == nil || r.Reason != DiskFull {
		return
	}
	// Only taking the space proves that it is there.
	if l.ring.Load() == nil {
		if err := s.stage(); err != nil || l.ring.Load() == nil {
			return
		}
	}
	if l.drain() == nil && l.reserve() == nil {
		l.refuse(nil, false)
		s.busy.ring()
	}
}

// DeleteExpired removes expired files of the log whatever the hour, and returns how many: up to MaxDrops at once. As in
// Java the next nineteen runs of retention, one every ten seconds, do the same.
func (s *Store) DeleteExpired() int {
	s.manualRuns.Store(manualRuns)
	return s.retain(true)
}

// Retain applies the rules at once, as every ten seconds, and returns how many files of the log went.
func (s *Store) Retain() int { return s.retain(false) }

// retain removes what is too old, or must go because the disk is full: first files of the log, never the last, then the
// queue and index files that only speak of them.
func (s *Store) retain(manual bool) int {
	s.retainMu.Lock()
	defer s.retainMu.Unlock()
	if manual {
		s.manualRuns.Add(-1)
	}
	r := s.retention.Load()
	due := manual || s.timeToDrop(r)
	forced, n := "", 0
	for n < r.MaxDrops {
		why := s.pressure(r) // asked again for each file: none goes too early that need not
		if why == "" && !due || !s.dropFirst(r, why != "") {
			break
		}
		if n++; why != "" {
			forced = why
		}
		if n < r.MaxDrops && !s.rest(r.DropPause) {
			break
		}
	}
	if n == 0 {
		return 0
	}
	if forced != "" {
		s.o.Log.Warn("commit log files removed before their time", "files", n, "begin", s.Min(), "why", forced)
	} else {
		s.o.Log.Info("expired commit log files removed", "files", n, "begin", s.Min())
	}
	s.cleanQueues()
	return n
}

// timeToDrop reports whether expired files are to go now: it is the hour, or a disk is rather full.
func (s *Store) timeToDrop(r *Retention) bool {
	if hours, _ := parseHours(r.DeleteWhen); slices.Contains(hours, s.o.Now().Hour()) {
		return true
	}
	return slices.ContainsFunc(s.usages(), func(u DiskUsage) bool { return u.Ratio()*100 > float64(r.MaxUsedRatio) })
}

// rest waits for d, and reports whether the store is still open then.
func (s *Store) rest(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-s.done.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// dropFirst removes the first file of the log if it may go: it is expired, or early is true.
func (s *Store) dropFirst(r *Retention, early bool) bool {
	run := s.log.run
	begin, _ := run.Bounds()
	end := begin + run.FileSize()
	if end > s.log.durable.Load() || end >= s.log.end.Load() {
		return false // the last file
	}
	if !early {
		t, err := run.ModTime(begin)
		if err != nil || s.o.Now().Sub(t) < r.ReservedTime {
			return false
		}
	}
	if s.held(end) || !s.settleQueues(end) {
		return false
	}
	_, err := run.DropBefore(end)
	if err != nil {
		s.o.Log.Warn("expired commit log file cannot be removed", "file", run.Path(begin), "err", err)
		return false
	}
	return true
}

// held reports whether somebody needs what lies before end in the log. It says so once, until that has changed.
func (s *Store) held(end int64) bool {
	if s.o.Hold == nil {
		return false
	}
	from := int64(s.o.Hold())
	if held := from < end; held != s.holding {
		s.holding = held
		if held {
			s.o.Log.Warn("commit log file is not removed yet: it has messages that were not copied elsewhere", "file", s.log.run.Path(end-1), "from", from)
		}
	}
	return s.holding
}

// cleanQueues forgets queue entries and index items of messages that are no longer in the log.
func (s *Store) cleanQueues() {
	begin := int64(s.Min())
	var over []*Queue
	for _, topic := range s.Topics() {
		for _, q := range s.Queues(topic) {
			s.flusher.mu.Lock() // for each anew: a flush shall not wait for all of them
			live := q.correctMin(begin)
			err := q.dropBefore(live)
			s.flusher.mu.Unlock()
			if err != nil {
				s.o.Log.Warn("queue file cannot be removed", "topic", q.topic, "queue", q.id, "err", err)
			}
			if end := q.visible.Load(); q.light() && live == end && end > 0 {
				over = append(over, q)
			}
		}
	}
	s.dropOver(over)
	s.flusher.mu.Lock()
	s.flusher.retell = true
	if s.shared != nil {
		if err := s.dropShared(begin); err != nil {
			s.o.Log.Warn("file of the shared queue log cannot be removed", "err", err)
		}
	}
	s.flusher.mu.Unlock()
	s.busy.ring()
	if err := s.index.dropBefore(begin); err != nil {
		s.o.Log.Warn("index file cannot be removed", "err", err)
	}
}

// dropBefore removes entries before off, as far as whole files hold no others.
func (q *Queue) dropBefore(off int64) error {
	q.mu.RLock()
	shelf := q.shelf
	q.mu.RUnlock()
	if shelf == nil {
		return nil
	}
	if err := q.dropExtensionBefore(off); err != nil {
		return err
	}
	return shelf.dropBefore(off)
}

// CleanQueues removes queue and index files of which all messages are gone, as retention does after removing files.
func (s *Store) CleanQueues() {
	s.retainMu.Lock()
	defer s.retainMu.Unlock()
	s.cleanQueues()
}

// Refuse makes appends fail with reason ReadOnly and detail until Accept is called.
func (s *Store) Refuse(detail string) { s.log.refuse(refusef(ReadOnly, "%s", detail), false) }

// Accept ends a Refuse.
func (s *Store) Accept() {
	if r := s.Refused(); r != nil && r.Reason == ReadOnly {
		s.log.refuse(nil, false)
	}
}
