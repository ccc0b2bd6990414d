package broker

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// led returns a logical queue of the topic that this broker leads, nil for others.
func (t *topic) led(id int32) *static.Queue {
	if t.mapping == nil {
		return nil
	}
	if q := t.mapping.Queue(id); q != nil && q.Leads() {
		return q
	}
	return nil
}

// written returns the logical queue that a producer has named, or any one that is led here if it has named none.
func (t *topic) written(id int32) (*static.Queue, error) {
	if led := t.mapping.Led(); id < 0 && len(led) > 0 {
		return led[rand.IntN(len(led))], nil
	}
	if q := t.led(id); q != nil {
		return q, nil
	}
	return nil, t.notLed(id, "does not exit in request process of current broker")
}

// notLed is the refusal of what only the leader of a logical queue serves; what are Java's words.
func (t *topic) notLed(id int32, what string) error {
	broker, leader := "", "it was never here"
	if t.mapping != nil {
		broker = t.mapping.Detail().Broker
		if q := t.mapping.Queue(id); q != nil {
			leader = "it was moved to broker " + q.Leader().Broker
		}
	}
	return refusalf(command.StatusNotLeaderForQueue, "%s-%d %s %s: %s; ask the name server for the route again", t.Name, id, what, broker, leader)
}

// undecided is the refusal of what needs the place of a logical queue that has none yet.
func (t *topic) undecided(id int32) error {
	return refusalf(command.StatusSystemError, "logical queue %d of %s has no logic offset yet: it is being moved; if that was broken off, its mapping has to be sent again with one (see docs/operations.md)", id, t.Name)
}

// logicalPull is what the pull of a logical queue needs besides that of a queue.
type logicalPull struct {
	queue  *static.Queue
	item   *static.Item       // the stretch that is read
	asked  command.PullHeader // what the client has sent, in memory of its own
	offset int64              // in the stretch
	answer static.Answer      // what the client is told
}

// locate finds the stretch that a pull of a static topic has to read.
func (b *Broker) locate(t *topic, h *command.PullHeader) (*logicalPull, error) {
	q := t.led(h.QueueID)
	if q == nil {
		return nil, t.notLed(h.QueueID, "cannot find mapping item in request process of current broker")
	}
	it := q.At(h.QueueOffset)
	if it == nil {
		return nil, t.undecided(h.QueueID)
	}
	l := &logicalPull{queue: q, item: it, asked: *h, offset: it.Physical(h.QueueOffset)}
	for _, field := range []*[]byte{&l.asked.Group, &l.asked.Topic, &l.asked.Subscription, &l.asked.ExpressionType, &l.asked.ProxyClientID} {
		*field = bytes.Clone(*field)
	}
	l.asked.BrokerName = nil
	return l, nil
}

// narrow makes of the header of a pull that of a pull of the stretch.
func (l *logicalPull) narrow(h *command.PullHeader) {
	h.QueueID, h.QueueOffset = l.item.QueueID, l.offset
	h.MaxMessages = l.item.Room(l.offset, h.MaxMessages)
}

// away reports whether the pull has to be forwarded, as the stretch is on another broker.
func (p *pull) away() bool { return p.logical != nil && p.logical.item.Broker != p.b.Name() }

// outdated reports whether the mapping may have changed since the pull was located.
func (p *pull) outdated() bool {
	return p.logical != nil && p.b.topics.get(p.topic.bytes) != p.topic
}

// translate sets what the client is told of a read of the stretch, and returns its status.
func (l *logicalPull) translate(r *store.ReadResult, status command.Status) command.Status {
	a := static.Answer{Status: status, Next: int64(r.Next), Min: int64(r.Min), Max: int64(r.Max)}
	if r.Status == store.OffsetReset {
		l.answer = l.queue.Shift(l.item, a)
	} else {
		l.answer = l.queue.Translate(l.item, l.offset, a)
	}
	return l.answer.Status
}

// tell writes what the client is told into the header of an answer.
func (l *logicalPull) tell(h *command.PullResponse) {
	h.NextOffset, h.MinOffset, h.MaxOffset, h.OffsetDelta = l.answer.Next, l.answer.Min, l.answer.Max, l.answer.Delta
}

// forward has a pull answered by the broker that has the stretch. It does not block.
func (p *pull) forward(mayHold bool) {
	p.b.forwards.run(p.call, func() {
		if err := p.fetch(mayHold); err != nil {
			refusePull(p.call, err)
		}
	})
}

// resumeLogical goes on with the pull of a logical queue that was held; was is what was known then.
func (p *pull) resumeLogical(was *logicalPull) {
	l, err := p.b.locate(p.topic, &was.asked)
	if err != nil {
		refusePull(p.call, err)
		return
	}
	p.logical = l
	switch away := was.item.Broker != p.b.Name(); {
	case p.away() && away:
		p.forward(false)
	case p.away() || away || int(l.item.QueueID) >= len(p.topic.queues):
		at := was.asked.QueueOffset // it changed sides: the client asks anew
		p.call.Reply(&wire.Response{Status: command.StatusPullRetryImmediately, Header: &command.PullResponse{NextOffset: at, MinOffset: at, MaxOffset: at}})
	default:
		h := l.asked
		l.narrow(&h)
		p.queue, p.request.Offset = p.topic.queue(h.QueueID), skua.QueueOffset(h.QueueOffset)
		p.request.MaxMessages = int(min(max(h.MaxMessages, 1), p.b.options.Load().PullBatchMaxMessageCount))
		p.attempt(false)
	}
}

// fetch asks the broker that has the stretch, and passes the answer on. If the stretch ends there and the next one has no
// place yet, the pull is held until the mapping changes.
func (p *pull) fetch(mayHold bool) error {
	b, l := p.b, p.logical
	h := l.asked
	l.narrow(&h)
	h.SysFlag &^= command.PullSuspend | command.PullCommit
	h.Physical, h.BrokerName = true, []byte(l.item.Broker)
	f, err := b.askBroker(p.topic.Name, l.item.Broker, &wire.Request{Code: command.PullMessage, Header: &h})
	if err != nil {
		return err
	}
	status := command.Status(f.Code)
	switch status {
	case command.StatusSuccess, command.StatusPullNotFound, command.StatusPullRetryImmediately, command.StatusPullOffsetMoved:
	default:
		return unexpected(l.item.Broker, f)
	}
	if err := p.header.Decode(f.Ext); err != nil {
		return fmt.Errorf("broker %s answered a pull with a header that cannot be read: %w", l.item.Broker, err)
	}
	l.answer = l.queue.Translate(l.item, l.offset, static.Answer{Status: status, Next: p.header.NextOffset, Min: p.header.MinOffset, Max: p.header.MaxOffset})
	if leader := l.queue.Leader(); l.answer.Status == command.StatusPullNotFound && mayHold && p.hold > 0 && int(leader.QueueID) < len(p.topic.queues) {
		p.queue, p.request.Offset = p.topic.queue(leader.QueueID), skua.QueueOffset(math.MaxInt64) // messages do not wake it
		if b.polls.hold(p) {
			return nil
		}
	}
	l.tell(&p.header)
	p.header.SuggestBroker = int64(skua.Master)
	p.call.Reply(&wire.Response{Status: l.answer.Status, Remark: string(f.Remark), Header: &p.header, Body: f.Body})
	return nil
}

// commitPulled stores what a pull says that its group has consumed of a logical queue. What belongs to a stretch on another
// broker is left to the client, which commits at intervals, too.
func (b *Broker) commitPulled(t *topic, group []byte, l *logicalPull) {
	off := l.asked.CommitOffset
	if it := l.queue.At(off); it != nil && it.Broker == b.Name() {
		_ = b.commitLogical(t, group, l.queue, it, off)
	}
}

// commitLogical stores what a group has consumed of a logical queue whose stretch it is here. As the offset of the newest
// stretch counts, those of stretches behind are dropped: the group was sent back.
func (b *Broker) commitLogical(t *topic, group []byte, q *static.Queue, it *static.Item, off int64) error {
	behind := b.committedBehind(t, group, q, it)
	if err := b.commit(t, group, it.QueueID, skua.QueueOffset(it.Physical(off))); err != nil {
		return err
	}
	b.dropCommitted(t, group, behind)
	return nil
}

// committedBehind is what a group has consumed of stretches here that lie behind one, by queue.
func (b *Broker) committedBehind(t *topic, group []byte, q *static.Queue, it *static.Item) []progress {
	var behind []progress
	for i := range q.Items() {
		if newer := &q.Items()[i]; newer.Gen > it.Gen && newer.Broker == b.Name() {
			if p := b.offsets.progress(t.bytes, group, newer.QueueID); p.committed != noOffset {
				behind = append(behind, p)
			}
		}
	}
	return behind
}

// dropCommitted forgets what a group had consumed of queues, unless it has consumed something else of them since.
func (b *Broker) dropCommitted(t *topic, group []byte, had []progress) {
	for i := range had {
		b.offsets.drop(t.bytes, group, &had[i])
	}
}
