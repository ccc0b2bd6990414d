package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// refusal is an error that says with which status a request is refused.
type refusal struct {
	status command.Status
	remark string
}

func (r *refusal) Error() string { return r.remark }

func refusalf(status command.Status, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// refuseWith refuses a request because of err, with its status if it is a refusal.
func refuseWith(req *wire.Frame, err error) { refuseCallWith(req.Call(), err) }

// refuseCallWith is refuseWith for a request that is answered later.
func refuseCallWith(call wire.Call, err error) {
	if r, ok := err.(*refusal); ok {
		refuseCall(call, r.status, "%s", r.remark)
		return
	}
	refuseCall(call, command.StatusSystemError, "%v", err)
}

// updateTopic serves UPDATE_AND_CREATE_TOPIC.
func (b *Broker) updateTopic(req *wire.Frame) {
	h := command.CreateTopicHeader{FilterType: command.SingleTag}
	if !decode(req, &h) {
		return
	}
	if h.FilterType != command.SingleTag && h.FilterType != "MULTI_TAG" {
		refuse(req, command.StatusSystemError, "topicFilterType = [%s] value invalid, want SINGLE_TAG or MULTI_TAG", h.FilterType)
		return
	}
	changes, err := parseAttributes(h.Attributes)
	if err != nil {
		refuse(req, command.StatusSystemError, "%v", err)
		return
	}
	c := command.TopicConfig{Name: h.Topic, ReadQueues: h.ReadQueues, WriteQueues: h.WriteQueues, Perm: h.Perm,
		FilterType: h.FilterType, SysFlag: h.SysFlag, Order: h.Order, Attributes: changes}
	v, err := b.changeTopic(c)
	if err != nil {
		refuseWith(req, err)
		return
	}
	if !b.topics.isLight(h.Topic) {
		b.registerTopic(h.Topic, v)
	}
	succeed(req, nil, nil)
}

// updateTopics serves UPDATE_AND_CREATE_TOPIC_LIST.
func (b *Broker) updateTopics(req *wire.Frame) {
	var body command.TopicConfigList
	if !decodeBody(req, &body) {
		return
	}
	for _, c := range body.Topics {
		if err := b.checkTopic(&c); err != nil {
			refuseWith(req, err)
			return
		}
	}
	for _, c := range body.Topics {
		if _, err := b.changeTopic(c); err != nil {
			refuseWith(req, err)
			return
		}
	}
	b.registerSoon()
	succeed(req, nil, nil)
}

// checkTopic checks what a client wants a topic to be.
func (b *Broker) checkTopic(c *command.TopicConfig) error {
	if err := skua.ValidateTopic(c.Name); err != nil {
		return refusalf(command.StatusInvalidParameter, "%v", err)
	}
	if b.options.Load().ValidateSystemTopicWhenUpdateTopic && b.topics.isSystem(c.Name) {
		return refusalf(command.StatusInvalidParameter, "The topic[%s] is conflict with system topic.", c.Name)
	}
	if c.Attributes["+"+attrMessageType] == messageMixed && !b.options.Load().EnableMixedMessageType {
		return refusalf(command.StatusInvalidParameter, "MIXED message type is not supported: set enableMixedMessageType=true to allow it")
	}
	if err := checkQueues(c); err != nil {
		return refusalf(command.StatusInvalidParameter, "%v", err)
	}
	return nil
}

// changeTopic creates or changes a topic. The attributes of c are changes, see parseAttributes.
func (b *Broker) changeTopic(c command.TopicConfig) (step, error) {
	if err := b.checkTopic(&c); err != nil {
		return step{}, err
	}
	if b.topics.isLight(c.Name) {
		return step{}, nil // as in Java: it exists, and has no settings
	}
	return b.topics.update(c.Name, func(old *command.TopicConfig) (command.TopicConfig, error) {
		var had map[string]string
		if old != nil {
			had, c.Unknown = old.Attributes, old.Unknown
		}
		attributes, err := alterAttributes(topicAttributes, had, old == nil, signed(c.Attributes))
		c.Attributes = attributes
		if old == nil {
			b.log.Info("topic created", "topic", c.Name, "readQueues", c.ReadQueues, "writeQueues", c.WriteQueues, "perm", c.Perm)
		} else if !sameTopic(old, &c) {
			b.log.Info("topic changed", "topic", c.Name, "readQueues", c.ReadQueues, "writeQueues", c.WriteQueues, "perm", c.Perm)
		}
		return c, err
	})
}

// signed gives keys without a sign, as lists of topics may have them, a plus.
func signed(changes map[string]string) map[string]string {
	out := make(map[string]string, len(changes))
	for key, value := range changes {
		if !strings.HasPrefix(key, "+") && !strings.HasPrefix(key, "-") {
			key = "+" + key
		}
		out[key] = value
	}
	return out
}

func sameTopic(a, b *command.TopicConfig) bool {
	return a.ReadQueues == b.ReadQueues && a.WriteQueues == b.WriteQueues && a.Perm == b.Perm && a.Order == b.Order &&
		a.FilterType == b.FilterType && a.SysFlag == b.SysFlag && maps.Equal(a.Attributes, b.Attributes)
}

// deleteTopic serves DELETE_TOPIC_IN_BROKER: with the topic go its messages, offsets and pop retry topics.
func (b *Broker) deleteTopic(req *wire.Frame) {
	var h command.TopicHeader
	if !decode(req, &h) {
		return
	}
	switch {
	case strings.TrimSpace(h.Topic) == "":
		refuse(req, command.StatusInvalidParameter, "The specified topic is blank.")
		return
	case b.topics.isSystem(h.Topic):
		refuse(req, command.StatusInvalidParameter, "The topic[%s] is conflict with system topic.", h.Topic)
		return
	}
	names := []string{h.Topic}
	if b.options.Load().ClearRetryTopicWhenDeleteTopic {
		for _, group := range b.offsets.groupsOf(h.Topic) {
			names = append(names, skua.RetryTopic(group+"_"+h.Topic), skua.RetryTopic(group+"+"+h.Topic))
		}
	}
	for _, name := range names {
		if err := b.dropTopic(name); err != nil {
			refuseWith(req, err)
			return
		}
	}
	b.registerSoon()
	succeed(req, nil, nil)
}

// dropTopic deletes what the broker knows of a topic and what the store has of it.
func (b *Broker) dropTopic(name string) error {
	had, err := b.topics.drop(name, func(had bool) error {
		b.broadcasts.forget(func(k offsetKey) bool { return k.topic == name })
		b.offsets.forgetTopic(name)
		b.stats.forgetTopic(name)
		if b.wheel != nil {
			b.wheel.Forget(name)
		}
		if !had {
			return nil
		}
		return errors.Join(b.compaction.Load().forget(name), b.store.DeleteTopic(name))
	})
	if had {
		b.log.Info("topic deleted", "topic", name)
		b.polls.topicChanged(name)
	}
	return err
}

// topicConfig serves GET_TOPIC_CONFIG.
func (b *Broker) topicConfig(req *wire.Frame) {
	var h command.TopicConfigHeader
	if !decode(req, &h) {
		return
	}
	t := b.topics.find(h.Topic)
	if t == nil {
		refuse(req, command.StatusTopicNotExist, "No topic in this broker. topic: %s", h.Topic)
		return
	}
	detail := command.TopicConfigDetail{TopicConfig: t.TopicConfig}
	if t.mapping != nil && h.Logical != nil && *h.Logical {
		detail.Mapping = t.mapping.Detail()
	}
	answer(req, &detail)
}

// systemTopics serves GET_SYSTEM_TOPIC_LIST_FROM_BROKER.
func (b *Broker) systemTopics(req *wire.Frame) {
	answer(req, &command.TopicList{Topics: b.topics.systemNames()})
}

// allTopics serves GET_ALL_TOPIC_CONFIG, in pages for callers that ask for them.
func (b *Broker) allTopics(req *wire.Frame) {
	var h command.AllTopicConfigHeader
	if !decode(req, &h) {
		return
	}
	table, version := b.topics.all()
	total := len(table)
	if p, ok := b.pageOf(h.Seq, h.DataVersion, h.Max, version); ok {
		table = part(table, p)
	}
	details, mappingVersion := b.topics.mappings.details(table)
	answerWith(req.Call(), &command.AllTopicConfigResponse{Total: int32(total)},
		&command.TopicConfigWrapper{DataVersion: version, MappingDataVersion: mappingVersion, Topics: table, MappingDetails: details})
}

// page is a part of a table in the order of its keys.
type page struct{ from, count int }

// pageOf is the page that the caller of a paged request wants next: it starts anew if the table has changed since. ok is
// false if everything is wanted at once.
func (b *Broker) pageOf(seq *int32, version *string, most *int32, current command.DataVersion) (p page, ok bool) {
	o := b.options.Load()
	if !o.EnableSplitMetadata || seq == nil || version == nil || most == nil {
		return p, false
	}
	p.count = int(min(max(*most, 1), o.SplitMetadataSize))
	var had command.DataVersion
	if *seq > 0 && *version != "" && fastjson.Unmarshal([]byte(*version), &had) == nil && had == current {
		p.from = int(*seq)
	}
	return p, true
}

// part returns a page of a table.
func part[V any](table map[string]V, p page) map[string]V {
	keys := slices.Sorted(maps.Keys(table))
	from := min(p.from, len(keys))
	out := map[string]V{}
	for _, key := range keys[from:min(from+p.count, len(keys))] {
		out[key] = table[key]
	}
	return out
}

// ensureTopic returns a topic that the broker itself needs, and creates it with as many queues and that system flag if
// it is missing. It returns nil if it cannot be created, which it logs. It blocks while a new topic is saved.
func (b *Broker) ensureTopic(name string, queues, sysFlag int32) *topic {
	if t := b.topics.find(name); t != nil {
		return t
	}
	t, made, err := b.topics.create(name, func() (command.TopicConfig, error) {
		c := command.DefaultTopicConfig(name)
		c.ReadQueues, c.WriteQueues, c.SysFlag = queues, queues, sysFlag
		if err := skua.ValidateTopic(name); err != nil {
			return c, err
		}
		return c, checkQueues(&c)
	})
	if err != nil {
		b.log.Warn("topic cannot be created", "topic", name, "error", err)
		return nil
	}
	if made {
		b.registerSoon()
	}
	return t
}
