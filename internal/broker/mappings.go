package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/static"
)

// mappings are what the broker knows of the queues of static topics, and topicQueueMapping.json. Each topic has its own as
// topic.mapping, where requests find it; this table saves them. It is safe for concurrent use.
type mappings struct {
	changeFile
	mu    sync.RWMutex
	table map[string]*static.Mapping // guarded by mu
	saved command.TopicMappingTable  // what is saved; guarded by changeFile.change and, for writers, mu, too
}

// mappingChange is a change of the mappings: a line of their journal.
type mappingChange struct {
	Version command.DataVersion         `json:"version"` // after it
	Put     *command.TopicMappingDetail `json:"put"`
	Drop    string                      `json:"drop"`
}

// apply makes the change.
func (c *mappingChange) apply(t *command.TopicMappingTable) {
	if c.Put != nil {
		t.Mappings[c.Put.Topic] = *c.Put
	}
	if c.Drop != "" {
		delete(t.Mappings, c.Drop)
	}
	t.DataVersion = c.Version
}

// openMappings reads the mappings of the broker of a name from the files, which need not exist.
func openMappings(at savedIn, broker string, log *slog.Logger) (*mappings, error) {
	file, changes, err := readChanged[command.TopicMappingTable, mappingChange](at, log)
	if err != nil {
		return nil, err
	}
	ms := &mappings{table: map[string]*static.Mapping{}}
	ms.changeFile = at.file(log, func() any { return &ms.saved })
	ms.saved.DataVersion.Timestamp = time.Now().UnixMilli()
	if file != nil {
		ms.saved = *file
	}
	if ms.saved.Mappings == nil {
		ms.saved.Mappings = map[string]command.TopicMappingDetail{}
	}
	for _, c := range changes {
		if newer(c.Version, ms.saved.DataVersion) {
			c.apply(&ms.saved)
		}
	}
	if err := ms.replayed(len(changes)); err != nil {
		return nil, err
	}
	for name, d := range ms.saved.Mappings {
		if d.Broker != broker {
			log.Warn("mapping of a static topic in file is of another broker and left out", "file", at.path, "topic", name, "of", d.Broker,
				"cure", "give the broker its former name, or delete the topic")
			continue
		}
		ms.table[name] = static.New(d)
	}
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
	return ms.make(&mappingChange{Put: m.Detail()}, func() { ms.table[m.Detail().Topic] = m })
}

// drop forgets the mapping of a topic, if there is one. It may block.
func (ms *mappings) drop(topic string) error {
	if ms.find(topic) == nil {
		return nil
	}
	return ms.make(&mappingChange{Drop: topic}, func() { delete(ms.table, topic) })
}

// make saves a change, and then shows it.
func (ms *mappings) make(c *mappingChange, show func()) error {
	ms.change.Lock()
	defer ms.change.Unlock()
	c.Version = ms.saved.DataVersion.Next(time.Now().UnixMilli())
	err := ms.save(c, func() any {
		next := ms.saved
		next.Mappings = maps.Clone(next.Mappings)
		c.apply(&next)
		return &next
	})
	if err != nil {
		return fmt.Errorf("mappings of static topics cannot be saved: %w", err)
	}
	ms.mu.Lock()
	defer ms.mu.Unlock()
	c.apply(&ms.saved)
	show()
	return nil
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
	return out, ms.saved.DataVersion
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
