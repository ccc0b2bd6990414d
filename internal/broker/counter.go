package broker

import (
	"sync"
	"sync/atomic"
	"time"
)

// counter counts events and the amounts that came with them. The methods that count neither lock nor allocate; windows
// over the last minute, hour and day are made of samples that a single ticker takes of all counters.
type counter struct {
	sum   atomic.Int64 // total of amounts
	times atomic.Int64 // number of events

	mu                sync.Mutex // guards the rings
	minute, hour, day ring
}

// add counts one event with an amount.
func (c *counter) add(amount int64) {
	c.sum.Add(amount)
	c.times.Add(1)
}

// addN counts several events with one amount for all.
func (c *counter) addN(amount, times int64) {
	c.sum.Add(amount)
	c.times.Add(times)
}

// sample is what a counter had counted at some time.
type sample struct {
	at         int64 // ms
	sum, times int64
}

// ring holds the last samples, oldest first.
type ring []sample

// push adds a sample and keeps the newest ones. The first is preceded by a zero sample one step earlier, as in Java, so
// that what was counted before it counts.
func (r *ring) push(s sample, every time.Duration, keep int) {
	if len(*r) == 0 {
		*r = append(*r, sample{at: s.at - every.Milliseconds()})
	}
	if len(*r) == keep {
		copy(*r, (*r)[1:])
		(*r)[keep-1] = s
		return
	}
	*r = append(*r, s)
}

// window is what happened between the oldest and the newest sample of a ring.
type window struct {
	Sum     int64
	TPS     float64 // amounts per second
	Average float64 // amount per event
}

func (r ring) window() window {
	if len(r) == 0 {
		return window{}
	}
	first, last := r[0], r[len(r)-1]
	w := window{Sum: last.sum - first.sum}
	if ms := last.at - first.at; ms > 0 {
		w.TPS = float64(w.Sum) * 1000 / float64(ms)
	}
	if n := last.times - first.times; n > 0 {
		w.Average = float64(w.Sum) / float64(n)
	}
	return w
}

// Samples are taken and kept as Java does: each 10 s for the minute, each 10 min for the hour, each hour for the day.
const (
	minuteSampling = 10 * time.Second
	hourSampling   = 10 * time.Minute
	daySampling    = time.Hour
	minuteSamples  = 7
	hourSamples    = 7
	daySamples     = 25
)

// sampling says which windows a tick feeds.
type sampling struct{ minute, hour, day bool }

// take stores a sample. A counter that never counted stores none, so that it costs little.
func (c *counter) take(now time.Time, what sampling) {
	s := sample{now.UnixMilli(), c.sum.Load(), c.times.Load()}
	if s.times == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if what.minute {
		c.minute.push(s, minuteSampling, minuteSamples)
	}
	if what.hour {
		c.hour.push(s, hourSampling, hourSamples)
	}
	if what.day {
		c.day.push(s, daySampling, daySamples)
	}
}

// windows returns what was counted in the last minute, hour and day.
func (c *counter) windows() (minute, hour, day window) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.minute.window(), c.hour.window(), c.day.window()
}
