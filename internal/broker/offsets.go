package broker

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

// offsetKey names what a consumer group has read of a topic.
type offsetKey struct{ topic, group string }

// noOffset stands for an offset that is not there.
const noOffset = skua.QueueOffset(-1)

// progress is how far a group has come with one queue. Each offset is the next one; noOffset if there is none.
type progress struct {
	queue     int32
	committed skua.QueueOffset // consumed, as the consumers say
	pulled    skua.QueueOffset // handed out
	reset     skua.QueueOffset // to go to with the next pull, as an administrator said
	first     skua.QueueOffset // of the first message that was handed out before anything was committed; not saved
}

// noProgress is that of a group that knows nothing of a queue.
func noProgress(queue int32) progress {
	return progress{queue, noOffset, noOffset, noOffset, noOffset}
}

// head is the first message that the group has got but not consumed, as far as the broker can tell; noOffset if it cannot.
func (p *progress) head() skua.QueueOffset {
	if p.committed != noOffset {
		return p.committed
	}
	return p.first
}

// groupProgress is how far a group has come with a topic.
type groupProgress struct {
	mu     sync.Mutex
	queues []progress // by queue
}

// at returns the entry of a queue. It adds one if add is true; else it returns nil if there is none.
func (g *groupProgress) atLocked(queue int32, add bool) *progress {
	i, found := slices.BinarySearchFunc(g.queues, queue, func(p progress, q int32) int { return cmp.Compare(p.queue, q) })
	if !found {
		if !add {
			return nil
		}
		g.queues = slices.Insert(g.queues, i, noProgress(queue))
	}
	return &g.queues[i]
}

// offsets are the offsets of consumer groups, and consumerOffset.json, or lmqConsumerOffset.json. It is safe for concurrent use. Looking up and
// storing the offset of a known queue does not allocate.
//
// Crash argument: offsets are saved at intervals, so those of the last seconds may be lost; messages since are then
// delivered again, which consumers have to expect at any time.
type offsets struct {
	path  string
	step  int64 // updates for each version
	most  int   // maxOffsetPairs; guarded by mu
	light bool  // the file is lmqConsumerOffset.json
	log   *slog.Logger

	failing atomic.Bool // whether the last attempt to save failed; the saver's

	mu    sync.RWMutex
	table map[offsetKey]*groupProgress // guarded by mu

	saving struct {
		sync.Mutex
		file command.ConsumerOffsets // version and unknown members; the tables are made anew
	}
	changes struct {
		sync.Mutex
		dirty   bool
		updates int64
	}
}

// openOffsets reads the offsets of a store from the file for a store with light queues, or without.
func openOffsets(at offsetFiles, step int64, log *slog.Logger) (*offsets, error) {
	saved, switched, err := at.read(log)
	if err != nil {
		return nil, err
	}
	o := &offsets{path: at.path(), step: step, most: math.MaxInt, light: at.light, log: log, table: map[offsetKey]*groupProgress{}}
	o.changes.dirty = switched
	defer func() { o.most = maxOffsetPairs }() // what was saved is all kept
	if saved == nil {
		o.saving.file.DataVersion = command.DataVersion{Timestamp: time.Now().UnixMilli()}
		return o, nil
	}
	o.saving.file = command.ConsumerOffsets{DataVersion: saved.DataVersion, Unknown: saved.Unknown}
	read := func(table map[string]map[int32]skua.QueueOffset, set func(*progress, skua.QueueOffset)) {
		for name, queues := range table {
			topic, group, ok := strings.Cut(name, "@")
			if !ok {
				log.Warn("offsets under a name without @ are left out", "file", o.path, "name", name)
				continue
			}
			g := o.of([]byte(topic), []byte(group), true)
			for queue, off := range queues {
				set(g.atLocked(queue, true), off)
			}
		}
	}
	read(saved.Offsets, func(p *progress, off skua.QueueOffset) { p.committed = off })
	read(saved.PullOffsets, func(p *progress, off skua.QueueOffset) { p.pulled = off })
	for name, off := range saved.Light {
		read(map[string]map[int32]skua.QueueOffset{name: {0: off}}, func(p *progress, off skua.QueueOffset) { p.committed = off })
	}
	return o, nil
}

// bound takes back committed offsets that lie behind the end of their queue, as after a power cut that the last messages
// did not survive: the messages that come in their place would be passed over. end tells the end of a queue, 0 if it
// cannot be told.
func (o *offsets) bound(end func(topic string, queue int32) skua.QueueOffset) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for k, g := range o.table {
		g.mu.Lock()
		for i := range g.queues {
			p := &g.queues[i]
			if at := end(k.topic, p.queue); at > 0 && p.committed > at {
				o.log.Warn("offset of a group lies behind the last message and is taken back", "group", k.group, "topic", k.topic,
					"queue", p.queue, "from", p.committed, "to", at)
				p.committed = at
				o.changed(1)
			}
		}
		g.mu.Unlock()
	}
}

// maxOffsetPairs bounds the pairs of topic and group of which offsets are known. Groups of light queues need not be created, so that
// nothing else bounds them.
const maxOffsetPairs = 4_000_000

// full reports whether no offsets of another topic and group can be kept, and those of this one are not.
func (o *offsets) full(topic, group []byte) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return len(o.table) >= o.most && o.table[offsetKey{string(topic), string(group)}] == nil
}

// of returns the progress of a group with a topic, which it adds if add is true; else nil if there is none. When it is full what
// it adds is not kept.
func (o *offsets) of(topic, group []byte, add bool) *groupProgress {
	o.mu.RLock()
	g := o.table[offsetKey{string(topic), string(group)}]
	o.mu.RUnlock()
	if g != nil || !add {
		return g
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := offsetKey{string(topic), string(group)}
	if g = o.table[key]; g == nil {
		g = new(groupProgress)
		if len(o.table) < o.most {
			o.table[key] = g
		}
	}
	return g
}

// changed notes that there is something to save.
func (o *offsets) changed(updates int64) {
	o.changes.Lock()
	o.changes.dirty = true
	o.changes.updates += updates
	o.changes.Unlock()
}

// commit stores what a group has consumed of a queue. It reports false, and does nothing, if a reset is pending.
func (o *offsets) commit(topic, group []byte, queue int32, off skua.QueueOffset) bool {
	g := o.of(topic, group, true)
	g.mu.Lock()
	p := g.atLocked(queue, true)
	pending := p.reset != noOffset
	same := p.committed == off
	if !pending {
		p.committed = off
	}
	g.mu.Unlock()
	if !pending && !same {
		o.changed(1)
	}
	return !pending
}

// handOut stores what was handed out to a group: that from one offset to another.
func (o *offsets) handOut(topic, group []byte, queue int32, from, off skua.QueueOffset) {
	g := o.of(topic, group, true)
	g.mu.Lock()
	p := g.atLocked(queue, true)
	same := p.pulled == off
	p.pulled = off
	if p.first == noOffset && p.committed == noOffset && off > from {
		p.first = from
	}
	g.mu.Unlock()
	if !same {
		o.changed(0)
	}
}

// committed returns what a group has consumed of a queue, or noOffset.
func (o *offsets) committed(topic, group []byte, queue int32) skua.QueueOffset {
	return o.progress(topic, group, queue).committed
}

// progress returns how far a group has come with a queue.
func (o *offsets) progress(topic, group []byte, queue int32) progress {
	none := noProgress(queue)
	g := o.of(topic, group, false)
	if g == nil {
		return none
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.atLocked(queue, false); p != nil {
		return *p
	}
	return none
}

// reset makes a group go on at an offset with its next pull. Consumers that are slow to notice cannot undo it.
func (o *offsets) reset(topic, group string, queue int32, off skua.QueueOffset) {
	g := o.of([]byte(topic), []byte(group), true)
	g.mu.Lock()
	p := g.atLocked(queue, true)
	p.reset, p.committed = off, off
	g.mu.Unlock()
	o.changed(1)
}

// takeReset returns the offset that a pull has to be sent to, and forgets that it has; noOffset if there is none.
func (o *offsets) takeReset(topic, group []byte, queue int32) skua.QueueOffset {
	g := o.of(topic, group, false)
	if g == nil {
		return noOffset
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.atLocked(queue, false)
	if p == nil {
		return noOffset
	}
	off := p.reset
	p.reset = noOffset
	return off
}

// queues returns how far a group has come with each queue of a topic.
func (o *offsets) queues(topic, group string) []progress {
	g := o.of([]byte(topic), []byte(group), false)
	if g == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.queues)
}

// topicsOf returns the topics of which a group has committed offsets, sorted.
func (o *offsets) topicsOf(group string) []string {
	return o.names(func(k offsetKey) (string, bool) { return k.topic, k.group == group })
}

// groupsOf returns the groups that have committed offsets of a topic, sorted.
func (o *offsets) groupsOf(topic string) []string {
	return o.names(func(k offsetKey) (string, bool) { return k.group, k.topic == topic })
}

func (o *offsets) names(pick func(offsetKey) (string, bool)) []string {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var names []string
	for k, g := range o.table {
		if name, ok := pick(k); ok && k.consumers() && g.consumed() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// consumers reports whether the group is one of consumers: those of broadcasting groups have another name.
func (k offsetKey) consumers() bool { return !strings.Contains(k.group, "@") }

// consumed reports whether the group has committed an offset: one that only pulled has none, as tools that look into a
// topic.
func (g *groupProgress) consumed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.ContainsFunc(g.queues, func(p progress) bool { return p.committed != noOffset })
}

// clone gives one group the committed offsets that another has of a topic.
func (o *offsets) clone(from, to, topic string) {
	for _, p := range o.queues(topic, from) {
		if p.committed != noOffset {
			o.commit([]byte(topic), []byte(to), p.queue, p.committed)
		}
	}
}

// drop forgets what a group has consumed of a queue, if that is still what it was.
func (o *offsets) drop(topic, group []byte, was *progress) {
	g := o.of(topic, group, false)
	if g == nil {
		return
	}
	g.mu.Lock()
	p := g.atLocked(was.queue, false)
	had := p != nil && p.committed == was.committed
	if had {
		p.committed, p.first = noOffset, noOffset
	}
	g.mu.Unlock()
	if had {
		o.changed(1)
	}
}

// forgetTopic drops all offsets of a topic.
func (o *offsets) forgetTopic(topic string) {
	o.forget(func(k offsetKey) bool { return k.topic == topic })
}

// forgetGroup drops all offsets of a group.
func (o *offsets) forgetGroup(group string) {
	o.forget(func(k offsetKey) bool { return k.group == group })
}

// begin makes groups begin anew on topics whose queues do: who has committed an offset is at 0, and misses nothing of what comes,
// whatever its consumers would do without one. Others are forgotten.
func (o *offsets) begin(which func(topic string) bool) {
	o.forget(func(k offsetKey) bool { return which(k.topic) && !o.table[k].consumed() })
	o.mu.RLock()
	defer o.mu.RUnlock()
	for k, g := range o.table {
		if which(k.topic) && g.begin() {
			o.changed(1)
		}
	}
}

// begin makes what is committed 0, and forgets everything else. It reports whether something was committed beyond 0.
func (g *groupProgress) begin() (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.queues {
		p := &g.queues[i]
		had := p.committed
		*p = noProgress(p.queue)
		p.committed = min(had, 0)
		changed = changed || had > 0
	}
	return changed
}

func (o *offsets) forget(which func(offsetKey) bool) {
	o.mu.Lock()
	before := len(o.table)
	maps.DeleteFunc(o.table, func(k offsetKey, _ *groupProgress) bool { return which(k) })
	some := len(o.table) < before
	o.mu.Unlock()
	if some {
		o.changed(1)
	}
}

// all returns the offsets as consumerOffset.json has them.
func (o *offsets) all() command.ConsumerOffsets {
	o.saving.Lock()
	defer o.saving.Unlock()
	return o.allLocked()
}

func (o *offsets) allLocked() command.ConsumerOffsets {
	out := o.saving.file
	out.Offsets = map[string]map[int32]skua.QueueOffset{}
	out.PullOffsets = map[string]map[int32]skua.QueueOffset{}
	out.GroupTopics = map[string][]string{}
	if o.light {
		out.Light = map[string]skua.QueueOffset{}
	}
	put := func(table map[string]map[int32]skua.QueueOffset, name string, queue int32, off skua.QueueOffset) {
		if off == noOffset {
			return
		}
		if table[name] == nil {
			table[name] = map[int32]skua.QueueOffset{}
		}
		table[name][queue] = off
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	for k, g := range o.table {
		name := k.topic + "@" + k.group
		apart := o.light && strings.HasPrefix(k.group, skua.LMQPrefix)
		g.mu.Lock()
		for _, p := range g.queues {
			if apart && p.queue == 0 && p.committed != noOffset {
				out.Light[name] = p.committed
			} else {
				put(out.Offsets, name, p.queue, p.committed)
			}
			put(out.PullOffsets, name, p.queue, p.pulled)
		}
		g.mu.Unlock()
		if out.Offsets[name] != nil && k.consumers() {
			out.GroupTopics[k.group] = append(out.GroupTopics[k.group], k.topic)
		}
	}
	for _, topics := range out.GroupTopics {
		slices.Sort(topics)
	}
	return out
}

// flush saves the offsets if they changed since they were saved last.
func (o *offsets) flush() error {
	o.saving.Lock()
	defer o.saving.Unlock()
	o.changes.Lock()
	dirty, updates := o.changes.dirty, o.changes.updates
	o.changes.dirty = false
	if updates >= o.step {
		o.changes.updates = 0
	}
	o.changes.Unlock()
	if !dirty {
		return nil
	}
	if updates >= o.step {
		o.saving.file.DataVersion = o.saving.file.DataVersion.Next(time.Now().UnixMilli())
	}
	all := o.allLocked()
	if err := jsonfile.Write(o.path, &all); err != nil {
		o.changed(0)
		return fmt.Errorf("consumer offsets cannot be saved: %w", err)
	}
	return nil
}
