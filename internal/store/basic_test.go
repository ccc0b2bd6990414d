package store

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// small are options with which files roll early.
func small(dir string) Options {
	shared := os.Getenv(sharedVar) != ""
	return Options{Dir: dir, SegmentSize: 64 << 10, QueueFileSize: 1000, IndexSlots: 500, IndexItems: 1000, CheckCRC: true,
		MaxMessageSize: 16 << 10, StagingSize: 512 << 10, FlushInterval: 20 * time.Millisecond, pace: pace{few: 1, late: 1, shared: 32 << 10}, Shared: shared}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Log == nil && os.Getenv("STORE_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func closed(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

var testHost = netip.MustParseAddrPort("127.0.0.1:10911")

func message(topic string, queue int32, body string) *record.Message {
	p := record.AppendProperties(nil, map[string]string{"TAGS": "A", "KEYS": "k" + body, "UNIQ_KEY": "u" + body})
	return &record.Message{Topic: []byte(topic), QueueID: queue, Body: []byte(body), Properties: p,
		BornTime: 1, BornHost: testHost, StoreHost: testHost}
}

func appendN(t testing.TB, s *Store, topic string, queue int32, from, to int) {
	t.Helper()
	q := s.Queue(topic, queue)
	for i := from; i < to; i++ {
		r, err := s.Append(q, message(topic, queue, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if r.QueueOffset != skua.QueueOffset(i) {
			t.Fatalf("message %d is at offset %d", i, r.QueueOffset)
		}
	}
}

// readBoth reads as asked, and again with waiting for the disk if that is not possible without.
func readBoth(s *Store, q *Queue, r ReadRequest, out *ReadResult) {
	if s.Read(q, r, out); out.Status == WouldWait {
		r.NoWait = false
		s.Read(q, r, out)
	}
}

// bodies reads a queue from an offset to its end.
func bodies(t testing.TB, s *Store, q *Queue, from skua.QueueOffset) []string {
	t.Helper()
	var all []string
	var r ReadResult
	defer r.Release()
	for next := from; next < q.Max(); next = r.Next {
		readBoth(s, q, ReadRequest{Offset: next, MaxMessages: 32, NoWait: len(all)%64 == 0, Mapped: len(all)%128 == 0}, &r)
		if r.Status != Found || r.Err != nil {
			t.Fatalf("read at %d: %v, %v", next, r.Status, r.Err)
		}
		for _, b := range r.Records {
			m, _, err := record.Decode(b)
			if err != nil || !m.BodyIntact() {
				t.Fatalf("record: %v", err)
			}
			all = append(all, string(m.Body))
		}
	}
	return all
}

func wantBodies(t testing.TB, s *Store, topic string, queue int32, n int) {
	t.Helper()
	got := bodies(t, s, s.Queue(topic, queue), 0)
	if len(got) != n {
		t.Fatalf("%d messages, want %d", len(got), n)
	}
	for i, b := range got {
		if b != fmt.Sprint(i) {
			t.Fatalf("message %d is %q", i, b)
		}
	}
}

func TestAppendReadReopen(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprint("sync=", sync), func(t *testing.T) {
			o := small(t.TempDir())
			o.SyncFlush = sync
			s := open(t, o)
			appendN(t, s, "T", 1, 0, 1000)
			flushed(t, s)
			wantBodies(t, s, "T", 1, 1000)
			closed(t, s)
			for _, gone := range []string{"abort", "skua/staging"} {
				if _, err := os.Stat(filepath.Join(o.Dir, gone)); err == nil {
					t.Errorf("%s is left after a clean stop", gone)
				}
			}
			s = open(t, o)
			wantBodies(t, s, "T", 1, 1000)
			appendN(t, s, "T", 1, 1000, 1500)
			flushed(t, s)
			wantBodies(t, s, "T", 1, 1500)
			got, err := s.Query("T", "k1234", 10, 0, time.Now().UnixMilli())
			if err != nil || len(got.Records) != 1 {
				t.Fatalf("query found %d, %v", len(got.Records), err)
			}
		})
	}
}

// flushed waits until everything appended is durable, and visible.
func flushed(t testing.TB, s *Store) {
	t.Helper()
	done := make(chan error, 1)
	s.WhenDurable(skua.LogOffset(s.log.end.Load()), 10*time.Second, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
