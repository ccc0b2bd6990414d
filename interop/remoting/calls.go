package remoting

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Request codes that the tests use.
const (
	Pull        = 11
	QueryOffset = 14
	CreateTopic = 17
	MaxOffset   = 30
	MinOffset   = 31
	Route       = 105
	ClusterInfo = 106
	SendV2      = 310

	pullNotFound  = 19
	pullMoved     = 21
	offsetUnknown = 22
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
	if f != nil && f.Code == offsetUnknown {
		return -1, nil
	}
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
