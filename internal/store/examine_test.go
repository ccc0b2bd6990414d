package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// readAll reads a queue from an offset to its end with a predicate, and returns the bodies, and how many reads it took.
func readAll(t *testing.T, s *Store, q *Queue, r ReadRequest) (all []string, reads int) {
	t.Helper()
	var out ReadResult
	defer out.Release()
	for r.MaxMessages = 32; r.Offset < q.Max(); reads++ {
		readBoth(s, q, r, &out)
		if out.Next <= r.Offset || (out.Status != Found && out.Status != NoMatchedMessage) {
			t.Fatalf("read at %d: %v, next %d", r.Offset, out.Status, out.Next)
		}
		for _, b := range out.Records {
			m, _, err := record.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(bytes.TrimSpace(m.Body)))
		}
		r.Offset = out.Next
	}
	return all, reads
}

// A read looks at so many bytes of records only, and goes on behind them with the next one.
func TestExaminedRecordsAreBounded(t *testing.T) {
	o := small(t.TempDir())
	o.MaxMessageSize, o.SegmentSize, o.StagingSize = 1<<20, 8<<20, 16<<20
	s := open(t, o)
	q := s.Queue("T", 0)
	const n = 24
	for i := range n {
		m := message("T", 0, fmt.Sprint(i))
		m.Body = append(m.Body, bytes.Repeat([]byte(" "), 900<<10)...)
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}
	looked := 0
	want := func(body string) func(p []byte) bool {
		return func(p []byte) bool {
			looked++
			keys, _ := record.Property(p, skua.PropKeys)
			return string(keys) == "k"+body
		}
	}
	var out ReadResult
	defer out.Release()
	for _, c := range []struct {
		noWait bool
		next   skua.QueueOffset
	}{{true, 2}, {false, 10}} {
		looked = 0
		s.Read(q, ReadRequest{MaxMessages: 32, NoWait: c.noWait, MatchProperties: want("none")}, &out)
		if out.Status == WouldWait {
			continue // it was in no cache
		}
		if out.Status != NoMatchedMessage || out.Next != c.next || looked != int(c.next) {
			t.Errorf("NoWait=%t: %v, next %d, want %d; looked at %d", c.noWait, out.Status, out.Next, c.next, looked)
		}
	}
	if all, reads := readAll(t, s, q, ReadRequest{MatchProperties: want("20")}); fmt.Sprint(all) != "[20]" || reads < 3 {
		t.Errorf("found %v with %d reads", all, reads)
	}
}

// Where the log cannot be read, a read with a predicate ends, and passes over nothing, whether or not it wants what is there.
func TestExamineWhenTheDiskFails(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 1500)
	closed(t, s)
	s = open(t, o)
	q := s.Queue("T", 0)
	cut := o.SegmentSize + o.SegmentSize/2
	path := filepath.Join(o.Dir, layout.LogDir, fmt.Sprintf("%020d", o.SegmentSize))
	if err := os.Truncate(path, cut-o.SegmentSize); err != nil {
		t.Fatal(err)
	}
	first := skua.QueueOffset(0) // that cannot be read
	for e, ok := q.Entry(first); ok && int64(e.LogOffset)+int64(e.Size) <= cut; e, ok = q.Entry(first) {
		first++
	}
	for _, wanted := range []bool{true, false} {
		for _, mapped := range []bool{false, true} {
			var out ReadResult
			next, got := skua.QueueOffset(0), 0
			for range 1000 {
				s.Read(q, ReadRequest{Offset: next, MaxMessages: 32, Mapped: mapped, MatchProperties: func([]byte) bool { return wanted }}, &out)
				got += len(out.Records)
				next = out.Next
				if out.Err != nil {
					break
				}
			}
			// Neighbours are read at once, so it may end some messages before.
			if out.Err == nil || next > first || next < first-32 || wanted && got != int(next) || !wanted && got != 0 {
				t.Errorf("wanted=%t, mapped=%t: read to %d, %d messages, %v; the disk fails from %d on", wanted, mapped, next, got, out.Err, first)
			}
			out.Release()
		}
	}
	if err := os.Truncate(path, o.SegmentSize); err != nil { // so that the store can be closed
		t.Fatal(err)
	}
}

// Extensions decide before records are looked at, and only where there are any.
func TestMatchExtension(t *testing.T) {
	o := extended(t.TempDir())
	o.Now = func() time.Time { return time.UnixMilli(1000) }
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 60)
	q := s.Queue("T", 0)
	looked := 0
	r := ReadRequest{
		MatchExtension:  func(x Extension) bool { return x.StoreTime != 1000 || len(x.Filter) == 0 || x.Filter[0] == '5' },
		MatchProperties: func([]byte) bool { looked++; return true },
	}
	// One digit: no bit map. Two digits: bit maps of the body.
	if all, _ := readAll(t, s, q, r); fmt.Sprint(all) != "[0 1 2 3 4 5 6 7 8 9 50 51 52 53 54 55 56 57 58 59]" || looked != 20 {
		t.Errorf("%v, looked at %d", all, looked)
	}
	closed(t, s)
	o.Extend = false
	s = open(t, o)
	appendN(t, s, "T", 0, 60, 62)
	if all, _ := readAll(t, s, s.Queue("T", 0), r); len(all) != 22 || all[21] != "61" {
		t.Errorf("without the key: %v", all)
	}
}

// In a batch queue a record passes as a whole, from wherever it is read.
func TestExamineBatchQueue(t *testing.T) {
	s := open(t, batchOptions(t.TempDir()))
	var w bundles
	w.fill(t, s, 60, rand.New(rand.NewPCG(1, 2)))
	q := s.Queue("B", 3)
	for _, digit := range []byte("05") {
		want := func(body string) bool { return body[len(body)-1] == digit }
		for from := range w {
			all, _ := readAll(t, s, q, ReadRequest{Offset: skua.QueueOffset(from), MatchProperties: func(p []byte) bool {
				keys, _ := record.Property(p, skua.PropKeys)
				return want(string(keys))
			}})
			var expected []string
			for _, m := range w[from:] {
				if n := len(expected); want(m.body) && (n == 0 || expected[n-1] != m.body) {
					expected = append(expected, m.body)
				}
			}
			if !slices.Equal(all, expected) {
				t.Fatalf("from %d: %v, want %v", from, all, expected)
			}
		}
	}
}

// What comes with a property is told who waits for it.
func TestArrivalTellsProperties(t *testing.T) {
	o := small(t.TempDir())
	var got [][]byte
	o.Arrived = func(a Arrival) { got = append(got, bytes.Clone(a.Properties)) }
	s := open(t, o)
	m := message("T", 0, "x")
	if _, err := s.Append(s.Queue("T", 0), m); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || !bytes.Equal(got[0], m.Properties) {
		t.Errorf("%q", got)
	}
}
