package broker

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// Bounds of times around registrations.
const (
	shortestPeriod    = 10 * time.Second
	longestPeriod     = 60 * time.Second
	longestPause      = 2 * time.Second // between those that are asked for
	changeTimeout     = 3 * time.Second // for one topic, while an administrator waits
	unregisterTimeout = 3 * time.Second
)

// registration is what the broker knows of its name servers.
type registration struct {
	soon chan struct{} // capacity 1: register now
	once chan struct{} // closed when each name server has answered or failed once

	mu     sync.Mutex
	states map[string]string        // by address: what went wrong last, "" if nothing did
	turns  map[string]chan struct{} // by address: capacity 1, full while topics are registered there
}

// inTurn calls f when nobody else registers topics with a name server, so that none get there later than newer ones.
func (r *registration) inTurn(ctx context.Context, addr string, f func() error) error {
	r.mu.Lock()
	turn := r.turns[addr]
	if turn == nil {
		turn = make(chan struct{}, 1)
		r.turns[addr] = turn
	}
	r.mu.Unlock()
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
		return f()
	case <-ctx.Done():
		return fmt.Errorf("%s has not answered the registration before this one: %w", addr, ctx.Err())
	}
}

// registerSoon asks for a registration with all name servers. It does not block.
func (b *Broker) registerSoon() {
	select {
	case b.registration.soon <- struct{}{}:
	default:
	}
}

// Registered is closed when each name server has taken the first registration or has failed to, some time after Serve
// has been called.
func (b *Broker) Registered() <-chan struct{} { return b.registration.once }

// keepRegistered registers at once, at intervals, and when asked, until the broker stops. A registration with many topics
// takes a while: those that are asked for take a fifth of the time at most, each with all that has changed.
func (b *Broker) keepRegistered() {
	b.registerAll()
	close(b.registration.once)
	var took time.Duration
	for {
		period := time.Duration(b.options.Load().RegisterNameServerPeriod) * time.Millisecond
		timer := time.NewTimer(min(max(period, shortestPeriod), longestPeriod))
		select {
		case <-b.stop:
			timer.Stop()
			return
		case <-b.registration.soon:
			timer.Reset(min(4*took, longestPause))
			select {
			case <-b.stop:
				timer.Stop()
				return
			case <-timer.C:
			}
		case <-timer.C:
		}
		start := time.Now()
		b.registerAll()
		took = time.Since(start)
	}
}

// registerAll registers all topics with all name servers, and returns when each has answered or failed.
func (b *Broker) registerAll() {
	o := b.options.Load()
	b.registerEach(time.Duration(o.RegisterBrokerTimeoutMills)*time.Millisecond, func(ctx context.Context, addr string) error {
		topics, version := b.topics.all()
		if !o.ForceRegister {
			if lacks, err := b.askVersion(ctx, addr, version); err == nil && !lacks {
				return nil
			}
		}
		return b.register(ctx, addr, topics, version)
	})
}

// registerTopic registers one topic, which has been changed, with all name servers, so that it can be routed to when it returns, if
// they answer in time. A name server that lacks a change from before gets all topics: with the version that comes with this one
// it would take the other for known, too, and never learn of it.
func (b *Broker) registerTopic(name string, v step) {
	b.registerEach(changeTimeout, func(ctx context.Context, addr string) error {
		t := b.topics.find(name)
		if lacks, err := b.askVersion(ctx, addr, v.before); err != nil || lacks || t == nil {
			topics, version := b.topics.all()
			return b.register(ctx, addr, topics, version)
		}
		return b.register(ctx, addr, map[string]command.TopicConfig{name: t.TopicConfig}, v.after)
	})
}

// registerEach is eachNameServer for an f that registers topics: each name server gets them one after the other.
func (b *Broker) registerEach(timeout time.Duration, f func(ctx context.Context, addr string) error) {
	b.eachNameServer(timeout, func(ctx context.Context, addr string) error {
		return b.registration.inTurn(ctx, addr, func() error { return f(ctx, addr) })
	})
}

// eachNameServer calls f for all name servers at the same time and waits for all. What changes in their state is logged.
// Calls end early when the broker stops.
func (b *Broker) eachNameServer(timeout time.Duration, f func(ctx context.Context, addr string) error) {
	ctx, cancel := context.WithTimeout(b.running, timeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, addr := range b.options.Load().nameServers() {
		wait.Go(func() { b.noteState(addr, f(ctx, addr)) })
	}
	wait.Wait()
}

// noteState logs when a name server begins or ceases to answer.
func (b *Broker) noteState(addr string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	r := &b.registration
	r.mu.Lock()
	last, known := r.states[addr]
	r.states[addr] = text
	r.mu.Unlock()
	select {
	case <-b.stop:
		return // what fails now, fails because the broker stops
	default:
	}
	switch {
	case err != nil && (!known || last == ""):
		b.log.Warn("name server does not take the registration; trying again at intervals", "nameServer", addr, "error", err)
	case err == nil && (!known || last != ""):
		b.log.Info("registered with name server", "nameServer", addr, "as", b.addr, "brokerName", b.Name())
	}
}

func (b *Broker) identity() command.BrokerIdentity {
	o := b.options.Load()
	return command.BrokerIdentity{BrokerName: o.BrokerName, BrokerAddr: b.addr, ClusterName: o.BrokerClusterName, BrokerID: skua.BrokerID(o.BrokerID)}
}

// haAddr is where slaves would reach the broker.
func (b *Broker) haAddr() string {
	o := b.options.Load()
	port := int(o.HaListenPort)
	if port == 0 {
		port = int(b.host.Port()) + 1
	}
	return net.JoinHostPort(o.BrokerIP2, strconv.Itoa(port))
}

// register sends topics to a name server, and takes over which topics are ordered.
func (b *Broker) register(ctx context.Context, addr string, topics map[string]command.TopicConfig, version command.DataVersion) error {
	o := b.options.Load()
	wrapper := command.TopicConfigWrapper{DataVersion: version, MappingDataVersion: command.DataVersion{Timestamp: version.Timestamp},
		Topics: permitted(topics, skua.Perm(o.BrokerPermission)), MappingInfos: b.topics.mappings.infos(topics)}
	body, err := command.EncodeRegistration(&command.RegisterBrokerBody{Topics: wrapper}, o.CompressedRegister)
	if err != nil {
		return err
	}
	h := command.RegisterBrokerHeader{BrokerIdentity: b.identity(), HAServerAddr: b.haAddr(), EnableActingMaster: &o.EnableSlaveActingMaster,
		Compressed: o.CompressedRegister, BodyCRC32: command.CRC32(body)}
	if o.EnableSlaveActingMaster {
		h.HeartbeatTimeout = &o.BrokerNotActiveTimeoutMillis
	}
	answer, err := b.ask(ctx, addr, &wire.Request{Code: command.RegisterBroker, Header: &h, Body: body})
	if err != nil {
		return err
	}
	b.takeOrder(answer.Body)
	return nil
}

// permitted returns topics as clients may use them while the broker as a whole permits less.
func permitted(topics map[string]command.TopicConfig, broker skua.Perm) map[string]command.TopicConfig {
	if broker.Readable() && broker.Writable() {
		return topics
	}
	out := make(map[string]command.TopicConfig, len(topics))
	for name, c := range topics {
		c.Perm &= broker
		out[name] = c
	}
	return out
}

// takeOrder marks the topics that a name server lists as ordered.
func (b *Broker) takeOrder(body []byte) {
	var kv command.KVTable
	if len(body) == 0 || fastjson.Unmarshal(body, &kv) != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(kv.Table)) {
		t := b.topics.find(name)
		if t == nil || t.Order {
			continue
		}
		b.setOrder(name, true)
	}
}

// setOrder marks a topic as ordered, or no more. It blocks while the topic is saved.
func (b *Broker) setOrder(name string, order bool) {
	_, err := b.topics.update(name, func(old *command.TopicConfig) (command.TopicConfig, error) {
		if old == nil || old.Order == order {
			return command.TopicConfig{}, errNoChange
		}
		c := *old
		c.Order = order
		return c, nil
	})
	switch err {
	case nil:
		b.log.Info("topic changed", "topic", name, "order", order)
	case errNoChange:
	default:
		b.log.Warn("topic cannot be marked as ordered", "topic", name, "order", order, "error", err)
	}
}

// askVersion asks a name server whether it lacks a version of the topics: whether it has another one, or knows nothing of the broker.
func (b *Broker) askVersion(ctx context.Context, addr string, version command.DataVersion) (lacks bool, err error) {
	body, err := fastjson.Marshal(version)
	if err != nil {
		return false, err
	}
	answer, err := b.ask(ctx, addr, &wire.Request{Code: command.QueryDataVersion, Header: &command.QueryDataVersionHeader{BrokerIdentity: b.identity()}, Body: body})
	if err != nil {
		return false, err
	}
	var h command.QueryDataVersionResponse
	err = command.Decode(answer.Ext, &h)
	return h.Changed, err
}

// ask sends a request to a name server; an answer other than success is an error.
func (b *Broker) ask(ctx context.Context, addr string, r *wire.Request) (*wire.Frame, error) {
	answer, err := b.nameServers.Call(ctx, addr, r)
	if err != nil {
		return nil, err
	}
	if s := command.Status(answer.Code); s != command.StatusSuccess {
		return nil, fmt.Errorf("%s answered %s with %s: %s", addr, r.Code, s, answer.Remark)
	}
	return answer, nil
}

// sendHeartbeats tells all name servers that the broker lives, which is less than a registration.
func (b *Broker) sendHeartbeats() {
	o := b.options.Load()
	id := b.identity()
	h := command.BrokerHeartbeatHeader{ClusterName: id.ClusterName, BrokerAddr: id.BrokerAddr, BrokerName: id.BrokerName, BrokerID: &id.BrokerID}
	b.eachNameServer(time.Duration(o.SendHeartbeatTimeoutMillis)*time.Millisecond, func(ctx context.Context, addr string) error {
		_, err := b.ask(ctx, addr, &wire.Request{Code: command.BrokerHeartbeat, Header: &h})
		return err
	})
}

// unregister takes the broker off the name servers with which it is registered.
func (b *Broker) unregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, unregisterTimeout)
	defer cancel()
	r := &b.registration
	r.mu.Lock()
	states := maps.Clone(r.states)
	r.mu.Unlock()
	var wait sync.WaitGroup
	for addr, trouble := range states {
		if trouble != "" {
			continue
		}
		wait.Go(func() {
			if _, err := b.ask(ctx, addr, &wire.Request{Code: command.UnregisterBroker, Header: &command.UnregisterBrokerHeader{BrokerIdentity: b.identity()}}); err != nil {
				b.log.Warn("name server could not be told that the broker stops", "nameServer", addr, "error", err)
			}
		})
	}
	wait.Wait()
}
