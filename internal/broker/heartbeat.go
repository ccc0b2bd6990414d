package broker

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/wire"
)

// heartbeat serves HEART_BEAT: it notes the groups of a client, creates what its consumer groups need, and tells the
// members of groups that changed.
func (b *Broker) heartbeat(f *wire.Frame) {
	h := new(command.HeartbeatData)
	if !decodeBody(f, h) {
		return
	}
	if err := checkHeartbeat(h); err != nil {
		refuse(f, command.StatusInvalidParameter, "%v", err)
		return
	}
	for i := range h.Consumers {
		if d := &h.Consumers[i]; !b.prepared(d, b.ordered(d)) {
			own := f.Clone()
			b.admin.run(own.Call(), func() { b.noteHeartbeat(own, h) })
			return
		}
	}
	b.noteHeartbeat(f, h)
}

// noteHeartbeat does what heartbeat says. It may block if a group or one of its filters is new.
func (b *Broker) noteHeartbeat(f *wire.Frame, h *command.HeartbeatData) {
	skip := map[string]bool{}
	for i := range h.Consumers {
		if d := &h.Consumers[i]; b.prepareGroup(d, b.ordered(d)) {
			b.registerFilters(d) // before others see that the group subscribes so
		} else {
			skip[d.Group] = true
		}
	}
	from := origin{conn: f.Conn(), addr: f.Conn().RemoteAddr(), language: f.Language, version: f.Version}
	out := b.clients.heartbeat(from, h, skip, b.now())
	b.follow(out)
	select {
	case <-from.conn.Done():
		b.forgetConn(from.conn) // it closed meanwhile, and was forgotten before it was known
	default:
	}
	succeed(f, &command.HeartbeatResponse{SupportV2: true, SubChanged: h.Fingerprint == 0 || len(out.changed) > 0}, nil)
}

// prepared reports whether prepareGroup and registerFilters have nothing to save, so that they do not block.
func (b *Broker) prepared(d *command.ConsumerData, order bool) bool {
	if d.Group == "" {
		return true
	}
	retry := b.topics.find(skua.RetryTopic(d.Group))
	return b.groups.lookup(d.Group) != nil && retry != nil && retry.Order == order && b.filtersKnown(d)
}

// ordered reports whether the group subscribes to an ordered topic, by what a heartbeat says and what its other members
// have said.
func (b *Broker) ordered(d *command.ConsumerData) bool {
	isOrdered := func(topic string) bool {
		t := b.topics.find(topic)
		return t != nil && t.Order
	}
	for i := range d.Subscriptions {
		if isOrdered(d.Subscriptions[i].Topic) {
			return true
		}
	}
	if view := b.clients.outlook([]byte(d.Group)); view != nil {
		for topic := range view.topics {
			if isOrdered(topic) {
				return true
			}
		}
	}
	return false
}

// prepareGroup creates a consumer group and its retry topic if they are missing, and marks the topic as ordered if the
// group subscribes to an ordered one. It reports false if the group may not exist; its heartbeat is passed over then, as in
// Java.
func (b *Broker) prepareGroup(d *command.ConsumerData, order bool) bool {
	group := b.findGroup(d.Group)
	if group == nil {
		return false
	}
	sysFlag := int32(0)
	if d.UnitMode {
		sysFlag = command.TopicUnitSub
	}
	if t := b.ensureTopic(skua.RetryTopic(d.Group), group.RetryQueues, sysFlag); t != nil && t.Order != order {
		b.setOrder(t.Name, order)
	}
	return true
}

// unregisterClient serves UNREGISTER_CLIENT.
func (b *Broker) unregisterClient(f *wire.Frame) {
	var h command.UnregisterClientHeader
	if !decode(f, &h) {
		return
	}
	out := b.clients.unregister(f.Conn(), h.ProducerGroup, h.ConsumerGroup)
	if h.ConsumerGroup != "" {
		b.locks.releaseClient(h.ConsumerGroup, h.ClientID)
	}
	b.follow(out)
	succeed(f, nil, nil)
}

// checkClientConfig serves CHECK_CLIENT_CONFIG, by which a consumer asks whether the broker can filter as it wants.
func (b *Broker) checkClientConfig(f *wire.Frame) {
	var body command.CheckClient
	if !decodeBody(f, &body) {
		return
	}
	if s := &body.Subscription; !s.Tagged() {
		o := b.options.Load()
		if !o.EnablePropertyFilter {
			refuseWith(f, unfilterable(s.ExpressionType))
			return
		}
		if _, err := b.filters.selected([]byte(s.ExpressionType), []byte(s.Expression), int(o.MaxFilterCost)); err != nil {
			refuseWith(f, err)
			return
		}
	}
	succeed(f, nil, nil)
}

// consumerList serves GET_CONSUMER_LIST_BY_GROUP.
func (b *Broker) consumerList(f *wire.Frame) {
	var h command.ConsumerGroupHeader
	if !decode(f, &h) {
		return
	}
	ids := b.clients.consumerIDs(h.Group)
	if len(ids) == 0 {
		refuse(f, command.StatusSystemError, "no consumer for this group, %s", h.Group)
		return
	}
	answer(f, command.ConsumerList{ClientIDs: ids})
}

// lockBatch serves LOCK_BATCH_MQ. Queues that the broker does not have are left out, like those that others hold.
func (b *Broker) lockBatch(f *wire.Frame) {
	var body command.LockBatch
	if !decodeBody(f, &body) {
		return
	}
	if len(body.Group) > maxClientName || len(body.ClientID) > maxClientName {
		refuse(f, command.StatusInvalidParameter, "group of %d bytes, clientId of %d; at most %d are allowed", len(body.Group), len(body.ClientID), maxClientName)
		return
	}
	if body.Group == "" || body.ClientID == "" {
		refuse(f, command.StatusInvalidParameter, "consumerGroup %q or clientId %q is missing", body.Group, body.ClientID)
		return
	}
	mine := make([]skua.Queue, 0, len(body.Queues))
	names := make(map[skua.Queue]command.MessageQueue, len(body.Queues)) // as the client knows them
	for _, mq := range body.Queues {
		if q := b.lockable(mq.Queue()); b.has(mq.Queue()) {
			mine = append(mine, q)
			names[q] = mq
		}
	}
	got := b.locks.acquire(body.Group, body.ClientID, mine, b.now())
	out := command.LockBatchResponse{Locked: make([]command.MessageQueue, len(got))}
	for i, q := range got {
		out.Locked[i] = names[q]
	}
	answer(f, out)
}

// unlockBatch serves UNLOCK_BATCH_MQ.
func (b *Broker) unlockBatch(f *wire.Frame) {
	var body command.LockBatch
	if !decodeBody(f, &body) {
		return
	}
	queues := make([]skua.Queue, len(body.Queues))
	for i, mq := range body.Queues {
		queues[i] = b.lockable(mq.Queue())
	}
	b.locks.release(body.Group, body.ClientID, queues)
	succeed(f, nil, nil)
}

// has reports whether the broker has a queue or, of a logical one, leads it.
func (b *Broker) has(q skua.Queue) bool {
	t := b.topics.find(q.Topic)
	switch {
	case t == nil:
		return false
	case strings.HasPrefix(q.Broker, skua.LogicalBrokerPrefix):
		return t.led(q.ID) != nil && q.Broker == static.MockBroker(t.mapping.Detail().Scope)
	}
	return q.Broker == b.Name() && q.ID >= 0 && int(q.ID) < len(t.queues)
}

// lockable is the name under which a queue is locked: that of a logical queue has this broker in it, like all others.
func (b *Broker) lockable(q skua.Queue) skua.Queue {
	if strings.HasPrefix(q.Broker, skua.LogicalBrokerPrefix) {
		q.Broker = b.Name()
	}
	return q
}

// tell logs findings.
func (b *Broker) tell(found []finding) {
	for _, f := range found {
		if f.bad {
			b.log.Warn(f.text)
		} else {
			b.log.Info(f.text)
		}
	}
}

// follow does what a change of the client table asks for.
func (b *Broker) follow(out outcome) {
	b.tell(out.findings)
	if len(out.produced) > 0 {
		b.transactions.producersCame(out.produced)
	}
	if !b.options.Load().NotifyConsumerIdsChangedEnable {
		return
	}
	for _, name := range out.changed {
		if view := b.clients.outlook([]byte(name)); view != nil && view.model == command.Broadcasting {
			continue // its members have all queues, whoever else there is
		}
		if g := b.groups.lookup(name); g == nil || g.NotifyConsumerIDsChanged {
			b.notices.post(name)
		}
	}
}

// forgetConn is told of each connection that closed.
func (b *Broker) forgetConn(c *wire.Conn) { b.follow(b.clients.closed(c)) }

// scanClients drops clients and locks that have been silent for too long, and looks for queues that are blocked.
func (b *Broker) scanClients(now time.Time) {
	out, silent := b.clients.expire(now, time.Duration(b.options.Load().ChannelExpiredTimeout)*time.Millisecond)
	for _, c := range silent {
		c.Close()
	}
	b.follow(out)
	b.locks.expire(now)
	b.watchBlockages(now)
}

// notices tells the members of consumer groups, over their connections, that the group has changed. A group that waits
// to be told is told once, however often it changed meanwhile. It has goroutines of its own because a send may block on
// a peer that does not read.
type notices struct {
	clients *clients
	log     *slog.Logger
	crew    *crew[string]

	mu      sync.Mutex
	waiting map[string]bool // guarded by mu
}

const (
	parallelNotices = 16        // groups that are told at the same time
	maxNotices      = 1_000_000 // groups that wait to be told
)

func newNotices(c *clients, log *slog.Logger) *notices {
	n := &notices{clients: c, log: log, waiting: map[string]bool{}}
	n.crew = newCrew(parallelNotices, maxNotices, n.tell)
	return n
}

// post asks for a group to be told. It does not block. A notice that is lost costs its group some seconds: clients look
// for changes by themselves too.
func (n *notices) post(group string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.waiting[group] && n.crew.add(group) {
		n.waiting[group] = true
	}
}

// tell sends the notice to each member. A connection that fails needs no care: it is about to be closed.
func (n *notices) tell(group string) {
	n.mu.Lock()
	delete(n.waiting, group)
	n.mu.Unlock()
	for _, c := range n.clients.consumerConns(group) {
		if err := c.Send(&wire.Request{Code: command.NotifyConsumerIDsChanged, Header: &command.ConsumerGroupHeader{Group: group}}); err != nil {
			n.log.Debug("member could not be told that its group changed", "group", group, "error", err)
		}
	}
}
