package broker

import (
	"slices"
	"testing"
	"time"
)

func TestParseDelayLevels(t *testing.T) {
	got, err := parseDelayLevels(defaultDelayLevels)
	if err != nil || len(got) != 18 || got[0] != time.Second || got[4] != time.Minute || got[17] != 2*time.Hour {
		t.Fatalf("%v %v", got, err)
	}
	if got, err := parseDelayLevels("  3s 1d "); err != nil || !slices.Equal(got, delayLevels{3 * time.Second, 24 * time.Hour}) {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"", " ", "s", "1", "1x", "-1s", "1.5s", "1s 2", "99999999999s", "2000000000d"} {
		if got, err := parseDelayLevels(bad); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestDelayTimes(t *testing.T) {
	l := delayLevels{time.Second, time.Minute}
	if l.clamp(1) != 1 || l.clamp(99) != 2 {
		t.Error("clamp")
	}
	for _, c := range []struct {
		level       int
		stored, due int64
	}{{1, 5000, 6000}, {2, 5000, 65000}, {3, 5000, 6000}, {0, 5000, 6000}} {
		if got := l.due(c.level, c.stored); got != c.due {
			t.Errorf("due(%d, %d) = %d, want %d", c.level, c.stored, got, c.due)
		}
	}
	if l.correct(1, 6000, 5000) != 6000 || l.correct(1, 6001, 5000) != 5000 {
		t.Error("a time further away than the delay must count as come")
	}
	for text, want := range map[string]int{"": 0, "1": 1, "18": 18, "-1": 0, "x": 0, "0": 0, "1234567890": 0} {
		if got := parseLevel([]byte(text)); got != want {
			t.Errorf("parseLevel(%q) = %d, want %d", text, got, want)
		}
	}
}

func FuzzParseDelayLevels(f *testing.F) {
	f.Add(defaultDelayLevels)
	f.Add("1s 2")
	f.Fuzz(func(t *testing.T, text string) {
		levels, err := parseDelayLevels(text)
		if err == nil && (len(levels) == 0 || slices.Min(levels) < 0) {
			t.Errorf("%q: %v", text, levels)
		}
	})
}
