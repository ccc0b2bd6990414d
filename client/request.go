package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// ErrNoReply is in the error of a request that was sent and to which no reply came in time. The request may be handled
// all the same, and later.
var ErrNoReply = errors.New("no reply")

// Request sends a message and waits for the reply: whoever consumes the message answers it, with Producer.Reply or as
// clients in other languages do. ctx bounds all of it, or the client's Timeout if ctx has no deadline. The error is that of
// Send if the message could not be sent, and has ErrNoReply in it if nobody replied in time. A handler of a push consumer
// may send requests, but takes one of its places meanwhile: handlers that all wait for a consumer which has no place left
// wait in vain.
func (p *Producer) Request(ctx context.Context, m *Message) (*Received, error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	defer p.sends.Done()
	ctx, cancel := p.c.within(ctx)
	defer cancel()
	x, err := p.packRequest(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return p.exchange(ctx, x)
}

// RequestAsync is Request that calls done with the result, exactly once if RequestAsync itself returned nil. It blocks while
// Window asynchronous sends and requests are under way. As to callbacks see SendAsync. Close does not wait for replies: what
// waits for one then ends with ErrClosed.
func (p *Producer) RequestAsync(ctx context.Context, m *Message, done func(*Received, error)) error {
	if err := p.begin(); err != nil {
		return err
	}
	ctx, cancel := p.c.within(ctx)
	x, err := p.packRequest(ctx, m)
	if err != nil {
		err = fmt.Errorf("client: %w", err)
	} else {
		select {
		case p.window <- struct{}{}:
		case <-ctx.Done():
			err = ctx.Err()
			x.end(nil, err)
		}
	}
	if err != nil {
		cancel()
		p.sends.Done()
		return err
	}
	p.tasks.start(func() { // refused only after Close, which waits for this one first
		reply, err := p.exchange(ctx, x)
		cancel()
		<-p.window
		p.done.add(result{call: func() { done(reply, err) }})
		p.sends.Done()
	})
	return nil
}

// replyProperties are the properties that requests and replies are told from other messages by.
var replyProperties = []string{skua.PropCorrelationID, skua.PropReplyToClient, skua.PropTTL, skua.PropMessageType}

// ownProperties returns nil if a program has not set any of replyProperties itself.
func (m *Message) ownProperties() error {
	for _, key := range replyProperties {
		if _, ok := m.Properties[key]; ok {
			return fmt.Errorf("property %s is set by Request and NewReply", key)
		}
	}
	return nil
}

// packRequest encodes a message with what its reply will be told by. The correlation id is the message's own: it is unique.
func (p *Producer) packRequest(ctx context.Context, m *Message) (*parcel, error) {
	if m.reply != nil {
		return nil, errors.New("a reply cannot be a request: nobody would answer it")
	}
	if err := m.ownProperties(); err != nil {
		return nil, err
	}
	x, err := p.pack(ctx, m)
	if err != nil {
		return nil, err
	}
	ttl := int64(1)
	if deadline, ok := ctx.Deadline(); ok {
		ttl = max(time.Until(deadline).Milliseconds(), 1)
	}
	h := &x.header
	h.Properties = record.AppendProperty(h.Properties, skua.PropCorrelationID, x.ids[0])
	h.Properties = record.AppendProperty(h.Properties, skua.PropReplyToClient, p.c.id)
	h.Properties = record.AppendProperty(h.Properties, skua.PropTTL, strconv.FormatInt(ttl, 10))
	if err := checkSize(h.Properties); err != nil {
		x.end(nil, err)
		return nil, err
	}
	return x, nil
}

// exchange sends a request and waits for the reply.
func (p *Producer) exchange(ctx context.Context, x *parcel) (*Received, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)() // Close does not wait for replies
	id, begun := x.ids[0], time.Now()
	reply := p.c.requests.open(id)
	defer p.c.requests.drop(id)
	if err := p.c.expectReplies(ctx, x.topic); err != nil {
		x.end(nil, err)
		return nil, err
	}
	sent, err := p.sendParcel(ctx, x)
	if err != nil && len(sent) == 0 {
		select {
		case m := <-reply: // sent, but its answer was lost
			return p.c.inflated(m), nil
		default:
		}
		if p.ctx.Err() != nil {
			err = ErrClosed
		}
		return nil, err
	}
	select {
	case m := <-reply:
		return p.c.inflated(m), nil
	case <-ctx.Done():
	}
	if p.ctx.Err() != nil {
		return nil, ErrClosed
	}
	return nil, fmt.Errorf("client: request timeout, no reply message in %v: request %s is in queue %d on %s of topic %s; does somebody consume and answer it? %w: %w",
		time.Since(begun).Round(time.Millisecond), id, sent[0].Queue.ID, sent[0].Queue.Broker, x.topic, ErrNoReply, ctx.Err())
}

// inflated decompresses a reply. It may take a while, so it is not done where connections are read.
func (c *Client) inflated(m *Received) *Received {
	if m.SysFlag&compressedFlag != 0 {
		inflate(c.log, m)
	}
	return m
}

// requests are those of a client that wait for their replies.
type requests struct {
	mu        sync.Mutex // guards the following
	waiting   map[string]chan *Received
	announced map[string]bool // topics whose brokers know the client
	unmatched int64
}

func (r *requests) init() {
	r.waiting, r.announced = map[string]chan *Received{}, map[string]bool{}
}

// open returns where the reply to a request will come.
func (r *requests) open(id string) <-chan *Received {
	reply := make(chan *Received, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[id] = reply
	return reply
}

func (r *requests) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

// settle hands a reply over. It returns how many replies nobody has waited for so far, and whether this is one.
func (r *requests) settle(id string, m *Received) (unmatched int64, isOne bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reply, ok := r.waiting[id]
	if !ok {
		r.unmatched++
		return r.unmatched, true
	}
	delete(r.waiting, id) // a second one would be one too many
	reply <- m
	return r.unmatched, false
}

// UnmatchedReplies is how many replies came for which no request waited, such as those that came too late.
func (c *Client) UnmatchedReplies() int64 {
	c.requests.mu.Lock()
	defer c.requests.mu.Unlock()
	return c.requests.unmatched
}

// expectReplies sees to it that this client is known to all brokers which may be given replies to requests of a topic:
// responders choose among those of the reply topic of the request's cluster. Later changes of routes are seen to by the
// heartbeats.
func (c *Client) expectReplies(ctx context.Context, topic string) error {
	c.requests.mu.Lock()
	known := c.requests.announced[topic]
	c.requests.mu.Unlock()
	if known {
		return nil
	}
	r := c.knownWriteRoute(topic)
	if r == nil {
		var err error
		if r, err = c.writeRoute(ctx, topic); err != nil {
			return err
		}
	}
	for _, cluster := range r.clusters {
		reply := cluster + skua.ReplyTopicSuffix
		if topic == reply {
			return fmt.Errorf("client: topic %s holds the replies of cluster %s: a request to it would be no different from a reply", topic, cluster)
		}
		if c.routes.topic(reply).current.Load() == nil {
			_, _ = c.fetchRoute(ctx, reply) // without one, replies go by way of the request's broker
		}
	}
	wait := c.o.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	beat, cancel := context.WithTimeout(ctx, wait/3) // one that does not answer is not to use up the time of the request
	defer cancel()
	c.beatAll(beat)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.requests.mu.Lock()
	defer c.requests.mu.Unlock()
	c.requests.announced[topic] = true
	return nil
}

// replyArrived: a broker passes on the reply to a request. When nobody waits for it the broker is told that all is well, as
// Java's clients do: it could not do anything about it.
func (c *Client) replyArrived(req *wire.Frame) error {
	arrived := time.Now()
	var h command.ReplyHeader
	if err := command.Decode(req.Ext, &h); err != nil {
		return fmt.Errorf("process reply message fail: %w", err)
	}
	m := &Received{
		Topic: h.Topic, Body: slices.Clone(req.Body), Queue: skua.Queue{Topic: h.Topic, ID: h.QueueID}, BornTime: time.UnixMilli(h.BornTimestamp),
		StoreTime: time.UnixMilli(h.StoreTimestamp), ReconsumeTimes: int(h.ReconsumeTimes), Flag: h.Flag, SysFlag: h.SysFlag,
	}
	m.BornHost, _ = netip.ParseAddrPort(h.BornHost) // for information only
	m.StoreHost, _ = netip.ParseAddrPort(h.StoreHost)
	m.properties = record.AppendProperty([]byte(h.Properties), skua.PropReplyArriveTime, strconv.FormatInt(arrived.UnixMilli(), 10))
	id := m.Property(skua.PropCorrelationID)
	if id == "" {
		return errors.New("process reply message fail: the reply has no property CORRELATION_ID")
	}
	if n, isOne := c.requests.settle(id, m); isOne && n == 1 {
		c.log.Warn("a reply came for which no request waits: it is too late, or came twice; further ones are only counted", "correlationId", id, "from", h.BornHost, "broker", req.Conn().RemoteAddr())
	}
	return req.Call().Reply(&wire.Response{})
}
