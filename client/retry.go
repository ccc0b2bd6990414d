package client

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// deadLetter is the delay level that sends a message to the dead letter topic.
const deadLetter = -1

// levelError is an error of a handler that says when the message is to come again.
type levelError struct {
	level int
	err   error
}

func (e *levelError) Error() string { return e.err.Error() }
func (e *levelError) Unwrap() error { return e.err }

// RetryAt wraps the error that a handler returns, so that the message comes again after the delay of one of the
// broker's levels, from 1, instead of the one that grows with the number of failures.
func RetryAt(level int, err error) error { return &levelError{max(level, 0), err} }

// DeadLetter wraps the error that a handler returns, so that the message goes to the dead letter topic of the group at
// once.
func DeadLetter(err error) error { return &levelError{deadLetter, err} }

// The shortest and the longest time that SuspendFor can ask for, as in Java.
const (
	shortestSuspension = 10 * time.Millisecond
	longestSuspension  = 30 * time.Second
)

// suspendError is an error of a handler that says how long its queue is to rest.
type suspendError struct {
	pause time.Duration
	err   error
}

func (e *suspendError) Error() string { return e.err.Error() }
func (e *suspendError) Unwrap() error { return e.err }

// SuspendFor wraps the error that the handler of an orderly consumer returns, so that its queue rests for so long, from 10 ms
// to 30 s, instead of RetryPause. For other consumers it is err.
func SuspendFor(pause time.Duration, err error) error {
	return &suspendError{min(max(pause, shortestSuspension), longestSuspension), err}
}

// pauseOf returns how long a queue rests because of err.
func (p *PushConsumer) pauseOf(err error) time.Duration {
	var e *suspendError
	if errors.As(err, &e) {
		return e.pause
	}
	return p.o.RetryPause
}

// levelOf returns the delay level that err asks for, 0 if it leaves that to the broker.
func levelOf(err error) int {
	var e *levelError
	if errors.As(err, &e) {
		return e.level
	}
	return 0
}

// retryLater sends a message back to the broker, which delivers it again through the retry topic of the group. If that
// fails it stays here and is handled again after a pause.
func (p *PushConsumer) retryLater(msg *Received, cause error) (next *Received) {
	err := p.sendBack(msg, levelOf(cause))
	if err == nil {
		return p.finish(msg)
	}
	p.m.c.log.Warn("message could not be sent back, it is retried here", "group", p.o.Group, "id", msg.ID(), "cause", cause, "error", err)
	m, l := p.m, msg.line
	time.AfterFunc(m.c.o.redeliver, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if at := msg.place - l.first; at >= 0 && !l.dropped { // else a seek forgot it, or it is another member's
			msg.ReconsumeTimes++
			l.again = append(l.again, msg)
			l.listLocked()
		}
	})
	return nil
}

// retryInOrder has a message handled again after a pause, before all others of its queue. When MaxReconsume is used up
// it goes to the dead letter topic and the queue goes on.
func (p *PushConsumer) retryInOrder(msg *Received, cause error) (next *Received) {
	dead := levelOf(cause) == deadLetter || p.o.MaxReconsume > 0 && msg.ReconsumeTimes >= p.o.MaxReconsume
	if dead {
		err := p.giveUp(msg, cause)
		if err == nil {
			return p.finish(msg)
		}
		p.m.c.log.Warn("message could not be sent to the dead letter topic, it is retried here", "group", p.o.Group, "id", msg.ID(), "error", err)
	}
	m, l := p.m, msg.line
	m.mu.Lock()
	msg.ReconsumeTimes++
	l.busy, l.held = false, true
	if msg.place-l.first >= 0 {
		l.again = append(l.again, msg)
	}
	gone := l.dropped
	m.mu.Unlock()
	if gone {
		m.retire(l)
		return nil
	}
	time.AfterFunc(p.pauseOf(cause), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		l.held = false
		l.listLocked()
	})
	return nil
}

// giveUp is the end of a message that an orderly consumer cannot handle.
func (p *PushConsumer) giveUp(msg *Received, cause error) error {
	if p.o.Broadcast {
		p.m.c.log.Warn("message is given up", "group", p.o.Group, "id", msg.ID(), "queue", msg.Queue, "offset", msg.Offset, "error", cause)
		return nil
	}
	return p.sendBack(msg, deadLetter)
}

// sendBack has the broker deliver a message again.
func (p *PushConsumer) sendBack(msg *Received, level int) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.m.c.o.Timeout)
	defer cancel()
	addr, err := p.m.c.masterOf(ctx, msg.Queue)
	if err != nil {
		return err
	}
	const op = "sending a message back"
	if msg.inner || strings.HasPrefix(msg.Queue.Broker, skua.LogicalBrokerPrefix) {
		_, err = p.m.c.call(ctx, op, addr, p.retryCopy(msg, level))
		return err
	}
	h := &command.SendBackHeader{
		Offset: msg.LogOffset, Group: p.o.Group, DelayLevel: int32(level), OriginMsgID: msg.ID(), OriginTopic: msg.Topic,
		BrokerName: msg.Queue.Broker,
	}
	if p.o.MaxReconsume > 0 {
		limit := int32(p.o.MaxReconsume)
		h.MaxReconsumeTimes = &limit
	}
	_, err = p.m.c.call(ctx, op, addr, &wire.Request{Code: command.ConsumerSendMsgBack, Header: h})
	return err
}

// retryCopy sends a message to the retry topic as a new one. It is for those of a batch that is stored in one record, which
// the broker could only copy as a whole, and for those of a logical queue, which may lie on another broker. The broker makes a dead letter of it if it failed more often than it may.
func (p *PushConsumer) retryCopy(msg *Received, level int) *wire.Request {
	properties := msg.Properties()
	if properties[skua.PropRetryTopic] == "" {
		properties[skua.PropRetryTopic] = msg.Topic
	}
	if properties[skua.PropOriginMessageID] == "" {
		properties[skua.PropOriginMessageID] = msg.OffsetID()
	}
	h := newSendHeader(skua.RetryTopic(p.o.Group), msg.BornTime, nil)
	h.ProducerGroup, h.BrokerName, h.QueueID, h.Flag = []byte(p.o.Group), []byte(msg.Queue.Broker), -1, msg.Flag
	h.ReconsumeTimes = int32(msg.ReconsumeTimes) + 1
	if limit := int32(p.o.MaxReconsume); limit > 0 || level == deadLetter {
		h.MaxReconsumeTimes, h.HasMaxReconsume = limit, true
	}
	switch level {
	case deadLetter:
		h.MaxReconsumeTimes, level = 0, 0
	case 0:
		level = firstRetryLevel + msg.ReconsumeTimes
	}
	properties[skua.PropDelayLevel] = strconv.Itoa(level)
	h.Properties = record.AppendProperties(nil, properties)
	return &wire.Request{Code: command.SendMessageV2, Header: &h, Body: msg.Body}
}

// firstRetryLevel is the delay level of a message's first retry; each further one waits a level longer.
const firstRetryLevel = 3
