package nameserver

import (
	"errors"
	"strings"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// dialect is the way that a route is written in.
type dialect int

const (
	fast     dialect = iota // Java's own, for clients of its own age
	standard                // JSON
	dialects
)

func (d dialect) marshal(r *command.TopicRoute) ([]byte, error) {
	if d == standard {
		return fastjson.MarshalStandard(r)
	}
	return fastjson.Marshal(r)
}

// routeCache keeps routes as they are sent, until anything changes that may be part of one.
type routeCache struct {
	mu     sync.RWMutex
	of     edition                     // what the bodies were made of
	bodies [dialects]map[string][]byte // by topic
}

// edition identifies a state of all that routes are made of.
type edition struct {
	table, kv uint64
	options   *Options
}

func (c *routeCache) get(e edition, d dialect, topic []byte) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.of != e {
		return nil
	}
	return c.bodies[d][string(topic)]
}

func (c *routeCache) put(e edition, d dialect, topic string, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != e {
		c.of, c.bodies = e, [dialects]map[string][]byte{{}, {}}
	}
	c.bodies[d][topic] = body
}

func (s *Server) edition() edition {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return edition{s.table.Version(), s.kv.version.Load(), s.options.Load()}
}

func (s *Server) route(f *wire.Frame) *wire.Response {
	options := s.options.Load()
	if wait := int64(options.WaitSecondsForService) * 1000; options.NeedWaitForService && s.now() < wait {
		return failed(errors.New("name server not ready"))
	}
	topic, _ := f.Ext.Get("topic")
	d := fast
	if only, _ := f.Ext.Get("acceptStandardJsonOnly"); f.Version >= command.V4_9_4 || strings.EqualFold(string(only), "true") {
		d = standard
	}
	zone := zoneOf(f)
	e := s.edition() // before the route: a change in between makes the entry stale, never wrong
	if zone == "" {
		if body := s.routes.get(e, d, topic); body != nil {
			return &wire.Response{Body: body}
		}
	}
	r, why := s.find(string(topic), f.Conn(), options)
	if r == nil {
		return &wire.Response{Status: command.StatusTopicNotExist, Remark: why}
	}
	if zone != "" {
		inZone(r, zone)
	}
	body, err := d.marshal(r)
	if err != nil {
		return failed(err)
	}
	if zone == "" {
		s.routes.put(e, d, string(topic), body)
	}
	return &wire.Response{Body: body}
}

// find returns the route of a topic, or why there is none.
func (s *Server) find(topic string, c *wire.Conn, options *Options) (*command.TopicRoute, string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.table.Route(topic)
	if !ok {
		return nil, s.table.WhyNoRoute(topic, c.LocalAddr())
	}
	if options.OrderMessageEnable {
		r.OrderConf, _ = s.kv.get(skua.OrderTopicConfigNS, topic)
	}
	return r, ""
}

// zoneOf is the zone that the client wants its brokers from, "" for any.
func zoneOf(f *wire.Frame) string {
	if mode, _ := f.Ext.Get("__ZONE_MODE"); !strings.EqualFold(string(mode), "true") {
		return ""
	}
	return strings.TrimSpace(f.Ext.String("__ZONE_NAME"))
}
