package command

// Response codes of RocketMQ 5.5.0. The constants bear the names of ResponseCode in Java, without underscores.
const (
	StatusRPCTimeOut                           Status = -1006
	StatusRPCSendToChannelFailed               Status = -1004
	StatusRPCAddrIsNull                        Status = -1002
	StatusRPCUnknown                           Status = -1000
	StatusSuccess                              Status = 0
	StatusSystemError                          Status = 1
	StatusSystemBusy                           Status = 2
	StatusRequestCodeNotSupported              Status = 3
	StatusTransactionFailed                    Status = 4
	StatusFlushDiskTimeout                     Status = 10
	StatusSlaveNotAvailable                    Status = 11
	StatusFlushSlaveTimeout                    Status = 12
	StatusMessageIllegal                       Status = 13
	StatusServiceNotAvailable                  Status = 14
	StatusVersionNotSupported                  Status = 15
	StatusNoPermission                         Status = 16
	StatusTopicNotExist                        Status = 17
	StatusTopicExistAlready                    Status = 18
	StatusPullNotFound                         Status = 19
	StatusPullRetryImmediately                 Status = 20
	StatusPullOffsetMoved                      Status = 21
	StatusQueryNotFound                        Status = 22
	StatusSubscriptionParseFailed              Status = 23
	StatusSubscriptionNotExist                 Status = 24
	StatusSubscriptionNotLatest                Status = 25
	StatusSubscriptionGroupNotExist            Status = 26
	StatusFilterDataNotExist                   Status = 27
	StatusFilterDataNotLatest                  Status = 28
	StatusInvalidParameter                     Status = 29
	StatusTransactionShouldCommit              Status = 200
	StatusTransactionShouldRollback            Status = 201
	StatusTransactionStateUnknow               Status = 202
	StatusTransactionStateGroupWrong           Status = 203
	StatusNoBuyerID                            Status = 204
	StatusNotInCurrentUnit                     Status = 205
	StatusConsumerNotOnline                    Status = 206
	StatusConsumeMsgTimeout                    Status = 207
	StatusNoMessage                            Status = 208
	StatusPollingFull                          Status = 209
	StatusPollingTimeout                       Status = 210
	StatusBrokerNotExist                       Status = 211
	StatusBrokerDispatchNotComplete            Status = 212
	StatusBroadcastConsumption                 Status = 213
	StatusFlowControl                          Status = 215
	StatusNotLeaderForQueue                    Status = 501
	StatusIllegalOperation                     Status = 604
	StatusGoAway                               Status = 1500
	StatusControllerFencedMasterEpoch          Status = 2000
	StatusControllerFencedSyncStateSetEpoch    Status = 2001
	StatusControllerInvalidMaster              Status = 2002
	StatusControllerInvalidReplicas            Status = 2003
	StatusControllerMasterNotAvailable         Status = 2004
	StatusControllerInvalidRequest             Status = 2005
	StatusControllerBrokerNotAlive             Status = 2006
	StatusControllerNotLeader                  Status = 2007
	StatusControllerBrokerMetadataNotExist     Status = 2008
	StatusControllerInvalidCleanBrokerMetadata Status = 2009
	StatusControllerBrokerNeedToBeRegistered   Status = 2010
	StatusControllerMasterStillExist           Status = 2011
	StatusControllerElectMasterFailed          Status = 2012
	StatusControllerAlterSyncStateSetFailed    Status = 2013
	StatusControllerBrokerIDInvalid            Status = 2014
	StatusControllerJRaftInternalError         Status = 2015
	StatusControllerBrokerLiveInfoNotExists    Status = 2016
	StatusLMQQuotaExceeded                     Status = 2017
	StatusLiteSubscriptionQuotaExceeded        Status = 2018
	StatusUserNotExist                         Status = 3001
	StatusPolicyNotExist                       Status = 3002
)

var statusNames = map[Status]string{
	-1006: "RPC_TIME_OUT",
	-1004: "RPC_SEND_TO_CHANNEL_FAILED",
	-1002: "RPC_ADDR_IS_NULL",
	-1000: "RPC_UNKNOWN",
	0:     "SUCCESS",
	1:     "SYSTEM_ERROR",
	2:     "SYSTEM_BUSY",
	3:     "REQUEST_CODE_NOT_SUPPORTED",
	4:     "TRANSACTION_FAILED",
	10:    "FLUSH_DISK_TIMEOUT",
	11:    "SLAVE_NOT_AVAILABLE",
	12:    "FLUSH_SLAVE_TIMEOUT",
	13:    "MESSAGE_ILLEGAL",
	14:    "SERVICE_NOT_AVAILABLE",
	15:    "VERSION_NOT_SUPPORTED",
	16:    "NO_PERMISSION",
	17:    "TOPIC_NOT_EXIST",
	18:    "TOPIC_EXIST_ALREADY",
	19:    "PULL_NOT_FOUND",
	20:    "PULL_RETRY_IMMEDIATELY",
	21:    "PULL_OFFSET_MOVED",
	22:    "QUERY_NOT_FOUND",
	23:    "SUBSCRIPTION_PARSE_FAILED",
	24:    "SUBSCRIPTION_NOT_EXIST",
	25:    "SUBSCRIPTION_NOT_LATEST",
	26:    "SUBSCRIPTION_GROUP_NOT_EXIST",
	27:    "FILTER_DATA_NOT_EXIST",
	28:    "FILTER_DATA_NOT_LATEST",
	29:    "INVALID_PARAMETER",
	200:   "TRANSACTION_SHOULD_COMMIT",
	201:   "TRANSACTION_SHOULD_ROLLBACK",
	202:   "TRANSACTION_STATE_UNKNOW",
	203:   "TRANSACTION_STATE_GROUP_WRONG",
	204:   "NO_BUYER_ID",
	205:   "NOT_IN_CURRENT_UNIT",
	206:   "CONSUMER_NOT_ONLINE",
	207:   "CONSUME_MSG_TIMEOUT",
	208:   "NO_MESSAGE",
	209:   "POLLING_FULL",
	210:   "POLLING_TIMEOUT",
	211:   "BROKER_NOT_EXIST",
	212:   "BROKER_DISPATCH_NOT_COMPLETE",
	213:   "BROADCAST_CONSUMPTION",
	215:   "FLOW_CONTROL",
	501:   "NOT_LEADER_FOR_QUEUE",
	604:   "ILLEGAL_OPERATION",
	1500:  "GO_AWAY",
	2000:  "CONTROLLER_FENCED_MASTER_EPOCH",
	2001:  "CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH",
	2002:  "CONTROLLER_INVALID_MASTER",
	2003:  "CONTROLLER_INVALID_REPLICAS",
	2004:  "CONTROLLER_MASTER_NOT_AVAILABLE",
	2005:  "CONTROLLER_INVALID_REQUEST",
	2006:  "CONTROLLER_BROKER_NOT_ALIVE",
	2007:  "CONTROLLER_NOT_LEADER",
	2008:  "CONTROLLER_BROKER_METADATA_NOT_EXIST",
	2009:  "CONTROLLER_INVALID_CLEAN_BROKER_METADATA",
	2010:  "CONTROLLER_BROKER_NEED_TO_BE_REGISTERED",
	2011:  "CONTROLLER_MASTER_STILL_EXIST",
	2012:  "CONTROLLER_ELECT_MASTER_FAILED",
	2013:  "CONTROLLER_ALTER_SYNC_STATE_SET_FAILED",
	2014:  "CONTROLLER_BROKER_ID_INVALID",
	2015:  "CONTROLLER_JRAFT_INTERNAL_ERROR",
	2016:  "CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS",
	2017:  "LMQ_QUOTA_EXCEEDED",
	2018:  "LITE_SUBSCRIPTION_QUOTA_EXCEEDED",
	3001:  "USER_NOT_EXIST",
	3002:  "POLICY_NOT_EXIST",
}
