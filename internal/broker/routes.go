package broker

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/wire"
)

const (
	maxRoutes    = 10_000          // topics whose routes are kept
	routeTimeout = 3 * time.Second // of one name server
)

// routes are the queues of topics on all their brokers, as the name servers tell. Only topics that somebody asks about are
// in it, and only as long as their queues are known.
type routes struct {
	mu     sync.Mutex
	topics map[string]*topicQueues // guarded by mu
}

// topicQueues is what is known of one topic. Whoever asks the name servers holds asking.
type topicQueues struct {
	asking sync.Mutex

	queues []skua.Queue // that can be read, in order; nil if the topic is unknown. Guarded by routes.mu, as is the next
	asked  time.Time
}

// known returns the queues of a topic if they were asked for after since. The slice must not be changed.
func (r *routes) known(topic string, since time.Time) (queues []skua.Queue, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[topic]
	if t == nil || t.asked.Before(since) {
		return nil, false
	}
	return t.queues, true
}

// entry returns the entry of a topic, which it makes if there is none.
func (r *routes) entry(topic string) *topicQueues {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[topic]
	if t == nil {
		if r.topics == nil {
			r.topics = map[string]*topicQueues{}
		}
		for name := range r.topics { // any one: it costs its askers a question more
			if len(r.topics) < maxRoutes {
				break
			}
			delete(r.topics, name)
		}
		t = new(topicQueues)
		r.topics[topic] = t
	}
	return t
}

// note takes over what the name servers said of a topic: queues, or nil if they do not know it.
func (r *routes) note(topic string, t *topicQueues, queues []skua.Queue, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.queues, t.asked = queues, now
	if queues == nil && r.topics[topic] == t {
		delete(r.topics, topic)
	}
}

// knownQueues returns the queues of a topic that can be read, on all brokers and in order, if it need not ask for them. A
// broker without name servers knows its own only, and light queues have no route. nil: there is no such topic. The slice
// must not be changed.
func (b *Broker) knownQueues(topic string) (queues []skua.Queue, ok bool) {
	switch {
	case strings.HasPrefix(topic, skua.LMQPrefix):
		return []skua.Queue{{Topic: topic, Broker: b.Name()}}, true
	case len(b.options.Load().nameServers()) == 0:
		return b.ownQueues(topic), true
	}
	return b.routes.known(topic, b.routesSince())
}

// askedQueues is knownQueues for those that have to be asked for, because what is known of them, if anything, is older than
// loadBalancePollNameServerInterval; when no name server answers it does for once more. It blocks meanwhile.
func (b *Broker) askedQueues(topic string) []skua.Queue {
	t := b.routes.entry(topic)
	t.asking.Lock()
	defer t.asking.Unlock()
	b.routes.mu.Lock()
	queues, asked := t.queues, t.asked
	b.routes.mu.Unlock()
	if !asked.Before(b.routesSince()) {
		return queues // another one has asked meanwhile
	}
	if d, ok := b.askRoute(topic); ok {
		queues = queuesOfRoute(topic, d)
	}
	b.routes.note(topic, t, queues, b.now())
	return queues
}

// routesSince is the time before which what is known of routes is too old.
func (b *Broker) routesSince() time.Time {
	return b.now().Add(-time.Duration(b.options.Load().LoadBalancePollNameServerInterval) * time.Millisecond)
}

// ownQueues are the queues of a topic that can be read here, nil if there is none of that name.
func (b *Broker) ownQueues(topic string) []skua.Queue {
	t := b.topics.find(topic)
	if t == nil {
		return nil
	}
	r := command.TopicRoute{Queues: []command.QueueData{{BrokerName: b.Name(), Perm: t.Perm, ReadQueues: t.ReadQueues}}}
	if t.mapping != nil {
		r.Mappings = map[string]command.TopicMapping{b.Name(): t.mapping.Info()}
	}
	return queuesOfRoute(topic, &r)
}

// queuesOfRoute lists the queues of a route that can be read, in order; nil if there is no route.
func queuesOfRoute(topic string, d *command.TopicRoute) []skua.Queue {
	if d == nil {
		return nil
	}
	queues := []skua.Queue{}
	if len(d.Mappings) > 0 {
		queues = slices.Collect(maps.Keys(static.Owners(topic, d.Mappings)))
		assign.SortQueues(queues)
		return queues
	}
	for _, q := range d.Queues {
		if !q.Perm.Readable() {
			continue
		}
		for id := range min(q.ReadQueues, maxTopicQueues) {
			queues = append(queues, skua.Queue{Topic: topic, Broker: q.BrokerName, ID: id})
		}
	}
	assign.SortQueues(queues)
	return slices.Compact(queues)
}

// askRoute asks one name server after the other for the route of a topic, those first with which the broker is
// registered. d is nil if the topic is unknown; ok tells whether one has answered.
func (b *Broker) askRoute(topic string) (d *command.TopicRoute, ok bool) {
	servers := b.options.Load().nameServers()
	b.registration.mu.Lock()
	troubled := map[string]int{}
	for addr, trouble := range b.registration.states {
		if trouble != "" {
			troubled[addr] = 1
		}
	}
	b.registration.mu.Unlock()
	slices.SortStableFunc(servers, func(x, y string) int { return cmp.Compare(troubled[x], troubled[y]) })
	for _, addr := range servers {
		if d, ok := b.askRouteOf(addr, topic); ok {
			return d, true
		}
	}
	return nil, false
}

// askRouteOf is askRoute for one name server.
func (b *Broker) askRouteOf(addr, topic string) (*command.TopicRoute, bool) {
	ctx, cancel := context.WithTimeout(b.running, routeTimeout)
	defer cancel()
	f, err := b.nameServers.Call(ctx, addr, &wire.Request{
		Code: command.GetRouteinfoByTopic, Header: &command.RouteHeader{Topic: topic, AcceptStandardJSONOnly: true},
	})
	if err != nil {
		return nil, false
	}
	switch command.Status(f.Code) {
	case command.StatusTopicNotExist:
		return nil, true
	case command.StatusSuccess:
		d := new(command.TopicRoute)
		return d, fastjson.Unmarshal(f.Body, d) == nil
	}
	return nil, false
}
