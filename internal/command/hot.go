package command

// SendHeader is the header of SEND_MESSAGE (10, long names), SEND_MESSAGE_V2 (310) and SEND_BATCH_MESSAGE (320, both
// with one-letter names). Whether a request is a batch is told by Batch, not by its code. []byte fields are views of
// the frame.
type SendHeader struct {
	ProducerGroup     []byte
	Topic             []byte
	DefaultTopic      []byte // template for auto-creation
	DefaultQueues     int32  // queues that the client would like a new topic to have
	QueueID           int32  // below 0: any
	SysFlag           int32
	BornTimestamp     int64 // ms
	Flag              int32
	Properties        []byte
	ReconsumeTimes    int32
	UnitMode          bool
	MaxReconsumeTimes int32
	HasMaxReconsume   bool // whether MaxReconsumeTimes was sent
	Batch             bool
	BrokerName        []byte
	Physical          bool // QueueID is one of the broker also if the topic is static: lo=false
}

// Decode reads both spellings.
func (h *SendHeader) Decode(f Fields) (err error) {
	*h = SendHeader{}
	for _, x := range f {
		switch string(x.Key) {
		case "a", "producerGroup":
			h.ProducerGroup = x.Value
		case "b", "topic":
			h.Topic = x.Value
		case "c", "defaultTopic":
			h.DefaultTopic = x.Value
		case "d", "defaultTopicQueueNums":
			h.DefaultQueues, err = x.Int32()
		case "e", "queueId":
			h.QueueID, err = x.Int32()
		case "f", "sysFlag":
			h.SysFlag, err = x.Int32()
		case "g", "bornTimestamp":
			h.BornTimestamp, err = x.Int64()
		case "h", "flag":
			h.Flag, err = x.Int32()
		case "i", "properties":
			h.Properties = x.Value
		case "j", "reconsumeTimes":
			h.ReconsumeTimes, err = x.Int32()
		case "k", "unitMode":
			h.UnitMode = x.Bool()
		case "l", "maxReconsumeTimes":
			h.MaxReconsumeTimes, err = x.Int32()
			h.HasMaxReconsume = true
		case "m", "batch":
			h.Batch = x.Bool()
		case "n", "bname":
			h.BrokerName = x.Value
		case "lo":
			h.Physical = !x.Bool()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Encode writes the one-letter names of SEND_MESSAGE_V2 and SEND_BATCH_MESSAGE.
func (h *SendHeader) Encode(w Writer) {
	w.Bytes("a", h.ProducerGroup)
	w.Bytes("b", h.Topic)
	w.Bytes("c", h.DefaultTopic)
	w.Int("d", int64(h.DefaultQueues))
	w.Int("e", int64(h.QueueID))
	w.Int("f", int64(h.SysFlag))
	w.Int("g", h.BornTimestamp)
	w.Int("h", int64(h.Flag))
	w.Bytes("i", h.Properties)
	w.Int("j", int64(h.ReconsumeTimes))
	w.Bool("k", h.UnitMode)
	if h.HasMaxReconsume {
		w.Int("l", int64(h.MaxReconsumeTimes))
	}
	w.Bool("m", h.Batch)
	if h.BrokerName != nil {
		w.Bytes("n", h.BrokerName)
	}
}

// SendResponse is the header of the answer to a send. Java's decoder needs the first three in each answer that counts
// as sent (0, 10, 11, 12).
type SendResponse struct {
	MsgID         []byte // offset id in hex; of a batch all, joined by commas
	QueueID       int32
	QueueOffset   int64
	TransactionID []byte // nil: not written
	BatchUniqID   []byte // nil: not written
	RecallHandle  []byte // nil: not written
	Region        string // MSG_REGION; "": not written
	TraceOn       bool   // TRACE_ON, written with Region
}

// Encode writes the fields.
func (h *SendResponse) Encode(w Writer) {
	w.Bytes("msgId", h.MsgID)
	w.Int("queueId", int64(h.QueueID))
	w.Int("queueOffset", h.QueueOffset)
	if h.TransactionID != nil {
		w.Bytes("transactionId", h.TransactionID)
	}
	if h.BatchUniqID != nil {
		w.Bytes("batchUniqId", h.BatchUniqID)
	}
	if h.RecallHandle != nil {
		w.Bytes("recallHandle", h.RecallHandle)
	}
	if h.Region != "" {
		w.String("MSG_REGION", h.Region)
		w.Bool("TRACE_ON", h.TraceOn)
	}
}

// Decode reads the fields.
func (h *SendResponse) Decode(f Fields) (err error) {
	*h = SendResponse{}
	for _, x := range f {
		switch string(x.Key) {
		case "msgId":
			h.MsgID = x.Value
		case "queueId":
			h.QueueID, err = x.Int32()
		case "queueOffset":
			h.QueueOffset, err = x.Int64()
		case "transactionId":
			h.TransactionID = x.Value
		case "batchUniqId":
			h.BatchUniqID = x.Value
		case "recallHandle":
			h.RecallHandle = x.Value
		case "MSG_REGION":
			h.Region = string(x.Value)
		case "TRACE_ON":
			h.TraceOn = x.Bool()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Bits of PullHeader.SysFlag.
const (
	PullCommit       = 1  // CommitOffset is to be committed
	PullSuspend      = 2  // the broker may hold the request
	PullSubscription = 4  // Subscription is there
	PullClassFilter  = 8  // legacy
	PullLite         = 16 // from a pull consumer
)

// PullHeader is the header of PULL_MESSAGE (11) and LITE_PULL_MESSAGE (361). []byte fields are views of the frame.
type PullHeader struct {
	Group          []byte
	Topic          []byte
	QueueID        int32
	QueueOffset    int64
	MaxMessages    int32
	SysFlag        int32
	CommitOffset   int64
	SuspendTimeout int64 // ms
	Subscription   []byte
	SubVersion     int64
	ExpressionType []byte
	MaxBytes       int32 // 0: the broker's limit
	RequestSource  int32
	ProxyClientID  []byte // of the client for which a proxy pulls; nil: not written
	BrokerName     []byte // nil: not written
	Physical       bool   // queue and offsets are those of the broker also if the topic is static: lo=false
}

// ProxyForBroadcast as PullHeader.RequestSource says that a proxy pulls for a client that broadcasts.
const ProxyForBroadcast = 1

// Decode reads the fields.
func (h *PullHeader) Decode(f Fields) (err error) {
	*h = PullHeader{}
	for _, x := range f {
		switch string(x.Key) {
		case "consumerGroup":
			h.Group = x.Value
		case "topic":
			h.Topic = x.Value
		case "queueId":
			h.QueueID, err = x.Int32()
		case "queueOffset":
			h.QueueOffset, err = x.Int64()
		case "maxMsgNums":
			h.MaxMessages, err = x.Int32()
		case "sysFlag":
			h.SysFlag, err = x.Int32()
		case "commitOffset":
			h.CommitOffset, err = x.Int64()
		case "suspendTimeoutMillis":
			h.SuspendTimeout, err = x.Int64()
		case "subscription":
			h.Subscription = x.Value
		case "subVersion":
			h.SubVersion, err = x.Int64()
		case "expressionType":
			h.ExpressionType = x.Value
		case "maxMsgBytes":
			h.MaxBytes, err = x.Int32()
		case "requestSource":
			h.RequestSource, err = x.Int32()
		case "proxyFrowardClientId": // so it is spelled
			h.ProxyClientID = x.Value
		case "bname":
			h.BrokerName = x.Value
		case "lo":
			h.Physical = !x.Bool()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Encode writes the fields.
func (h *PullHeader) Encode(w Writer) {
	w.Bytes("consumerGroup", h.Group)
	w.Bytes("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	w.Int("queueOffset", h.QueueOffset)
	w.Int("maxMsgNums", int64(h.MaxMessages))
	w.Int("sysFlag", int64(h.SysFlag))
	w.Int("commitOffset", h.CommitOffset)
	w.Int("suspendTimeoutMillis", h.SuspendTimeout)
	if h.Subscription != nil {
		w.Bytes("subscription", h.Subscription)
	}
	w.Int("subVersion", h.SubVersion)
	if h.ExpressionType != nil {
		w.Bytes("expressionType", h.ExpressionType)
	}
	if h.MaxBytes != 0 {
		w.Int("maxMsgBytes", int64(h.MaxBytes))
	}
	if h.RequestSource != 0 {
		w.Int("requestSource", int64(h.RequestSource))
	}
	if h.ProxyClientID != nil {
		w.Bytes("proxyFrowardClientId", h.ProxyClientID)
	}
	if h.BrokerName != nil {
		w.Bytes("bname", h.BrokerName)
	}
	if h.Physical {
		w.Bool("lo", false)
	}
}

// PullResponse is the header of the answer to a pull, whatever its status.
type PullResponse struct {
	SuggestBroker int64 // suggestWhichBrokerId
	NextOffset    int64 // nextBeginOffset
	MinOffset     int64
	MaxOffset     int64
	TopicSysFlag  int32
	GroupSysFlag  int32
	ForbiddenType int32 // 0: not written
	OffsetDelta   int64 // of a static topic: to be added to the offsets in the messages; 0: not written
}

// Encode writes the fields; the system flags only if they are set.
func (h *PullResponse) Encode(w Writer) {
	w.Int("suggestWhichBrokerId", h.SuggestBroker)
	w.Int("nextBeginOffset", h.NextOffset)
	w.Int("minOffset", h.MinOffset)
	w.Int("maxOffset", h.MaxOffset)
	w.Int("topicSysFlag", int64(h.TopicSysFlag))
	w.Int("groupSysFlag", int64(h.GroupSysFlag))
	if h.ForbiddenType != 0 {
		w.Int("forbiddenType", int64(h.ForbiddenType))
	}
	if h.OffsetDelta != 0 {
		w.Int("offsetDelta", h.OffsetDelta)
	}
}

// Decode reads the fields.
func (h *PullResponse) Decode(f Fields) (err error) {
	*h = PullResponse{}
	for _, x := range f {
		switch string(x.Key) {
		case "suggestWhichBrokerId":
			h.SuggestBroker, err = x.Int64()
		case "nextBeginOffset":
			h.NextOffset, err = x.Int64()
		case "minOffset":
			h.MinOffset, err = x.Int64()
		case "maxOffset":
			h.MaxOffset, err = x.Int64()
		case "topicSysFlag":
			h.TopicSysFlag, err = x.Int32()
		case "groupSysFlag":
			h.GroupSysFlag, err = x.Int32()
		case "forbiddenType":
			h.ForbiddenType, err = x.Int32()
		case "offsetDelta":
			h.OffsetDelta, err = x.Int64()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// OffsetHeader is the header of UPDATE_CONSUMER_OFFSET (15), QUERY_CONSUMER_OFFSET (14), GET_MAX_OFFSET (30),
// GET_MIN_OFFSET (31), GET_EARLIEST_MSG_STORETIME (32) and SEARCH_OFFSET_BY_TIMESTAMP (29): each uses some of the
// fields. []byte fields are views of the frame.
type OffsetHeader struct {
	Group        []byte
	Topic        []byte
	QueueID      int32
	HasQueueID   bool
	CommitOffset int64
	HasCommit    bool
	SetZero      bool   // setZeroIfNotFound; Java's default is true
	Timestamp    int64  // ms
	HasTimestamp bool   // Timestamp is written even if it is 0
	BoundaryType []byte // "upper" in any case; all else is lower
	Committed    bool
	BrokerName   []byte // nil: not written
	Physical     bool   // queue and offset are those of the broker also if the topic is static: lo=false
}

// Decode reads the fields.
func (h *OffsetHeader) Decode(f Fields) (err error) {
	*h = OffsetHeader{SetZero: true}
	for _, x := range f {
		switch string(x.Key) {
		case "consumerGroup":
			h.Group = x.Value
		case "topic":
			h.Topic = x.Value
		case "queueId":
			h.QueueID, err = x.Int32()
			h.HasQueueID = true
		case "commitOffset":
			h.CommitOffset, err = x.Int64()
			h.HasCommit = true
		case "setZeroIfNotFound":
			h.SetZero = x.Bool()
		case "timestamp":
			h.Timestamp, err = x.Int64()
			h.HasTimestamp = true
		case "boundaryType":
			h.BoundaryType = x.Value
		case "committed":
			h.Committed = x.Bool()
		case "bname":
			h.BrokerName = x.Value
		case "lo":
			h.Physical = !x.Bool()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Encode writes the fields that are set.
func (h *OffsetHeader) Encode(w Writer) {
	if h.Group != nil {
		w.Bytes("consumerGroup", h.Group)
	}
	w.Bytes("topic", h.Topic)
	w.Int("queueId", int64(h.QueueID))
	if h.HasCommit {
		w.Int("commitOffset", h.CommitOffset)
	}
	if h.Timestamp != 0 || h.HasTimestamp {
		w.Int("timestamp", h.Timestamp)
	}
	if h.BoundaryType != nil {
		w.Bytes("boundaryType", h.BoundaryType)
	}
	if !h.SetZero {
		w.Bool("setZeroIfNotFound", false)
	}
	if h.Committed {
		w.Bool("committed", true)
	}
	if h.BrokerName != nil {
		w.Bytes("bname", h.BrokerName)
	}
	if h.Physical {
		w.Bool("lo", false)
	}
}

// OffsetResponse is the header of answers that carry one offset.
type OffsetResponse struct {
	Offset int64 `field:"offset"`
}

// Encode writes the offset.
func (h *OffsetResponse) Encode(w Writer) { w.Int("offset", h.Offset) }
