package command

import "github.com/go-json-experiment/json/jsontext"

// ConsumerFilters is consumerFilter.json: the filters of consumer groups, by topic.
type ConsumerFilters struct {
	Topics  map[string]TopicFilters `json:"filterDataByTopic"`
	Unknown jsontext.Value          `json:",embed"`
}

// TopicFilters are the filters of a topic, by consumer group.
type TopicFilters struct {
	Groups map[string]ConsumerFilter `json:"groupFilterData"`
	Topic  string                    `json:"topic"`
}

// ConsumerFilter is the filter of a consumer group for a topic.
type ConsumerFilter struct {
	Bloom          BloomData `json:"bloomFilterData"`
	BornTime       int64     `json:"bornTime"`      // ms; bit maps of messages that were stored later know of the filter
	Version        int64     `json:"clientVersion"` // of the subscription
	Group          string    `json:"consumerGroup"`
	Dead           bool      `json:"dead"`     // the group does not subscribe so any more
	DeadTime       int64     `json:"deadTime"` // since when, ms; 0 if it does
	Expression     string    `json:"expression"`
	ExpressionType string    `json:"expressionType"`
	Topic          string    `json:"topic"`
}

// BloomData are the bits of a group in bit maps of so many bits.
type BloomData struct {
	Bits      int32   `json:"bitNum"`
	Positions []int32 `json:"bitPos"`
}
