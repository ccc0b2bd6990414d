package client

import (
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
)

// Strategy divides the queues of a topic among the members of a consumer group. It is called in each member for itself,
// with the queues, sorted by broker and number, the client ids of all members, sorted, and the member's own, and returns
// what that reads. Each queue has exactly one reader only if all members call the same strategy, which must depend on
// nothing but its arguments; programs in Java and Go may share a group if they have the same one. With an error, as when
// there are no queues, everything stays as it is, and is tried again soon. A strategy must not change its arguments. It is
// called for the group's retry topic, too; queues of other topics than the one that is asked for are left out.
//
// The strategies here are those of Java's clients; a program may write its own.
type Strategy func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error)

// Averagely gives each member a run of neighbouring queues, the first members one more if it does not come out even. It is
// the strategy of all clients that are not told otherwise; in Java it is AllocateMessageQueueAveragely.
func Averagely(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
	return assign.Averagely(queues, members, member)
}

// ByCircle deals the queues out one by one, so that those of one broker go to different members; in Java it is
// AllocateMessageQueueAveragelyByCircle.
func ByCircle(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
	return assign.ByCircle(queues, members, member)
}

// ConsistentHash returns a strategy by which, when a member comes or goes, hardly any queue moves but those that it gets
// or had. Shares are the more even the more nodes there are, 10 in Java unless told otherwise
// (AllocateMessageQueueConsistentHash); there must be at least one.
func ConsistentHash(nodes int) Strategy { return Strategy(assign.ConsistentHash(nodes)) }

// MachineRoom returns a strategy that reads only the queues of brokers in some machine rooms, those whose name begins with
// the name of one and an @; in Java it is AllocateMessageQueueByMachineRoom.
func MachineRoom(rooms ...string) Strategy { return Strategy(assign.MachineRoom(rooms)) }

// Rooms tells where brokers and members of a group are. A client id begins with the address of its machine and an @.
type Rooms struct {
	Queue  func(skua.Queue) string      // the machine room of a queue's broker, "" if it is not known, which is an error
	Member func(clientID string) string // the machine room of a member, likewise
}

// MachineRoomNearby returns a strategy that keeps reading inside of machine rooms: the queues of each room are divided
// among its members by the strategy within, those of a room that has no members among all. In Java it is
// AllocateMachineRoomNearby.
func MachineRoomNearby(within Strategy, rooms Rooms) Strategy {
	return Strategy(assign.MachineRoomNearby(assign.Strategy(within), assign.Rooms(rooms)))
}

// ByConfig returns a strategy that reads exactly these queues, of any topic, whatever other members do; in Java it is
// AllocateMessageQueueByConfig. If none of them is of the group's retry topic that is divided averagely, so that what is
// sent back comes again.
func ByConfig(queues ...skua.Queue) Strategy {
	config := assign.ByConfig(queues)
	retries := slices.ContainsFunc(queues, func(q skua.Queue) bool { return skua.IsRetryTopic(q.Topic) })
	return func(all []skua.Queue, members []string, member string) ([]skua.Queue, error) {
		if len(all) > 0 && skua.IsRetryTopic(all[0].Topic) && !retries {
			return assign.Averagely(all, members, member)
		}
		return config(all, members, member)
	}
}

// noteDivision logs when the division of a topic's queues begins or ceases to fail, or fails in another way.
func (m *member) noteDivision(topic string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	m.mu.Lock()
	before := m.unfit[topic]
	m.unfit[topic] = text
	m.mu.Unlock()
	switch {
	case text == before:
	case err != nil:
		m.c.log.Warn("queues are not divided as they should be", "group", m.group, "topic", topic, "error", err)
	default:
		m.c.log.Info("queues are divided again", "group", m.group, "topic", topic)
	}
}
