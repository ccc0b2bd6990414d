package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/segment"
)

// A log that is written past the cache is the same log: any mixture of direct writes, writes to the cache and restarts,
// at places that are no multiples of a page, leaves every message whole.
func TestDirectWrites(t *testing.T) {
	o := small(t.TempDir())
	o.SegmentSize, o.StagingSize, o.FlushInterval = 256<<10, 256<<10, time.Hour
	var want []string
	for round, mode := range []DirectIO{DirectOn, DirectOff, DirectOn, DirectAuto} {
		o.DirectIO = mode
		s := open(t, o)
		q := s.Queue("T", 0)
		for i := range 300 {
			m := message("T", 0, fmt.Sprintf("%d.%d.", round, i))
			m.Body = append(m.Body, bytes.Repeat([]byte{'x'}, rand.IntN(9000))...)
			if _, err := s.Append(q, m); err != nil {
				t.Fatal(err)
			}
			want = append(want, string(m.Body))
			switch rand.IntN(20) {
			case 0:
				if err := s.log.drain(); err != nil {
					t.Fatal(err)
				}
			case 1:
				if err := s.log.drainTo(false); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.log.drainMu.Lock()
		now := s.log.direct
		s.log.drainMu.Unlock()
		if mode == DirectOn && now.mode == DirectOn && !now.on {
			t.Error("no direct writes")
		}
		if round%2 == 0 {
			crash(t, s)
		} else {
			closed(t, s)
		}
	}
	o.DirectIO = DirectOff
	s := open(t, o)
	got := bodies(t, s, s.Queue("T", 0), 0)
	if len(got) != len(want) {
		t.Fatalf("%d messages of %d", len(got), len(want))
	}
	for i, b := range got {
		if b != want[i] {
			t.Fatalf("message %d: %.20q... instead of %.20q...", i, b, want[i])
		}
	}
}

// Direct writing begins when the writer falls behind, and ends when little comes.
func TestDirectnessFollowsTheLoad(t *testing.T) {
	const size = 32 << 20
	d := directness{mode: DirectAuto}
	for _, step := range []struct {
		drained, waits int64
		later          time.Duration // since the last look
		on             bool
	}{
		{0, size / 8, 0, false},
		{size / 8, size / 4, 0, true},
		{size, 100, 0, true},
		{directPace, size, 2 * time.Second, true},
		{directPace + 100, 100, 2 * time.Second, false},
		{directPace + 200, size / 8, 2 * time.Second, false},
	} {
		d.since = d.since.Add(-step.later)
		if d.look(step.drained, step.waits, size); d.on != step.on {
			t.Errorf("%+v: direct is %v", step, d.on)
		}
	}
}

func TestDirectIOIsChecked(t *testing.T) {
	if _, err := (Options{Dir: t.TempDir(), DirectIO: "sometimes"}).withDefaults(); err == nil {
		t.Error("an unknown way is taken")
	}
	if pageOf(4095) != 0 || pageOf(4096) != segment.DirectAlign {
		t.Error("pages are cut wrongly")
	}
}

// With synchronous flush the last page of each write is cleared first; no message that is in the file already is in it.
func TestClearedPages(t *testing.T) {
	o := small(t.TempDir())
	o.SyncFlush = true
	s := open(t, o)
	q := s.Queue("T", 0)
	var want []string
	for i := range 300 {
		m := message("T", 0, fmt.Sprint(i, "."))
		m.Body = append(m.Body, bytes.Repeat([]byte{'x'}, rand.IntN(6000))...)
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
		want = append(want, string(m.Body))
		if rand.IntN(3) == 0 {
			if err := s.log.drain(); err != nil {
				t.Fatal(err)
			}
		}
	}
	closed(t, s)
	s = open(t, o)
	got := bodies(t, s, s.Queue("T", 0), 0)
	if !slices.Equal(got, want) {
		t.Errorf("%d messages of %d, or others", len(got), len(want))
	}
}
