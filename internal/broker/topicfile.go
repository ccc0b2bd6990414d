package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
)

// Pace at which topics.json is written when there are many changes.
const (
	fileShare  = 50          // writing takes one part in so many of the time
	foldAfter  = time.Second // without a change
	maxJournal = 64 << 20    // bytes
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

// read returns the topics that are saved: those in the file, with the changes that a run which was killed has left in the
// journal, and how many these are. Those that are older than the file are in it, or were overtaken by a Java broker. The
// files stay as they are.
func (at topicFiles) read(log *slog.Logger) (saved command.TopicConfigTable, changes int, err error) {
	file, err := readConfig[command.TopicConfigTable](at.path, log)
	if err != nil {
		return saved, 0, err
	}
	if file != nil {
		saved = *file
	}
	if saved.Topics == nil {
		saved.Topics = map[string]command.TopicConfig{}
	}
	j := journal{path: at.journal}
	changes, err = j.read(func(line []byte) error {
		var c topicChange
		if err := fastjson.Unmarshal(line, &c); err != nil {
			return err
		}
		if c.Version.Counter > saved.DataVersion.Counter {
			c.apply(&saved)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("%w; move the file away to begin without the changes that it holds", err)
	}
	return saved, changes, err
}

// batched returns a function that reports whether the queues of a topic keep batches whole, by what is saved. It reads the
// files when it is first called; if they cannot be read it knows of no such topic.
func (at topicFiles) batched() func(topic string) bool {
	table := sync.OnceValue(func() map[string]command.TopicConfig {
		saved, _, _ := at.read(slog.New(slog.DiscardHandler)) // openTopics will tell what is wrong
		return saved.Topics
	})
	return func(topic string) bool { return table()[topic].Attributes[attrQueueType] == queueBatch }
}

// replayed brings the changes that were found in the journal into the file.
func (ts *topics) replayed(n int) error {
	if n == 0 {
		return ts.journal.drop()
	}
	ts.log.Info("changes of topics that were not in the file are made again", "file", ts.path, "journal", ts.journal.path, "changes", n)
	return ts.writeLocked(&ts.saved)
}

// saveLocked saves a change, in the file or the journal, and notes it in what is saved.
func (ts *topics) saveLocked(c *topicChange) error {
	c.Version = ts.saved.DataVersion.Next(time.Now().UnixMilli())
	next := ts.saved
	var err error
	if time.Since(ts.written) < fileShare*ts.cost && ts.journal.size < maxJournal {
		err = ts.journal.append(c, ts.synced)
	} else {
		next.Topics = maps.Clone(next.Topics)
		c.apply(&next)
		err = ts.writeLocked(&next)
	}
	if err != nil {
		return fmt.Errorf("topics cannot be saved: %w", err)
	}
	ts.mu.Lock()
	c.apply(&ts.saved)
	ts.mu.Unlock()
	if ts.journal.size > 0 {
		select {
		case ts.soon <- struct{}{}:
		default:
		}
	}
	return nil
}

// writeLocked writes the file, after which the journal is of no use.
func (ts *topics) writeLocked(all *command.TopicConfigTable) error {
	start := time.Now()
	if err := writeConfig(ts.path, all); err != nil {
		return err
	}
	ts.written, ts.cost = time.Now(), time.Since(start)
	if err := ts.journal.drop(); err != nil { // the next start sees that it is older
		ts.log.Warn("journal of topics cannot be removed", "file", ts.journal.path, "error", err)
	}
	return nil
}

// keep syncs the journal soon after changes, and puts them into the file when there were none for a while, until stop.
func (ts *topics) keep(stop <-chan struct{}) {
	quiet := time.NewTimer(foldAfter)
	defer quiet.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ts.soon:
			ts.syncJournal()
			quiet.Reset(foldAfter)
		case <-quiet.C:
			if err := ts.fold(); err != nil {
				ts.log.Warn("topics cannot be written to their file; they are in the journal", "file", ts.path, "error", err)
			}
		}
	}
}

// syncJournal puts the journal on disk. Changes go on meanwhile.
func (ts *topics) syncJournal() {
	ts.change.Lock()
	f := ts.journal.file
	ts.change.Unlock()
	if f == nil || ts.synced {
		return
	}
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // it is closed when the file has been written
		ts.log.Warn("journal of topics cannot be synced", "file", ts.journal.path, "error", err)
	}
}

// fold puts what is in the journal into the file.
func (ts *topics) fold() error {
	ts.change.Lock()
	defer ts.change.Unlock()
	if ts.journal.size == 0 {
		return nil
	}
	return ts.writeLocked(&ts.saved)
}
