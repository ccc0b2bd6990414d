package inspect

import (
	"net/netip"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// LostTopic is the topic of the records that stand where damaged ones were. They have no place in a queue.
const LostTopic = "SKUA_LOST"

const (
	lostStep  = 1 << 20 // bytes of a record of LostTopic, at most
	lostLeast = 92      // a record has a topic of one byte at least
)

// blank is the mark that the rest of a file, left bytes, is blank.
func blank(left int64) []byte { return record.AppendBlank(nil, left) }

// fillers are records that fill n bytes of the log at off; nil if so few cannot be filled. The last one has room for the
// rest, and all carry a seal where there is room.
func fillers(off, n, storeTime int64) []byte {
	if n < lostLeast {
		return nil
	}
	var b []byte
	for left := n; left > 0; {
		size := left
		if left > 2*lostStep {
			size = lostStep
		}
		b = appendFiller(b, off+n-left, size, storeTime)
		left -= size
	}
	return b
}

func appendFiller(b []byte, off, size, storeTime int64) []byte {
	zero := netip.AddrPortFrom(netip.AddrFrom4([4]byte{}), 0)
	m := record.Message{
		Topic: []byte(LostTopic), SysFlag: record.FlagTransactionRollback, BornTime: storeTime, BornHost: zero, StoreHost: zero,
		Properties: record.AppendUnsealed(nil, nil),
	}
	if int64(record.Size(&m)) > size {
		m.Properties = nil
	}
	if over := int64(record.Size(&m)) - size; over > 0 {
		m.Topic = m.Topic[:int64(len(m.Topic))-over]
	}
	m.Body = make([]byte, size-int64(record.Size(&m)))
	at := len(b)
	b = record.Append(b, &m)
	record.Place(b[at:], 0, skua.LogOffset(off), storeTime)
	if len(m.Properties) > 0 {
		record.Seal(b[at:])
	}
	return b
}
