package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// parcel is a message, or a batch of messages, encoded and ready for any queue. It is sent again as it is, with the
// same ids.
type parcel struct {
	topic    string
	code     command.Code
	header   command.SendHeader // without group and queue
	body     []byte
	ids      []string // of each message
	sharding string
	queue    skua.Queue // where it has to go, if Broker is set
	near     string     // broker that is the first choice, "" if any will do
	messages []*Message
	after    []ending // what hooks want to be called

	region   string // that the broker named
	untraced bool   // the broker wants no traces
}

var templateTopic = []byte(skua.TemplateTopic)

// pack encodes a message.
func (p *Producer) pack(ctx context.Context, m *Message) (*parcel, error) {
	if err := m.validate(p.o.MaxMessageSize); err != nil {
		return nil, err
	}
	now := time.Now()
	x := &parcel{topic: m.Topic, code: command.SendMessageV2, body: m.Body, sharding: m.ShardingKey, queue: m.Queue}
	if m.reply != nil {
		x.code, x.near = command.SendReplyMessageV2, m.reply.broker
	}
	id, properties, after, err := p.enclose(ctx, m, now, make([]byte, 0, 128))
	x.add(m, id, after)
	if err != nil {
		x.end(nil, err)
		return nil, err
	}
	x.header = newSendHeader(m.Topic, now, properties)
	x.header.Flag = m.Flag
	if p.o.CompressAbove >= 0 && len(m.Body) >= p.o.CompressAbove {
		if small := p.codec.compress(m.Body); small != nil {
			x.body = small
			x.header.SysFlag |= compressedFlag | int32(p.codec.kind)
		}
	}
	return x, nil
}

// enclose gives a message its id, calls the hook for it, and appends its properties to dst. after, which may be nil, is what
// the hook wants to be called when the send has ended, also if err is not nil.
func (p *Producer) enclose(ctx context.Context, m *Message, now time.Time, dst []byte) (id string, properties []byte, after func(Sent, error), err error) {
	id = p.c.ids.next(now)
	extra, after := p.outgoing(ctx, m)
	properties, err = appendExtra(m.appendProperties(dst, id), extra)
	if err == nil {
		err = checkSize(properties)
	}
	return id, properties, after, err
}

// checkSize returns nil if properties are not too long.
func checkSize(properties []byte) error {
	if n := len(properties); n > record.MaxProperties {
		return fmt.Errorf("the properties take %d bytes, the limit is %d", n, record.MaxProperties)
	}
	return nil
}

// add notes that a message is in the parcel.
func (x *parcel) add(m *Message, id string, after func(Sent, error)) {
	x.ids, x.messages = append(x.ids, id), append(x.messages, m)
	if after != nil {
		x.after = append(x.after, ending{len(x.ids) - 1, after})
	}
}

// ending is what a hook wants to be called when the message at a place of a parcel has been sent.
type ending struct {
	place int
	call  func(Sent, error)
}

// maxBatch is the number of messages of a batch that brokers store in one record.
const maxBatch = 1<<15 - 1

// packBatch encodes messages of one topic, in as many parcels as it takes.
func (p *Producer) packBatch(ctx context.Context, messages []*Message) ([]*parcel, error) {
	if len(messages) == 0 {
		return nil, errors.New("a batch needs at least one message")
	}
	for i, m := range messages {
		if err := m.validate(p.o.MaxMessageSize); err != nil {
			return nil, fmt.Errorf("message %d of the batch: %w", i, err)
		}
		if err := m.fits(messages[0]); err != nil {
			return nil, fmt.Errorf("message %d of the batch: %w", i, err)
		}
	}
	now := time.Now()
	var properties []byte
	parcels := []*parcel{newBatch(messages[0])}
	for i, m := range messages {
		id, text, after, err := p.enclose(ctx, m, now, properties[:0])
		properties = text
		item := record.BatchItem{Flag: m.Flag, Body: m.Body, Properties: properties}
		if err == nil && item.Size() > p.o.MaxMessageSize {
			err = fmt.Errorf("it takes %d bytes with its properties, the producer's limit is %d: send it alone", item.Size(), p.o.MaxMessageSize)
		}
		x := parcels[len(parcels)-1]
		if len(x.ids) == maxBatch || len(x.body)+item.Size() > p.o.MaxMessageSize && len(x.ids) > 0 {
			x = newBatch(m)
			parcels = append(parcels, x)
		}
		x.add(m, id, after)
		if err != nil {
			err = fmt.Errorf("message %d of the batch: %w", i, err)
			endAll(parcels, err)
			return nil, err
		}
		x.body = record.AppendBatchItem(x.body, item)
	}
	for _, x := range parcels {
		outer := record.AppendProperty(nil, skua.PropWait, fmt.Sprint(!messages[0].NoWait))
		if ids := strings.Join(x.ids, ","); len(ids) < record.MaxProperties/2 {
			outer = record.AppendProperty(outer, skua.PropUniqueKey, ids)
		}
		x.header = newSendHeader(x.topic, now, outer)
		x.header.Batch = true
	}
	return parcels, nil
}

func newBatch(first *Message) *parcel {
	return &parcel{topic: first.Topic, code: command.SendBatchMessage, sharding: first.ShardingKey, queue: first.Queue}
}

// fits returns nil if m can be in a batch that begins with first.
func (m *Message) fits(first *Message) error {
	switch {
	case m.Topic != first.Topic:
		return fmt.Errorf("it goes to topic %s, the first one to %s: a batch has one topic", m.Topic, first.Topic)
	case m.delayed():
		return errors.New("TimeDelayLevel is not supported for batching: send it alone")
	case m.Priority != nil:
		return errors.New("it has a priority, which would choose its queue: send it alone")
	case m.reply != nil:
		return errors.New("it is a reply: replies are sent one by one")
	case skua.IsRetryTopic(m.Topic):
		return errors.New("Retry Group is not supported for batching")
	case m.ShardingKey != first.ShardingKey:
		return fmt.Errorf("it has the sharding key %q, the first one %q: a batch goes to one queue", m.ShardingKey, first.ShardingKey)
	case m.Queue.Broker != first.Queue.Broker || m.Queue.ID != first.Queue.ID:
		return fmt.Errorf("it goes to queue %d on %q, the first one to queue %d on %q: a batch goes to one queue", m.Queue.ID, m.Queue.Broker, first.Queue.ID, first.Queue.Broker)
	case m.NoWait != first.NoWait:
		return errors.New("its NoWait differs from that of the first one: a batch is answered once")
	}
	return nil
}

// delayed reports whether the message asks for a delay of any kind.
func (m *Message) delayed() bool { return m.DelayLevel != 0 || m.Delay != 0 || !m.DeliverAt.IsZero() }

// end tells hooks how the send of a parcel ended.
func (x *parcel) end(sent []Sent, err error) {
	for _, e := range x.after {
		var s Sent
		if e.place < len(sent) {
			s = sent[e.place]
		}
		e.call(s, err)
	}
	x.after = nil
}

func endAll(parcels []*parcel, err error) {
	for _, x := range parcels {
		x.end(nil, err)
	}
}

func newSendHeader(topic string, now time.Time, properties []byte) command.SendHeader {
	return command.SendHeader{
		Topic: []byte(topic), DefaultTopic: templateTopic, DefaultQueues: templateQueues,
		BornTimestamp: now.UnixMilli(), Properties: properties,
	}
}

// answer reads what the broker answered. With the error of a message that is stored, but not as it should be, comes
// where it is.
func (x *parcel) answer(f *wire.Frame, queue skua.Queue, addr string) ([]Sent, error) {
	status := command.Status(f.Code)
	stored := status == command.StatusFlushDiskTimeout || status == command.StatusSlaveNotAvailable || status == command.StatusFlushSlaveTimeout
	var err error
	if status != command.StatusSuccess {
		refused := refusal("send to topic "+x.topic, addr, f)
		refused.Stored = stored
		if !stored {
			return nil, refused
		}
		err = refused
	}
	var h command.SendResponse
	if bad := h.Decode(f.Ext); bad != nil {
		return nil, fmt.Errorf("send to topic %s: broker %s sent an answer that cannot be read: %w", x.topic, addr, bad)
	}
	x.region, x.untraced = regionOf(&h), f.Ext.String(skua.PropTraceOn) == "false"
	sent := make([]Sent, len(x.ids))
	offsetIDs := h.MsgID
	for i, id := range x.ids {
		var offsetID []byte
		offsetID, offsetIDs, _ = bytes.Cut(offsetIDs, []byte(","))
		sent[i] = Sent{
			ID: id, OffsetID: string(offsetID), Queue: skua.Queue{Topic: x.topic, Broker: queue.Broker, ID: h.QueueID},
			Offset: skua.QueueOffset(h.QueueOffset) + skua.QueueOffset(i), RecallHandle: string(h.RecallHandle),
		}
	}
	return sent, err
}
