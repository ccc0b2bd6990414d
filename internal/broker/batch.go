package broker

import (
	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// maxBatchMessages bounds the messages of a batch; the store writes them in one go.
const maxBatchMessages = 100_000

// unpack makes a batch ready to be stored: each of its messages becomes a record of its own, with the properties that it
// came with and all else in common. The properties of the batch as a whole are not stored.
func (s *sending) unpack(body []byte) error {
	name := s.topic.Name
	switch {
	case len(name) > skua.MaxTopicName:
		return refusalf(command.StatusMessageIllegal, "message topic length over %d: %s has %d", skua.MaxTopicName, name, len(name))
	case skua.IsRetryTopic(name):
		return refusalf(command.StatusMessageIllegal, "batch request does not support retry group %s", name)
	case s.edited.level > 0:
		return refusalf(command.StatusMessageIllegal, "the message is illegal: a batch cannot be delayed")
	}
	s.items = s.items[:0]
	err := record.EachBatchItem(body, func(it record.BatchItem) bool {
		m := s.message
		m.Flag, m.Body, m.Properties = it.Flag, it.Body, it.Properties
		s.items = append(s.items, m)
		return len(s.items) <= maxBatchMessages
	})
	switch {
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
