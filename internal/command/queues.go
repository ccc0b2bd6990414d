package command

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
)

// MessageQueue is a queue in bodies. It is comparable and serves as the key of maps, which package fastjson writes as
// Java does: {{"brokerName":"b","queueId":0,"topic":"t"}:5}.
type MessageQueue struct {
	Broker  string `json:"brokerName"`
	QueueID int32  `json:"queueId"`
	Topic   string `json:"topic"`
}

// QueueOf is q as it stands in bodies.
func QueueOf(q skua.Queue) MessageQueue {
	return MessageQueue{Broker: q.Broker, QueueID: q.ID, Topic: q.Topic}
}

// Queue is q outside of bodies.
func (q MessageQueue) Queue() skua.Queue {
	return skua.Queue{Topic: q.Topic, Broker: q.Broker, ID: q.QueueID}
}

// UnmarshalJSONFrom reads a queue, also where it is the key of a map.
func (q *MessageQueue) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain MessageQueue
	return fastjson.DecodeKey(dec, (*plain)(q))
}

// LockBatch is the body of LOCK_BATCH_MQ and UNLOCK_BATCH_MQ.
type LockBatch struct {
	ClientID       string         `json:"clientId"`
	Group          string         `json:"consumerGroup"`
	Queues         []MessageQueue `json:"mqSet"`
	OnlyThisBroker bool           `json:"onlyThisBroker"`
}

// LockBatchResponse is the answer to LOCK_BATCH_MQ: the queues that the client has locked now.
type LockBatchResponse struct {
	Locked []MessageQueue `json:"lockOKMQSet"`
}

// ConsumerOffsets is consumerOffset.json or, with enableLmq, lmqConsumerOffset.json, and the answer to
// GET_ALL_CONSUMER_OFFSET.
type ConsumerOffsets struct {
	DataVersion DataVersion                           `json:"dataVersion"`
	GroupTopics map[string][]string                   `json:"groupTopicMap,omitzero"`   // since 5.5.0
	Light       map[string]skua.QueueOffset           `json:"lmqOffsetTable,omitzero"`  // with enableLmq; of groups whose names begin with %LMQ%: "topic@group" -> next offset in queue 0
	Offsets     map[string]map[int32]skua.QueueOffset `json:"offsetTable"`              // "topic@group" -> queue -> next offset to read
	PullOffsets map[string]map[int32]skua.QueueOffset `json:"pullOffsetTable,omitzero"` // since 5.5.0; what was last handed out
	Unknown     jsontext.Value                        `json:",embed"`
}

// DelayOffsets is delayOffset.json and the answer to GET_ALL_DELAY_OFFSET.
type DelayOffsets struct {
	DataVersion DataVersion                `json:"dataVersion"`
	Offsets     map[int32]skua.QueueOffset `json:"offsetTable"` // delay level, from 1 -> next offset to deliver
	Unknown     jsontext.Value             `json:",embed"`
}

// ResetOffset is the body of RESET_CONSUMER_CLIENT_OFFSET and the answer to INVOKE_BROKER_TO_RESET_OFFSET.
type ResetOffset struct {
	Offsets map[MessageQueue]skua.QueueOffset `json:"offsetTable"`
}

// ResetOffsetList is ResetOffset for C++ clients, which cannot read objects as keys.
type ResetOffsetList struct {
	Offsets []ResetOffsetItem `json:"offsetTable"`
}

// ResetOffsetItem is an item of ResetOffsetList.
type ResetOffsetItem struct {
	Broker  string           `json:"brokerName"`
	Offset  skua.QueueOffset `json:"offset"`
	QueueID int32            `json:"queueId"`
	Topic   string           `json:"topic"`
}

// ConsumerPositions is the answer to GET_CONSUMER_STATUS_FROM_CLIENT (Queues) and INVOKE_BROKER_TO_GET_CONSUMER_STATUS
// (Consumers, by client id).
type ConsumerPositions struct {
	Consumers map[string]map[MessageQueue]skua.QueueOffset `json:"consumerTable"`
	Queues    map[MessageQueue]skua.QueueOffset            `json:"messageQueueTable"`
}

// CorrectionOffsets is the answer to QUERY_CORRECTION_OFFSET.
type CorrectionOffsets struct {
	Offsets map[int32]skua.QueueOffset `json:"correctionOffsets"` // by queue
}

// RequestMode is how consumers that have their queues assigned get messages.
type RequestMode string

// The modes.
const (
	ModePull RequestMode = "PULL"
	ModePop  RequestMode = "POP"
)

var requestModes = []string{string(ModePull), string(ModePop)}

// UnmarshalJSONFrom reads the name or the number.
func (m *RequestMode) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s, err := fastjson.DecodeEnum(dec, requestModes)
	*m = RequestMode(s)
	return err
}

// QueryAssignmentBody is the body of QUERY_ASSIGNMENT.
type QueryAssignmentBody struct {
	ClientID string       `json:"clientId"`
	Group    string       `json:"consumerGroup"`
	Model    MessageModel `json:"messageModel"`
	Strategy string       `json:"strategyName"` // such as "AVG"
	Topic    string       `json:"topic"`
}

// Assignments is the answer to QUERY_ASSIGNMENT. nil and empty are not the same: nothing is said, or there is no queue for
// the consumer.
type Assignments struct {
	Assignments []Assignment `json:"messageQueueAssignments,omitzero"`
}

// Assignment is a queue that the broker assigned to a consumer.
type Assignment struct {
	Attachments map[string]string `json:"attachments,omitzero"`
	Queue       MessageQueue      `json:"messageQueue"` // QueueID -1: all of the broker
	Mode        RequestMode       `json:"mode"`
}

// MessageRequestMode is the body of SET_MESSAGE_REQUEST_MODE and an item of messageRequestMode.json.
type MessageRequestMode struct {
	Group       string      `json:"consumerGroup"`
	Mode        RequestMode `json:"mode"`
	ShareQueues int32       `json:"popShareQueueNum"` // of ModePop: members whose queues a consumer has besides its own; below 1: all
	Topic       string      `json:"topic"`
}

// MessageRequestModes is messageRequestMode.json, and the answer to GET_ALL_MESSAGE_REQUEST_MODE: topic -> group -> mode.
type MessageRequestModes struct {
	Modes map[string]map[string]MessageRequestMode `json:"messageRequestModeMap"`
}
