package client

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/skuamq/skua"
)

// Handler consumes a message. nil means that it is consumed. With an error the message comes again, later: in a
// broadcast consumer it does not, in an orderly one the queue waits for it. See also RetryAt and DeadLetter. A panic is
// an error. ctx ends when the consumer closes and DrainTimeout is over.
type Handler func(ctx context.Context, m *Received) error

// PushOptions configure a PushConsumer. Zero values are defaults.
type PushOptions struct {
	Group         string         // needed
	Subscriptions []Subscription // at least one, the same in all members of the group
	Handler       Handler        // needed
	Start         Start          // StartLatest

	Broadcast  bool   // each consumer gets every message; offsets are kept here, not at the broker
	OffsetFile string // of a broadcast consumer: where to keep them; "": in memory, so each run begins by Start
	Orderly    bool   // the messages of a queue are handled one after the other, by one consumer of the group
	// Strategy divides the queues among the members of the group, who must all have the same one. nil: Averagely.
	Strategy Strategy
	// ByBroker has a broker (5.0 or newer) divide the queues instead, in this way, from the members that it knows; the same in all
	// members. It is what Java's clientRebalance=false is. An operator may then tell it that the group pops a topic
	// (mqadmin setConsumeMode -m POP): this client cannot, so it reads none of the topic's queues until that is changed, which the log
	// tells. Not for orderly and broadcast consumers, nor together with Strategy.
	ByBroker BrokerStrategy

	Concurrency    int           // 20: messages handled at a time
	ReadAhead      int           // 1000: messages of a queue held in memory
	ReadAheadBytes int64         // 100 MiB: of a queue
	PullBatch      int           // 32: messages asked for at a time
	DrainTimeout   time.Duration // 30 s: how long Close waits before it ends the context of handlers

	// Trace has what the handler does with each message written to the client's TraceTopic, unless the message says that it is
	// not to be traced.
	Trace bool
	// MaxReconsume is how often a message comes again before it goes to the dead letter topic %DLQ%group. 0 leaves it to
	// the settings of the group at the broker, usually 16; an orderly consumer then tries for ever.
	MaxReconsume int
	RetryPause   time.Duration // 1 s: of an orderly consumer, before it tries a message again
}

// PushConsumer calls a function for each message of its share of the queues.
type PushConsumer struct {
	m       *member
	o       PushOptions
	workers tasks
	ctx     context.Context // of handlers
	stop    context.CancelFunc
	once    sync.Once
}

// PushConsumer starts a new consumer. It returns when a name server has told the routes of its topics, or ctx, or the
// client's timeout, is over; a topic that does not exist is waited for in the background.
func (c *Client) PushConsumer(ctx context.Context, o PushOptions) (*PushConsumer, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("client: push consumer: %w", err)
	}
	m := c.newMember(o.Group)
	m.broadcast, m.orderly, m.start, m.auto, m.byBroker = o.Broadcast, o.Orderly, o.Start, true, o.ByBroker
	if o.Trace {
		traces, err := c.tracer()
		if err != nil {
			return nil, fmt.Errorf("client: push consumer: %w", err)
		}
		m.traces = traces
	}
	m.limits.messages, m.limits.bytes, m.limits.batch = o.ReadAhead, o.ReadAheadBytes, int32(o.PullBatch)
	if o.Strategy != nil {
		m.strategy = o.Strategy
	}
	subs := o.Subscriptions
	if o.Broadcast {
		local, err := openLocalOffsets(o.OffsetFile)
		if err != nil {
			return nil, err
		}
		m.local = local
	} else {
		subs = append(subs[:len(subs):len(subs)], Subscription{Topic: skua.RetryTopic(o.Group)})
	}
	if err := m.subscribe(subs); err != nil {
		return nil, err
	}
	p := &PushConsumer{m: m, o: o}
	p.ctx, p.stop = context.WithCancel(context.Background())
	m.closer, m.handle = p.Close, p.guarded
	if err := c.join(m); err != nil {
		return nil, err
	}
	for range o.Concurrency {
		p.workers.start(p.work)
	}
	if err := m.begin(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// complete fills in defaults and checks the rest.
func (o *PushOptions) complete() error {
	for _, n := range []struct {
		value *int
		or    int
	}{{&o.Concurrency, 20}, {&o.ReadAhead, 1000}, {&o.PullBatch, 32}} {
		if *n.value <= 0 {
			*n.value = n.or
		}
	}
	if o.ReadAheadBytes <= 0 {
		o.ReadAheadBytes = 100 << 20
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 30 * time.Second
	}
	if o.RetryPause == 0 {
		o.RetryPause = time.Second
	}
	switch {
	case o.Handler == nil:
		return errors.New("no Handler")
	case len(o.Subscriptions) == 0:
		return errors.New("no Subscriptions")
	}
	if err := o.checkByBroker(); err != nil {
		return err
	}
	return skua.ValidateGroup(o.Group)
}

// Close lets no more messages be handled, waits for the handlers that run, commits offsets, gives back locks and tells
// the brokers, so that other members take over at once. It must not be called from a handler.
func (p *PushConsumer) Close() error {
	p.once.Do(func() {
		p.m.halt()
		limit := time.AfterFunc(p.o.DrainTimeout, p.stop)
		p.workers.join()
		limit.Stop()
		p.stop()
	})
	return p.m.close()
}

// work handles messages until the consumer closes.
func (p *PushConsumer) work() {
	for msg := p.m.wait(); msg != nil; {
		if msg = p.consume(msg); msg == nil {
			msg = p.m.wait()
		}
	}
}

// wait returns the next message, nil when no more are handed out.
func (m *member) wait() *Received {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if m.halted {
			return nil
		}
		if msg := m.takeLocked(); msg != nil {
			return msg
		}
		m.some.Wait()
	}
}

// consume handles a message and does what its result asks for. It returns the message that is to be handled next, nil if
// that must be waited for.
func (p *PushConsumer) consume(msg *Received) (next *Received) {
	start, traced := time.Now(), p.m.traceConsumption(msg)
	err := p.guarded(p.ctx, msg)
	traced(resultOf(err))
	p.m.counts.note(time.Since(start), err)
	switch {
	case err == nil:
		return p.finish(msg)
	case p.o.Broadcast && !p.o.Orderly:
		p.m.c.log.Warn("message could not be consumed and is given up: broadcast consumers do not retry", "group", p.o.Group, "id", msg.ID(), "queue", msg.Queue, "offset", msg.Offset, "error", err)
		return p.finish(msg)
	case p.o.Orderly:
		return p.retryInOrder(msg, err)
	default:
		return p.retryLater(msg, err)
	}
}

// errPanic is in the error of a handler that panicked.
var errPanic = errors.New("handler panicked")

// guarded calls the handler, with the hook around it, and makes an error of its panic.
func (p *PushConsumer) guarded(ctx context.Context, msg *Received) (err error) {
	after := func(error) {}
	defer func() {
		if v := recover(); v != nil {
			p.m.c.log.Error("handler panicked", "group", p.o.Group, "id", msg.ID(), "panic", v, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, v)
		}
		after(err)
	}()
	ctx, after = p.m.c.hooked(ctx, msg)
	return p.o.Handler(ctx, msg)
}

// resultOf is the result of a handler as traces tell it.
func resultOf(err error) int {
	switch {
	case err == nil:
		return consumedWell
	case errors.Is(err, errPanic):
		return consumerPanicked
	}
	return consumerFailed
}

// finish notes that msg is done with, and takes the next message, nil if there is none. The line of an orderly consumer goes
// on, or back if it was dropped meanwhile.
func (p *PushConsumer) finish(msg *Received) (next *Received) {
	m, l := p.m, msg.line
	m.mu.Lock()
	l.ackLocked(msg)
	l.busy = false
	gone := l.dropped && m.orderly
	if !gone && !m.halted {
		l.enlistLocked() // nobody needs to be woken: this goroutine takes one
		next = m.takeLocked()
	}
	m.mu.Unlock()
	if gone {
		m.retire(l)
	}
	return next
}
