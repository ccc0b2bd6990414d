package txn

import "time"

// Clock makes of a clock that may be set, and one that only counts, a time that never goes back, does not stand still, and
// is not behind the times at which halves were stored.
type Clock struct {
	ms int64
	at time.Duration
}

// Now is the time in ms. wall is the time by the clock on the wall, ms; elapsed is how long the program has run.
func (c *Clock) Now(wall int64, elapsed time.Duration) int64 {
	passed := (elapsed - c.at).Truncate(time.Millisecond)
	c.at += passed
	c.ms = max(wall, c.ms+passed.Milliseconds())
	return c.ms
}

// NotBefore makes the time at least ms.
func (c *Clock) NotBefore(ms int64) { c.ms = max(c.ms, ms) }
