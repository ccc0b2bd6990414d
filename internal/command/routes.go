package command

import "github.com/skuamq/skua"

// BrokerData is the brokers of one name in a route or in ClusterInfo.
type BrokerData struct {
	Addrs              map[skua.BrokerID]string `json:"brokerAddrs"` // "ip:port"
	Name               string                   `json:"brokerName"`
	Cluster            string                   `json:"cluster"`
	EnableActingMaster bool                     `json:"enableActingMaster"`
	ZoneName           string                   `json:"zoneName,omitzero"`
}

// QueueData is the queues of a topic on the brokers of one name.
type QueueData struct {
	BrokerName   string    `json:"brokerName"`
	Perm         skua.Perm `json:"perm"`
	ReadQueues   int32     `json:"readQueueNums"`
	TopicSysFlag int32     `json:"topicSysFlag"`
	WriteQueues  int32     `json:"writeQueueNums"`
}

// TopicRoute is the answer to GET_ROUTEINFO_BY_TOPIC: where the queues of a topic are.
type TopicRoute struct {
	Brokers       []BrokerData            `json:"brokerDatas"`
	FilterServers map[string][]string     `json:"filterServerTable"`       // broker address -> addresses; legacy
	OrderConf     string                  `json:"orderTopicConf,omitzero"` // "broker-a:4;broker-b:4"
	Queues        []QueueData             `json:"queueDatas"`
	Mappings      map[string]TopicMapping `json:"topicQueueMappingByBroker,omitzero"` // of a static topic, by broker name
}

// ClusterInfo is the answer to GET_BROKER_CLUSTER_INFO.
type ClusterInfo struct {
	Brokers  map[string]BrokerData `json:"brokerAddrTable"`  // by broker name
	Clusters map[string][]string   `json:"clusterAddrTable"` // broker names by cluster
}

// BrokerMemberGroup is the brokers of one name.
type BrokerMemberGroup struct {
	Addrs   map[skua.BrokerID]string `json:"brokerAddrs"` // "ip:port"
	Name    string                   `json:"brokerName"`
	Cluster string                   `json:"cluster"`
}

// BrokerMemberGroupBody is the answer to GET_BROKER_MEMBER_GROUP.
type BrokerMemberGroupBody struct {
	Group BrokerMemberGroup `json:"brokerMemberGroup"`
}

// RegisterBrokerBody is the body of REGISTER_BROKER; see EncodeRegistration.
type RegisterBrokerBody struct {
	FilterServers []string           `json:"filterServerList"`
	Topics        TopicConfigWrapper `json:"topicConfigSerializeWrapper"`
}
