package broker

import (
	"errors"
	"math/rand/v2"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// The delay level of a message's first retry; each further one waits a level longer.
const firstRetryLevel = 3

// The dead letter topic of a group has this many queues. It can be read, so that messages can be looked at and sent again.
const deadLetterQueues = 1

// sendBack serves CONSUMER_SEND_MSG_BACK: a consumer failed on a message and gives it back. A copy goes to the retry
// topic of its group, by way of the schedule, or, after too many deliveries, to the dead letter topic.
func (b *Broker) sendBack(f *wire.Frame) {
	var h command.SendBackHeader
	if !decode(f, &h) {
		return
	}
	group := b.findGroup(h.Group)
	if group == nil {
		refuse(f, command.StatusSubscriptionGroupNotExist, "subscription group not exist, %s: create it (mqadmin updateSubGroup) or set autoCreateSubscriptionGroup=true", h.Group)
		return
	}
	if o := b.options.Load(); !skua.Perm(o.BrokerPermission).Writable() {
		refuse(f, command.StatusNoPermission, "the broker[%s] sending message is forbidden: brokerPermission=%d", o.BrokerIP1, o.BrokerPermission)
		return
	}
	if group.RetryQueues <= 0 {
		b.log.Warn("message that a consumer sent back is dropped: its group has no retry queues", "group", h.Group, "logOffset", h.Offset)
		succeed(f, nil, nil)
		return
	}
	sysFlag := int32(0)
	if h.UnitMode {
		sysFlag = command.TopicUnitSub
	}
	topic, err := b.backTopic(skua.RetryTopic(h.Group), group.RetryQueues, sysFlag)
	if err != nil {
		refuseWith(f, err)
		return
	}
	if !topic.Perm.Writable() {
		refuse(f, command.StatusNoPermission, "the topic[%s] sending message is forbidden: its permission is %s", topic.Name, topic.Perm)
		return
	}
	limit := group.RetryMaxTimes
	if f.Version >= command.V3_4_9 && h.MaxReconsumeTimes != nil {
		limit = *h.MaxReconsumeTimes
	}
	b.sendBackRecord(f, &h, topic, limit)
}

// backTopic returns a retry or dead letter topic, which it creates if it is missing. The error is a refusal.
func (b *Broker) backTopic(name string, queues, sysFlag int32) (*topic, error) {
	t := b.ensureTopic(name, queues, sysFlag)
	switch {
	case t == nil:
		return nil, refusalf(command.StatusSystemError, "topic[%s] not exist: it cannot be created, see the broker's log", name)
	case t.WriteQueues == 0:
		return nil, refusalf(command.StatusSystemError, "topic[%s] not exist: it has no queue to write to; mqadmin updateTopic -w 1 gives it one", name)
	}
	return t, nil
}

// deadLetters returns the dead letter topic of a group. Messages go there whatever its permission is: refused, they would
// come back to their consumers for ever.
func (b *Broker) deadLetters(group string) (*topic, error) {
	return b.backTopic(skua.DLQTopic(group), deadLetterQueues, 0)
}

// sendBackRecord stores the copy. It reads the log, which may block.
func (b *Broker) sendBackRecord(f *wire.Frame, h *command.SendBackHeader, topic *topic, limit int32) {
	raw, err := b.store.Record(h.Offset)
	if err != nil {
		refuse(f, command.StatusSystemError, "look message by offset failed, %d: %v", h.Offset, err)
		return
	}
	m, _, err := record.Decode(raw)
	if err != nil {
		refuse(f, command.StatusSystemError, "look message by offset failed, %d: %v", h.Offset, err)
		return
	}
	counters := b.stats.group(m.Topic, []byte(h.Group))
	dead := h.DelayLevel < 0 || m.ReconsumeTimes >= limit
	if dead {
		if topic, err = b.deadLetters(h.Group); err != nil {
			refuseWith(f, err)
			return
		}
	}
	again, level := retryCopy(&m, topic.Name, int(h.DelayLevel), dead)
	again.QueueID, again.StoreHost = rand.Int32N(topic.WriteQueues), b.host
	var scratch []byte
	receipt, err := b.put(topic, []*record.Message{again}, delay{level: level}, &scratch)
	if err != nil {
		refuse(f, command.StatusSystemError, "%s: %v", putStatus(err), err)
		return
	}
	counters.sendBack.add(1)
	if dead {
		counters.deadLetter.add(1)
	}
	// The consumer forgets the message when it is told that it was taken, so the answer waits for the disk, whatever WAIT says.
	b.settle(receipt, true, func(err error) {
		if err != nil {
			refuse(f, command.StatusSystemError, "FLUSH_DISK_TIMEOUT: %v", err)
			return
		}
		succeed(f, nil, nil)
	})
}

// putStatus is Java's name of the outcome of a put that failed.
func putStatus(err error) string {
	var refused *store.RefusedError
	if !errors.As(err, &refused) {
		return "UNKNOWN_ERROR"
	}
	switch refused.Reason {
	case store.BodyTooLarge, store.TopicInvalid:
		return "MESSAGE_ILLEGAL"
	case store.PropertiesTooLarge:
		return "PROPERTIES_SIZE_EXCEEDED"
	case store.Busy:
		return "OS_PAGE_CACHE_BUSY"
	}
	return "SERVICE_NOT_AVAILABLE"
}

// retryCopy is the message to be stored when m is sent back: to a retry topic with a delay, or to a dead letter topic
// without. It returns the level of the delay, too. Its properties are new memory.
func retryCopy(m *record.Message, topic string, level int, dead bool) (*record.Message, int) {
	properties := record.ParseProperties(m.Properties)
	if properties[skua.PropRetryTopic] == "" {
		properties[skua.PropRetryTopic] = string(m.Topic)
	}
	if properties[skua.PropOriginMessageID] == "" {
		properties[skua.PropOriginMessageID] = string(record.AppendOffsetID(nil, m.StoreHost, m.LogOffset))
	}
	properties[skua.PropWait] = "false"
	switch {
	case dead:
		level = 0
	case level == 0:
		level = firstRetryLevel + int(m.ReconsumeTimes)
	}
	properties[skua.PropDelayLevel] = strconv.Itoa(level)
	if level > 0 { // which wins
		delete(properties, skua.PropTimerDelaySec)
		delete(properties, skua.PropTimerDelayMs)
		delete(properties, skua.PropTimerDeliverMs)
	}
	again := *m
	again.Topic, again.Properties = []byte(topic), record.AppendProperties(nil, properties)
	if dead {
		again.Properties = withOrigin(again.Properties)
	}
	again.ReconsumeTimes++
	again.PreparedOffset = 0
	return &again, level
}

// originRoom is left free of the properties of a dead letter, for what the broker and the store add.
const originRoom = 512

// withOrigin appends to the properties of a dead letter from where it came, for those who look at it or send it again: the
// topic that it was sent to, and its unique key or, without one, the offset id of its first delivery. It is left out where
// there is no room: a letter that is too long would come back to its consumer for ever. What an earlier death has left stays.
func withOrigin(properties []byte) []byte {
	if _, has := record.Property(properties, skua.PropDLQOriginTopic); has {
		return properties
	}
	topic, _ := record.Property(properties, skua.PropRetryTopic)
	id, _ := record.Property(properties, skua.PropUniqueKey)
	if len(id) == 0 {
		id, _ = record.Property(properties, skua.PropOriginMessageID)
	}
	if len(properties)+len(topic)+len(id) > record.MaxProperties-originRoom {
		return properties
	}
	if len(topic) > 0 {
		properties = record.AppendProperty(properties, skua.PropDLQOriginTopic, string(topic))
	}
	if len(id) > 0 {
		properties = record.AppendProperty(properties, skua.PropDLQOriginMessageID, string(id))
	}
	return properties
}
