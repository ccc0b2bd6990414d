package command

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
)

// Bodies are read and written with package fastjson; the json tags are its. Fields stand in Java's order, the
// alphabetical one. A nil slice or map is written empty, as Java's readers expect, unless its tag says omitzero.

// DataVersion is the version of a table that brokers, slaves and name servers compare. It is comparable: equal means
// equal in all three fields.
type DataVersion struct {
	Counter      int64 `json:"counter"`      // one more with each change
	StateVersion int64 `json:"stateVersion"` // term of the master in controller mode, else 0
	Timestamp    int64 `json:"timestamp"`    // of the change, ms
}

// Next is the version after one more change at now, in ms.
func (v DataVersion) Next(now int64) DataVersion {
	return DataVersion{Counter: v.Counter + 1, StateVersion: v.StateVersion, Timestamp: now}
}

// Equal reports whether both are the same version.
func (v DataVersion) Equal(o DataVersion) bool { return v == o }

// Bits of TopicConfig.SysFlag.
const (
	TopicUnit    = 1 // messages of the topic belong to a unit
	TopicUnitSub = 2 // groups of a unit subscribe to it
)

// SingleTag is the usual TopicConfig.FilterType.
const SingleTag = "SINGLE_TAG"

// TopicConfig is what a broker knows of a topic: an item of topics.json and of a registration.
type TopicConfig struct {
	Attributes  map[string]string `json:"attributes"` // without the + of the command line, such as "message.type"
	Order       bool              `json:"order"`
	Perm        skua.Perm         `json:"perm"`
	ReadQueues  int32             `json:"readQueueNums"`
	FilterType  string            `json:"topicFilterType"` // SingleTag or "MULTI_TAG"
	Name        string            `json:"topicName"`
	SysFlag     int32             `json:"topicSysFlag"`
	WriteQueues int32             `json:"writeQueueNums"`
	Unknown     jsontext.Value    `json:",embed"` // members of a newer release, kept as they are; never changed in place
}

// DefaultTopicConfig is a topic as Java makes it when nothing is said: 16 queues, readable and writable.
func DefaultTopicConfig(name string) TopicConfig {
	return TopicConfig{Name: name, Perm: skua.PermRead | skua.PermWrite, ReadQueues: 16, WriteQueues: 16, FilterType: SingleTag}
}

// UnmarshalJSONFrom reads a topic; a member that is missing has its default.
func (c *TopicConfig) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain TopicConfig
	*c = DefaultTopicConfig("")
	return fastjson.Decode(dec, (*plain)(c))
}

// TopicConfigTable is topics.json.
type TopicConfigTable struct {
	DataVersion DataVersion            `json:"dataVersion"`
	Topics      map[string]TopicConfig `json:"topicConfigTable"`
	Unknown     jsontext.Value         `json:",embed"`
}

// TopicConfigWrapper is the topic table of a broker on the wire: the answer to GET_ALL_TOPIC_CONFIG and the main part of
// a registration.
type TopicConfigWrapper struct {
	DataVersion        DataVersion                   `json:"dataVersion"`
	MappingDataVersion DataVersion                   `json:"mappingDataVersion"`
	Topics             map[string]TopicConfig        `json:"topicConfigTable"`
	MappingDetails     map[string]TopicMappingDetail `json:"topicQueueMappingDetailMap"`
	MappingInfos       map[string]TopicMapping       `json:"topicQueueMappingInfoMap"`
}

// TopicMapping tells which logical queues of a static topic a broker leads.
type TopicMapping struct {
	Broker      string          `json:"bname"`
	CurrIDs     map[int32]int32 `json:"currIdMap"` // logical queue -> queue of the broker
	Dirty       bool            `json:"dirty"`
	Epoch       int64           `json:"epoch"`
	Scope       string          `json:"scope"` // usually "__global__"
	Topic       string          `json:"topic"`
	TotalQueues int32           `json:"totalQueues"` // of the whole topic
}

// TopicMappingDetail is TopicMapping with the history of each logical queue.
type TopicMappingDetail struct {
	TopicMapping
	Hosted map[int32][]MappingItem `json:"hostedQueues"`
}

// MappingItem is one stretch of a logical queue, held by one queue of one broker. Offsets and times of -1 are open.
type MappingItem struct {
	Broker      string `json:"bname"`
	EndOffset   int64  `json:"endOffset"` // in the broker's queue, exclusive
	Gen         int32  `json:"gen"`
	LogicOffset int64  `json:"logicOffset"` // offset in the logical queue that StartOffset has
	QueueID     int32  `json:"queueId"`
	StartOffset int64  `json:"startOffset"`
	TimeOfEnd   int64  `json:"timeOfEnd"`   // ms
	TimeOfStart int64  `json:"timeOfStart"` // ms
}

// UnmarshalJSONFrom reads a stretch; a member that is missing has Java's default.
func (i *MappingItem) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain MappingItem
	*i = MappingItem{EndOffset: -1, TimeOfEnd: -1, TimeOfStart: -1}
	return fastjson.Decode(dec, (*plain)(i))
}

// UnmarshalJSONFrom reads a mapping; a member that is missing has Java's default.
func (d *TopicMappingDetail) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	type plain TopicMappingDetail
	*d = TopicMappingDetail{TopicMapping: TopicMapping{Scope: globalScope}}
	return fastjson.Decode(dec, (*plain)(d))
}

// globalScope is the scope of a mapping that names none.
const globalScope = "__global__"

// TopicMappingTable is topicQueueMapping.json.
type TopicMappingTable struct {
	DataVersion DataVersion                   `json:"dataVersion"`
	Mappings    map[string]TopicMappingDetail `json:"topicQueueMappingInfoMap"`
}

// TopicConfigDetail is the answer to GET_TOPIC_CONFIG: a topic and, for a static one, its mapping.
type TopicConfigDetail struct {
	TopicConfig
	Mapping *TopicMappingDetail `json:"mappingDetail"`
}

// UnmarshalJSONFrom reads both parts, which are members of one object.
func (c *TopicConfigDetail) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	object, err := dec.ReadValue()
	if err != nil {
		return err
	}
	var rest struct {
		Mapping *TopicMappingDetail `json:"mappingDetail"`
	}
	object = object.Clone()
	if err := fastjson.Unmarshal(object, &rest); err != nil {
		return err
	}
	c.Mapping = rest.Mapping
	return fastjson.Unmarshal(object, &c.TopicConfig)
}

// TopicConfigList is the body of UPDATE_AND_CREATE_TOPIC_LIST.
type TopicConfigList struct {
	Topics []TopicConfig `json:"topicConfigList"`
}

// TopicList is a list of names of topics, the answer to many requests.
type TopicList struct {
	BrokerAddr string   `json:"brokerAddr,omitzero"` // only in the list of system topics: some broker
	Topics     []string `json:"topicList"`
}

// KVTable is a table of strings: broker runtime information, a KV namespace.
type KVTable struct {
	Table map[string]string `json:"table"`
}
