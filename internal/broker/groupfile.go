package broker

import (
	"maps"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

// groupChange is a change of the consumer groups: a line of their journal.
type groupChange struct {
	jsonfile.Versioned
	Put       []command.GroupConfig       `json:"put"`
	Drop      string                      `json:"drop"`
	Forbidden map[string]map[string]int32 `json:"forbidden"` // all that is forbidden to the groups that it names
}

// Apply makes the change. Only the two outer maps of t are changed in place.
func (c *groupChange) Apply(t *command.GroupConfigWrapper) {
	for _, g := range c.Put {
		t.Groups[g.Name] = g
	}
	if c.Drop != "" {
		delete(t.Groups, c.Drop)
		delete(t.Forbidden, c.Drop)
	}
	for group, topics := range c.Forbidden {
		if len(topics) > 0 {
			t.Forbidden[group] = topics
		} else {
			delete(t.Forbidden, group)
		}
	}
}

// names yields the groups that the change is about.
func (c *groupChange) names(yield func(string) bool) {
	for i := range c.Put {
		if !yield(c.Put[i].Name) {
			return
		}
	}
	if c.Drop != "" && !yield(c.Drop) {
		return
	}
	for name := range c.Forbidden {
		if !yield(name) {
			return
		}
	}
}

// savedGroups is what is in subscriptionGroup.json.
var savedGroups = jsonfile.Kind[command.GroupConfigWrapper]{
	What:    "consumer groups",
	Version: func(t *command.GroupConfigWrapper) *command.DataVersion { return &t.DataVersion },
	Loaded:  completeGroups,
	Clone:   cloneGroups,
}

// completeGroups adds the groups that every broker has.
func completeGroups(t *command.GroupConfigWrapper) {
	if t.Groups == nil {
		t.Groups = map[string]command.GroupConfig{}
	}
	if t.Forbidden == nil {
		t.Forbidden = map[string]map[string]int32{}
	}
	for name, c := range t.Groups {
		c.Name = name
		t.Groups[name] = c
	}
	for _, name := range startGroups {
		if _, ok := t.Groups[name]; !ok {
			t.Groups[name] = command.DefaultGroupConfig(name)
		}
	}
}

func cloneGroups(t command.GroupConfigWrapper) command.GroupConfigWrapper {
	t.Groups, t.Forbidden = maps.Clone(t.Groups), maps.Clone(t.Forbidden)
	return t
}

// update saves and shows the change that revise makes of what is saved, which it must leave as it is.
func (gs *groups) update(revise func(saved *command.GroupConfigWrapper) (*groupChange, error)) (err error) {
	gs.change.Lock()
	defer gs.change.Unlock()
	var c *groupChange
	gs.saved.Read(func(now *command.GroupConfigWrapper) { c, err = revise(now) })
	if err != nil {
		return err
	}
	return gs.saved.Update(c, func(now *command.GroupConfigWrapper) {
		gs.mu.Lock()
		defer gs.mu.Unlock()
		for name := range c.names {
			gs.show(now, name)
		}
	})
}

// show makes the table agree with what is saved of a group.
func (gs *groups) show(saved *command.GroupConfigWrapper, name string) {
	if forbidden := saved.Forbidden[name]; len(forbidden) > 0 {
		gs.forbidden[name] = forbidden
	} else {
		delete(gs.forbidden, name)
	}
	if c, ok := saved.Groups[name]; ok {
		gs.table[name] = &group{c, []byte(name), gs.forbidden[name]}
	} else {
		delete(gs.table, name)
	}
}
