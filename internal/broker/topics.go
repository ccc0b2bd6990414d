package broker

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/store"
)

// maxTopicQueues bounds the queues of a topic: each costs memory, and files once it is used.
const maxTopicQueues = 65536

// maxTopics bounds the topics that come into being without being created by an administrator.
const maxTopics = 1_000_000

// topic is a topic as it is now. It is immutable; a change of settings makes another one.
type topic struct {
	command.TopicConfig
	bytes    []byte // its name
	queues   []atomic.Pointer[store.Queue]
	store    *store.Store
	counters *topicStats
	mapping  *static.Mapping // of its logical queues, if the topic is static; else nil
	gate     *sync.RWMutex   // with a mapping: see enter
	light    bool            // that of a light queue
	keyed    bool            // messages need a key: of those with the same one the last is kept
	batched  bool            // its queues are of the kind that stores batches whole

	messageType string // what kind of messages it is for
	compacted   bool   // of its messages the last one of each key is kept; not if they are batched
}

// queue returns a queue of the topic; id must be between 0 and below the number of queues.
func (t *topic) queue(id int32) *store.Queue {
	p := &t.queues[id]
	if q := p.Load(); q != nil {
		return q
	}
	switch {
	case t.light:
		return t.lightQueue()
	case t.batched:
		p.CompareAndSwap(nil, t.store.BatchQueue(t.Name, id))
	default:
		p.CompareAndSwap(nil, t.store.Queue(t.Name, id))
	}
	return p.Load()
}

// topics are the topics of a broker, and topics.json. It is safe for concurrent use.
type topics struct {
	saved    *jsonfile.Table[command.TopicConfigTable]
	store    *store.Store
	stats    *stats
	log      *slog.Logger
	mappings *mappings // of static topics; nil until attach

	change sync.Mutex // held while a topic is changed

	mu          sync.RWMutex
	table       map[string]*topic   // guarded by mu
	few         map[string]*topic   // those that are compacted; guarded by mu
	dataVersion command.DataVersion // of the table; guarded by mu

	light bool // topics of light queues exist; set once

	system map[string]bool // names that clients cannot create or delete; set once
}

// openTopics reads the topics of a store from the files, which need not exist.
func openTopics(at jsonfile.Place, s *store.Store, st *stats, log *slog.Logger) (*topics, error) {
	saved, err := jsonfile.OpenTable[command.TopicConfigTable, topicChange](at, savedTopics, log)
	if err != nil {
		return nil, err
	}
	ts := &topics{saved: saved, store: s, stats: st, log: log, table: map[string]*topic{}, few: map[string]*topic{}}
	saved.Read(func(now *command.TopicConfigTable) {
		ts.dataVersion = now.DataVersion
		for name, c := range now.Topics {
			c.Name = name
			if err := checkLoaded(&c); err != nil {
				log.Warn("topic in file is invalid and left out", "file", at.Path, "topic", name, "error", err)
				continue
			}
			ts.setLocked(c)
		}
	})
	return ts, nil
}

// warnOfUnknown warns of topics that have messages but no settings, as when topics.json was lost: nobody can read them.
func (ts *topics) warnOfUnknown(stored []string) {
	var unknown []string
	light := 0
	for _, name := range stored {
		switch {
		case ts.find(name) != nil || ts.isSystem(name):
		case strings.HasPrefix(name, skua.LMQPrefix):
			light++
		default:
			unknown = append(unknown, name)
		}
	}
	if light > 0 {
		ts.log.Warn("light queues have messages in the store, but cannot be read", "queues", light, "cure", "enableLmq=true")
	}
	if len(unknown) == 0 {
		return
	}
	ts.log.Warn("topics have messages in the store but no settings, so they cannot be read", "topics", len(unknown), "such as", unknown[0],
		"cure", "create them again (mqadmin updateTopic) with as many queues as before, or bring back "+ts.saved.Path())
}

func (ts *topics) newTopic(c command.TopicConfig) *topic {
	old, keep := ts.table[c.Name], keepTime(c.Attributes)
	if keep > 0 || old != nil && keepTime(old.Attributes) > 0 {
		ts.store.KeepFor(c.Name, keep)
	}
	t := &topic{
		TopicConfig: c,
		bytes:       []byte(c.Name),
		queues:      make([]atomic.Pointer[store.Queue], max(c.ReadQueues, c.WriteQueues)),
		store:       ts.store,
		counters:    ts.stats.topic([]byte(c.Name)),
		keyed:       c.Attributes[attrCleanupPolicy] == cleanupCompaction,
		batched:     c.Attributes[attrQueueType] == queueBatch,
		messageType: cmp.Or(c.Attributes[attrMessageType], messageNormal),
		compacted:   c.Attributes[attrCleanupPolicy] == cleanupCompaction && c.Attributes[attrQueueType] != queueBatch,
	}
	if t.mapping = ts.mappings.find(c.Name); t.mapping != nil {
		t.gate = new(sync.RWMutex)
	}
	return t
}

// setLocked makes c the settings of a topic.
func (ts *topics) setLocked(c command.TopicConfig) {
	t := ts.newTopic(c)
	ts.table[c.Name] = t
	if t.compacted {
		ts.few[c.Name] = t
	}
}

// compacted returns the topics that are compacted, in no order.
func (ts *topics) compacted() []*topic {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return slices.Collect(maps.Values(ts.few))
}

// batched reports whether the queues of a topic keep batches whole.
func (ts *topics) batched(name string) bool {
	t := ts.find(name)
	return t != nil && t.batched
}

// get returns a topic, nil if there is none. It does not allocate, but for that of a light queue.
func (ts *topics) get(name []byte) *topic {
	if ts.light && bytes.HasPrefix(name, lightPrefix) {
		return ts.lightTopic(string(name))
	}
	ts.mu.RLock()
	t := ts.table[string(name)]
	ts.mu.RUnlock()
	return t
}

// find returns a topic, nil if there is none.
func (ts *topics) find(name string) *topic {
	if ts.isLight(name) {
		return ts.lightTopic(name)
	}
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return ts.table[name]
}

// names returns the names of all topics, sorted.
func (ts *topics) names() []string {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return slices.Sorted(maps.Keys(ts.table))
}

// number is the number of topics.
func (ts *topics) number() int {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return len(ts.table)
}

// all returns the topics and the version of the table.
func (ts *topics) all() (map[string]command.TopicConfig, command.DataVersion) {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	out := make(map[string]command.TopicConfig, len(ts.table))
	for name, t := range ts.table {
		out[name] = t.TopicConfig
	}
	return out, ts.dataVersion
}

// version returns the version of the table.
func (ts *topics) version() command.DataVersion {
	ts.mu.RLock()
	defer ts.mu.RUnlock()
	return ts.dataVersion
}

// put adds or replaces topics. They are saved when it returns without error. It may block.
func (ts *topics) put(configs ...command.TopicConfig) error {
	ts.change.Lock()
	defer ts.change.Unlock()
	_, err := ts.putLocked(configs)
	return err
}

// step is what a change does to the version of the table.
type step struct{ before, after command.DataVersion }

func (ts *topics) putLocked(configs []command.TopicConfig) (v step, err error) {
	err = ts.saved.Update(&topicChange{Put: configs}, func(now *command.TopicConfigTable) {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		v = step{ts.dataVersion, now.DataVersion}
		ts.dataVersion = now.DataVersion
		for _, c := range configs {
			ts.setLocked(c)
		}
	})
	return v, err
}

// renew gives the table another version though nothing in it has changed, so that name servers take over anew what they are told of
// it. It may block.
func (ts *topics) renew() error { return ts.put() }

// create returns the topic of a name, and makes it after the config that fresh returns if there is none. made tells
// whether it did. fresh is not called otherwise; its error is returned.
func (ts *topics) create(name string, fresh func() (command.TopicConfig, error)) (t *topic, made bool, err error) {
	ts.change.Lock()
	defer ts.change.Unlock()
	if t := ts.find(name); t != nil {
		return t, false, nil
	}
	if n := ts.number(); n >= maxTopics {
		return nil, false, fmt.Errorf("topic %s cannot be created: there are %d already", name, n)
	}
	c, err := fresh()
	if err != nil {
		return nil, false, err
	}
	if _, err := ts.putLocked([]command.TopicConfig{c}); err != nil {
		return nil, false, err
	}
	return ts.find(name), true, nil
}

// update replaces a topic by what revise makes of it; old is nil if there is none.
func (ts *topics) update(name string, revise func(old *command.TopicConfig) (command.TopicConfig, error)) (step, error) {
	ts.change.Lock()
	defer ts.change.Unlock()
	var old *command.TopicConfig
	if t := ts.find(name); t != nil {
		old = &t.TopicConfig
	}
	c, err := revise(old)
	if err != nil {
		return step{}, err
	}
	return ts.putLocked([]command.TopicConfig{c})
}

// drop removes a topic, then calls clean for what else belongs to it. It reports whether there was one. Nobody can create
// the topic anew before clean has returned: its queues would be deleted under it.
func (ts *topics) drop(name string, clean func(had bool) error) (had bool, err error) {
	ts.change.Lock()
	defer ts.change.Unlock()
	if ts.find(name) == nil {
		return false, clean(false)
	}
	if ts.mappings != nil { // before the topic, so that one of the name that is made later does not have it
		if err := ts.mappings.drop(name); err != nil {
			return false, err
		}
	}
	err = ts.saved.Update(&topicChange{Drop: name}, func(now *command.TopicConfigTable) {
		ts.mu.Lock()
		defer ts.mu.Unlock()
		ts.dataVersion = now.DataVersion
		delete(ts.table, name)
		delete(ts.few, name)
	})
	if err != nil {
		return false, err
	}
	return true, clean(true)
}

// ifUnknown calls clean if there is no topic of a name. Nobody can create one before clean has returned.
func (ts *topics) ifUnknown(name string, clean func() error) error {
	ts.change.Lock()
	defer ts.change.Unlock()
	if ts.find(name) != nil {
		return nil
	}
	return clean()
}

// isSystem reports whether a name belongs to the servers, here or everywhere.
func (ts *topics) isSystem(name string) bool { return ts.system[name] || skua.IsSystemTopic(name) }

// addSystem creates the topics that a broker has from the start, unless they are there.
func (ts *topics) addSystem(o *Options, delayLevels int) error {
	const rw = skua.PermRead | skua.PermWrite
	own := func(enabled bool) skua.Perm {
		if enabled {
			return rw | skua.PermInherit
		}
		return skua.PermInherit
	}
	reply := o.BrokerClusterName + skua.ReplyTopicSuffix
	revive := skua.ReviveTopicPrefix + o.BrokerClusterName
	member := skua.MemberTopicPrefix + o.BrokerName
	type made struct {
		name   string
		queues int
		perm   skua.Perm
	}
	list := []made{
		{skua.SelfTestTopic, 1, rw},
		{skua.BenchmarkTopic, 1024, rw},
		{o.BrokerClusterName, 16, own(o.ClusterTopicEnable)},
		{o.BrokerName, 1, own(o.BrokerTopicEnable)},
		{skua.OffsetMovedTopic, 1, rw},
		{skua.ScheduleTopic, delayLevels, rw},
		{reply, 1, rw},
		{revive, 8, rw},
		{member, 1, skua.PermInherit},
		{skua.HalfTopic, 1, rw},
		{skua.OpHalfTopic, 1, rw},
		{skua.RocksHalfTopic, 1, rw},
		{skua.RocksOpHalfTopic, 1, rw},
		{skua.TimerTopic, 1, rw},
	}
	if o.AutoCreateTopicEnable {
		list = append(list, made{skua.TemplateTopic, int(o.DefaultTopicQueueNums), rw | skua.PermInherit})
	}
	if o.TraceTopicEnable {
		list = append(list, made{o.MsgTraceTopicName, 1, rw})
	}
	ts.system = map[string]bool{o.BrokerClusterName: true, o.BrokerName: true, reply: true}
	var missing []command.TopicConfig
	for _, m := range list {
		have := ts.find(m.name)
		if have != nil && (m.name != skua.ScheduleTopic || have.ReadQueues >= int32(m.queues)) {
			continue
		}
		c := command.DefaultTopicConfig(m.name)
		c.ReadQueues, c.WriteQueues, c.Perm = int32(m.queues), int32(m.queues), m.perm
		missing = append(missing, c)
	}
	if len(missing) == 0 {
		return nil
	}
	return ts.put(missing...)
}

// systemNames returns the names of the topics that belong to the servers, sorted.
func (ts *topics) systemNames() []string {
	names := []string{skua.TemplateTopic, skua.ScheduleTopic, skua.BenchmarkTopic, skua.HalfTopic, skua.OpHalfTopic, skua.RocksHalfTopic,
		skua.RocksOpHalfTopic, skua.TransMaxTimeTopic, skua.TraceTopic, skua.SelfTestTopic, skua.OffsetMovedTopic, skua.CheckpointTopic}
	for name := range ts.system {
		names = append(names, name)
	}
	for _, name := range ts.names() {
		if strings.HasPrefix(name, skua.SystemTopicPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkLoaded returns nil if a topic from a file can be served. Java brokers have made topics with names that clients
// cannot choose, such as those of pop retries with a plus.
func checkLoaded(c *command.TopicConfig) error {
	if c.Name == "" || c.Name == "." || c.Name == ".." || len(c.Name) > skua.MaxRetryTopicName || strings.ContainsAny(c.Name, "/\\\x00") {
		return fmt.Errorf("the name cannot be that of a directory")
	}
	return checkQueues(c)
}

// checkQueues returns nil if the numbers of queues and the permission make sense.
func checkQueues(c *command.TopicConfig) error {
	if c.ReadQueues < 0 || c.WriteQueues < 0 || c.ReadQueues > maxTopicQueues || c.WriteQueues > maxTopicQueues {
		return fmt.Errorf("topic %s: readQueueNums %d and writeQueueNums %d must be between 0 and %d", c.Name, c.ReadQueues, c.WriteQueues, maxTopicQueues)
	}
	if c.Perm < 0 || c.Perm > 15 {
		return fmt.Errorf("topic %s: perm %d is out of range: it is the sum of 4 for reading, 2 for writing, 1 for being a template", c.Name, c.Perm)
	}
	return nil
}
