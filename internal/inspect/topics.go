package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"strconv"

	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/layout"
)

// topics are what the directory tells of its topics, so that records of deleted ones are not taken for those of lost queues.
type topics struct {
	deleted map[string]layout.Deletion // noted by Skua
	queues  map[string]int32           // how many queues each topic has; nil if it is not known
	unknown error                      // why it is not
}

// topicConfig is what is needed of a topic's settings. Members that are missing have Java's defaults.
type topicConfig struct {
	Name  string `json:"topicName"`
	Read  *int32 `json:"readQueueNums"`
	Write *int32 `json:"writeQueueNums"`
}

// queues is the number of queues: some may only be read, or only written.
func (c *topicConfig) queues() int32 {
	read, write := int32(16), int32(16)
	if c.Read != nil {
		read = *c.Read
	}
	if c.Write != nil {
		write = *c.Write
	}
	return max(read, write)
}

// topicVersion tells whether a change is in a file already.
type topicVersion struct {
	Counter int64 `json:"counter"`
}

// topicChange is a line of the journal of topics: the CRC-32 of the rest in eight hexadecimal digits, a space, JSON.
type topicChange struct {
	Version topicVersion  `json:"version"`
	Put     []topicConfig `json:"put"`
	Drop    string        `json:"drop"`
}

const (
	topicsFile    = "topics.json" // in layout.ConfigDir
	topicsJournal = "topics"      // in layout.OwnDir
)

// readTopics reads the notes of deleted topics and the settings of those that there are. The journal of changes comes first:
// a broker that runs may write them to the file meanwhile. The copy of an older version does not count, as it lacks topics.
func (d *Dir) readTopics() error {
	b, err := d.readFile(layout.OwnDir, layout.DeletedFile)
	if err != nil {
		return err
	}
	d.topics.deleted, _ = layout.Deletions(b)
	changes, err := d.readFile(layout.OwnDir, topicsJournal)
	if err == nil {
		d.topics.queues, err = d.readTopicTable(changes)
	}
	d.topics.unknown = err
	return nil
}

func (d *Dir) readTopicTable(changes []byte) (map[string]int32, error) {
	path := filepath.Join(d.Path, layout.ConfigDir, topicsFile)
	b, err := d.readFile(layout.ConfigDir, topicsFile)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fmt.Errorf("%s is missing", path)
	}
	var file struct {
		Version topicVersion           `json:"dataVersion"`
		Topics  map[string]topicConfig `json:"topicConfigTable"`
	}
	if err = fastjson.Unmarshal(b, &file); err == nil && file.Topics == nil {
		err = errors.New("it has no topicConfigTable")
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	queues := make(map[string]int32, len(file.Topics))
	for name, c := range file.Topics {
		queues[name] = c.queues()
	}
	for line := range bytes.Lines(changes) {
		var c topicChange
		if sum, rest, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" ")); !ok || !isSum(sum, rest) {
			break // torn, so it was not acknowledged
		} else if err := fastjson.Unmarshal(rest, &c); err != nil {
			return nil, fmt.Errorf("the journal of topics cannot be read: %w", err)
		}
		if c.Version.Counter <= file.Version.Counter {
			continue
		}
		for _, put := range c.Put {
			queues[put.Name] = put.queues()
		}
		delete(queues, c.Drop)
	}
	return queues, nil
}

func isSum(sum, of []byte) bool {
	n, err := strconv.ParseUint(string(sum), 16, 32)
	return err == nil && len(sum) == 8 && uint32(n) == crc32.ChecksumIEEE(of)
}

// gone reports whether a record of a topic is known to be of one that was deleted.
func (t *topics) gone(topic string, s *stretch) bool {
	note, ok := t.deleted[topic]
	return ok && note.Covers(s.off, s.msg.StoreTime)
}

// lack reports whether a topic is known not to have a queue of that number.
func (t *topics) lack(topic string, id int32) bool { return t.queues != nil && id >= t.queues[topic] }
