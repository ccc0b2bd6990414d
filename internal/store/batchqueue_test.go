package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

func batched(topic string) bool { return topic == "B" }

func batchOptions(dir string) Options {
	o := small(dir)
	o.BatchQueueSize, o.Batched = 460, batched
	return o
}

// bundle is a record of n messages.
func bundle(topic string, queue int32, n int, body string) *record.Message {
	m := message(topic, queue, body)
	if n > 0 {
		m.SysFlag |= record.FlagInnerBatch
		m.Properties = record.AppendProperty(m.Properties, skua.PropInnerNum, strconv.Itoa(n))
	}
	return m
}

// bundles is what a batch queue must hold: for each message the body of its record and the offset of its first message.
type bundles []struct {
	body string
	base int
	last bool
}

// fill appends records of few messages, some plain ones among them.
func (w *bundles) fill(t *testing.T, s *Store, records int, random *rand.Rand) {
	t.Helper()
	q := s.Queue("B", 3)
	for range records {
		n := random.IntN(7)
		base, body := len(*w), fmt.Sprint("at", len(*w))
		r, err := s.Append(q, bundle("B", 3, n, body))
		if err != nil {
			t.Fatal(err)
		}
		if int(r.QueueOffset) != base || int(r.Messages) != max(n, 1) {
			t.Fatalf("stored %+v, want it at %d with %d messages", r, base, n)
		}
		for i := range max(n, 1) {
			*w = append(*w, struct {
				body string
				base int
				last bool
			}{body, base, i == max(n, 1)-1})
		}
	}
}

// check reads the queue from each offset.
func (w bundles) check(t *testing.T, s *Store) {
	t.Helper()
	q := s.Queue("B", 3)
	if !q.Batch() || q.Min() != 0 || int(q.Max()) != len(w) {
		t.Fatalf("batch %t, from %d to %d, want 0 to %d", q.Batch(), q.Min(), q.Max(), len(w))
	}
	var r ReadResult
	defer r.Release()
	for from := range w {
		s.Read(q, ReadRequest{Offset: skua.QueueOffset(from), MaxMessages: 10}, &r)
		if r.Status != Found {
			t.Fatalf("read at %d: %v", from, r.Status)
		}
		next := from
		for i, b := range r.Records {
			m, _, err := record.Decode(b)
			if err != nil || string(m.Body) != w[next].body || int(m.QueueOffset) != w[next].base {
				t.Fatalf("read at %d: record %d is %s at %d, %v, want %v", from, i, m.Body, m.QueueOffset, err, w[next])
			}
			if m.SysFlag&record.FlagInnerBatch != 0 {
				base, _ := record.Property(m.Properties, skua.PropInnerBase)
				if got, err := strconv.Atoi(string(base)); err != nil || got != w[next].base {
					t.Fatalf("INNER_BASE is %s, want %d", base, w[next].base)
				}
			}
			for ; !w[next].last; next++ {
			}
			next++
		}
		if int(r.Next) != next {
			t.Fatalf("read at %d goes on at %d, want %d", from, r.Next, next)
		}
		// As many messages as asked for, but at least one record, and no record in part.
		if n := next - w[from].base; n > 10 && len(r.Records) > 1 || n < 4 && next < len(w) {
			t.Fatalf("read at %d: %d messages in %d records", from, n, len(r.Records))
		}
		if e, ok := q.Entry(skua.QueueOffset(from)); !ok || int64(e.Size) != int64(len(r.Records[0])) {
			t.Fatalf("entry %d: %+v, %t", from, e, ok)
		}
	}
}

func TestBatchQueue(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprint("sync ", sync), func(t *testing.T) {
			t.Parallel()
			o := batchOptions(t.TempDir())
			o.SyncFlush, o.Seal = sync, sync
			random := rand.New(rand.NewPCG(1, 2))
			var w bundles
			for range 3 {
				s := open(t, o)
				w.fill(t, s, 40, random)
				durable(t, s)
				w.check(t, s)
				closed(t, s)
			}
			// The files can be made again, from the log.
			for _, dir := range []string{layout.BatchQueueDir, layout.OwnDir} {
				if err := os.RemoveAll(filepath.Join(o.Dir, dir)); err != nil {
					t.Fatal(err)
				}
			}
			s := open(t, o)
			w.check(t, s)
			w.fill(t, s, 10, random)
			durable(t, s)
			w.check(t, s)
			closed(t, s)
			// Without being told which topics are of that kind, the files tell.
			o.Batched = nil
			s = open(t, o)
			w.check(t, s)
			if err := s.DeleteTopic("B"); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(o.Dir, layout.BatchQueueDir, "B")); !os.IsNotExist(err) {
				t.Errorf("files of a topic that was deleted: %v", err)
			}
		})
	}
}

// durable waits until all that was appended is visible.
func durable(t *testing.T, s *Store) {
	t.Helper()
	done := make(chan error, 1)
	s.WhenDurable(skua.LogOffset(s.log.end.Load()), time.Minute, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// The queue's units are cut with the log, and go with it; what a killed process left is found.
func TestBatchQueueFollowsLog(t *testing.T) {
	o := batchOptions(t.TempDir())
	random := rand.New(rand.NewPCG(3, 4))
	var w bundles
	s := open(t, o)
	w.fill(t, s, 60, random)
	cut := 0
	for cut = len(w) / 2; !w[cut-1].last; cut++ {
	}
	at, _ := s.Queue("B", 3).Entry(skua.QueueOffset(cut))
	closed(t, s)
	f, err := os.OpenFile(filepath.Join(o.Dir, layout.LogDir, "00000000000000000000"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, o.SegmentSize-int64(at.LogOffset)), int64(at.LogOffset)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	// As after a crash.
	for path, content := range map[string]string{layout.AbortFile: "1", layout.JavaCheckpointFile: ""} {
		if err := os.WriteFile(filepath.Join(o.Dir, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(o.Dir, layout.OwnDir)); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	w = w[:cut]
	w.check(t, s)
	w.fill(t, s, 30, random)
	w.check(t, s)
	closed(t, s)
}

func TestBatchQueueExpires(t *testing.T) {
	o := batchOptions(t.TempDir())
	o.ReservedTime = time.Minute
	s := open(t, o)
	for i := range 60 {
		m := bundle("B", 0, 5, fmt.Sprint(i))
		m.Body = make([]byte, 4000)
		if _, err := s.Append(s.Queue("B", 0), m); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	o.Now = func() time.Time { return time.Now().Add(time.Hour) }
	s = open(t, o)
	q := s.Queue("B", 0)
	before, _ := os.ReadDir(q.dir())
	if n := s.DeleteExpired(); n == 0 {
		t.Fatal("nothing expired")
	}
	after, _ := os.ReadDir(q.dir())
	if len(after) >= len(before) || q.Min() == 0 || q.Min()%5 != 0 || q.Max() != 300 {
		t.Errorf("%d files, before %d; from %d to %d", len(after), len(before), q.Min(), q.Max())
	}
	first := q.Min()
	if at, ok := q.StoreTime(first); !ok || q.OffsetByTime(at, false) != first {
		t.Errorf("offset by the time of the first message is %d, want %d", q.OffsetByTime(at, false), first)
	}
	if got := q.OffsetByTime(time.Now().Add(2*time.Hour).UnixMilli(), true); got != 295 {
		t.Errorf("offset of the last record is %d", got)
	}
	var r ReadResult
	defer r.Release()
	s.Read(q, ReadRequest{Offset: first - 1, MaxMessages: 10}, &r)
	if r.Status != OffsetTooSmall || r.Next != first {
		t.Errorf("read before the first: %v, next %d", r.Status, r.Next)
	}
	closed(t, s)
	s = open(t, o)
	if q := s.Queue("B", 0); q.Min() != first || q.Max() != 300 {
		t.Errorf("after a restart from %d to %d", q.Min(), q.Max())
	}
}

func TestBatchesAreRefused(t *testing.T) {
	s := open(t, batchOptions(t.TempDir()))
	long := bundle("B", 0, 2, "x")
	long.Properties = record.AppendProperty(long.Properties, "long", string(make([]byte, record.MaxProperties-len(long.Properties)-6)))
	for name, m := range map[string]*record.Message{
		"simple queue": bundle("T", 0, 2, "x"),
		"too many":     bundle("B", 0, 1<<15, "x"),
		"properties":   long,
	} {
		if r, err := s.Append(s.Queue(string(m.Topic), 0), m); err == nil {
			t.Errorf("%s: stored %+v", name, r)
		}
	}
}
