package broker

import (
	"errors"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/wire"
)

// updateStaticTopic serves UPDATE_AND_CREATE_STATIC_TOPIC: a topic and what the broker is to know of its logical queues.
func (b *Broker) updateStaticTopic(req *wire.Frame) {
	h := command.CreateTopicHeader{FilterType: command.SingleTag}
	var d command.TopicMappingDetail
	if !decode(req, &h) {
		return
	}
	if len(req.Body) == 0 {
		refuse(req, command.StatusSystemError, "the body is missing: it is the mapping of the topic, as mqadmin updateStaticTopic sends it")
		return
	}
	if !decodeBody(req, &d) {
		return
	}
	if h.FilterType != command.SingleTag && h.FilterType != "MULTI_TAG" {
		refuse(req, command.StatusSystemError, "topicFilterType = [%s] value invalid, want SINGLE_TAG or MULTI_TAG", h.FilterType)
		return
	}
	c := command.TopicConfig{Name: h.Topic, ReadQueues: h.ReadQueues, WriteQueues: h.WriteQueues, Perm: h.Perm,
		FilterType: h.FilterType, SysFlag: h.SysFlag, Order: h.Order}
	v, err := b.changeStaticTopic(c, d, h.Force != nil && *h.Force)
	if err != nil {
		refuseWith(req, err)
		return
	}
	b.settleAll(h.Topic)
	b.polls.topicChanged(h.Topic)
	b.registerTopic(h.Topic, v)
	succeed(req, nil, nil)
}

// settleAll waits until readers see all that is stored, so that nobody leaves a queue that is given away before its last
// messages. In SYNC_FLUSH they see it when it is on disk.
func (b *Broker) settleAll(topic string) {
	done := make(chan error, 1)
	b.store.WhenDurable(b.store.End(), time.Duration(b.options.Load().SyncFlushTimeout)*time.Millisecond, func(err error) { done <- err })
	if err := <-done; err != nil {
		b.log.Warn("static topic was changed, but messages from before are not on disk yet; readers of a queue that is given away now may pass over them", "topic", topic, "error", err)
	}
}

// changeStaticTopic creates or changes a static topic. Nobody sees it before topic and mapping are saved.
func (b *Broker) changeStaticTopic(c command.TopicConfig, d command.TopicMappingDetail, force bool) (step, error) {
	if err := b.checkTopic(&c); err != nil {
		return step{}, err
	}
	var next *static.Mapping
	v, err := b.topics.updateStatic(c.Name, func(old *topic) (command.TopicConfig, *static.Mapping, error) {
		var had *static.Mapping
		if old != nil {
			had, c.Attributes, c.Unknown = old.mapping, old.Attributes, old.Unknown
		} else {
			c.Attributes = map[string]string{}
		}
		var err error
		if next, err = static.Accept(had, d, c.Name, b.Name(), c.WriteQueues, force); err != nil {
			return c, nil, refusalf(command.StatusSystemError, "%v", err)
		}
		return c, next, nil
	})
	if err != nil {
		return step{}, err
	}
	b.log.Info("static topic created or changed", "topic", c.Name, "epoch", d.Epoch, "totalQueues", d.TotalQueues, "led", len(next.Led()),
		"readQueues", c.ReadQueues, "writeQueues", c.WriteQueues, "force", force)
	return v, nil
}

// updateStatic replaces a topic and its mapping by what revise makes of them; old is nil if there is no such topic.
//
// Crash argument: the topic is saved before the mapping. If the process ends between, nothing was acknowledged, and the
// topic has a queue that no logical queue uses; the tool finds that when it is run again, and goes on.
func (ts *topics) updateStatic(name string, revise func(old *topic) (command.TopicConfig, *static.Mapping, error)) (v step, err error) {
	ts.change.Lock()
	defer ts.change.Unlock()
	c, m, err := revise(ts.find(name))
	if err != nil {
		return v, err
	}
	v.before = ts.version()
	if err := ts.saved.Update(&topicChange{Put: []command.TopicConfig{c}}, func(now *command.TopicConfigTable) { v.after = now.DataVersion }); err != nil {
		return v, err
	}
	err = ts.mappings.put(m)
	if old := ts.find(name); old != nil && old.gate != nil {
		old.gate.Lock()
		defer old.gate.Unlock()
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.dataVersion = v.after
	ts.setLocked(c)
	return v, err
}

// enter returns a static topic as it is now, and keeps its mapping from being changed until the caller unlocks its gate for
// reading: whoever stores a message does so while the queue is still led here. So, when a tool is told that a queue is given
// away, it has all its messages. enter returns nil, with nothing locked, if the topic is not static any more.
//
// Nobody changes topics, or waits for one who does, while a gate is locked for reading.
func (ts *topics) enter(t *topic) *topic {
	for t != nil && t.gate != nil {
		t.gate.RLock()
		now := ts.get(t.bytes)
		if now == t {
			return t
		}
		t.gate.RUnlock()
		t = now
	}
	return nil
}

// errSameMapping tells that a mapping need not be changed.
var errSameMapping = errors.New("nothing is to be changed")

// reviseMapping replaces the mapping of a topic by what revise makes of it, unless it returns an error or there is none.
func (ts *topics) reviseMapping(name string, revise func(old *static.Mapping) (*static.Mapping, error)) error {
	ts.change.Lock()
	defer ts.change.Unlock()
	t := ts.find(name)
	if t == nil || t.mapping == nil {
		return errSameMapping
	}
	m, err := revise(t.mapping)
	if err != nil {
		return err
	}
	if err := ts.mappings.put(m); err != nil {
		return err
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.setLocked(t.TopicConfig)
	return nil
}

// attach gives the topics their mappings, which it takes over.
func (ts *topics) attach(ms *mappings) {
	ts.mappings = ms
	for name := range ms.all() {
		if t := ts.table[name]; t != nil {
			ts.setLocked(t.TopicConfig)
		}
	}
}
