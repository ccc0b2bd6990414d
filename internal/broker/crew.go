package broker

import "sync"

// crew does jobs on a few goroutines that exist only while there are jobs. It is safe for concurrent use.
type crew[T any] struct {
	do      func(T)
	workers int        // most goroutines
	limit   int        // most jobs that wait
	fewer   func() int // most goroutines at present, at least 1; nil: workers

	mu      sync.Mutex
	jobs    []T // guarded by mu; those from head on wait
	head    int
	running int
	closed  bool
	wait    sync.WaitGroup
}

// newCrew makes a crew of at most workers goroutines, at which at most limit jobs wait.
func newCrew[T any](workers, limit int, do func(T)) *crew[T] {
	return &crew[T]{do: do, workers: workers, limit: limit}
}

// add hands a job in. It reports false, and drops the job, if too many wait or the crew is closed. It does not block.
func (c *crew[T]) add(job T) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.jobs)-c.head >= c.limit {
		return false
	}
	c.jobs = append(c.jobs, job)
	if c.running < c.most() {
		c.running++
		c.wait.Go(c.work)
	}
	return true
}

// most is how many goroutines may run.
func (c *crew[T]) most() int {
	if c.fewer == nil {
		return c.workers
	}
	return min(c.workers, c.fewer())
}

// work does jobs until none waits.
func (c *crew[T]) work() {
	for {
		c.mu.Lock()
		most := c.most()
		if none := c.head == len(c.jobs); none || c.running > most {
			if none {
				c.jobs, c.head = c.jobs[:0], 0
			}
			if none && cap(c.jobs) > 1024 {
				c.jobs = nil // after a burst
			}
			c.running--
			c.mu.Unlock()
			return
		}
		if c.running < most && len(c.jobs)-c.head > 1 { // it was less when they were added
			c.running++
			c.wait.Go(c.work)
		}
		var none T
		job := c.jobs[c.head]
		c.jobs[c.head] = none
		if c.head++; c.head >= 1024 && c.head*2 >= len(c.jobs) {
			n := copy(c.jobs, c.jobs[c.head:])
			clear(c.jobs[n:])
			c.jobs, c.head = c.jobs[:n], 0
		}
		c.mu.Unlock()
		c.do(job)
	}
}

// waiting is the number of jobs that wait.
func (c *crew[T]) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.jobs) - c.head
}

// close takes no more jobs and waits until those at hand are done.
func (c *crew[T]) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.wait.Wait()
}
