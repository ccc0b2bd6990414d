package broker

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/wire"
)

// maxGroups bounds the consumer groups that come into being without being created by an administrator.
const maxGroups = 1_000_000

// startGroups are the groups that a broker has from the start.
var startGroups = []string{"TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "CID_ONS-HTTP-PROXY", "CID_ONSAPI_PULL",
	"CID_ONSAPI_PERMISSION", "CID_ONSAPI_OWNER", "CID_RMQ_SYS_TRANS"}

// forbidRead is the bit in the table of forbidden topics that forbids a group to read.
const forbidRead = int32(skua.PermRead)

// group is a consumer group as it is now. It is immutable.
type group struct {
	command.GroupConfig
	bytes     []byte           // its name
	forbidden map[string]int32 // bits by topic
}

// mayRead reports whether the group may read a topic.
func (g *group) mayRead(topic []byte) bool { return g.forbidden[string(topic)]&forbidRead == 0 }

// groups are the consumer groups of a broker, and subscriptionGroup.json. It is safe for concurrent use. As with topics,
// what is shown is saved.
type groups struct {
	saved *jsonfile.Table[command.GroupConfigWrapper]

	light bool // groups whose names begin with %LMQ% exist; set once

	change sync.Mutex // held while a group is changed

	mu        sync.RWMutex
	table     map[string]*group           // guarded by mu
	forbidden map[string]map[string]int32 // by name, of groups in the table and others; guarded by mu
}

// openGroups reads the groups of a store and adds those that every broker has.
func openGroups(at jsonfile.Place, log *slog.Logger) (*groups, error) {
	saved, err := jsonfile.OpenTable[command.GroupConfigWrapper, groupChange](at, savedGroups, log)
	if err != nil {
		return nil, err
	}
	gs := &groups{saved: saved, table: map[string]*group{}, forbidden: map[string]map[string]int32{}}
	saved.Read(func(now *command.GroupConfigWrapper) {
		for name := range now.Groups {
			gs.show(now, name)
		}
		for name := range now.Forbidden {
			gs.show(now, name)
		}
	})
	return gs, nil
}

// get returns a group, nil if there is none. It does not allocate, but for one that exists by its name.
func (gs *groups) get(name []byte) *group {
	if gs.light && bytes.HasPrefix(name, lightPrefix) {
		return gs.lookup(string(name))
	}
	gs.mu.RLock()
	g := gs.table[string(name)]
	gs.mu.RUnlock()
	return g
}

// lookup returns a group, nil if there is none.
func (gs *groups) lookup(name string) *group {
	gs.mu.RLock()
	defer gs.mu.RUnlock()
	if gs.light && strings.HasPrefix(name, skua.LMQPrefix) {
		return gs.lightGroup(name)
	}
	return gs.table[name]
}

// number is the number of groups.
func (gs *groups) number() int {
	gs.mu.RLock()
	defer gs.mu.RUnlock()
	return len(gs.table)
}

// all returns the groups, what is forbidden to them, and the version of the table. The maps belong to the caller. It may block
// while a group is saved.
func (gs *groups) all() (all command.GroupConfigWrapper) {
	gs.saved.Read(func(now *command.GroupConfigWrapper) { all = cloneGroups(*now) })
	return all
}

// find returns the configuration of a group, which is created if that is allowed; nil if there is none. It blocks while
// a new group is saved.
func (b *Broker) findGroup(name string) *group {
	if g := b.groups.lookup(name); g != nil {
		return g
	}
	o := b.options.Load()
	if !o.AutoCreateSubscriptionGroup && !skua.IsSystemGroup(name) || skua.IsSystemGroup(name) && !o.EnableCreateSysGroup {
		return nil
	}
	if skua.ValidateGroup(name) != nil {
		return nil
	}
	err := b.groups.update(func(saved *command.GroupConfigWrapper) (*groupChange, error) {
		if _, ok := saved.Groups[name]; ok {
			return nil, errNoChange
		}
		if len(saved.Groups) >= maxGroups {
			return nil, fmt.Errorf("there are %d already", len(saved.Groups))
		}
		return &groupChange{Put: []command.GroupConfig{command.DefaultGroupConfig(name)}}, nil
	})
	if err == nil {
		b.log.Info("consumer group created", "group", name)
	} else if err != errNoChange {
		b.log.Warn("consumer group cannot be created", "group", name, "error", err)
	}
	return b.groups.lookup(name)
}

// errNoChange stops an update that turns out to be superfluous.
var errNoChange = fmt.Errorf("no change")

// updateGroup serves UPDATE_AND_CREATE_SUBSCRIPTIONGROUP.
func (b *Broker) updateGroup(req *wire.Frame) {
	var c command.GroupConfig
	if decodeBody(req, &c) {
		b.changeGroups(req, []command.GroupConfig{c})
	}
}

// updateGroups serves UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST.
func (b *Broker) updateGroups(req *wire.Frame) {
	var body command.GroupConfigList
	if decodeBody(req, &body) {
		b.changeGroups(req, body.Groups)
	}
}

func (b *Broker) changeGroups(req *wire.Frame, configs []command.GroupConfig) {
	for i := range configs {
		c := &configs[i]
		if err := cmp.Or(skua.ValidateGroup(c.Name), c.RetryPolicy.Validate()); err != nil {
			refuse(req, command.StatusInvalidParameter, "%v", err)
			return
		}
		if c.RetryQueues < 0 || c.RetryQueues > maxTopicQueues || c.RetryMaxTimes < -1 {
			refuse(req, command.StatusInvalidParameter, "group %s: retryQueueNums %d must be between 0 and %d, retryMaxTimes %d at least -1",
				c.Name, c.RetryQueues, maxTopicQueues, c.RetryMaxTimes)
			return
		}
	}
	err := b.groups.update(func(saved *command.GroupConfigWrapper) (*groupChange, error) {
		put := make(map[string]command.GroupConfig, len(configs))
		for _, c := range configs {
			if b.groups.light && strings.HasPrefix(c.Name, skua.LMQPrefix) {
				continue // as in Java: these have no settings
			}
			old, exists := put[c.Name] // a list may name a group twice
			if !exists {
				old, exists = saved.Groups[c.Name]
			}
			if len(c.Unknown) == 0 {
				c.Unknown = old.Unknown
			}
			attributes, err := alterAttributes(groupAttributes, old.Attributes, !exists, signed(c.Attributes))
			if err != nil {
				return nil, err
			}
			c.Attributes = attributes
			put[c.Name] = c
			b.log.Info("consumer group changed", "group", c.Name, "created", !exists, "consumeEnable", c.ConsumeEnable, "retryMaxTimes", c.RetryMaxTimes)
		}
		if len(put) == 0 {
			return nil, errNoChange
		}
		return &groupChange{Put: slices.Collect(maps.Values(put))}, nil
	})
	if err != nil && err != errNoChange {
		refuseWith(req, err)
		return
	}
	succeed(req, nil, nil)
}

// deleteGroup serves DELETE_SUBSCRIPTIONGROUP.
func (b *Broker) deleteGroup(req *wire.Frame) {
	var h command.DeleteGroupHeader
	if !decode(req, &h) {
		return
	}
	err := b.groups.update(func(saved *command.GroupConfigWrapper) (*groupChange, error) {
		if _, ok := saved.Groups[h.Group]; !ok {
			return nil, errNoChange
		}
		return &groupChange{Drop: h.Group}, nil
	})
	if err != nil && err != errNoChange {
		refuseWith(req, err)
		return
	}
	if err == nil {
		b.log.Info("consumer group deleted", "group", h.Group)
	}
	if h.CleanOffset {
		b.broadcasts.forget(func(k offsetKey) bool { return k.group == h.Group })
		b.offsets.forgetGroup(h.Group)
		b.offsets.forgetGroup(h.Group + broadcastSuffix)
		b.stats.forgetGroup(h.Group)
	}
	succeed(req, nil, nil)
}

// groupConfig serves GET_SUBSCRIPTIONGROUP_CONFIG.
func (b *Broker) groupConfig(req *wire.Frame) {
	var h command.GroupHeader
	if !decode(req, &h) {
		return
	}
	g := b.groups.lookup(h.Group)
	if g == nil {
		refuse(req, command.StatusSubscriptionGroupNotExist, "No group in this broker. group: %s", h.Group)
		return
	}
	answer(req, &g.GroupConfig)
}

// allGroups serves GET_ALL_SUBSCRIPTIONGROUP_CONFIG, in pages for callers that ask for them.
func (b *Broker) allGroups(req *wire.Frame) {
	var h command.AllGroupConfigHeader
	if !decode(req, &h) {
		return
	}
	all := b.groups.all()
	all.Unknown = nil
	total := len(all.Groups)
	if p, ok := b.pageOf(h.Seq, h.DataVersion, h.Max, all.DataVersion); ok {
		all.Groups = part(all.Groups, p)
	}
	answerWith(req.Call(), &command.AllGroupConfigResponse{Total: int32(total)}, &all)
}

// groupForbidden serves UPDATE_AND_GET_GROUP_FORBIDDEN: it forbids a group to read a topic, or allows it again.
func (b *Broker) groupForbidden(req *wire.Frame) {
	var h command.GroupForbiddenHeader
	if !decode(req, &h) {
		return
	}
	if h.Readable != nil {
		if err := cmp.Or(skua.ValidateGroup(h.Group), skua.ValidateTopic(h.Topic)); err != nil {
			refuse(req, command.StatusInvalidParameter, "%v", err)
			return
		}
		err := b.groups.update(func(saved *command.GroupConfigWrapper) (*groupChange, error) {
			topics := maps.Clone(saved.Forbidden[h.Group])
			if topics == nil {
				topics = map[string]int32{}
			}
			if topics[h.Topic] &^= forbidRead; !*h.Readable {
				topics[h.Topic] |= forbidRead
			}
			maps.DeleteFunc(topics, func(_ string, bits int32) bool { return bits == 0 })
			return &groupChange{Forbidden: map[string]map[string]int32{h.Group: topics}}, nil
		})
		if err != nil {
			refuseWith(req, err)
			return
		}
	}
	readable := true
	if g := b.groups.lookup(h.Group); g != nil {
		readable = g.mayRead([]byte(h.Topic))
	}
	answer(req, &command.GroupForbidden{Group: h.Group, Topic: h.Topic, Readable: readable})
}

// names returns the names of all groups, sorted.
func (gs *groups) names() []string {
	gs.mu.RLock()
	defer gs.mu.RUnlock()
	return slices.Sorted(maps.Keys(gs.table))
}
