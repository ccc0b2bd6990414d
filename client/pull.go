package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
)

// PullOptions configure a PullConsumer. Zero values are defaults.
type PullOptions struct {
	Group          string // "": the consumer is alone, reads all queues of its topics, and commits nothing
	Start          Start  // StartLatest
	AutoCommit     bool   // commit every five seconds, and at Close, what was consumed; else only Commit does
	Batch          int    // 32: the most messages that Poll returns, and that are asked for at a time
	ReadAhead      int    // 1000: messages of a queue held in memory
	ReadAheadBytes int64  // 100 MiB: of a queue
	// Strategy divides the queues among the members of the group, who must all have the same one. nil: Averagely.
	Strategy Strategy
}

// toolsGroup is a group that exists at each broker; consumers without a group go by it.
const toolsGroup = "TOOLS_CONSUMER"

// PullConsumer hands out messages when it is asked for them. A message counts as consumed when Poll or Commit is called
// next after Poll has returned it. Poll and Commit must not be called by two goroutines at a time; the other methods may
// be called from any.
type PullConsumer struct {
	m *member
	o PullOptions

	mu       sync.Mutex // guards the following
	mode     string     // "Subscribe" or "Assign", whichever came first
	started  bool
	returned []*Received // by the last Poll
}

// PullConsumer returns a consumer that reads nothing yet: Subscribe or Assign is next.
func (c *Client) PullConsumer(o PullOptions) (*PullConsumer, error) {
	if o.Batch <= 0 {
		o.Batch = 32
	}
	group := o.Group
	if group == "" {
		group = toolsGroup
	}
	if err := skua.ValidateGroup(group); err != nil {
		return nil, fmt.Errorf("client: pull consumer: %w", err)
	}
	m := c.newMember(group)
	m.active, m.loner, m.start, m.auto = true, o.Group == "", o.Start, o.AutoCommit && o.Group != ""
	m.limits.batch = int32(o.Batch)
	if o.ReadAhead > 0 {
		m.limits.messages = o.ReadAhead
	}
	if o.ReadAheadBytes > 0 {
		m.limits.bytes = o.ReadAheadBytes
	}
	m.limits.span = 0 // messages are consumed in the order of their queue
	if o.Strategy != nil {
		m.strategy = o.Strategy
	}
	p := &PullConsumer{m: m, o: o}
	m.closer = p.Close
	if err := c.join(m); err != nil {
		return nil, err
	}
	return p, nil
}

// claim settles whether queues are subscribed to or assigned.
func (p *PullConsumer) claim(mode string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode != "" && p.mode != mode {
		return fmt.Errorf("client: %s after %s: a pull consumer does either", mode, p.mode)
	}
	p.mode = mode
	return nil
}

// Subscribe reads this member's share of the queues of topics; that of a consumer without a group is all. It returns
// when a name server has told the routes, or ctx, or the client's timeout, is over. It may be called again to add
// topics.
func (p *PullConsumer) Subscribe(ctx context.Context, subs ...Subscription) error {
	if err := p.claim("Subscribe"); err != nil {
		return err
	}
	if err := p.m.subscribe(subs); err != nil {
		return err
	}
	p.mu.Lock()
	again := p.started
	p.started = true
	p.mu.Unlock()
	if again {
		if err := p.m.checkFilters(ctx); err != nil {
			return err
		}
		p.m.c.beatAll(ctx)
		p.m.kick()
		return nil
	}
	return p.m.begin(ctx)
}

// Assign reads exactly these queues, all their messages, and no others. Each begins at the offset that the group
// committed, else by Start. The error tells which queue could not be opened; then none of the new ones is.
func (p *PullConsumer) Assign(ctx context.Context, queues ...skua.Queue) error {
	if err := p.claim("Assign"); err != nil {
		return err
	}
	ctx, cancel := p.m.c.within(ctx)
	defer cancel()
	m := p.m
	offsets := map[skua.Queue]skua.QueueOffset{}
	for _, q := range queues {
		off, _, err := m.startOffset(ctx, q)
		if err != nil {
			return err
		}
		offsets[q] = off
	}
	p.mu.Lock()
	first := !p.started
	p.started = true
	p.mu.Unlock()
	if first {
		m.tasks.start(m.commitLoop)
	}
	for _, l := range m.held() {
		if _, keep := offsets[l.queue]; !keep {
			m.mu.Lock()
			l.dropLocked()
			m.mu.Unlock()
			m.retire(l)
		}
	}
	for _, q := range queues {
		sub, err := newSubscription(Subscription{Topic: q.Topic}, time.Now())
		if err != nil {
			return err
		}
		m.add(newLine(m, q, sub, offsets[q]))
	}
	return nil
}

// Assignment returns the queues that are read now, in order.
func (p *PullConsumer) Assignment() []skua.Queue {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	queues := slices.Collect(maps.Keys(p.m.lines))
	assign.SortQueues(queues)
	return queues
}

// errNotAssigned is the error for a queue that is not read.
var errNotAssigned = errors.New("client: the queue is not assigned to this consumer now")

// Seek goes on at offset in a queue that is read. Messages of it that were read ahead are forgotten, and those that
// Poll returned last no longer count.
func (p *PullConsumer) Seek(q skua.Queue, offset skua.QueueOffset) error {
	return p.with(q, func(l *line) { l.jumpLocked(offset) })
}

// Position returns the offset of the next message of a queue that does not count as consumed.
func (p *PullConsumer) Position(q skua.Queue) (offset skua.QueueOffset, err error) {
	err = p.with(q, func(l *line) { offset = l.positionLocked() })
	return offset, err
}

// Pause keeps Poll from returning messages of queues, and stops reading them ahead, until Resume.
func (p *PullConsumer) Pause(queues ...skua.Queue) error {
	return p.withAll(queues, func(l *line) { l.paused = true })
}

// Resume undoes Pause.
func (p *PullConsumer) Resume(queues ...skua.Queue) error {
	return p.withAll(queues, func(l *line) {
		l.paused = false
		l.listLocked()
		l.wakeLocked()
	})
}

func (p *PullConsumer) withAll(queues []skua.Queue, f func(*line)) error {
	for _, q := range queues {
		if err := p.with(q, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *PullConsumer) with(q skua.Queue, f func(*line)) error {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	l := p.m.lines[q]
	if l == nil {
		return fmt.Errorf("%w: %s queue %d on %s", errNotAssigned, q.Topic, q.ID, q.Broker)
	}
	f(l)
	return nil
}

// Poll returns at least one message, and at most Batch. It waits for the first one until ctx ends, whose error it then
// returns. After Close the error is ErrClosed.
func (p *PullConsumer) Poll(ctx context.Context) ([]*Received, error) {
	p.consumed()
	m := p.m
	defer context.AfterFunc(ctx, func() {
		m.mu.Lock() // so that the broadcast does not fall between a look at ctx and the wait
		defer m.mu.Unlock()
		m.some.Broadcast()
	})()
	m.mu.Lock()
	defer m.mu.Unlock()
	var messages []*Received
	for {
		for len(messages) < p.o.Batch && !m.halted {
			msg := m.takeLocked()
			if msg == nil {
				break
			}
			messages = append(messages, msg)
		}
		switch {
		case len(messages) > 0:
			p.mu.Lock()
			p.returned = messages
			p.mu.Unlock()
			return slices.Clone(messages), nil
		case m.halted:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		m.some.Wait()
	}
}

// consumed notes that what the last Poll returned is consumed.
func (p *PullConsumer) consumed() {
	p.mu.Lock()
	messages := p.returned
	p.returned = nil
	p.mu.Unlock()
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	for _, msg := range messages {
		msg.line.ackLocked(msg)
	}
}

// Commit makes what Poll has returned count as consumed, and tells the brokers where the group goes on. It waits for
// them.
func (p *PullConsumer) Commit(ctx context.Context) error {
	p.consumed()
	if p.m.loner {
		return errors.New("client: a consumer without a group cannot commit")
	}
	return p.m.commit(ctx, p.m.held())
}

// Close gives up the queues and tells the brokers, so that other members take over at once. A Poll that waits returns.
func (p *PullConsumer) Close() error {
	p.m.halt()
	return p.m.close()
}
