package broker

import (
	"bytes"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// maxBatchMessages bounds the messages of a batch; the store writes them in one go.
const maxBatchMessages = 100_000

// maxInnerMessages bounds those of a batch that is stored as one record: queue entries have 16 bits for their number.
const maxInnerMessages = 1<<15 - 1

// checkBatch makes the checks that concern batches of either kind as a whole.
func (s *sending) checkBatch() error {
	name, e := s.topic.Name, &s.edited
	switch {
	case len(name) > skua.MaxTopicName:
		return refusalf(command.StatusMessageIllegal, "message topic length over %d: %s has %d", skua.MaxTopicName, name, len(name))
	case skua.IsRetryTopic(name):
		return refusalf(command.StatusMessageIllegal, "batch request does not support retry group %s", name)
	case e.level > 0 || e.timing.asked():
		return refusalf(command.StatusMessageIllegal, "the message is illegal: a batch cannot be delayed")
	case e.half || s.message.Transaction() != 0:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: a batch cannot be a transaction message")
	}
	return nil
}

// checkItem makes the checks that concern one message of a batch. Java stores what asks for a delay or a transaction as if
// it did not; here it is refused, as a message that is sent alone would have been treated otherwise.
func (s *sending) checkItem(it record.BatchItem, n int) error {
	keyed, wrong := !s.topic.keyed, ""
	s.forged = false
	record.EachProperty(it.Properties, func(key, value []byte) bool {
		switch string(key) {
		case skua.PropKeys:
			keyed = keyed || len(bytes.TrimSpace(value)) > 0
		case skua.PropDelayLevel:
			if parseLevel(value) > 0 {
				wrong = "it cannot be delayed"
			}
		case skua.PropTimerDelaySec, skua.PropTimerDelayMs, skua.PropTimerDeliverMs, skua.PropTimerDeleteKey:
			wrong = "it cannot be delayed"
		case skua.PropTransactionPrepared:
			if bytes.EqualFold(value, []byte("true")) {
				wrong = "it cannot be a transaction message"
			}
		case skua.PropMultiQueueOffset:
			s.forged = true
		case skua.PropInnerNum:
			wrong = "it cannot be a batch itself"
		}
		return wrong == ""
	})
	switch {
	case wrong != "":
		return refusalf(command.StatusMessageIllegal, "the message is illegal: message %d of the batch: %s; send it alone", n, wrong)
	case !keyed:
		return refusalf(command.StatusMessageIllegal, "Required message key is missing: message %d of the batch has none", n)
	}
	return nil
}

// pack makes a batch ready to be stored as it is, in one record, which takes as many offsets of its queue as it holds
// messages. Its properties are those of the batch as a whole; consumers take it apart.
func (s *sending) pack(body []byte) error {
	n := 0
	var wrong error
	err := record.EachBatchItem(body, func(it record.BatchItem) bool {
		wrong = s.checkItem(it, n)
		n++
		return wrong == nil && n <= maxInnerMessages
	})
	switch {
	case wrong != nil:
		return wrong
	case err != nil:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: %v", err)
	case n == 0:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: the batch is empty")
	case n > maxInnerMessages:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: the batch has more than %d messages", maxInnerMessages)
	}
	s.edited.finish(s.b, s.b.options.Load())
	s.edited.out = record.AppendProperty(s.edited.out, skua.PropInnerNum, strconv.Itoa(n))
	s.message.Properties = s.edited.out
	s.message.SysFlag |= record.FlagInnerBatch | record.FlagNeedUnwrap
	s.list = append(s.list[:0], &s.message)
	return nil
}

// unpack makes a batch ready to be stored: each of its messages becomes a record of its own, with the properties that it
// came with and all else in common. The properties of the batch as a whole are not stored.
func (s *sending) unpack(body []byte) error {
	s.items = s.items[:0]
	var wrong error
	err := record.EachBatchItem(body, func(it record.BatchItem) bool {
		if wrong = s.checkItem(it, len(s.items)); wrong != nil {
			return false
		}
		m := s.message
		m.Flag, m.Body, m.Properties = it.Flag, it.Body, it.Properties
		if s.forged {
			m.Properties = record.AppendWithoutLightOffsets(nil, it.Properties)
		}
		s.items = append(s.items, m)
		return len(s.items) <= maxBatchMessages
	})
	switch {
	case wrong != nil:
		return wrong
	case err != nil:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: %v", err)
	case len(s.items) == 0:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: the batch is empty")
	case len(s.items) > maxBatchMessages:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: the batch has more than %d messages", maxBatchMessages)
	}
	s.list = s.list[:0]
	for i := range s.items {
		s.list = append(s.list, &s.items[i])
	}
	return nil
}
