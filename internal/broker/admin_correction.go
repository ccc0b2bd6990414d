package broker

import (
	"math"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// notConsumed stands for the offset of a queue in which the compared group is behind all others.
const notConsumed = skua.QueueOffset(math.MaxInt64)

// correctionOffsets serves QUERY_CORRECTION_OFFSET: for each queue of a topic the least offset that a group has
// committed, groups to be left out aside; notConsumed where the group to compare with has come less far.
func (b *Broker) correctionOffsets(f *wire.Frame) {
	var h command.CorrectionOffsetHeader
	if !decode(f, &h) {
		return
	}
	out := command.CorrectionOffsets{Offsets: map[int32]skua.QueueOffset{}}
	if t := b.topics.find(h.Topic); t != nil {
		out.Offsets = b.leastCommitted(t, splitList(h.FilterGroups, ","))
	}
	for _, p := range b.offsets.queues(h.Topic, h.CompareGroup) {
		if least, ok := out.Offsets[p.queue]; ok && p.committed != noOffset && least > p.committed {
			out.Offsets[p.queue] = notConsumed
		}
	}
	answer(f, out)
}

// leastCommitted returns the least offset that any group but those left out has committed, by queue. Offsets of
// messages that are gone do not count.
func (b *Broker) leastCommitted(t *topic, leftOut []string) map[int32]skua.QueueOffset {
	least := map[int32]skua.QueueOffset{}
	for _, group := range b.offsets.groupsOf(t.Name) {
		if slices.Contains(leftOut, group) {
			continue
		}
		for _, p := range b.offsets.queues(t.Name, group) {
			if p.committed == noOffset || int(p.queue) >= len(t.queues) || p.committed < t.queue(p.queue).Min() {
				continue
			}
			if known, ok := least[p.queue]; !ok || p.committed < known {
				least[p.queue] = p.committed
			}
		}
	}
	return least
}
