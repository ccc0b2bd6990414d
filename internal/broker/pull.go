package broker

import (
	"cmp"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// What forbids a pull, as the answer tells it.
const (
	forbiddenByBroker    = 1
	forbiddenToGroup     = 2
	forbiddenByTopic     = 3
	forbiddenToBroadcast = 4
	forbiddenToRead      = 5 // the topic to the group
)

// longestHold bounds how long a pull is held, whatever the client allows.
const longestHold = 10 * time.Minute

// pull is a PULL_MESSAGE on its way through the broker. It keeps nothing of the request's frame.
type pull struct {
	b       *Broker
	call    wire.Call
	topic   *topic
	group   *group
	queue   *store.Queue
	request store.ReadRequest
	hold    time.Duration // how long it may be held; 0: not at all

	broadcast *broadcastPull // of a broadcasting group; nil for others
	logical   *logicalPull   // of a static topic; nil for others

	header   command.PullResponse
	response wire.Response
	held     held // while polls has it
}

// pulls are used again, except for those that were held.
var pulls = sync.Pool{New: func() any { return new(pull) }}

// reads are the results of reads. They are large, so that held pulls have none.
var reads = sync.Pool{New: func() any { return new(store.ReadResult) }}

// pull serves PULL_MESSAGE and LITE_PULL_MESSAGE.
func (b *Broker) pull(req *wire.Frame) {
	var h command.PullHeader
	if err := h.Decode(req.Ext); err != nil {
		refuse(req, command.StatusSystemError, "%v", err)
		return
	}
	p, err := b.admitPull(req, &h)
	if err != nil {
		refusePull(req.Call(), err)
		return
	}
	if h.SysFlag&command.PullCommit != 0 && h.CommitOffset >= 0 {
		// As in Java the pull goes on if the offset cannot be stored: the client sends it again.
		if p.logical == nil {
			_ = b.commit(p.topic, p.group.bytes, h.QueueID, skua.QueueOffset(h.CommitOffset))
		} else {
			b.commitPulled(p.topic, p.group.bytes, p.logical)
		}
	}
	if p.away() {
		p.forward(true)
		return
	}
	p.attempt(true)
}

// admitPull makes the checks of a pull.
func (b *Broker) admitPull(req *wire.Frame, h *command.PullHeader) (*pull, error) {
	o := b.options.Load()
	if !o.readable() {
		return nil, forbidf(forbiddenByBroker, "the broker[%s] pulling message is forbidden: brokerPermission=%d", o.BrokerIP1, o.BrokerPermission)
	}
	if command.Code(req.Code) == command.LitePullMessage && !o.LitePullMessageEnable {
		return nil, forbidf(forbiddenByBroker, "the broker[%s] for lite pull consumer is forbidden: litePullMessageEnable=false", o.BrokerIP1)
	}
	g := b.groups.get(h.Group)
	if g == nil {
		if g = b.findGroup(string(h.Group)); g == nil {
			return nil, refusalf(command.StatusSubscriptionGroupNotExist, "subscription group [%s] does not exist, %s", h.Group, faq)
		}
	}
	if err := g.pullable(); err != nil {
		return nil, err
	}
	t := b.topics.get(h.Topic)
	if t == nil {
		return nil, refusalf(command.StatusTopicNotExist, "topic[%s] not exist, apply first please! %s", h.Topic, faq)
	}
	if err := t.pullable(); err != nil {
		return nil, err
	}
	var logical *logicalPull
	if t.mapping != nil && !h.Physical {
		var err error
		if logical, err = b.locate(t, h); err != nil {
			return nil, err
		}
		logical.narrow(h)
	}
	p := pulls.Get().(*pull)
	*p = pull{b: b, call: req.Call(), topic: t, group: g, logical: logical}
	if h.SysFlag&command.PullSuspend != 0 {
		hold := h.SuspendTimeout
		if !o.LongPollingEnable {
			hold = o.ShortPollingTimeMills
		}
		p.hold = time.Duration(min(max(hold, 0), longestHold.Milliseconds())) * time.Millisecond
	}
	if p.away() {
		return p, nil
	}
	return p, p.prepare(req.Conn(), h)
}

// prepare makes the checks of a pull of a queue of this broker, and sets what is to be read.
func (p *pull) prepare(conn *wire.Conn, h *command.PullHeader) error {
	b, t, g := p.b, p.topic, p.group
	if h.QueueID < 0 || h.QueueID >= t.ReadQueues {
		return refusalf(command.StatusInvalidParameter, "queueId[%d] is illegal, topic:[%s] topicConfig.readQueueNums:[%d] consumer:[/%s]",
			h.QueueID, t.Name, t.ReadQueues, conn.RemoteAddr())
	}
	if err := t.reserve(); err != nil {
		return storeRefusal(err)
	}
	view := b.clients.outlook(h.Group)
	want, err := b.selection(h, g, view)
	if err != nil {
		return err
	}
	p.queue = t.queue(h.QueueID)
	p.request = store.ReadRequest{Offset: skua.QueueOffset(h.QueueOffset), MaxMessages: int(min(max(h.MaxMessages, 1), b.options.Load().PullBatchMaxMessageCount)),
		MaxBytes: int(max(h.MaxBytes, 0)), Match: want.tags, MatchProperties: want.properties, MatchExtension: want.extension, NoWait: true, Mapped: true}
	p.broadcast = b.broadcaster(conn, h, view)
	return nil
}

// pullable returns nil if the group may consume at all.
func (g *group) pullable() error {
	if !g.ConsumeEnable {
		return forbidf(forbiddenToGroup, "subscription group no permission, %s: its consumeEnable is false", g.Name)
	}
	return nil
}

// pullable returns nil if the topic may be read.
func (t *topic) pullable() error {
	if !t.Perm.Readable() {
		return forbidf(forbiddenByTopic, "the topic[%s] pulling message is forbidden: its permission is %s", t.Name, t.Perm)
	}
	return nil
}

// forbidden is a refusal that tells what forbids it.
type forbidden struct {
	refusal
	kind int32
}

func forbidf(kind int32, format string, args ...any) error {
	return &forbidden{*refusalf(command.StatusNoPermission, format, args...), kind}
}

func refusePull(call wire.Call, err error) {
	var f *forbidden
	if !errors.As(err, &f) {
		refuseCallWith(call, err)
		return
	}
	call.Reply(&wire.Response{Status: f.status, Remark: f.remark, Header: &command.PullResponse{ForbiddenType: f.kind}})
}

// attempt reads, and answers with what there is. If there is nothing and mayHold, the pull is held if its client allows. If
// the disk has to be read it goes on beside the connection.
func (p *pull) attempt(mayHold bool) {
	b := p.b
	r := reads.Get().(*store.ReadResult)
	off := b.offsets.takeReset(p.topic.bytes, p.group.bytes, p.queue.ID())
	if off == noOffset && p.broadcast != nil {
		off = p.broadcastStart()
	}
	if off != noOffset {
		*r = store.ReadResult{Status: store.OffsetReset, Next: off, Min: p.queue.Min(), Max: p.queue.Max()}
	} else {
		p.read(r)
	}
	if r.Status == store.WouldWait {
		reads.Put(r)
		p.request.NoWait = false
		b.readCold(p, mayHold)
		return
	}
	status := p.status(r)
	if p.broadcast != nil {
		p.noteBroadcast(status, r.Next)
	}
	if status == command.StatusPullNotFound && mayHold && p.hold > 0 && b.polls.hold(p) {
		r.Release()
		reads.Put(r)
		return
	}
	p.answer(r, status)
	r.Release()
	reads.Put(r)
	if p.held.until.IsZero() {
		*p = pull{}
		pulls.Put(p)
	}
}

// status is the status of the answer for what was read.
func (p *pull) status(r *store.ReadResult) command.Status {
	s := pullStatus(r.Status, p.request.Offset)
	if p.logical != nil {
		s = p.logical.translate(r, s)
	}
	return s
}

// coldReaders is how many reads may run beside their connections: while others send they leave processors to them.
func (b *Broker) coldReaders() int {
	if b.store.Crowded() {
		return max(1, runtime.GOMAXPROCS(0)/2)
	}
	return coldReaders
}

// pullStatus is the status of the answer for a status of the store.
func pullStatus(s store.Status, off skua.QueueOffset) command.Status {
	switch s {
	case store.Found:
		return command.StatusSuccess
	case store.NoMatchedMessage, store.MessageWasRemoving:
		return command.StatusPullRetryImmediately
	case store.NoMatchedLogicQueue, store.NoMessageInQueue:
		if off != 0 {
			return command.StatusPullOffsetMoved
		}
		return command.StatusPullNotFound
	case store.OffsetFoundNull, store.OffsetOverflowOne:
		return command.StatusPullNotFound
	case store.OffsetOverflowBadly, store.OffsetTooSmall, store.OffsetReset:
		return command.StatusPullOffsetMoved
	}
	return command.StatusSystemError
}

func (p *pull) answer(r *store.ReadResult, status command.Status) {
	b := p.b
	p.header = command.PullResponse{NextOffset: int64(r.Next), MinOffset: int64(r.Min), MaxOffset: int64(r.Max),
		TopicSysFlag: p.topic.SysFlag, GroupSysFlag: p.group.SysFlag}
	if p.logical != nil {
		p.logical.tell(&p.header)
	}
	if b.options.Load().SlaveReadEnable {
		p.header.SuggestBroker = int64(p.group.BrokerID)
		if r.SuggestSlave {
			p.header.SuggestBroker = int64(p.group.BrokerWhenConsumingSlowly)
		}
	}
	from := r.Next
	if status == command.StatusSuccess {
		from = p.request.Offset
	}
	b.offsets.handOut(p.topic.bytes, p.group.bytes, p.queue.ID(), from, r.Next)
	p.response = wire.Response{Status: status, Remark: r.Status.String(), Header: &p.header}
	if status == command.StatusSuccess {
		p.response.Parts = r.Records
		b.stats.delivered(b.stats.group(p.topic.bytes, p.group.bytes), int64(len(r.Records)), int64(r.Bytes))
	} else {
		b.stats.missed()
	}
	if store.Guard(func() { p.call.Reply(&p.response) }) != nil {
		// Nothing was sent. Reading without mappings tells what can be had, or what is wrong.
		p.request.NoWait, p.request.Mapped = false, false
		p.read(r)
		p.answer(r, p.status(r))
	}
}

// resume goes on with a pull that was held.
func (p *pull) resume() {
	b := p.b
	select {
	case <-p.call.Conn.Done():
		return
	default:
	}
	t := b.topics.get(p.topic.bytes)
	if t == nil || int(p.queue.ID()) >= len(t.queues) {
		refuseCall(p.call, command.StatusTopicNotExist, "topic[%s] not exist, apply first please! %s", p.topic.Name, faq)
		return
	}
	g := b.groups.get(p.group.bytes)
	if g == nil {
		g = p.group // deleted, but not by a word on this pull
	}
	if err := cmp.Or(g.pullable(), t.pullable()); err != nil {
		refusePull(p.call, err)
		return
	}
	if err := t.reserve(); err != nil {
		refuseCallWith(p.call, storeRefusal(err))
		return
	}
	// Another one, because others may still look at p.
	again := pulls.Get().(*pull)
	*again = pull{b: b, call: p.call, topic: t, group: g, queue: t.queue(p.queue.ID()), request: p.request, broadcast: p.broadcast}
	again.request.NoWait, again.request.Mapped = true, true
	if p.logical != nil {
		again.resumeLogical(p.logical)
		return
	}
	again.attempt(false)
}
