package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/wire"
)

// SendAsync sends a message and calls done with the result, as Send would return it, exactly once if SendAsync itself
// returned nil. It blocks while Window sends wait for their answers, and on first use until there is a route and a
// connection; ctx bounds that, and its deadline the wait for the answer too. The callbacks of a producer run one after the other on a goroutine of their own: one that blocks delays
// the others, but may send. Close waits for them.
func (p *Producer) SendAsync(ctx context.Context, m *Message, done func(Sent, error)) error {
	if err := p.begin(); err != nil {
		return err
	}
	x, err := p.pack(ctx, m)
	if err != nil {
		p.sends.Done()
		return fmt.Errorf("client: %w", err)
	}
	select {
	case p.window <- struct{}{}:
	case <-ctx.Done():
		x.end(nil, ctx.Err())
		p.sends.Done()
		return ctx.Err()
	}
	if err := p.launch(ctx, x, done); err != nil {
		x.end(nil, err)
		<-p.window
		p.sends.Done()
		return err
	}
	return nil
}

// launch makes the first attempt. Those that follow, should they be needed, get a goroutine of their own.
func (p *Producer) launch(ctx context.Context, x *parcel, done func(Sent, error)) error {
	queue, addr, err := p.destination(ctx, x, "")
	if err != nil {
		return err
	}
	start := time.Now()
	conn, err := p.c.conn(ctx, addr)
	if err != nil {
		p.retryAsync(ctx, x, addr, p.c.homeOf(queue), start, err, done)
		return nil
	}
	timeout := p.o.SendTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	conn.Go(x.request(p.group, queue), timeout, func(f *wire.Frame, err error) {
		var sent []Sent
		if err == nil {
			sent, err = x.answer(f, queue, addr)
		}
		home := p.c.homeOf(queue)
		p.faults.note(home, time.Since(start), err != nil)
		p.noteSent(x, sent, addr, start, err)
		if err != nil && p.again(x, err) {
			p.retryAsync(ctx, x, addr, home, start, err, done)
			return
		}
		p.finish(x, sent, err, done)
	})
	return nil
}

// retryAsync goes on after the first attempt failed with err.
func (p *Producer) retryAsync(ctx context.Context, x *parcel, addr, broker string, start time.Time, err error, done func(Sent, error)) {
	failed := &FailedError{Op: "sending to topic " + x.topic, Hint: hint(err)}
	failed.add(addr, start, err)
	if p.o.Retries == 0 || ctx.Err() != nil {
		p.finish(x, nil, failed, done)
		return
	}
	p.tasks.start(func() { // refused only after Close, which waits for this send first
		p.reroute(ctx, x, addr, err)
		sent, err := p.deliver(ctx, x, failed, broker)
		p.finish(x, sent, err, done)
	})
}

// finish hands the result to the goroutine of callbacks.
func (p *Producer) finish(x *parcel, sent []Sent, err error, done func(Sent, error)) {
	<-p.window
	r := result{parcel: x, done: done, err: err}
	if len(sent) > 0 {
		r.sent = sent[0]
	}
	p.done.add(r)
	p.sends.Done()
}

// result is what a callback is to be told.
type result struct {
	parcel *parcel // whose hooks are to be told first
	done   func(Sent, error)
	sent   Sent
	err    error
	call   func() // instead of the others
}

// callbacks calls back, one result after the other, away from the goroutines that read connections.
type callbacks struct {
	mu     sync.Mutex // guards the following
	some   sync.Cond  // there is a result, or no more will come
	queue  []result
	closed bool
}

func (b *callbacks) init() { b.some.L = &b.mu }

func (b *callbacks) add(r result) {
	b.mu.Lock()
	b.queue = append(b.queue, r)
	b.mu.Unlock()
	b.some.Signal()
}

// close has run return after the results that are there.
func (b *callbacks) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.some.Signal()
}

func (b *callbacks) run() {
	var batch []result
	for {
		b.mu.Lock()
		for len(b.queue) == 0 && !b.closed {
			b.some.Wait()
		}
		batch, b.queue = b.queue, batch[:0]
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for i := range batch {
			if r := &batch[i]; r.call != nil {
				r.call()
			} else {
				r.parcel.end([]Sent{r.sent}, r.err)
				r.done(r.sent, r.err)
			}
			batch[i] = result{}
		}
	}
}
