package broker

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/jsonfile"
)

// halfCounts counts the half messages of each topic that wait, for tools that read the file transactionMetrics. It is safe
// for concurrent use, and counting does not allocate. A start counts anew, so that nothing depends on the file.
type halfCounts struct {
	path  string
	saved command.TransactionMetrics // owned by who saves
	known int64                      // changes that are in saved

	changes atomic.Int64
	mu      sync.RWMutex
	topics  map[string]*halfCount // guarded by mu
}

type halfCount struct {
	waiting atomic.Int64
	changed atomic.Int64 // ms
}

// openHalfCounts reads the file, for its version and the topics in it. It need not exist, nor be whole.
func openHalfCounts(path string, log *slog.Logger) *halfCounts {
	c := &halfCounts{path: path, topics: map[string]*halfCount{}}
	saved, err := jsonfile.Read[command.TransactionMetrics](path, log)
	if err != nil {
		log.Warn("numbers of half messages cannot be read and are begun anew", "error", err)
	}
	if saved == nil {
		return c
	}
	c.saved = *saved
	for topic, m := range saved.Counts {
		c.of([]byte(topic)).changed.Store(m.Time)
	}
	return c
}

// begin tells that the half messages which wait at the start have been counted.
func (c *halfCounts) begin() {
	for topic, n := range c.topics {
		if n.waiting.Load() != c.saved.Counts[topic].Count {
			c.changes.Add(1)
			return
		}
	}
}

// of returns the count of a topic.
func (c *halfCounts) of(topic []byte) *halfCount {
	c.mu.RLock()
	n := c.topics[string(topic)]
	c.mu.RUnlock()
	if n != nil {
		return n
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n = c.topics[string(topic)]; n == nil {
		n = new(halfCount)
		c.topics[string(topic)] = n
	}
	return n
}

// topicHalves is how many half messages of a topic wait.
type topicHalves struct {
	topic   string
	waiting int64
}

// all returns the counts, sorted by topic.
func (c *halfCounts) all() []topicHalves {
	c.mu.RLock()
	list := make([]topicHalves, 0, len(c.topics))
	for topic, n := range c.topics {
		list = append(list, topicHalves{topic, n.waiting.Load()})
	}
	c.mu.RUnlock()
	slices.SortFunc(list, func(a, b topicHalves) int { return strings.Compare(a.topic, b.topic) })
	return list
}

// add counts half messages that came, or went if n is below 0.
func (c *halfCounts) add(topic []byte, n int64) {
	h := c.of(topic)
	h.waiting.Add(n)
	h.changed.Store(time.Now().UnixMilli())
	c.changes.Add(1)
}

// save writes the file if anything changed since it was written.
func (c *halfCounts) save() error {
	changes := c.changes.Load()
	if changes == c.known {
		return nil
	}
	next := command.TransactionMetrics{DataVersion: c.saved.DataVersion.Next(time.Now().UnixMilli()), Counts: map[string]command.TransactionMetric{}}
	next.DataVersion.Counter = c.saved.DataVersion.Counter + changes - c.known
	c.mu.RLock()
	for topic, n := range c.topics {
		next.Counts[topic] = command.TransactionMetric{Count: n.waiting.Load(), Time: n.changed.Load()}
	}
	c.mu.RUnlock()
	data, err := fastjson.Marshal(next) // Java writes this one without line breaks
	if err == nil {
		err = jsonfile.Replace(c.path, data)
	}
	if err != nil {
		return err
	}
	c.saved, c.known = next, changes
	return nil
}
