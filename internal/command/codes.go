package command

// Request codes of RocketMQ 5.5.0. The constants bear the names of RequestCode in Java, without underscores.
const (
	SendMessage                          Code = 10
	PullMessage                          Code = 11
	QueryMessage                         Code = 12
	QueryBrokerOffset                    Code = 13
	QueryConsumerOffset                  Code = 14
	UpdateConsumerOffset                 Code = 15
	UpdateAndCreateTopic                 Code = 17
	UpdateAndCreateTopicList             Code = 18
	GetAllTopicConfig                    Code = 21
	GetTopicConfigList                   Code = 22
	GetTopicNameList                     Code = 23
	UpdateBrokerConfig                   Code = 25
	GetBrokerConfig                      Code = 26
	TriggerDeleteFiles                   Code = 27
	GetBrokerRuntimeInfo                 Code = 28
	SearchOffsetByTimestamp              Code = 29
	GetMaxOffset                         Code = 30
	GetMinOffset                         Code = 31
	GetEarliestMsgStoretime              Code = 32
	ViewMessageByID                      Code = 33
	HeartBeat                            Code = 34
	UnregisterClient                     Code = 35
	ConsumerSendMsgBack                  Code = 36
	EndTransaction                       Code = 37
	GetConsumerListByGroup               Code = 38
	CheckTransactionState                Code = 39
	NotifyConsumerIDsChanged             Code = 40
	LockBatchMQ                          Code = 41
	UnlockBatchMQ                        Code = 42
	GetAllConsumerOffset                 Code = 43
	GetAllDelayOffset                    Code = 45
	CheckClientConfig                    Code = 46
	GetClientConfig                      Code = 47
	GetTimerCheckPoint                   Code = 60
	GetTimerMetrics                      Code = 61
	PutKVConfig                          Code = 100
	GetKVConfig                          Code = 101
	DeleteKVConfig                       Code = 102
	RegisterBroker                       Code = 103
	UnregisterBroker                     Code = 104
	GetRouteinfoByTopic                  Code = 105
	GetBrokerClusterInfo                 Code = 106
	UpdateAndCreateSubscriptiongroup     Code = 200
	GetAllSubscriptiongroupConfig        Code = 201
	GetTopicStatsInfo                    Code = 202
	GetConsumerConnectionList            Code = 203
	GetProducerConnectionList            Code = 204
	WipeWritePermOfBroker                Code = 205
	GetAllTopicListFromNameserver        Code = 206
	DeleteSubscriptiongroup              Code = 207
	GetConsumeStats                      Code = 208
	SuspendConsumer                      Code = 209
	ResumeConsumer                       Code = 210
	ResetConsumerOffsetInConsumer        Code = 211
	ResetConsumerOffsetInBroker          Code = 212
	AdjustConsumerThreadPool             Code = 213
	WhoConsumeTheMessage                 Code = 214
	DeleteTopicInBroker                  Code = 215
	DeleteTopicInNamesrv                 Code = 216
	RegisterTopicInNamesrv               Code = 217
	GetKvlistByNamespace                 Code = 219
	ResetConsumerClientOffset            Code = 220
	GetConsumerStatusFromClient          Code = 221
	InvokeBrokerToResetOffset            Code = 222
	InvokeBrokerToGetConsumerStatus      Code = 223
	GetTopicsByCluster                   Code = 224
	UpdateAndCreateSubscriptiongroupList Code = 225
	QueryTopicConsumeByWho               Code = 300
	RegisterFilterServer                 Code = 301
	RegisterMessageFilterClass           Code = 302
	QueryConsumeTimeSpan                 Code = 303
	GetSystemTopicListFromNS             Code = 304
	GetSystemTopicListFromBroker         Code = 305
	CleanExpiredConsumequeue             Code = 306
	GetConsumerRunningInfo               Code = 307
	QueryCorrectionOffset                Code = 308
	ConsumeMessageDirectly               Code = 309
	SendMessageV2                        Code = 310
	GetUnitTopicList                     Code = 311
	GetHasUnitSubTopicList               Code = 312
	GetHasUnitSubUnunitTopicList         Code = 313
	CloneGroupOffset                     Code = 314
	ViewBrokerStatsData                  Code = 315
	CleanUnusedTopic                     Code = 316
	GetBrokerConsumeStats                Code = 317
	UpdateNamesrvConfig                  Code = 318
	GetNamesrvConfig                     Code = 319
	SendBatchMessage                     Code = 320
	QueryConsumeQueue                    Code = 321
	QueryDataVersion                     Code = 322
	ResumeCheckHalfMessage               Code = 323
	SendReplyMessage                     Code = 324
	SendReplyMessageV2                   Code = 325
	PushReplyMessageToClient             Code = 326
	AddWritePermOfBroker                 Code = 327
	GetAllProducerInfo                   Code = 328
	DeleteExpiredCommitLog               Code = 329
	QueryTopicsByConsumer                Code = 343
	QuerySubscriptionByConsumer          Code = 345
	GetTopicConfig                       Code = 351
	GetSubscriptiongroupConfig           Code = 352
	UpdateAndGetGroupForbidden           Code = 353
	CheckRocksDBCQWriteProgress          Code = 354
	ExportRocksDBConfigToJSON            Code = 355
	LitePullMessage                      Code = 361
	RecallMessage                        Code = 370
	QueryAssignment                      Code = 400
	SetMessageRequestMode                Code = 401
	GetAllMessageRequestMode             Code = 402
	UpdateAndCreateStaticTopic           Code = 513
	GetBrokerMemberGroup                 Code = 901
	AddBroker                            Code = 902
	RemoveBroker                         Code = 903
	BrokerHeartbeat                      Code = 904
	NotifyMinBrokerIDChange              Code = 905
	ExchangeBrokerHAInfo                 Code = 906
	GetBrokerHAStatus                    Code = 907
	ResetMasterFlushOffset               Code = 908
	ControllerAlterSyncStateSet          Code = 1001
	ControllerElectMaster                Code = 1002
	ControllerRegisterBroker             Code = 1003
	ControllerGetReplicaInfo             Code = 1004
	ControllerGetMetadataInfo            Code = 1005
	ControllerGetSyncStateData           Code = 1006
	GetBrokerEpochCache                  Code = 1007
	NotifyBrokerRoleChanged              Code = 1008
	UpdateControllerConfig               Code = 1009
	GetControllerConfig                  Code = 1010
	CleanBrokerData                      Code = 1011
	ControllerGetNextBrokerID            Code = 1012
	ControllerApplyBrokerID              Code = 1013
	BrokerCloseChannelRequest            Code = 1014
	CheckNotActiveBrokerRequest          Code = 1015
	GetBrokerLiveInfoRequest             Code = 1016
	GetSyncStateDataRequest              Code = 1017
	RaftBrokerHeartBeatEventRequest      Code = 1018
	UpdateColdDataFlowCtrConfig          Code = 2001
	RemoveColdDataFlowCtrConfig          Code = 2002
	GetColdDataFlowCtrInfo               Code = 2003
	SetCommitLogReadMode                 Code = 2004
	AuthCreateUser                       Code = 3001
	AuthUpdateUser                       Code = 3002
	AuthDeleteUser                       Code = 3003
	AuthGetUser                          Code = 3004
	AuthListUser                         Code = 3005
	AuthCreateACL                        Code = 3006
	AuthUpdateACL                        Code = 3007
	AuthDeleteACL                        Code = 3008
	AuthGetACL                           Code = 3009
	AuthListACL                          Code = 3010
	SwitchTimerEngine                    Code = 5001
	PopMessage                           Code = 200050
	AckMessage                           Code = 200051
	PeekMessage                          Code = 200052
	ChangeMessageInvisibletime           Code = 200053
	Notification                         Code = 200054
	PollingInfo                          Code = 200055
	PopRollback                          Code = 200056
	PopLiteMessage                       Code = 200070
	LiteSubscriptionCtl                  Code = 200071
	AckLiteMessage                       Code = 200072
	NotifyUnsubscribeLite                Code = 200073
	GetBrokerLiteInfo                    Code = 200074
	GetParentTopicInfo                   Code = 200075
	GetLiteTopicInfo                     Code = 200076
	GetLiteClientInfo                    Code = 200077
	GetLiteGroupInfo                     Code = 200078
	TriggerLiteDispatch                  Code = 200079
	BatchAckMessage                      Code = 200151
)

var codeNames = map[Code]string{
	10:     "SEND_MESSAGE",
	11:     "PULL_MESSAGE",
	12:     "QUERY_MESSAGE",
	13:     "QUERY_BROKER_OFFSET",
	14:     "QUERY_CONSUMER_OFFSET",
	15:     "UPDATE_CONSUMER_OFFSET",
	17:     "UPDATE_AND_CREATE_TOPIC",
	18:     "UPDATE_AND_CREATE_TOPIC_LIST",
	21:     "GET_ALL_TOPIC_CONFIG",
	22:     "GET_TOPIC_CONFIG_LIST",
	23:     "GET_TOPIC_NAME_LIST",
	25:     "UPDATE_BROKER_CONFIG",
	26:     "GET_BROKER_CONFIG",
	27:     "TRIGGER_DELETE_FILES",
	28:     "GET_BROKER_RUNTIME_INFO",
	29:     "SEARCH_OFFSET_BY_TIMESTAMP",
	30:     "GET_MAX_OFFSET",
	31:     "GET_MIN_OFFSET",
	32:     "GET_EARLIEST_MSG_STORETIME",
	33:     "VIEW_MESSAGE_BY_ID",
	34:     "HEART_BEAT",
	35:     "UNREGISTER_CLIENT",
	36:     "CONSUMER_SEND_MSG_BACK",
	37:     "END_TRANSACTION",
	38:     "GET_CONSUMER_LIST_BY_GROUP",
	39:     "CHECK_TRANSACTION_STATE",
	40:     "NOTIFY_CONSUMER_IDS_CHANGED",
	41:     "LOCK_BATCH_MQ",
	42:     "UNLOCK_BATCH_MQ",
	43:     "GET_ALL_CONSUMER_OFFSET",
	45:     "GET_ALL_DELAY_OFFSET",
	46:     "CHECK_CLIENT_CONFIG",
	47:     "GET_CLIENT_CONFIG",
	60:     "GET_TIMER_CHECK_POINT",
	61:     "GET_TIMER_METRICS",
	100:    "PUT_KV_CONFIG",
	101:    "GET_KV_CONFIG",
	102:    "DELETE_KV_CONFIG",
	103:    "REGISTER_BROKER",
	104:    "UNREGISTER_BROKER",
	105:    "GET_ROUTEINFO_BY_TOPIC",
	106:    "GET_BROKER_CLUSTER_INFO",
	200:    "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP",
	201:    "GET_ALL_SUBSCRIPTIONGROUP_CONFIG",
	202:    "GET_TOPIC_STATS_INFO",
	203:    "GET_CONSUMER_CONNECTION_LIST",
	204:    "GET_PRODUCER_CONNECTION_LIST",
	205:    "WIPE_WRITE_PERM_OF_BROKER",
	206:    "GET_ALL_TOPIC_LIST_FROM_NAMESERVER",
	207:    "DELETE_SUBSCRIPTIONGROUP",
	208:    "GET_CONSUME_STATS",
	209:    "SUSPEND_CONSUMER",
	210:    "RESUME_CONSUMER",
	211:    "RESET_CONSUMER_OFFSET_IN_CONSUMER",
	212:    "RESET_CONSUMER_OFFSET_IN_BROKER",
	213:    "ADJUST_CONSUMER_THREAD_POOL",
	214:    "WHO_CONSUME_THE_MESSAGE",
	215:    "DELETE_TOPIC_IN_BROKER",
	216:    "DELETE_TOPIC_IN_NAMESRV",
	217:    "REGISTER_TOPIC_IN_NAMESRV",
	219:    "GET_KVLIST_BY_NAMESPACE",
	220:    "RESET_CONSUMER_CLIENT_OFFSET",
	221:    "GET_CONSUMER_STATUS_FROM_CLIENT",
	222:    "INVOKE_BROKER_TO_RESET_OFFSET",
	223:    "INVOKE_BROKER_TO_GET_CONSUMER_STATUS",
	224:    "GET_TOPICS_BY_CLUSTER",
	225:    "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST",
	300:    "QUERY_TOPIC_CONSUME_BY_WHO",
	301:    "REGISTER_FILTER_SERVER",
	302:    "REGISTER_MESSAGE_FILTER_CLASS",
	303:    "QUERY_CONSUME_TIME_SPAN",
	304:    "GET_SYSTEM_TOPIC_LIST_FROM_NS",
	305:    "GET_SYSTEM_TOPIC_LIST_FROM_BROKER",
	306:    "CLEAN_EXPIRED_CONSUMEQUEUE",
	307:    "GET_CONSUMER_RUNNING_INFO",
	308:    "QUERY_CORRECTION_OFFSET",
	309:    "CONSUME_MESSAGE_DIRECTLY",
	310:    "SEND_MESSAGE_V2",
	311:    "GET_UNIT_TOPIC_LIST",
	312:    "GET_HAS_UNIT_SUB_TOPIC_LIST",
	313:    "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST",
	314:    "CLONE_GROUP_OFFSET",
	315:    "VIEW_BROKER_STATS_DATA",
	316:    "CLEAN_UNUSED_TOPIC",
	317:    "GET_BROKER_CONSUME_STATS",
	318:    "UPDATE_NAMESRV_CONFIG",
	319:    "GET_NAMESRV_CONFIG",
	320:    "SEND_BATCH_MESSAGE",
	321:    "QUERY_CONSUME_QUEUE",
	322:    "QUERY_DATA_VERSION",
	323:    "RESUME_CHECK_HALF_MESSAGE",
	324:    "SEND_REPLY_MESSAGE",
	325:    "SEND_REPLY_MESSAGE_V2",
	326:    "PUSH_REPLY_MESSAGE_TO_CLIENT",
	327:    "ADD_WRITE_PERM_OF_BROKER",
	328:    "GET_ALL_PRODUCER_INFO",
	329:    "DELETE_EXPIRED_COMMITLOG",
	343:    "QUERY_TOPICS_BY_CONSUMER",
	345:    "QUERY_SUBSCRIPTION_BY_CONSUMER",
	351:    "GET_TOPIC_CONFIG",
	352:    "GET_SUBSCRIPTIONGROUP_CONFIG",
	353:    "UPDATE_AND_GET_GROUP_FORBIDDEN",
	354:    "CHECK_ROCKSDB_CQ_WRITE_PROGRESS",
	355:    "EXPORT_ROCKSDB_CONFIG_TO_JSON",
	361:    "LITE_PULL_MESSAGE",
	370:    "RECALL_MESSAGE",
	400:    "QUERY_ASSIGNMENT",
	401:    "SET_MESSAGE_REQUEST_MODE",
	402:    "GET_ALL_MESSAGE_REQUEST_MODE",
	513:    "UPDATE_AND_CREATE_STATIC_TOPIC",
	901:    "GET_BROKER_MEMBER_GROUP",
	902:    "ADD_BROKER",
	903:    "REMOVE_BROKER",
	904:    "BROKER_HEARTBEAT",
	905:    "NOTIFY_MIN_BROKER_ID_CHANGE",
	906:    "EXCHANGE_BROKER_HA_INFO",
	907:    "GET_BROKER_HA_STATUS",
	908:    "RESET_MASTER_FLUSH_OFFSET",
	1001:   "CONTROLLER_ALTER_SYNC_STATE_SET",
	1002:   "CONTROLLER_ELECT_MASTER",
	1003:   "CONTROLLER_REGISTER_BROKER",
	1004:   "CONTROLLER_GET_REPLICA_INFO",
	1005:   "CONTROLLER_GET_METADATA_INFO",
	1006:   "CONTROLLER_GET_SYNC_STATE_DATA",
	1007:   "GET_BROKER_EPOCH_CACHE",
	1008:   "NOTIFY_BROKER_ROLE_CHANGED",
	1009:   "UPDATE_CONTROLLER_CONFIG",
	1010:   "GET_CONTROLLER_CONFIG",
	1011:   "CLEAN_BROKER_DATA",
	1012:   "CONTROLLER_GET_NEXT_BROKER_ID",
	1013:   "CONTROLLER_APPLY_BROKER_ID",
	1014:   "BROKER_CLOSE_CHANNEL_REQUEST",
	1015:   "CHECK_NOT_ACTIVE_BROKER_REQUEST",
	1016:   "GET_BROKER_LIVE_INFO_REQUEST",
	1017:   "GET_SYNC_STATE_DATA_REQUEST",
	1018:   "RAFT_BROKER_HEART_BEAT_EVENT_REQUEST",
	2001:   "UPDATE_COLD_DATA_FLOW_CTR_CONFIG",
	2002:   "REMOVE_COLD_DATA_FLOW_CTR_CONFIG",
	2003:   "GET_COLD_DATA_FLOW_CTR_INFO",
	2004:   "SET_COMMITLOG_READ_MODE",
	3001:   "AUTH_CREATE_USER",
	3002:   "AUTH_UPDATE_USER",
	3003:   "AUTH_DELETE_USER",
	3004:   "AUTH_GET_USER",
	3005:   "AUTH_LIST_USER",
	3006:   "AUTH_CREATE_ACL",
	3007:   "AUTH_UPDATE_ACL",
	3008:   "AUTH_DELETE_ACL",
	3009:   "AUTH_GET_ACL",
	3010:   "AUTH_LIST_ACL",
	5001:   "SWITCH_TIMER_ENGINE",
	200050: "POP_MESSAGE",
	200051: "ACK_MESSAGE",
	200052: "PEEK_MESSAGE",
	200053: "CHANGE_MESSAGE_INVISIBLETIME",
	200054: "NOTIFICATION",
	200055: "POLLING_INFO",
	200056: "POP_ROLLBACK",
	200070: "POP_LITE_MESSAGE",
	200071: "LITE_SUBSCRIPTION_CTL",
	200072: "ACK_LITE_MESSAGE",
	200073: "NOTIFY_UNSUBSCRIBE_LITE",
	200074: "GET_BROKER_LITE_INFO",
	200075: "GET_PARENT_TOPIC_INFO",
	200076: "GET_LITE_TOPIC_INFO",
	200077: "GET_LITE_CLIENT_INFO",
	200078: "GET_LITE_GROUP_INFO",
	200079: "TRIGGER_LITE_DISPATCH",
	200151: "BATCH_ACK_MESSAGE",
}
