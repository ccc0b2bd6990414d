package broker

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// A recall handle is what a producer gets for a timed message, and gives back to recall it: in URL-safe base64
//
//	v1 <topic> <broker name> <time, ms> <unique key>
//
// The time is a millisecond after TIMER_OUT_MS, so that a recall which is due then lands in the slot of its message.
const recallVersion = "v1"

// appendRecallHandle appends the handle of a message that waits until a time to dst. scratch is memory, which is returned
// grown.
func appendRecallHandle(dst, scratch, topic []byte, broker string, until int64, key []byte) (handle, grown []byte) {
	scratch = append(append(append(scratch[:0], recallVersion...), ' '), topic...)
	scratch = append(append(append(scratch, ' '), broker...), ' ')
	scratch = append(strconv.AppendInt(scratch, until+1, 10), ' ')
	scratch = append(scratch, key...)
	return base64.URLEncoding.AppendEncode(dst, scratch), scratch
}

// recallHandle is what a handle says.
type recallHandle struct {
	topic, broker string
	at            int64 // ms; -1 if it is no number
	key           string
}

// parseRecallHandle reads a handle; ok is false if it is none.
func parseRecallHandle(s string) (h recallHandle, ok bool) {
	b, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		b, err = base64.RawURLEncoding.DecodeString(s) // Java's decoder does not ask for the padding
	}
	w := strings.Split(string(b), " ")
	if err != nil || w[0] != recallVersion || len(w) < 5 {
		return h, false
	}
	if h.at, err = strconv.ParseInt(w[3], 10, 64); err != nil {
		h.at = -1
	}
	h.topic, h.broker, h.key = w[1], w[2], w[4]
	return h, h.key != "" && !strings.ContainsAny(h.key, "\x01\x02")
}

// The parts of the message that recalls another one, as Java makes it.
const (
	recallTag  = "_RECALL_TAG_"
	recallBody = "0"
)

// recall serves RECALL_MESSAGE: it stores a timed message which takes another one out of the timer wheel, and answers when
// that is safe. Whether there is such a message is not looked at.
func (b *Broker) recall(req *wire.Frame) {
	var h command.RecallHeader
	if !decode(req, &h) {
		return
	}
	call := req.Call()
	m, err := b.recallOf(req, &h)
	if err != nil {
		b.refuseRecall(call, err)
		return
	}
	var t timing
	record.EachProperty(m.Properties, func(k, v []byte) bool { t.note(k, v); return true })
	until, err := b.until(&t)
	if err == nil && until == 0 {
		err = refusalf(command.StatusIllegalOperation, "recall failed, timestamp invalid: the message is due")
	}
	if err != nil {
		b.refuseRecall(call, refusalf(command.StatusSystemError, "recall failed, execute error: %v", err))
		return
	}
	var scratch []byte
	r, err := b.put(nil, []*record.Message{m}, delay{until: until}, &scratch)
	if err != nil {
		b.refuseRecall(call, refusalf(command.StatusSystemError, "recall failed, execute error: %v", err))
		return
	}
	key, _ := record.Property(m.Properties, skua.PropUniqueKey)
	answer := wire.Response{Header: &command.RecallResponse{MsgID: string(key)}, Ext: b.recallExt()}
	b.settle(r, true, func(err error) {
		if err != nil {
			b.refuseRecall(call, refusalf(command.StatusSystemError, "recall failed, execute error: %v", err))
			return
		}
		call.Reply(&answer)
	})
}

func (b *Broker) recallExt() map[string]string {
	return map[string]string{skua.PropRegion: b.options.Load().RegionID}
}

func (b *Broker) refuseRecall(call wire.Call, err error) {
	r := err.(*refusal)
	call.Reply(&wire.Response{Status: r.status, Remark: r.remark, Ext: b.recallExt()})
}

// recallOf checks a recall and returns the message that is to be stored for it.
func (b *Broker) recallOf(req *wire.Frame, h *command.RecallHeader) (*record.Message, error) {
	o, now := b.options.Load(), b.now().UnixMilli()
	const (
		unavailable = "recall failed, broker service not available"
		illegal     = command.StatusIllegalOperation
	)
	switch {
	case !o.RecallMessageEnable:
		return nil, refusalf(command.StatusNoPermission, "recall failed, operation is forbidden: recallMessageEnable=false")
	case now < o.StartAcceptSendRequestTimeStamp:
		return nil, refusalf(command.StatusServiceNotAvailable, unavailable+": startAcceptSendRequestTimeStamp=%d", o.StartAcceptSendRequestTimeStamp)
	case !o.writable() && !o.AllowRecallWhenBrokerNotWriteable:
		return nil, refusalf(command.StatusServiceNotAvailable, unavailable+": brokerPermission=%d, allowRecallWhenBrokerNotWriteable=false", o.BrokerPermission)
	}
	t := b.topics.find(h.Topic)
	if t == nil {
		return nil, refusalf(command.StatusTopicNotExist, "recall failed, the topic[%s] not exist", h.Topic)
	}
	if err := b.checkType(t, &traits{delayed: true}, "the message to be recalled"); err != nil {
		return nil, err
	}
	handle, ok := parseRecallHandle(h.Handle)
	left := handle.at - now
	switch {
	case !ok:
		return nil, refusalf(illegal, "recall handle is invalid: %.300q is not what a send was answered with", h.Handle)
	case handle.topic != h.Topic:
		return nil, refusalf(illegal, "recall failed, topic not match: the handle is of a message of %s, the request of %s", handle.topic, h.Topic)
	case handle.broker != o.BrokerName:
		return nil, refusalf(illegal, unavailable+": the message is at broker %s, this is %s", handle.broker, o.BrokerName)
	case handle.at < 0:
		return nil, refusalf(illegal, "recall failed, timestamp invalid: the handle was changed")
	case left <= 0:
		return nil, refusalf(illegal, "recall failed, timestamp invalid: the message was due %d ms ago", -left)
	case left >= o.maxDelay():
		return nil, refusalf(illegal, "recall failed, timestamp invalid: the message would be due in %d ms, timerMaxDelaySec=%d", left, o.TimerMaxDelaySec)
	}
	deletes := handle.key
	if o.AppendTopicForTimerDeleteKey {
		deletes = handle.topic + "+" + handle.key
	}
	p := record.AppendProperty(nil, skua.PropTags, recallTag)
	p = record.AppendProperty(p, skua.PropTimerDeleteKey, deletes)
	p = record.AppendProperty(p, skua.PropUniqueKey, handle.key)
	p = record.AppendProperty(p, skua.PropTimerDeliverMs, strconv.FormatInt(handle.at, 10))
	p = record.AppendProperty(p, skua.PropBornTimestamp, strconv.FormatInt(now, 10))
	if h.ProducerGroup != "" && !strings.ContainsAny(h.ProducerGroup, "\x01\x02") {
		p = record.AppendProperty(p, skua.PropProducerGroup, h.ProducerGroup)
	}
	return &record.Message{Topic: []byte(handle.topic), Body: []byte(recallBody), Properties: p, BornTime: now,
		BornHost: req.Conn().RemoteAddrPort(), StoreHost: b.host}, nil
}
