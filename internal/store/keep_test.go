package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// filled is a store with the options o and n messages in topic T, all of them on disk.
func filled(t *testing.T, o Options, n int) *Store {
	t.Helper()
	s := open(t, o)
	appendN(t, s, "T", 0, 0, n)
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() && s.Behind() == 0 })
	return s
}

func TestFreeSpaceInBytes(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	o := small(t.TempDir())
	o.Usage = func(dir string) (DiskUsage, error) { return DiskUsage{dir, 1 << 20, 1<<20 + free.Load()}, nil }
	o.MinFree, o.CleanFree = 1<<30, 3<<30
	o.WarnRatio, o.ForceRatio, o.MaxUsedRatio = 2, 2, 200
	s := filled(t, o, 2000)
	free.Store(3 << 30)
	if n := s.retain(false); n != 0 {
		t.Errorf("%d files removed with enough space", n)
	}
	free.Store(3<<30 - 1)
	if n := s.retain(false); n == 0 || s.Min() == 0 {
		t.Errorf("%d files removed", n)
	}
	free.Store(1<<30 - 1)
	s.CheckDisk()
	_, err := s.Append(s.Queue("T", 0), message("T", 0, "x"))
	if reason(err) != DiskFull || !strings.Contains(err.Error(), "1073741823 bytes free, the least is 1073741824 (minFreeDiskSpace)") {
		t.Error(err)
	}
	free.Store(1 << 30)
	s.CheckDisk()
	appendN(t, s, "T", 0, 2000, 2001)
}

func TestOnlyAsMuchAsNeededGoesEarly(t *testing.T) {
	var opened atomic.Pointer[Store]
	o := small(t.TempDir())
	o.Usage = func(dir string) (DiskUsage, error) {
		used := int64(0)
		if s := opened.Load(); s != nil {
			used = 860 - 5*int64(s.Min())/(64<<10) // each file that goes frees half a percent
		}
		return DiskUsage{dir, used, 1000}, nil
	}
	s := filled(t, o, 3000)
	opened.Store(s)
	if n := s.retain(false); n != 2 {
		t.Errorf("%d files removed, 2 were enough", n)
	}
}

func TestStoreSizeCap(t *testing.T) {
	o := small(t.TempDir())
	o.MaxSize = 5 * o.SegmentSize
	s := filled(t, o, 3000)
	for s.retain(false) > 0 {
	}
	if size := s.log.reserved.Load() - int64(s.Min()); size > o.MaxSize || size < o.MaxSize-o.SegmentSize {
		t.Errorf("the log takes %d bytes, the cap is %d", size, o.MaxSize)
	}
	if q := s.Queue("T", 0); q.Min() == 0 || len(bodies(t, s, q, q.Min())) != 3000-int(q.Min()) {
		t.Errorf("queue begins at %d", q.Min())
	}
	if err := s.SetRetention(Retention{MaxSize: 1}); err != nil {
		t.Fatal(err)
	}
	for s.retain(false) > 0 {
	}
	if begin := int64(s.Min()); begin != s.log.run.Start(s.log.end.Load()) {
		t.Errorf("log begins at %d: the last file stays, and only it", begin)
	}
}

func TestNothingGoesEarlyUnlessAllowed(t *testing.T) {
	o := small(t.TempDir())
	o.NoForce = true
	o.Usage = func(dir string) (DiskUsage, error) { return DiskUsage{dir, 89, 100}, nil }
	s := filled(t, o, 2000)
	if n := s.retain(false); n != 0 {
		t.Errorf("%d young files removed", n)
	}
	if err := s.SetRetention(Retention{DeleteWhen: "25"}); err == nil || !strings.Contains(err.Error(), `"25" is no hour`) {
		t.Error(err)
	}
	if err := s.SetRetention(Retention{MaxDrops: 2}); err != nil {
		t.Fatal(err)
	}
	if n := s.retain(false); n != 2 {
		t.Errorf("%d files removed, not 2", n)
	}
}

func TestExpiredOnRequestInSeveralRuns(t *testing.T) {
	o := small(t.TempDir())
	o.ReservedTime, o.MaxDrops = 1, 1
	s := filled(t, o, 1000)
	if n := s.DeleteExpired(); n != 1 {
		t.Fatalf("%d files removed", n)
	}
	if left := s.manualRuns.Load(); left != manualRuns-1 {
		t.Errorf("%d runs to go", left)
	}
}

func TestTopicKeptForLess(t *testing.T) {
	var now clock
	now.Store(1_000_000)
	o := small(t.TempDir())
	o.Now = now.read
	s := open(t, o)
	for i := range 10 {
		now.Store(1_000_000 + int64(i)*1000)
		appendN(t, s, "T", 0, i, i+1)
		appendN(t, s, "U", 0, i, i+1)
	}
	q := s.Queue("T", 0)
	s.KeepFor("T", 4*time.Second) // it is 9 s after the first message
	s.Expire()
	if q.Min() != 5 || s.Queue("U", 0).Min() != 0 {
		t.Fatalf("T begins at %d, U at %d", q.Min(), s.Queue("U", 0).Min())
	}
	var r ReadResult
	s.Read(q, ReadRequest{Offset: 4, MaxMessages: 1}, &r)
	if r.Status != OffsetTooSmall || r.Next != 5 {
		t.Errorf("read of an expired message: %v, next %d", r.Status, r.Next)
	}
	if got := bodies(t, s, q, 5); len(got) != 5 || got[0] != "5" {
		t.Errorf("left are %v", got)
	}
	s.CleanQueues()
	now.Add(3_600_000)
	s.Expire()
	if q.Min() != q.Max() || q.Max() != 10 {
		t.Errorf("queue from %d to %d", q.Min(), q.Max())
	}
	s.CleanQueues()
	if q.Min() != 10 {
		t.Errorf("expired messages came back: queue begins at %d", q.Min())
	}
	appendN(t, s, "T", 0, 10, 11)
	if got := bodies(t, s, q, q.Min()); len(got) != 1 || got[0] != "10" {
		t.Errorf("left are %v", got)
	}
	s.KeepFor("T", 0)
	closed(t, s)
	s = open(t, o)
	wantBodies(t, s, "T", 0, 11) // the log has them still, and nothing says any more that they are too old
}

func TestReadersWhileFilesGo(t *testing.T) {
	o := small(t.TempDir())
	o.NoForce = true
	const n = 4000
	s := filled(t, o, n)
	q := s.Queue("T", 0)
	removed := make(chan struct{})
	var wait sync.WaitGroup
	for reader := range 4 {
		wait.Go(func() {
			var r ReadResult
			defer r.Release()
			// Reads from the beginning, again and again, until all that can go is gone.
			for next, last := skua.QueueOffset(0), false; ; next = r.Next {
				readBoth(s, q, ReadRequest{Offset: next, MaxMessages: 32, NoWait: reader%2 == 0, Mapped: reader > 1}, &r)
				err := Guard(func() {
					err := whole(r.Records, next)
					if err != nil {
						t.Error(err)
					}
				})
				if err != nil {
					t.Error(err)
				}
				switch r.Status {
				case Found, MessageWasRemoving, OffsetTooSmall:
					if r.Next <= next {
						t.Errorf("%v at %d, go on at %d", r.Status, next, r.Next)
						return
					}
				case OffsetOverflowOne:
					if last {
						return
					}
					select {
					case <-removed:
						last = true
					default:
					}
					r.Next = 0
				default:
					t.Errorf("read at %d: %v, %v", next, r.Status, r.Err)
					return
				}
			}
		})
	}
	if err := s.SetRetention(Retention{MaxSize: 1, MaxDrops: 1}); err != nil {
		t.Fatal(err)
	}
	for s.retain(false) > 0 {
		s.logDisk.Relax()
	}
	close(removed)
	wait.Wait()
}

// whole returns nil if records are undamaged messages with the bodies that appendN gave them, from offset from on.
func whole(records [][]byte, from skua.QueueOffset) error {
	for _, b := range records {
		m, _, err := record.Decode(b)
		if err != nil || !m.BodyIntact() || m.QueueOffset < from || string(m.Body) != fmt.Sprint(m.QueueOffset) {
			return fmt.Errorf("read at %d: offset %d, body %.20q, %v", from, m.QueueOffset, m.Body, err)
		}
	}
	return nil
}

// Entries that were lost in the middle of a queue do not mislead the search for a time.
func TestOffsetByTimeOverFillers(t *testing.T) {
	var now clock
	o := small(t.TempDir())
	o.Now = now.read
	s := open(t, o)
	for i := range 6 {
		now.Store(int64(10 + 10*i))
		appendN(t, s, "T", 0, i, i+1)
	}
	q := s.Queue("T", 0)
	filler := layout.AppendUnit(nil, 0, math.MaxInt32, 0)
	q.mu.Lock()
	for _, at := range []int{2, 3} { // stored at 30 and 40
		copy(q.tail[at*layout.UnitSize:], filler)
	}
	q.mu.Unlock()
	for _, c := range []struct {
		ms           int64
		lower, upper skua.QueueOffset
	}{{5, 0, 0}, {15, 1, 0}, {20, 1, 1}, {21, 4, 1}, {35, 4, 1}, {50, 4, 4}, {55, 5, 4}, {60, 5, 5}, {61, 6, 5}} {
		if lower, upper := q.OffsetByTime(c.ms, false), q.OffsetByTime(c.ms, true); lower != c.lower || upper != c.upper {
			t.Errorf("at %d: %d and %d, want %d and %d", c.ms, lower, upper, c.lower, c.upper)
		}
	}
}

func TestOffsetByTimeBehindRetention(t *testing.T) {
	var now clock
	o := small(t.TempDir())
	o.Now = now.read
	s := open(t, o)
	for i := range 3000 {
		now.Store(int64(1000 + i/3)) // three at a time
		appendN(t, s, "T", 0, i, i+1)
	}
	eventually(t, "flushed", func() bool { return s.Durable() == s.Max() && s.Behind() == 0 })
	if err := s.SetRetention(Retention{MaxSize: 1, MaxDrops: 3}); err != nil {
		t.Fatal(err)
	}
	q := s.Queue("T", 0)
	if s.retain(false) != 3 || q.Min() == 0 {
		t.Fatalf("queue begins at %d", q.Min())
	}
	for _, ms := range []int64{0, 999, 1000} {
		if lower, upper := q.OffsetByTime(ms, false), q.OffsetByTime(ms, true); lower != q.Min() || upper != q.Min() {
			t.Errorf("at %d: %d and %d, the queue begins at %d", ms, lower, upper, q.Min())
		}
	}
	for i := int(q.Min())/3 + 1; i < 1000; i += 7 {
		ms := int64(1000 + i)
		if lower, upper := q.OffsetByTime(ms, false), q.OffsetByTime(ms, true); int(lower) != 3*i || int(upper) != 3*i+2 {
			t.Errorf("at %d: %d and %d, want %d and %d", ms, lower, upper, 3*i, 3*i+2)
		}
	}
}

// A file of the log stays while somebody needs what is in it, also under pressure, which is told once.
func TestHeldFiles(t *testing.T) {
	var hold atomic.Int64
	hold.Store(70 << 10) // in the second file
	o := small(t.TempDir())
	o.Hold = func() skua.LogOffset { return skua.LogOffset(hold.Load()) }
	var log bytes.Buffer // of a goroutine only: retention is asked for
	o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	s := filled(t, o, 2000)
	r := *s.retention.Load()
	r.MaxSize = 1
	if err := s.SetRetention(r); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.Retain()
	}
	if n := strings.Count(log.String(), "is not removed yet"); s.Min() != 64<<10 || n != 1 {
		t.Errorf("the log begins at %d, and it was told %d times", s.Min(), n)
	}
	hold.Store(math.MaxInt64)
	if s.Retain(); s.Min() <= 64<<10 {
		t.Errorf("the log still begins at %d", s.Min())
	}
}
