package broker

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// Kinds of messages, as the attribute message.type of a topic names them. A topic may also have UNSPECIFIED, which fits none.
const (
	messageNormal      = "NORMAL"
	messageFIFO        = "FIFO"
	messageDelay       = "DELAY"
	messageTransaction = "TRANSACTION"
	messagePriority    = "PRIORITY"
	messageLite        = "LITE"
	messageMixed       = "MIXED" // of a topic only: it takes all kinds
)

// traits are the properties of a message that tell of which kind it is. That they are there is what counts, as in Java, and
// only of TRAN_MSG the value does.
type traits struct {
	half        bool // TRAN_MSG=true
	delayed     bool // DELAY, TIMER_DELIVER_MS, TIMER_DELAY_SEC or TIMER_DELAY_MS
	sharded     bool // __SHARDINGKEY
	prioritized bool // _SYS_MSG_PRIORITY_
	lite        bool // __LITE_TOPIC
	transferred bool // TRANSFER_FLAG: from another cluster, by a bridge
	priority    int32
}

// noPriority is the priority of a message that has none or one that is no number of 32 bits, which nobody looks at.
const noPriority int32 = -1

func (t *traits) note(key, value []byte) {
	switch string(key) {
	case skua.PropTransactionPrepared:
		t.half = bytes.EqualFold(value, []byte("true"))
	case skua.PropDelayLevel, skua.PropTimerDeliverMs, skua.PropTimerDelaySec, skua.PropTimerDelayMs:
		t.delayed = true
	case skua.PropShardingKey:
		t.sharded = true
	case skua.PropPriority:
		t.prioritized, t.priority = true, parsePriority(value)
	case skua.PropLiteTopic:
		t.lite = true
	case skua.PropTransferFlag:
		t.transferred = true
	}
}

// kind is the kind of the message, and the property that makes it so.
func (t *traits) kind() (kind, because string) {
	switch {
	case t.half:
		return messageTransaction, skua.PropTransactionPrepared
	case t.delayed:
		return messageDelay, "a delay or a time of delivery"
	case t.sharded:
		return messageFIFO, skua.PropShardingKey
	case t.prioritized:
		return messagePriority, skua.PropPriority
	case t.lite:
		return messageLite, skua.PropLiteTopic
	}
	return messageNormal, "none of the properties that make another"
}

// parsePriority reads a priority as Java reads an int.
func parsePriority(text []byte) int32 {
	digits, negative := text, false
	if len(digits) > 0 && (digits[0] == '+' || digits[0] == '-') {
		digits, negative = digits[1:], digits[0] == '-'
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return noPriority
		}
		if n = n*10 + int64(c-'0'); n > math.MaxInt32 {
			return noPriority
		}
	}
	if len(digits) == 0 || negative && n > 0 {
		return noPriority
	}
	return int32(n)
}

// prioritize puts a message that has a priority to the queue of that: queue 0 has the least, the last one also all that would
// lie beyond. That the topic's message.type is PRIORITY is not asked, as in Java; it tells consumers in what order to pop. A
// message of a kind that has an order of its own loses its priority.
func (s *sending) prioritize(h *command.SendHeader) {
	e := &s.edited
	if !e.traits.prioritized || e.traits.priority == noPriority {
		return
	}
	if kind, _ := e.traits.kind(); kind != messagePriority {
		e.unprioritized = true
		e.scan(h.Properties)
		return
	}
	if n := s.topic.WriteQueues; n > 0 {
		h.QueueID = min(e.traits.priority, n-1)
		s.message.QueueID = h.QueueID
	}
}

// checkType refuses a message that is not of the kind that its topic has, if the broker is told to look. Java's brokers never
// do, its proxies do unless they are told not to; the exceptions are theirs.
func (b *Broker) checkType(t *topic, m *traits, which string) error {
	if !b.options.Load().EnableTopicMessageTypeCheck || m.transferred {
		return nil
	}
	kind, because := m.kind()
	if t.messageType == kind || t.messageType == messageMixed || skua.IsRetryTopic(t.Name) || skua.IsDLQTopic(t.Name) || b.topics.isSystem(t.Name) {
		return nil
	}
	return refusalf(command.StatusMessageIllegal, "TopicMessageType validate failed, the expected type is %s, but actual type is %s: topic %s takes messages of the type %s, %s has %s. To change that: %s",
		t.messageType, kind, t.Name, t.messageType, which, because, b.retype(t, kind))
}

// retype is the command that gives a topic another message.type and leaves the rest as it is.
func (b *Broker) retype(t *topic, kind string) string {
	order := ""
	if t.Order {
		order = " -o true"
	}
	return fmt.Sprintf("mqadmin updateTopic -b %s -t %s -r %d -w %d -p %d%s -a +%s=%s", b.Advertised(), t.Name, t.ReadQueues, t.WriteQueues, t.Perm, order, attrMessageType, kind)
}

// checkTypes is checkType for what is sent: the message, or each one of a batch.
func (s *sending) checkTypes(h *command.SendHeader, body []byte) error {
	switch {
	case !s.b.options.Load().EnableTopicMessageTypeCheck:
		return nil
	case !h.Batch:
		return s.b.checkType(s.topic, &s.edited.traits, "the message")
	}
	n := 0
	var wrong error
	_ = record.EachBatchItem(body, func(it record.BatchItem) bool { // what is malformed is refused later
		var t traits
		record.EachProperty(it.Properties, func(key, value []byte) bool { t.note(key, value); return true })
		wrong = s.b.checkType(s.topic, &t, "message "+strconv.Itoa(n)+" of the batch")
		n++
		return wrong == nil
	})
	return wrong
}
