package client

import (
	"context"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// byBroker sorts queues by the broker that holds them.
func (c *Client) byBroker(queues []skua.Queue) map[string][]skua.Queue {
	sorted := map[string][]skua.Queue{}
	for _, q := range queues {
		home := c.homeOf(q)
		sorted[home] = append(sorted[home], q)
	}
	return sorted
}

// askLocks sends LOCK_BATCH_MQ or UNLOCK_BATCH_MQ for queues of one broker.
func (m *member) askLocks(ctx context.Context, code command.Code, queues []skua.Queue) (*wire.Frame, error) {
	body := command.LockBatch{ClientID: m.c.id, Group: m.group}
	for _, q := range queues {
		body.Queues = append(body.Queues, command.QueueOf(q))
	}
	data, err := fastjson.Marshal(body)
	if err != nil {
		return nil, err
	}
	addr, err := m.c.masterOf(ctx, queues[0])
	if err != nil {
		return nil, err
	}
	return m.c.call(ctx, code.String(), addr, &wire.Request{Code: code, Body: data})
}

// lock returns those of queues that this member may consume in order now.
func (m *member) lock(ctx context.Context, queues []skua.Queue) []skua.Queue {
	var locked []skua.Queue
	for _, some := range m.c.byBroker(queues) {
		got, err := m.lockOn(ctx, some)
		if err != nil {
			m.c.log.Warn("queues could not be locked", "group", m.group, "broker", some[0].Broker, "error", err)
		}
		locked = append(locked, got...)
	}
	return locked
}

// lockOn locks queues of one broker.
func (m *member) lockOn(ctx context.Context, queues []skua.Queue) ([]skua.Queue, error) {
	f, err := m.askLocks(ctx, command.LockBatchMQ, queues)
	if err != nil {
		return nil, err
	}
	var r command.LockBatchResponse
	if err := fastjson.Unmarshal(f.Body, &r); err != nil {
		return nil, err
	}
	locked := make([]skua.Queue, len(r.Locked))
	for i, q := range r.Locked {
		locked[i] = q.Queue()
	}
	return locked, nil
}

// renewLocks confirms the locks of all lines. A line whose lock another member got is given up, without committing: the
// other one's progress counts. While a broker does not answer, its lines stop being consumed before their locks expire.
func (m *member) renewLocks(ctx context.Context) {
	lines := map[skua.Queue]*line{}
	var queues []skua.Queue
	for _, l := range m.held() {
		lines[l.queue] = l
		queues = append(queues, l.queue)
	}
	for broker, some := range m.c.byBroker(queues) {
		asked := time.Now()
		got, err := m.lockOn(ctx, some)
		if err != nil {
			m.c.log.Warn("locks could not be renewed", "group", m.group, "broker", broker, "error", err)
			continue
		}
		m.mu.Lock()
		for _, q := range got {
			if l := lines[q]; l != nil {
				l.locked = asked
				l.listLocked()
				delete(lines, q)
			}
		}
		for _, q := range some {
			if l := lines[q]; l != nil {
				m.c.log.Warn("lock of queue lost", "group", m.group, "queue", q)
				l.lost = true
				l.dropLocked()
				m.kick()
			}
		}
		m.mu.Unlock()
	}
}

// unlock lets other members have the queues of lines at once.
func (m *member) unlock(ctx context.Context, lines []*line) {
	var queues []skua.Queue
	for _, l := range lines {
		queues = append(queues, l.queue)
	}
	for broker, some := range m.c.byBroker(queues) {
		if _, err := m.askLocks(ctx, command.UnlockBatchMQ, some); err != nil {
			m.c.log.Warn("queues could not be unlocked; the broker does it in a minute", "group", m.group, "broker", broker, "error", err)
		}
	}
}
