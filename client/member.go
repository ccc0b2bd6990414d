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
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// member is what push and pull consumers have in common: a place in a group, the queues that fell to it, and the
// messages of these that were read ahead.
//
// Messages wait in the line of their queue. A line that has some to hand out stands in ready, once; whoever wants a
// message takes it from the first line there. Nothing runs for a queue while the broker holds its pull: the answer
// starts a goroutine, which files the messages, sends the next pull, and ends.
type member struct {
	c         *Client
	group     string
	active    bool // a pull consumer
	broadcast bool // every member gets every message
	orderly   bool // one message of a queue at a time, under a lock at the broker
	loner     bool // takes part in no group: nothing is announced or committed
	auto      bool // offsets are committed without being asked to
	start     Start
	strategy  Strategy
	byBroker  BrokerStrategy // "": strategy counts
	limits    limits
	local     *localOffsets // of a broadcast consumer
	closer    func() error  // Close of the consumer
	// handle is the function of a push consumer, guarded against panics; nil in pull consumers.
	handle func(context.Context, *Received) error
	traces *tracer // nil: nothing is traced
	began  time.Time

	ctx   context.Context // ends when close begins to give up queues
	stop  context.CancelFunc
	tasks tasks
	kicks chan struct{} // a member came or went, or a route changed

	counts counts

	mu      sync.Mutex // guards the following, and the lines
	some    sync.Cond  // ready has a line, or the member is closing
	subs    map[string]*subscription
	known   map[string]map[skua.Queue]bool // queues of each topic since its first division
	lines   map[skua.Queue]*line
	ready   lineQueue
	trouble map[place]string  // why pulls fail now
	unfit   map[string]string // by topic, why its queues could not be divided last, "" if they could
	halted  bool              // nothing is handed out any more
	closing bool
}

// place is a topic on a broker: its queues share their troubles.
type place struct{ broker, topic string }

// limits bound what is read ahead of consumption, for each queue.
type limits struct {
	messages int
	bytes    int64
	span     skua.QueueOffset // between the oldest unconsumed message and the newest; 0: any
	batch    int32            // messages in one pull
}

func (c *Client) newMember(group string) *member {
	m := &member{
		c: c, group: group, strategy: Averagely, kicks: make(chan struct{}, 1), began: time.Now(),
		limits: limits{messages: 1000, bytes: 100 << 20, span: 2000, batch: 32},
		subs:   map[string]*subscription{}, known: map[string]map[skua.Queue]bool{}, lines: map[skua.Queue]*line{}, trouble: map[place]string{}, unfit: map[string]string{},
	}
	m.some.L = &m.mu
	m.ctx, m.stop = context.WithCancel(context.Background())
	return m
}

// join makes the member known to the client, and announces it to brokers with each heartbeat.
func (c *Client) join(m *member) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return ErrClosed
	case c.groups[m.group] != nil && !m.loner:
		return fmt.Errorf("client: the consumer group %s has been created before in this client: one consumer for each group and client", m.group)
	}
	c.readers[m] = true
	if !m.loner {
		c.groups[m.group] = m
	}
	return nil
}

// leave undoes join and tells the brokers.
func (c *Client) leave(m *member) {
	c.mu.Lock()
	delete(c.readers, m)
	if c.groups[m.group] == m {
		delete(c.groups, m.group)
	}
	c.mu.Unlock()
	if !m.loner {
		ctx, cancel := context.WithTimeout(context.Background(), c.o.Timeout)
		defer cancel()
		c.unregister(ctx, command.UnregisterClientHeader{ConsumerGroup: m.group})
	}
}

// subscribe adds subscriptions.
func (m *member) subscribe(subs []Subscription) error {
	for _, s := range subs {
		sub, err := newSubscription(s, time.Now())
		if err != nil {
			return fmt.Errorf("client: consumer group %s: %w", m.group, err)
		}
		m.mu.Lock()
		before := m.subs[s.Topic]
		if before == nil {
			m.subs[s.Topic] = sub
		}
		m.mu.Unlock()
		if before != nil && (before.kind != sub.kind || before.expression != sub.expression) {
			return fmt.Errorf("client: consumer group %s: topic %s is subscribed to as %q already: a consumer that wants %q has to be a new one",
				m.group, s.Topic, before.expression, sub.expression)
		}
	}
	return nil
}

func (m *member) subscribed(topic string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.subs[topic] != nil
}

func (m *member) topics() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.subs))
}

// begin finds the routes of the subscribed topics, announces the member and starts the division of queues. A topic that
// does not exist yet is waited for in the background; that no name server answers is an error.
func (m *member) begin(ctx context.Context) error {
	ctx, cancel := m.c.within(ctx)
	defer cancel()
	for _, topic := range m.topics() {
		if err := m.findRoute(ctx, topic); err != nil {
			return fmt.Errorf("client: consumer group %s: %w", m.group, err)
		}
	}
	if err := m.checkFilters(ctx); err != nil {
		return err
	}
	m.c.beatAll(ctx)
	m.tasks.start(m.balanceLoop)
	m.tasks.start(m.commitLoop)
	return nil
}

// findRoute waits until a name server answers, or ctx ends.
func (m *member) findRoute(ctx context.Context, topic string) error {
	start := time.Now()
	for {
		_, err := m.c.fetchRoute(ctx, topic)
		var refused *Error
		if err == nil || errors.As(err, &refused) {
			if err != nil {
				m.expect(topic, err)
			}
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-m.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return waited(err, start)
		}
	}
}

// expect notes that topic does not exist yet. All its queues will be new, so nothing that is sent to them before they
// are found is to be left out.
func (m *member) expect(topic string, err error) {
	m.mu.Lock()
	m.known[topic] = map[skua.Queue]bool{}
	m.mu.Unlock()
	if !skua.IsRetryTopic(topic) {
		m.c.log.Warn("topic has no route yet, the consumer waits for it", "group", m.group, "topic", topic, "error", err)
	}
}

// kick has queues divided anew, soon.
func (m *member) kick() {
	select {
	case m.kicks <- struct{}{}:
	default:
	}
}

// balanceLoop divides queues at each kick and periodically; sooner while something is missing.
func (m *member) balanceLoop() {
	const first = 100 * time.Millisecond
	soon := first
	for {
		wait := m.c.o.rebalance
		if m.balance(m.ctx) {
			soon = first
		} else {
			wait, soon = min(soon, wait), 2*soon
		}
		timer := time.NewTimer(wait)
		select {
		case <-m.ctx.Done():
			timer.Stop()
			return
		case <-m.kicks:
			soon = first
		case <-timer.C:
		}
		timer.Stop()
	}
}

// balance divides the queues of all subscribed topics. It reports false if that did not wholly succeed.
func (m *member) balance(ctx context.Context) bool {
	settled := true
	for _, topic := range m.topics() {
		queues, err := m.share(ctx, topic)
		if ctx.Err() != nil {
			return false
		}
		if err != nil {
			m.c.log.Debug("queues cannot be divided now", "group", m.group, "topic", topic, "error", err)
			settled = false
			continue
		}
		settled = m.adjust(ctx, topic, queues) && settled
	}
	return settled
}

// share returns the queues of topic that are this member's.
func (m *member) share(ctx context.Context, topic string) ([]skua.Queue, error) {
	r := m.c.routes.topic(topic).current.Load()
	if r == nil || r.template {
		var err error
		if r, err = m.c.fetchRoute(ctx, topic); err != nil {
			return nil, err
		}
	}
	if m.broadcast || m.loner {
		return r.read, nil
	}
	if m.byBroker != "" {
		return m.assigned(ctx, r)
	}
	members, err := m.roster(ctx, r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(members, m.c.id) {
		m.c.beatAll(ctx)
		return nil, errors.New("the broker does not list this member yet")
	}
	divided, err := m.strategy(slices.Clone(r.read), members, m.c.id)
	m.noteDivision(topic, err)
	if err != nil {
		return nil, err
	}
	var mine []skua.Queue
	for _, q := range divided {
		if q.Topic == topic {
			mine = append(mine, q)
		}
	}
	return mine, nil
}

// roster asks the brokers of a route, one after the other, for the members of the group.
func (m *member) roster(ctx context.Context, r *route) ([]string, error) {
	err := fmt.Errorf("topic %s has no brokers", r.topic)
	for _, broker := range slices.Sorted(maps.Keys(r.brokers)) {
		addr, ok := r.addr(broker, skua.Master)
		if !ok {
			continue
		}
		f, e := m.c.call(ctx, "listing the members of group "+m.group, addr, &wire.Request{
			Code: command.GetConsumerListByGroup, Header: &command.ConsumerGroupHeader{Group: m.group},
		})
		var list command.ConsumerList
		if e == nil {
			e = fastjson.Unmarshal(f.Body, &list)
		}
		if e == nil {
			slices.Sort(list.ClientIDs)
			return slices.Compact(list.ClientIDs), nil
		}
		err = e
	}
	return nil, err
}

// adjust makes the lines of topic those of queues.
func (m *member) adjust(ctx context.Context, topic string, queues []skua.Queue) bool {
	var dropped []*line
	var added []skua.Queue
	m.mu.Lock()
	for q, l := range m.lines {
		if q.Topic == topic && !slices.Contains(queues, q) {
			dropped = append(dropped, l)
			l.dropLocked()
		}
	}
	for _, q := range queues {
		if m.lines[q] == nil {
			added = append(added, q)
		}
	}
	sub := m.subs[topic]
	m.mu.Unlock()
	for _, l := range dropped {
		m.retire(l)
	}
	if len(dropped)+len(added) > 0 {
		m.c.log.Debug("queues divided", "group", m.group, "topic", topic, "mine", len(queues), "new", len(added), "gone", len(dropped))
	}
	ok := len(added) == 0 || m.open(ctx, sub, added)
	m.mu.Lock()
	if ok && m.known[topic] == nil {
		m.known[topic] = map[skua.Queue]bool{}
		if r := m.c.routes.topic(topic).current.Load(); r != nil {
			for _, q := range r.read {
				m.known[topic][q] = true
			}
		}
	}
	m.mu.Unlock()
	return ok
}

// open begins to read queues. It reports false if some could not be locked or their offset is not known.
func (m *member) open(ctx context.Context, sub *subscription, queues []skua.Queue) bool {
	all := true
	if m.orderly && !m.broadcast {
		locked := m.lock(ctx, queues)
		all = len(locked) == len(queues)
		queues = locked
	}
	offsets := make([]skua.QueueOffset, len(queues))
	isNew := make([]bool, len(queues))
	errs := make([]error, len(queues))
	var wg sync.WaitGroup
	places := make(chan struct{}, 16)
	for i, q := range queues {
		places <- struct{}{}
		wg.Go(func() {
			offsets[i], isNew[i], errs[i] = m.startOffset(ctx, q)
			<-places
		})
	}
	wg.Wait()
	if slices.Contains(isNew, true) && !m.loner && !skua.IsRetryTopic(sub.topic) {
		m.c.log.Info("group is new on queues", "group", m.group, "topic", sub.topic, "queues", len(queues), "rule", m.start.where())
	}
	for i, q := range queues {
		if errs[i] != nil {
			m.c.log.Warn("queue cannot be read yet", "group", m.group, "queue", q, "error", errs[i])
			all = false
			continue
		}
		m.add(newLine(m, q, sub, offsets[i]))
	}
	return all
}

// add starts the line l.
func (m *member) add(l *line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closing || m.lines[l.queue] != nil {
		return
	}
	m.lines[l.queue] = l
	epoch := l.epoch
	m.tasks.start(func() { l.pull(epoch) })
}

// retire gives a dropped line back: its offset is committed and its lock released, so that the next owner can go on. An
// orderly line that is being consumed is given back when its handler returns, one whose lock was lost not at all: what
// its new owner commits counts.
func (m *member) retire(l *line) {
	m.mu.Lock()
	keep := m.orderly && (l.busy || l.lost)
	m.mu.Unlock()
	if keep || m.loner {
		return
	}
	m.tasks.start(func() {
		ctx, cancel := context.WithTimeout(context.Background(), m.c.o.Timeout)
		defer cancel()
		m.giveBack(ctx, []*line{l})
	})
}

// giveBack commits and unlocks lines, and waits for the brokers.
func (m *member) giveBack(ctx context.Context, lines []*line) {
	if m.auto {
		_ = m.commit(ctx, lines) // has logged what failed; the next owner reads some messages again
	}
	if m.orderly && !m.broadcast {
		m.unlock(ctx, lines)
	}
}

// halt lets no more messages be handed out.
func (m *member) halt() {
	m.mu.Lock()
	m.halted = true
	m.mu.Unlock()
	m.some.Broadcast()
}

// close gives up all queues and ends the member's goroutines. Messages that are being handled must be done.
func (m *member) close() error {
	m.mu.Lock()
	if m.closing {
		m.mu.Unlock()
		m.tasks.join()
		return nil
	}
	m.halted, m.closing = true, true
	lines := slices.Collect(maps.Values(m.lines))
	for _, l := range lines {
		l.dropLocked()
	}
	m.mu.Unlock()
	m.some.Broadcast()
	m.stop()
	m.tasks.join()
	if !m.loner {
		ctx, cancel := context.WithTimeout(context.Background(), m.c.o.Timeout)
		m.giveBack(ctx, lines)
		cancel()
	}
	m.c.leave(m)
	return nil
}
