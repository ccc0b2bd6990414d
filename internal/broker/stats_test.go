package broker

import (
	"math"
	"testing"
	"time"
)

func TestCounterWindows(t *testing.T) {
	var c counter
	for i := range 360 { // an hour, sampled as the broker does: two events of five each 10 s
		c.add(5)
		c.add(5)
		c.take(after(10*i), sampling{minute: true, hour: i%60 == 0, day: i == 0})
	}
	minute, hour, day := c.windows()
	if minute != (window{Sum: 60, TPS: 1, Average: 5}) {
		t.Errorf("minute %+v", minute)
	}
	// The hour's ring holds a zero sample ten minutes before the first and the samples at 0, 10 ... 50 minutes.
	if hour.Sum != 3010 || math.Abs(hour.TPS-3010.0/3600) > 1e-9 {
		t.Errorf("hour %+v", hour)
	}
	if day != (window{Sum: 10, TPS: 10.0 / 3600, Average: 5}) {
		t.Errorf("day %+v", day)
	}
}

func TestCountersOfNothingHoldNothing(t *testing.T) {
	s := newStats(after(0))
	s.topic([]byte("T"))
	s.sample(after(10), sampling{true, true, true})
	if s.topics["T"].put.minute != nil {
		t.Error("an idle counter keeps samples")
	}
	if s.find(statTopicPut, "T") != nil || s.find("X", "Y") != nil {
		t.Error("an idle or unknown statistic exists")
	}
}

func TestStatsFind(t *testing.T) {
	s := newStats(after(0))
	s.stored(s.topic([]byte("T")), 3, 300)
	g := s.group([]byte("T"), []byte("G"))
	s.delivered(g, 2, 200)
	g.sendBack.add(1)
	g.deadLetter.add(1)
	s.missed()
	s.sample(after(10), sampling{minute: true})
	for _, c := range []struct {
		name, key string
		sum       int64
	}{
		{statTopicPut, "T", 3}, {statTopicPutSize, "T", 300}, {statGroupGet, "T@G", 2}, {statGroupGetSize, "T@G", 200},
		{statSendBack, "T@G", 1}, {statDeadLetter, "T@G", 1}, {statBrokerPut, "C", 3}, {statBrokerGet, "C", 2},
	} {
		found := s.find(c.name, c.key)
		if found == nil {
			t.Errorf("%s %s: not found", c.name, c.key)
		} else if m, _, _ := found.windows(); m.Sum != c.sum {
			t.Errorf("%s %s: %+v, want %d", c.name, c.key, m, c.sum)
		}
	}
	s.forgetTopic("T")
	if s.find(statTopicPut, "T") != nil || s.find(statGroupGet, "T@G") != nil {
		t.Error("a deleted topic is still counted")
	}
}

func TestRates(t *testing.T) {
	s := newStats(after(0))
	for i := range 700 {
		s.second(after(i))
		s.put.add(int64(i))
	}
	// put counts 0+1+...; between two samples k seconds apart, ending at 698, lie the k values up to 698.
	want := perSecond{693.5, 668.5, 398.5}
	if got := s.rate(func(t totals) int64 { return t.put }); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := want.String(); got != "693.5 668.5 398.5" {
		t.Error(got)
	}
	young := newStats(after(0))
	young.second(after(0))
	young.put.add(10)
	young.second(after(2))
	if got := young.rate(func(t totals) int64 { return t.put }); got != (perSecond{5, 5, 5}) {
		t.Errorf("a young broker's rates: %v", got)
	}
}

func TestMornings(t *testing.T) {
	s := newStats(time.Date(2026, 1, 1, 23, 0, 0, 0, time.Local))
	s.put.add(7)
	s.second(time.Date(2026, 1, 2, 0, 0, 1, 0, time.Local))
	s.put.add(5)
	s.second(time.Date(2026, 1, 3, 0, 0, 1, 0, time.Local))
	if yesterday, today := s.mornings(); yesterday.put != 7 || today.put != 12 {
		t.Errorf("yesterday %+v, today %+v", yesterday, today)
	}
}

func TestDueSampling(t *testing.T) {
	s := newStats(after(0))
	var minutes, hours, days int
	for i := range 7200 {
		what := s.due(after(i + 1))
		if what.minute {
			minutes++
		}
		if what.hour {
			hours++
		}
		if what.day {
			days++
		}
	}
	if minutes != 720 || hours != 12 || days != 2 {
		t.Errorf("%d %d %d", minutes, hours, days)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	s := newStats(after(0))
	topic, group := []byte("T"), []byte("G")
	s.topic(topic)
	s.group(topic, group)
	if n := testing.AllocsPerRun(100, func() {
		s.stored(s.topic(topic), 1, 100)
		s.delivered(s.group(topic, group), 1, 100)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
