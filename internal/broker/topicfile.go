package broker

import (
	"log/slog"
	"maps"
	"sync"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

// topicChange is a change of the topics: a line of their journal.
type topicChange struct {
	jsonfile.Versioned
	Put  []command.TopicConfig `json:"put"`
	Drop string                `json:"drop"`
}

// Apply makes the change.
func (c *topicChange) Apply(t *command.TopicConfigTable) {
	for _, topic := range c.Put {
		t.Topics[topic.Name] = topic
	}
	if c.Drop != "" {
		delete(t.Topics, c.Drop)
	}
}

// savedTopics is what is in topics.json.
var savedTopics = jsonfile.Kind[command.TopicConfigTable]{
	What:    "topics",
	Version: func(t *command.TopicConfigTable) *command.DataVersion { return &t.DataVersion },
	Loaded: func(t *command.TopicConfigTable) {
		if t.Topics == nil {
			t.Topics = map[string]command.TopicConfig{}
		}
	},
	Clone: func(t command.TopicConfigTable) command.TopicConfigTable {
		t.Topics = maps.Clone(t.Topics)
		return t
	},
}

// batchedIn returns a function that reports whether the queues of a topic keep batches whole, by what is saved. It reads the
// files when it is first called; if they cannot be read it knows of no such topic.
func batchedIn(at jsonfile.Place) func(topic string) bool {
	table := sync.OnceValue(func() map[string]command.TopicConfig {
		saved, _, _ := jsonfile.ReadTable[command.TopicConfigTable, topicChange](at, savedTopics, slog.New(slog.DiscardHandler)) // openTopics will tell what is wrong
		return saved.Topics
	})
	return func(topic string) bool { return table()[topic].Attributes[attrQueueType] == queueBatch }
}
