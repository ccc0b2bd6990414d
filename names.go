package skua

import (
	"fmt"
	"strings"
)

// Prefixes of names with a meaning.
const (
	RetryPrefix       = "%RETRY%"      // retry topic of a consumer group
	DLQPrefix         = "%DLQ%"        // dead letter topic of a consumer group
	LMQPrefix         = "%LMQ%"        // light queue
	SystemTopicPrefix = "rmq_sys_"     // topics that the servers use themselves
	SystemGroupPrefix = "CID_RMQ_SYS_" // groups that the servers use themselves
)

// Topics that the servers create and use.
const (
	TemplateTopic      = "TBW102" // the template of auto-created topics
	ScheduleTopic      = "SCHEDULE_TOPIC_XXXX"
	BenchmarkTopic     = "BenchmarkTest"
	SelfTestTopic      = "SELF_TEST_TOPIC"
	OffsetMovedTopic   = "OFFSET_MOVED_EVENT"
	TraceTopic         = "RMQ_SYS_TRACE_TOPIC"
	HalfTopic          = "RMQ_SYS_TRANS_HALF_TOPIC"
	OpHalfTopic        = "RMQ_SYS_TRANS_OP_HALF_TOPIC"
	RocksHalfTopic     = "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC"
	RocksOpHalfTopic   = "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC"
	TransMaxTimeTopic  = "TRANS_CHECK_MAX_TIME_TOPIC"
	CheckpointTopic    = "CHECKPOINT_TOPIC"
	TimerTopic         = "rmq_sys_wheel_timer"
	ReviveTopicPrefix  = "rmq_sys_REVIVE_LOG_"
	MemberTopicPrefix  = "rmq_sys_SYNC_BROKER_MEMBER_"
	ReplyTopicSuffix   = "_REPLY_TOPIC"
	OrderTopicConfigNS = "ORDER_TOPIC_CONFIG" // name server KV namespace of ordered topics
)

// The queues of a static topic belong to no broker. In their names stands this prefix with a scope instead; the other name
// owns those that no broker leads.
const (
	LogicalBrokerPrefix = "__syslo__"
	NoLogicalBroker     = "__syslo__none__"
)

// TransactionGroup is the group under which a broker keeps how far it has come with half messages.
const TransactionGroup = "CID_RMQ_SYS_TRANS"

// Longest names, in bytes.
const (
	MaxTopicName      = 127
	MaxRetryTopicName = 255 // %RETRY% and %DLQ% topics
	MaxGroupName      = 120 // consumer groups that a broker creates
)

var systemTopics = map[string]bool{
	TemplateTopic: true, ScheduleTopic: true, BenchmarkTopic: true, SelfTestTopic: true, OffsetMovedTopic: true,
	TraceTopic: true, HalfTopic: true, OpHalfTopic: true, RocksHalfTopic: true, RocksOpHalfTopic: true,
	TransMaxTimeTopic: true, CheckpointTopic: true,
}

var forbiddenTopics = map[string]bool{
	ScheduleTopic: true, HalfTopic: true, OpHalfTopic: true, RocksHalfTopic: true, RocksOpHalfTopic: true,
	TransMaxTimeTopic: true, SelfTestTopic: true, OffsetMovedTopic: true,
}

var predefinedGroups = map[string]bool{
	"DEFAULT_CONSUMER": true, "DEFAULT_PRODUCER": true, "TOOLS_CONSUMER": true, "SCHEDULE_CONSUMER": true,
	"FILTERSRV_CONSUMER": true, "__MONITOR_CONSUMER": true, "CLIENT_INNER_PRODUCER": true, "SELF_TEST_P_GROUP": true,
	"SELF_TEST_C_GROUP": true, "CID_ONS-HTTP-PROXY": true, "CID_ONSAPI_PERMISSION": true, "CID_ONSAPI_OWNER": true,
	"CID_ONSAPI_PULL": true, TransactionGroup: true,
}

// RetryTopic names the topic that holds the messages which group failed to consume and will see again.
func RetryTopic(group string) string { return RetryPrefix + group }

// DLQTopic names the topic that holds the messages which group gave up.
func DLQTopic(group string) string { return DLQPrefix + group }

// IsRetryTopic reports whether topic is a retry topic.
func IsRetryTopic(topic string) bool { return strings.HasPrefix(topic, RetryPrefix) }

// IsDLQTopic reports whether topic is a dead letter topic.
func IsDLQTopic(topic string) bool { return strings.HasPrefix(topic, DLQPrefix) }

// IsSystemTopic reports whether topic belongs to the servers. A broker adds the names of its own cluster, itself and
// its reply topic, which this function cannot know.
func IsSystemTopic(topic string) bool {
	return systemTopics[topic] || strings.HasPrefix(topic, SystemTopicPrefix)
}

// IsForbiddenTopic reports whether clients may not send to topic.
func IsForbiddenTopic(topic string) bool { return forbiddenTopics[topic] }

// IsSystemGroup reports whether group exists without being created.
func IsSystemGroup(group string) bool {
	return predefinedGroups[group] || strings.HasPrefix(group, SystemGroupPrefix)
}

// ValidateTopic returns nil if name can be a topic. The error starts with Java's words and adds the length or the
// character that is wrong.
func ValidateTopic(name string) error {
	if strings.TrimSpace(name) == "" {
		return fmt.Errorf("The specified topic is blank.")
	}
	if i := illegal(name); i >= 0 {
		return fmt.Errorf("The specified topic: %.300s, contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$: %q at byte %d", name, name[i], i)
	}
	limit := MaxTopicName
	if IsRetryTopic(name) || IsDLQTopic(name) {
		limit = MaxRetryTopicName
	}
	if len(name) > limit {
		return fmt.Errorf("The specified topic is longer than topic max length. (%d bytes, at most %d)", len(name), limit)
	}
	return nil
}

// ValidateGroup returns nil if name can be a consumer or producer group.
func ValidateGroup(name string) error {
	if strings.TrimSpace(name) == "" {
		return fmt.Errorf("The specified group is blank.")
	}
	if i := illegal(name); i >= 0 {
		return fmt.Errorf("The specified group: %.300s, contains illegal characters, allowing only ^[%%|a-zA-Z0-9_-]+$: %q at byte %d", name, name[i], i)
	}
	if len(name) > MaxGroupName {
		return fmt.Errorf("The specified group is longer than group max length. (%d bytes, at most %d)", len(name), MaxGroupName)
	}
	return nil
}

// illegal returns the index of the first byte that a name cannot hold, or -1.
func illegal(name string) int {
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '%', c == '|':
		default:
			return i
		}
	}
	return -1
}
