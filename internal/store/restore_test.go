package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/layout"
)

// A log without some messages of a queue, as a repair leaves it: in their places are entries that Java passes over, too,
// and searches are not misled by them.
func TestEntriesOfMessagesThatTheLogLacks(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 600)
	s.log.mu.Lock()
	q := s.Queue("T", 0)
	err := q.pad(605, o.SegmentSize)
	s.log.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for i := 605; i < 650; i++ {
		if _, err := s.Append(q, message("T", 0, fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	for _, dir := range []string{"consumequeue", layout.OwnDir} {
		if err := os.RemoveAll(filepath.Join(o.Dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, o)
	q = s.Queue("T", 0)
	if q.Max() != 650 {
		t.Fatalf("the queue ends at %d", q.Max())
	}
	for off := int64(600); off < 605; off++ {
		if u, err := q.unit(off); err != nil || !u.Lost() || u.Log < o.SegmentSize-1 {
			t.Errorf("entry %d is %+v, %v", off, u, err)
		}
	}
	if got := bodies(t, s, q, 0); len(got) != 645 {
		t.Errorf("%d messages", len(got))
	}
	// Whatever a search is for, it finds the first entry of that place in the log, or behind it.
	from := func(log int64) func(layout.Unit) bool {
		return func(u layout.Unit) bool { return u.Log >= log && !u.Filler() }
	}
	for hi := int64(590); hi <= 650; hi++ {
		for off := hi - 90; off < hi; off++ {
			u, err := q.unit(off)
			if err != nil || u.Lost() {
				continue
			}
			want := off
			if off == 605 {
				want = 600 // the lost ones are said to be where the next one is
			}
			if got := q.search(0, hi, from(u.Log)); got != want {
				t.Fatalf("the entry at %d is found at %d of %d", off, got, hi)
			}
		}
		if got := q.search(0, hi, from(1<<40)); got != hi {
			t.Fatalf("an entry behind the log is found at %d of %d", got, hi)
		}
	}
}

// A start that reads the log from before the deletion of a topic, which was made again since, leaves nothing of the old one
// behind what the new one has.
func TestTopicMadeAgainAfterTheCheckpoint(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 4)
	s.flushCycle()
	own := s.own(layout.CheckpointFile)
	early, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, s, "T", 0, 4, 9)
	flushed(t, s)
	if err := s.DeleteTopic("T"); err != nil {
		t.Fatal(err)
	}
	appendN(t, s, "T", 0, 0, 4)
	s.flushCycle()
	crash(t, s)
	if err := os.WriteFile(own, early, 0o644); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	wantBodies(t, s, "T", 0, 4)
	appendN(t, s, "T", 0, 4, 6)
	wantBodies(t, s, "T", 0, 6)
}
