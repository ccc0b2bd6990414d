package command

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
)

// GroupConfig is what a broker knows of a consumer group: an item of subscriptionGroup.json.
type GroupConfig struct {
	Attributes                map[string]string    `json:"attributes"`
	BrokerID                  skua.BrokerID        `json:"brokerId"` // that consumers are told to read from
	ConsumeBroadcastEnable    bool                 `json:"consumeBroadcastEnable"`
	ConsumeEnable             bool                 `json:"consumeEnable"`
	ConsumeFromMinEnable      bool                 `json:"consumeFromMinEnable"`
	ConsumeMessageOrderly     bool                 `json:"consumeMessageOrderly"`
	ConsumeTimeoutMinutes     int32                `json:"consumeTimeoutMinute"`
	Name                      string               `json:"groupName"`
	RetryPolicy               RetryPolicy          `json:"groupRetryPolicy"`
	SysFlag                   int32                `json:"groupSysFlag"`
	NotifyConsumerIDsChanged  bool                 `json:"notifyConsumerIdsChangedEnable"`
	RetryMaxTimes             int32                `json:"retryMaxTimes"`
	RetryQueues               int32                `json:"retryQueueNums"`
	Subscriptions             []SimpleSubscription `json:"subscriptionDataSet,omitzero"`
	BrokerWhenConsumingSlowly skua.BrokerID        `json:"whichBrokerWhenConsumeSlowly"`
	Unknown                   jsontext.Value       `json:",embed"` // members of a newer release, kept as they are; never changed in place
}

// DefaultGroupConfig is a group as Java makes it when nothing is said.
func DefaultGroupConfig(name string) GroupConfig {
	return GroupConfig{
		Name:                      name,
		ConsumeEnable:             true,
		ConsumeFromMinEnable:      true,
		ConsumeBroadcastEnable:    true,
		NotifyConsumerIDsChanged:  true,
		ConsumeTimeoutMinutes:     15,
		RetryQueues:               1,
		RetryMaxTimes:             16,
		RetryPolicy:               RetryPolicy{Type: CustomizedRetry},
		BrokerWhenConsumingSlowly: 1,
	}
}

// UnmarshalJSONFrom reads a group; a member that is missing has its default.
func (c *GroupConfig) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain GroupConfig
	*c = DefaultGroupConfig("")
	return fastjson.Decode(dec, (*plain)(c))
}

// Kinds of RetryPolicy.
const (
	CustomizedRetry  = "CUSTOMIZED"
	ExponentialRetry = "EXPONENTIAL"
)

// RetryPolicy tells when a message that failed is offered again (pop consumers only).
type RetryPolicy struct {
	Customized  *CustomizedRetryPolicy  `json:"customizedRetryPolicy"`
	Exponential *ExponentialRetryPolicy `json:"exponentialRetryPolicy"`
	Type        string                  `json:"type"` // CustomizedRetry or ExponentialRetry
}

// CustomizedRetryPolicy lists the delays.
type CustomizedRetryPolicy struct {
	Next []int64 `json:"next"` // ms; the last one serves all further retries
}

// ExponentialRetryPolicy computes the delays.
type ExponentialRetryPolicy struct {
	Initial    int64 `json:"initial"` // ms
	Max        int64 `json:"max"`     // ms
	Multiplier int64 `json:"multiplier"`
}

// SimpleSubscription is a subscription that is configured for a group.
type SimpleSubscription struct {
	Expression     string `json:"expression"`
	ExpressionType string `json:"expressionType"`
	Topic          string `json:"topic"`
	Version        int64  `json:"version"`
}

// GroupConfigWrapper is subscriptionGroup.json and the answer to GET_ALL_SUBSCRIPTIONGROUP_CONFIG.
type GroupConfigWrapper struct {
	DataVersion DataVersion                 `json:"dataVersion"`
	Forbidden   map[string]map[string]int32 `json:"forbiddenTable"` // group -> topic -> bits; bit 2 forbids reading
	Groups      map[string]GroupConfig      `json:"subscriptionGroupTable"`
	Unknown     jsontext.Value              `json:",embed"`
}

// GroupConfigList is the body of UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST.
type GroupConfigList struct {
	Groups []GroupConfig `json:"groupConfigList"`
}

// GroupList is the answer to QUERY_TOPIC_CONSUME_BY_WHO.
type GroupList struct {
	Groups []string `json:"groupList"`
}

// GroupForbidden is the answer to UPDATE_AND_GET_GROUP_FORBIDDEN.
type GroupForbidden struct {
	Group    string `json:"group"`
	Readable bool   `json:"readable"`
	Topic    string `json:"topic"`
}
