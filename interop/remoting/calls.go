package remoting

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Request codes that the tests use.
const (
	Pull         = 11
	QueryMessage = 12
	QueryOffset  = 14
	CommitOffset = 15
	CreateTopic  = 17
	OffsetAtTime = 29
	MaxOffset    = 30
	MinOffset    = 31
	ViewMessage  = 33
	Route        = 105
	ClusterInfo  = 106
	CreateGroup  = 200
	SendBatch    = 320
	SendV2       = 310
)

// Response codes that are no failure to the tests.
const (
	pullNotFound = 19
	pullRetry    = 20
	pullMoved    = 21
	notFound     = 22
)

// CreateTopic creates or changes a topic at a broker.
func (c *Conn) CreateTopic(topic string, queues int) error {
	_, err := c.Call(CreateTopic, Fields("topic", topic, "defaultTopic", "TBW102", "readQueueNums", queues,
		"writeQueueNums", queues, "perm", 6, "topicFilterType", "SINGLE_TAG", "topicSysFlag", 0, "order", false), nil)
	return err
}

// Properties joins name, value pairs into the form that messages carry.
func Properties(m map[string]string) string {
	var s strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&s, "%s\x01%s\x02", name, m[name])
	}
	return s.String()
}

// SendFields are the extFields of a SEND_MESSAGE_V2 request.
func SendFields(topic string, queue int, properties string) map[string]string {
	return Fields("a", "raw-producer", "b", topic, "c", "TBW102", "d", 4, "e", queue, "f", 0,
		"g", time.Now().UnixMilli(), "h", 0, "i", properties, "j", 0, "k", false, "l", 0, "m", false)
}

// Send sends one message and returns its offset in the queue.
func (c *Conn) Send(topic string, queue int, properties map[string]string, body []byte) (offset int64, err error) {
	f, err := c.Call(SendV2, SendFields(topic, queue, Properties(properties)), body)
	if err != nil {
		return 0, err
	}
	return f.Int("queueOffset"), nil
}

// Bounds returns the offset of the first message of a queue and the offset that follows its last.
func (c *Conn) Bounds(topic string, queue int) (first, end int64, err error) {
	fields := Fields("topic", topic, "queueId", queue)
	low, err := c.Call(MinOffset, fields, nil)
	if err != nil {
		return 0, 0, err
	}
	high, err := c.Call(MaxOffset, fields, nil)
	if err != nil {
		return 0, 0, err
	}
	return low.Int("offset"), high.Int("offset"), nil
}

// Committed returns the offset that a consumer group has committed for a queue, -1 when there is none.
func (c *Conn) Committed(group, topic string, queue int) (int64, error) {
	f, err := c.Call(QueryOffset, Fields("consumerGroup", group, "topic", topic, "queueId", queue, "setZeroIfNotFound", false), nil)
	if f != nil && f.Code == notFound {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	return f.Int("offset"), nil
}

// CreateGroup creates a consumer group with the usual settings.
func (c *Conn) CreateGroup(group string) error {
	body, err := json.Marshal(map[string]any{"groupName": group, "consumeEnable": true, "consumeBroadcastEnable": true,
		"consumeFromMinEnable": true, "retryQueueNums": 1, "retryMaxTimes": 16, "whichBrokerWhenConsumeSlowly": 1,
		"notifyConsumerIdsChangedEnable": true})
	if err != nil {
		return err
	}
	_, err = c.Call(CreateGroup, nil, body)
	return err
}

// Commit sets the offset of a consumer group for a queue.
func (c *Conn) Commit(group, topic string, queue int, offset int64) error {
	_, err := c.Call(CommitOffset, Fields("consumerGroup", group, "topic", topic, "queueId", queue, "commitOffset", offset), nil)
	return err
}

// Query returns the messages of a topic that carry a key; unique asks for the unique id that the producer made.
func (c *Conn) Query(topic, key string, unique bool) ([]Record, error) {
	f, err := c.Call(QueryMessage, Fields("topic", topic, "key", key, "maxNum", 64, "beginTimestamp", 0,
		"endTimestamp", int64(1)<<62, "_UNIQUE_KEY_QUERY", unique), nil)
	if f != nil && f.Code == notFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return DecodeAll(f.Body)
}

// View returns the message at an offset of the commit log.
func (c *Conn) View(logOffset int64) (Record, error) {
	f, err := c.Call(ViewMessage, Fields("offset", logOffset), nil)
	if err != nil {
		return Record{}, err
	}
	return Decode(f.Body)
}

// OffsetAt returns the offset of the first message of a queue stored at or after a time in ms.
func (c *Conn) OffsetAt(topic string, queue int, ms int64) (int64, error) {
	f, err := c.Call(OffsetAtTime, Fields("topic", topic, "queueId", queue, "timestamp", ms), nil)
	if err != nil {
		return 0, err
	}
	return f.Int("offset"), nil
}

// Read pulls all messages of a queue from an offset on. It fails when they are not in order, or a number is missing.
func (c *Conn) Read(topic string, queue int, from int64) ([]Record, error) {
	var all []Record
	for at := from; ; {
		f, err := c.Call(Pull, Fields("consumerGroup", "raw-reader", "topic", topic, "queueId", queue, "queueOffset", at,
			"maxMsgNums", 32, "sysFlag", 4, "commitOffset", 0, "suspendTimeoutMillis", 0, "subscription", "*",
			"subVersion", 0, "expressionType", "TAG"), nil)
		if f == nil {
			return all, err
		}
		switch f.Code {
		case 0:
		case pullNotFound:
			return all, nil
		case pullMoved:
			if next := f.Int("nextBeginOffset"); next != at {
				at = next
				continue
			}
			return all, nil
		default:
			return all, err
		}
		batch, err := DecodeAll(f.Body)
		if err != nil {
			return all, err
		}
		for _, r := range batch {
			if r.Offset != at {
				return all, fmt.Errorf("%s-%d: message %d where %d should be", topic, queue, r.Offset, at)
			}
			at++
		}
		all = append(all, batch...)
		if next := f.Int("nextBeginOffset"); next != at {
			return all, fmt.Errorf("%s-%d: next offset %d after message %d", topic, queue, next, at-1)
		}
	}
}

// ReadAround is Read for a queue that lacks messages, or has several in a record: what the broker passes over is left out.
func (c *Conn) ReadAround(topic string, queue int, from int64) (all []Record, err error) {
	for at := from; ; {
		f, err := c.Call(Pull, Fields("consumerGroup", "raw-reader", "topic", topic, "queueId", queue, "queueOffset", at,
			"maxMsgNums", 32, "sysFlag", 4, "commitOffset", 0, "suspendTimeoutMillis", 0, "subscription", "*",
			"subVersion", 0, "expressionType", "TAG"), nil)
		if f == nil {
			return all, err
		}
		next := f.Int("nextBeginOffset")
		switch f.Code {
		case 0:
			batch, err := DecodeAll(f.Body)
			if err != nil {
				return all, err
			}
			all = append(all, batch...)
		case pullRetry, pullMoved:
		case pullNotFound:
			return all, nil
		default:
			return all, err
		}
		if next <= at {
			return all, fmt.Errorf("%s-%d: answer %d to %d leads to %d", topic, queue, f.Code, at, next)
		}
		at = next
	}
}

// Queues is how many queues of a topic one broker serves, from a route.
type Queues struct {
	Broker string `json:"brokerName"`
	Read   int    `json:"readQueueNums"`
	Write  int    `json:"writeQueueNums"`
	Perm   int    `json:"perm"`
}

// TopicRoute asks a name server where a topic is.
func (c *Conn) TopicRoute(topic string) ([]Queues, error) {
	f, err := c.Call(Route, Fields("topic", topic, "acceptStandardJsonOnly", true), nil)
	if err != nil {
		return nil, err
	}
	var route struct {
		QueueDatas []Queues `json:"queueDatas"`
	}
	return route.QueueDatas, json.Unmarshal(f.Body, &route)
}

// Batch encodes messages of one topic for a send with the field m=true; all carry the same properties.
//
//	size i32 | magic i32 | crc i32 | flag i32 | body length i32, body | properties length i16, properties
func Batch(properties string, bodies ...[]byte) []byte {
	var b []byte
	for _, body := range bodies {
		b = binary.BigEndian.AppendUint32(b, uint32(22+len(body)+len(properties)))
		b = append(b, make([]byte, 12)...) // the broker fills these in
		b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
		b = binary.BigEndian.AppendUint16(b, uint16(len(properties)))
		b = append(b, properties...)
	}
	return b
}

// PullOnce reads up to limit messages of a queue with one request, and returns where the broker says to go on.
func (c *Conn) PullOnce(topic string, queue int, from int64, limit int) (records []Record, next int64, err error) {
	f, err := c.Call(Pull, Fields("consumerGroup", "raw-reader", "topic", topic, "queueId", queue, "queueOffset", from,
		"maxMsgNums", limit, "sysFlag", 4, "commitOffset", 0, "suspendTimeoutMillis", 0, "subscription", "*",
		"subVersion", 0, "expressionType", "TAG"), nil)
	if err != nil {
		return nil, 0, err
	}
	records, err = DecodeAll(f.Body)
	return records, f.Int("nextBeginOffset"), err
}
