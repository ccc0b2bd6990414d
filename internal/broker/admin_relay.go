package broker

import (
	"context"
	"errors"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// Requests of administrators that a consumer must answer: the broker passes them on over the consumer's connection.

const (
	relayTimeout   = 10 * time.Second
	statusTimeout  = 5 * time.Second
	v3_1_8Snapshot = 62 // the first release whose clients can be asked about themselves
)

// consumerRunningInfo serves GET_CONSUMER_RUNNING_INFO.
func (b *Broker) consumerRunningInfo(f *wire.Frame) {
	var h command.RunningInfoHeader
	if !decode(f, &h) {
		return
	}
	r := &wire.Request{Code: command.GetConsumerRunningInfo, Header: &h}
	b.relay(f, h.Group, h.ClientID, r)
}

// consumeDirectly serves CONSUME_MESSAGE_DIRECTLY: one consumer is to consume one message now.
func (b *Broker) consumeDirectly(f *wire.Frame) {
	var h command.ConsumeDirectlyHeader
	if !decode(f, &h) {
		return
	}
	_, off, err := record.ParseOffsetID(h.MsgID)
	if err != nil {
		refuse(f, command.StatusSystemError, "msgId %q: %v", h.MsgID, err)
		return
	}
	h.BrokerName = b.options.Load().BrokerName
	if t := b.topics.find(h.Topic); t != nil {
		h.TopicSysFlag = &t.SysFlag
	}
	if g := b.groups.lookup(h.Group); g != nil {
		h.GroupSysFlag = &g.SysFlag
	}
	raw, err := b.store.Record(off)
	if err != nil {
		refuse(f, command.StatusSystemError, "can not find message by the offset, %d: %v", off, err)
		return
	}
	b.relay(f, h.Group, h.ClientID, &wire.Request{Code: command.ConsumeMessageDirectly, Header: &h, Body: raw})
}

// relay passes a request on to a consumer and its answer back. It blocks until then.
func (b *Broker) relay(f *wire.Frame, group, id string, r *wire.Request) {
	to, ok := b.clients.contact(group, id)
	if !ok {
		refuse(f, command.StatusSystemError, "The Consumer <%s> <%s> not online", group, id)
		return
	}
	if to.version < v3_1_8Snapshot {
		refuse(f, command.StatusSystemError, "The Consumer <%s> Version <%d> too low to finish, please upgrade it to V3_1_8_SNAPSHOT", id, to.version)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), relayTimeout)
	defer cancel()
	answer, err := to.conn.Call(ctx, r)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, wire.ErrTimeout):
		refuse(f, command.StatusConsumeMsgTimeout, "consumer <%s> <%s> Timeout: no answer in %v", group, id, relayTimeout)
	case err != nil:
		refuse(f, command.StatusSystemError, "invoke consumer <%s> <%s> Exception: %v", group, id, err)
	default:
		f.Call().Reply(&wire.Response{Status: command.Status(answer.Code), Remark: string(answer.Remark), Body: answer.Body})
	}
}

// consumerStatus serves INVOKE_BROKER_TO_GET_CONSUMER_STATUS: which offsets the members of a group have reached.
func (b *Broker) consumerStatus(f *wire.Frame) {
	var h command.ConsumerStatusHeader
	if !decode(f, &h) {
		return
	}
	b.askStatus(f, &h)
}

func (b *Broker) askStatus(f *wire.Frame, h *command.ConsumerStatusHeader) {
	members := b.clients.contacts(h.Group)
	if len(members) == 0 {
		refuse(f, command.StatusSystemError, "No Any Consumer online in the consumer group: [%s]", h.Group)
		return
	}
	out := command.ConsumerPositions{Consumers: map[string]map[command.MessageQueue]skua.QueueOffset{}}
	ask := &wire.Request{Code: command.GetConsumerStatusFromClient, Header: &command.ConsumerStatusHeader{Topic: h.Topic, Group: h.Group}}
	ctx, cancel := context.WithTimeout(context.Background(), statusTimeout)
	defer cancel()
	for _, m := range members {
		if h.ClientAddr != "" && h.ClientAddr != m.id {
			continue
		}
		if m.version < v3_0_7Snapshot {
			refuse(f, command.StatusSystemError, "the client does not support this feature. version=%d", m.version)
			return
		}
		var status command.ConsumerPositions
		answer, err := m.conn.Call(ctx, ask)
		if err == nil && answer.Code == int32(command.StatusSuccess) {
			err = fastjson.Unmarshal(answer.Body, &status)
		}
		if err != nil {
			b.log.Warn("consumer could not be asked for its offsets", "group", h.Group, "client", m.id, "error", err)
			continue
		}
		out.Consumers[m.id] = status.Queues
	}
	answer(f, out)
}
