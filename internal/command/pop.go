package command

import "github.com/skuamq/skua"

// Headers of the pop family. Their codes do not fit the compact header: they travel with JSON headers only.

// PopHeader is the header of POP_MESSAGE (200050), PEEK_MESSAGE (200052) and NOTIFICATION (200054); the latter two use
// some of the fields.
type PopHeader struct {
	Group          string `field:"consumerGroup"`
	Topic          string `field:"topic"`
	QueueID        int32  `field:"queueId"` // below 0: any
	Max            int32  `field:"maxMsgNums"`
	InvisibleTime  int64  `field:"invisibleTime"` // ms
	PollTime       int64  `field:"pollTime"`      // ms
	BornTime       int64  `field:"bornTime"`      // ms; 0: now
	InitMode       int32  `field:"initMode"`      // 0: a new group begins at the oldest message; 1: at the newest
	ExpressionType string `field:"expType,omitzero"`
	Expression     string `field:"exp,omitzero"`
	Order          *bool  `field:"order"`
	AttemptID      string `field:"attemptId,omitzero"`
}

// PopResponse is the header of the answer to POP_MESSAGE and PEEK_MESSAGE.
type PopResponse struct {
	PopTime       int64  `field:"popTime"`       // ms
	InvisibleTime int64  `field:"invisibleTime"` // ms
	ReviveQueue   int32  `field:"reviveQid"`
	Rest          int64  `field:"restNum"` // messages that are left
	StartOffsets  string `field:"startOffsetInfo,omitzero"`
	MsgOffsets    string `field:"msgOffsetInfo,omitzero"`
	OrderCounts   string `field:"orderCountInfo,omitzero"`
}

// AckHeader is the header of ACK_MESSAGE (200051).
type AckHeader struct {
	Group     string           `field:"consumerGroup"`
	Topic     string           `field:"topic"` // as stored: perhaps the group's retry topic
	QueueID   int32            `field:"queueId"`
	Handle    string           `field:"extraInfo"`
	Offset    skua.QueueOffset `field:"offset"`
	LiteTopic string           `field:"liteTopic,omitzero"`
}

// ChangeInvisibleHeader is the header of CHANGE_MESSAGE_INVISIBLETIME (200053).
type ChangeInvisibleHeader struct {
	AckHeader
	InvisibleTime int64 `field:"invisibleTime"` // ms from now
	Suspend       bool  `field:"suspend,omitzero"`
}

// ChangeInvisibleResponse is the header of its answer.
type ChangeInvisibleResponse struct {
	PopTime       int64 `field:"popTime"`       // ms
	InvisibleTime int64 `field:"invisibleTime"` // ms
	ReviveQueue   int32 `field:"reviveQid"`
}

// NotificationResponse is the header of the answer to NOTIFICATION.
type NotificationResponse struct {
	HasMessage  bool `field:"hasMsg"`
	PollingFull bool `field:"pollingFull"`
}

// PollingInfoResponse is the header of the answer to POLLING_INFO.
type PollingInfoResponse struct {
	Polling int32 `field:"pollingNum"`
}
