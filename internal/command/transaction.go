package command

import "github.com/skuamq/skua"

// Outcome is what becomes of a half message.
type Outcome int32

// The outcomes, as in the system flag of messages.
const (
	OutcomeUnknown  Outcome = 0
	OutcomeCommit   Outcome = 8
	OutcomeRollback Outcome = 12
)

// EndTransactionHeader is the header of END_TRANSACTION (37). []byte fields are views of the frame.
type EndTransactionHeader struct {
	Topic           []byte
	ProducerGroup   []byte
	HalfOffset      skua.QueueOffset // tranStateTableOffset: in the queue of half messages
	CommitLogOffset skua.LogOffset   // commitLogOffset: of the half message
	Outcome         Outcome          // commitOrRollback
	FromCheck       bool             // fromTransactionCheck: it answers a CHECK_TRANSACTION_STATE
	MsgID           []byte           // unique key
	TransactionID   []byte
	BrokerName      []byte
}

// Decode reads the fields.
func (h *EndTransactionHeader) Decode(f Fields) error {
	*h = EndTransactionHeader{}
	var table, log int64
	var outcome int32
	var err error
	for _, x := range f {
		switch string(x.Key) {
		case "topic":
			h.Topic = x.Value
		case "producerGroup":
			h.ProducerGroup = x.Value
		case "tranStateTableOffset":
			table, err = x.Int64()
		case "commitLogOffset":
			log, err = x.Int64()
		case "commitOrRollback":
			outcome, err = x.Int32()
		case "fromTransactionCheck":
			h.FromCheck = x.Bool()
		case "msgId":
			h.MsgID = x.Value
		case "transactionId":
			h.TransactionID = x.Value
		case "bname":
			h.BrokerName = x.Value
		}
		if err != nil {
			return err
		}
	}
	h.HalfOffset, h.CommitLogOffset, h.Outcome = skua.QueueOffset(table), skua.LogOffset(log), Outcome(outcome)
	return nil
}

// Encode writes the fields.
func (h *EndTransactionHeader) Encode(w Writer) {
	if h.Topic != nil {
		w.Bytes("topic", h.Topic)
	}
	w.Bytes("producerGroup", h.ProducerGroup)
	w.Int("tranStateTableOffset", int64(h.HalfOffset))
	w.Int("commitLogOffset", int64(h.CommitLogOffset))
	w.Int("commitOrRollback", int64(h.Outcome))
	w.Bool("fromTransactionCheck", h.FromCheck)
	w.Bytes("msgId", h.MsgID)
	if h.TransactionID != nil {
		w.Bytes("transactionId", h.TransactionID)
	}
	if h.BrokerName != nil {
		w.Bytes("bname", h.BrokerName)
	}
}

// CheckTransactionHeader is the header of CHECK_TRANSACTION_STATE (39), which a broker sends to a producer. The body is
// the record of the half message with its real topic and queue.
type CheckTransactionHeader struct {
	Topic           string           `field:"topic,omitzero"`
	HalfOffset      skua.QueueOffset `field:"tranStateTableOffset"`
	CommitLogOffset skua.LogOffset   `field:"commitLogOffset"`
	MsgID           string           `field:"msgId,omitzero"` // the client's
	TransactionID   string           `field:"transactionId,omitzero"`
	OffsetMsgID     string           `field:"offsetMsgId,omitzero"`
	BrokerName      string           `field:"bname,omitzero"`
}

// ResumeHalfHeader is the header of RESUME_CHECK_HALF_MESSAGE (323).
type ResumeHalfHeader struct {
	Topic string `field:"topic,omitzero"`
	MsgID string `field:"msgId"` // offset id
}

// TransactionMetrics is the file transactionMetrics: how many half messages of each topic wait.
type TransactionMetrics struct {
	DataVersion DataVersion                  `json:"dataVersion"`
	Counts      map[string]TransactionMetric `json:"transactionCount"`
}

// TransactionMetric is the part of a topic.
type TransactionMetric struct {
	Count int64 `json:"count"`
	Time  int64 `json:"timeStamp"` // of the last change, ms
}
