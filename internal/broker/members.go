package broker

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// Questions to the table of clients. None changes it.

// outlook returns what a consumer group wants, nil if it has no member. It does not allocate.
func (c *clients) outlook(group []byte) *consumerOutlook {
	c.mu.RLock()
	g := c.consumers[string(group)]
	c.mu.RUnlock()
	if g == nil {
		return nil
	}
	return g.view.Load()
}

// consumerIDs returns the client ids of a group, sorted. An id that several connections use, as during a reconnection,
// stands there once: twice, it would get a part of the queues that nobody consumes.
func (c *clients) consumerIDs(group string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.consumers[group]
	if g == nil {
		return nil
	}
	ids := make([]string, 0, len(g.members))
	for _, m := range g.members {
		ids = append(ids, m.id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// idOf returns the client id of a connection that consumes for a group, "" if it does not.
func (c *clients) idOf(conn *wire.Conn, group []byte) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if m := c.members[conn]; m != nil && m.consumers[string(group)] != nil {
		return m.id
	}
	return ""
}

// consumerConns returns the connections of a consumer group.
func (c *clients) consumerConns(group string) []*wire.Conn {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.consumers[group]
	if g == nil {
		return nil
	}
	return slices.Collect(maps.Keys(g.members))
}

// producer returns a connection of a producer group, nil if it has none: that of the address from if it is still there, else
// one from the same host, else any.
func (c *clients) producer(group []byte, from netip.AddrPort) *wire.Conn {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var best *wire.Conn
	for conn := range c.producers[string(group)] {
		switch at := conn.RemoteAddrPort(); {
		case at == from:
			return conn
		case best == nil, at.Addr() == from.Addr():
			best = conn
		}
	}
	return best
}

// producerCount is the number of producers of a group.
func (c *clients) producerCount(group []byte) int {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.producers[string(group)])
}

// contact is a client that can be asked something.
type contact struct {
	conn     *wire.Conn
	id       string
	language command.Language
	version  int32
}

// contact finds a consumer of a group by client id.
func (c *clients) contact(group, id string) (contact, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.consumers[group] == nil {
		return contact{}, false
	}
	var newest *member
	for _, m := range c.ids[id] {
		if m.consumers[group] != nil && (newest == nil || m.seen.After(newest.seen)) {
			newest = m
		}
	}
	if newest == nil {
		return contact{}, false
	}
	return contact{newest.conn, newest.id, newest.language, newest.version}, true
}

// requester finds a producer of any group by client id. Of several connections it is the one that was heard of last.
func (c *clients) requester(id string) (contact, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var newest *member
	for _, m := range c.ids[id] {
		if len(m.producers) > 0 && (newest == nil || m.seen.After(newest.seen)) {
			newest = m
		}
	}
	if newest == nil {
		return contact{}, false
	}
	return contact{newest.conn, newest.id, newest.language, newest.version}, true
}

// contacts returns the consumers of a group.
func (c *clients) contacts(group string) []contact {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.consumers[group]
	if g == nil {
		return nil
	}
	var all []contact
	for _, m := range g.members {
		all = append(all, contact{m.conn, m.id, m.language, m.version})
	}
	slices.SortFunc(all, func(a, b contact) int { return strings.Compare(a.id, b.id) })
	return all
}

func (m *member) connection() command.Connection {
	return command.Connection{Addr: m.addr, ClientID: m.id, Language: m.language, Version: m.version}
}

func byAddr(a, b command.Connection) int { return strings.Compare(a.Addr, b.Addr) }

// consumerConnection describes the members of a consumer group; false if there are none.
func (c *clients) consumerConnection(group string) (command.ConsumerConnection, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	g := c.consumers[group]
	if g == nil {
		return command.ConsumerConnection{}, false
	}
	view := g.view.Load()
	out := command.ConsumerConnection{FromWhere: view.from, Type: view.kind, Model: view.model,
		Subscriptions: make(map[string]command.SubscriptionData, len(view.topics))}
	for topic, in := range view.topics {
		out.Subscriptions[topic] = in.SubscriptionData
	}
	for _, m := range g.members {
		out.Connections = append(out.Connections, m.connection())
	}
	slices.SortFunc(out.Connections, byAddr)
	return out, true
}

// producerConnection describes the members of a producer group, nil if there are none.
func (c *clients) producerConnection(group string) []command.Connection {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []command.Connection
	for _, m := range c.producers[group] {
		out = append(out, m.connection())
	}
	slices.SortFunc(out, byAddr)
	return out
}

// producerTable describes all producers.
func (c *clients) producerTable() command.ProducerTable {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := command.ProducerTable{Groups: make(map[string][]command.ProducerInfo, len(c.producers))}
	for group, members := range c.producers {
		for _, m := range members {
			out.Groups[group] = append(out.Groups[group], command.ProducerInfo{ClientID: m.id, Language: m.language,
				LastUpdate: m.producers[group].UnixMilli(), RemoteIP: "/" + m.addr, Version: m.version})
		}
	}
	return out
}

// groupsOf returns the consumer groups that subscribe to a topic now, sorted.
func (c *clients) groupsOf(topic string) []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var groups []string
	for name, g := range c.consumers {
		if g.view.Load().topics[topic] != nil {
			groups = append(groups, name)
		}
	}
	slices.Sort(groups)
	return groups
}

// crowd is how many clients of a kind there are.
type crowd struct {
	group    string // of consumers only
	kind     command.ConsumeType
	language command.Language
	version  int32
	clients  int
}

// census counts producers, once for each of their groups, and consumers, by language, version and group.
func (c *clients) census() (producers, consumers []crowd) {
	c.mu.RLock()
	producing, consuming := map[crowd]int{}, map[crowd]int{}
	for _, m := range c.members {
		producing[crowd{language: m.language, version: m.version}] += len(m.producers)
	}
	for _, g := range c.consumers {
		kind := g.view.Load().kind
		for _, m := range g.members {
			consuming[crowd{group: g.name, kind: kind, language: m.language, version: m.version}]++
		}
	}
	c.mu.RUnlock()
	return listed(producing), listed(consuming)
}

// listed are the counts of crowds that have anybody, sorted.
func listed(counts map[crowd]int) []crowd {
	all := make([]crowd, 0, len(counts))
	for c, n := range counts {
		if c.clients = n; n > 0 {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b crowd) int {
		return cmp.Or(strings.Compare(a.group, b.group), cmp.Compare(a.language, b.language), cmp.Compare(a.version, b.version))
	})
	return all
}

// subscribed are the topics that groups with members subscribe to, sorted by group.
func (c *clients) subscribed() []groupKey {
	c.mu.RLock()
	var all []groupKey
	for name, g := range c.consumers {
		for topic := range g.view.Load().topics {
			all = append(all, groupKey{topic, name})
		}
	}
	c.mu.RUnlock()
	slices.SortFunc(all, func(a, b groupKey) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.topic, b.topic))
	})
	return all
}
