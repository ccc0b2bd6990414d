package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// ProducerOptions configure a Producer. Zero values are defaults.
type ProducerOptions struct {
	Group          string        // "skua-producer"; brokers list producers by it
	SendTimeout    time.Duration // 3 s: of one attempt
	Retries        int           // 2: attempts after the first one, at another broker if there is one; below 0: none
	MaxMessageSize int           // 4 MiB: limit of a body, before compression, and of a batch; bytes
	CompressAbove  int           // 4 KiB: bodies from this size on are compressed, but not those of batches; below 0: none
	Compression    Compression   // Zlib
	CompressLevel  int           // 5: of Zlib, 1 to 9
	Window         int           // 4096: asynchronous sends that may wait for their answer; SendAsync blocks above
	Trace          bool          // what is sent is written to the client's TraceTopic, unless the broker wants no traces
	// AvoidSlowBrokers keeps off a broker for some seconds after it answered slowly or failed, as long as there are others.
	AvoidSlowBrokers bool
}

func (o ProducerOptions) withDefaults() ProducerOptions {
	if o.Group == "" {
		o.Group = "skua-producer"
	}
	if o.SendTimeout == 0 {
		o.SendTimeout = 3 * time.Second
	}
	if o.Compression == 0 {
		o.Compression = Zlib
	}
	for _, n := range []struct {
		value *int
		or    int
	}{{&o.Retries, 2}, {&o.MaxMessageSize, 4 << 20}, {&o.CompressAbove, 4 << 10}, {&o.CompressLevel, 5}, {&o.Window, 4096}} {
		if *n.value == 0 {
			*n.value = n.or
		}
	}
	o.Retries = max(o.Retries, 0)
	return o
}

// Producer sends messages. All methods may be called from any goroutine.
type Producer struct {
	c      *Client
	o      ProducerOptions
	group  []byte // o.Group, as headers carry it
	codec  *codec
	faults faults
	turn   atomic.Uint32 // round robin over queues
	window chan struct{} // a place for each asynchronous send in flight
	done   callbacks
	tasks  tasks
	traces *tracer // nil: nothing is traced

	ctx     context.Context // ends when Close begins; then no send waits for a route any more
	stop    context.CancelFunc
	mu      sync.Mutex // guards closed, against sends that begin, and closing
	closed  bool
	closing func()         // the rest of Close; nil: none
	sends   sync.WaitGroup // sends in flight
}

// Producer returns a new producer. It connects when the first message is sent.
func (c *Client) Producer(o ProducerOptions) (*Producer, error) {
	o = o.withDefaults()
	if err := skua.ValidateGroup(o.Group); err != nil {
		return nil, fmt.Errorf("client: producer: %w", err)
	}
	codec, err := newCodec(o.Compression, o.CompressLevel)
	if err != nil {
		return nil, fmt.Errorf("client: producer: %w", err)
	}
	p := &Producer{c: c, o: o, group: []byte(o.Group), codec: codec, window: make(chan struct{}, max(o.Window, 1))}
	if o.Trace {
		if p.traces, err = c.tracer(); err != nil {
			return nil, fmt.Errorf("client: producer: %w", err)
		}
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.turn.Store(rand.Uint32())
	p.done.init()
	if err := c.addProducer(p); err != nil {
		return nil, err
	}
	p.tasks.start(p.done.run)
	return p, nil
}

// Close lets no more sends begin, waits for those in flight and their callbacks, and tells the brokers.
func (p *Producer) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	closing := p.closing
	p.mu.Unlock()
	p.stop()
	p.sends.Wait()
	p.done.close()
	p.tasks.join()
	p.c.removeProducer(p)
	if closing != nil {
		closing()
	}
	return nil
}

// begin counts a send that Close has to wait for.
func (p *Producer) begin() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.sends.Add(1)
	return nil
}

// Send sends a message and waits until the broker has stored it. An error that has an *Error with Stored set means that
// the message is stored, but flush or replication were not done in time. Waiting for a route on first use is bounded by
// ctx, or by SendTimeout if ctx has no deadline; each attempt by both.
func (p *Producer) Send(ctx context.Context, m *Message) (Sent, error) {
	if err := p.begin(); err != nil {
		return Sent{}, err
	}
	defer p.sends.Done()
	x, err := p.pack(ctx, m)
	if err != nil {
		return Sent{}, fmt.Errorf("client: %w", err)
	}
	sent, err := p.sendParcel(ctx, x)
	if len(sent) == 0 {
		return Sent{}, err
	}
	return sent[0], err
}

// SendBatch sends messages of one topic together: in one request if they do not exceed MaxMessageSize, which are all stored
// in one queue, one after the other, or none; else in several such requests, one after the other. It tells where the messages
// are that are stored: with an error, those before the request that failed; the others were not sent. An error that has an
// *Error with Stored set says of all that are told that they are stored.
//
// All go to one topic and have the same ShardingKey, Queue and NoWait, and none is delayed. A batch with a ShardingKey or a
// Queue goes to one queue however large it is.
func (p *Producer) SendBatch(ctx context.Context, messages []*Message) ([]Sent, error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	defer p.sends.Done()
	parcels, err := p.packBatch(ctx, messages)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	var all []Sent
	var late error // of what is stored all the same
	for i, x := range parcels {
		sent, err := p.sendParcel(ctx, x)
		all = append(all, sent...)
		if err != nil && len(sent) == 0 {
			if len(parcels) > 1 {
				err = fmt.Errorf("client: %d of the %d messages of the batch are stored; request %d of %d: %w", len(all), len(messages), i+1, len(parcels), err)
			}
			endAll(parcels[i+1:], err)
			return all, err
		}
		if late == nil {
			late = err
		}
	}
	return all, late
}

// sendParcel sends a parcel and tells the hooks.
func (p *Producer) sendParcel(ctx context.Context, x *parcel) ([]Sent, error) {
	sent, err := p.deliver(ctx, x, &FailedError{Op: "sending to topic " + x.topic}, "")
	x.end(sent, err)
	return sent, err
}

// SendOneway sends a message without waiting for an answer: it may be lost and nobody will know. Only trouble on this
// side is an error.
func (p *Producer) SendOneway(ctx context.Context, m *Message) error {
	if err := p.begin(); err != nil {
		return err
	}
	defer p.sends.Done()
	x, err := p.pack(ctx, m)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	queue, err := p.sendOneway(ctx, x)
	x.end([]Sent{{ID: x.ids[0], Queue: queue}}, err)
	return err
}

func (p *Producer) sendOneway(ctx context.Context, x *parcel) (skua.Queue, error) {
	queue, addr, err := p.destination(ctx, x, "")
	if err != nil {
		return queue, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.SendTimeout)
	defer cancel()
	conn, err := p.c.conn(ctx, addr)
	if err != nil {
		return queue, p.c.failed("sending to topic "+x.topic, addr, time.Now(), err)
	}
	return queue, conn.Send(x.request(p.group, queue))
}

// destination chooses the queue for a parcel, not on the broker avoid if there are others, and finds its broker.
func (p *Producer) destination(ctx context.Context, x *parcel, avoid string) (skua.Queue, string, error) {
	r := p.c.knownWriteRoute(x.topic)
	if r == nil {
		ctx, cancel := p.within(ctx)
		defer cancel()
		defer context.AfterFunc(p.ctx, cancel)()
		var err error
		if r, err = p.c.writeRoute(ctx, x.topic); err != nil {
			return skua.Queue{}, "", err
		}
	}
	queue := p.choose(r, x, avoid)
	addr, ok := r.master(r.home(queue))
	if !ok {
		return queue, "", fmt.Errorf("client: topic %s: broker %q of the chosen queue has no master in the route", x.topic, r.home(queue))
	}
	return queue, addr, nil
}

func (p *Producer) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, p.o.SendTimeout)
}

// deliver sends a parcel until it is stored or the attempts are used up. failed holds the attempts before; avoid is the
// broker of the last one.
func (p *Producer) deliver(ctx context.Context, x *parcel, failed *FailedError, avoid string) ([]Sent, error) {
	for {
		queue, addr, err := p.destination(ctx, x, avoid)
		if err != nil {
			if failed.count == 0 {
				return nil, err
			}
			return nil, errors.Join(failed, err)
		}
		start := time.Now()
		sent, err := p.attempt(ctx, x, queue, addr)
		home := p.c.homeOf(queue)
		p.faults.note(home, time.Since(start), err != nil)
		p.noteSent(x, sent, addr, start, err)
		if err == nil || !p.again(x, err) {
			return sent, err
		}
		failed.add(addr, start, err)
		failed.Hint = hint(err)
		if failed.count > p.o.Retries || ctx.Err() != nil {
			return nil, failed
		}
		p.reroute(ctx, x, addr, err)
		avoid = home
	}
}

// attempt sends a parcel once.
func (p *Producer) attempt(ctx context.Context, x *parcel, queue skua.Queue, addr string) ([]Sent, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.SendTimeout)
	defer cancel()
	conn, err := p.c.conn(ctx, addr)
	if err != nil {
		return nil, err
	}
	f, err := conn.Call(ctx, x.request(p.group, queue))
	if err != nil {
		return nil, err
	}
	return x.answer(f, queue, addr)
}

// retryable reports whether another attempt may succeed: after network trouble, and after the refusals that Java's
// clients try again. A logical queue that has moved is there where the new route says.
func retryable(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	switch command.Status(e.Code) {
	case command.StatusTopicNotExist, command.StatusServiceNotAvailable, command.StatusSystemError, command.StatusSystemBusy,
		command.StatusNoPermission, command.StatusNoBuyerID, command.StatusNotInCurrentUnit, command.StatusGoAway,
		command.StatusNotLeaderForQueue:
		return true
	}
	return false
}

// reroute prepares for another attempt: the broker may have moved, or lost the topic. If there is no other broker the
// one that failed gets a moment to recover.
func (p *Producer) reroute(ctx context.Context, x *parcel, addr string, err error) {
	ctx, cancel := p.within(ctx)
	defer cancel()
	switch codeOf(err) {
	case 0, command.StatusTopicNotExist, command.StatusNoPermission, command.StatusGoAway, command.StatusNotLeaderForQueue:
		_, _ = p.c.fetchWriteRoute(ctx, x.topic) // in vain if name servers are down: then the old route has to do
	}
	r := p.c.routes.topic(x.topic).current.Load()
	if r != nil && len(r.brokers) > 1 {
		return
	}
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
}

// request is what SendAsync and the others put on the wire.
func (x *parcel) request(group []byte, queue skua.Queue) *wire.Request {
	h := x.header
	h.ProducerGroup = group
	h.QueueID = queue.ID
	h.BrokerName = []byte(queue.Broker)
	return &wire.Request{Code: x.code, Header: &h, Body: x.body}
}
