package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// MinOffset returns the offset of the oldest message of a queue that is still there.
func (c *Client) MinOffset(ctx context.Context, q skua.Queue) (skua.QueueOffset, error) {
	return c.askOffset(ctx, command.GetMinOffset, q, command.OffsetHeader{SetZero: true})
}

// MaxOffset returns the offset that the next message of a queue will have.
func (c *Client) MaxOffset(ctx context.Context, q skua.Queue) (skua.QueueOffset, error) {
	return c.askOffset(ctx, command.GetMaxOffset, q, command.OffsetHeader{SetZero: true})
}

// OffsetAt returns the offset of the first message of a queue that was stored at t or later; if there is none, that of
// the last one.
func (c *Client) OffsetAt(ctx context.Context, q skua.Queue, t time.Time) (skua.QueueOffset, error) {
	return c.askOffset(ctx, command.SearchOffsetByTimestamp, q, command.OffsetHeader{SetZero: true, Timestamp: t.UnixMilli()})
}

// Committed returns the offset at which group goes on in a queue; -1 if it never committed one.
func (c *Client) Committed(ctx context.Context, group string, q skua.Queue) (skua.QueueOffset, error) {
	off, err := c.askOffset(ctx, command.QueryConsumerOffset, q, command.OffsetHeader{Group: []byte(group)})
	if codeOf(err) == command.StatusQueryNotFound {
		return -1, nil
	}
	return off, err
}

func (c *Client) askOffset(ctx context.Context, code command.Code, q skua.Queue, h command.OffsetHeader) (skua.QueueOffset, error) {
	ctx, cancel := c.within(ctx)
	defer cancel()
	op := fmt.Sprintf("%v of %s queue %d on %s", code, q.Topic, q.ID, q.Broker)
	h.Topic, h.QueueID, h.HasQueueID = []byte(q.Topic), q.ID, true
	addr, f, err := c.askHome(ctx, op, q, &wire.Request{Code: code, Header: &h})
	if err != nil {
		return 0, err
	}
	var r command.OffsetResponse
	if err := command.Decode(f.Ext, &r); err != nil {
		return 0, fmt.Errorf("%s: %s sent an answer that cannot be read: %w", op, addr, err)
	}
	return skua.QueueOffset(r.Offset), nil
}

// askHome sends a request about a queue to the broker that has it, which may be another one since the route was asked for.
func (c *Client) askHome(ctx context.Context, op string, q skua.Queue, r *wire.Request) (addr string, f *wire.Frame, err error) {
	if addr, err = c.masterOf(ctx, q); err != nil {
		return "", nil, err
	}
	if f, err = c.call(ctx, op, addr, r); codeOf(err) != command.StatusNotLeaderForQueue {
		return addr, f, err
	}
	if _, e := c.fetchRoute(ctx, q.Topic); e != nil {
		return addr, nil, err
	}
	if addr, err = c.masterOf(ctx, q); err != nil {
		return "", nil, err
	}
	f, err = c.call(ctx, op, addr, r)
	return addr, f, err
}

// masterOf returns the address of the broker that holds q, or of a slave if it has no master.
func (c *Client) masterOf(ctx context.Context, q skua.Queue) (string, error) {
	r := c.routes.topic(q.Topic).current.Load()
	if r == nil || r.brokers[r.home(q)] == nil {
		var err error
		if r, err = c.fetchRoute(ctx, q.Topic); err != nil {
			return "", err
		}
	}
	addr, ok := r.addr(r.home(q), skua.Master)
	if !ok {
		return "", fmt.Errorf("client: broker %q is not in the route of topic %s", r.home(q), q.Topic)
	}
	return addr, nil
}

// startOffset is where the member begins to read a queue that fell to it. isNew reports that the group never consumed
// from it, so that the start rule decided.
func (m *member) startOffset(ctx context.Context, q skua.Queue) (off skua.QueueOffset, isNew bool, err error) {
	if m.broadcast {
		if off, ok := m.local.offset(q); ok {
			return off, false, nil
		}
	} else if !m.loner {
		if off, err := m.c.Committed(ctx, m.group, q); err != nil || off >= 0 {
			return off, false, err
		}
	}
	m.mu.Lock()
	late := m.known[q.Topic] != nil && !m.known[q.Topic][q]
	m.mu.Unlock()
	switch {
	case late, m.start.first, skua.IsRetryTopic(q.Topic):
		off, err = m.c.MinOffset(ctx, q)
	case !m.start.at.IsZero():
		off, err = m.c.OffsetAt(ctx, q, m.start.at)
	default:
		off, err = m.c.MaxOffset(ctx, q)
	}
	return max(off, 0), true, err
}

// commitLoop commits offsets and renews locks until the member is closed.
func (m *member) commitLoop() {
	commit, renew := time.NewTicker(m.c.o.commit), time.NewTicker(m.c.o.lockRenew)
	defer commit.Stop()
	defer renew.Stop()
	for {
		select {
		case <-m.ctx.Done():
			return
		case <-commit.C:
			if m.auto {
				m.commitOneway()
			}
		case <-renew.C:
			if m.orderly && !m.broadcast {
				m.renewLocks(m.ctx)
			}
		}
	}
}

// due is an offset to be committed.
type due struct {
	l      *line
	offset skua.QueueOffset
}

// due returns what has changed since the last commit, and notes it as committed.
func (m *member) due(lines []*line) []due {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []due
	for _, l := range lines {
		if off := l.positionLocked(); l.unsaved || off != l.saved {
			l.saved, l.unsaved = off, false
			list = append(list, due{l, off})
		}
	}
	return list
}

// unsave has offsets committed once more, which could not be.
func (m *member) unsave(d due) {
	m.mu.Lock()
	d.l.unsaved = true
	m.mu.Unlock()
}

func (m *member) held() []*line {
	m.mu.Lock()
	defer m.mu.Unlock()
	lines := make([]*line, 0, len(m.lines))
	for _, l := range m.lines {
		lines = append(lines, l)
	}
	return lines
}

func (m *member) commitRequest(d due) *wire.Request {
	return &wire.Request{Code: command.UpdateConsumerOffset, Header: &command.OffsetHeader{
		Group: []byte(m.group), Topic: []byte(d.l.queue.Topic), QueueID: d.l.queue.ID, HasQueueID: true,
		CommitOffset: int64(d.offset), HasCommit: true, SetZero: true,
	}}
}

// commitOneway commits what has changed without waiting for brokers: each pull carries the offset too, and so does the
// next round.
func (m *member) commitOneway() {
	list := m.due(m.held())
	if m.broadcast {
		m.saveLocal(list)
		return
	}
	for _, d := range list {
		conn, _, err := d.l.connect(skua.Master)
		if err == nil {
			err = conn.Send(m.commitRequest(d))
		}
		if err != nil {
			m.unsave(d)
		}
	}
}

// commit commits the offsets of lines that have changed, and waits for the brokers. It returns the first error.
func (m *member) commit(ctx context.Context, lines []*line) error {
	list := m.due(lines)
	if m.broadcast {
		return m.saveLocal(list)
	}
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		first    error
		failures int
	)
	places := make(chan struct{}, 16)
	for _, d := range list {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			err := m.commitOne(ctx, d)
			if err == nil {
				return
			}
			m.unsave(d)
			mu.Lock()
			defer mu.Unlock()
			failures++
			if first == nil {
				first = fmt.Errorf("client: offset %d of %s queue %d on %s could not be committed: %w", d.offset, d.l.queue.Topic, d.l.queue.ID, d.l.queue.Broker, err)
			}
		})
	}
	wg.Wait()
	if first != nil {
		m.c.log.Warn("offsets could not be committed", "group", m.group, "queues", failures, "error", first)
	}
	return first
}

func (m *member) commitOne(ctx context.Context, d due) error {
	addr, err := m.c.masterOf(ctx, d.l.queue)
	if err != nil {
		return err
	}
	_, err = m.c.call(ctx, "commit", addr, m.commitRequest(d))
	return err
}

func (m *member) saveLocal(list []due) error {
	for _, d := range list {
		m.local.set(d.l.queue, d.offset)
	}
	err := m.local.save()
	if err != nil {
		m.c.log.Warn("broadcast offsets could not be saved", "group", m.group, "error", err)
	}
	return err
}
