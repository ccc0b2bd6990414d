package store

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// switchable is a fault that a test turns on and off.
type switchable struct{ err atomic.Pointer[error] }

func (f *switchable) set(err error) {
	if err == nil {
		f.err.Store(nil)
		return
	}
	f.err.Store(&err)
}

func (f *switchable) get() error {
	if p := f.err.Load(); p != nil {
		return *p
	}
	return nil
}

func reason(err error) Reason {
	var r *RefusedError
	if errors.As(err, &r) {
		return r.Reason
	}
	return 0
}

// clock shows the ms that were stored in it.
type clock struct{ atomic.Int64 }

func (c *clock) read() time.Time { return time.UnixMilli(c.Load()) }

// eventually polls until ok, for ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func TestFailedSyncIsNeverFollowedBySuccess(t *testing.T) {
	var fault switchable
	o := small(t.TempDir())
	o.SyncFlush = true
	o.Faults.Sync = func(path string) error {
		if strings.Contains(path, "commitlog") {
			return fault.get()
		}
		return nil
	}
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 5)
	flushed(t, s)
	fault.set(syscall.EIO)
	q := s.Queue("T", 0)
	r, err := s.Append(q, message("T", 0, "5"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	s.WhenDurable(r.End, 10*time.Second, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, syscall.EIO) || reason(err) != Failed {
		t.Fatalf("told %v", err)
	}
	if q.Max() != 5 || s.Max() >= r.End {
		t.Errorf("queue ends at %d, log at %d: a message that is not durable is visible", q.Max(), s.Max())
	}
	fault.set(nil)
	if _, err := s.Append(q, message("T", 0, "6")); reason(err) != Failed {
		t.Errorf("appended after a failed sync: %v", err)
	}
	s.WhenDurable(r.End, time.Second, func(err error) { done <- err })
	if err := <-done; reason(err) != Failed {
		t.Errorf("told %v", err)
	}
	if err := s.Close(); err == nil {
		t.Error("Close reports success")
	}
	o.Faults.Sync = nil
	s = open(t, o) // what was staged is still there
	wantBodies(t, s, "T", 0, 6)
}

func TestTornWriteIsRepeatedAtTheStart(t *testing.T) {
	var fault switchable
	o := small(t.TempDir())
	o.Faults.Write = func(path string, off int64, n int) (int, error) {
		if err := fault.get(); err != nil && strings.Contains(path, "commitlog") {
			return n / 2, err
		}
		return n, nil
	}
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 10)
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() })
	fault.set(syscall.EIO)
	appendN(t, s, "T", 0, 10, 100)
	eventually(t, "refused", func() bool { return s.Refused() != nil })
	if _, err := s.Append(s.Queue("T", 0), message("T", 0, "x")); reason(err) != Failed {
		t.Errorf("append: %v", err)
	}
	wantBodies(t, s, "T", 0, 100) // acknowledged messages can be read
	if s.Close() == nil {
		t.Error("Close reports success")
	}
	o.Faults.Write = nil
	s = open(t, o)
	wantBodies(t, s, "T", 0, 100)
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	var fault switchable
	o := small(t.TempDir())
	o.Faults.Reserve = func(string) error { return fault.get() }
	o.Faults.Write = func(_ string, _ int64, n int) (int, error) {
		if err := fault.get(); err != nil {
			return 0, err
		}
		return n, nil
	}
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 10)
	fault.set(syscall.ENOSPC)
	n := 10
	var err error
	for ; err == nil; n++ {
		_, err = s.Append(s.Queue("T", 0), message("T", 0, fmt.Sprint(n)))
	}
	n--
	if reason(err) != DiskFull || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("refused with %v", err)
	}
	wantBodies(t, s, "T", 0, n)
	if r := s.CheckDisk(); r == nil {
		t.Error("accepts while the disk is full")
	}
	fault.set(nil)
	if r := s.CheckDisk(); r != nil {
		t.Fatalf("still refused: %v", r)
	}
	appendN(t, s, "T", 0, n, n+100)
	wantBodies(t, s, "T", 0, n+100)
	closed(t, s)
	s = open(t, o)
	wantBodies(t, s, "T", 0, n+100)
}

func TestUsageAboveLimit(t *testing.T) {
	var used atomic.Int64
	o := small(t.TempDir())
	o.Usage = func(dir string) (DiskUsage, error) { return DiskUsage{dir, used.Load(), 1000}, nil }
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 1)
	used.Store(901)
	s.CheckDisk()
	_, err := s.Append(s.Queue("T", 0), message("T", 0, "1"))
	if reason(err) != DiskFull {
		t.Fatal(err)
	}
	for _, part := range []string{o.Dir, "901 of 1000 bytes", "90 %", "diskSpaceWarningLevelRatio"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	used.Store(899)
	s.CheckDisk()
	appendN(t, s, "T", 0, 1, 2)
}

func TestStartOnFullDisk(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 100)
	closed(t, s)
	o.Usage = func(dir string) (DiskUsage, error) { return DiskUsage{dir, 99, 100}, nil }
	s = open(t, o)
	wantBodies(t, s, "T", 0, 100)
	s.CheckDisk()
	if _, err := s.Append(s.Queue("T", 0), message("T", 0, "x")); reason(err) != DiskFull {
		t.Error(err)
	}
}

func TestDamageInTheMiddle(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 2000)
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() && s.Behind() == 0 })
	crash(t, s)
	// Forget what is known to be in the queues, so that the log is read from its beginning, but not how far it was whole.
	path := filepath.Join(o.Dir, "skua", "checkpoint")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := layout.DecodeCheckpoint(b)
	if !ok {
		t.Fatal("no checkpoint")
	}
	c.Written, c.Synced = layout.Position{}, layout.Position{}
	if err := overwrite(o.Faults, path, c.Encode(), 0, false); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(o.Dir, "commitlog", fmt.Sprintf("%020d", o.SegmentSize))
	smash(t, victim, 1000)
	_, err = Open(o)
	if err == nil {
		t.Fatal("opened a damaged log")
	}
	for _, part := range []string{victim, "is damaged at byte", "log offset", "lost are ", "log was whole up to", "skua store repair " + o.Dir} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	// Giving up all of it by hand.
	os.RemoveAll(filepath.Join(o.Dir, "skua"))
	for at := 2 * o.SegmentSize; os.Remove(filepath.Join(o.Dir, "commitlog", fmt.Sprintf("%020d", at))) == nil; at += o.SegmentSize {
	}
	zeros := make([]byte, o.SegmentSize-1000)
	if err := overwriteAt(victim, zeros, 1000); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if s.Max() <= skua.LogOffset(o.SegmentSize) || len(bodies(t, s, s.Queue("T", 0), 0)) < 400 {
		t.Errorf("the log ends at %d", s.Max())
	}
}

func smash(t *testing.T, path string, at int64) {
	t.Helper()
	if err := overwriteAt(path, make([]byte, 300), at); err != nil {
		t.Fatal(err)
	}
}

func overwriteAt(path string, b []byte, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(b, at)
	return err
}

// crash ends a store as kill -9 does: nothing is flushed, and the files stay as they are.
func crash(t testing.TB, s *Store) {
	t.Helper()
	s.closing.Do(func() {
		s.log.refuse(refusef(Closed, "crashed"), true)
		s.stop()
		s.work.Wait()
		s.release()
	})
}

func TestTornTailIsCut(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 100)
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() && s.Behind() == 0 })
	crash(t, s)
	// The machine went down: nothing but the files is left, and of the last record only a half.
	for _, f := range []string{"skua/staging", "skua/checkpoint"} {
		if err := os.Remove(filepath.Join(o.Dir, f)); err != nil {
			t.Fatal(err)
		}
	}
	e, _ := s.Queue("T", 0).Entry(99)
	smash(t, filepath.Join(o.Dir, "commitlog", fmt.Sprintf("%020d", 0)), int64(e.LogOffset)+20)
	s = open(t, o)
	wantBodies(t, s, "T", 0, 99)
	appendN(t, s, "T", 0, 99, 200)
	wantBodies(t, s, "T", 0, 200)
}

func TestRebootWithStagedRecords(t *testing.T) {
	o := small(t.TempDir())
	o.FlushInterval = time.Hour
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 300)
	if err := s.log.drain(); err != nil {
		t.Fatal(err)
	}
	staged, err := os.ReadFile(filepath.Join(o.Dir, "skua", "staging"))
	if err != nil {
		t.Fatal(err)
	}
	crash(t, s)
	// The segments lost their end, the ring came through; another boot id tells that the machine was down.
	for _, f := range []string{"00000000000000000000"} {
		smash(t, filepath.Join(o.Dir, "commitlog", f), 2000)
	}
	for i := 32; i < 48; i++ {
		staged[i] ^= 0x5a
	}
	if err := os.WriteFile(filepath.Join(o.Dir, "skua", "staging"), staged, 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	wantBodies(t, s, "T", 0, 300)
}

func TestStagedRecordsOfAnotherTimeAreIgnored(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 10)
	eventually(t, "flushed", func() bool { return s.Behind() == 0 })
	crash(t, s)
	// Java has run since, and was killed.
	if err := os.WriteFile(filepath.Join(o.Dir, "abort"), []byte("4711"), 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	wantBodies(t, s, "T", 0, 10)
}

func TestMissingQueuesAreRebuilt(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 500)
	appendN(t, s, "U", 3, 0, 500)
	closed(t, s)
	for _, dir := range []string{"consumequeue", "index"} {
		if err := os.RemoveAll(filepath.Join(o.Dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, o)
	wantBodies(t, s, "T", 0, 500)
	wantBodies(t, s, "U", 3, 500)
	got, err := s.Query("U", "u77", 5, 0, math.MaxInt64)
	if err != nil || len(got.Records) != 1 {
		t.Errorf("query found %d, %v", len(got.Records), err)
	}
}

func TestSecondStoreIsRefused(t *testing.T) {
	o := small(t.TempDir())
	open(t, o)
	_, err := Open(o)
	if err == nil || !strings.Contains(err.Error(), "Lock failed,MQ already started") || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("second store: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, small(t.TempDir()))
	big := func(n int) []byte { return make([]byte, n) }
	cases := map[string]struct {
		q    *Queue
		m    record.Message
		want Reason
	}{
		"body":       {s.Queue("T", 0), record.Message{Topic: []byte("T"), Body: big(16<<10 + 1)}, BodyTooLarge},
		"properties": {s.Queue("T", 0), record.Message{Topic: []byte("T"), Properties: big(32768)}, PropertiesTooLarge},
		"slash":      {s.Queue("a/b", 0), record.Message{Topic: []byte("a/b")}, TopicInvalid},
		"dots":       {s.Queue("..", 0), record.Message{Topic: []byte("..")}, TopicInvalid},
		"empty":      {s.Queue("", 0), record.Message{}, TopicInvalid},
		"other":      {s.Queue("T", 0), record.Message{Topic: []byte("U")}, TopicInvalid},
	}
	for name, c := range cases {
		if _, err := s.Append(c.q, &c.m); reason(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.Max() != 0 {
		t.Error("something was stored")
	}
	s.Refuse("told so")
	if _, err := s.Append(s.Queue("T", 0), message("T", 0, "0")); reason(err) != ReadOnly {
		t.Error(err)
	}
	s.Accept()
	appendN(t, s, "T", 0, 0, 1)
	closed(t, s)
	if _, err := s.Append(s.Queue("T", 0), message("T", 0, "1")); reason(err) != Closed {
		t.Error(err)
	}
	var r ReadResult
	s.Read(s.Queue("T", 0), ReadRequest{MaxMessages: 1}, &r) // must not fault
	r.Release()
}

func TestFlushTimeout(t *testing.T) {
	block := make(chan struct{})
	o := small(t.TempDir())
	o.SyncFlush = true
	o.Faults.Sync = func(string) error { <-block; return nil }
	s := open(t, o)
	r, err := s.Append(s.Queue("T", 0), message("T", 0, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	s.WhenDurable(r.End, 10*time.Millisecond, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, ErrFlushTimeout) {
		t.Errorf("told %v", err)
	}
	if s.Queue("T", 0).Max() != 0 {
		t.Error("visible before it is durable")
	}
	close(block)
	eventually(t, "visible", func() bool { return s.Queue("T", 0).Max() == 1 })
}

func TestDeletedTopic(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 200)
	eventually(t, "flushed", func() bool { return s.Behind() == 0 })
	old := s.Queue("T", 0)
	if err := s.DeleteTopic("T"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, "consumequeue", "T")); err == nil {
		t.Error("directory is left")
	}
	if _, err := s.Append(old, message("T", 0, "x")); reason(err) != Deleted {
		t.Errorf("append to a deleted queue: %v", err)
	}
	appendN(t, s, "T", 0, 0, 50) // begins anew
	crash(t, s)
	if err := os.Remove(filepath.Join(o.Dir, "skua", "checkpoint")); err != nil {
		t.Fatal(err)
	}
	s = open(t, o) // from the beginning of the log, over both lives of the topic
	if got := s.Queue("T", 0).Max(); got != 50 {
		t.Errorf("queue ends at %d", got)
	}
	wantBodies(t, s, "T", 0, 50)
}

func TestRetention(t *testing.T) {
	o := small(t.TempDir())
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.Local)
	o.Now = func() time.Time { return now }
	o.ReservedTime = time.Hour
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 3000)
	appendN(t, s, "U", 0, 0, 10)
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() && s.Behind() == 0 })
	if n := s.DeleteExpired(); n != 0 {
		t.Fatalf("%d young files removed", n)
	}
	files, _ := filepath.Glob(filepath.Join(o.Dir, "commitlog", "0*"))
	for _, f := range files {
		if err := os.Chtimes(f, now, now.Add(-2*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	for s.DeleteExpired() > 0 {
	}
	if begin := int64(s.Min()); begin != s.log.end.Load()-s.log.end.Load()%o.SegmentSize {
		t.Errorf("log begins at %d, ends at %d", begin, s.Max())
	}
	q := s.Queue("T", 0)
	if e, ok := q.Entry(q.Min()); !ok || e.LogOffset < s.Min() {
		t.Errorf("queue begins at %d: %v", q.Min(), e)
	}
	var r ReadResult
	s.Read(q, ReadRequest{Offset: 0, MaxMessages: 1}, &r)
	if r.Status != OffsetTooSmall || r.Next != q.Min() {
		t.Errorf("read at 0: %v, next %d", r.Status, r.Next)
	}
	min, max := q.Min(), q.Max()
	closed(t, s)
	s = open(t, o)
	if q = s.Queue("T", 0); q.Min() != min || q.Max() != max {
		t.Errorf("queue from %d to %d, was %d to %d", q.Min(), q.Max(), min, max)
	}
	if int(max-min) != len(bodies(t, s, q, min)) {
		t.Error("not all live messages can be read")
	}
	appendN(t, s, "T", 0, int(max), int(max)+10)
}

func TestFreedByRatio(t *testing.T) {
	var used atomic.Int64
	o := small(t.TempDir())
	o.Usage = func(dir string) (DiskUsage, error) { return DiskUsage{dir, used.Load(), 1000}, nil }
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 2000)
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() && s.Behind() == 0 })
	used.Store(800)
	if s.retain(false) != 0 {
		t.Error("young files removed at 80 %")
	}
	used.Store(860)
	if s.retain(false) == 0 || s.Min() == 0 {
		t.Error("nothing removed at 86 %")
	}
}

func TestClockGoingBack(t *testing.T) {
	o := small(t.TempDir())
	var now clock
	now.Store(2_000_000)
	o.Now = now.read
	o.TagsCode = func(m *record.Message, _ int64) int64 { return m.StoreTime }
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 1)
	now.Store(1_000_000)
	appendN(t, s, "T", 0, 1, 2)
	q := s.Queue("T", 0)
	if ms, _ := q.StoreTime(1); ms != 2_000_000 {
		t.Errorf("stored at %d", ms)
	}
	if e, _ := q.Entry(1); e.TagsCode != 2_000_000 {
		t.Errorf("tags code %d is of another time", e.TagsCode)
	}
	closed(t, s)
	s = open(t, o)
	appendN(t, s, "T", 0, 2, 3)
	if ms, _ := s.Queue("T", 0).StoreTime(2); ms < 2_000_000 {
		t.Errorf("stored at %d after a restart", ms)
	}
}

func TestOffsetByTime(t *testing.T) {
	o := small(t.TempDir())
	var now clock
	o.Now = now.read
	s := open(t, o)
	q := s.Queue("T", 0)
	for i, ms := range []int64{10, 20, 20, 20, 30} {
		now.Store(ms)
		appendN(t, s, "T", 0, i, i+1)
	}
	for _, c := range []struct {
		ms           int64
		lower, upper skua.QueueOffset
	}{{5, 0, 0}, {10, 0, 0}, {15, 1, 0}, {20, 1, 3}, {25, 4, 3}, {30, 4, 4}, {35, 5, 4}} {
		if got := q.OffsetByTime(c.ms, false); got != c.lower {
			t.Errorf("at %d or later: %d, want %d", c.ms, got, c.lower)
		}
		if got := q.OffsetByTime(c.ms, true); got != c.upper {
			t.Errorf("at %d or earlier: %d, want %d", c.ms, got, c.upper)
		}
	}
	if ms, ok := q.EarliestTime(); !ok || ms != 10 {
		t.Errorf("earliest %d, %v", ms, ok)
	}
}
