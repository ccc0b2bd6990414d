package command

import "github.com/skuamq/skua"

// Headers that brokers and clients exchange on cold paths. Fields that Java leaves out when they are null are pointers
// or tagged omitzero.

// TopicConfigHeader is the header of GET_TOPIC_CONFIG (351).
type TopicConfigHeader struct {
	Topic   string `field:"topic"`
	Logical *bool  `field:"lo"` // whether the mapping of a static topic is wanted
}

// TopicHeader is the header of requests that name a topic only: DELETE_TOPIC_IN_BROKER (215),
// GET_TOPIC_STATS_INFO (202), QUERY_TOPIC_CONSUME_BY_WHO (300), REGISTER_TOPIC_IN_NAMESRV (217).
type TopicHeader struct {
	Topic string `field:"topic"`
}

// ConsumerGroupHeader is the header of requests that name a group as consumerGroup: GET_CONSUMER_LIST_BY_GROUP (38),
// GET_CONSUMER_CONNECTION_LIST (203), NOTIFY_CONSUMER_IDS_CHANGED (40).
type ConsumerGroupHeader struct {
	Group string `field:"consumerGroup"`
}

// ProducerGroupHeader is the header of GET_PRODUCER_CONNECTION_LIST (204).
type ProducerGroupHeader struct {
	Group string `field:"producerGroup"`
}

// GroupHeader is the header of requests that name a group as group: QUERY_TOPICS_BY_CONSUMER (343),
// GET_SUBSCRIPTIONGROUP_CONFIG (352), and with a topic QUERY_SUBSCRIPTION_BY_CONSUMER (345) and
// QUERY_CONSUME_TIME_SPAN (303).
type GroupHeader struct {
	Group string `field:"group"`
	Topic string `field:"topic,omitzero"`
}

// QueueHeader is the header of POLLING_INFO (200055) and of other requests that name a queue and perhaps a group.
type QueueHeader struct {
	Group   string `field:"consumerGroup,omitzero"`
	Topic   string `field:"topic"`
	QueueID int32  `field:"queueId"`
}

// TimestampResponse is the header of the answer to GET_EARLIEST_MSG_STORETIME (32).
type TimestampResponse struct {
	Timestamp int64 `field:"timestamp"` // ms; -1: there is no message
}

// CreateTopicHeader is the header of UPDATE_AND_CREATE_TOPIC (17) and UPDATE_AND_CREATE_STATIC_TOPIC (513).
type CreateTopicHeader struct {
	Topic        string    `field:"topic"`
	DefaultTopic string    `field:"defaultTopic"`
	ReadQueues   int32     `field:"readQueueNums"`
	WriteQueues  int32     `field:"writeQueueNums"`
	Perm         skua.Perm `field:"perm"`
	FilterType   string    `field:"topicFilterType"` // SingleTag or "MULTI_TAG"
	SysFlag      int32     `field:"topicSysFlag"`
	Order        bool      `field:"order"`
	Attributes   string    `field:"attributes,omitzero"` // "+k=v,-k"
	Force        *bool     `field:"force"`
}

// AllTopicConfigHeader is the header of GET_ALL_TOPIC_CONFIG (21). Without its fields all topics are wanted at once.
type AllTopicConfigHeader struct {
	Seq         *int32  `field:"topicSeq"`    // topics that the caller has already
	DataVersion *string `field:"dataVersion"` // of those, in JSON; "" at first
	Max         *int32  `field:"maxTopicNum"` // most topics in the answer
}

// AllTopicConfigResponse is the header of its answer.
type AllTopicConfigResponse struct {
	Total int32 `field:"totalTopicNum"`
}

// AllGroupConfigHeader is the header of GET_ALL_SUBSCRIPTIONGROUP_CONFIG (201), as AllTopicConfigHeader.
type AllGroupConfigHeader struct {
	Seq         *int32  `field:"groupSeq"`
	DataVersion *string `field:"dataVersion"`
	Max         *int32  `field:"maxGroupNum"`
}

// AllGroupConfigResponse is the header of its answer.
type AllGroupConfigResponse struct {
	Total int32 `field:"totalGroupNum"`
}

// BrokerConfigResponse is the header of the answer to GET_BROKER_CONFIG (26).
type BrokerConfigResponse struct {
	Version string `field:"version"` // a DataVersion in JSON
}

// DeleteGroupHeader is the header of DELETE_SUBSCRIPTIONGROUP (207).
type DeleteGroupHeader struct {
	Group       string `field:"groupName"`
	CleanOffset bool   `field:"cleanOffset"`
}

// GroupForbiddenHeader is the header of UPDATE_AND_GET_GROUP_FORBIDDEN (353).
type GroupForbiddenHeader struct {
	Group    string `field:"group"`
	Topic    string `field:"topic"`
	Readable *bool  `field:"readable"` // nil: only asked for
}

// SendBackHeader is the header of CONSUMER_SEND_MSG_BACK (36).
type SendBackHeader struct {
	Offset            skua.LogOffset `field:"offset,required"`
	Group             string         `field:"group"`
	DelayLevel        int32          `field:"delayLevel"` // below 0: dead letter; 0: by the number of retries
	OriginMsgID       string         `field:"originMsgId,omitzero"`
	OriginTopic       string         `field:"originTopic,omitzero"`
	UnitMode          bool           `field:"unitMode"`
	MaxReconsumeTimes *int32         `field:"maxReconsumeTimes"`
	BrokerName        string         `field:"bname,omitzero"`
}

// UnregisterClientHeader is the header of UNREGISTER_CLIENT (35).
type UnregisterClientHeader struct {
	ClientID      string `field:"clientID"`
	ProducerGroup string `field:"producerGroup,omitzero"`
	ConsumerGroup string `field:"consumerGroup,omitzero"`
}

// HeartbeatResponse is the header of the answer to HEART_BEAT (34).
type HeartbeatResponse struct {
	SupportV2  bool `field:"IS_SUPPORT_HEART_BEAT_V2"`
	SubChanged bool `field:"IS_SUB_CHANGE"`
}

// QueryMessageHeader is the header of QUERY_MESSAGE (12).
type QueryMessageHeader struct {
	Topic       string `field:"topic"`
	Key         string `field:"key"`
	Max         int32  `field:"maxNum"`
	Begin       int64  `field:"beginTimestamp"`     // ms
	End         int64  `field:"endTimestamp"`       // ms
	IndexType   string `field:"indexType,omitzero"` // IndexTag, or "K", "U", or "" for keys and ids
	LastKey     string `field:"lastKey,omitzero"`
	UniqueQuery bool   `field:"_UNIQUE_KEY_QUERY,omitzero"` // Key is a message id
}

// IndexTag says that the key of a query is a tag.
const IndexTag = "T"

// QueryMessageResponse is the header of its answer.
type QueryMessageResponse struct {
	IndexTime   int64          `field:"indexLastUpdateTimestamp"` // ms
	IndexOffset skua.LogOffset `field:"indexLastUpdatePhyoffset"`
}

// ViewMessageHeader is the header of VIEW_MESSAGE_BY_ID (33).
type ViewMessageHeader struct {
	Topic  string         `field:"topic,omitzero"`
	Offset skua.LogOffset `field:"offset,required"`
}

// ResetOffsetHeader is the header of INVOKE_BROKER_TO_RESET_OFFSET (222) and RESET_CONSUMER_CLIENT_OFFSET (220).
type ResetOffsetHeader struct {
	Group     string            `field:"group"`
	Topic     string            `field:"topic"`
	QueueID   int32             `field:"queueId"` // -1: all
	Offset    *skua.QueueOffset `field:"offset"`
	Timestamp int64             `field:"timestamp"` // ms; -1: the end
	Force     bool              `field:"isForce"`
}

// NewResetOffsetHeader is a header for all queues of a topic, the default where QueueID is not sent.
func NewResetOffsetHeader() ResetOffsetHeader { return ResetOffsetHeader{QueueID: -1} }

// ConsumerStatusHeader is the header of INVOKE_BROKER_TO_GET_CONSUMER_STATUS (223) and
// GET_CONSUMER_STATUS_FROM_CLIENT (221).
type ConsumerStatusHeader struct {
	Topic      string `field:"topic"`
	Group      string `field:"group"`
	ClientAddr string `field:"clientAddr,omitzero"`
}

// ConsumeStatsHeader is the header of GET_CONSUME_STATS (208).
type ConsumeStatsHeader struct {
	Group  string `field:"consumerGroup"`
	Topic  string `field:"topic,omitzero"`
	Topics string `field:"topicList,omitzero"` // joined by ;
}

// BrokerConsumeStatsHeader is the header of GET_BROKER_CONSUME_STATS (317).
type BrokerConsumeStatsHeader struct {
	Order bool `field:"isOrder"`
}

// RunningInfoHeader is the header of GET_CONSUMER_RUNNING_INFO (307).
type RunningInfoHeader struct {
	Group    string `field:"consumerGroup"`
	ClientID string `field:"clientId"`
	Jstack   bool   `field:"jstackEnable"`
}

// ConsumeDirectlyHeader is the header of CONSUME_MESSAGE_DIRECTLY (309).
type ConsumeDirectlyHeader struct {
	Group        string `field:"consumerGroup"`
	ClientID     string `field:"clientId,omitzero"`
	MsgID        string `field:"msgId,omitzero"` // offset id
	BrokerName   string `field:"brokerName,omitzero"`
	Topic        string `field:"topic,omitzero"`
	TopicSysFlag *int32 `field:"topicSysFlag"`
	GroupSysFlag *int32 `field:"groupSysFlag"`
}

// CorrectionOffsetHeader is the header of QUERY_CORRECTION_OFFSET (308).
type CorrectionOffsetHeader struct {
	FilterGroups string `field:"filterGroups,omitzero"` // joined by commas
	CompareGroup string `field:"compareGroup"`
	Topic        string `field:"topic"`
}

// CloneOffsetHeader is the header of CLONE_GROUP_OFFSET (314).
type CloneOffsetHeader struct {
	From    string `field:"srcGroup"`
	To      string `field:"destGroup"`
	Topic   string `field:"topic,omitzero"`
	Offline bool   `field:"offline"`
}

// StatsHeader is the header of VIEW_BROKER_STATS_DATA (315).
type StatsHeader struct {
	Name string `field:"statsName"`
	Key  string `field:"statsKey"`
}

// QueryQueueHeader is the header of QUERY_CONSUME_QUEUE (321).
type QueryQueueHeader struct {
	Topic   string           `field:"topic"`
	QueueID int32            `field:"queueId"`
	Index   skua.QueueOffset `field:"index"`
	Count   int32            `field:"count"`
	Group   string           `field:"consumerGroup,omitzero"`
}

// RecallHeader is the header of RECALL_MESSAGE (370).
type RecallHeader struct {
	ProducerGroup string `field:"producerGroup,omitzero"`
	Topic         string `field:"topic"`
	Handle        string `field:"recallHandle"`
}

// RecallResponse is the header of its answer.
type RecallResponse struct {
	MsgID string `field:"msgId"` // the client's
}

// ReplyHeader is the header of PUSH_REPLY_MESSAGE_TO_CLIENT (326).
type ReplyHeader struct {
	ProducerGroup  string `field:"producerGroup"`
	Topic          string `field:"topic"`
	DefaultTopic   string `field:"defaultTopic"`
	DefaultQueues  int32  `field:"defaultTopicQueueNums"`
	QueueID        int32  `field:"queueId"`
	SysFlag        int32  `field:"sysFlag"`
	BornTimestamp  int64  `field:"bornTimestamp"` // ms
	Flag           int32  `field:"flag"`
	Properties     string `field:"properties,omitzero"`
	ReconsumeTimes int32  `field:"reconsumeTimes"`
	UnitMode       bool   `field:"unitMode"`
	BornHost       string `field:"bornHost"`       // "ip:port"
	StoreHost      string `field:"storeHost"`      // "ip:port"
	StoreTimestamp int64  `field:"storeTimestamp"` // ms
}

// HAInfo is the header of EXCHANGE_BROKER_HA_INFO (906) and of its answer.
type HAInfo struct {
	HAAddr      string          `field:"masterHaAddress,omitzero"`
	FlushOffset *skua.LogOffset `field:"masterFlushOffset"`
	Addr        string          `field:"masterAddress,omitzero"`
}

// FlushOffsetHeader is the header of RESET_MASTER_FLUSH_OFFSET (908).
type FlushOffsetHeader struct {
	Offset *skua.LogOffset `field:"masterFlushOffset"`
}
