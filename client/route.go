package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/wire"
)

// route is where the queues of a topic are. It does not change; a newer one takes its place.
type route struct {
	topic    string
	template bool // the topic does not exist yet: this is the way to brokers that will create it
	write    []skua.Queue
	read     []skua.Queue
	brokers  map[string]map[skua.BrokerID]string // by name
	clusters []string                            // of the brokers
	owners   map[skua.Queue]string               // of a static topic: the broker that leads each of its logical queues
}

// newRoute digests what a name server said about topic.
func newRoute(topic string, d *command.TopicRoute) *route {
	r := &route{topic: topic, brokers: map[string]map[skua.BrokerID]string{}}
	for _, b := range d.Brokers {
		r.brokers[b.Name] = b.Addrs
		if !slices.Contains(r.clusters, b.Cluster) {
			r.clusters = append(r.clusters, b.Cluster)
		}
	}
	if len(d.Mappings) > 0 {
		// All queues, also those that nobody leads now: what a sharding key comes to must not change.
		r.owners = static.Owners(topic, d.Mappings)
		r.write = slices.Collect(maps.Keys(r.owners))
		assign.SortQueues(r.write)
		r.read = r.write
		return r
	}
	for _, q := range d.Queues {
		_, master := r.master(q.BrokerName)
		if q.Perm.Writable() && master {
			r.write = appendQueues(r.write, topic, q.BrokerName, q.WriteQueues)
		}
		if q.Perm.Readable() && len(r.brokers[q.BrokerName]) > 0 {
			r.read = appendQueues(r.read, topic, q.BrokerName, q.ReadQueues)
		}
	}
	assign.SortQueues(r.write)
	assign.SortQueues(r.read)
	if ordered := r.ordered(d.OrderConf); len(ordered) > 0 {
		r.write = ordered
	}
	return r
}

// ordered returns the queues that the order configuration of a topic names, in its order: "broker-a:4;broker-b:4". With it the
// number of queues to write to stays what it is while brokers come and go, and so the queue of each sharding key. A broker
// that is not there has its queues all the same; sends to them fail.
func (r *route) ordered(conf string) []skua.Queue {
	var queues []skua.Queue
	for part := range strings.SplitSeq(conf, ";") {
		broker, count, ok := strings.Cut(part, ":")
		n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 32)
		if broker = strings.TrimSpace(broker); broker == "" || !ok || err != nil || n < 0 || n > maxOrderedQueues {
			continue
		}
		queues = appendQueues(queues, r.topic, broker, int32(n))
	}
	return queues
}

// maxOrderedQueues bounds the queues of one broker in an order configuration.
const maxOrderedQueues = 65536

func appendQueues(list []skua.Queue, topic, broker string, n int32) []skua.Queue {
	for id := range n {
		list = append(list, skua.Queue{Topic: topic, Broker: broker, ID: id})
	}
	return list
}

// home is the broker that a queue has to be asked of: for a logical queue the one that leads it, which changes when the queue
// is moved, while the name of the queue stays.
func (r *route) home(q skua.Queue) string {
	if owner, logical := r.owners[q]; logical {
		return owner
	}
	return q.Broker
}

// homeOf is home by the route that the client has.
func (c *Client) homeOf(q skua.Queue) string {
	if !strings.HasPrefix(q.Broker, skua.LogicalBrokerPrefix) {
		return q.Broker
	}
	if r := c.routes.topic(q.Topic).current.Load(); r != nil {
		return r.home(q)
	}
	return q.Broker
}

// master returns the address of the master of a broker name.
func (r *route) master(broker string) (string, bool) {
	addr, ok := r.brokers[broker][skua.Master]
	return addr, ok
}

// addr returns the address of a broker: the one with the id that is asked for, else the master, else any.
func (r *route) addr(broker string, id skua.BrokerID) (string, bool) {
	addrs := r.brokers[broker]
	if addr, ok := addrs[id]; ok {
		return addr, true
	}
	if addr, ok := addrs[skua.Master]; ok {
		return addr, true
	}
	for _, id := range slices.Sorted(maps.Keys(addrs)) {
		return addrs[id], true
	}
	return "", false
}

// nameServers are the addresses of the name servers. One is asked until it fails.
type nameServers struct {
	mu      sync.Mutex // guards current
	list    []string
	current int
}

// order returns the servers in the order in which they are to be asked.
func (n *nameServers) order() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append(slices.Clone(n.list[n.current:]), n.list[:n.current]...)
}

// prefer makes addr the first one to be asked.
func (n *nameServers) prefer(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.current = slices.Index(n.list, addr)
}

// askNameServers sends r to one name server after the other until one answers, whatever it answers.
func (c *Client) askNameServers(ctx context.Context, op string, r *wire.Request) (f *wire.Frame, addr string, err error) {
	failed := &FailedError{Op: op}
	for _, addr := range c.names.order() {
		start := time.Now()
		attempt, cancel := context.WithTimeout(ctx, c.o.Timeout)
		f, err := c.pool.Call(attempt, addr, r)
		cancel()
		if err == nil {
			c.names.prefer(addr)
			return f, addr, nil
		}
		failed.add(addr, start, fmt.Errorf("name server: %w", err))
		failed.Hint = hint(err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, "", failed
}

// routeTable is what the client knows of routes.
type routeTable struct {
	mu     sync.Mutex // guards the following
	topics map[string]*topicRoute
	silent map[string]bool // brokers, by address, that did not answer the last heartbeat
}

// topicRoute is the way to one topic. Whoever fetches it holds busy, so that others wait for the same answer.
type topicRoute struct {
	current atomic.Pointer[route]
	busy    chan struct{}
}

func (t *routeTable) init() {
	t.topics, t.silent = map[string]*topicRoute{}, map[string]bool{}
}

func (t *routeTable) topic(name string) *topicRoute {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.topics[name]
	if e == nil {
		e = &topicRoute{busy: make(chan struct{}, 1)}
		t.topics[name] = e
	}
	return e
}

// known returns the topics that the client has a route to.
func (t *routeTable) known() map[string]*topicRoute {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := map[string]*topicRoute{}
	for name, e := range t.topics {
		if e.current.Load() != nil {
			known[name] = e
		}
	}
	return known
}

// addrs returns the addresses of all brokers of the routes.
func (t *routeTable) addrs() []string {
	set := map[string]bool{}
	for _, e := range t.known() {
		for _, b := range e.current.Load().brokers {
			for _, addr := range b {
				set[addr] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// noteBeat logs when a broker ceases to answer heartbeats, and when it answers again.
func (t *routeTable) noteBeat(log *slog.Logger, addr string, err error) {
	t.mu.Lock()
	was := t.silent[addr]
	t.silent[addr] = err != nil
	t.mu.Unlock()
	switch {
	case err != nil && !was:
		log.Warn("broker does not answer heartbeats", "broker", addr, "error", err)
	case err == nil && was:
		log.Info("broker answers heartbeats again", "broker", addr)
	}
}

// askRoute asks the name servers once for the way to topic.
func (c *Client) askRoute(ctx context.Context, topic string) (*command.TopicRoute, error) {
	if isLight(topic) {
		return c.askLightRoute(ctx, topic)
	}
	op := "finding the route of topic " + topic
	f, addr, err := c.askNameServers(ctx, op, &wire.Request{
		Code: command.GetRouteinfoByTopic, Header: &command.RouteHeader{Topic: topic, AcceptStandardJSONOnly: true},
	})
	if err != nil {
		return nil, err
	}
	if f.Code != 0 {
		return nil, refusal(op, addr, f)
	}
	var d command.TopicRoute
	if err := fastjson.Unmarshal(f.Body, &d); err != nil {
		return nil, fmt.Errorf("%s: name server %s sent what is no route: %w", op, addr, err)
	}
	return &d, nil
}

// fetchRoute asks the name servers for the way to topic, and keeps the answer. Concurrent callers share one question.
func (c *Client) fetchRoute(ctx context.Context, topic string) (*route, error) {
	return c.routes.topic(topic).fetch(ctx, func() (*route, error) {
		d, err := c.askRoute(ctx, topic)
		if err != nil {
			return nil, err
		}
		return newRoute(topic, d), nil
	})
}

// fetch replaces the current route by the result of ask. If another caller just did so, its result is returned.
func (e *topicRoute) fetch(ctx context.Context, ask func() (*route, error)) (*route, error) {
	before := e.current.Load()
	select {
	case e.busy <- struct{}{}:
		defer func() { <-e.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if now := e.current.Load(); now != before {
		return now, nil
	}
	r, err := ask()
	if err == nil {
		e.current.Store(r)
	}
	return r, err
}

// templateQueues is how many queues clients would like a new topic to have.
const templateQueues = 4

// fetchWriteRoute is fetchRoute for a producer: if the topic does not exist, the answer is the way to brokers that
// create it when the first message arrives.
func (c *Client) fetchWriteRoute(ctx context.Context, topic string) (*route, error) {
	r, err := c.fetchRoute(ctx, topic)
	if codeOf(err) != command.StatusTopicNotExist {
		return r, err
	}
	d, templateErr := c.askRoute(ctx, skua.TemplateTopic)
	if templateErr != nil {
		return nil, err // that of the topic, which tells more
	}
	for i := range d.Queues {
		d.Queues[i].WriteQueues = min(d.Queues[i].WriteQueues, templateQueues)
		d.Queues[i].ReadQueues = d.Queues[i].WriteQueues
	}
	return c.routes.topic(topic).fetch(ctx, func() (*route, error) {
		r := newRoute(topic, d)
		r.template = true
		return r, nil
	})
}

// knownWriteRoute returns the way to topic, nil if none is known that has a queue to write to.
func (c *Client) knownWriteRoute(topic string) *route {
	if r := c.routes.topic(topic).current.Load(); r != nil && len(r.write) > 0 {
		return r
	}
	return nil
}

// writeRoute asks for a way to topic that has a queue to write to. It waits until there is one or ctx ends, as brokers
// may be about to start.
func (c *Client) writeRoute(ctx context.Context, topic string) (*route, error) {
	start, pause := time.Now(), 50*time.Millisecond
	for {
		r, err := c.fetchWriteRoute(ctx, topic)
		switch {
		case err == nil && len(r.write) > 0:
			return r, nil
		case err == nil:
			err = fmt.Errorf("topic %s has no queue that can be written to now: its permission forbids it, or no master of its brokers is up", topic)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		case <-ctx.Done():
			return nil, waited(err, start)
		}
	}
}

// waited adds to err how long it was waited for better.
func waited(err error, start time.Time) error {
	return fmt.Errorf("no route after %v: %w", time.Since(start).Round(time.Millisecond), err)
}

// refreshRoutes asks again for all routes in use. What cannot be asked for now stays as it was.
func (c *Client) refreshRoutes(ctx context.Context) {
	for topic, e := range c.routes.known() {
		before := e.current.Load()
		r, err := c.fetchRoute(ctx, topic)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			var refused *Error
			if !errors.As(err, &refused) {
				return // no name server answers; each one tells so in the next request that matters
			}
		case !slices.Equal(before.read, r.read) || !slices.Equal(before.write, r.write) || !maps.Equal(before.owners, r.owners):
			c.log.Debug("route changed", "topic", topic, "read", len(r.read), "write", len(r.write))
			c.kickReaders(topic)
		}
	}
}

// kickReaders has the consumers of topic divide its queues anew.
func (c *Client) kickReaders(topic string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for m := range c.readers {
		if m.subscribed(topic) {
			m.kick()
		}
	}
}
