package nameserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// Bounds of what peers can make a table hold.
const (
	maxBrokers = 20_000
	maxTopics  = 4_000_000
)

// defaultTimeout is how long a broker that names no time of its own may be silent, in ms.
const defaultTimeout = 120_000

// Rules are the options that a Table obeys.
type Rules struct {
	ActingMaster bool // routes show the lowest slave of a broker without master as its master
	DeleteTopics bool // a topic that is absent from a registration is removed from that broker
}

// Table knows which brokers there are and which topics they hold. It is a pure value: it takes the time from its
// caller, in ms of a clock that never goes back, and returns what there is to do. It is not safe for concurrent use.
// A broker is a name with up to one address for each id; id 0 is its master.
type Table struct {
	Rules Rules

	clusters map[string]map[string]bool                 // names of brokers by cluster
	brokers  map[string]*broker                         // by name
	queues   map[string]map[string]command.QueueData    // by topic and name of broker
	mappings map[string]map[string]command.TopicMapping // of static topics, the same
	lives    map[place]*life
	version  uint64
}

// broker is the members of one name.
type broker struct {
	addrs        map[skua.BrokerID]string
	cluster      string
	actingMaster bool
	zone         string
}

// place is where one member of a broker is.
type place struct{ cluster, addr string }

// life is what is known of one member as long as it gives signs of life.
type life struct {
	name          string
	id            skua.BrokerID
	seen          int64 // ms
	timeout       int64 // ms
	version       command.DataVersion
	conn          any
	haAddr        string
	filterServers []string
}

// NewTable returns an empty table.
func NewTable(r Rules) *Table {
	return &Table{
		Rules:    r,
		clusters: make(map[string]map[string]bool),
		brokers:  make(map[string]*broker),
		queues:   make(map[string]map[string]command.QueueData),
		mappings: make(map[string]map[string]command.TopicMapping),
		lives:    make(map[place]*life),
	}
}

// Version changes whenever a route may have changed.
func (t *Table) Version() uint64 { return t.version }

// Registration is what a broker tells about itself.
type Registration struct {
	command.BrokerIdentity
	HAAddr       string
	Zone         string
	Timeout      int64 // ms that the broker may be silent; 0: 120,000
	ActingMaster *bool // nil: the broker is older than the rule, and its slaves hold no topics
	Body         *command.RegisterBrokerBody
	Conn         any // the connection; ConnClosed knows the broker by it
}

// Registered is the outcome of a registration.
type Registered struct {
	MasterAddr string  // for slaves, if there is a master
	HAAddr     string  // of that master
	NewAddr    bool    // the address was not there before
	Ignored    bool    // another address holds the id, with later data
	Notice     *Notice // what the other members are to be told; nil for nothing
}

// Errors of Register.
var (
	ErrUnknownBroker = errors.New("one topic of a broker that is not registered")
	ErrFull          = errors.New("the name server is full")
)

// Register takes a registration in. The error is ErrUnknownBroker, ErrFull or tells which field is bad. The table keeps
// r.Body.
func (t *Table) Register(now int64, r *Registration) (Registered, error) {
	if err := t.check(r); err != nil {
		return Registered{}, err
	}
	here := place{r.ClusterName, r.BrokerAddr}
	if l := t.lives[here]; l != nil && l.name != r.BrokerName { // it was given another name
		t.Unregister(command.BrokerIdentity{BrokerName: l.name, BrokerAddr: here.addr, ClusterName: here.cluster})
	}
	b, lowest := t.brokers[r.BrokerName], skua.BrokerID(0)
	if b == nil {
		b = &broker{addrs: make(map[skua.BrokerID]string), cluster: r.ClusterName}
	} else {
		lowest = b.lowest()
	}
	topics := r.Body.Topics.Topics
	held, ok := b.addrs[r.BrokerID]
	if ok && held != r.BrokerAddr && t.stateOf(place{r.ClusterName, held}) > r.Body.Topics.DataVersion.StateVersion {
		delete(t.lives, here)
		return Registered{Ignored: true}, nil
	}
	if !ok && len(topics) == 1 {
		return Registered{}, ErrUnknownBroker
	}
	t.join(b, r)
	first := held == "" // of this id
	out := Registered{NewAddr: held != r.BrokerAddr}
	old := t.lives[here]
	changed := first || old == nil || old.version != r.Body.Topics.DataVersion
	if r.BrokerID == skua.Master || r.ActingMaster != nil && r.BrokerID == b.lowest() {
		t.takeTopics(b, r, changed)
	}
	t.live(now, here, r)
	if r.BrokerID != skua.Master {
		if m := t.lives[place{r.ClusterName, b.addrs[skua.Master]}]; m != nil {
			out.MasterAddr, out.HAAddr = b.addrs[skua.Master], m.haAddr
		}
	}
	if len(b.addrs) > 1 && r.BrokerID < lowest {
		out.Notice = b.notice(r.BrokerName, "", r.HAAddr)
	}
	return out, nil
}

func (t *Table) check(r *Registration) error {
	switch {
	case r.BrokerName == "":
		return errors.New("brokerName is missing")
	case r.ClusterName == "":
		return errors.New("clusterName is missing")
	case r.BrokerAddr == "":
		return errors.New("brokerAddr is missing")
	case r.BrokerID < 0:
		return fmt.Errorf("brokerId %d is negative", r.BrokerID)
	case len(t.lives) >= maxBrokers && t.lives[place{r.ClusterName, r.BrokerAddr}] == nil:
		return fmt.Errorf("%w: it holds %d brokers", ErrFull, maxBrokers)
	case len(t.queues)+len(r.Body.Topics.Topics) > maxTopics:
		return fmt.Errorf("%w: it holds %d topics", ErrFull, len(t.queues))
	}
	return nil
}

// stateOf is the state version of the member at p.
func (t *Table) stateOf(p place) int64 {
	if l := t.lives[p]; l != nil {
		return l.version.StateVersion
	}
	return 0
}

// join puts the member into its broker and cluster. An address has one id only: a slave that became master loses its
// old one.
func (t *Table) join(b *broker, r *Registration) {
	acting := r.ActingMaster != nil && *r.ActingMaster
	before := len(b.addrs)
	maps.DeleteFunc(b.addrs, func(id skua.BrokerID, addr string) bool { return addr == r.BrokerAddr && id != r.BrokerID })
	if len(b.addrs) != before || b.addrs[r.BrokerID] != r.BrokerAddr || b.actingMaster != acting || b.zone != r.Zone {
		t.version++
	}
	b.addrs[r.BrokerID] = r.BrokerAddr
	b.actingMaster, b.zone = acting, r.Zone
	t.brokers[r.BrokerName] = b
	names := t.clusters[r.ClusterName]
	if names == nil {
		names = make(map[string]bool)
		t.clusters[r.ClusterName] = names
	}
	names[r.BrokerName] = true
}

// takeTopics takes the topics of a registration over. changed is whether all of them may have changed.
func (t *Table) takeTopics(b *broker, r *Registration, changed bool) {
	body := &r.Body.Topics
	// One topic alone is a change to a known broker, not all that it has. Its version can be known already, from another change
	// that was made at the same time.
	one := len(body.Topics) == 1
	changed = changed || one
	if t.Rules.DeleteTopics && len(body.MappingInfos) == 0 && !one {
		for topic := range t.queues {
			if _, ok := body.Topics[topic]; !ok {
				t.dropQueue(topic, r.BrokerName)
			}
		}
	}
	for name, c := range body.Topics {
		if _, ok := t.queues[name][r.BrokerName]; ok && !changed {
			continue
		}
		if r.BrokerID != skua.Master && b.actingMaster {
			c.Perm &^= skua.PermWrite
		}
		t.putQueue(name, command.QueueData{BrokerName: r.BrokerName, Perm: c.Perm, ReadQueues: c.ReadQueues,
			WriteQueues: c.WriteQueues, TopicSysFlag: c.SysFlag})
	}
	if !changed {
		return
	}
	for topic, m := range body.MappingInfos {
		if t.mappings[topic] == nil {
			t.mappings[topic] = make(map[string]command.TopicMapping)
		}
		t.mappings[topic][r.BrokerName] = m
		t.version++
	}
}

func (t *Table) putQueue(topic string, q command.QueueData) {
	of := t.queues[topic]
	if of == nil {
		of = make(map[string]command.QueueData)
		t.queues[topic] = of
	}
	if of[q.BrokerName] != q {
		of[q.BrokerName] = q
		t.version++
	}
}

// dropQueue removes a topic from a broker.
func (t *Table) dropQueue(topic, name string) {
	of := t.queues[topic]
	if _, ok := of[name]; !ok {
		return
	}
	t.version++
	delete(of, name)
	delete(t.mappings[topic], name)
	if len(of) == 0 {
		delete(t.queues, topic)
		delete(t.mappings, topic)
	}
}

func (t *Table) live(now int64, here place, r *Registration) {
	l := t.lives[here]
	if l == nil {
		l = new(life)
		t.lives[here] = l
	}
	if !slices.Equal(l.filterServers, r.Body.FilterServers) {
		t.version++
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	*l = life{name: r.BrokerName, id: r.BrokerID, seen: now, timeout: timeout, version: r.Body.Topics.DataVersion,
		conn: r.Conn, haAddr: r.HAAddr, filterServers: r.Body.FilterServers}
}

// lowest is the lowest id of a broker with members.
func (b *broker) lowest() skua.BrokerID {
	return slices.Min(slices.Collect(maps.Keys(b.addrs)))
}

// Seen notes a sign of life of the member at addr. Members that are not registered are ignored.
func (t *Table) Seen(now int64, cluster, addr string) {
	if l := t.lives[place{cluster, addr}]; l != nil {
		l.seen = now
	}
}

// DataVersion is the version of the topics of the member at addr, and whether it is registered.
func (t *Table) DataVersion(cluster, addr string) (command.DataVersion, bool) {
	if l := t.lives[place{cluster, addr}]; l != nil {
		return l.version, true
	}
	return command.DataVersion{}, false
}
