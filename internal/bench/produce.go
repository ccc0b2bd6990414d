package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/skuamq/skua/client"
)

// stampSize is the size of the time at the start of each body, when the message was due, or to be delivered: ns since
// the epoch of the run.
const stampSize = 8

// Produce sends messages and measures until they are acknowledged. The error is that no message could be sent at all;
// later ones are counted.
func Produce(ctx context.Context, o Options) (*Report, error) {
	return run(ctx, o, func(o Options, clients []*client.Client) (*Report, error) { return o.produce(ctx, clients) })
}

func (o Options) produce(ctx context.Context, clients []*client.Client) (*Report, error) {
	if err := o.touch(ctx, clients[0]); err != nil {
		return nil, err
	}
	t := newTally()
	start := time.Now()
	if err := o.load(ctx, clients, start, t); err != nil {
		return nil, err
	}
	r := t.report("produce", o, time.Since(start))
	r.Window, r.Send = o.Window, t.latency()
	return r, nil
}

// touch sends one message, so that the topic is there and what is wrong comes to light before the run.
func (o Options) touch(ctx context.Context, c *client.Client) error {
	p, err := c.Producer(client.ProducerOptions{Group: "skua-bench"})
	if err != nil {
		return err
	}
	_, err = p.Send(ctx, &client.Message{Topic: o.Topic, Body: make([]byte, o.Size)})
	return errors.Join(err, p.Close())
}

// load sends until the limits of o or the end of ctx, and waits for all answers.
func (o Options) load(ctx context.Context, clients []*client.Client, start time.Time, t *tally) error {
	ctx, cancel := o.within(ctx)
	defer cancel()
	var (
		wg   sync.WaitGroup
		turn atomic.Int64 // messages begun by all
	)
	for _, c := range clients {
		p, err := c.Producer(client.ProducerOptions{Group: "skua-bench", Window: o.Window, CompressAbove: -1})
		if err != nil {
			return err
		}
		wg.Go(func() { o.send(ctx, p, start, &turn, t) })
	}
	wg.Wait()
	return nil
}

// send is the work of one client.
func (o Options) send(ctx context.Context, p *client.Producer, start time.Time, turn *atomic.Int64, t *tally) {
	times := hdrhistogram.New(1, longest, 3)
	var filler [256]byte
	for i := range filler {
		filler[i] = byte(rand.Uint32())
	}
	for ctx.Err() == nil {
		n := turn.Add(1) - 1
		if o.Count > 0 && n >= o.Count {
			break
		}
		due, ok := o.due(ctx, start, n)
		if !ok {
			break
		}
		m := &client.Message{Topic: o.Topic, Body: make([]byte, o.Size)}
		for at := 0; at < len(m.Body); {
			at += copy(m.Body[at:], filler[:])
		}
		if o.Delay > 0 {
			m.DeliverAt = due.Add(o.Delay)
		}
		binary.BigEndian.PutUint64(m.Body, uint64(due.Add(o.Delay).Sub(o.epoch)))
		// the callbacks of a producer run one after the other: times needs no lock
		err := p.SendAsync(context.WithoutCancel(ctx), m, func(_ client.Sent, err error) {
			if err != nil {
				t.fail(err)
				return
			}
			record(times, time.Since(due))
			t.messages.Add(1)
			t.bytes.Add(int64(o.Size))
		})
		if err != nil {
			t.fail(err)
		}
	}
	if err := p.Close(); err != nil {
		t.fail(err)
	}
	t.add(times)
}

// due returns when message n is to be sent, and waits until then. ok is false if ctx ends before.
func (o Options) due(ctx context.Context, start time.Time, n int64) (due time.Time, ok bool) {
	if o.Rate == 0 {
		return time.Now(), true
	}
	due = start.Add(time.Duration(float64(n) / o.Rate * float64(time.Second)))
	wait := time.Until(due)
	if wait <= 0 {
		return due, true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return due, true
	case <-ctx.Done():
		return due, false
	}
}
