package broker

import (
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

var (
	halfTopic = []byte(skua.HalfTopic)
	opTopic   = []byte(skua.OpHalfTopic)
)

// hideHalf makes of a half message, which is complete but for that, one for the topic of half messages, where no consumer
// sees it. The answer waits for the disk, whatever WAIT says: the message could not be ended before it can be read.
func (s *sending) hideHalf() {
	s.real = s.topic
	s.topic = s.b.topics.find(skua.HalfTopic)
	e := &s.edited
	e.out = appendText(e.out, skua.PropTransactionID, e.unique())
	e.out = appendText(e.out, skua.PropRealTopic, s.message.Topic)
	e.out = append(append(e.out, skua.PropRealQueueID...), 1)
	e.out = append(strconv.AppendInt(e.out, int64(s.message.QueueID), 10), 2)
	e.level, e.noWait = 0, false // a delay begins when it is committed
	s.message.Properties = e.out
	s.message.Topic, s.message.QueueID = halfTopic, 0
	s.message.SysFlag &^= record.FlagTransactionMask
}

// appendText is record.AppendProperty with a value that is not a string.
func appendText(dst []byte, key string, value []byte) []byte {
	dst = append(append(dst, key...), 1)
	return append(append(dst, value...), 2)
}
