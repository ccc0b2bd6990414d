package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/skuamq/skua/internal/command"
)

// groupChange is a change of the consumer groups: a line of their journal.
type groupChange struct {
	Version   command.DataVersion         `json:"version"` // after it
	Put       []command.GroupConfig       `json:"put"`
	Drop      string                      `json:"drop"`
	Forbidden map[string]map[string]int32 `json:"forbidden"` // all that is forbidden to the groups that it names
}

// apply makes the change. Only the two outer maps of t are changed in place.
func (c *groupChange) apply(t *command.GroupConfigWrapper) {
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
	t.DataVersion = c.Version
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

// readGroups returns the groups that are saved, and how many changes were in the journal.
func readGroups(at savedIn, log *slog.Logger) (saved command.GroupConfigWrapper, n int, err error) {
	file, changes, err := readChanged[command.GroupConfigWrapper, groupChange](at, log)
	if err != nil {
		return saved, 0, err
	}
	if file != nil {
		saved = *file
	}
	if saved.Groups == nil {
		saved.Groups = map[string]command.GroupConfig{}
	}
	if saved.Forbidden == nil {
		saved.Forbidden = map[string]map[string]int32{}
	}
	for name, c := range saved.Groups {
		c.Name = name
		saved.Groups[name] = c
	}
	for _, c := range changes {
		if newer(c.Version, saved.DataVersion) {
			c.apply(&saved)
		}
	}
	return saved, len(changes), nil
}

// copyOf is what is saved, for one who holds change or mu.
func (gs *groups) copyOf() command.GroupConfigWrapper {
	c := gs.saved
	c.Groups, c.Forbidden = maps.Clone(c.Groups), maps.Clone(c.Forbidden)
	return c
}

// update saves and shows the change that revise makes of what is saved, which it must leave as it is.
func (gs *groups) update(revise func(saved *command.GroupConfigWrapper) (*groupChange, error)) error {
	gs.change.Lock()
	defer gs.change.Unlock()
	c, err := revise(&gs.saved)
	if err != nil {
		return err
	}
	c.Version = gs.saved.DataVersion.Next(time.Now().UnixMilli())
	err = gs.save(c, func() any {
		next := gs.copyOf()
		c.apply(&next)
		return &next
	})
	if err != nil {
		return fmt.Errorf("consumer groups cannot be saved: %w", err)
	}
	gs.mu.Lock()
	defer gs.mu.Unlock()
	c.apply(&gs.saved)
	for name := range c.names {
		gs.show(name)
	}
	return nil
}

// show makes the table agree with what is saved of a group.
func (gs *groups) show(name string) {
	if c, ok := gs.saved.Groups[name]; ok {
		gs.table[name] = &group{c, []byte(name), gs.saved.Forbidden[name]}
	} else {
		delete(gs.table, name)
	}
}
