package client

import (
	"bytes"
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
}

var templateTopic = []byte(skua.TemplateTopic)

// pack encodes a message.
func (p *Producer) pack(m *Message) (*parcel, error) {
	if err := m.validate(p.o.MaxMessageSize); err != nil {
		return nil, err
	}
	now := time.Now()
	id := p.c.ids.next(now)
	x := &parcel{topic: m.Topic, code: command.SendMessageV2, body: m.Body, ids: []string{id}, sharding: m.ShardingKey, queue: m.Queue}
	x.header = newSendHeader(m.Topic, now, m.appendProperties(make([]byte, 0, 128), id))
	x.header.Flag = m.Flag
	if n := len(x.header.Properties); n > record.MaxProperties {
		return nil, fmt.Errorf("the properties take %d bytes, the limit is %d", n, record.MaxProperties)
	}
	if p.o.CompressAbove >= 0 && len(m.Body) >= p.o.CompressAbove {
		if small := p.codec.compress(m.Body); small != nil {
			x.body = small
			x.header.SysFlag |= compressedFlag | int32(p.codec.kind)
		}
	}
	return x, nil
}

// packBatch encodes messages of one topic.
func (p *Producer) packBatch(messages []*Message) (*parcel, error) {
	if len(messages) == 0 {
		return nil, errors.New("a batch needs at least one message")
	}
	now, first := time.Now(), messages[0]
	x := &parcel{topic: first.Topic, code: command.SendBatchMessage, sharding: first.ShardingKey, queue: first.Queue}
	var properties []byte
	for i, m := range messages {
		if err := m.validate(p.o.MaxMessageSize); err != nil {
			return nil, fmt.Errorf("message %d of the batch: %w", i, err)
		}
		switch {
		case m.Topic != first.Topic:
			return nil, fmt.Errorf("message %d of the batch goes to topic %s, the first one to %s", i, m.Topic, first.Topic)
		case m.DelayLevel != 0 || !m.DeliverAt.IsZero():
			return nil, fmt.Errorf("message %d of the batch: TimeDelayLevel is not supported for batching", i)
		case skua.IsRetryTopic(m.Topic):
			return nil, errors.New("Retry Group is not supported for batching")
		}
		id := p.c.ids.next(now)
		x.ids = append(x.ids, id)
		properties = m.appendProperties(properties[:0], id)
		if len(properties) > record.MaxProperties {
			return nil, fmt.Errorf("message %d of the batch: the properties take %d bytes, the limit is %d", i, len(properties), record.MaxProperties)
		}
		x.body = record.AppendBatchItem(x.body, record.BatchItem{Flag: m.Flag, Body: m.Body, Properties: properties})
	}
	if len(x.body) > p.o.MaxMessageSize {
		return nil, fmt.Errorf("the batch takes %d bytes, the producer's limit is %d", len(x.body), p.o.MaxMessageSize)
	}
	outer := record.AppendProperty(nil, skua.PropWait, fmt.Sprint(!first.NoWait))
	if ids := strings.Join(x.ids, ","); len(ids) < record.MaxProperties/2 {
		outer = record.AppendProperty(outer, skua.PropUniqueKey, ids)
	}
	x.header = newSendHeader(first.Topic, now, outer)
	x.header.Batch = true
	return x, nil
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
	sent := make([]Sent, len(x.ids))
	offsetIDs := h.MsgID
	for i, id := range x.ids {
		var offsetID []byte
		offsetID, offsetIDs, _ = bytes.Cut(offsetIDs, []byte(","))
		sent[i] = Sent{
			ID: id, OffsetID: string(offsetID), Queue: skua.Queue{Topic: x.topic, Broker: queue.Broker, ID: h.QueueID},
			Offset: skua.QueueOffset(h.QueueOffset) + skua.QueueOffset(i),
		}
	}
	return sent, err
}
