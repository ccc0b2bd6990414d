package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/wire"
)

// maxRequestModes bounds the entries of messageRequestMode.json, which is written as a whole with each change.
const maxRequestModes = 100_000

// requestModes tell how consumer groups that have their queues assigned by the broker get the messages of a topic, and
// messageRequestMode.json. It is safe for concurrent use. What is shown is saved, on disk.
type requestModes struct {
	path string

	change sync.Mutex                                  // held while a change is made and saved
	saved  atomic.Pointer[command.MessageRequestModes] // an immutable snapshot
}

// openRequestModes reads the modes of a store.
func openRequestModes(path string, log *slog.Logger) (*requestModes, error) {
	saved, err := jsonfile.Read[command.MessageRequestModes](path, log)
	if err != nil {
		return nil, err
	}
	if saved == nil {
		saved = new(command.MessageRequestModes)
	}
	if saved.Modes == nil {
		saved.Modes = map[string]map[string]command.MessageRequestMode{}
	}
	m := &requestModes{path: path}
	m.saved.Store(saved)
	return m, nil
}

// get returns the mode of a group for a topic, if it was set.
func (m *requestModes) get(topic, group string) (mode command.MessageRequestMode, ok bool) {
	mode, ok = m.saved.Load().Modes[topic][group]
	return mode, ok
}

// set saves a mode, then shows it. It blocks until it is on disk.
func (m *requestModes) set(mode command.MessageRequestMode) error {
	m.change.Lock()
	defer m.change.Unlock()
	old := m.saved.Load().Modes
	if had, ok := old[mode.Topic][mode.Group]; ok && had == mode {
		return nil
	} else if !ok {
		n := 0
		for _, groups := range old {
			n += len(groups)
		}
		if n >= maxRequestModes {
			return fmt.Errorf("there are %d modes already, the most that are kept", n)
		}
	}
	next := &command.MessageRequestModes{Modes: maps.Clone(old)}
	groups := maps.Clone(old[mode.Topic])
	if groups == nil {
		groups = map[string]command.MessageRequestMode{}
	}
	groups[mode.Group] = mode
	next.Modes[mode.Topic] = groups
	if err := jsonfile.Write(m.path, next); err != nil {
		return fmt.Errorf("the mode cannot be saved: %w", err)
	}
	m.saved.Store(next)
	return nil
}

// setRequestMode serves SET_MESSAGE_REQUEST_MODE.
func (b *Broker) setRequestMode(req *wire.Frame) {
	var m command.MessageRequestMode
	if !decodeBody(req, &m) {
		return
	}
	switch {
	case skua.IsRetryTopic(m.Topic):
		refuse(req, command.StatusNoPermission, "retry topic is not allowed to set mode: consumers pull from %.300s whatever the mode of their group", m.Topic)
		return
	case b.topics.find(m.Topic) == nil:
		refuse(req, command.StatusTopicNotExist, "topic[%.300s] not exist on broker %s (mqadmin updateTopic creates topics)", m.Topic, b.Name())
		return
	case m.Mode != command.ModePull && m.Mode != command.ModePop:
		refuse(req, command.StatusInvalidParameter, "mode %.30q of topic %s and group %.300s must be PULL or POP", m.Mode, m.Topic, m.Group)
		return
	case b.findGroup(m.Group) == nil:
		refuse(req, command.StatusSubscriptionGroupNotExist,
			"subscription group does not exist: %.300s; create it (mqadmin updateSubGroup) or set autoCreateSubscriptionGroup=true", m.Group)
		return
	}
	if err := b.modes.set(m); err != nil {
		refuseWith(req, err)
		return
	}
	b.log.Info("message request mode set", "topic", m.Topic, "group", m.Group, "mode", m.Mode, "popShareQueueNum", m.ShareQueues)
	if m.Mode == command.ModePop {
		b.log.Warn("pop is not in this release: consumers that do as this mode says get no messages here", "topic", m.Topic, "group", m.Group)
	}
	succeed(req, nil, nil)
}

// allRequestModes serves GET_ALL_MESSAGE_REQUEST_MODE.
func (b *Broker) allRequestModes(req *wire.Frame) { answer(req, b.modes.saved.Load()) }
