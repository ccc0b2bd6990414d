package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
)

// topicChange is a change of the topics: a line of their journal.
type topicChange struct {
	Version command.DataVersion   `json:"version"` // after it
	Put     []command.TopicConfig `json:"put"`
	Drop    string                `json:"drop"`
}

// apply makes the change.
func (c *topicChange) apply(t *command.TopicConfigTable) {
	for _, topic := range c.Put {
		t.Topics[topic.Name] = topic
	}
	if c.Drop != "" {
		delete(t.Topics, c.Drop)
	}
	t.DataVersion = c.Version
}

// readTopics returns the topics that are saved, and how many changes were in the journal.
func readTopics(at savedIn, log *slog.Logger) (saved command.TopicConfigTable, n int, err error) {
	file, changes, err := readChanged[command.TopicConfigTable, topicChange](at, log)
	if err != nil {
		return saved, 0, err
	}
	if file != nil {
		saved = *file
	}
	if saved.Topics == nil {
		saved.Topics = map[string]command.TopicConfig{}
	}
	for _, c := range changes {
		if newer(c.Version, saved.DataVersion) {
			c.apply(&saved)
		}
	}
	return saved, len(changes), nil
}

// batchedIn returns a function that reports whether the queues of a topic keep batches whole, by what is saved. It reads the
// files when it is first called; if they cannot be read it knows of no such topic.
func batchedIn(at savedIn) func(topic string) bool {
	table := sync.OnceValue(func() map[string]command.TopicConfig {
		saved, _, _ := readTopics(at, slog.New(slog.DiscardHandler)) // openTopics will tell what is wrong
		return saved.Topics
	})
	return func(topic string) bool { return table()[topic].Attributes[attrQueueType] == queueBatch }
}

// saveLocked saves a change and notes it in what is saved.
func (ts *topics) saveLocked(c *topicChange) error {
	c.Version = ts.saved.DataVersion.Next(time.Now().UnixMilli())
	err := ts.save(c, func() any {
		next := ts.saved
		next.Topics = maps.Clone(next.Topics)
		c.apply(&next)
		return &next
	})
	if err != nil {
		return fmt.Errorf("topics cannot be saved: %w", err)
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	c.apply(&ts.saved)
	return nil
}
