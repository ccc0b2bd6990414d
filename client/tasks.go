package client

import "sync"

// tasks are goroutines that come and go until join waits for the last of them.
type tasks struct {
	mu     sync.Mutex
	closed bool // guarded by mu, so that none starts once join waits
	wg     sync.WaitGroup
}

// start runs f on a new goroutine, unless join was called.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.wg.Go(f)
	return true
}

// join lets no more goroutines start and waits for those that run.
func (t *tasks) join() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.wg.Wait()
}
