package broker

import (
	"fmt"
	"maps"
	"math"
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
)

// attribute describes an attribute of topics or groups.
type attribute struct {
	changeable  bool
	values      []string // those that it can have
	least, most int64    // or the whole numbers
	free        bool     // or any text
}

// topicAttributes are the attributes that topics of 5.5.0 can have.
var topicAttributes = map[string]attribute{
	attrQueueType:           {values: []string{"SimpleCQ", queueBatch}},
	attrCleanupPolicy:       {values: []string{"DELETE", cleanupCompaction}},
	attrMessageType:         {changeable: true, values: []string{"UNSPECIFIED", messageNormal, messageFIFO, messageDelay, messageTransaction, messagePriority, messageLite, messageMixed}},
	attrReserveTime:         {changeable: true, least: -1, most: math.MaxInt64},
	"lite.topic.expiration": {changeable: true, least: -1, most: 30 * 24 * 60}, // minutes; kept for Java brokers on the same files
}

// groupAttributes are the attributes that consumer groups of 5.5.0 can have. They are about pop consumption, and are kept
// for what will act on them and for Java brokers on the same files.
var groupAttributes = map[string]attribute{
	"priority.factor":                   {changeable: true, most: 100},
	"lite.bind.topic":                   {changeable: true, free: true},
	"lite.sub.model":                    {changeable: true, values: []string{"Shared", "Exclusive"}},
	"lite.sub.reset.offset.exclusive":   {changeable: true, values: []string{"true", "false"}},
	"lite.sub.reset.offset.unsubscribe": {changeable: true, values: []string{"true", "false"}},
	"lite.sub.client.quota":             {changeable: true, least: -1, most: math.MaxInt64},
	"lite.sub.client.max.event.cnt":     {changeable: true, least: 10, most: math.MaxInt64},
	"lite.sub.wildcard":                 {changeable: true, free: true},
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
		case assigned:
			return nil, fmt.Errorf("add/alter attribute format is wrong: %s, want +key=value", key)
		default:
			return nil, fmt.Errorf("delete attribute format is wrong: %s, want -key, or +key=value", key)
		}
		if _, twice := changes[key]; twice {
			return nil, fmt.Errorf("key duplication: %s", key)
		}
		changes[key] = value
	}
	return changes, nil
}

// alterAttributes returns the attributes of a topic or group after changes; known are those that it can have. A new one can
// only get some.
func alterAttributes(known map[string]attribute, old map[string]string, isNew bool, changes map[string]string) (map[string]string, error) {
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
		if strings.ContainsAny(key, "+-") {
			return nil, fmt.Errorf("kv string format wrong. The key %s has a sign in it", key)
		}
		if signed[0] == '-' {
			if err := removable(known, key, old, isNew); err != nil {
				return nil, err
			}
			delete(out, key)
			continue
		}
		if err := settable(known, key, value, old, isNew); err != nil {
			return nil, err
		}
		out[key] = value
	}
	return out, nil
}

func removable(all map[string]attribute, key string, old map[string]string, isNew bool) error {
	if isNew {
		return fmt.Errorf("only add attribute is supported while creating topic. key: %s", key)
	}
	if _, there := old[key]; !there {
		return fmt.Errorf("attempt to delete a nonexistent key: %s", key)
	}
	a, known := all[key]
	if !known {
		return unknownAttribute(all, key)
	}
	if !a.changeable {
		return fmt.Errorf("attempt to update an unchangeable attribute. key: %s", key)
	}
	return nil
}

func settable(all map[string]attribute, key, value string, old map[string]string, isNew bool) error {
	a, known := all[key]
	if !known {
		return unknownAttribute(all, key)
	}
	if a.values != nil && !slices.Contains(a.values, value) {
		return fmt.Errorf("value is not in set: %s of key %s, want one of %s", value, key, strings.Join(a.values, ", "))
	}
	if a.values == nil && !a.free {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("For input string: %q of key %s, want a number from %d to %d", value, key, a.least, a.most)
		}
		if n < a.least || n > a.most {
			return fmt.Errorf("value is not in range(%d, %d): %s of key %s", a.least, a.most, value, key)
		}
	}
	if !isNew && !a.changeable && old[key] != value {
		return fmt.Errorf("attempt to update an unchangeable attribute. key: %s", key)
	}
	return nil
}

func unknownAttribute(all map[string]attribute, key string) error {
	return fmt.Errorf("unsupported key: %s, want one of %s", key, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
}
