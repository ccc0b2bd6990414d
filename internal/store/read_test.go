package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// twin is a queue as simple as can be: all messages in a slice.
type twin struct {
	min  int
	size []int
	tags []int64
}

// read follows Java's rules for messages in memory, in the plainest way.
func (w *twin) read(r ReadRequest) (st Status, next int, offsets []int) {
	n, off := len(w.size), int(r.Offset)
	switch {
	case n == 0:
		return NoMessageInQueue, 0, nil
	case off < w.min:
		return OffsetTooSmall, w.min, nil
	case off == n:
		return OffsetOverflowOne, n, nil
	case off > n:
		return OffsetOverflowBadly, n, nil
	}
	limit := 128 << 20
	if r.MaxBytes > 0 {
		limit = max(r.MaxBytes, 100)
	}
	total, i := 0, off
	for ; i < n; i++ {
		if (i-off)*20 > max(16000, r.MaxMessages*20) {
			break
		}
		if k := len(offsets); k > 0 && (k+1 > r.MaxMessages || total+w.size[i] > limit || total+w.size[i] > 256<<10 || k >= 32) {
			break
		}
		if (r.Match == nil || r.Match(w.tags[i])) && (r.MatchProperties == nil || r.MatchProperties(flagProperty(w.tags[i]))) {
			offsets, total = append(offsets, i), total+w.size[i]
		}
	}
	if len(offsets) == 0 {
		return NoMatchedMessage, i, nil
	}
	return Found, i, offsets
}

// flagProperty is the properties of a message of these tests with a flag.
func flagProperty(flag int64) []byte { return fmt.Appendf(nil, "flag\x01%d\x02", flag) }

func TestReadAgainstTwin(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	o := small(t.TempDir())
	s := open(t, o)
	q := s.Queue("T", 0)
	w := &twin{}
	compare := func() {
		r := ReadRequest{Offset: skua.QueueOffset(rnd.IntN(len(w.size)+5) - 2), MaxMessages: rnd.IntN(70) - 1, NoWait: rnd.IntN(2) == 0, Mapped: rnd.IntN(2) == 0}
		if rnd.IntN(3) == 0 {
			r.MaxBytes = rnd.IntN(20000)
		}
		if rnd.IntN(2) == 0 {
			want := int64(rnd.IntN(40))
			r.Match = func(tags int64) bool { return tags == want }
		}
		if rnd.IntN(2) == 0 {
			below := byte('0' + rnd.IntN(10))
			r.MatchProperties = func(p []byte) bool { return p[len(p)-2] < below } // by the last digit
		}
		var got ReadResult
		defer got.Release()
		readBoth(s, q, r, &got)
		st, next, offsets := w.read(r)
		if got.Status != st || int(got.Next) != next || len(got.Records) != len(offsets) {
			t.Fatalf("%+v of %d: %v, next %d, %d records; want %v, %d, %d", r, len(w.size), got.Status, got.Next, len(got.Records), st, next, len(offsets))
		}
		for i, b := range got.Records {
			if m, _, err := record.Decode(b); err != nil || int(m.QueueOffset) != offsets[i] || len(b) != w.size[offsets[i]] {
				t.Fatalf("record %d is at %d, want %d: %v", i, m.QueueOffset, offsets[i], err)
			}
		}
	}
	s.o.TagsCode = func(m *record.Message, _ int64) int64 { return int64(m.Flag) }
	compare()
	for round := range 40 {
		for range rnd.IntN(200) {
			m := message("T", 0, fmt.Sprint(len(w.size)))
			m.Body = make([]byte, rnd.IntN(1<<rnd.IntN(14)))
			m.Flag = int32(rnd.IntN(30))
			m.Properties = flagProperty(int64(m.Flag))
			if rnd.IntN(10) == 0 { // does not take a place in the queue
				half := *m
				half.SysFlag = record.FlagTransactionPrepared
				if _, err := s.Append(q, &half); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Append(q, m); err != nil {
				t.Fatal(err)
			}
			w.size, w.tags = append(w.size, int(m.Size)), append(w.tags, int64(m.Flag))
		}
		if round%8 == 7 { // the entries are read from files after that
			eventually(t, "flushed", func() bool { return s.Behind() == 0 })
			q.cool()
		}
		for range 30 {
			compare()
		}
	}
	if q.Min() != 0 || int(q.Max()) != len(w.size) {
		t.Errorf("queue from %d to %d, want %d", q.Min(), q.Max(), len(w.size))
	}
}

func TestReadersAndWriters(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	const queues, each = 3, 3000
	var work sync.WaitGroup
	for id := range int32(queues) {
		work.Go(func() { appendN(t, s, "T", id, 0, each) })
		work.Go(func() {
			q := s.Queue("T", id)
			next := skua.QueueOffset(0)
			var r ReadResult
			defer r.Release()
			for deadline := time.Now().Add(20 * time.Second); next < each && time.Now().Before(deadline); {
				readBoth(s, q, ReadRequest{Offset: next, MaxMessages: 7, NoWait: id != 0, Mapped: id != 1}, &r)
				for _, b := range r.Records {
					m, _, err := record.Decode(b)
					if err != nil || m.QueueOffset != next || string(m.Body) != fmt.Sprint(next) {
						t.Errorf("queue %d at %d: %q, %v", id, next, m.Body, err)
						return
					}
					next++
				}
			}
			if next != each {
				t.Errorf("queue %d: read %d messages", id, next)
			}
		})
	}
	work.Wait()
}

func TestMessageLargerThanLimits(t *testing.T) {
	o := small(t.TempDir())
	o.MaxMessageSize, o.SegmentSize = 1<<20, 4<<20
	s := open(t, o)
	q := s.Queue("T", 0)
	for range 3 {
		m := message("T", 0, "")
		m.Body = bytes.Repeat([]byte("x"), 1<<20)
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}
	var r ReadResult
	defer r.Release()
	for next := skua.QueueOffset(0); next < 3; next = r.Next {
		s.Read(q, ReadRequest{Offset: next, MaxMessages: 32, MaxBytes: 1}, &r)
		if r.Status != Found || len(r.Records) != 1 || r.Next != next+1 {
			t.Fatalf("at %d: %v, %d records, next %d", next, r.Status, len(r.Records), r.Next)
		}
	}
}

func TestQueueThatBeginsLate(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 120)
	closed(t, s)
	// The queue is lost together with the first messages: it begins in the middle of a file, which is filled up.
	if err := os.RemoveAll(filepath.Join(o.Dir, "consumequeue")); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	s.log.mu.Lock()
	q := s.Queue("Late", 0)
	q.next, q.tailFrom, q.flushed = 77, 77, 77
	s.log.mu.Unlock()
	q.min.Store(77)
	for i := 77; i < 130; i++ {
		if _, err := s.Append(q, message("Late", 0, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	b, err := os.ReadFile(filepath.Join(q.dir(), "00000000000000001000"))
	if err != nil {
		t.Fatal(err)
	}
	if u, ok := layout.DecodeUnit(b); !ok || !u.Filler() {
		t.Errorf("first entry %+v", u)
	}
	s = open(t, o)
	if q = s.Queue("Late", 0); q.Min() != 77 || q.Max() != 130 {
		t.Errorf("queue from %d to %d", q.Min(), q.Max())
	}
}

func TestManyQueues(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	const topics, queues = 50, 8
	for i := range 3 {
		for n := range topics {
			for id := range int32(queues) {
				appendN(t, s, fmt.Sprint("T", n), id, i, i+1)
			}
		}
	}
	closed(t, s)
	s = open(t, o)
	if n := len(s.Topics()); n != topics {
		t.Errorf("%d topics", n)
	}
	for n := range topics {
		if k := len(s.Queues(fmt.Sprint("T", n))); k != queues {
			t.Errorf("%d queues", k)
		}
		for id := range int32(queues) {
			wantBodies(t, s, fmt.Sprint("T", n), id, 3)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	o := small(t.TempDir())
	o.SegmentSize, o.StagingSize, o.FlushInterval, o.NoIndex = 64<<20, 16<<20, time.Hour, true
	s := open(t, o)
	q := s.Queue("T", 0)
	m := message("T", 0, "0")
	m.Body = make([]byte, 1024)
	for range 4000 { // grows what keeps its size then
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.flush(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations per append", n)
	}
	var r ReadResult
	s.Read(q, ReadRequest{Offset: 4000, MaxMessages: 32}, &r)
	if n := testing.AllocsPerRun(1000, func() {
		s.Read(q, ReadRequest{Offset: 4000, MaxMessages: 32}, &r)
	}); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations per read", n)
	}
	r.Release()
}
