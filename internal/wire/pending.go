package wire

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// pending are the requests of this side that wait for an answer. One timer serves the deadlines of all: it is set to
// the earliest one and, since most requests are answered long before theirs, fires seldom.
type pending struct {
	mu     sync.Mutex // guards the following
	next   int32      // opaque
	byID   map[int32]ask
	closed error
	timer  *time.Timer
	armed  bool  // the timer runs, or its function does
	due    int64 // when it fires, see clock
}

// ask is one pending request.
type ask struct {
	done func(*Frame, error)
	due  int64 // see clock; 0: never
}

// add registers a request and returns its opaque, which is not 0.
func (p *pending) add(c *Conn, timeout time.Duration, done func(*Frame, error)) (int32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return 0, p.closed
	}
	if len(p.byID) >= c.owner.MaxPending {
		return 0, fmt.Errorf("%w: %d to %s", ErrTooMany, len(p.byID), c.addr)
	}
	if p.byID == nil {
		p.byID = make(map[int32]ask)
	}
	a := ask{done: done}
	if timeout > 0 {
		a.due = clock() + int64(timeout)
		p.armLocked(c, a.due)
	}
	for {
		p.next++
		if _, taken := p.byID[p.next]; !taken && p.next != 0 {
			break
		}
	}
	p.byID[p.next] = a
	return p.next, nil
}

// armLocked sees to it that the timer fires at due or before.
func (p *pending) armLocked(c *Conn, due int64) {
	wait := time.Duration(due - clock())
	switch {
	case p.armed && p.due <= due:
		return
	case p.armed && !p.timer.Stop(): // it is about to look at all requests
		return
	case p.armed:
		p.timer.Reset(wait)
	case p.timer == nil:
		c.owner.wait.Add(1)
		p.timer = time.AfterFunc(wait, func() { p.expire(c) })
	default:
		c.owner.wait.Add(1)
		p.timer.Reset(wait)
	}
	p.armed, p.due = true, due
}

// expire fails the requests whose time is up. It is the timer's function.
func (p *pending) expire(c *Conn) {
	defer c.owner.wait.Done()
	p.mu.Lock()
	p.armed = false
	now, earliest := clock(), int64(0)
	var late []ask
	for id, a := range p.byID {
		switch {
		case a.due == 0:
		case a.due <= now:
			late = append(late, a)
			delete(p.byID, id)
		case earliest == 0 || a.due < earliest:
			earliest = a.due
		}
	}
	if earliest != 0 && p.closed == nil {
		p.armLocked(c, max(earliest, now+int64(5*time.Millisecond)))
	}
	p.mu.Unlock()
	for _, a := range late {
		c.tell(a.done, nil, ErrTimeout)
	}
}

// take removes and returns a request.
func (p *pending) take(opaque int32) (ask, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.byID[opaque]
	delete(p.byID, opaque)
	return a, ok
}

// answer hands an answer to who asked. Nobody does if the request timed out.
func (p *pending) answer(f *Frame) {
	if a, ok := p.take(f.Opaque); ok {
		a.done(f, nil)
	}
}

// close fails all requests, and those to come.
func (p *pending) close(c *Conn) {
	p.mu.Lock()
	p.closed = c.closedBy
	all := p.byID
	p.byID = nil
	if p.armed && p.timer.Stop() {
		p.armed = false
		c.owner.wait.Done()
	}
	p.mu.Unlock()
	for _, a := range all {
		c.tell(a.done, nil, c.closedBy)
	}
}

// tell calls done outside of a handler.
func (c *Conn) tell(done func(*Frame, error), f *Frame, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(&Frame{Flag: FlagResponse}, v)
		}
	}()
	done(f, err)
}

// ask sends a request for which done waits.
func (c *Conn) ask(r *Request, timeout time.Duration, done func(*Frame, error)) (opaque int32, err error) {
	if opaque, err = c.asks.add(c, timeout, done); err != nil {
		return 0, err
	}
	return opaque, c.out.send(&fixed{code: int32(r.Code), opaque: opaque, encoding: c.owner.Encoding}, r.Header, r.Ext, r.Body, nil, false)
}

// Call sends a request and waits for the answer, which owns its memory. The error is ctx's, ErrClosed or a network
// error, or ErrTooMany; an answer with a status other than success is no error. It must not be called by a handler of
// the same connection, whose answer it would keep from being read.
func (c *Conn) Call(ctx context.Context, r *Request) (*Frame, error) {
	type result struct {
		f   *Frame
		err error
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer := make(chan result, 1)
	opaque, err := c.ask(r, 0, func(f *Frame, err error) {
		if f != nil {
			f = f.Clone()
		}
		answer <- result{f, err}
	})
	if err != nil {
		c.asks.take(opaque)
		return nil, err
	}
	select {
	case a := <-answer:
		return a.f, a.err
	case <-ctx.Done():
		c.asks.take(opaque)
		return nil, ctx.Err()
	case <-c.done:
		if _, waiting := c.asks.take(opaque); waiting {
			return nil, c.closedBy
		}
		a := <-answer
		return a.f, a.err
	}
}

// Go sends a request and calls done exactly once: with the answer, which is valid until done returns, or with an error
// (ErrTimeout after timeout, which must be above 0). done runs on the connection's reading goroutine or a timer's: it
// must not block. If the request cannot be sent, done runs before Go returns.
func (c *Conn) Go(r *Request, timeout time.Duration, done func(*Frame, error)) {
	opaque, err := c.ask(r, max(timeout, 1), done)
	if err == nil {
		return
	}
	if _, waiting := c.asks.take(opaque); waiting || opaque == 0 {
		done(nil, err)
	}
}

// Send sends a one-way request.
func (c *Conn) Send(r *Request) error {
	return c.out.send(&fixed{code: int32(r.Code), flag: FlagOneway, encoding: c.owner.Encoding}, r.Header, r.Ext, r.Body, nil, false)
}
