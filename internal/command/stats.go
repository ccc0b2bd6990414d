package command

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
)

// TopicStatsTable is the answer to GET_TOPIC_STATS_INFO.
type TopicStatsTable struct {
	Offsets map[MessageQueue]TopicOffset `json:"offsetTable"`
	PutTPS  float64                      `json:"topicPutTps"` // messages a second
}

// TopicOffset is one queue of TopicStatsTable.
type TopicOffset struct {
	LastUpdate int64            `json:"lastUpdateTimestamp"` // store time of the last message, ms; 0 if there is none
	MaxOffset  skua.QueueOffset `json:"maxOffset"`           // of the next message
	MinOffset  skua.QueueOffset `json:"minOffset"`
}

// ConsumeStats is the answer to GET_CONSUME_STATS.
type ConsumeStats struct {
	Blocked []BlockedQueue                 `json:"blockedQueues,omitzero"` // Skua only
	TPS     float64                        `json:"consumeTps"`             // messages a second
	Offsets map[MessageQueue]ConsumeOffset `json:"offsetTable"`
}

// BlockedQueue is a queue that a group consumes in order and in which it does not get past a message.
type BlockedQueue struct {
	Millis   int64            `json:"blockedMillis"` // for how long
	ClientID string           `json:"clientId"`      // that has locked the queue
	Queue    MessageQueue     `json:"messageQueue"`
	Offset   skua.QueueOffset `json:"offset"` // of the message
}

// ConsumeOffset is one queue of ConsumeStats.
type ConsumeOffset struct {
	BrokerOffset   skua.QueueOffset `json:"brokerOffset"`   // of the next message to be stored
	ConsumerOffset skua.QueueOffset `json:"consumerOffset"` // of the next message to be consumed
	LastTimestamp  int64            `json:"lastTimestamp"`  // store time of the last message consumed, ms
	PullOffset     skua.QueueOffset `json:"pullOffset"`     // of the next message to be handed out
}

// ConsumeStatsList is the answer to GET_BROKER_CONSUME_STATS.
type ConsumeStatsList struct {
	BrokerAddr   string                      `json:"brokerAddr"`
	Stats        []map[string][]ConsumeStats `json:"consumeStatsList"` // one map of one group for each group
	TotalDiff    int64                       `json:"totalDiff"`        // messages not consumed yet
	InflightDiff int64                       `json:"totalInflightDiff"`
}

// BrokerStatsData is the answer to VIEW_BROKER_STATS_DATA.
type BrokerStatsData struct {
	Day    BrokerStatsItem `json:"statsDay"`
	Hour   BrokerStatsItem `json:"statsHour"`
	Minute BrokerStatsItem `json:"statsMinute"`
}

// BrokerStatsItem is one period of BrokerStatsData.
type BrokerStatsItem struct {
	Average float64 `json:"avgpt"` // of the measured quantity for each time it was measured
	Sum     int64   `json:"sum"`
	TPS     float64 `json:"tps"`
}

// ConsumeTimeSpans is the answer to QUERY_CONSUME_TIME_SPAN.
type ConsumeTimeSpans struct {
	Queues []QueueTimeSpan `json:"consumeTimeSpanSet"`
}

// QueueTimeSpan tells how far the consumption of a queue has come in time. Times are store times in ms.
type QueueTimeSpan struct {
	ConsumeTime     int64        `json:"consumeTimeStamp"`
	ConsumeTimeText string       `json:"consumeTimeStampStr"`
	Delay           int64        `json:"delayTime"` // ms
	MaxTime         int64        `json:"maxTimeStamp"`
	MaxTimeText     string       `json:"maxTimeStampStr"`
	Queue           MessageQueue `json:"messageQueue"`
	MinTime         int64        `json:"minTimeStamp"`
	MinTimeText     string       `json:"minTimeStampStr"`
}

// ConsumeQueueSlice is the answer to QUERY_CONSUME_QUEUE.
type ConsumeQueueSlice struct {
	FilterData   string             `json:"filterData,omitzero"`
	MaxIndex     skua.QueueOffset   `json:"maxQueueIndex"`
	MinIndex     skua.QueueOffset   `json:"minQueueIndex"`
	Entries      []ConsumeQueueUnit `json:"queueData"`
	Subscription *SubscriptionData  `json:"subscriptionData"`
}

// ConsumeQueueUnit is one entry of a queue.
type ConsumeQueueUnit struct {
	BitMap     string         `json:"bitMap,omitzero"`
	Eval       bool           `json:"eval"` // whether the filter of the group lets the message pass
	ExtendData string         `json:"extendDataJson,omitzero"`
	Message    string         `json:"msg,omitzero"`
	Offset     skua.LogOffset `json:"physicOffset"`
	Size       int32          `json:"physicSize"` // bytes
	TagsCode   int64          `json:"tagsCode"`
}

// ConsumerRunningInfo is what a consumer tells about itself, the answer to GET_CONSUMER_RUNNING_INFO.
type ConsumerRunningInfo struct {
	Jstack        string                           `json:"jstack,omitzero"` // stacks of all threads, if they were asked for
	PopQueues     map[MessageQueue]PopProcessQueue `json:"mqPopTable"`
	Queues        map[MessageQueue]ProcessQueue    `json:"mqTable"`
	Properties    map[string]string                `json:"properties"`
	Status        map[string]ConsumeStatus         `json:"statusTable"` // by topic
	Subscriptions []SubscriptionData               `json:"subscriptionSet"`
	User          map[string]string                `json:"userConsumerInfo"`
}

// Keys of ConsumerRunningInfo.Properties that tools read.
const (
	PropNameServer     = "PROP_NAMESERVER_ADDR"
	PropConsumeType    = "PROP_CONSUME_TYPE"
	PropStartTime      = "PROP_CONSUMER_START_TIMESTAMP" // ms
	PropClientVersion  = "PROP_CLIENT_VERSION"
	PropOrderly        = "PROP_CONSUMEORDERLY"
	PropThreadPoolSize = "PROP_THREADPOOL_CORE_SIZE"
)

// ProcessQueue is a queue in the hands of a consumer. Times are in ms.
type ProcessQueue struct {
	CachedMessages   int32            `json:"cachedMsgCount"`
	CachedMaxOffset  skua.QueueOffset `json:"cachedMsgMaxOffset"`
	CachedMinOffset  skua.QueueOffset `json:"cachedMsgMinOffset"`
	CachedMiB        int32            `json:"cachedMsgSizeInMiB"`
	CommitOffset     skua.QueueOffset `json:"commitOffset"`
	Dropped          bool             `json:"droped"`
	LastConsume      int64            `json:"lastConsumeTimestamp"`
	LastLock         int64            `json:"lastLockTimestamp"`
	LastPull         int64            `json:"lastPullTimestamp"`
	Locked           bool             `json:"locked"`
	PendingMessages  int32            `json:"transactionMsgCount"`
	PendingMaxOffset skua.QueueOffset `json:"transactionMsgMaxOffset"`
	PendingMinOffset skua.QueueOffset `json:"transactionMsgMinOffset"`
	TryUnlockTimes   int64            `json:"tryUnlockTimes"`
}

// PopProcessQueue is a queue that a consumer pops from.
type PopProcessQueue struct {
	Dropped  bool  `json:"droped"`
	LastPop  int64 `json:"lastPopTimestamp"` // ms
	WaitAcks int32 `json:"waitAckCount"`
}

// ConsumeStatus is how a consumer fares with a topic. Rates are per second, times in ms.
type ConsumeStatus struct {
	FailedMessages int64   `json:"consumeFailedMsgs"`
	FailedTPS      float64 `json:"consumeFailedTPS"`
	OKTPS          float64 `json:"consumeOKTPS"`
	ConsumeRT      float64 `json:"consumeRT"`
	PullRT         float64 `json:"pullRT"`
	PullTPS        float64 `json:"pullTPS"`
}

// ConsumeResult is how the consumption of one message ended.
type ConsumeResult string

// The results.
const (
	ConsumeSuccess  ConsumeResult = "CR_SUCCESS"
	ConsumeLater    ConsumeResult = "CR_LATER"
	ConsumeRollback ConsumeResult = "CR_ROLLBACK"
	ConsumeCommit   ConsumeResult = "CR_COMMIT"
	ConsumeThrew    ConsumeResult = "CR_THROW_EXCEPTION"
	ConsumeNull     ConsumeResult = "CR_RETURN_NULL"
)

// UnmarshalJSONFrom reads the name or the number.
func (r *ConsumeResult) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s, err := fastjson.DecodeEnum(dec, consumeResults)
	*r = ConsumeResult(s)
	return err
}

// ConsumeMessageDirectlyResult is the answer to CONSUME_MESSAGE_DIRECTLY.
type ConsumeMessageDirectlyResult struct {
	AutoCommit bool          `json:"autoCommit"`
	Result     ConsumeResult `json:"consumeResult,omitzero"`
	Order      bool          `json:"order"`
	Remark     string        `json:"remark,omitzero"`
	Spent      int64         `json:"spentTimeMills"` // ms
}

// HAStatus is the answer to GET_BROKER_HA_STATUS.
type HAStatus struct {
	Client       *HAClientStatus      `json:"haClientRuntimeInfo"` // of a slave
	Connections  []HAConnectionStatus `json:"haConnectionInfo"`    // of a master
	InSyncSlaves int32                `json:"inSyncSlaveNums"`
	Master       bool                 `json:"master"`
	MasterLogEnd skua.LogOffset       `json:"masterCommitLogMaxOffset"`
}

// HAClientStatus is a slave's side of replication.
type HAClientStatus struct {
	Activated         bool           `json:"activated"`
	LastRead          int64          `json:"lastReadTimestamp"`  // ms
	LastWrite         int64          `json:"lastWriteTimestamp"` // ms
	MasterAddr        string         `json:"masterAddr"`
	MasterFlushOffset skua.LogOffset `json:"masterFlushOffset"`
	MaxOffset         skua.LogOffset `json:"maxOffset"`
	BytesPerSecond    int64          `json:"transferredByteInSecond"`
}

// HAConnectionStatus is a master's side of replication to one slave.
type HAConnectionStatus struct {
	Addr           string         `json:"addr"`
	Diff           int64          `json:"diff"` // bytes that the slave lacks
	InSync         bool           `json:"inSync"`
	SlaveAckOffset skua.LogOffset `json:"slaveAckOffset"`
	TransferFrom   skua.LogOffset `json:"transferFromWhere"`
	BytesPerSecond int64          `json:"transferredByteInSecond"`
}

// TimerMetrics is the body of GET_TIMER_METRICS (61), and what config/timermetrics holds.
type TimerMetrics struct {
	DataVersion DataVersion           `json:"dataVersion"`
	TimingCount map[string]TimerCount `json:"timingCount"` // by topic
}

// TimerCount is how many timed messages of a topic wait.
type TimerCount struct {
	Count     int64 `json:"count"`
	Timestamp int64 `json:"timeStamp"` // of the last change, ms
}
