package command

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/skuamq/skua/internal/fastjson"
)

// MessageModel is whether each consumer of a group gets every message or its share.
type MessageModel string

// The models.
const (
	Broadcasting MessageModel = "BROADCASTING"
	Clustering   MessageModel = "CLUSTERING"
)

// ConsumeType is how a consumer gets its messages.
type ConsumeType string

// The types.
const (
	ConsumeActively  ConsumeType = "CONSUME_ACTIVELY"  // pull
	ConsumePassively ConsumeType = "CONSUME_PASSIVELY" // push
	ConsumePop       ConsumeType = "CONSUME_POP"
)

// ConsumeFromWhere is where a group without offsets begins.
type ConsumeFromWhere string

// The beginnings that clients use.
const (
	FromLastOffset  ConsumeFromWhere = "CONSUME_FROM_LAST_OFFSET"
	FromFirstOffset ConsumeFromWhere = "CONSUME_FROM_FIRST_OFFSET"
	FromTimestamp   ConsumeFromWhere = "CONSUME_FROM_TIMESTAMP"
)

// Names of enumerations by number, as clients in other languages than Java send them.
var (
	messageModels = []string{string(Broadcasting), string(Clustering)}
	consumeTypes  = []string{string(ConsumeActively), string(ConsumePassively), string(ConsumePop)}
	beginnings    = []string{string(FromLastOffset), "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
		"CONSUME_FROM_MIN_OFFSET", "CONSUME_FROM_MAX_OFFSET", string(FromFirstOffset), string(FromTimestamp)}
	consumeResults = []string{"CR_SUCCESS", "CR_LATER", "CR_ROLLBACK", "CR_COMMIT", "CR_THROW_EXCEPTION", "CR_RETURN_NULL"}
)

// UnmarshalJSONFrom reads the name or the number.
func (m *MessageModel) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s, err := fastjson.DecodeEnum(dec, messageModels)
	*m = MessageModel(s)
	return err
}

// UnmarshalJSONFrom reads the name or the number.
func (c *ConsumeType) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s, err := fastjson.DecodeEnum(dec, consumeTypes)
	*c = ConsumeType(s)
	return err
}

// UnmarshalJSONFrom reads the name or the number.
func (c *ConsumeFromWhere) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s, err := fastjson.DecodeEnum(dec, beginnings)
	*c = ConsumeFromWhere(s)
	return err
}

// MarshalText gives the name of the language.
func (l Language) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalJSONFrom reads the name or the number; an unknown one is Other.
func (l *Language) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	s, err := fastjson.DecodeEnum(dec, languageNames[:])
	*l = Other
	for i, name := range languageNames {
		if name == s {
			*l = Language(i)
		}
	}
	return err
}

// HeartbeatData is the body of HEART_BEAT.
type HeartbeatData struct {
	ClientID    string         `json:"clientID"`
	Consumers   []ConsumerData `json:"consumerDataSet"`
	Fingerprint int32          `json:"heartbeatFingerprint"` // hash of the subscriptions; 0 from clients that do not send it
	Producers   []ProducerData `json:"producerDataSet"`
	WithoutSub  bool           `json:"withoutSub"` // subscriptions are left out, those of before hold
}

// ConsumerData is one consumer group of a client.
type ConsumerData struct {
	FromWhere     ConsumeFromWhere   `json:"consumeFromWhere"`
	Type          ConsumeType        `json:"consumeType"`
	Group         string             `json:"groupName"`
	Model         MessageModel       `json:"messageModel"`
	Subscriptions []SubscriptionData `json:"subscriptionDataSet"`
	UnitMode      bool               `json:"unitMode"`
}

// ProducerData is one producer group of a client.
type ProducerData struct {
	Group string `json:"groupName"`
}

// Expression types of subscriptions. The empty type means tags.
const (
	ExpressionTag   = "TAG"
	ExpressionSQL92 = "SQL92"
)

// SubscriptionData is what a consumer wants of a topic.
type SubscriptionData struct {
	ClassFilterMode bool     `json:"classFilterMode"` // legacy
	Codes           []int32  `json:"codeSet"`         // hashes of Tags
	ExpressionType  string   `json:"expressionType"`  // ExpressionTag or ExpressionSQL92
	Expression      string   `json:"subString"`       // "*", "a || b" or SQL
	Version         int64    `json:"subVersion"`      // ms of the subscription; the latest one of a group wins
	Tags            []string `json:"tagsSet"`
	Topic           string   `json:"topic"`
}

// Tagged reports whether the expression means tags.
func (s *SubscriptionData) Tagged() bool {
	return s.ExpressionType == "" || s.ExpressionType == ExpressionTag
}

// CheckClient is the body of CHECK_CLIENT_CONFIG.
type CheckClient struct {
	ClientID     string           `json:"clientId"`
	Group        string           `json:"group"`
	Namespace    string           `json:"namespace"`
	Subscription SubscriptionData `json:"subscriptionData"`
}

// ConsumerList is the answer to GET_CONSUMER_LIST_BY_GROUP.
type ConsumerList struct {
	ClientIDs []string `json:"consumerIdList"`
}

// Connection is a client that is connected to a broker.
type Connection struct {
	Addr     string   `json:"clientAddr"` // "ip:port"
	ClientID string   `json:"clientId"`
	Language Language `json:"language"`
	Version  int32    `json:"version"`
}

// ConsumerConnection is the answer to GET_CONSUMER_CONNECTION_LIST.
type ConsumerConnection struct {
	Connections   []Connection                `json:"connectionSet"`
	FromWhere     ConsumeFromWhere            `json:"consumeFromWhere,omitzero"`
	Type          ConsumeType                 `json:"consumeType,omitzero"`
	Model         MessageModel                `json:"messageModel,omitzero"`
	Subscriptions map[string]SubscriptionData `json:"subscriptionTable"` // by topic
}

// ProducerConnection is the answer to GET_PRODUCER_CONNECTION_LIST.
type ProducerConnection struct {
	Connections []Connection `json:"connectionSet"`
}

// ProducerTable is the answer to GET_ALL_PRODUCER_INFO.
type ProducerTable struct {
	Groups map[string][]ProducerInfo `json:"data"`
}

// ProducerInfo is one producer of ProducerTable.
type ProducerInfo struct {
	ClientID   string   `json:"clientId"`
	Language   Language `json:"language"`
	LastUpdate int64    `json:"lastUpdateTimestamp"` // of its heartbeat, ms
	RemoteIP   string   `json:"remoteIP"`
	Version    int32    `json:"version"`
}

// GroupSubscription is the answer to QUERY_SUBSCRIPTION_BY_CONSUMER.
type GroupSubscription struct {
	Group        string            `json:"group"`
	Subscription *SubscriptionData `json:"subscriptionData"`
	Topic        string            `json:"topic"`
}
