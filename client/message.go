package client

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// Message is a message to be sent. Topic and Body are needed, all else is optional. A producer reads it until the send
// is done, and never changes it.
type Message struct {
	Topic string
	Body  []byte
	Tag   string   // by which consumers may choose; one word
	Keys  []string // by which the message can be found again; without blanks

	// ShardingKey chooses the queue: messages with the same key go to the same queue, in order, as long as the number of
	// queues does not change. It equals the choice of Java's SelectMessageQueueByHash.
	ShardingKey string
	// Queue, if its Broker is set, is where the message goes; ShardingKey then has no influence. Its Topic is ignored.
	Queue skua.Queue

	// One of the following keeps the message back. DelayLevel and the others are different parts of the broker: levels are
	// few, and deliver within a tenth of a second; times of one's own need a broker with a timer wheel (timerWheelEnable),
	// which delivers within the second after the time, and never before it. How far ahead that may be is the broker's
	// timerMaxDelaySec, three days by default; it refuses more with code 13. Such messages can be recalled, see
	// [Producer.Recall]. Batches cannot be kept back.

	// DelayLevel delays delivery by one of the broker's levels: 1 is a second, 18 two hours, by default. 0: no delay.
	DelayLevel int
	// Delay is how long after it was stored, by the broker's clock, the message is delivered; in whole ms. 0: no delay.
	Delay time.Duration
	// DeliverAt is the time not before which the message is delivered, by the broker's clock; one in the past means at once.
	DeliverAt time.Time

	// Priority, 0 and up, is the number of the queue that the broker (5.4 or newer) puts the message into, or the last queue if
	// there are not so many. Consumers that pop from a topic of message.type=PRIORITY get what lies in the queues of higher
	// numbers first; pull and push consumers read all queues alike. nil: no priority, the message goes to any queue. A message
	// that has one cannot have a sharding key or a queue, be kept back, or be in a batch or a transaction.
	Priority *int

	// Properties travel with the message. Keys and values are not empty, without the bytes 1 and 2, and no key is one that
	// RocketMQ reserves.
	Properties map[string]string
	Flag       int32 // the program's own
	NoWait     bool  // the broker answers before flush and replication, even if its settings say otherwise

	reply *replyTo // of a reply to a request
}

// Sent tells where a message went.
type Sent struct {
	ID       string           // made by the client, the same in each copy of the message; Java shows it as msgId
	OffsetID string           // made by the broker from its address and LogOffset
	Queue    skua.Queue       // the queue, its broker by name
	Offset   skua.QueueOffset // the place in the queue
	// RecallHandle recalls the message by [Producer.Recall] as long as its time of delivery has not come. It is "" for
	// messages that have none, and for brokers that are older than 5.4. While a message waits, Queue is where it will be
	// delivered, and Offset its place among those that wait.
	RecallHandle string
}

// Received is a message that a consumer received. It belongs to who received it; its slices share memory with other
// messages that came in the same answer, which stays in use as long as one of them does.
type Received struct {
	Topic          string // the topic it was sent to, in redeliveries too
	Body           []byte // decompressed
	Queue          skua.Queue
	Offset         skua.QueueOffset
	LogOffset      skua.LogOffset // place in the broker's log
	Size           int32          // of the stored record in bytes
	BornTime       time.Time      // clock of the producer
	BornHost       netip.AddrPort // address of the producer
	StoreTime      time.Time      // clock of the broker
	StoreHost      netip.AddrPort // address of the broker
	ReconsumeTimes int            // how often the group failed to consume it
	Flag           int32
	SysFlag        int32 // bit 0: Body is still compressed, because it could not be decompressed

	properties []byte
	inner      bool // one of a batch that is stored in one record
	line       *line
	place      int // in the line's order of arrival
}

// ID is the id that the client gave the message, or OffsetID if it gave none.
func (m *Received) ID() string {
	if id := m.Property(skua.PropUniqueKey); id != "" {
		return id
	}
	return m.OffsetID()
}

// OffsetID is the id that tells where the message is stored.
func (m *Received) OffsetID() string {
	return string(record.AppendOffsetID(nil, m.StoreHost, m.LogOffset))
}

// Tag is the tag, "" if there is none.
func (m *Received) Tag() string { return m.Property(skua.PropTags) }

// Keys are the keys by which the message can be found.
func (m *Received) Keys() []string { return strings.Fields(m.Property(skua.PropKeys)) }

// ShardingKey is the key that chose the queue, "" if there was none.
func (m *Received) ShardingKey() string { return m.Property(skua.PropShardingKey) }

// Priority is the priority that the message was sent with; ok is false if it has none.
func (m *Received) Priority() (priority int, ok bool) {
	n, err := strconv.ParseInt(m.Property(skua.PropPriority), 10, 32)
	return int(n), err == nil && n >= 0
}

// Property returns the value of a property, "" if it is not there.
func (m *Received) Property(key string) string {
	v, _ := record.Property(m.properties, key)
	return string(v)
}

// Properties returns all properties, RocketMQ's own among them, in a new map.
func (m *Received) Properties() map[string]string { return record.ParseProperties(m.properties) }

// reserved are the property keys that a message may not carry as its own: the producer, the broker or consumers set
// them. Those of scheduling, tracing and request-reply are open to programs; as to the latter see Request and NewReply.
var reserved = map[string]bool{
	skua.PropKeys: true, skua.PropTags: true, skua.PropWait: true, skua.PropDelayLevel: true, skua.PropRetryTopic: true,
	skua.PropRealTopic: true, skua.PropRealQueueID: true, skua.PropTransactionPrepared: true, skua.PropProducerGroup: true,
	skua.PropMinOffset: true, skua.PropMaxOffset: true, skua.PropOriginMessageID: true, skua.PropUniqueKey: true,
	skua.PropReconsumeTime: true, skua.PropMaxReconsumeTimes: true, skua.PropConsumeStartTime: true,
	skua.PropPopCheckpoint: true, skua.PropShardingKey: true, skua.PropPriority: true, skua.PropCRC32: true,
	skua.PropTimerDeliverMs: true, skua.PropTimerDelaySec: true, skua.PropTimerDelayMs: true, skua.PropTimerOutMs: true,
	skua.PropTimerDeleteKey: true, skua.PropTimerRollTimes: true, skua.PropMultiQueueOffset: true,
}

// appendProperties appends the property string of m, born under id.
func (m *Message) appendProperties(dst []byte, id string) []byte {
	if len(m.Properties) > 0 {
		dst = record.AppendProperties(dst, m.Properties)
	}
	dst = record.AppendProperty(dst, skua.PropUniqueKey, id)
	dst = record.AppendProperty(dst, skua.PropWait, strconv.FormatBool(!m.NoWait))
	if m.Tag != "" {
		dst = record.AppendProperty(dst, skua.PropTags, m.Tag)
	}
	if len(m.Keys) > 0 {
		dst = record.AppendProperty(dst, skua.PropKeys, strings.Join(m.Keys, " "))
	}
	if m.ShardingKey != "" {
		dst = record.AppendProperty(dst, skua.PropShardingKey, m.ShardingKey)
	}
	if m.DelayLevel > 0 {
		dst = record.AppendProperty(dst, skua.PropDelayLevel, strconv.Itoa(m.DelayLevel))
	}
	if m.Delay > 0 {
		ms := (m.Delay + time.Millisecond - 1) / time.Millisecond
		dst = record.AppendProperty(dst, skua.PropTimerDelayMs, strconv.FormatInt(int64(ms), 10))
	}
	if !m.DeliverAt.IsZero() {
		ms := m.DeliverAt.Add(time.Millisecond - 1).UnixMilli()
		dst = record.AppendProperty(dst, skua.PropTimerDeliverMs, strconv.FormatInt(ms, 10))
	}
	if m.Priority != nil {
		dst = record.AppendProperty(dst, skua.PropPriority, strconv.Itoa(*m.Priority))
	}
	if m.reply != nil {
		dst = m.reply.appendProperties(dst)
	}
	return dst
}

// validate returns nil if m can be sent.
func (m *Message) validate(maxSize int) error {
	if err := skua.ValidateTopic(m.Topic); err != nil {
		return err
	}
	switch {
	case skua.IsForbiddenTopic(m.Topic):
		return fmt.Errorf("topic %s belongs to the servers, clients cannot send to it", m.Topic)
	case len(m.Body) == 0:
		return errors.New("the message body is empty")
	case len(m.Body) > maxSize:
		return fmt.Errorf("the message body over max value: %d bytes, the producer's limit is %d", len(m.Body), maxSize)
	case m.DelayLevel < 0:
		return fmt.Errorf("delay level %d is negative", m.DelayLevel)
	case m.Delay < 0:
		return fmt.Errorf("delay %v is negative", m.Delay)
	case m.DelayLevel > 0 && !m.DeliverAt.IsZero(), m.DelayLevel > 0 && m.Delay > 0, m.Delay > 0 && !m.DeliverAt.IsZero():
		return errors.New("a message has either DelayLevel or Delay or DeliverAt, not two of them")
	}
	if err := m.validatePriority(); err != nil {
		return err
	}
	for _, key := range m.Keys {
		if key == "" || strings.ContainsAny(key, " \x01\x02") {
			return fmt.Errorf("key %q is empty or has a blank in it", key)
		}
	}
	if strings.ContainsAny(m.Tag+m.ShardingKey, "\x01\x02") {
		return errors.New("tag and sharding key cannot have the bytes 1 and 2 in them")
	}
	for k, v := range m.Properties {
		if err := validateProperty(k, v); err != nil {
			return err
		}
	}
	if m.reply != nil {
		return m.ownProperties()
	}
	return nil
}

// validatePriority returns nil if m has no priority, or one that counts. Brokers drop it from messages that have another order.
func (m *Message) validatePriority() error {
	switch {
	case m.Priority == nil:
		return nil
	case *m.Priority < 0:
		return fmt.Errorf("The priority must be greater than or equal to 0: it is %d", *m.Priority)
	case *m.Priority > math.MaxInt32:
		return fmt.Errorf("priority %d is more than %d", *m.Priority, math.MaxInt32)
	case m.ShardingKey != "", m.Queue.Broker != "":
		return errors.New("a message has either Priority or ShardingKey or Queue: each chooses the queue")
	case m.delayed():
		return errors.New("a message with a priority cannot be delayed: it would lose it")
	case m.reply != nil:
		return errors.New("a reply cannot have a priority")
	}
	return nil
}

// validateProperty returns nil if a program may give a message this property.
func validateProperty(k, v string) error {
	switch {
	case reserved[k]:
		return fmt.Errorf("property %s is reserved", k)
	case k == "" || v == "" || strings.ContainsAny(k, "\x01\x02") || strings.ContainsAny(v, "\x01\x02"):
		return fmt.Errorf("property %q with value %q: both must not be empty, nor have the bytes 1 and 2 in them", k, v)
	}
	return nil
}
