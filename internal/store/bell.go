package store

import "sync/atomic"

// bell wakes one goroutine, once, however often it is rung before that goroutine looks.
type bell struct {
	rung atomic.Bool
	c    chan struct{}
}

func newBell() bell { return bell{c: make(chan struct{}, 1)} }

func (b *bell) ring() {
	if !b.rung.Load() && b.rung.CompareAndSwap(false, true) {
		b.c <- struct{}{}
	}
}

// answer is called by the woken goroutine before it looks for work.
func (b *bell) answer() { b.rung.Store(false) }
