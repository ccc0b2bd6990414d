package broker

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// Limits of what one client can make the table hold.
const (
	maxClientGroups       = 10_000 // producer groups, and as many consumer groups, of one connection
	maxGroupSubscriptions = 10_000 // topics of one consumer of a group
	maxClientName         = 1024   // bytes of a client id or group name
)

// duplicateWindow is how recent another client's heartbeat must be for both to be taken as alive: a beat and some. An
// older one is what a connection left behind that broke unnoticed.
const duplicateWindow = 35 * time.Second

// maxNamedInFinding is how many groups a finding names.
const maxNamedInFinding = 3

// noSignature is the signature of a consumer that has told no subscriptions.
const noSignature = ""

// clients knows the producers and consumers that are connected. It is a table without clock, goroutine or I/O: methods
// take the time and return what is to be done. It is safe for concurrent use; looking up what a group subscribes to
// neither waits for a writer for long nor allocates.
//
// Subscriptions are kept for each member, and a group's are the union of its members', the newest version of each topic
// winning. Java keeps one set for the group, which two members with different subscriptions overwrite by turns.
type clients struct {
	mu        sync.RWMutex
	members   map[*wire.Conn]*member
	ids       map[string]map[*wire.Conn]*member // by client id
	producers map[string]map[*wire.Conn]*member // by group
	consumers map[string]*consumerGroup         // by group
}

// member is a client on one connection.
type member struct {
	conn      *wire.Conn
	addr      string // "ip:port"
	id        string
	language  command.Language
	version   int32
	seen      time.Time            // last heartbeat
	producers map[string]time.Time // groups and their last heartbeat
	consumers map[string]*consumer // by group
}

// consumer is a member's part in one consumer group.
type consumer struct {
	seen          time.Time
	known         bool // whether subscriptions have been told at all
	subscriptions map[string]*command.SubscriptionData
	signature     string // of subscriptions and model: equal means that they mean the same
}

// consumerGroup is a group with at least one member.
type consumerGroup struct {
	name     string
	members  map[*wire.Conn]*member
	variants map[string]int                  // members by signature
	view     atomic.Pointer[consumerOutlook] // of the group as a whole
}

// consumerOutlook is what a consumer group wants, an immutable value.
type consumerOutlook struct {
	kind   command.ConsumeType
	model  command.MessageModel
	from   command.ConsumeFromWhere
	topics map[string]*interest
}

// interest is what a group wants of one topic, an immutable value.
type interest struct {
	command.SubscriptionData
	match func(tagsCode int64) bool // nil: everything, as far as tags go
}

// origin is where a heartbeat came from.
type origin struct {
	conn     *wire.Conn
	addr     string
	language command.Language
	version  int32
}

// outcome is what a change of the table asks for.
type outcome struct {
	changed  []string  // consumer groups whose members are to be told
	produced []string  // producer groups that have got their first member
	findings []finding // to be logged
}

// finding is something that the operator should know, found once for each change.
type finding struct {
	text string
	bad  bool // a warning, else information
}

func newClients() *clients {
	return &clients{
		members:   map[*wire.Conn]*member{},
		ids:       map[string]map[*wire.Conn]*member{},
		producers: map[string]map[*wire.Conn]*member{},
		consumers: map[string]*consumerGroup{},
	}
}

// heartbeat notes what a client said of itself. Groups in skip are passed over. The caller has checked h with
// checkHeartbeat.
func (c *clients) heartbeat(from origin, h *command.HeartbeatData, skip map[string]bool, now time.Time) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out outcome
	m := c.memberLocked(from, h.ClientID, now, &out)
	for _, p := range h.Producers {
		if p.Group == "" {
			continue
		}
		m.producers[p.Group] = now
		if len(c.producers[p.Group]) == 0 {
			out.produced = append(out.produced, p.Group)
		}
		set(c.producers, p.Group, from.conn, m)
	}
	for i := range h.Consumers {
		if d := &h.Consumers[i]; d.Group != "" && !skip[d.Group] {
			c.consumeLocked(m, d, h.WithoutSub && h.Fingerprint != 0, now, &out)
		}
	}
	return out
}

// memberLocked finds or makes the member of a connection. A connection whose client id changes begins anew.
func (c *clients) memberLocked(from origin, id string, now time.Time, out *outcome) *member {
	m := c.members[from.conn]
	if m != nil && m.id != id {
		c.dropLocked(m, out)
		m = nil
	}
	if m == nil {
		for _, other := range c.ids[id] {
			if now.Sub(other.seen) <= duplicateWindow {
				out.findings = append(out.findings, finding{bad: true, text: fmt.Sprintf("client id %s is used by %s and %s%s",
					id, other.addr, from.addr, other.sharedWork())})
				break
			}
		}
		m = &member{conn: from.conn, addr: from.addr, id: id, producers: map[string]time.Time{}, consumers: map[string]*consumer{}}
		c.members[from.conn] = m
		set(c.ids, id, from.conn, m)
	}
	m.language, m.version, m.seen = from.language, from.version, now
	return m
}

// sharedWork tells what goes wrong when another client has m's id.
func (m *member) sharedWork() string {
	if len(m.consumers) == 0 {
		return "; set instanceName or clientIP so that each process has its own"
	}
	var groups []string
	for g := range m.consumers {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	if len(groups) > maxNamedInFinding {
		groups = append(groups[:maxNamedInFinding], "...")
	}
	return fmt.Sprintf("; in consumer groups %v each gets the same queues: set instanceName or clientIP so that each process has its own", groups)
}

// consumeLocked notes that m consumes for a group.
func (c *clients) consumeLocked(m *member, d *command.ConsumerData, keep bool, now time.Time, out *outcome) {
	g := c.consumers[d.Group]
	if g == nil {
		g = &consumerGroup{name: d.Group, members: map[*wire.Conn]*member{}, variants: map[string]int{}}
		g.view.Store(&consumerOutlook{})
		c.consumers[d.Group] = g
	}
	part := m.consumers[d.Group]
	joined := part == nil
	if joined {
		part = &consumer{}
		m.consumers[d.Group] = part
		g.members[m.conn] = m
	}
	part.seen = now
	revised := !keep && part.revise(d)
	if revised {
		g.judge(m, part, signature(d), out)
	}
	if topics := g.renew(d, joined || revised); joined || topics {
		out.changed = append(out.changed, d.Group)
	}
}

// revise takes over the subscriptions of a heartbeat and reports whether they differ from before.
func (p *consumer) revise(d *command.ConsumerData) bool {
	same := p.known && len(p.subscriptions) == len(d.Subscriptions)
	for i := 0; same && i < len(d.Subscriptions); i++ {
		old := p.subscriptions[d.Subscriptions[i].Topic]
		same = old != nil && old.Version == d.Subscriptions[i].Version && old.Expression == d.Subscriptions[i].Expression &&
			old.ExpressionType == d.Subscriptions[i].ExpressionType
	}
	if same {
		return false
	}
	p.known = true
	p.subscriptions = make(map[string]*command.SubscriptionData, len(d.Subscriptions))
	for _, s := range d.Subscriptions {
		p.subscriptions[s.Topic] = &s
	}
	return true
}

// judge compares a member's new signature with those of the others, and finds a conflict when a variant appears or the
// last but one disappears.
func (g *consumerGroup) judge(m *member, part *consumer, sign string, out *outcome) {
	if part.signature == sign {
		return
	}
	agreed := len(g.variants) <= 1
	g.forgetVariant(part.signature)
	if part.signature = sign; sign != noSignature {
		g.variants[sign]++
	}
	switch {
	case g.variants[sign] == 1 && len(g.variants) > 1:
		for _, other := range g.members {
			if o := other.consumers[g.name]; o != part && o.signature != noSignature && o.signature != sign {
				out.findings = append(out.findings, finding{bad: true, text: fmt.Sprintf(
					"consumer group %s: clients subscribe differently, so some queues may be consumed by nobody: %s (%s) has %s, %s (%s) has %s; all members of a group must subscribe to the same topics and tags",
					g.name, m.id, m.addr, sign, other.id, other.addr, o.signature)})
				return
			}
		}
	case !agreed && len(g.variants) == 1:
		out.findings = append(out.findings, g.agreement())
	}
}

func (g *consumerGroup) agreement() finding {
	return finding{text: fmt.Sprintf("consumer group %s: all members subscribe alike again", g.name)}
}

func (g *consumerGroup) forgetVariant(sign string) {
	if sign == noSignature {
		return
	}
	if g.variants[sign]--; g.variants[sign] == 0 {
		delete(g.variants, sign)
	}
}

// renew takes over the settings of a heartbeat (nil: none) and, if members or subscriptions changed, joins the
// subscriptions of all members anew. It reports whether the set of topics changed.
func (g *consumerGroup) renew(d *command.ConsumerData, members bool) (topics bool) {
	old := g.view.Load()
	next := *old
	if d != nil {
		next.kind, next.model, next.from = d.Type, d.Model, d.FromWhere
		if !members && next.kind == old.kind && next.model == old.model && next.from == old.from {
			return false
		}
	}
	if members {
		next.topics, topics = g.join(old.topics)
	}
	g.view.Store(&next)
	return topics
}

// join makes the union of all members' subscriptions, keeping what of old is unchanged.
func (g *consumerGroup) join(old map[string]*interest) (union map[string]*interest, changed bool) {
	newest := map[string]*command.SubscriptionData{}
	for _, m := range g.members {
		for topic, s := range m.consumers[g.name].subscriptions {
			if have := newest[topic]; have == nil || s.Version > have.Version {
				newest[topic] = s
			}
		}
	}
	union = make(map[string]*interest, len(newest))
	for topic, s := range newest {
		have := old[topic]
		if have == nil || have.Version != s.Version || have.Expression != s.Expression || have.ExpressionType != s.ExpressionType {
			changed = changed || have == nil
			have = newInterest(s)
		}
		union[topic] = have
	}
	return union, changed || len(union) != len(old)
}

func newInterest(s *command.SubscriptionData) *interest {
	in := &interest{SubscriptionData: *s}
	if s.Expression == "*" || s.Expression == "" || s.ClassFilterMode || !s.Tagged() {
		return in
	}
	codes := slices.Clone(s.Codes)
	in.match = func(tagsCode int64) bool { return slices.Contains(codes, int32(tagsCode)) }
	return in
}

// signature spells what a consumer subscribes to. Equal signatures mean the same. One that subscribes to nothing, as
// pull consumers that choose their queues themselves, has none.
func signature(d *command.ConsumerData) string {
	if len(d.Subscriptions) == 0 {
		return noSignature
	}
	parts := make([]string, 0, len(d.Subscriptions))
	for i := range d.Subscriptions {
		s := &d.Subscriptions[i]
		part := s.Topic + "=" + cmp.Or(s.Expression, "*")
		if !s.Tagged() {
			part += "(" + s.ExpressionType + ")"
		}
		parts = append(parts, part)
	}
	slices.Sort(parts)
	return fmt.Sprint(parts) + " " + string(d.Model)
}

// unregister takes a client out of a producer group and a consumer group; either may be "".
func (c *clients) unregister(conn *wire.Conn, producerGroup, consumerGroup string) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out outcome
	m := c.members[conn]
	if m == nil {
		return out
	}
	if _, ok := m.producers[producerGroup]; ok {
		c.leaveProducerLocked(m, producerGroup)
	}
	if _, ok := m.consumers[consumerGroup]; ok {
		c.leaveConsumerLocked(m, consumerGroup, &out)
	}
	if len(m.producers)+len(m.consumers) == 0 {
		c.dropLocked(m, &out)
	}
	return out
}

// closed forgets a connection.
func (c *clients) closed(conn *wire.Conn) outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out outcome
	if m := c.members[conn]; m != nil {
		c.dropLocked(m, &out)
	}
	return out
}

// expire forgets what has not been heard of for the given time, and returns the connections of clients that are silent
// altogether, which are to be closed.
func (c *clients) expire(now time.Time, after time.Duration) (outcome, []*wire.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out outcome
	var silent []*wire.Conn
	for conn, m := range c.members {
		if now.Sub(m.seen) > after {
			out.findings = append(out.findings, finding{bad: true, text: fmt.Sprintf("client %s (%s) sent no heartbeat for %v; it is forgotten and its connection closed",
				m.id, m.addr, now.Sub(m.seen).Round(time.Second))})
			c.dropLocked(m, &out)
			silent = append(silent, conn)
			continue
		}
		for group, seen := range m.producers {
			if now.Sub(seen) > after {
				c.leaveProducerLocked(m, group)
			}
		}
		for group, part := range m.consumers {
			if now.Sub(part.seen) > after {
				c.leaveConsumerLocked(m, group, &out)
			}
		}
	}
	return out, silent
}

func (c *clients) dropLocked(m *member, out *outcome) {
	for group := range m.producers {
		c.leaveProducerLocked(m, group)
	}
	for group := range m.consumers {
		c.leaveConsumerLocked(m, group, out)
	}
	delete(c.members, m.conn)
	unset(c.ids, m.id, m.conn)
}

func (c *clients) leaveProducerLocked(m *member, group string) {
	delete(m.producers, group)
	unset(c.producers, group, m.conn)
}

func (c *clients) leaveConsumerLocked(m *member, group string, out *outcome) {
	g, part := c.consumers[group], m.consumers[group]
	delete(m.consumers, group)
	delete(g.members, m.conn)
	if len(g.members) == 0 {
		delete(c.consumers, group)
		return
	}
	disagreed := len(g.variants) > 1
	g.forgetVariant(part.signature)
	if disagreed && len(g.variants) == 1 {
		out.findings = append(out.findings, g.agreement())
	}
	g.renew(nil, true)
	out.changed = append(out.changed, group)
}

func set(m map[string]map[*wire.Conn]*member, key string, conn *wire.Conn, v *member) {
	inner := m[key]
	if inner == nil {
		inner = map[*wire.Conn]*member{}
		m[key] = inner
	}
	inner[conn] = v
}

func unset(m map[string]map[*wire.Conn]*member, key string, conn *wire.Conn) {
	delete(m[key], conn)
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// checkHeartbeat refuses a heartbeat that would make the table hold too much.
func checkHeartbeat(h *command.HeartbeatData) error {
	switch {
	case h.ClientID == "":
		return fmt.Errorf("heartbeat without clientID")
	case len(h.ClientID) > maxClientName:
		return fmt.Errorf("clientID of %d bytes; at most %d are allowed", len(h.ClientID), maxClientName)
	case len(h.Producers) > maxClientGroups || len(h.Consumers) > maxClientGroups:
		return fmt.Errorf("client %s has %d producer groups and %d consumer groups; at most %d each are allowed",
			h.ClientID, len(h.Producers), len(h.Consumers), maxClientGroups)
	}
	for _, p := range h.Producers {
		if len(p.Group) > maxClientName {
			return fmt.Errorf("producer group of %d bytes; at most %d are allowed", len(p.Group), maxClientName)
		}
	}
	for i := range h.Consumers {
		d := &h.Consumers[i]
		if len(d.Group) > maxClientName {
			return fmt.Errorf("consumer group of %d bytes; at most %d are allowed", len(d.Group), maxClientName)
		}
		if len(d.Subscriptions) > maxGroupSubscriptions {
			return fmt.Errorf("consumer group %s subscribes to %d topics; at most %d are allowed", d.Group, len(d.Subscriptions), maxGroupSubscriptions)
		}
	}
	return nil
}
