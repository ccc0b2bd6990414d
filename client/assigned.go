package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// BrokerStrategy is a way in which brokers divide the queues of a topic among the members of a group.
type BrokerStrategy string

// The strategies that brokers know; members that divide for themselves come to the same with Averagely and ByCircle.
const (
	BrokerAveragely BrokerStrategy = "AVG"
	BrokerByCircle  BrokerStrategy = "AVG_BY_CIRCLE"
)

// checkByBroker returns nil if the options let a broker divide the queues, or do not ask for that. Java's orderly and broadcast
// consumers divide for themselves whatever they are told.
func (o *PushOptions) checkByBroker() error {
	switch {
	case o.ByBroker == "":
		return nil
	case o.ByBroker != BrokerAveragely && o.ByBroker != BrokerByCircle:
		return fmt.Errorf("ByBroker is %q: brokers divide queues by %s and %s", o.ByBroker, BrokerAveragely, BrokerByCircle)
	case o.Strategy != nil:
		return errors.New("either Strategy or ByBroker: the members divide the queues, or a broker does")
	case o.Orderly || o.Broadcast:
		return errors.New("ByBroker is neither for orderly nor for broadcast consumers, which always divide the queues themselves")
	}
	return nil
}

// assigned asks the brokers of a route, one after the other, which queues of the topic are this member's. Queues that a broker wants
// to be popped are left out, so that nobody pulls what others pop; the log tells.
func (m *member) assigned(ctx context.Context, r *route) ([]skua.Queue, error) {
	body, err := fastjson.Marshal(&command.QueryAssignmentBody{ClientID: m.c.id, Group: m.group, Model: command.Clustering, Strategy: string(m.byBroker), Topic: r.topic})
	if err != nil {
		return nil, err
	}
	var answer command.Assignments
	var addr string
	err = fmt.Errorf("topic %s has no brokers", r.topic)
	for _, broker := range slices.Sorted(maps.Keys(r.brokers)) {
		var ok bool
		if addr, ok = r.addr(broker, skua.Master); !ok {
			continue
		}
		var f *wire.Frame
		if f, err = m.c.call(ctx, "asking for queues of topic "+r.topic, addr, &wire.Request{Code: command.QueryAssignment, Body: body}); err == nil {
			err = fastjson.Unmarshal(f.Body, &answer)
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		m.noteDivision(r.topic, err)
		return nil, err
	}
	if answer.Assignments == nil { // it does not know the topic, or the member; it will
		return nil, errors.New("the broker assigns nothing yet")
	}
	mine, popped := pulled(r.topic, answer.Assignments)
	if popped > 0 {
		err = fmt.Errorf("the broker wants %d of the queues to be popped, which this client cannot; "+
			"to pull them: mqadmin setConsumeMode -b %s -t %s -g %s -m PULL", popped, addr, r.topic, m.group)
	}
	m.noteDivision(r.topic, err)
	return mine, nil
}

// pulled returns those queues of a topic that are to be pulled, and how many others there are.
func pulled(topic string, all []command.Assignment) (mine []skua.Queue, popped int) {
	for _, a := range all {
		switch {
		case a.Mode == command.ModePop:
			popped++
		case a.Queue.Topic == topic && a.Queue.QueueID >= 0:
			mine = append(mine, skua.Queue{Topic: topic, Broker: a.Queue.Broker, ID: a.Queue.QueueID})
		}
	}
	return mine, popped
}
