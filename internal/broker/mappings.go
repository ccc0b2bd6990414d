package broker

import (
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/static"
)

// mappings are what the broker knows of the queues of static topics, and topicQueueMapping.json. Each topic has its own as
// topic.mapping, where requests find it; this table saves them. It is safe for concurrent use.
type mappings struct {
	saved *jsonfile.Table[command.TopicMappingTable]

	mu          sync.RWMutex
	table       map[string]*static.Mapping // guarded by mu
	dataVersion command.DataVersion        // of the table; guarded by mu
}

// mappingChange is a change of the mappings: a line of their journal.
type mappingChange struct {
	jsonfile.Versioned
	Put  *command.TopicMappingDetail `json:"put"`
	Drop string                      `json:"drop"`
}

// Apply makes the change.
func (c *mappingChange) Apply(t *command.TopicMappingTable) {
	if c.Put != nil {
		t.Mappings[c.Put.Topic] = *c.Put
	}
	if c.Drop != "" {
		delete(t.Mappings, c.Drop)
	}
}

// savedMappings is what is in topicQueueMapping.json.
var savedMappings = jsonfile.Kind[command.TopicMappingTable]{
	What:    "mappings of static topics",
	Version: func(t *command.TopicMappingTable) *command.DataVersion { return &t.DataVersion },
	Loaded: func(t *command.TopicMappingTable) {
		if t.DataVersion == (command.DataVersion{}) {
			t.DataVersion.Timestamp = time.Now().UnixMilli()
		}
		if t.Mappings == nil {
			t.Mappings = map[string]command.TopicMappingDetail{}
		}
	},
	Clone: func(t command.TopicMappingTable) command.TopicMappingTable {
		t.Mappings = maps.Clone(t.Mappings)
		return t
	},
}

// openMappings reads the mappings of the broker of a name from the files, which need not exist.
func openMappings(at jsonfile.Place, broker string, log *slog.Logger) (*mappings, error) {
	saved, err := jsonfile.OpenTable[command.TopicMappingTable, mappingChange](at, savedMappings, log)
	if err != nil {
		return nil, err
	}
	ms := &mappings{saved: saved, table: map[string]*static.Mapping{}}
	saved.Read(func(now *command.TopicMappingTable) {
		ms.dataVersion = now.DataVersion
		for name, d := range now.Mappings {
			if d.Broker != broker {
				log.Warn("mapping of a static topic in file is of another broker and left out", "file", at.Path, "topic", name, "of", d.Broker,
					"cure", "give the broker its former name, or delete the topic")
				continue
			}
			ms.table[name] = static.New(d)
		}
	})
	return ms, nil
}

// find returns the mapping of a topic, nil if it is not static.
func (ms *mappings) find(topic string) *static.Mapping {
	if ms == nil {
		return nil
	}
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	return ms.table[topic]
}

// put saves a mapping. It may block.
func (ms *mappings) put(m *static.Mapping) error {
	return ms.update(&mappingChange{Put: m.Detail()}, func() { ms.table[m.Detail().Topic] = m })
}

// drop forgets the mapping of a topic, if there is one. It may block.
func (ms *mappings) drop(topic string) error {
	if ms.find(topic) == nil {
		return nil
	}
	return ms.update(&mappingChange{Drop: topic}, func() { delete(ms.table, topic) })
}

// update saves a change, and then makes it in the table.
func (ms *mappings) update(c *mappingChange, show func()) error {
	return ms.saved.Update(c, func(now *command.TopicMappingTable) {
		ms.mu.Lock()
		defer ms.mu.Unlock()
		ms.dataVersion = now.DataVersion
		show()
	})
}

// details returns the mappings of those topics that are static, and the version of the table.
func (ms *mappings) details(topics map[string]command.TopicConfig) (map[string]command.TopicMappingDetail, command.DataVersion) {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	out := map[string]command.TopicMappingDetail{}
	for name, m := range ms.table {
		if _, ok := topics[name]; ok {
			out[name] = *m.Detail()
		}
	}
	return out, ms.dataVersion
}

// infos returns what name servers are told of those topics that are static.
func (ms *mappings) infos(topics map[string]command.TopicConfig) map[string]command.TopicMapping {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	out := map[string]command.TopicMapping{}
	for name, m := range ms.table {
		if _, ok := topics[name]; ok {
			out[name] = m.Info()
		}
	}
	return out
}

// all returns the mappings of all static topics.
func (ms *mappings) all() map[string]*static.Mapping {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	return maps.Clone(ms.table)
}
