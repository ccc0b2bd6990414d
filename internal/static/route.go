package static

import (
	"cmp"
	"maps"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// GlobalScope is the usual scope of a mapping.
const GlobalScope = "__global__"

// MockBroker is the name that stands for a broker in the names of logical queues.
func MockBroker(scope string) string {
	if scope == GlobalScope {
		scope = scope[2:]
	}
	return skua.LogicalBrokerPrefix + scope
}

// Owners tells which broker leads each logical queue of a topic, by what a route says of it; empty if the topic is not
// static. A queue that nobody leads has the owner skua.NoLogicalBroker. Where brokers disagree the later epoch wins.
func Owners(topic string, mappings map[string]command.TopicMapping) map[skua.Queue]string {
	owners := map[skua.Queue]string{}
	scopes := map[string][]command.TopicMapping{}
	for _, name := range slices.Sorted(maps.Keys(mappings)) {
		m := mappings[name]
		scopes[m.Scope] = append(scopes[m.Scope], m)
	}
	for scope, list := range scopes {
		slices.SortStableFunc(list, func(a, b command.TopicMapping) int { return cmp.Compare(a.Epoch, b.Epoch) })
		total, mock := int32(0), MockBroker(scope)
		for _, m := range list {
			total = max(total, min(m.TotalQueues, MaxQueues))
		}
		for id := range total {
			owners[skua.Queue{Topic: topic, Broker: mock, ID: id}] = skua.NoLogicalBroker
		}
		for _, m := range list {
			for id := range m.CurrIDs {
				if q := (skua.Queue{Topic: topic, Broker: mock, ID: id}); id >= 0 && id < total {
					owners[q] = m.Broker
				}
			}
		}
	}
	return owners
}
