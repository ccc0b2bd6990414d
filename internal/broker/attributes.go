package broker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Attributes of topics that the broker acts on or checks, and some of their values.
const (
	attrQueueType     = "queue.type"
	attrCleanupPolicy = "cleanup.policy"
	attrMessageType   = "message.type"
	attrReserveTime   = "reserve.time"
	queueBatch        = "BatchCQ"
	cleanupCompaction = "COMPACTION"
	messageMixed      = "MIXED"
)

// attribute describes an attribute of topics.
type attribute struct {
	changeable bool
	values     []string // nil: a whole number from -1 up
}

// topicAttributes are the attributes that topics of 5.5.0 can have.
var topicAttributes = map[string]attribute{
	attrQueueType:           {false, []string{"SimpleCQ", queueBatch, "RocksDBCQ"}},
	attrCleanupPolicy:       {false, []string{"DELETE", cleanupCompaction}},
	attrMessageType:         {true, []string{"UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY", "LITE", messageMixed}},
	attrReserveTime:         {true, nil},
	"lite.topic.expiration": {true, nil}, // minutes; kept for Java brokers on the same files
}

// parseAttributes reads the attributes of a request: "+key=value" sets, "-key" removes, separated by commas. Keys come
// back with their sign.
func parseAttributes(text string) (map[string]string, error) {
	changes := map[string]string{}
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		key, value, assigned := strings.Cut(part, "=")
		switch {
		case strings.HasPrefix(key, "+") && len(key) > 1 && assigned:
		case strings.HasPrefix(key, "-") && len(key) > 1 && !assigned:
		default:
			return nil, fmt.Errorf("attribute string is wrong: %q, want +key=value or -key", part)
		}
		if _, twice := changes[key]; twice {
			return nil, fmt.Errorf("key duplication: %s", key[1:])
		}
		changes[key] = value
	}
	return changes, nil
}

// alterAttributes returns the attributes of a topic after changes. A new topic, one whose old attributes are nil, can
// only get some.
func alterAttributes(old map[string]string, isNew bool, changes map[string]string) (map[string]string, error) {
	out := maps.Clone(old)
	if out == nil {
		out = map[string]string{}
	}
	touched := map[string]bool{}
	for _, signed := range slices.Sorted(maps.Keys(changes)) {
		key, value := signed[1:], changes[signed]
		if touched[key] {
			return nil, fmt.Errorf("alter duplication key. key: %s", key)
		}
		touched[key] = true
		if signed[0] == '-' {
			if err := removable(key, old, isNew); err != nil {
				return nil, err
			}
			delete(out, key)
			continue
		}
		if err := settable(key, value, old, isNew); err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}

func removable(key string, old map[string]string, isNew bool) error {
	if isNew {
		return fmt.Errorf("only add attribute is supported while creating topic. key: %s", key)
	}
	a, known := topicAttributes[key]
	if !known {
		return unknownAttribute(key)
	}
	if !a.changeable {
		return fmt.Errorf("attempt to update an unchangeable attribute. key: %s", key)
	}
	if _, there := old[key]; !there {
		return fmt.Errorf("attempt to delete a nonexistent key: %s", key)
	}
	return nil
}

func settable(key, value string, old map[string]string, isNew bool) error {
	a, known := topicAttributes[key]
	if !known {
		return unknownAttribute(key)
	}
	if a.values != nil && !slices.Contains(a.values, value) {
		return fmt.Errorf("value is not in set: %s of key %s, want one of %s", value, key, strings.Join(a.values, ", "))
	}
	if a.values == nil {
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < -1 {
			return fmt.Errorf("value is not in range(-1, %d): %s of key %s", int64(1<<63-1), value, key)
		}
	}
	if !isNew && !a.changeable && old[key] != value {
		return fmt.Errorf("attempt to update an unchangeable attribute. key: %s", key)
	}
	return nil
}

func unknownAttribute(key string) error {
	return fmt.Errorf("unsupported key: %s, want one of %s", key, strings.Join(slices.Sorted(maps.Keys(topicAttributes)), ", "))
}
