package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

const (
	suspendPull = 15 * time.Second       // how long the broker holds a pull that finds nothing
	pullTimeout = 30 * time.Second       // after which a pull is given up
	busyPause   = 20 * time.Millisecond  // before pulling again from a broker that is busy, or that answers without waiting
	goAwayPause = 200 * time.Millisecond // before looking for the successor of a broker that stops
)

// pull asks the broker for the messages from l.offset on. epoch tells which pull this is: there is one under way for
// each line, and a seek makes it void. The answer arrives in answered.
func (l *line) pull(epoch int) {
	m := l.m
	m.mu.Lock()
	if l.dropped || m.closing || epoch != l.epoch {
		m.mu.Unlock()
		return
	}
	if l.paused || l.fullLocked() {
		l.stalled = true
		m.mu.Unlock()
		return
	}
	h := l.headerLocked()
	from := l.from
	l.lastPull = time.Now()
	m.mu.Unlock()

	conn, addr, err := l.connect(from)
	if err != nil {
		l.failed(epoch, err, m.c.o.pullError)
		return
	}
	asked := time.Now()
	conn.Go(&wire.Request{Code: command.PullMessage, Header: h}, pullTimeout, func(f *wire.Frame, err error) {
		if err != nil {
			m.tasks.start(func() { l.failed(epoch, fmt.Errorf("%s: %w", addr, err), m.c.o.pullError) })
			return
		}
		a := newAnswer(f, addr)
		a.asked, a.took = h.QueueOffset, time.Since(asked)
		m.tasks.start(func() { l.answered(epoch, a) })
	})
}

// headerLocked makes the header of the next pull. It carries the subscription, so that the broker filters by this member's
// even if another one of the group announced a different one.
func (l *line) headerLocked() *command.PullHeader {
	h := &command.PullHeader{
		Group: []byte(l.m.group), Topic: []byte(l.queue.Topic), QueueID: l.queue.ID, QueueOffset: int64(l.offset),
		MaxMessages: l.m.limits.batch, SysFlag: command.PullSuspend | command.PullSubscription,
		SuspendTimeout: suspendPull.Milliseconds(), Subscription: []byte(l.sub.expression),
		SubVersion: l.sub.version, ExpressionType: []byte(l.sub.kind),
	}
	// Only progress is committed: Java's brokers handle pulls and commits side by side, so that the old offset that a pull
	// repeats may overwrite the new one of a commit that was sent after it.
	if commit := l.positionLocked(); commit > l.carried && l.m.auto && !l.m.broadcast && l.from == skua.Master {
		h.SysFlag |= command.PullCommit
		h.CommitOffset = int64(commit)
		l.carried = commit
	}
	return h
}

// connect returns a connection to the broker that holds the queue.
func (l *line) connect(from skua.BrokerID) (*wire.Conn, string, error) {
	c := l.m.c
	ctx, cancel := context.WithTimeout(l.m.ctx, c.o.Timeout)
	defer cancel()
	r := c.routes.topic(l.queue.Topic).current.Load()
	if r == nil {
		return nil, "", fmt.Errorf("topic %s has no route", l.queue.Topic)
	}
	addr, ok := r.addr(r.home(l.queue), from)
	if !ok {
		return nil, "", fmt.Errorf("broker %s is not in the route of topic %s", r.home(l.queue), l.queue.Topic)
	}
	conn, err := c.conn(ctx, addr)
	return conn, addr, err
}

// answer is what a broker answered to a pull.
type answer struct {
	addr   string
	status command.Status
	remark string
	header command.PullResponse
	body   []byte
	asked  int64 // offset
	took   time.Duration
}

// newAnswer copies what is needed of f. Without an offset to go on at, an answer must not count: the queue would be read
// from its beginning again.
func newAnswer(f *wire.Frame, addr string) *answer {
	a := &answer{addr: addr, status: command.Status(f.Code), remark: string(f.Remark), body: bytes.Clone(f.Body)}
	err := a.header.Decode(f.Ext)
	switch a.status {
	case command.StatusSuccess, command.StatusPullNotFound, command.StatusPullRetryImmediately, command.StatusPullOffsetMoved:
		if _, ok := f.Ext.Get("nextBeginOffset"); err == nil && (!ok || a.header.NextOffset < 0) {
			err = errors.New("the answer has no nextBeginOffset")
		}
	}
	if err != nil {
		a.status, a.remark = command.StatusSystemError, err.Error()
	}
	return a
}

// answered files the messages of an answer and goes on pulling.
func (l *line) answered(epoch int, a *answer) {
	switch a.status {
	case command.StatusSuccess:
		l.arrived(epoch, a)
	case command.StatusPullNotFound, command.StatusPullRetryImmediately:
		l.advance(epoch, skua.QueueOffset(a.header.NextOffset), skua.BrokerID(a.header.SuggestBroker))
		if a.header.NextOffset == a.asked && a.took < busyPause {
			l.later(epoch, busyPause) // a broker that does not hold pulls
			return
		}
		l.pull(epoch)
	case command.StatusPullOffsetMoved:
		l.moved(epoch, a)
	case command.StatusGoAway:
		l.failed(epoch, l.refused(a), goAwayPause)
	case command.StatusSystemBusy, command.StatusFlowControl:
		l.failed(epoch, l.refused(a), busyPause)
	default:
		l.failed(epoch, l.refused(a), l.m.c.o.pullError)
	}
}

func (l *line) refused(a *answer) error {
	return &Error{Op: fmt.Sprintf("pull from %s queue %d", l.queue.Topic, l.queue.ID), Addr: a.addr, Code: int32(a.status), Remark: a.remark}
}

// advance notes where the next pull begins.
func (l *line) advance(epoch int, next skua.QueueOffset, from skua.BrokerID) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if epoch == l.epoch {
		l.offset, l.from = next, from
		l.recoverLocked()
	}
}

// arrived files the messages of an answer and goes on pulling.
func (l *line) arrived(epoch int, a *answer) {
	m := l.m
	messages, err := l.decode(a.body, skua.QueueOffset(a.asked), skua.QueueOffset(a.header.OffsetDelta))
	if err != nil {
		l.failed(epoch, fmt.Errorf("%s sent what is no message: %w", a.addr, err), m.c.o.pullError)
		return
	}
	m.mu.Lock()
	if epoch == l.epoch && !l.dropped {
		l.offset, l.from = skua.QueueOffset(a.header.NextOffset), skua.BrokerID(a.header.SuggestBroker)
		l.recoverLocked()
		l.fileLocked(messages)
	}
	m.mu.Unlock()
	l.pull(epoch)
}

// moved goes on where the broker says. If an operator reset the offset of the group, or what was asked for is not there
// yet, what was read ahead is forgotten. If it is there no more, what was read before it went is all the more welcome.
func (l *line) moved(epoch int, a *answer) {
	m, next := l.m, skua.QueueOffset(a.header.NextOffset)
	m.c.log.Warn("offset moved by the broker", "group", m.group, "queue", l.queue, "from", a.asked, "to", next, "reason", a.remark)
	if a.header.NextOffset == a.asked {
		l.later(epoch, m.c.o.pullError) // nowhere to go
		return
	}
	if a.header.NextOffset > a.asked && a.remark != offsetReset {
		l.advance(epoch, next, skua.Master)
		l.pull(epoch)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch == l.epoch {
		l.jumpLocked(next)
	}
}

// offsetReset is the remark of a broker that moves the offset because it was told to.
const offsetReset = "OFFSET_RESET"

// recoverLocked notes that a pull went well.
func (l *line) recoverLocked() {
	if at := (place{l.queue.Broker, l.queue.Topic}); len(l.m.trouble) > 0 && l.m.trouble[at] != "" {
		delete(l.m.trouble, at)
		l.m.c.log.Info("topic can be read again", "group", l.m.group, "topic", at.topic, "broker", at.broker)
	}
}

// failed pulls again after a pause. Trouble is logged when it begins or changes, once for all queues of a topic on a
// broker.
func (l *line) failed(epoch int, err error, pause time.Duration) {
	m, at := l.m, place{l.queue.Broker, l.queue.Topic}
	text := "network"
	if code := codeOf(err); code != 0 {
		text = code.String()
	}
	m.mu.Lock()
	current := epoch == l.epoch && !l.dropped && !m.closing
	isNew := current && m.trouble[at] != text
	if current {
		m.trouble[at], l.from = text, skua.Master
	}
	m.mu.Unlock()
	if isNew {
		m.c.log.Warn("topic cannot be read now", "group", m.group, "topic", at.topic, "broker", at.broker, "queue", l.queue.ID, "error", err)
	}
	switch codeOf(err) {
	case command.StatusSystemBusy, command.StatusFlowControl, command.StatusSystemError:
	default:
		if _, err := m.c.fetchRoute(m.ctx, l.queue.Topic); err == nil {
			m.kick()
		}
	}
	l.later(epoch, pause)
}

// later pulls after a pause.
func (l *line) later(epoch int, pause time.Duration) {
	time.AfterFunc(pause, func() { l.m.tasks.start(func() { l.pull(epoch) }) })
}

// decode reads the records of an answer, and leaves out what the subscription does not want. from is the offset that was
// asked for; a record that is a batch may begin before it. delta is added to the offsets in the records, which are those of
// the broker's queue.
func (l *line) decode(body []byte, from, delta skua.QueueOffset) ([]*Received, error) {
	messages := make([]*Received, 0, l.m.limits.batch)
	for len(body) > 0 {
		r, n, err := record.Decode(body)
		if err != nil {
			return nil, err
		}
		body = body[n:]
		m := newReceived(&r, l.queue)
		m.Offset += delta
		if m.SysFlag&compressedFlag != 0 {
			inflate(l.m.c.log, m)
		}
		if m.SysFlag&record.FlagInnerBatch != 0 {
			if messages, err = l.unwrap(messages, m, from); err != nil {
				return nil, err
			}
			continue
		}
		if l.sub.matches(m) {
			messages = append(messages, m)
		}
	}
	return messages, nil
}

// unwrap appends the messages that a record holds, from an offset on: those of a batch queue keep batches whole.
func (l *line) unwrap(messages []*Received, batch *Received, from skua.QueueOffset) ([]*Received, error) {
	off := batch.Offset
	err := record.EachBatchItem(batch.Body, func(it record.BatchItem) bool {
		m := *batch
		m.Offset, m.Flag, m.Body, m.properties = off, it.Flag, it.Body, it.Properties
		m.SysFlag &^= record.FlagInnerBatch | record.FlagNeedUnwrap
		m.inner = true
		if off >= from && l.sub.matches(&m) {
			messages = append(messages, &m)
		}
		off++
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("batch at offset %d: %w", batch.Offset, err)
	}
	return messages, nil
}

// inflate decompresses the body of m. A body that cannot be read is better handed over as it is than lost.
func inflate(log *slog.Logger, m *Received) {
	body, err := decompress(m.Body, m.SysFlag, maxInflated)
	if err != nil {
		log.Warn("body cannot be decompressed, it is handed over as it is", "queue", m.Queue, "offset", m.Offset, "error", err)
		return
	}
	m.Body = body
	m.SysFlag &^= compressedFlag | compressionMask
}

// newReceived is the message of a stored record, read from q.
func newReceived(r *record.Message, q skua.Queue) *Received {
	m := &Received{
		Topic: q.Topic, Body: r.Body, Queue: q, Offset: r.QueueOffset, LogOffset: r.LogOffset, Size: r.Size,
		BornTime: time.UnixMilli(r.BornTime), BornHost: r.BornHost, StoreTime: time.UnixMilli(r.StoreTime), StoreHost: r.StoreHost,
		ReconsumeTimes: int(r.ReconsumeTimes), Flag: r.Flag, SysFlag: r.SysFlag, properties: r.Properties,
	}
	if isLight(q.Topic) {
		m.placeLight(r)
	}
	if skua.IsRetryTopic(q.Topic) {
		if topic := m.Property(skua.PropRetryTopic); topic != "" {
			m.Topic = topic
		}
	}
	return m
}
