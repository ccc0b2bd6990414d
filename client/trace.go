package client

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// Bounds of message traces, as in Java's clients.
const (
	maxTraces     = 2048    // records that wait to be sent
	traceBatch    = 10      // records that are sent at once
	maxTraceBytes = 128_000 // of a message of the trace topic
)

// traceGroup is the producer group of traces.
const traceGroup = "_INNER_TRACE_PRODUCER"

// tracer writes what happened to messages to the trace topic, in RocketMQ's form: mqadmin queryMsgTraceById and the dashboard
// show it. Records are gathered and sent in the background. Traces are a help, not a promise: when more come than can be
// sent, or the topic does not exist, they are dropped, which is logged when it begins and ends.
type tracer struct {
	topic   string
	delay   time.Duration // how long a record waits for others
	log     *slog.Logger
	p       *Producer // of traces; it writes none about itself
	records chan *traceRecord
	tasks   tasks
	ctx     context.Context // ends some time after close, when what could not be sent is given up
	stop    context.CancelFunc

	mu      sync.Mutex // guards the following
	closed  bool
	failing bool
}

// tracer returns what writes the traces of the client. It starts with the first producer or consumer that wants it.
func (c *Client) tracer() (*tracer, error) {
	c.tracing.Lock()
	defer c.tracing.Unlock()
	if c.traces != nil {
		return c.traces, nil
	}
	p, err := c.Producer(ProducerOptions{Group: traceGroup, SendTimeout: c.o.Timeout, MaxMessageSize: 2 * maxTraceBytes, Window: 64})
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	delete(c.owners, p) // it is closed after all others
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return nil, errors.Join(ErrClosed, p.Close())
	}
	t := &tracer{topic: c.o.TraceTopic, delay: c.o.traceDelay, log: c.log, p: p, records: make(chan *traceRecord, maxTraces)}
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.tasks.start(t.run)
	c.traces = t
	return t, nil
}

// closeTracer sends what waits, as long as the client's timeout at most.
func (c *Client) closeTracer() {
	c.tracing.Lock()
	t := c.traces
	c.tracing.Unlock()
	if t == nil {
		return
	}
	t.mu.Lock()
	t.closed = true
	close(t.records)
	t.mu.Unlock()
	limit := time.AfterFunc(c.o.Timeout, t.stop)
	t.tasks.join()
	t.p.Close()
	limit.Stop()
	t.stop()
}

// note takes a record. It does not block, and does nothing on a nil tracer.
func (t *tracer) note(r *traceRecord) {
	if t == nil || r.topic == t.topic {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	select {
	case t.records <- r:
	default:
		t.resultLocked(errTooManyTraces)
	}
}

var errTooManyTraces = errors.New("more come than can be sent")

// resultLocked notes how traces fare, and logs when that changes.
func (t *tracer) resultLocked(err error) {
	if failed := err != nil; failed != t.failing {
		t.failing = failed
		if failed {
			t.log.Warn("message traces are dropped", "topic", t.topic, "error", err)
		} else {
			t.log.Info("message traces are sent again", "topic", t.topic)
		}
	}
}

// run sends records in batches until the tracer closes.
func (t *tracer) run() {
	var batch []*traceRecord
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		select {
		case r, more := <-t.records:
			if !more {
				t.send(batch)
				return
			}
			if batch = append(batch, r); len(batch) < traceBatch {
				if len(batch) == 1 {
					timer.Reset(t.delay)
				}
				continue
			}
			timer.Stop()
		case <-timer.C:
		}
		t.send(batch)
		batch = batch[:0]
	}
}

// send sends the records of each topic in one message or, if they are many, several.
func (t *tracer) send(batch []*traceRecord) {
	byTopic := map[string][]*traceRecord{}
	for _, r := range batch {
		byTopic[r.topic] = append(byTopic[r.topic], r)
	}
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		m := &Message{Topic: t.topic}
		for _, r := range byTopic[topic] {
			text := r.append(nil)
			if len(m.Body) > 0 && len(m.Body)+len(text) > maxTraceBytes {
				t.sendOne(m)
				m = &Message{Topic: t.topic}
			}
			m.Body = append(m.Body, text...)
			for _, key := range append(strings.Fields(r.keys), r.id) {
				if !slices.Contains(m.Keys, key) {
					m.Keys = append(m.Keys, key)
				}
			}
		}
		t.sendOne(m)
	}
}

func (t *tracer) sendOne(m *Message) {
	ctx, cancel := context.WithTimeout(t.ctx, t.p.o.SendTimeout)
	done := func(_ Sent, err error) {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		if err != nil || len(t.records) < maxTraces/2 { // else the next ones would be dropped again
			t.resultLocked(err)
		}
	}
	if err := t.p.SendAsync(ctx, m, done); err != nil {
		done(Sent{}, err)
	}
}

// noteSent traces what a producer sent: a record for each message, so that each of a batch can be found.
func (p *Producer) noteSent(x *parcel, sent []Sent, addr string, start time.Time, err error) {
	if p.traces == nil || len(sent) == 0 || x.untraced {
		return
	}
	took := time.Since(start).Milliseconds()
	for i, s := range sent {
		m := x.messages[i]
		r := &traceRecord{kind: tracePub, at: start.UnixMilli(), region: x.region, group: p.o.Group, took: took, success: err == nil,
			topic: m.Topic, id: s.ID, tag: m.Tag, keys: strings.Join(m.Keys, " "), store: addr, offsetID: s.OffsetID, bodyLength: len(m.Body)}
		if len(x.messages) == 1 {
			r.bodyLength = len(x.body) // as it was sent
		}
		switch {
		case m.delayed():
			r.message = tracedDelay
		case x.header.SysFlag&record.FlagTransactionPrepared != 0:
			r.message = tracedHalf
		}
		p.traces.note(r)
	}
}

// traceConsumption traces that a message is about to be consumed, and returns what is to be called afterwards.
func (m *member) traceConsumption(msg *Received) func(result int) {
	if m.traces == nil || msg.Property(skua.PropTraceOn) == "false" {
		return func(int) {}
	}
	start := time.Now()
	r := traceRecord{kind: traceSubBefore, at: start.UnixMilli(), region: msg.Property(skua.PropRegion), group: m.group, request: m.c.ids.next(start),
		topic: msg.Topic, id: msg.ID(), keys: msg.Property(skua.PropKeys), retries: msg.ReconsumeTimes}
	if r.region == "" {
		r.region = defaultRegion
	}
	m.traces.note(&r)
	return func(result int) {
		after := r
		after.kind, after.at, after.took = traceSubAfter, time.Now().UnixMilli(), time.Since(start).Milliseconds()
		if after.result = result; result == consumedWell && time.Since(start) > consumeTimeout {
			after.result = consumedTooLong
		}
		after.success = result == consumedWell
		m.traces.note(&after)
	}
}

// consumeTimeout is how long consumption may take before traces say that it took too long.
const consumeTimeout = 15 * time.Minute
