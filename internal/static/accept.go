package static

import (
	"fmt"
	"maps"
	"slices"

	"github.com/skuamq/skua/internal/command"
)

// Bounds of what a mapping may hold.
const (
	MaxQueues = 65536 // logical queues
	MaxItems  = 1000  // stretches of one
)

// Accept checks a mapping that an administrator's tool has sent to a broker, against the one that the broker has, nil if it
// has none, and returns what it has from now on: queues that the new one does not name stay as they are. force lets pass what
// contradicts the old one. queues is how many queues the topic has on the broker. Errors begin with Java's words where Java
// makes the same check; they say what to do.
func Accept(old *Mapping, d command.TopicMappingDetail, topic, broker string, queues int32, force bool) (*Mapping, error) {
	if err := check(&d, topic, broker, queues); err != nil {
		return nil, err
	}
	if old == nil {
		return New(d), nil
	}
	had := &old.detail
	if !force {
		if err := compare(had, &d); err != nil {
			return nil, err
		}
	}
	d.Hosted = maps.Clone(d.Hosted)
	if d.Hosted == nil {
		d.Hosted = map[int32][]command.MappingItem{}
	}
	for id, items := range had.Hosted {
		if _, ok := d.Hosted[id]; !ok && id < d.TotalQueues {
			d.Hosted[id] = items
		}
	}
	return New(d), nil
}

// check makes the checks that concern a mapping alone.
func check(d *command.TopicMappingDetail, topic, broker string, queues int32) error {
	switch {
	case d.Topic != topic:
		return fmt.Errorf("The topic name is inconsistent in broker %s: the header says %q, the body %q; send the mapping of one topic", broker, topic, d.Topic)
	case d.Broker != broker:
		return fmt.Errorf("The broker name is not equal %s != %s : the mapping is of another broker; send it there", broker, d.Broker)
	case d.TotalQueues < 0 || d.TotalQueues > MaxQueues:
		return fmt.Errorf("total queue number %d is out of range: at most %d", d.TotalQueues, MaxQueues)
	case d.Dirty:
		return fmt.Errorf("The mapping info is dirty in broker  %s: it was only half made; run the tool again", broker)
	}
	for _, id := range slices.Sorted(maps.Keys(d.Hosted)) {
		items := d.Hosted[id]
		if id < 0 || id >= d.TotalQueues {
			return fmt.Errorf("The total queue number in config dose not match the real hosted queues: logical queue %d of %s, totalQueues is %d", id, topic, d.TotalQueues)
		}
		if len(items) > MaxItems {
			return fmt.Errorf("logical queue %d of %s has %d items, at most %d are allowed", id, topic, len(items), MaxItems)
		}
		if err := checkItems(items); err != nil {
			return fmt.Errorf("%w: logical queue %d of %s", err, id, topic)
		}
		for _, it := range items {
			if it.Broker == broker && it.QueueID >= queues {
				return fmt.Errorf("The physical queue id is overflow the write queues: logical queue %d of %s is mapped to queue %d, the topic has %d here; give it more", id, topic, it.QueueID, queues)
			}
		}
	}
	return checkReuse(d)
}

// checkItems checks that the stretches of one queue follow one another.
func checkItems(items []command.MappingItem) error {
	gen, begin := int64(-1), int64(-1) // of the next stretch
	for i, raw := range slices.Backward(items) {
		it := Item(raw)
		switch {
		case it.Broker == "":
			return fmt.Errorf("The broker of item dose not exist, gen %d", it.Gen)
		case it.StartOffset < 0 || it.Gen < 0 || it.QueueID < 0:
			return fmt.Errorf("The field is illegal, should not be negative (gen %d, startOffset %d, queueId %d)", it.Gen, it.StartOffset, it.QueueID)
		case i < len(items)-1 && !it.decided():
			return fmt.Errorf("The non-latest item has negative logic offset %d, gen %d", it.LogicOffset, it.Gen)
		case gen != -1 && int64(it.Gen) >= gen:
			return fmt.Errorf("The gen dose not increase monotonically: %d before %d", it.Gen, gen)
		case it.EndOffset != -1 && it.EndOffset < it.StartOffset:
			return fmt.Errorf("The endOffset is smaller than the start offset: %d < %d, gen %d", it.EndOffset, it.StartOffset, it.Gen)
		case begin != -1 && it.LogicOffset != -1 && it.LogicOffset >= begin:
			return fmt.Errorf("The base logic offset dose not increase monotonically: %d before %d, gen %d", it.LogicOffset, begin, it.Gen)
		case begin != -1 && it.LogicOffset != -1 && it.End() >= begin:
			return fmt.Errorf("The max logic offset dose not increase monotonically: gen %d ends at %d, the next begins at %d", it.Gen, it.End(), begin)
		}
		gen, begin = int64(it.Gen), it.LogicOffset
	}
	return nil
}

// checkReuse checks that no queue of a broker is a part of two logical queues.
func checkReuse(d *command.TopicMappingDetail) error {
	type place struct {
		broker string
		queue  int32
	}
	seen := map[place]int32{}
	for _, id := range slices.Sorted(maps.Keys(d.Hosted)) {
		for _, it := range d.Hosted[id] {
			at := place{it.Broker, it.QueueID}
			if other, ok := seen[at]; ok {
				return fmt.Errorf("Topic %s global queue id %d and %d shared the same physical queue %s-%d", d.Topic, other, id, at.broker, at.queue)
			}
			seen[at] = id
		}
	}
	return nil
}

// compare checks that d can follow had.
func compare(had, d *command.TopicMappingDetail) error {
	switch {
	case d.Epoch < had.Epoch:
		return fmt.Errorf("Can't accept data with small epoch %d < %d: another change came first; read the mapping again, or force", d.Epoch, had.Epoch)
	case d.Scope != had.Scope:
		return fmt.Errorf("Can't accept data with unmatched scope %s != %s", d.Scope, had.Scope)
	case d.TotalQueues < had.TotalQueues:
		return fmt.Errorf("Cannot decrease the queue num for static topic %d < %d: consumers would lose what is in the last ones", d.TotalQueues, had.TotalQueues)
	}
	same := d.Epoch == had.Epoch
	for _, id := range slices.Sorted(maps.Keys(had.Hosted)) {
		items, ok := d.Hosted[id]
		if !ok {
			if same {
				return fmt.Errorf("Cannot accept equal epoch with null data: logical queue %d is missing", id)
			}
			continue
		}
		if err := follows(had.Hosted[id], items, same); err != nil {
			return fmt.Errorf("%w: logical queue %d of %s", err, id, d.Topic)
		}
	}
	return nil
}

// follows checks that the stretches of a queue stay what they were, except for old ones that are gone.
func follows(had, items []command.MappingItem, sameEpoch bool) error {
	switch {
	case len(had) == 0:
		return nil
	case len(items) == 0:
		return fmt.Errorf("The new item list is null or empty")
	}
	byGen := make(map[int32]command.MappingItem, len(had))
	for _, it := range had {
		byGen[it.Gen] = it
	}
	for _, it := range items {
		was, ok := byGen[it.Gen]
		switch {
		case !ok:
		case was.Broker != it.Broker || was.QueueID != it.QueueID || was.StartOffset != it.StartOffset:
			return fmt.Errorf("the item of gen %d is immutable: it was queue %d of %s from %d, and is to be queue %d of %s from %d", it.Gen,
				was.QueueID, was.Broker, was.StartOffset, it.QueueID, it.Broker, it.StartOffset)
		case was.LogicOffset != -1 && was.LogicOffset != it.LogicOffset:
			return fmt.Errorf("the item of gen %d is immutable: its logic offset %d cannot become %d", it.Gen, was.LogicOffset, it.LogicOffset)
		}
	}
	leader, now := had[len(had)-1], items[len(items)-1]
	if sameEpoch && (leader.Gen != now.Gen || leader.Broker != now.Broker || leader.QueueID != now.QueueID || leader.StartOffset != now.StartOffset) {
		return fmt.Errorf("The new leader is different but epoch equal: gen %d on %s, was gen %d on %s", now.Gen, now.Broker, leader.Gen, leader.Broker)
	}
	return nil
}
