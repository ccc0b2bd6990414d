package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/client"
)

// Consume reads the messages of the topic that are there when it begins, from the oldest on, and measures the rate.
func Consume(ctx context.Context, o Options) (*Report, error) {
	return run(ctx, o, func(o Options, clients []*client.Client) (*Report, error) { return o.consume(ctx, clients) })
}

func (o Options) consume(ctx context.Context, clients []*client.Client) (*Report, error) {
	shares, total, err := o.shares(ctx, clients)
	if err != nil {
		return nil, err
	}
	if total == 0 {
		return nil, fmt.Errorf("bench: topic %s has no messages; bench produce makes some", o.Topic)
	}
	if o.Count == 0 || o.Count > total {
		o.Count = total
	}
	t := newTally()
	start := time.Now()
	bounded, cancel := o.within(ctx)
	defer cancel()
	var wg sync.WaitGroup
	group := fmt.Sprintf("skua-bench-%d", start.UnixNano()) // no other run has been here
	for i, c := range clients {
		switch {
		case o.Orderly:
			wg.Go(func() { o.handle(bounded, cancel, c, group, t) })
		case len(shares[i]) > 0:
			wg.Go(func() { o.read(bounded, cancel, c, shares[i], t) })
		}
	}
	wg.Wait()
	r := t.report("consume", o, t.until().Sub(start))
	if r.Messages > 0 {
		r.Size = int(t.bytes.Load() / r.Messages)
	}
	return r, nil
}

// until is when the last message came.
func (t *tally) until() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last.IsZero() {
		return time.Now()
	}
	return t.last
}

// shares deals the queues of the topic out to the clients, and counts the messages in them.
func (o Options) shares(ctx context.Context, clients []*client.Client) (shares [][]skua.Queue, total int64, err error) {
	queues, err := clients[0].Queues(ctx, o.Topic)
	if err != nil {
		return nil, 0, err
	}
	shares = make([][]skua.Queue, len(clients))
	for i, q := range queues {
		low, err := clients[0].MinOffset(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		high, err := clients[0].MaxOffset(ctx, q)
		if err != nil {
			return nil, 0, err
		}
		total += int64(high - low)
		shares[i%len(clients)] = append(shares[i%len(clients)], q)
	}
	return shares, total, nil
}

// read is the work of one client: it reads queues from the oldest message on until Count messages came to all clients,
// then it calls done.
func (o Options) read(ctx context.Context, done func(), c *client.Client, queues []skua.Queue, t *tally) {
	p, err := c.PullConsumer(client.PullOptions{Start: client.StartEarliest, Batch: 160})
	if err != nil {
		t.fail(err)
		return
	}
	if err := p.Assign(ctx, queues...); err != nil && ctx.Err() == nil { // others may have read enough by now
		t.fail(err)
	}
	for {
		messages, err := p.Poll(ctx)
		if err != nil {
			break // ctx ended
		}
		for _, m := range messages {
			t.bytes.Add(int64(len(m.Body)))
		}
		n := t.messages.Add(int64(len(messages)))
		t.mu.Lock()
		t.last = time.Now()
		t.mu.Unlock()
		if n >= o.Count {
			done()
		}
	}
	if err := p.Close(); err != nil {
		t.fail(err)
	}
}

// handle is read with a consumer that shares the queues with those of the other clients, locks its own and handles
// messages one after the other in each.
func (o Options) handle(ctx context.Context, done func(), c *client.Client, group string, t *tally) {
	p, err := c.PushConsumer(ctx, client.PushOptions{Group: group, Orderly: true, Start: client.StartEarliest, PullBatch: 160,
		Subscriptions: []client.Subscription{{Topic: o.Topic}},
		Handler: func(_ context.Context, m *client.Received) error {
			t.bytes.Add(int64(len(m.Body)))
			n := t.messages.Add(1)
			if n <= o.Count {
				t.mu.Lock()
				t.last = time.Now()
				t.mu.Unlock()
			}
			if n >= o.Count {
				done()
			}
			return nil
		}})
	if err != nil {
		if ctx.Err() == nil { // others may have handled enough by now
			t.fail(err)
		}
		return
	}
	<-ctx.Done()
	if err := p.Close(); err != nil {
		t.fail(err)
	}
}

// EndToEnd sends messages at a rate and measures until they are received in the same process.
func EndToEnd(ctx context.Context, o Options) (*Report, error) {
	if o.Rate == 0 {
		o.Rate = 1000
	}
	return run(ctx, o, func(o Options, clients []*client.Client) (*Report, error) { return o.endToEnd(ctx, clients) })
}

func (o Options) endToEnd(ctx context.Context, clients []*client.Client) (*Report, error) {
	if err := o.touch(ctx, clients[0]); err != nil {
		return nil, err
	}
	sent, received := newTally(), newTally()
	all, err := o.listen(ctx, clients[0], sent, received)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := o.load(ctx, clients, start, sent); err != nil {
		return nil, err
	}
	all()
	r := received.report("e2e", o, time.Since(start))
	r.Window, r.Send, r.EndToEnd = o.Window, sent.latency(), received.latency()
	r.Errors += sent.errors.Load()
	if missing := sent.messages.Load() - received.messages.Load(); missing > 0 {
		r.Errors += missing
		r.Error = fmt.Sprintf("%d messages were acknowledged but not received within %v", missing, patience+o.Delay)
	}
	return r, nil
}

// patience is how long EndToEnd waits for messages after the last one was acknowledged, or was to be delivered.
const patience = 5 * time.Second

// listen receives what is sent from now on. The function it returns waits until all that was sent has come, and ends
// the receiving.
func (o Options) listen(ctx context.Context, c *client.Client, sent, received *tally) (all func(), err error) {
	queues, err := c.Queues(ctx, o.Topic)
	if err != nil {
		return nil, err
	}
	p, err := c.PullConsumer(client.PullOptions{Batch: 160})
	if err != nil {
		return nil, err
	}
	if err := p.Assign(ctx, queues...); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	news, ended := make(chan struct{}, 1), make(chan struct{})
	go func() { // joined by all
		defer close(ended)
		o.receive(ctx, p, received, news)
	}()
	return func() {
		timeout := time.After(patience + o.Delay)
		for waiting := true; waiting && received.messages.Load() < sent.messages.Load(); {
			select {
			case <-news:
			case <-timeout:
				waiting = false
			}
		}
		cancel()
		<-ended
	}, nil
}

func (o Options) receive(ctx context.Context, p *client.PullConsumer, received *tally, news chan<- struct{}) {
	times := hdrhistogram.New(1, longest, 3)
	for {
		messages, err := p.Poll(ctx)
		if err != nil {
			break // ctx ended
		}
		now := time.Since(o.epoch)
		for _, m := range messages {
			if len(m.Body) >= stampSize {
				record(times, now-time.Duration(binary.BigEndian.Uint64(m.Body)))
				received.bytes.Add(int64(len(m.Body)))
				received.messages.Add(1)
			}
		}
		select {
		case news <- struct{}{}:
		default:
		}
	}
	received.add(times)
	if err := p.Close(); err != nil {
		received.fail(err)
	}
}
