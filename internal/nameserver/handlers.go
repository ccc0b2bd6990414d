package nameserver

import (
	"fmt"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// handlers are the requests that a name server serves.
var handlers = map[command.Code]func(*Server, *wire.Frame) *wire.Response{
	command.PutKVConfig:                   (*Server).putKV,
	command.GetKVConfig:                   (*Server).getKV,
	command.DeleteKVConfig:                (*Server).deleteKV,
	command.GetKvlistByNamespace:          (*Server).listKV,
	command.RegisterBroker:                (*Server).register,
	command.UnregisterBroker:              (*Server).unregister,
	command.BrokerHeartbeat:               (*Server).heartbeat,
	command.QueryDataVersion:              (*Server).queryDataVersion,
	command.GetBrokerMemberGroup:          (*Server).memberGroup,
	command.GetRouteinfoByTopic:           (*Server).route,
	command.GetBrokerClusterInfo:          (*Server).clusterInfo,
	command.WipeWritePermOfBroker:         (*Server).wipeWritePerm,
	command.AddWritePermOfBroker:          (*Server).addWritePerm,
	command.GetAllTopicListFromNameserver: (*Server).allTopics,
	command.GetTopicsByCluster:            (*Server).topicsByCluster,
	command.GetSystemTopicListFromNS:      (*Server).systemTopics,
	command.GetUnitTopicList:              (*Server).unitTopics,
	command.GetHasUnitSubTopicList:        (*Server).unitSubTopics,
	command.GetHasUnitSubUnunitTopicList:  (*Server).unitSubNonUnitTopics,
	command.DeleteTopicInNamesrv:          (*Server).deleteTopic,
	command.RegisterTopicInNamesrv:        (*Server).registerTopic,
	command.UpdateNamesrvConfig:           (*Server).updateConfig,
	command.GetNamesrvConfig:              (*Server).config,
}

// handle answers a request. Nothing here waits for a peer; writing the KV table or the options waits for the disk, but
// holds up only the connection that asked for it.
func (s *Server) handle(f *wire.Frame) {
	h := handlers[command.Code(f.Code)]
	if h == nil {
		f.Call().Reply(wire.NotSupported(f.Code))
		return
	}
	f.Call().Reply(h(s, f))
}

// failed is the answer to a request that went wrong.
func failed(err error) *wire.Response {
	return &wire.Response{Status: command.StatusSystemError, Remark: err.Error()}
}

// answer carries body in the dialect that all versions of clients and brokers read.
func answer(body any) *wire.Response {
	b, err := fastjson.Marshal(body)
	if err != nil {
		return failed(err)
	}
	return &wire.Response{Body: b}
}

func (s *Server) clusterInfo(*wire.Frame) *wire.Response {
	s.mu.RLock()
	info := s.table.Cluster()
	s.mu.RUnlock()
	return answer(info)
}

func (s *Server) memberGroup(f *wire.Frame) *wire.Response {
	var h command.MemberGroupHeader
	if err := command.Decode(f.Ext, &h); err != nil {
		return failed(err)
	}
	s.mu.RLock()
	group := s.table.Members(h.ClusterName, h.BrokerName)
	s.mu.RUnlock()
	return answer(command.BrokerMemberGroupBody{Group: group})
}

func (s *Server) wipeWritePerm(f *wire.Frame) *wire.Response {
	n := s.setPerm(f, func(p skua.Perm) skua.Perm { return p &^ skua.PermWrite })
	return &wire.Response{Header: &command.WipeWritePermResponse{Topics: n}}
}

// addWritePerm sets read and write, whatever was there before, as Java does.
func (s *Server) addWritePerm(f *wire.Frame) *wire.Response {
	n := s.setPerm(f, func(skua.Perm) skua.Perm { return skua.PermRead | skua.PermWrite })
	return &wire.Response{Header: &command.AddWritePermResponse{Topics: n}}
}

func (s *Server) setPerm(f *wire.Frame, change func(skua.Perm) skua.Perm) int32 {
	name := f.Ext.String("brokerName")
	s.mu.Lock()
	n := s.table.SetPerm(name, change)
	s.mu.Unlock()
	s.log.Info("permissions of all topics of a broker changed", "request", command.Code(f.Code), "broker", name, "topics", n)
	return int32(n)
}

// disabled is the answer to requests for lists that are switched off.
func disabled(key string) *wire.Response {
	return failed(fmt.Errorf("disable: %s=false at this name server", key))
}

// topicList answers with topics of which keep says yes to some queues; a nil keep means all.
func (s *Server) topicList(keep func(command.QueueData) bool) *wire.Response {
	s.mu.RLock()
	topics := s.table.Topics(keep)
	s.mu.RUnlock()
	return answer(command.TopicList{Topics: topics})
}

func (s *Server) allTopics(*wire.Frame) *wire.Response {
	if !s.options.Load().EnableAllTopicList {
		return disabled("enableAllTopicList")
	}
	return s.topicList(nil)
}

func (s *Server) topicsByCluster(f *wire.Frame) *wire.Response {
	if !s.options.Load().EnableTopicList {
		return disabled("enableTopicList")
	}
	s.mu.RLock()
	topics := s.table.TopicsOf(f.Ext.String("cluster"))
	s.mu.RUnlock()
	return answer(command.TopicList{Topics: topics})
}

func (s *Server) systemTopics(*wire.Frame) *wire.Response {
	if !s.options.Load().EnableTopicList {
		return disabled("enableTopicList")
	}
	s.mu.RLock()
	list := s.table.SystemTopics()
	s.mu.RUnlock()
	return answer(list)
}

// bySysFlag answers with the topics whose system flags are want among mask.
func (s *Server) bySysFlag(mask, want int32) *wire.Response {
	if !s.options.Load().EnableTopicList {
		return disabled("enableTopicList")
	}
	return s.topicList(func(q command.QueueData) bool { return q.TopicSysFlag&mask == want })
}

func (s *Server) unitTopics(*wire.Frame) *wire.Response {
	return s.bySysFlag(command.TopicUnit, command.TopicUnit)
}

func (s *Server) unitSubTopics(*wire.Frame) *wire.Response {
	return s.bySysFlag(command.TopicUnitSub, command.TopicUnitSub)
}

func (s *Server) unitSubNonUnitTopics(*wire.Frame) *wire.Response {
	return s.bySysFlag(command.TopicUnit|command.TopicUnitSub, command.TopicUnitSub)
}

func (s *Server) deleteTopic(f *wire.Frame) *wire.Response {
	var h command.DeleteTopicHeader
	if err := command.Decode(f.Ext, &h); err != nil {
		return failed(err)
	}
	s.mu.Lock()
	s.table.DeleteTopic(h.Topic, h.ClusterName)
	s.mu.Unlock()
	s.log.Info("topic deleted", "topic", h.Topic, "cluster", h.ClusterName)
	return new(wire.Response)
}

func (s *Server) registerTopic(f *wire.Frame) *wire.Response {
	topic := f.Ext.String("topic")
	if topic == "" {
		return failed(fmt.Errorf("topic is missing"))
	}
	var r command.TopicRoute
	if len(f.Body) > 0 {
		if err := fastjson.Unmarshal(f.Body, &r); err != nil {
			return failed(err)
		}
	}
	s.mu.Lock()
	s.table.AddTopic(topic, r.Queues)
	s.mu.Unlock()
	s.log.Info("topic registered by request", "topic", topic)
	return new(wire.Response)
}

func (s *Server) putKV(f *wire.Frame) *wire.Response {
	h, bad := kvHeader(f)
	if bad != nil {
		return bad
	}
	value := f.Ext.String("value")
	if err := s.kv.put(*h.Namespace, *h.Key, value); err != nil {
		return failed(err)
	}
	s.log.Info("KV value set", "namespace", *h.Namespace, "key", *h.Key)
	return new(wire.Response)
}

func (s *Server) deleteKV(f *wire.Frame) *wire.Response {
	h, bad := kvHeader(f)
	if bad != nil {
		return bad
	}
	if err := s.kv.remove(*h.Namespace, *h.Key); err != nil {
		return failed(err)
	}
	s.log.Info("KV value deleted", "namespace", *h.Namespace, "key", *h.Key)
	return new(wire.Response)
}

// kvHeader reads the header of a change.
func kvHeader(f *wire.Frame) (h command.KVHeader, bad *wire.Response) {
	if err := command.Decode(f.Ext, &h); err != nil {
		return h, failed(err)
	}
	if h.Namespace == nil || h.Key == nil {
		return h, failed(fmt.Errorf("namespace or key is null"))
	}
	return h, nil
}

func (s *Server) getKV(f *wire.Frame) *wire.Response {
	namespace, key := f.Ext.String("namespace"), f.Ext.String("key")
	value, ok := s.kv.get(namespace, key)
	if !ok {
		return &wire.Response{Status: command.StatusQueryNotFound,
			Remark: fmt.Sprintf("No config item, Namespace: %s Key: %s", namespace, key)}
	}
	return &wire.Response{Header: &command.KVResponse{Value: value}}
}

func (s *Server) listKV(f *wire.Frame) *wire.Response {
	namespace := f.Ext.String("namespace")
	table := s.kv.list(namespace)
	if table == nil {
		return &wire.Response{Status: command.StatusQueryNotFound, Remark: "No config item, Namespace: " + namespace}
	}
	return answer(command.KVTable{Table: table})
}
