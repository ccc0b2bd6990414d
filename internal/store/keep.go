package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Pace and rules of retention, as in Java.
const (
	keepEvery      = 10 * time.Second
	maxDropsAtOnce = 10 // files in one run
)

// DiskUsage tells how full a file system is.
type DiskUsage struct {
	Path  string
	Used  int64 // bytes
	Total int64 // bytes that ordinary users can have
}

// Ratio is the used part, 0 to 1.
func (u DiskUsage) Ratio() float64 {
	if u.Total <= 0 {
		return 0
	}
	return float64(u.Used) / float64(u.Total)
}

// diskUsage asks the system about the file system of dir, or of its nearest parent that exists.
func diskUsage(dir string) (DiskUsage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return DiskUsage{Path: dir}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	used := int64(st.Blocks-st.Bfree) * int64(st.Bsize)
	return DiskUsage{Path: dir, Used: used, Total: used + int64(st.Bavail)*int64(st.Bsize)}, nil
}

// Usage is the emptiest of the file systems that get new files of the log, as of now.
func (s *Store) Usage() DiskUsage {
	var best DiskUsage
	for _, dir := range s.o.CommitLogDirs {
		if slices.Contains(s.o.ReadOnlyDirs, dir) {
			continue
		}
		u, err := s.usage(dir)
		if err != nil {
			s.o.Log.Warn("cannot tell how full the disk is", "err", err)
			continue
		}
		if best.Path == "" || u.Ratio() < best.Ratio() {
			best = u
		}
	}
	return best
}

// usage tells how full the file system of a directory of the log is, or will be.
func (s *Store) usage(dir string) (DiskUsage, error) {
	for {
		_, err := os.Stat(dir)
		if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
			dir = parent // not made yet
			continue
		}
		return s.o.Usage(dir)
	}
}

// fullDir reports whether a directory of the log is too full for a new file.
func (s *Store) fullDir(dir string) bool {
	u, err := s.usage(dir)
	return err == nil && u.Ratio() > s.o.ForceRatio
}

// describeSpace tells how full the disk of the log is, and how full it may be.
func (s *Store) describeSpace() string {
	u := s.Usage()
	return fmt.Sprintf("%s is %.1f %% full (%d of %d bytes), the limit is %.0f %% (diskSpaceWarningLevelRatio)", u.Path,
		100*u.Ratio(), u.Used, u.Total, 100*s.o.WarnRatio)
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
			s.retain(false)
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
	u, l := s.Usage(), s.log
	if u.Ratio() > s.o.WarnRatio {
		l.refuse(refusef(DiskFull, "%s; free space, or lower fileReservedTime", s.describeSpace()), false)
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

// DeleteExpired removes expired files of the log at once, whatever the hour, and returns how many.
func (s *Store) DeleteExpired() int { return s.retain(true) }

// retain removes what is too old, or must go because the disk is full: first files of the log, never the last, then the
// queue and index files that only speak of them.
func (s *Store) retain(now bool) int {
	s.retainMu.Lock()
	defer s.retainMu.Unlock()
	ratio := s.Usage().Ratio()
	hours, _ := parseHours(s.o.DeleteWhen)
	force := ratio > s.o.ForceRatio
	if !now && !force && ratio*100 <= float64(s.o.MaxUsedRatio) && !slices.Contains(hours, s.o.Now().Hour()) {
		return 0
	}
	n := 0
	for n < maxDropsAtOnce && s.dropFirst(force) {
		n++
	}
	if n > 0 {
		s.o.Log.Info("expired commit log files removed", "files", n, "begin", s.Min(), "disk used", fmt.Sprintf("%.1f %%", 100*ratio))
		s.cleanQueues()
	}
	return n
}

// dropFirst removes the first file of the log if it may go.
func (s *Store) dropFirst(force bool) bool {
	run := s.log.run
	begin, _ := run.Bounds()
	end := begin + run.FileSize()
	if end > s.log.durable.Load() || end >= s.log.end.Load() {
		return false // the last file
	}
	if !force {
		t, err := run.ModTime(begin)
		if err != nil || s.o.Now().Sub(t) < s.o.ReservedTime {
			return false
		}
	}
	_, err := run.DropBefore(end)
	if err != nil {
		s.o.Log.Warn("expired commit log file cannot be removed", "file", run.Path(begin), "err", err)
		return false
	}
	return true
}

// cleanQueues forgets queue entries and index items of messages that are no longer in the log.
func (s *Store) cleanQueues() {
	begin := int64(s.Min())
	s.flusher.mu.Lock()
	defer s.flusher.mu.Unlock()
	for q := range s.queues.all() {
		q.correctMin(begin)
		if err := q.dropBefore(q.min.Load()); err != nil {
			s.o.Log.Warn("queue file cannot be removed", "topic", q.topic, "queue", q.id, "err", err)
		}
	}
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
