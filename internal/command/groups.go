package command

import (
	"fmt"
	"slices"

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
	ConsumeFromMinEnable      bool                 `json:"consumeFromMinEnable"`  // no broker or client acts on it
	ConsumeMessageOrderly     bool                 `json:"consumeMessageOrderly"` // proxies act on it, brokers do not
	ConsumeTimeoutMinutes     int32                `json:"consumeTimeoutMinute"`  // no broker or client acts on it
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
	err := fastjson.Decode(dec, (*plain)(c))
	if c.RetryPolicy.Type == "" { // the policy is null
		c.RetryPolicy.Type = CustomizedRetry
	}
	return err
}

// Kinds of RetryPolicy.
const (
	CustomizedRetry  = "CUSTOMIZED"
	ExponentialRetry = "EXPONENTIAL"
)

// RetryPolicy tells when a message that failed is offered again. It is for consumers that pop; those that pull go by the
// delay levels of the broker, whatever the policy says.
type RetryPolicy struct {
	Customized  *CustomizedRetryPolicy  `json:"customizedRetryPolicy"`
	Exponential *ExponentialRetryPolicy `json:"exponentialRetryPolicy"`
	Type        string                  `json:"type"` // CustomizedRetry or ExponentialRetry
}

// CustomizedRetryPolicy lists the delays. The first two are for no retry: a message that failed once waits for the third.
type CustomizedRetryPolicy struct {
	Next []int64 `json:"next"` // ms; the last one serves all further retries
}

// ExponentialRetryPolicy computes the delays.
type ExponentialRetryPolicy struct {
	Initial    int64 `json:"initial"`    // ms
	Max        int64 `json:"max"`        // ms
	Multiplier int64 `json:"multiplier"` // of the delay, with each retry
}

// defaultRetryDelays are those of a policy that lists none: the delay levels of a broker, ms.
var defaultRetryDelays = []int64{1e3, 5e3, 10e3, 30e3, 60e3, 120e3, 180e3, 240e3, 300e3, 360e3, 420e3, 480e3, 540e3, 600e3, 1200e3, 1800e3, 3600e3, 7200e3}

// UnmarshalJSONFrom reads a policy; a member that is missing has its default.
func (p *CustomizedRetryPolicy) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain CustomizedRetryPolicy
	*p = CustomizedRetryPolicy{Next: slices.Clone(defaultRetryDelays)}
	return fastjson.Decode(dec, (*plain)(p))
}

// UnmarshalJSONFrom reads a policy; a member that is missing has its default.
func (p *ExponentialRetryPolicy) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain ExponentialRetryPolicy
	*p = ExponentialRetryPolicy{Initial: 5e3, Max: 7200e3, Multiplier: 2}
	return fastjson.Decode(dec, (*plain)(p))
}

// Validate returns nil if the policy makes sense.
func (p *RetryPolicy) Validate() error {
	switch {
	case p.Type != CustomizedRetry && p.Type != ExponentialRetry:
		return fmt.Errorf("groupRetryPolicy: type %q, want %s or %s", p.Type, CustomizedRetry, ExponentialRetry)
	case p.Customized != nil && (len(p.Customized.Next) == 0 || slices.Min(p.Customized.Next) < 0):
		return fmt.Errorf("groupRetryPolicy: customizedRetryPolicy.next %v must hold delays in ms, at least one", p.Customized.Next)
	case p.Exponential != nil && (p.Exponential.Initial < 0 || p.Exponential.Max < 0 || p.Exponential.Multiplier < 1):
		return fmt.Errorf("groupRetryPolicy: exponentialRetryPolicy has initial %d, max %d, multiplier %d; want ms of at least 0 and a multiplier of at least 1",
			p.Exponential.Initial, p.Exponential.Max, p.Exponential.Multiplier)
	}
	return nil
}

// NextDelay is after how long, ms, a message is offered again that a group failed to consume so many times before.
func (p *RetryPolicy) NextDelay(reconsumeTimes int32) int64 {
	n := int64(max(reconsumeTimes, 0))
	if p.Type == ExponentialRetry && p.Exponential != nil {
		e := p.Exponential
		delay := e.Initial
		for range min(n, 32) {
			if delay > e.Max/max(e.Multiplier, 1) {
				return e.Max // the next one would be above, or overflow
			}
			delay *= e.Multiplier
		}
		return min(delay, e.Max)
	}
	delays := defaultRetryDelays
	if p.Type == CustomizedRetry && p.Customized != nil && len(p.Customized.Next) > 0 {
		delays = p.Customized.Next
	}
	return delays[min(n+2, int64(len(delays)-1))]
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
