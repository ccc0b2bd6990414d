package broker

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestTimingDue(t *testing.T) {
	const now = int64(1_000_000)
	for _, c := range []struct {
		sec, ms, at string
		want        int64
	}{
		{"5", "", "", now + 5000},
		{"+5", "7", "9", now + 5000},
		{"", "7", "9", now + 7},
		{"", "", "9", 9},
		{"", "", "-9", 0},
		{"-5", "", "", now},
		{"9223372036854775807", "", "", math.MaxInt64},
		{"", "9223372036854775807", "", math.MaxInt64},
		{"", "", "9223372036854775807", math.MaxInt64},
		{"x", "7", "", -1},
		{"", "", "1.5", -1},
		{"", "", "9223372036854775808", -1},
	} {
		var x timing
		for key, value := range map[string]string{"TIMER_DELAY_SEC": c.sec, "TIMER_DELAY_MS": c.ms, "TIMER_DELIVER_MS": c.at} {
			if value != "" {
				x.note([]byte(key), []byte(value))
			}
		}
		got, err := x.due(now)
		if err != nil {
			got = -1
		}
		if got != c.want || !x.asked() {
			t.Errorf("%+v: %d, %v", c, got, err)
		}
	}
}

func TestNextCheck(t *testing.T) {
	b := &Broker{}
	w := &wheel{b: b}
	for when, want := range map[string]string{"05": "02 05:00", "05;20": "01 20:00", "12": "02 12:00", "": "02 13:00"} {
		b.options.Store(&Options{TimerOptions: TimerOptions{TimerCheckMetricsWhen: when}})
		if got := w.nextCheck(time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)).Format("02 15:04"); got != want {
			t.Errorf("%q: %s, want %s", when, got, want)
		}
	}
	if _, err := hours("05;24"); err == nil || !strings.Contains(err.Error(), `"24"`) {
		t.Error(err)
	}
}

func FuzzRecallHandle(f *testing.F) {
	f.Add("djEgVCBiIDE3OTUyMjg5MzcwMDEgRkQwMA==")
	h, _ := appendRecallHandle(nil, nil, []byte("T"), "b", 1795228937000, []byte("FD00"))
	f.Add(string(h))
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := parseRecallHandle(s)
		if !ok || h.at <= 0 {
			return
		}
		again, _ := appendRecallHandle(nil, nil, []byte(h.topic), h.broker, h.at-1, []byte(h.key))
		if h2, ok := parseRecallHandle(string(again)); !ok || h2 != h {
			t.Errorf("%q: %+v, then %+v", s, h, h2)
		}
	})
}
