package broker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/static"
	"github.com/skuamq/skua/internal/wire"
)

// mappingSweep is how often mappings are looked at, in the hours of deleteWhen.
const mappingSweep = 5 * time.Minute

// sweepMappings drops what is of no use in the mappings of static topics: the oldest stretches once all their messages are
// gone, and logical queues that have moved on twice, so that a third broker leads them.
func (b *Broker) sweepMappings(now time.Time) {
	if !hourOf(b.options.Load().DeleteWhen, now) {
		return
	}
	all := b.topics.mappings.all()
	for _, topic := range slices.Sorted(maps.Keys(all)) {
		select {
		case <-b.stop:
			return
		default:
		}
		b.dropEmptyStretches(topic, all[topic])
		b.dropMovedQueues(topic, all[topic])
	}
}

// hourOf reports whether now is in one of the hours of a list such as "04;16".
func hourOf(list string, now time.Time) bool {
	return slices.ContainsFunc(strings.Split(list, ";"), func(s string) bool {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		return err == nil && n == now.Hour()
	})
}

// revise changes the stretches of logical queues of a topic, unless the mapping has been changed since it was m. Queues
// without stretches are dropped.
func (b *Broker) revise(topic string, m *static.Mapping, to map[int32][]command.MappingItem, why string) {
	err := b.topics.reviseMapping(topic, func(old *static.Mapping) (*static.Mapping, error) {
		if old != m {
			return nil, errSameMapping
		}
		d := *old.Detail()
		d.Hosted = maps.Clone(d.Hosted)
		for id, items := range to {
			if len(items) == 0 {
				delete(d.Hosted, id)
			} else {
				d.Hosted[id] = items
			}
		}
		return static.New(d), nil
	})
	switch {
	case err == errSameMapping:
	case err != nil:
		b.log.Warn("mapping of a static topic cannot be cleaned", "topic", topic, "error", err)
	default:
		b.log.Info("mapping of a static topic was cleaned", "topic", topic, "why", why, "queues", slices.Sorted(maps.Keys(to)))
	}
}

// dropEmptyStretches drops the oldest stretch of each queue that is led here if it has no messages any more.
func (b *Broker) dropEmptyStretches(topic string, m *static.Mapping) {
	offsets := map[string]map[command.MessageQueue]command.TopicOffset{} // by broker; nil if it could not be asked
	to := map[int32][]command.MappingItem{}
	for _, q := range m.Led() {
		items := m.Detail().Hosted[q.ID]
		if len(items) < 2 || items[1].LogicOffset < 0 {
			continue
		}
		oldest := items[0]
		known, asked := offsets[oldest.Broker]
		if !asked {
			known = b.offsetsAt(topic, oldest.Broker)
			offsets[oldest.Broker] = known
		}
		o, ok := known[command.MessageQueue{Broker: oldest.Broker, QueueID: oldest.QueueID, Topic: topic}]
		if ok && (o.MaxOffset == o.MinOffset || o.MaxOffset == 0) {
			to[q.ID] = items[1:]
		}
	}
	if len(to) > 0 {
		b.revise(topic, m, to, "the oldest stretches are empty")
	}
}

// offsetsAt are the offsets of the queues of a topic at a broker, nil if it cannot be asked.
func (b *Broker) offsetsAt(topic, broker string) map[command.MessageQueue]command.TopicOffset {
	if broker == b.Name() {
		out := map[command.MessageQueue]command.TopicOffset{}
		if t := b.topics.find(topic); t != nil {
			for id := range int32(len(t.queues)) {
				out[b.queue(topic, id)] = command.TopicOffset{MinOffset: t.queue(id).Min(), MaxOffset: t.queue(id).Max()}
			}
		}
		return out
	}
	var table command.TopicStatsTable
	if !b.askAbout(topic, broker, &wire.Request{Code: command.GetTopicStatsInfo, Header: &command.TopicHeader{Topic: topic}, Ext: map[string]string{"lo": "false"}}, &table) {
		return nil
	}
	return table.Offsets
}

// askAbout asks a broker about a topic; it reports false, and logs why, if there is no good answer.
func (b *Broker) askAbout(topic, broker string, r *wire.Request, v any) bool {
	f, err := b.askBroker(topic, broker, r)
	if err == nil && f.Code != int32(command.StatusSuccess) {
		err = unexpected(broker, f)
	}
	if err == nil {
		err = fastjson.Unmarshal(f.Body, v)
	}
	if err != nil {
		b.log.Warn("mapping of a static topic is not cleaned for now: a broker could not be asked", "topic", topic, "broker", broker, "error", err)
	}
	return err == nil
}

// dropMovedQueues drops logical queues that were moved from here to a broker that has given them away in turn, when their
// leader agrees with this broker on the epoch: nobody asks here for their stretches by way of this mapping any more.
func (b *Broker) dropMovedQueues(topic string, m *static.Mapping) {
	moved := map[int32]string{} // to whom, as this broker knows
	for id, items := range m.Detail().Hosted {
		if n := len(items); n > 0 && items[n-1].Broker != b.Name() {
			moved[id] = items[n-1].Broker
		}
	}
	if len(moved) == 0 {
		return
	}
	route, _ := b.askRoute(topic)
	if route == nil {
		return
	}
	b.peers.note(route.Brokers)
	owners, mock := static.Owners(topic, route.Mappings), static.MockBroker(m.Detail().Scope)
	details := map[string]*command.TopicMappingDetail{} // by broker; nil if it could not be asked
	to := map[int32][]command.MappingItem{}
	for id, known := range moved {
		leader := owners[skua.Queue{Topic: topic, Broker: mock, ID: id}]
		if leader == "" || leader == known || leader == b.Name() || strings.HasPrefix(leader, skua.LogicalBrokerPrefix) {
			continue
		}
		d, asked := details[leader]
		if !asked {
			var c command.TopicConfigDetail
			logical := true
			if b.askAbout(topic, leader, &wire.Request{Code: command.GetTopicConfig, Header: &command.TopicConfigHeader{Topic: topic, Logical: &logical}}, &c) {
				d = c.Mapping
			}
			details[leader] = d
		}
		if d == nil || d.Broker != leader || d.TotalQueues != m.Detail().TotalQueues || d.Epoch != m.Detail().Epoch {
			continue
		}
		if items := d.Hosted[id]; len(items) > 0 && items[len(items)-1].Broker == leader {
			to[id] = nil
		}
	}
	if len(to) > 0 {
		b.revise(topic, m, to, "the queues have moved on")
	}
}
