package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

const faq = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."

// flagMultiTags in a message's system flag says that its topic filters by several tags.
const flagMultiTags int32 = 0x2

// sending is a send on its way through the broker. Everything that outlives the handler is memory of its own, which is
// used again: a send allocates nothing.
type sending struct {
	b        *Broker
	call     wire.Call
	topic    *topic
	message  record.Message    // the message, or what those of a batch have in common
	items    []record.Message  // of a batch
	list     []*record.Message // what is to be stored: message or items
	edited   edited            // the message's properties
	parked   []byte            // memory for the properties of a delayed message
	real     *topic            // of a half message: its topic
	logical  *static.Queue     // of a static topic: the queue that the producer knows
	header   command.SendResponse
	response wire.Response
	ids      []byte // memory for offset ids
	handle   []byte // memory for a recall handle
	plain    []byte // memory for what it says
	settled  func(error)
	gathered bool // the answer leaves with others
	forged   bool // the message of the batch that was checked last tells offsets in light queues
}

var sendings = sync.Pool{New: func() any { return new(sending) }}

// send serves SEND_MESSAGE, SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE.
func (b *Broker) send(req *wire.Frame) {
	var h command.SendHeader
	if err := h.Decode(req.Ext); err != nil {
		b.refuseSend(req, refusalf(command.StatusSystemError, "%v", err))
		return
	}
	t, logical, err := b.admit(req, &h)
	if err != nil {
		b.refuseSend(req, err)
		return
	}
	if logical != nil {
		defer t.gate.RUnlock()
	}
	s := sendings.Get().(*sending)
	if s.settled == nil {
		s.settled = s.reply
	}
	s.b, s.call, s.topic, s.logical = b, req.Call(), t, logical
	s.message = record.Message{
		Topic:          h.Topic, // as t.bytes, but the processor has it at hand
		QueueID:        h.QueueID,
		Flag:           h.Flag,
		SysFlag:        h.SysFlag,
		BornTime:       h.BornTimestamp,
		BornHost:       req.Conn().RemoteAddrPort(),
		StoreHost:      b.host,
		ReconsumeTimes: h.ReconsumeTimes,
		Body:           req.Body,
		Properties:     h.Properties,
	}
	if t.FilterType != command.SingleTag {
		s.message.SysFlag |= flagMultiTags
	}
	if err := s.store(req, &h); err != nil {
		b.refuseSend(req, err)
		s.release()
	}
}

// admit makes the checks that concern the topic, and returns it. In h is the queue that the message goes to; of a static
// topic logical is that which the producer knows, and the gate of the topic is locked for reading.
func (b *Broker) admit(req *wire.Frame, h *command.SendHeader) (t *topic, logical *static.Queue, err error) {
	o := b.options.Load()
	if o.StartAcceptSendRequestTimeStamp > 0 && time.Now().UnixMilli() < o.StartAcceptSendRequestTimeStamp {
		return nil, nil, refusalf(command.StatusSystemError, "broker unable to service, until %s: startAcceptSendRequestTimeStamp=%d",
			time.UnixMilli(o.StartAcceptSendRequestTimeStamp).Format(time.DateTime), o.StartAcceptSendRequestTimeStamp)
	}
	if t = b.topics.get(h.Topic); t == nil {
		if t, err = b.newTopicFor(h); err != nil {
			return nil, nil, err
		}
	}
	if !o.writable() && t.Order {
		return nil, nil, refusalf(command.StatusNoPermission, "the broker[%s] sending message is forbidden: brokerPermission=%d", o.BrokerIP1, o.BrokerPermission)
	}
	if skua.IsForbiddenTopic(t.Name) {
		return nil, nil, refusalf(command.StatusNoPermission, "Sending message to topic[%s] is forbidden.", t.Name)
	}
	if t.mapping != nil && !h.Physical {
		return b.admitLogical(req, h, t)
	}
	if int(h.QueueID) >= len(t.queues) || h.QueueID < 0 && t.WriteQueues == 0 {
		return nil, nil, refusalf(command.StatusInvalidParameter, "request queueId[%d] is illegal, %s Producer: %s", h.QueueID, describe(&t.TopicConfig), req.Conn().RemoteAddr())
	}
	if h.QueueID < 0 {
		h.QueueID = rand.Int32N(t.WriteQueues)
	}
	return t, nil, nil
}

// admitLogical is admit for a static topic.
func (b *Broker) admitLogical(req *wire.Frame, h *command.SendHeader, t *topic) (*topic, *static.Queue, error) {
	name := t.Name
	if t = b.topics.enter(t); t == nil {
		return nil, nil, refusalf(command.StatusTopicNotExist, "topic[%s] not exist, apply first please!%s (it was deleted while the message came)", name, faq)
	}
	logical, err := t.written(h.QueueID)
	if err == nil && int(logical.Leader().QueueID) >= len(t.queues) {
		err = refusalf(command.StatusInvalidParameter, "request queueId[%d] is illegal, %s Producer: %s", logical.Leader().QueueID, describe(&t.TopicConfig), req.Conn().RemoteAddr())
	}
	if err != nil {
		t.gate.RUnlock()
		return nil, nil, err
	}
	h.QueueID = logical.Leader().QueueID
	return t, logical, nil
}

// describe spells a topic as Java does.
func describe(c *command.TopicConfig) string {
	var attributes []string
	for k, v := range c.Attributes {
		attributes = append(attributes, k+"="+v)
	}
	return fmt.Sprintf("TopicConfig [topicName=%s, readQueueNums=%d, writeQueueNums=%d, perm=%s, topicFilterType=%s, topicSysFlag=%d, order=%t, attributes={%s}]",
		c.Name, c.ReadQueues, c.WriteQueues, c.Perm, c.FilterType, c.SysFlag, c.Order, strings.Join(attributes, ", "))
}

// newTopicFor creates the topic of a send to an unknown one, if it may: by a template or, for the retry topic of a group,
// as such. It blocks while the topic is saved, so that no message is acknowledged in a topic that a restart forgets; that
// happens once for each topic.
func (b *Broker) newTopicFor(h *command.SendHeader) (*topic, error) {
	name := string(h.Topic)
	if err := skua.ValidateTopic(name); err != nil {
		return nil, refusalf(command.StatusInvalidParameter, "%v", err)
	}
	if skua.IsForbiddenTopic(name) {
		return nil, refusalf(command.StatusNoPermission, "Sending message to topic[%s] is forbidden.", name)
	}
	sysFlag := int32(0)
	if h.UnitMode {
		sysFlag = command.TopicUnit
	}
	if skua.IsRetryTopic(name) {
		if h.UnitMode {
			sysFlag = command.TopicUnitSub
		}
		if t := b.ensureTopic(name, 1, sysFlag); t != nil {
			return t, nil
		}
	}
	template := string(h.DefaultTopic)
	t, made, err := b.topics.create(name, func() (command.TopicConfig, error) {
		why := b.templateUnfit(template)
		if why != "" {
			return command.TopicConfig{}, refusalf(command.StatusTopicNotExist, "topic[%s] not exist, apply first please!%s (%s; mqadmin updateTopic creates topics)", name, faq, why)
		}
		from := b.topics.find(template)
		c := command.TopicConfig{Name: name, Perm: from.Perm &^ skua.PermInherit, FilterType: from.FilterType, SysFlag: sysFlag}
		c.WriteQueues = max(min(h.DefaultQueues, from.WriteQueues), 0)
		c.ReadQueues = c.WriteQueues
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	if made {
		b.log.Info("topic created by a send", "topic", name, "queues", t.WriteQueues, "template", template, "producerGroup", string(h.ProducerGroup))
		b.registerSoon()
	}
	return t, nil
}

// templateUnfit tells why no topic can be made after a template, "" if one can.
func (b *Broker) templateUnfit(template string) string {
	t := b.topics.find(template)
	switch {
	case template == skua.TemplateTopic && !b.options.Load().AutoCreateTopicEnable:
		return "autoCreateTopicEnable=false"
	case t == nil:
		return "the template topic " + strconv.Quote(template) + " does not exist here"
	case !t.Perm.Inherited():
		return "the template topic " + template + " has permission " + t.Perm.String() + ", which does not let others inherit"
	}
	return ""
}

// store edits, checks and stores what is to be sent. The answer leaves when it is safe; an error is to be answered.
func (s *sending) store(req *wire.Frame, h *command.SendHeader) (err error) {
	s.edited.scan(h.Properties)
	if h.Batch {
		if err := s.checkBatch(); err != nil {
			return err
		}
	}
	if err := s.check(h); err != nil {
		return err
	}
	if err := s.checkTypes(h, req.Body); err != nil {
		return err
	}
	if h.Batch && s.topic.batched && s.edited.unique() != nil {
		err = s.pack(req.Body)
	} else if h.Batch {
		err = s.unpack(req.Body)
	} else {
		err = s.complete(req, h)
	}
	if err != nil {
		return err
	}
	d, err := s.delay(h)
	if err != nil {
		return err
	}
	r, err := s.b.put(s.topic, s.list, d, &s.parked)
	if err != nil {
		return storeRefusal(err)
	}
	if s.real != nil {
		s.b.transactions.stored(s.real.bytes)
	}
	s.header.QueueID, s.header.QueueOffset = h.QueueID, int64(r.QueueOffset)
	if s.logical != nil {
		s.header.QueueID = s.logical.ID
		if s.real == nil { // that of a half message comes back with its end, and is compared
			s.header.QueueOffset = s.logical.Leader().Given(s.header.QueueOffset)
		}
	}
	for i, m := range s.list {
		if i > 0 {
			s.ids = append(s.ids, ',')
		}
		s.ids = record.AppendOffsetID(s.ids, s.b.host, m.LogOffset)
	}
	s.header.MsgID = s.ids
	s.header.TransactionID = s.edited.unique()
	if s.message.SysFlag&record.FlagInnerBatch != 0 {
		s.header.BatchUniqID = s.edited.unique()
	}
	o := s.b.options.Load()
	if d.until > 0 && !skua.IsRetryTopic(s.topic.Name) {
		s.handle, s.plain = appendRecallHandle(s.handle[:0], s.plain, s.topic.bytes, o.BrokerName, d.until, s.edited.unique())
		s.header.RecallHandle = s.handle
	}
	s.header.Region, s.header.TraceOn = o.RegionID, o.TraceOn
	// The rest may happen on another goroutine: s belongs to it.
	s.gathered = s.b.syncFlush && !s.edited.noWait
	s.b.settle(r, !s.edited.noWait, s.settled)
	return nil
}

// check makes the checks that concern the message.
func (s *sending) check(h *command.SendHeader) error {
	o := s.b.options.Load()
	e := &s.edited
	e.half = e.half && !(h.ReconsumeTimes > 0 && e.level > 0)
	switch {
	case e.half && o.RejectTransactionMessage:
		return refusalf(command.StatusNoPermission, "the broker[%s] sending transaction message is forbidden: rejectTransactionMessage=true", o.BrokerIP1)
	case !e.half && s.message.Transaction() != 0:
		return refusalf(command.StatusNoPermission, "the broker[%s] sending transaction message is forbidden: the system flag of the message says that it is one, but it has no property %s=true", o.BrokerIP1, skua.PropTransactionPrepared)
	case e.half && h.Batch:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: a batch cannot be a transaction message")
	case s.topic.Name == skua.TimerTopic && !parkedWell(e.out):
		return refusalf(command.StatusMessageIllegal, "timer message illegal: messages in %s need %s, %s and %s; send to the topic itself, with %s", skua.TimerTopic,
			skua.PropTimerOutMs, skua.PropRealTopic, skua.PropRealQueueID, skua.PropTimerDeliverMs)
	case s.message.SysFlag&record.FlagInnerBatch != 0 || e.innerBatch:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: it says that it is a batch in one record (INNER_NUM); send a batch to a topic of queue.type=%s, the broker then makes one", queueBatch)
	case s.topic.compacted && !s.b.compaction.Load().holds(&s.message):
		return refusalf(command.StatusMessageIllegal, "the message is illegal: it has %d bytes, and topic %s is compacted: a message must fit into a file, and these have "+
			"compactionMappedFileSize=%d", record.Size(&s.message), s.topic.Name, o.CompactionMappedFileSize)
	case s.topic.keyed && !e.keys && !h.Batch: // each message of a batch has its own
		return refusalf(command.StatusMessageIllegal, "Required message key is missing")
	}
	return nil
}

// complete makes a single message ready to be stored.
func (s *sending) complete(req *wire.Frame, h *command.SendHeader) error {
	if len(req.Body) == 0 {
		return refusalf(command.StatusMessageIllegal, "the message is illegal: it has no body")
	}
	o := s.b.options.Load()
	if skua.IsRetryTopic(s.topic.Name) {
		if err := s.bury(req, h); err != nil {
			return err
		}
	}
	if s.edited.level > 0 && s.edited.timing.asked() {
		s.edited.untimed = true
		s.edited.scan(h.Properties)
	}
	if s.edited.light {
		if err := s.checkLight(); err != nil {
			return err
		}
	}
	s.prioritize(h)
	s.edited.finish(s.b, o)
	s.message.Properties = s.edited.out
	if s.edited.half {
		s.hideHalf()
	}
	s.list = append(s.list[:0], &s.message)
	return nil
}

// delay is how long what is to be stored waits. A delay level wins over a time of delivery, which is dropped then.
func (s *sending) delay(h *command.SendHeader) (delay, error) {
	e := &s.edited
	if !e.timing.asked() || e.level > 0 {
		return delay{level: e.level}, nil
	}
	until, err := s.b.until(&e.timing)
	if s.real != nil {
		until = 0 // the delay begins when the half message is committed
	}
	return delay{until: until}, err
}

// bury turns a message that a consumer sends to its retry topic once too often to the dead letter topic. For a group that
// consumes in order, once is too often.
func (s *sending) bury(req *wire.Frame, h *command.SendHeader) error {
	name := strings.TrimPrefix(s.topic.Name, skua.RetryPrefix)
	g := s.b.findGroup(name)
	if g == nil {
		return refusalf(command.StatusSubscriptionGroupNotExist, "subscription group not exist, %s: create it (mqadmin updateSubGroup) or set autoCreateSubscriptionGroup=true", name)
	}
	limit := g.RetryMaxTimes
	if req.Version >= command.V3_4_9 && h.HasMaxReconsume {
		limit = h.MaxReconsumeTimes
	}
	if h.ReconsumeTimes <= limit && !s.b.locks.held(name, s.b.now()) {
		return nil
	}
	dead, err := s.b.deadLetters(name)
	if err != nil {
		return err
	}
	s.topic = dead
	s.message.Topic, s.message.QueueID = dead.bytes, rand.Int32N(dead.WriteQueues)
	s.edited.undelayed, s.edited.unprioritized = true, true // Java's has a delay level, of -1, which takes the priority away
	s.edited.scan(h.Properties)
	s.edited.out = record.AppendProperty(s.edited.out, skua.PropDelayLevel, "-1")
	s.edited.out = withOrigin(s.edited.out)
	s.b.stats.group(dead.bytes, []byte(name)).deadLetter.add(1)
	return nil
}

// reply answers a send when its messages are safe, or cannot be made so; err tells. It gives s back.
func (s *sending) reply(err error) {
	s.response = wire.Response{Header: &s.header}
	s.b.replySettled(s.call, &s.response, err, s.gathered)
	s.release()
}

// replySettled answers r when messages are safe, or with why they cannot be made so. The answer leaves at once or, gathered, with others.
func (b *Broker) replySettled(call wire.Call, r *wire.Response, err error, gathered bool) {
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFlushTimeout):
		r.Status, r.Remark = command.StatusFlushDiskTimeout, "the message is stored, but not yet on disk"
	default:
		var told *refusal
		errors.As(storeRefusal(err), &told)
		r.Status, r.Remark = told.status, told.remark
	}
	if gathered {
		b.answers.reply(call, r)
	} else {
		call.Reply(r)
	}
}

// keptMemory is how much memory a sending keeps for the next one, bytes or messages.
const keptMemory = 64 << 10

func (s *sending) release() {
	s.b, s.topic, s.real, s.logical, s.call, s.gathered = nil, nil, nil, nil, wire.Call{}, false
	s.message, s.header, s.response = record.Message{}, command.SendResponse{}, wire.Response{}
	clear(s.items)
	clear(s.list)
	s.items, s.list, s.ids, s.parked = kept(s.items), kept(s.list), kept(s.ids), kept(s.parked)
	s.handle, s.plain = kept(s.handle), kept(s.plain)
	s.edited = edited{out: kept(s.edited.out)}
	sendings.Put(s)
}

// kept is s emptied, or nothing if it is too large to keep.
func kept[T any](s []T) []T {
	if cap(s) > keptMemory {
		return nil
	}
	return s[:0]
}

// refuseSend refuses a send; the answer tells the producer whether to trace all the same.
func (b *Broker) refuseSend(req *wire.Frame, err error) {
	r := wire.Response{Status: command.StatusSystemError, Remark: err.Error()}
	var ref *refusal
	if errors.As(err, &ref) {
		r.Status = ref.status
	}
	o := b.options.Load()
	r.Ext = map[string]string{skua.PropRegion: o.RegionID, skua.PropTraceOn: strconv.FormatBool(o.TraceOn)}
	req.Call().Reply(&r)
}

// storeRefusal makes of the reason for which the store took nothing what the sender is told.
func storeRefusal(err error) error {
	if told := (*refusal)(nil); errors.As(err, &told) {
		return err
	}
	var r *store.RefusedError
	if !errors.As(err, &r) {
		return refusalf(command.StatusSystemError, "UNKNOWN_ERROR: %v", err)
	}
	switch r.Reason {
	case store.BodyTooLarge, store.PropertiesTooLarge, store.TopicInvalid:
		return refusalf(command.StatusMessageIllegal, "the message is illegal, maybe msg body or properties length not matched: %v", err)
	case store.Deleted:
		return refusalf(command.StatusTopicNotExist, "topic not exist, apply first please: %v", err)
	case store.TooManyLight:
		return refusalf(command.StatusLMQQuotaExceeded, "[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]lmq consume queue num exceeded. (%v; enableLmqQuota, maxLmqConsumeQueueNum)", err)
	case store.Busy:
		return refusalf(command.StatusSystemBusy, "[PC_SYNCHRONIZED]broker busy, start flow control for a while: %v", err)
	}
	return refusalf(command.StatusServiceNotAvailable, "service not available now. It may be caused by one of the following reasons: the broker's disk is full, messages are put to the slave, message store has been shut down, etc. (%v)", err)
}
