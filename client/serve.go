package client

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// served are the requests that brokers send to clients.
var served = map[command.Code]func(*Client, *wire.Frame) error{
	command.NotifyConsumerIDsChanged:    (*Client).membersChanged,
	command.ResetConsumerClientOffset:   (*Client).resetOffset,
	command.GetConsumerStatusFromClient: (*Client).positions,
	command.GetConsumerRunningInfo:      (*Client).runningInfo,
	command.ConsumeMessageDirectly:      (*Client).consumeDirectly,
	command.CheckTransactionState:       (*Client).checkTransaction,
	command.PushReplyMessageToClient:    (*Client).replyArrived,
}

// serve answers a request of a broker. It runs on the goroutine that reads the connection.
func (c *Client) serve(req *wire.Frame) {
	code := command.Code(req.Code)
	f, ok := served[code]
	if !ok {
		_ = req.Call().Reply(&wire.Response{Status: command.StatusRequestCodeNotSupported, Remark: fmt.Sprintf(" request type %d not supported by this client (%v)", req.Code, code)})
		return
	}
	if err := f(c, req); err != nil {
		c.log.Warn("request of a broker failed", "code", code, "broker", req.Conn().RemoteAddr(), "error", err)
		_ = req.Call().Reply(&wire.Response{Status: command.StatusSystemError, Remark: err.Error()})
	}
}

// member returns the consumer of group.
func (c *Client) member(group string) (*member, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.groups[group]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("The Consumer Group <%s> not exist in this consumer", group)
}

// reply answers with v as the body.
func reply(req *wire.Frame, v any) error {
	body, err := fastjson.Marshal(v)
	if err != nil {
		return err
	}
	return req.Call().Reply(&wire.Response{Body: body})
}

// membersChanged: someone joined or left a group.
func (c *Client) membersChanged(req *wire.Frame) error {
	var h command.ConsumerGroupHeader
	if err := command.Decode(req.Ext, &h); err != nil {
		return err
	}
	if m, err := c.member(h.Group); err == nil { // else it has just closed
		m.kick()
	}
	return nil
}

// resetOffset: an operator wants a group to go on elsewhere.
func (c *Client) resetOffset(req *wire.Frame) error {
	h := command.NewResetOffsetHeader()
	if err := command.Decode(req.Ext, &h); err != nil {
		return err
	}
	var body command.ResetOffset
	if err := fastjson.Unmarshal(req.Body, &body); err != nil {
		return err
	}
	m, err := c.member(h.Group)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for q, off := range body.Offsets {
		if l := m.lines[q.Queue()]; l != nil {
			c.log.Info("offset reset by an operator", "group", h.Group, "queue", l.queue, "from", l.positionLocked(), "to", off)
			l.jumpLocked(off)
		}
	}
	return nil
}

// positions: how far a group has come here.
func (c *Client) positions(req *wire.Frame) error {
	var h command.ConsumerStatusHeader
	if err := command.Decode(req.Ext, &h); err != nil {
		return err
	}
	m, err := c.member(h.Group)
	if err != nil {
		return err
	}
	body := command.ConsumerPositions{Queues: map[command.MessageQueue]skua.QueueOffset{}}
	m.mu.Lock()
	for q, l := range m.lines {
		if h.Topic == "" || q.Topic == h.Topic {
			body.Queues[command.QueueOf(q)] = l.positionLocked()
		}
	}
	m.mu.Unlock()
	return reply(req, body)
}

// runningInfo: what mqadmin consumerStatus shows.
func (c *Client) runningInfo(req *wire.Frame) error {
	var h command.RunningInfoHeader
	if err := command.Decode(req.Ext, &h); err != nil {
		return err
	}
	m, err := c.member(h.Group)
	if err != nil {
		return err
	}
	info := m.info()
	if h.Jstack {
		stacks := make([]byte, 256<<10)
		info.Jstack = string(stacks[:runtime.Stack(stacks, true)])
	}
	return reply(req, info)
}

// info describes the member as Java's clients do.
func (m *member) info() command.ConsumerRunningInfo {
	d := m.describe()
	info := command.ConsumerRunningInfo{
		PopQueues: map[command.MessageQueue]command.PopProcessQueue{}, Queues: map[command.MessageQueue]command.ProcessQueue{},
		Properties: map[string]string{
			command.PropNameServer: strings.Join(m.c.o.NameServers, ";"), command.PropConsumeType: string(d.Type),
			command.PropStartTime: strconv.FormatInt(m.began.UnixMilli(), 10), command.PropClientVersion: "V5_5_0",
			command.PropOrderly: strconv.FormatBool(m.orderly),
		},
		Status: map[string]command.ConsumeStatus{}, Subscriptions: d.Subscriptions, User: map[string]string{},
	}
	status := m.counts.status()
	m.mu.Lock()
	defer m.mu.Unlock()
	for topic := range m.subs {
		info.Status[topic] = status
	}
	for q, l := range m.lines {
		info.Queues[command.QueueOf(q)] = l.infoLocked()
	}
	return info
}

func (l *line) infoLocked() command.ProcessQueue {
	p := command.ProcessQueue{
		CachedMessages: int32(len(l.entries)), CachedMiB: int32(l.bytes >> 20), CommitOffset: l.positionLocked(), Dropped: l.dropped,
		LastPull: l.lastPull.UnixMilli(), LastConsume: max(l.lastDone.UnixMilli(), 0),
	}
	if l.m.orderly && !l.m.broadcast {
		p.Locked, p.LastLock = l.lockedLocked(), l.locked.UnixMilli()
	}
	if n := len(l.entries); n > 0 {
		p.CachedMinOffset, p.CachedMaxOffset = l.entries[0].m.Offset, l.entries[n-1].m.Offset
	}
	return p
}

// consumeDirectly: an operator wants to see what the handler does with one message.
func (c *Client) consumeDirectly(req *wire.Frame) error {
	var h command.ConsumeDirectlyHeader
	if err := command.Decode(req.Ext, &h); err != nil {
		return err
	}
	m, err := c.member(h.Group)
	if err != nil {
		return err
	}
	if m.handle == nil {
		return fmt.Errorf("the consumer of group %s pulls: it has no function to call", h.Group)
	}
	own := req.Clone()
	m.tasks.start(func() {
		if err := m.consumeOne(own, h.BrokerName); err != nil {
			_ = own.Call().Reply(&wire.Response{Status: command.StatusSystemError, Remark: err.Error()})
		}
	})
	return nil
}

// consumeOne calls the handler with the record in the request's body and answers what came of it.
func (m *member) consumeOne(req *wire.Frame, broker string) error {
	r, _, err := record.Decode(req.Body)
	if err != nil {
		return err
	}
	msg := newReceived(&r, skua.Queue{Topic: string(r.Topic), Broker: broker, ID: r.QueueID})
	if msg.SysFlag&compressedFlag != 0 {
		inflate(m.c.log, msg)
	}
	start := time.Now()
	result := command.ConsumeMessageDirectlyResult{AutoCommit: true, Order: m.orderly, Result: command.ConsumeSuccess}
	if err := m.handle(m.ctx, msg); err != nil {
		result.Result, result.Remark = command.ConsumeLater, err.Error()
	}
	result.Spent = time.Since(start).Milliseconds()
	return reply(req, result)
}

// counts are how a push consumer fares.
type counts struct {
	mu           sync.Mutex // guards the following
	since        time.Time
	good, failed int64
	took         time.Duration
}

// window is over how long rates are taken.
const window = time.Minute

func (c *counts) note(took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.since) > window {
		c.since, c.good, c.failed, c.took = now, 0, 0, 0
	}
	c.took += took
	if err != nil {
		c.failed++
		return
	}
	c.good++
}

// status is the rates of the current window.
func (c *counts) status() command.ConsumeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	seconds := max(time.Since(c.since).Seconds(), 1)
	if n := c.good + c.failed; n > 0 {
		return command.ConsumeStatus{
			FailedMessages: c.failed, FailedTPS: float64(c.failed) / seconds, OKTPS: float64(c.good) / seconds,
			ConsumeRT: float64(c.took.Milliseconds()) / float64(n),
		}
	}
	return command.ConsumeStatus{}
}
