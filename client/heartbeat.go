package client

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// heartbeat is the body that tells a broker of the client's producers and consumers; nil if there are none.
func (c *Client) heartbeat() []byte {
	data := command.HeartbeatData{ClientID: c.id, Consumers: []command.ConsumerData{}, Producers: []command.ProducerData{}}
	c.mu.Lock()
	for group := range c.producers {
		data.Producers = append(data.Producers, command.ProducerData{Group: group})
	}
	groups := make([]*member, 0, len(c.groups))
	for _, m := range c.groups {
		groups = append(groups, m)
	}
	c.mu.Unlock()
	for _, m := range groups {
		data.Consumers = append(data.Consumers, m.describe())
	}
	if len(data.Producers)+len(data.Consumers) == 0 {
		return nil
	}
	body, err := fastjson.Marshal(data)
	if err != nil {
		c.log.Error("heartbeat cannot be encoded", "error", err)
		return nil
	}
	return body
}

func (c *Client) heartbeatRequest(body []byte) *wire.Request {
	return &wire.Request{Code: command.HeartBeat, Body: body}
}

// beatAll sends a heartbeat to all brokers of the routes in use and waits for the answers. A broker that does not
// answer is told of in the log once, until it answers again.
func (c *Client) beatAll(ctx context.Context) {
	body := c.heartbeat()
	if body == nil {
		return
	}
	c.eachBroker(func(addr string) {
		_, err := c.call(ctx, "heartbeat", addr, c.heartbeatRequest(body))
		if ctx.Err() == nil {
			c.routes.noteBeat(c.log, addr, err)
		}
	})
}

// unregister tells all brokers that a group of the client has gone.
func (c *Client) unregister(ctx context.Context, h command.UnregisterClientHeader) {
	h.ClientID = c.id
	c.eachBroker(func(addr string) {
		if _, err := c.call(ctx, "unregister", addr, &wire.Request{Code: command.UnregisterClient, Header: &h}); err != nil {
			c.log.Debug("broker could not be told of the end", "group", h.ProducerGroup+h.ConsumerGroup, "error", err)
		}
	})
}

// eachBroker calls f with the address of each broker of the routes in use, at once, and waits.
func (c *Client) eachBroker(f func(addr string)) {
	var wg sync.WaitGroup
	for _, addr := range c.routes.addrs() {
		wg.Go(func() { f(addr) })
	}
	wg.Wait()
}

// describe is the member's part of a heartbeat.
func (m *member) describe() command.ConsumerData {
	d := command.ConsumerData{
		FromWhere: m.start.where(), Type: command.ConsumePassively, Group: m.group,
		Model: command.Clustering, Subscriptions: []command.SubscriptionData{},
	}
	if m.active {
		d.Type = command.ConsumeActively
	}
	if m.broadcast {
		d.Model = command.Broadcasting
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.subs {
		d.Subscriptions = append(d.Subscriptions, s.data())
	}
	slices.SortFunc(d.Subscriptions, func(a, b command.SubscriptionData) int { return cmp.Compare(a.Topic, b.Topic) })
	return d
}

// addProducer counts a producer of group in heartbeats; the first one is announced at once.
func (c *Client) addProducer(p *Producer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.producers[p.o.Group]++
	c.owners[p] = true
	if c.producers[p.o.Group] == 1 { // brokers that are not connected yet hear of it when they are
		c.tasks.start(func() { c.beatAll(c.ctx) })
	}
	return nil
}

// removeProducer takes p out of heartbeats and tells brokers if it was the last one of its group.
func (c *Client) removeProducer(p *Producer) {
	c.mu.Lock()
	c.producers[p.o.Group]--
	last := c.producers[p.o.Group] == 0
	if last {
		delete(c.producers, p.o.Group)
	}
	delete(c.owners, p)
	c.mu.Unlock()
	if last {
		ctx, cancel := context.WithTimeout(context.Background(), c.o.Timeout)
		defer cancel()
		c.unregister(ctx, command.UnregisterClientHeader{ProducerGroup: p.o.Group})
	}
}
