package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/skuamq/skua/client"
)

// Transactions sends messages of transactions that all commit, Window at a time for each client. A message counts from when it
// was due until its commit was acknowledged; the run ends when consumers can have all of them.
func Transactions(ctx context.Context, o Options) (*Report, error) {
	return run(ctx, o, func(o Options, clients []*client.Client) (*Report, error) { return o.transactions(ctx, clients) })
}

func (o Options) transactions(ctx context.Context, clients []*client.Client) (*Report, error) {
	if err := o.touch(ctx, clients[0]); err != nil {
		return nil, err
	}
	_, before, err := o.shares(ctx, clients)
	if err != nil {
		return nil, err
	}
	t := newTally()
	start := time.Now()
	if err := o.commit(ctx, clients, start, t); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		_, now, err := o.shares(ctx, clients)
		if err != nil {
			return nil, err
		}
		if now-before >= t.messages.Load() {
			break
		}
		if time.Now().After(deadline) {
			t.fail(fmt.Errorf("%d messages were committed, %d are there", t.messages.Load(), now-before))
			break
		}
	}
	r := t.report("transactions", o, time.Since(start))
	r.Window, r.Send = o.Window, t.latency()
	return r, nil
}

// commit sends and commits until the limits of o or the end of ctx.
func (o Options) commit(ctx context.Context, clients []*client.Client, start time.Time, t *tally) error {
	ctx, cancel := o.within(ctx)
	defer cancel()
	var (
		wg   sync.WaitGroup
		turn atomic.Int64 // messages begun by all
	)
	defer wg.Wait()
	for _, c := range clients {
		p, err := c.TransactionProducer(client.TransactionOptions{
			ProducerOptions: client.ProducerOptions{Group: "skua-bench-transactions", CompressAbove: -1},
			Check:           func(context.Context, *client.Received) client.Outcome { return client.Commit },
		})
		if err != nil {
			return err
		}
		for range o.Window {
			wg.Go(func() { o.transact(ctx, p, start, &turn, t) })
		}
	}
	return nil
}

// transact does one transaction after the other.
func (o Options) transact(ctx context.Context, p *client.TransactionProducer, start time.Time, turn *atomic.Int64, t *tally) {
	times := hdrhistogram.New(1, longest, 3)
	defer t.add(times)
	m := &client.Message{Topic: o.Topic, Body: make([]byte, o.Size)}
	for ctx.Err() == nil {
		n := turn.Add(1) - 1
		if o.Count > 0 && n >= o.Count {
			return
		}
		due, ok := o.due(ctx, start, n)
		if !ok {
			return
		}
		binary.BigEndian.PutUint64(m.Body, uint64(due.Sub(o.epoch)))
		_, _, err := p.Send(context.WithoutCancel(ctx), m, func(context.Context, client.Sent) (client.Outcome, error) { return client.Commit, nil })
		if err != nil {
			t.fail(err)
			continue
		}
		record(times, time.Since(due))
		t.messages.Add(1)
		t.bytes.Add(int64(o.Size))
	}
}
