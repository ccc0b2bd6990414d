package store

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/record"
)

// A real full disk: a small tmpfs. Mounting one takes privileges that tests may not have.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skip("cannot mount a tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	o := small(dir)
	o.SegmentSize, o.NoIndex = 1<<20, true
	o.WarnRatio = 2 // nothing is refused before the disk is really full
	s := open(t, o)
	q := s.Queue("T", 0)
	n := 0
	var err error
	for ; err == nil && n < 1_000_000; n++ {
		m := message("T", 0, fmt.Sprint(n))
		m.Properties = record.AppendProperty(m.Properties, "FILL", strings.Repeat("x", 1000))
		_, err = s.Append(q, m)
	}
	n--
	if reason(err) != DiskFull {
		t.Fatalf("after %d messages: %v", n, err)
	}
	t.Logf("%d messages, then: %v", n, err)
	if got := len(bodies(t, s, q, 0)); got != n {
		t.Errorf("%d of %d messages can be read", got, n)
	}
	crash(t, s)
	s = open(t, o) // also without space
	wantBodies(t, s, "T", 0, n)
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=32m"); err != nil {
		t.Skip("cannot enlarge the tmpfs:", err)
	}
	if r := s.CheckDisk(); r != nil {
		t.Fatalf("refused with space again: %v", r)
	}
	appendN(t, s, "T", 0, n, n+1000)
	wantBodies(t, s, "T", 0, n+1000)
	closed(t, s)
}
