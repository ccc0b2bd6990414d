package broker

import (
	"fmt"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// assignStrategies are those by which the broker divides queues, under the names that consumers know.
var assignStrategies = map[string]assign.Strategy{"AVG": assign.Averagely, "AVG_BY_CIRCLE": assign.ByCircle}

// queryAssignment serves QUERY_ASSIGNMENT: it tells a consumer which queues of a topic, on this broker and others, it has
// to read, and how. Without the topic, or without a member of the group here, the answer is empty, upon which consumers
// keep what they have.
func (b *Broker) queryAssignment(req *wire.Frame) {
	q := new(command.QueryAssignmentBody)
	if !decodeBody(req, q) {
		return
	}
	if err := checkAssignment(q); err != nil {
		refuse(req, command.StatusInvalidParameter, "%v", err)
		return
	}
	call := req.Call()
	if queues, ok := b.knownQueues(q.Topic); ok {
		answerCall(call, b.assignment(q, queues))
		return
	}
	b.relays.run(call, func() { answerCall(call, b.assignment(q, b.askedQueues(q.Topic))) })
}

// checkAssignment returns nil if a question can be answered.
func checkAssignment(q *command.QueryAssignmentBody) error {
	switch {
	case q.Topic == "" || q.Group == "" || q.ClientID == "":
		return fmt.Errorf("topic %.300q, consumerGroup %.300q and clientId %.300q must not be empty", q.Topic, q.Group, q.ClientID)
	case len(q.Topic) > skua.MaxRetryTopicName:
		return fmt.Errorf("topic of %d bytes; at most %d are allowed", len(q.Topic), skua.MaxRetryTopicName)
	case q.Model != command.Broadcasting && q.Model != command.Clustering:
		return fmt.Errorf("messageModel %.30q must be %s or %s", q.Model, command.Clustering, command.Broadcasting)
	case q.Model == command.Clustering && assignStrategies[q.Strategy] == nil:
		return fmt.Errorf("unsupported strategy [%.100s]: brokers divide queues by AVG and AVG_BY_CIRCLE; others are for consumers that divide themselves", q.Strategy)
	}
	return nil
}

// assignment is what a consumer is told, if the topic has these queues.
func (b *Broker) assignment(q *command.QueryAssignmentBody, queues []skua.Queue) command.Assignments {
	mode := b.requestMode(q.Topic, q.Group)
	mine, ok := b.divide(q, mode, queues)
	if !ok {
		return command.Assignments{}
	}
	out := command.Assignments{Assignments: make([]command.Assignment, len(mine))}
	for i, queue := range mine {
		out.Assignments[i] = command.Assignment{Queue: command.QueueOf(queue), Mode: mode.Mode}
	}
	return out
}

// requestMode is the mode of a group for a topic: the one that was set, else the default.
func (b *Broker) requestMode(topic, group string) command.MessageRequestMode {
	if m, ok := b.modes.get(topic, group); ok {
		return m
	}
	o := b.options.Load()
	if skua.IsRetryTopic(topic) || command.RequestMode(o.DefaultMessageRequestMode) != command.ModePop {
		return command.MessageRequestMode{Mode: command.ModePull}
	}
	return command.MessageRequestMode{Mode: command.ModePop, ShareQueues: o.DefaultPopShareQueueNum}
}

// divide returns the queues of a consumer; false if nothing can be said.
func (b *Broker) divide(q *command.QueryAssignmentBody, mode command.MessageRequestMode, queues []skua.Queue) ([]skua.Queue, bool) {
	if queues == nil || q.Model == command.Broadcasting || !b.options.Load().ServerLoadBalancerEnable {
		return queues, queues != nil
	}
	members := b.clients.consumerIDs(q.Group)
	if members == nil {
		return nil, false
	}
	strategy := assignStrategies[q.Strategy]
	var mine []skua.Queue
	var err error
	if mode.Mode == command.ModePop {
		mine, err = assign.Pop(strategy, int(mode.ShareQueues), queues, members, q.ClientID)
	} else {
		mine, err = strategy(queues, members, q.ClientID)
	}
	return mine, err == nil
}
