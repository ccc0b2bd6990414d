package client

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// Light queues (brokers with enableLmq): a message that has the property INNER_MULTI_DISPATCH=%LMQ%a,%LMQ%b can also be read as one
// of the topics %LMQ%a and %LMQ%b, each with one queue on the broker that has the message. They can be subscribed to, or
// assigned, as any topic; name servers do not know them.

func isLight(topic string) bool { return strings.HasPrefix(topic, skua.LMQPrefix) }

// askLightRoute makes the route of a light queue: queue 0 of all brokers.
func (c *Client) askLightRoute(ctx context.Context, topic string) (*command.TopicRoute, error) {
	op := "finding the brokers of light queue " + topic
	f, addr, err := c.askNameServers(ctx, op, &wire.Request{Code: command.GetBrokerClusterInfo})
	if err != nil {
		return nil, err
	}
	if f.Code != 0 {
		return nil, refusal(op, addr, f)
	}
	var all command.ClusterInfo
	if err := fastjson.Unmarshal(f.Body, &all); err != nil {
		return nil, fmt.Errorf("%s: name server %s sent what is no cluster: %w", op, addr, err)
	}
	d := new(command.TopicRoute)
	for _, name := range slices.Sorted(maps.Keys(all.Brokers)) {
		d.Brokers = append(d.Brokers, all.Brokers[name])
		d.Queues = append(d.Queues, command.QueueData{BrokerName: name, Perm: skua.PermRead | skua.PermWrite, ReadQueues: 1, WriteQueues: 1})
	}
	return d, nil
}

// placeLight makes m, which was read as one of a light queue, what it was sent as, at the offset that it has there.
func (m *Received) placeLight(r *record.Message) {
	if off, ok := record.LightOffset(r, m.Queue.Topic); ok {
		m.Topic, m.Offset = string(r.Topic), skua.QueueOffset(off)
	}
}
