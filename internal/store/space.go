package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
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

// Free is how much ordinary users can still have, bytes.
func (u DiskUsage) Free() int64 { return u.Total - u.Used }

// diskUsage asks the system about the file system of dir, or of its nearest parent that exists.
func diskUsage(dir string) (DiskUsage, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return DiskUsage{Path: dir}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	used := int64(st.Blocks-st.Bfree) * int64(st.Bsize)
	return DiskUsage{Path: dir, Used: used, Total: used + int64(st.Bavail)*int64(st.Bsize)}, nil
}

// Usages are the file systems of the directories that get new files of the log, as of now, in the order of the settings.
func (s *Store) Usages() []DiskUsage {
	var all []DiskUsage
	for _, dir := range s.o.CommitLogDirs {
		if slices.Contains(s.o.ReadOnlyDirs, dir) {
			continue
		}
		u, err := s.usage(dir)
		if err != nil {
			s.o.Log.Warn("cannot tell how full the disk is", "err", err)
			continue
		}
		all = append(all, u)
	}
	return all
}

// Usage is the emptiest of Usages: as long as it has space, the log can grow.
func (s *Store) Usage() DiskUsage {
	all := s.Usages()
	if len(all) == 0 {
		return DiskUsage{}
	}
	return slices.MinFunc(all, func(a, b DiskUsage) int { return cmp.Compare(a.Ratio(), b.Ratio()) })
}

// QueueUsage is the file system of the queues, as of now.
func (s *Store) QueueUsage() DiskUsage {
	u, err := s.o.Usage(s.o.Dir)
	if err != nil {
		s.o.Log.Warn("cannot tell how full the disk is", "err", err)
	}
	return u
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
	r := s.retention.Load()
	return err == nil && (u.Ratio() > r.ForceRatio || u.Free() < r.MinFree)
}

// describeSpace tells how full the disk of the log is, and how full it may be.
func (s *Store) describeSpace() string { return s.retention.Load().tooFull(s.Usage()) }

// tooFull spells how full u is, and the limit above which messages are refused.
func (r *Retention) tooFull(u DiskUsage) string {
	return fmt.Sprintf("%s is %.1f %% full (%d of %d bytes), the limit is %.0f %% (diskSpaceWarningLevelRatio)", u.Path,
		100*u.Ratio(), u.Used, u.Total, 100*r.WarnRatio)
}

// usages are the file systems whose space counts: the one that gets the next file of the log, and that of the queues.
func (s *Store) usages() []DiskUsage {
	return []DiskUsage{s.Usage(), s.QueueUsage()}
}

// shortage tells why the disk is too full to take messages, "" if it is not.
func (s *Store) shortage() string {
	r := s.retention.Load()
	for _, u := range s.usages() {
		switch {
		case u.Ratio() > r.WarnRatio:
			return r.tooFull(u)
		case u.Total > 0 && u.Free() < r.MinFree:
			return fmt.Sprintf("%s has %d bytes free, the least is %d (minFreeDiskSpace)", u.Path, u.Free(), r.MinFree)
		}
	}
	return ""
}
