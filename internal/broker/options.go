package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// Options are the settings of a broker, under Java's names and with Java's defaults. Those tagged live may be changed
// over the network while the broker runs. Package conf fills the struct and prints it; the configuration reference is
// made from the comments.
type Options struct {
	// Cluster that the broker belongs to. A topic of this name spreads over all its brokers.
	BrokerClusterName string `key:"brokerClusterName" default:"DefaultCluster"`
	// Name of the broker, unique in its cluster except for its slaves. Empty: the host name.
	BrokerName string `key:"brokerName" default:""`
	// Number of the broker among those of its name: 0 is the master.
	BrokerID int64 `key:"brokerId" default:"0"`
	// Address that clients are told, without port. Empty: the bind address or, if that is a wildcard, the first address of
	// the machine that others can reach.
	BrokerIP1 string `key:"brokerIP1" default:""`
	// Address that slaves are told, without port. Empty: as brokerIP1.
	BrokerIP2 string `key:"brokerIP2" default:""`
	// Address to listen on.
	BindAddress string `key:"bindAddress" default:"0.0.0.0"`
	// Port for clients; the port two below serves all but pulls. 0: a free one.
	ListenPort int32 `key:"listenPort" default:"10911" min:"0" max:"65535"`
	// Port announced for replication; 0: one above listenPort.
	HaListenPort int32 `key:"haListenPort" default:"0" min:"0" max:"65535"`
	// File that the broker was configured from, into which settings are written that are changed over the network. Empty:
	// they last until the broker stops.
	BrokerConfigPath string `key:"brokerConfigPath" default:""`
	// Name servers, host:port separated by semicolons. Empty: the broker registers nowhere.
	NamesrvAddr string `key:"namesrvAddr" default:"" live:"true"`

	// What clients may do with the broker as a whole: the sum of 4 for reading and 2 for writing. Producers learn it with
	// the route; without 2 only sends to ordered topics and messages sent back by consumers are refused.
	BrokerPermission int32 `key:"brokerPermission" default:"6" min:"0" max:"7" live:"true"`
	// Whether a send to an unknown topic creates it after the template TBW102.
	AutoCreateTopicEnable bool `key:"autoCreateTopicEnable" default:"true" live:"true"`
	// Most queues of a topic that is created so.
	DefaultTopicQueueNums int32 `key:"defaultTopicQueueNums" default:"8" min:"1" max:"65536" live:"true"`
	// Whether the topic named like the cluster can be read and written.
	ClusterTopicEnable bool `key:"clusterTopicEnable" default:"true"`
	// Whether the topic named like the broker can be read and written.
	BrokerTopicEnable bool `key:"brokerTopicEnable" default:"true"`
	// Whether a consumer group is created when it is first seen.
	AutoCreateSubscriptionGroup bool `key:"autoCreateSubscriptionGroup" default:"true" live:"true"`
	// Whether groups that belong to the servers may be created too.
	EnableCreateSysGroup bool `key:"enableCreateSysGroup" default:"true" live:"true"`
	// Whether the topic for message traces is created at start.
	TraceTopicEnable bool `key:"traceTopicEnable" default:"false"`
	// Name of the topic for message traces.
	MsgTraceTopicName string `key:"msgTraceTopicName" default:"RMQ_SYS_TRACE_TOPIC"`
	// Whether producers are told to trace their messages, if they can.
	TraceOn bool `key:"traceOn" default:"true" live:"true"`
	// Region that producers and messages are told, for traces.
	RegionID string `key:"regionId" default:"DefaultRegion"`
	// Whether replies to requests are stored, in the topic <cluster>_REPLY_TOPIC, besides being passed on.
	StoreReplyMessageEnable bool `key:"storeReplyMessageEnable" default:"true" live:"true"`
	// Sends are refused before this time, ms since 1970.
	StartAcceptSendRequestTimeStamp int64 `key:"startAcceptSendRequestTimeStamp" default:"0" live:"true"`
	// Whether transaction messages are refused. Those that are stored already are finished all the same.
	RejectTransactionMessage bool `key:"rejectTransactionMessage" default:"false" live:"true"`
	// Whether names of system topics are refused when topics are created or changed.
	ValidateSystemTopicWhenUpdateTopic bool `key:"validateSystemTopicWhenUpdateTopic" default:"true" live:"true"`
	// Whether a topic may have the message type MIXED.
	EnableMixedMessageType bool `key:"enableMixedMessageType" default:"false" live:"true"`
	// Whether a message is refused whose kind is not the message.type of its topic. Java has this key for its proxies only, where
	// it is on; its brokers take every message.
	EnableTopicMessageTypeCheck bool `key:"enableTopicMessageTypeCheck" default:"false" live:"true"`
	// Whether deleting a topic deletes the topics that hold its pop retries.
	ClearRetryTopicWhenDeleteTopic bool `key:"clearRetryTopicWhenDeleteTopic" default:"true" live:"true"`

	// Whether a pull that finds nothing is held until a message arrives, as long as its client allows.
	LongPollingEnable bool `key:"longPollingEnable" default:"true" live:"true"`
	// How long it is held if longPollingEnable is off.
	ShortPollingTimeMills int64 `key:"shortPollingTimeMills" default:"1000" unit:"ms" min:"0" live:"true"`
	// Most pulls that are held at a time; further ones are answered at once.
	MaxHeldPulls int32 `key:"maxHeldPulls" default:"1000000" min:"0"`
	// Most messages of one pull.
	PullBatchMaxMessageCount int32 `key:"pullBatchMaxMessageCount" default:"160" min:"1" max:"100000" live:"true"`
	// Whether consumers may be told to read from slaves.
	SlaveReadEnable bool `key:"slaveReadEnable" default:"false" live:"true"`
	// Whether pull consumers of the newer kind (LITE_PULL_MESSAGE) are served.
	LitePullMessageEnable bool `key:"litePullMessageEnable" default:"true" live:"true"`
	// Whether consumers may filter messages by their properties, with conditions in SQL92.
	EnablePropertyFilter bool `key:"enablePropertyFilter" default:"true" live:"true"`
	// Most that such a condition may cost: 1 for each comparison, 4 for CONTAINS, STARTSWITH and ENDSWITH, and 1 for each 16
	// strings of IN. One that costs 1000 takes some 50 us for each message that it is tried on. 0: no limit.
	MaxFilterCost int32 `key:"maxFilterCost" default:"1000" min:"0"`
	// Whether a consumer that subscribes to the retry topic of its group with a condition gets messages by the condition that
	// the group has for the topic from which they came. Java's push consumers subscribe to all messages of that topic.
	FilterSupportRetry bool `key:"filterSupportRetry" default:"false" live:"true"`
	// Whether messages get a bit map of the groups whose conditions they pass, with enableConsumeQueueExt. Pulls then read
	// only messages that may pass; sends take longer.
	EnableCalcFilterBitMap bool `key:"enableCalcFilterBitMap" default:"false"`
	// Consumer groups with conditions on one topic for which the bit maps are made. It gives their length, with the next key.
	ExpectConsumerNumUseFilter int32 `key:"expectConsumerNumUseFilter" default:"32" min:"1" max:"10000"`
	// Part of the messages that do not pass which bit maps may let through, to be looked at.
	MaxErrorRateOfBloomFilter int32 `key:"maxErrorRateOfBloomFilter" default:"20" unit:"percent" min:"1" max:"99"`
	// How long the condition of a group is kept that is gone.
	FilterDataCleanTimeSpan int64 `key:"filterDataCleanTimeSpan" default:"86400000" min:"0" max:"1099511627776" live:"true" unit:"ms"`
	// Whether resetting the offset of a group takes effect in the broker, without help of its consumers.
	UseServerSideResetOffset bool `key:"useServerSideResetOffset" default:"true" live:"true"`
	// How often consumer offsets are saved.
	FlushConsumerOffsetInterval int32 `key:"flushConsumerOffsetInterval" default:"5000" unit:"ms" min:"1"`
	// Whether the broker remembers how far broadcasting consumers have read, which keep their offsets themselves, for when they
	// change between pulling from it and pulling through a proxy.
	EnableBroadcastOffsetStore bool `key:"enableBroadcastOffsetStore" default:"true" live:"true"`
	// How long it remembers that of a consumer that is not connected.
	BroadcastOffsetExpireSecond int32 `key:"broadcastOffsetExpireSecond" default:"120" live:"true" unit:"s" min:"0"`
	// How long it remembers that of a consumer that is connected but does not pull.
	BroadcastOffsetExpireMaxSecond int32 `key:"broadcastOffsetExpireMaxSecond" default:"300" live:"true" unit:"s" min:"0"`
	// A queue that a consumer has locked, to consume it in order, and in which it does not get past a message for so long, is
	// told in the log and by runtime information. 0: never.
	BlockedQueueTimeMillis int64 `key:"blockedQueueTimeMillis" default:"60000" live:"true" unit:"ms" min:"0" max:"1099511627776"`
	// Updates of consumer offsets after which their data version grows by one.
	ConsumerOffsetUpdateVersionStep int64 `key:"consumerOffsetUpdateVersionStep" default:"500" min:"1"`

	// Whether consumers that ask the broker which queues they have to read are told their share. false: all.
	ServerLoadBalancerEnable bool `key:"serverLoadBalancerEnable" default:"true" live:"true"`
	// How old what name servers said of a topic may be when queues are assigned to consumers.
	LoadBalancePollNameServerInterval int64 `key:"loadBalancePollNameServerInterval" default:"30000" live:"true" unit:"ms" min:"0" max:"1099511627776"`
	// How such consumers are told to get messages, unless it was set for their group and topic (mqadmin setConsumeMode). POP
	// is answered, but not served by this release.
	DefaultMessageRequestMode string `key:"defaultMessageRequestMode" default:"PULL" live:"true" oneOf:"PULL POP"`
	// With POP: of how many members a consumer has the queues besides its own. Below 1: it has those of all.
	DefaultPopShareQueueNum int32 `key:"defaultPopShareQueueNum" default:"-1" live:"true"`

	// Whether the members of a consumer group are told when one joins or leaves.
	NotifyConsumerIdsChangedEnable bool `key:"notifyConsumerIdsChangedEnable" default:"true" live:"true"`
	// A client that is silent for so long is forgotten and its connection closed.
	ChannelExpiredTimeout int64 `key:"channelExpiredTimeout" default:"120000" unit:"ms" min:"1" max:"1099511627776"`
	// A connection that neither reads nor writes for so long is closed. 0: never.
	ServerChannelMaxIdleTimeSeconds int32 `key:"serverChannelMaxIdleTimeSeconds" default:"120" unit:"s" min:"0"`
	// Most connections at a time on each port; 0: no limit.
	MaxConnections int32 `key:"maxConnections" default:"0" min:"0"`

	// How often the broker registers with its name servers. Less than 10 s counts as 10 s, more than 60 s as 60 s.
	RegisterNameServerPeriod int32 `key:"registerNameServerPeriod" default:"30000" live:"true" unit:"ms"`
	// How long a name server may take to answer a registration.
	RegisterBrokerTimeoutMills int32 `key:"registerBrokerTimeoutMills" default:"24000" unit:"ms" min:"1" live:"true"`
	// How long a broker waits for another one that has a part of a logical queue of a static topic.
	ForwardTimeout int64 `key:"forwardTimeout" default:"3000" unit:"ms" min:"1" max:"600000" live:"true"`
	// Whether the broker registers even if the name server says that nothing changed.
	ForceRegister bool `key:"forceRegister" default:"true" live:"true"`
	// Whether registrations are compressed. That form loses the order and unit flags of topics.
	CompressedRegister bool `key:"compressedRegister" default:"false" live:"true"`
	// Whether a slave may act as master; makes the broker send light heartbeats to its name servers.
	EnableSlaveActingMaster bool `key:"enableSlaveActingMaster" default:"false"`
	// How often light heartbeats are sent.
	BrokerHeartbeatInterval int32 `key:"brokerHeartbeatInterval" default:"1000" unit:"ms" min:"1"`
	// How long a name server waits for a light heartbeat before it takes the broker for dead.
	BrokerNotActiveTimeoutMillis int64 `key:"brokerNotActiveTimeoutMillis" default:"10000" unit:"ms" min:"1"`
	// How long a light heartbeat may take.
	SendHeartbeatTimeoutMillis int32 `key:"sendHeartbeatTimeoutMillis" default:"1000" unit:"ms" min:"1"`

	// Directory of all files. Empty: store in the home directory.
	StorePathRootDir string `key:"storePathRootDir" default:""`
	// Directory of the commit log, or several separated by commas: they get new files in turns, those above
	// diskSpaceCleanForciblyRatio none. Empty: commitlog in storePathRootDir.
	StorePathCommitLog string `key:"storePathCommitLog" default:""`
	// With several directories in storePathCommitLog: those, separated by commas, that hold files but get no new ones.
	ReadOnlyCommitLogStorePaths string `key:"readOnlyCommitLogStorePaths" default:""`
	// Size of a commit log file.
	MappedFileSizeCommitLog int32 `key:"mappedFileSizeCommitLog" default:"1073741824" unit:"bytes" min:"4096"`
	// Where queue entries are kept. default: in RocketMQ's files, a folder for each queue. defaultRocksDB: all queues in one
	// log of Skua's own, skua/shared, for very many queues. When it changes, the entries are moved at the start.
	StoreType string `key:"storeType" default:"default" oneOf:"default defaultRocksDB"`
	// Size of a consume queue file, a multiple of 20.
	MappedFileSizeConsumeQueue int32 `key:"mappedFileSizeConsumeQueue" default:"6000000" unit:"bytes" min:"20"`
	// Size of a file of the queues of topics with queue.type=BatchCQ, a multiple of 46. The key is spelled as in Java.
	MapperFileSizeBatchConsumeQueue int32 `key:"mapperFileSizeBatchConsumeQueue" default:"13800000" unit:"bytes" min:"46"`
	// Keep the store time and the filter bit map of messages beside their queue entries, in consumequeue_ext.
	EnableConsumeQueueExt bool `key:"enableConsumeQueueExt" default:"false"`
	// Length of each of these files. A directory must be opened with the length that it was made with.
	MappedFileSizeConsumeQueueExt int32 `key:"mappedFileSizeConsumeQueueExt" default:"50331648" unit:"bytes" min:"1024"`
	// Slots of an index file.
	MaxHashSlotNum int32 `key:"maxHashSlotNum" default:"5000000" min:"1"`
	// Entries of an index file.
	MaxIndexNum int32 `key:"maxIndexNum" default:"20000000" min:"2"`
	// Whether messages are indexed by their keys.
	MessageIndexEnable bool `key:"messageIndexEnable" default:"true"`
	// Whether index files are written; without, as without messageIndexEnable, messages cannot be found by key.
	IndexFileWriteEnable bool `key:"indexFileWriteEnable" default:"true"`
	// Part that the broker plays: ASYNC_MASTER, or SYNC_MASTER, which is the same without slaves. SLAVE: a later release.
	BrokerRole string `key:"brokerRole" default:"ASYNC_MASTER" oneOf:"ASYNC_MASTER SYNC_MASTER SLAVE"`
	// What acknowledged messages survive, in one word instead of the keys below; each that is set all the same wins. fast: a
	// killed process; flushDiskType=ASYNC_FLUSH, flushIntervalCommitLog=500. safe: also a power cut, but for the last
	// tenth of a second; ASYNC_FLUSH and 100. strict: both; SYNC_FLUSH. Empty: the keys count. The log says at the start
	// what it comes to.
	Durability string `key:"durability" default:"" oneOf:"fast safe strict"`
	// ASYNC_FLUSH: an acknowledged message survives a killed process. SYNC_FLUSH: it survives a power cut, too.
	FlushDiskType string `key:"flushDiskType" default:"ASYNC_FLUSH" oneOf:"ASYNC_FLUSH SYNC_FLUSH"`
	// Whether the commit log is written past the system's cache: on, off, or auto: while messages come faster than the cache
	// takes them. It spares processor and memory; who reads such messages later than a moment reads the disk.
	CommitLogDirectIO string `key:"commitLogDirectIO" default:"auto" oneOf:"auto on off"`
	// How long a send waits for the disk in SYNC_FLUSH.
	SyncFlushTimeout int32 `key:"syncFlushTimeout" default:"5000" unit:"ms" min:"1"`
	// How long a send waits when the disk cannot keep up, before it is refused (SYSTEM_BUSY). Requests that arrived on the
	// same connection wait behind it.
	OsPageCacheBusyTimeOutMills int64 `key:"osPageCacheBusyTimeOutMills" default:"1000" unit:"ms" min:"1" max:"60000"`
	// How often the commit log is written to disk in ASYNC_FLUSH.
	FlushIntervalCommitLog int32 `key:"flushIntervalCommitLog" default:"500" unit:"ms" min:"1"`
	// Longest body of a message.
	MaxMessageSize int32 `key:"maxMessageSize" default:"4194304" unit:"bytes" min:"1" max:"65472KB"`
	// Whether bodies are checked when the commit log is recovered.
	CheckCRCOnRecover bool `key:"checkCRCOnRecover" default:"true"`
	// Give each record a checksum of all its bytes, as its last property.
	EnabledAppendPropCRC bool `key:"enabledAppendPropCRC" default:"false"`
	// Verify these checksums at the start. Records without one pass, other than with Java, which cuts the log there.
	ForceVerifyPropCRC bool `key:"forceVerifyPropCRC" default:"false"`
	// Delays that messages can ask for by level, the first is level 1.
	MessageDelayLevel string `key:"messageDelayLevel" default:"1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"`
	// How often the offsets of delayed messages are saved.
	FlushDelayOffsetInterval int64 `key:"flushDelayOffsetInterval" default:"10000" unit:"ms" min:"1" max:"2147483647"`

	KeepOptions
	TransactionOptions

	TimerOptions
	LightOptions
	CompactionOptions
	MetricsOptions

	// Most entries of one answer of GET_ALL_TOPIC_CONFIG and GET_ALL_SUBSCRIPTIONGROUP_CONFIG to callers that page.
	SplitMetadataSize int32 `key:"splitMetadataSize" default:"2000" min:"1" live:"true"`
	// Whether such callers are answered in pages.
	EnableSplitMetadata bool `key:"enableSplitMetadata" default:"true" live:"true"`

	// TLS is the TLS side of the ports; nil: plain only. It has no key: tls.properties configures it.
	TLS *wire.TLS

	edit func(*store.Options) // lets tests make the disk fail
}

// storeShared is the storeType of the shared queue log.
const storeShared = "defaultRocksDB"

// validate completes what is empty and returns an error that names each key whose value does not fit, or the first that
// makes no sense beside others.
func (o *Options) validate() error {
	if o.BrokerName == "" {
		host, err := os.Hostname()
		if err != nil || host == "" {
			host = "DEFAULT_BROKER"
		}
		o.BrokerName = host
	}
	if o.StorePathRootDir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return fmt.Errorf("storePathRootDir: is empty, and the home directory is unknown: %w", err)
		}
		o.StorePathRootDir = filepath.Join(home, "store")
	}
	if o.BindAddress == "" {
		o.BindAddress = "0.0.0.0"
	}
	if o.BrokerIP1 == "" {
		o.BrokerIP1 = o.BindAddress
		if a, err := netip.ParseAddr(o.BindAddress); err == nil && a.IsUnspecified() {
			o.BrokerIP1 = "127.0.0.1"
		}
	}
	if o.BrokerIP2 == "" {
		o.BrokerIP2 = o.BrokerIP1
	}
	return conf.Check(o)
}

// Check returns an error for the first value that fits its tags and still makes no sense. What validate completes may be
// empty.
func (o *Options) Check() error {
	const name = "a name that is fit for a topic, dots aside: %v"
	if err := checkName(o.BrokerClusterName); err != nil {
		return conf.Misfit(o, "brokerClusterName", name, err)
	}
	if err := checkName(o.BrokerName); err != nil && o.BrokerName != "" {
		return conf.Misfit(o, "brokerName", name, err)
	}
	switch {
	case o.ListenPort > 0 && o.ListenPort <= fastPortBelow:
		return conf.Misfit(o, "listenPort", "0 or %d to 65535: the port %d below serves, too", fastPortBelow+1, fastPortBelow)
	case o.BrokerID != 0:
		return conf.Misfit(o, "brokerId", "0: others are slaves, and replication is not in this release")
	case o.BrokerRole == "SLAVE":
		return conf.Misfit(o, "brokerRole", "ASYNC_MASTER or SYNC_MASTER: replication is not in this release")
	}
	if _, err := parseDelayLevels(o.MessageDelayLevel); err != nil {
		return conf.Misfit(o, "messageDelayLevel", "1 to %d whole numbers with a unit s, m, h or d, such as 1s 10m: %v", maxDelayLevels, err)
	}
	if err := o.checkTimer(); err != nil {
		return err
	}
	if err := o.checkMetrics(); err != nil {
		return err
	}
	return o.KeepOptions.check(int64(o.MappedFileSizeCommitLog))
}

// checkName returns nil if a broker or cluster can have the name. A topic is named like each, with a directory of its
// name. Host names have dots, which other topics may not.
func checkName(name string) error {
	if name != "" && strings.Trim(name, ".") == "" {
		return errors.New("it has nothing but dots")
	}
	return skua.ValidateTopic(strings.ReplaceAll(name, ".", "-"))
}

// store is the part of the options that the store acts on.
func (o *Options) store() store.Options {
	s := store.Options{
		Dir:            o.StorePathRootDir,
		SegmentSize:    int64(o.MappedFileSizeCommitLog),
		QueueFileSize:  int64(o.MappedFileSizeConsumeQueue),
		Extend:         o.EnableConsumeQueueExt,
		Shared:         o.StoreType == storeShared,
		Light:          o.dispatches(),
		IndexSlots:     o.MaxHashSlotNum,
		IndexItems:     o.MaxIndexNum,
		NoIndex:        !o.MessageIndexEnable || !o.IndexFileWriteEnable,
		SyncFlush:      o.FlushDiskType == "SYNC_FLUSH",
		DirectIO:       store.DirectIO(o.CommitLogDirectIO),
		FlushInterval:  time.Duration(o.FlushIntervalCommitLog) * time.Millisecond,
		MaxMessageSize: o.MaxMessageSize,
		MaxWait:        time.Duration(o.OsPageCacheBusyTimeOutMills) * time.Millisecond,
		Retention:      o.retention(),
		Transfer:       o.transfer(),
		CheckCRC:       o.CheckCRCOnRecover,
		Seal:           o.EnabledAppendPropCRC,
		CheckSeals:     o.ForceVerifyPropCRC,
	}
	s.MaxLight = o.maxLight()
	s.ExtensionSize = int64(o.MappedFileSizeConsumeQueueExt)
	s.BatchQueueSize = int64(o.MapperFileSizeBatchConsumeQueue)
	s.CommitLogDirs = paths(o.StorePathCommitLog)
	if len(s.CommitLogDirs) > 1 { // otherwise Java does not look at them
		s.ReadOnlyDirs = paths(o.ReadOnlyCommitLogStorePaths)
	}
	return s
}

// paths are the directories of a list that is separated by commas.
func paths(list string) []string {
	var dirs []string
	for dir := range strings.SplitSeq(list, ",") {
		if dir = strings.TrimSpace(dir); dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// nameServers are the addresses in namesrvAddr.
func (o *Options) nameServers() []string {
	return strings.FieldsFunc(o.NamesrvAddr, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
}

// bind is the address to listen on with a port.
func (o *Options) bind(port int) string { return net.JoinHostPort(o.BindAddress, strconv.Itoa(port)) }

// readable reports whether brokerPermission lets consumers read.
func (o *Options) readable() bool { return skua.Perm(o.BrokerPermission).Readable() }

// writable reports whether brokerPermission lets producers write.
func (o *Options) writable() bool { return skua.Perm(o.BrokerPermission).Writable() }
