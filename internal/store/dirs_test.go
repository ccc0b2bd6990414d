package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The log lies in several directories; one fills up, and with it no message is refused.
func TestLogInSeveralDirs(t *testing.T) {
	root := t.TempDir()
	dirs := []string{filepath.Join(root, "b"), filepath.Join(root, "a"), filepath.Join(root, "c")}
	o := small(filepath.Join(root, "store"))
	o.CommitLogDirs, o.ReadOnlyDirs = dirs, dirs[2:]
	full := ""
	o.Usage = func(dir string) (DiskUsage, error) {
		u := DiskUsage{Path: dir, Used: 10, Total: 100}
		if dir == full {
			u.Used = 99
		}
		return u, nil
	}
	count := func() (n [3]int) {
		for i, dir := range dirs {
			files, _ := os.ReadDir(dir)
			n[i] = len(files)
		}
		return n
	}
	s := open(t, o)
	for i := range 200 {
		if _, err := s.Append(s.Queue("T", 0), message("T", 0, fmt.Sprint(i, strings.Repeat("x", 1000)))); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	before := count()
	if before[0] != before[1] || before[0] < 2 || before[2] != 0 {
		t.Fatalf("files: %v", before)
	}
	full = dirs[1]
	s = open(t, o)
	for i := range 200 {
		if _, err := s.Append(s.Queue("T", 0), message("T", 0, fmt.Sprint(i, strings.Repeat("x", 1000)))); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(bodies(t, s, s.Queue("T", 0), 0)); got != 400 || s.CheckDisk() != nil {
		t.Errorf("%d messages, refused: %v", got, s.Refused())
	}
	closed(t, s)
	if after := count(); after[1] != before[1] || after[0] <= before[0] || after[2] != 0 {
		t.Errorf("files: %v, later, with %s full, %v", before, full, after)
	}
	// What lies in a directory that is read-only is found.
	first := filepath.Join(dirs[1], "00000000000000000000")
	if err := os.MkdirAll(dirs[2], 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(first, filepath.Join(dirs[2], filepath.Base(first))); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if got := len(bodies(t, s, s.Queue("T", 0), 0)); got != 400 {
		t.Errorf("%d messages after a file was moved", got)
	}
	closed(t, s)
	o.ReadOnlyDirs = dirs
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "readOnlyCommitLogStorePaths") {
		t.Errorf("no directory is left for new files: %v", err)
	}
}
