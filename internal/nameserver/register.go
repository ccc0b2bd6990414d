package nameserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

func (s *Server) register(f *wire.Frame) *wire.Response {
	var h command.RegisterBrokerHeader
	if err := command.Decode(f.Ext, &h); err != nil {
		return failed(err)
	}
	if h.BodyCRC32 != 0 && h.BodyCRC32 != command.CRC32(f.Body) {
		return failed(errors.New("crc32 not match"))
	}
	body, err := registration(f)
	if err != nil {
		return failed(fmt.Errorf("register broker failed: %w", err))
	}
	r := &Registration{BrokerIdentity: h.BrokerIdentity, HAAddr: h.HAServerAddr, Zone: h.ZoneName,
		ActingMaster: h.EnableActingMaster, Body: body, Conn: f.Conn()}
	if h.HeartbeatTimeout != nil {
		r.Timeout = *h.HeartbeatTimeout
	}
	f.Conn().SetValue(isBroker{})
	s.mu.Lock()
	out, err := s.table.Register(s.now(), r)
	s.mu.Unlock()
	if err != nil {
		return failed(fmt.Errorf("register broker failed: %w", err))
	}
	s.registered(r, &out)
	answer := &wire.Response{Header: &command.RegisterBrokerResponse{MasterAddr: out.MasterAddr, HAServerAddr: out.HAAddr}}
	if s.options.Load().ReturnOrderTopicConfigToBroker && !out.Ignored {
		if table := s.kv.list(skua.OrderTopicConfigNS); table != nil {
			answer.Body, err = fastjson.Marshal(command.KVTable{Table: table})
		}
	}
	if err != nil {
		return failed(err)
	}
	return answer
}

// registration reads the body of a registration.
func registration(f *wire.Frame) (*command.RegisterBrokerBody, error) {
	if f.Version >= command.V3_0_11 || len(f.Body) == 0 {
		return command.DecodeRegistration(f.Body, f.Version)
	}
	body := new(command.RegisterBrokerBody)
	return body, fastjson.Unmarshal(f.Body, &body.Topics)
}

// registered does what follows from a registration.
func (s *Server) registered(r *Registration, out *Registered) {
	if out.Ignored {
		s.log.Warn("registration ignored: another address has the same id and later data; two brokers claim it",
			"broker", r.BrokerName, "id", r.BrokerID, "addr", r.BrokerAddr)
		return
	}
	if out.NewAddr {
		s.log.Info("broker registered", "broker", r.BrokerName, "id", r.BrokerID, "addr", r.BrokerAddr, "cluster", r.ClusterName)
		s.dial(func(ctx context.Context) { s.reach(ctx, r.BrokerName, r.BrokerAddr) })
	}
	if out.Notice != nil {
		s.tell([]*Notice{out.Notice})
	}
}

func (s *Server) unregister(f *wire.Frame) *wire.Response {
	var h command.UnregisterBrokerHeader
	if err := command.Decode(f.Ext, &h); err != nil {
		return failed(err)
	}
	s.mu.Lock()
	notices := s.table.Unregister(h.BrokerIdentity)
	s.mu.Unlock()
	s.log.Info("broker unregistered", "broker", h.BrokerName, "id", h.BrokerID, "addr", h.BrokerAddr)
	s.tell(notices)
	return new(wire.Response)
}

func (s *Server) heartbeat(f *wire.Frame) *wire.Response {
	s.mu.Lock()
	s.table.Seen(s.now(), f.Ext.String("clusterName"), f.Ext.String("brokerAddr"))
	s.mu.Unlock()
	return new(wire.Response)
}

func (s *Server) queryDataVersion(f *wire.Frame) *wire.Response {
	var h command.QueryDataVersionHeader
	if err := command.Decode(f.Ext, &h); err != nil {
		return failed(err)
	}
	var theirs command.DataVersion
	if len(f.Body) > 0 {
		if err := fastjson.Unmarshal(f.Body, &theirs); err != nil {
			return failed(err)
		}
	}
	s.mu.Lock()
	s.table.Seen(s.now(), h.ClusterName, h.BrokerAddr)
	ours, ok := s.table.DataVersion(h.ClusterName, h.BrokerAddr)
	s.mu.Unlock()
	r := &wire.Response{Header: &command.QueryDataVersionResponse{Changed: !ok || ours != theirs}}
	if !ok {
		return r
	}
	body, err := fastjson.Marshal(ours)
	if err != nil {
		return failed(err)
	}
	r.Body = body
	return r
}
