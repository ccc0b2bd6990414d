package command

import "github.com/skuamq/skua"

// Headers of requests to the name server. Fields that are nil or zero and tagged omitzero are not sent.

// BrokerIdentity names a broker.
type BrokerIdentity struct {
	BrokerName  string        `field:"brokerName"`
	BrokerAddr  string        `field:"brokerAddr"` // "ip:port"
	ClusterName string        `field:"clusterName"`
	BrokerID    skua.BrokerID `field:"brokerId"`
}

// RegisterBrokerHeader is the header of REGISTER_BROKER (103).
type RegisterBrokerHeader struct {
	BrokerIdentity
	HAServerAddr       string `field:"haServerAddr"`
	HeartbeatTimeout   *int64 `field:"heartbeatTimeoutMillis"` // ms without a sign of life; nil: the name server's
	EnableActingMaster *bool  `field:"enableActingMaster"`     // nil from brokers before 5.0, which never act as master
	Compressed         bool   `field:"compressed"`
	BodyCRC32          int32  `field:"bodyCrc32"` // CRC32 of the body as it is sent; 0: not checked
	ZoneName           string `field:"__ZONE_NAME,omitzero"`
}

// RegisterBrokerResponse is the header of its answer. Both are absent from the answer to a master.
type RegisterBrokerResponse struct {
	HAServerAddr string `field:"haServerAddr,omitzero"`
	MasterAddr   string `field:"masterAddr,omitzero"`
}

// UnregisterBrokerHeader is the header of UNREGISTER_BROKER (104).
type UnregisterBrokerHeader struct{ BrokerIdentity }

// QueryDataVersionHeader is the header of QUERY_DATA_VERSION (322).
type QueryDataVersionHeader struct{ BrokerIdentity }

// QueryDataVersionResponse is the header of its answer.
type QueryDataVersionResponse struct {
	Changed bool `field:"changed"` // whether the broker ought to register
}

// BrokerHeartbeatHeader is the header of BROKER_HEARTBEAT (904). Name servers use the first three fields only.
type BrokerHeartbeatHeader struct {
	ClusterName      string         `field:"clusterName"`
	BrokerAddr       string         `field:"brokerAddr"`
	BrokerName       string         `field:"brokerName"`
	BrokerID         *skua.BrokerID `field:"brokerId"`
	Epoch            *skua.Epoch    `field:"epoch"`
	MaxOffset        *int64         `field:"maxOffset"`             // end of the commit log, bytes
	ConfirmOffset    *int64         `field:"confirmOffset"`         // bytes
	HeartbeatTimeout *int64         `field:"heartbeatTimeoutMills"` // ms
	ElectionPriority *int32         `field:"electionPriority"`
}

// MemberGroupHeader is the header of GET_BROKER_MEMBER_GROUP (901).
type MemberGroupHeader struct {
	ClusterName string `field:"clusterName"`
	BrokerName  string `field:"brokerName"`
}

// MinBrokerIDHeader is the header of NOTIFY_MIN_BROKER_ID_CHANGE (905), which a name server sends to brokers.
type MinBrokerIDHeader struct {
	MinBrokerID       skua.BrokerID `field:"minBrokerId"`
	BrokerName        string        `field:"brokerName,omitzero"`
	MinBrokerAddr     string        `field:"minBrokerAddr,omitzero"`
	OfflineBrokerAddr string        `field:"offlineBrokerAddr,omitzero"`
	HABrokerAddr      string        `field:"haBrokerAddr,omitzero"`
}

// RouteHeader is the header of GET_ROUTEINFO_BY_TOPIC (105).
type RouteHeader struct {
	Topic                  string `field:"topic"`
	AcceptStandardJSONOnly bool   `field:"acceptStandardJsonOnly,omitzero"`
}

// KVHeader is the header of PUT_KV_CONFIG (100), GET_KV_CONFIG (101), DELETE_KV_CONFIG (102) and
// GET_KVLIST_BY_NAMESPACE (219): the last has a namespace only, the second and third no value.
type KVHeader struct {
	Namespace *string `field:"namespace"`
	Key       *string `field:"key"`
	Value     *string `field:"value"`
}

// KVResponse is the header of the answer to GET_KV_CONFIG.
type KVResponse struct {
	Value string `field:"value"`
}

// BrokerNameHeader is the header of WIPE_WRITE_PERM_OF_BROKER (205) and ADD_WRITE_PERM_OF_BROKER (327).
type BrokerNameHeader struct {
	BrokerName string `field:"brokerName"`
}

// WipeWritePermResponse is the header of the answer to WIPE_WRITE_PERM_OF_BROKER.
type WipeWritePermResponse struct {
	Topics int32 `field:"wipeTopicCount"` // that the broker has
}

// AddWritePermResponse is the header of the answer to ADD_WRITE_PERM_OF_BROKER.
type AddWritePermResponse struct {
	Topics int32 `field:"addTopicCount"` // that the broker has
}

// ClusterHeader is the header of GET_TOPICS_BY_CLUSTER (224).
type ClusterHeader struct {
	Cluster string `field:"cluster"`
}

// DeleteTopicHeader is the header of DELETE_TOPIC_IN_NAMESRV (216).
type DeleteTopicHeader struct {
	Topic       string `field:"topic"`
	ClusterName string `field:"clusterName,omitzero"` // "": all clusters
}
