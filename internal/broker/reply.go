package broker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// A request is a message like any other that says, in properties, who sent it and what the reply is to be called. The
// reply goes to a broker to which the requester is connected:
//
//	requester ── 310 send ──► broker ◄── pull, 325 reply ── responder
//	          ◄── 326 push ──        ── 325 answer ──►
//
// The broker passes it on and, if storeReplyMessageEnable, stores it as well. It answers when both have ended, and what it
// answers says whether the requester has the reply: one that could not be pushed is stored all the same, as in Java, and
// one that could not be stored is pushed. Nothing here waits on the goroutine of a connection, since the requester may be
// the responder itself, on the same one.

// Limits of replies that are being passed on.
const (
	replyTimeout  = 10 * time.Second // for the requester to take one
	replyWorkers  = 64               // that write to requesters, some of which may not read
	maxReplies    = 10_000
	maxReplyBytes = 256 << 20 // of those that are not written yet
	maxStuck      = 4         // workers that wait for one requester to read
)

// replies counts the replies that are being passed on.
type replies struct {
	mu     sync.Mutex // guards the following
	number int
	bytes  int64              // of those that are not written yet
	stuck  map[*wire.Conn]int // workers that wait for a requester to read
}

// enter counts a reply, unless there are too many.
func (r *replies) enter(size int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.number >= maxReplies || r.number > 0 && r.bytes+int64(size) > maxReplyBytes {
		return false
	}
	r.number++
	r.bytes += int64(size)
	return true
}

// leave takes replies and bytes off the count.
func (r *replies) leave(number, size int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.number -= number
	r.bytes -= int64(size)
}

// wait lets a worker write to a requester who does not read at present, unless others wait for that already.
func (r *replies) wait(c *wire.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck[c] >= maxStuck {
		return false
	}
	if r.stuck == nil {
		r.stuck = map[*wire.Conn]int{}
	}
	r.stuck[c]++
	return true
}

// waited is the counterpart of wait.
func (r *replies) waited(c *wire.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck[c]--; r.stuck[c] == 0 {
		delete(r.stuck, c)
	}
}

// replying is a reply on its way to the requester.
type replying struct {
	sending // the message that is stored, and the answer
	push    *wire.Request
	to      string // client id of the requester
	wait    delay  // of what is stored

	ends    atomic.Int32 // of push and storing, that are still to come
	trouble string       // why the requester did not get it, "" if it did
	stored  bool
	lost    string // why it is not stored, "" if it is or was not to be
}

// takeReply serves SEND_REPLY_MESSAGE and SEND_REPLY_MESSAGE_V2.
func (b *Broker) takeReply(req *wire.Frame) {
	var h command.SendHeader
	if err := h.Decode(req.Ext); err != nil {
		b.refuseSend(req, refusalf(command.StatusSystemError, "%v", err))
		return
	}
	t, logical, err := b.admit(req, &h)
	if logical != nil {
		t.gate.RUnlock() // a reply goes to whichever queue it was meant for
	}
	if err == nil && h.Batch {
		err = refusalf(command.StatusMessageIllegal, "the message is illegal: a reply cannot be a batch")
	}
	if err == nil && !b.replies.enter(len(req.Body)) {
		err = refusalf(command.StatusSystemBusy, "[OVERLOAD]system busy, start flow control for a while: replies wait for requesters that do not take theirs, %d or %d bytes of them at most", maxReplies, maxReplyBytes)
	}
	if err != nil {
		b.refuseSend(req, err)
		return
	}
	own := req.Clone()
	b.pushes.run(req.Call(), func() { b.passOn(own, t, h.QueueID) })
}

// passOn pushes a reply and stores it. It blocks while the requester's connection is full.
func (b *Broker) passOn(req *wire.Frame, t *topic, queue int32) {
	r, err := b.newReplying(req, t, queue)
	if err != nil {
		b.refuseSend(req, err)
		b.replies.leave(1, len(req.Body))
		return
	}
	r.ends.Store(2)
	r.deliver()
	if b.options.Load().StoreReplyMessageEnable {
		r.keep()
	} else {
		r.end()
	}
	b.replies.leave(0, len(req.Body))
}

// newReplying makes what is stored and what is pushed of a reply: its properties with those that the broker adds and, in the
// push, the time of that.
func (b *Broker) newReplying(req *wire.Frame, t *topic, queue int32) (*replying, error) {
	var h command.SendHeader
	if err := h.Decode(req.Ext); err != nil {
		return nil, err
	}
	from, now := req.Conn().RemoteAddrPort(), b.now().UnixMilli()
	r := new(replying)
	r.b, r.call, r.topic = b, req.Call(), t
	r.message = record.Message{
		Topic: t.bytes, QueueID: queue, Flag: h.Flag, SysFlag: h.SysFlag, BornTime: h.BornTimestamp, BornHost: from, StoreHost: b.host,
		ReconsumeTimes: h.ReconsumeTimes, Body: req.Body,
	}
	e, o := &r.edited, b.options.Load()
	e.scan(h.Properties)
	err := r.check(&h)
	if err == nil && e.half {
		err = refusalf(command.StatusMessageIllegal, "the message is illegal: a reply cannot be a transaction message")
	}
	if err == nil {
		r.wait, err = r.delay(&h)
	}
	if err != nil {
		return nil, err
	}
	e.out = record.AppendProperty(e.out, skua.PropRegion, o.RegionID)
	e.out = record.AppendProperty(e.out, skua.PropTraceOn, strconv.FormatBool(o.TraceOn))
	r.message.Properties = e.out
	to, _ := record.Property(e.out, skua.PropReplyToClient)
	r.to = string(to)
	pushed := record.AppendProperty(slices.Clone(e.out), skua.PropPushReplyTime, strconv.FormatInt(now, 10))
	r.push = &wire.Request{Code: command.PushReplyMessageToClient, Body: req.Body, Header: &command.ReplyHeader{
		ProducerGroup: string(h.ProducerGroup), Topic: t.Name, DefaultTopic: string(h.DefaultTopic), DefaultQueues: h.DefaultQueues,
		QueueID: queue, SysFlag: h.SysFlag, BornTimestamp: h.BornTimestamp, Flag: h.Flag, Properties: string(pushed),
		ReconsumeTimes: h.ReconsumeTimes, UnitMode: h.UnitMode, BornHost: from.String(), StoreHost: b.host.String(), StoreTimestamp: now,
	}}
	return r, nil
}

// deliver pushes the reply to the requester, who has replyTimeout to take it.
func (r *replying) deliver() {
	to, ok := r.b.clients.requester(r.to)
	switch {
	case r.to == "":
		r.undelivered("reply message properties[REPLY_TO_CLIENT] is null: a reply has to carry that property of its request")
	case !ok:
		r.undelivered("push reply message fail, channel of <%.300s> not found. No producer with this client id is connected to broker %s: the requester has gone, or is connected to other brokers only", r.to, r.b.Name())
	case !to.conn.Backlogged():
		to.conn.Go(r.push, replyTimeout, r.pushed)
	case r.b.replies.wait(to.conn):
		to.conn.Go(r.push, replyTimeout, r.pushed)
		r.b.replies.waited(to.conn)
	default:
		r.undelivered("push reply message to %.300sfail. It does not read what it has been sent before", r.to)
	}
}

// pushed notes what the requester answered.
func (r *replying) pushed(f *wire.Frame, err error) {
	switch {
	case errors.Is(err, wire.ErrTimeout):
		r.undelivered("push reply message to %.300sfail. It did not answer in %v", r.to, replyTimeout)
	case err != nil:
		r.undelivered("push reply message to %.300sfail. %v", r.to, err)
	case f.Code != int32(command.StatusSuccess):
		r.undelivered("push reply message to %.300sfail. It answered %v: %.300s", r.to, command.Status(f.Code), f.Remark)
	default:
		r.end()
	}
}

// undelivered notes why the requester did not get the reply.
func (r *replying) undelivered(format string, args ...any) {
	r.trouble = fmt.Sprintf(format, args...)
	r.end()
}

// keep stores the reply, as safely as any message. What keeps it from being stored does not keep it from the requester.
func (r *replying) keep() {
	receipt, err := r.b.put(r.topic, []*record.Message{&r.message}, r.wait, &r.parked)
	if err != nil {
		r.kept(storeRefusal(err))
		return
	}
	r.header.MsgID = record.AppendOffsetID(nil, r.b.host, r.message.LogOffset)
	r.header.QueueID, r.header.QueueOffset = r.message.QueueID, int64(receipt.QueueOffset)
	r.b.settle(receipt, !r.edited.noWait, r.kept)
}

// kept notes how storing the reply went. It is on disk a little later if that took too long.
func (r *replying) kept(err error) {
	if r.stored = err == nil || errors.Is(err, store.ErrFlushTimeout); !r.stored {
		r.lost = "; it is not stored: " + err.Error()
	}
	r.end()
}

// end answers the responder when both the push and the storing have ended.
func (r *replying) end() {
	if r.ends.Add(-1) > 0 {
		return
	}
	o := r.b.options.Load()
	answer := wire.Response{Status: command.StatusSuccess, Header: &r.header}
	switch {
	case r.trouble != "":
		answer.Status, answer.Remark = command.StatusSystemError, r.trouble+r.lost
	case r.lost != "":
		answer.Remark = "the requester has the reply" + r.lost
	}
	r.header.Region, r.header.TraceOn = o.RegionID, o.TraceOn
	if !r.stored {
		r.header.MsgID, r.header.QueueOffset = []byte("0"), 0
	}
	r.call.Reply(&answer)
	r.b.replies.leave(1, 0)
}
