package broker

import (
	"slices"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// Questions of administrators about who is connected and who consumes what.

// consumerConnections serves GET_CONSUMER_CONNECTION_LIST.
func (b *Broker) consumerConnections(f *wire.Frame) {
	var h command.ConsumerGroupHeader
	if !decode(f, &h) {
		return
	}
	body, ok := b.clients.consumerConnection(h.Group)
	if !ok {
		refuse(f, command.StatusConsumerNotOnline, "the consumer group[%s] not online", h.Group)
		return
	}
	answer(f, body)
}

// producerConnections serves GET_PRODUCER_CONNECTION_LIST.
func (b *Broker) producerConnections(f *wire.Frame) {
	var h command.ProducerGroupHeader
	if !decode(f, &h) {
		return
	}
	all := b.clients.producerConnection(h.Group)
	if len(all) == 0 {
		refuse(f, command.StatusSystemError, "the producer group[%s] not exist", h.Group)
		return
	}
	answer(f, command.ProducerConnection{Connections: all})
}

// allProducers serves GET_ALL_PRODUCER_INFO.
func (b *Broker) allProducers(f *wire.Frame) { answer(f, b.clients.producerTable()) }

// topicConsumers serves QUERY_TOPIC_CONSUME_BY_WHO: groups that subscribe to a topic now or have offsets of it.
func (b *Broker) topicConsumers(f *wire.Frame) {
	var h command.TopicHeader
	if !decode(f, &h) {
		return
	}
	groups := append(b.clients.groupsOf(h.Topic), b.offsets.groupsOf(h.Topic)...)
	slices.Sort(groups)
	answer(f, command.GroupList{Groups: slices.Compact(groups)})
}

// groupTopics serves QUERY_TOPICS_BY_CONSUMER.
func (b *Broker) groupTopics(f *wire.Frame) {
	var h command.GroupHeader
	if !decode(f, &h) {
		return
	}
	topics := b.offsets.topicsOf(h.Group)
	answer(f, command.TopicList{BrokerAddr: b.Advertised(), Topics: topics})
}

// groupSubscription serves QUERY_SUBSCRIPTION_BY_CONSUMER.
func (b *Broker) groupSubscription(f *wire.Frame) {
	var h command.GroupHeader
	if !decode(f, &h) {
		return
	}
	body := command.GroupSubscription{Group: h.Group, Topic: h.Topic}
	if view := b.clients.outlook([]byte(h.Group)); view != nil && view.topics[h.Topic] != nil {
		body.Subscription = &view.topics[h.Topic].SubscriptionData
	}
	answer(f, body)
}

// viewStats serves VIEW_BROKER_STATS_DATA.
func (b *Broker) viewStats(f *wire.Frame) {
	var h command.StatsHeader
	if !decode(f, &h) {
		return
	}
	c := b.stats.find(h.Name, h.Key)
	if c == nil {
		refuse(f, command.StatusSystemError, "The stats <%s> <%s> not exist", h.Name, h.Key)
		return
	}
	minute, hour, day := c.windows()
	answer(f, command.BrokerStatsData{Minute: minute.item(), Hour: hour.item(), Day: day.item()})
}

func (w window) item() command.BrokerStatsItem {
	return command.BrokerStatsItem{Sum: w.Sum, TPS: w.TPS, Average: w.Average}
}
