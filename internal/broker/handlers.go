package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// handlers says which function serves a request code. A function stands in the file named after its feature. It runs on
// the connection's goroutine and must not block: what may take long goes through inBackground or answers later by
// Frame.Call. Codes that are not here are answered REQUEST_CODE_NOT_SUPPORTED.
var handlers = map[command.Code]func(*Broker, *wire.Frame){
	command.SendMessage:      (*Broker).send,
	command.SendMessageV2:    (*Broker).send,
	command.SendBatchMessage: (*Broker).send,
	command.RecallMessage:    (*Broker).recall,

	command.SendReplyMessage:   (*Broker).takeReply,
	command.SendReplyMessageV2: (*Broker).takeReply,

	command.EndTransaction:         (*Broker).endTransaction,
	command.ResumeCheckHalfMessage: reading((*Broker).resumeHalf),

	command.PullMessage:     (*Broker).pull,
	command.LitePullMessage: (*Broker).pull,

	command.QueryConsumerOffset:     (*Broker).queryOffset,
	command.UpdateConsumerOffset:    (*Broker).updateOffset,
	command.GetMaxOffset:            (*Broker).maxOffset,
	command.GetMinOffset:            (*Broker).minOffset,
	command.SearchOffsetByTimestamp: inBackground((*Broker).offsetByTime),
	command.GetEarliestMsgStoretime: inBackground((*Broker).earliestTime),
	command.GetAllConsumerOffset:    inBackground((*Broker).allOffsets),

	command.UpdateAndCreateTopic:         inBackground((*Broker).updateTopic),
	command.UpdateAndCreateTopicList:     inBackground((*Broker).updateTopics),
	command.UpdateAndCreateStaticTopic:   inBackground((*Broker).updateStaticTopic),
	command.DeleteTopicInBroker:          inBackground((*Broker).deleteTopic),
	command.GetTopicConfig:               (*Broker).topicConfig,
	command.GetAllTopicConfig:            inBackground((*Broker).allTopics),
	command.GetSystemTopicListFromBroker: (*Broker).systemTopics,

	command.UpdateAndCreateSubscriptiongroup:     inBackground((*Broker).updateGroup),
	command.UpdateAndCreateSubscriptiongroupList: inBackground((*Broker).updateGroups),
	command.DeleteSubscriptiongroup:              inBackground((*Broker).deleteGroup),
	command.GetSubscriptiongroupConfig:           (*Broker).groupConfig,
	command.GetAllSubscriptiongroupConfig:        inBackground((*Broker).allGroups),
	command.UpdateAndGetGroupForbidden:           inBackground((*Broker).groupForbidden),

	command.HeartBeat:              (*Broker).heartbeat,
	command.UnregisterClient:       (*Broker).unregisterClient,
	command.CheckClientConfig:      (*Broker).checkClientConfig,
	command.GetConsumerListByGroup: (*Broker).consumerList,
	command.LockBatchMQ:            (*Broker).lockBatch,
	command.UnlockBatchMQ:          (*Broker).unlockBatch,
	command.ConsumerSendMsgBack:    reading((*Broker).sendBack),

	command.QueryAssignment:          (*Broker).queryAssignment,
	command.SetMessageRequestMode:    inBackground((*Broker).setRequestMode),
	command.GetAllMessageRequestMode: inBackground((*Broker).allRequestModes),

	command.QueryMessage:      reading((*Broker).queryMessage),
	command.ViewMessageByID:   reading((*Broker).viewMessage),
	command.QueryConsumeQueue: inBackground((*Broker).queryQueue),

	command.GetBrokerRuntimeInfo: inBackground((*Broker).runtimeInfo),
	command.GetBrokerConfig:      inBackground((*Broker).readSettings),
	command.UpdateBrokerConfig:   inBackground((*Broker).writeSettings),
	command.ViewBrokerStatsData:  (*Broker).viewStats,
	command.GetAllDelayOffset:    inBackground((*Broker).delayOffsets),
	command.GetTimerCheckPoint:   (*Broker).timerCheckpoint,
	command.GetTimerMetrics:      inBackground((*Broker).timerMetrics),

	command.GetConsumerConnectionList:   inBackground((*Broker).consumerConnections),
	command.GetProducerConnectionList:   inBackground((*Broker).producerConnections),
	command.GetAllProducerInfo:          inBackground((*Broker).allProducers),
	command.QueryTopicConsumeByWho:      inBackground((*Broker).topicConsumers),
	command.QueryTopicsByConsumer:       inBackground((*Broker).groupTopics),
	command.QuerySubscriptionByConsumer: inBackground((*Broker).groupSubscription),

	command.GetTopicStatsInfo:         inBackground((*Broker).topicStatus),
	command.GetConsumeStats:           inBackground((*Broker).consumeStats),
	command.GetBrokerConsumeStats:     inBackground((*Broker).allConsumeStats),
	command.QueryConsumeTimeSpan:      inBackground((*Broker).timeSpan),
	command.CloneGroupOffset:          inBackground((*Broker).cloneOffsets),
	command.QueryCorrectionOffset:     inBackground((*Broker).correctionOffsets),
	command.InvokeBrokerToResetOffset: inBackground((*Broker).resetOffset),

	command.CleanExpiredConsumequeue: inBackground((*Broker).cleanQueues),
	command.DeleteExpiredCommitLog:   inBackground((*Broker).deleteExpired),
	command.CleanUnusedTopic:         inBackground((*Broker).cleanUnusedTopics),

	command.GetConsumerRunningInfo:          relayed((*Broker).consumerRunningInfo),
	command.ConsumeMessageDirectly:          relayed((*Broker).consumeDirectly),
	command.InvokeBrokerToGetConsumerStatus: relayed((*Broker).consumerStatus),
}

// notOnFastPort are the codes that the fast port does not serve, as in Java: those that may hold a request back.
var notOnFastPort = map[command.Code]bool{
	command.PullMessage:     true,
	command.LitePullMessage: true,
}

// Limits of requests that run beside their connections.
const (
	adminWorkers     = 16
	relayWorkers     = 64
	maxAdminRequests = 10_000
	coldReaders      = 32
	maxColdReads     = 100_000
)

func (b *Broker) serveMain(req *wire.Frame) {
	serve, ok := handlers[command.Code(req.Code)]
	if !ok {
		notSupported(req)
		return
	}
	serve(b, req)
}

func (b *Broker) serveFast(req *wire.Frame) {
	if notOnFastPort[command.Code(req.Code)] {
		notSupported(req)
		return
	}
	b.serveMain(req)
}

// inBackground makes a handler of one that may block. It runs beside the connection, on a copy of the request.
func inBackground(serve func(*Broker, *wire.Frame)) func(*Broker, *wire.Frame) {
	return func(b *Broker, req *wire.Frame) {
		own := req.Clone()
		b.admin.run(req.Call(), func() { serve(b, own) })
	}
}

// reading is inBackground for requests that read messages, so that reports of administrators delay them not.
func reading(serve func(*Broker, *wire.Frame)) func(*Broker, *wire.Frame) {
	return func(b *Broker, req *wire.Frame) {
		own := req.Clone()
		b.cold.run(req.Call(), func() { serve(b, own) })
	}
}

// relayed is inBackground for requests that wait for a client or a name server, so that slow peers delay no other requests.
func relayed(serve func(*Broker, *wire.Frame)) func(*Broker, *wire.Frame) {
	return func(b *Broker, req *wire.Frame) {
		own := req.Clone()
		b.relays.run(req.Call(), func() { serve(b, own) })
	}
}

// sideline runs work for requests beside their connections, because it may block.
type sideline struct {
	*crew[func()]
	log *slog.Logger
}

// run does work beside the connection of call, which it has to answer. If too much waits already it refuses the request;
// if work panics it answers so, as package wire does for handlers.
func (s sideline) run(call wire.Call, work func()) {
	accepted := s.add(func() {
		defer func() {
			if r := recover(); r != nil {
				s.log.Error("request handler panicked", "code", call.Code, "panic", r, "stack", string(debug.Stack()))
				refuseCall(call, command.StatusSystemError, "%v", r)
			}
		}()
		work()
	})
	if !accepted {
		refuseCall(call, command.StatusSystemBusy, "[OVERLOAD]system busy, start flow control for a while: %d requests of this kind wait already", s.limit)
	}
}

func notSupported(req *wire.Frame) { req.Call().Reply(wire.NotSupported(req.Code)) }

// refuse answers with a status and a remark: Java's first words, then cause and cure.
func refuse(req *wire.Frame, status command.Status, format string, args ...any) {
	refuseCall(req.Call(), status, format, args...)
}

// refuseCall is refuse for a request that is answered later.
func refuseCall(call wire.Call, status command.Status, format string, args ...any) {
	call.Reply(&wire.Response{Status: status, Remark: fmt.Sprintf(format, args...)})
}

// succeed answers with a header, which may be nil, and a body.
func succeed(req *wire.Frame, header any, body []byte) {
	req.Call().Reply(&wire.Response{Header: header, Body: body})
}

// answer answers with a body, which is written as JSON.
func answer(req *wire.Frame, body any) { answerCall(req.Call(), body) }

// answerCall is answer for a request that is answered later.
func answerCall(call wire.Call, body any) { answerWith(call, nil, body) }

// answerWith answers with a header and a body, which is written as JSON.
func answerWith(call wire.Call, header, body any) {
	data, err := fastjson.Marshal(body)
	if err != nil {
		refuseCall(call, command.StatusSystemError, "the answer cannot be encoded: %v", err)
		return
	}
	call.Reply(&wire.Response{Header: header, Body: data})
}

// decode reads the header of a request; it answers and returns false if a field is malformed.
func decode(req *wire.Frame, header any) bool {
	if err := command.Decode(req.Ext, header); err != nil {
		refuse(req, command.StatusSystemError, "%v", err)
		return false
	}
	return true
}

// maxBodyObjects bounds the objects of a body: an empty one of two bytes can become a hundred times as large in memory.
const maxBodyObjects = 100_000

// decodeBody reads the JSON body of a request; it answers and returns false if it is malformed.
func decodeBody(req *wire.Frame, v any) bool {
	if n := bytes.Count(req.Body, []byte("{")) + bytes.Count(req.Body, []byte("null")); n > maxBodyObjects {
		refuse(req, command.StatusInvalidParameter, "the body has %d objects, at most %d are allowed", n, maxBodyObjects)
		return false
	}
	if err := fastjson.Unmarshal(req.Body, v); err != nil {
		refuse(req, command.StatusSystemError, "the body cannot be read: %v", err)
		return false
	}
	return true
}
