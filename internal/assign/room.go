package assign

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/skuamq/skua"
)

// MachineRoom returns a strategy that divides only the queues on brokers whose name begins with one of rooms and an @:
// each member gets a run of neighbouring ones, and of what remains the first members get one each. It is Java's
// MACHINE_ROOM; queues elsewhere go to nobody.
func MachineRoom(rooms []string) Strategy {
	rooms = slices.Clone(rooms)
	return func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
		at, err := check(queues, members, member)
		if at < 0 {
			return nil, err
		}
		var inside []skua.Queue
		for _, q := range queues {
			if room, ok := roomOf(q.Broker); ok && slices.Contains(rooms, room) {
				inside = append(inside, q)
			}
		}
		size, more := len(inside)/len(members), len(inside)%len(members)
		mine := slices.Clone(inside[at*size : (at+1)*size])
		if at < more {
			mine = append(mine, inside[size*len(members)+at])
		}
		return mine, nil
	}
}

// roomOf is what stands before the one @ of a broker name. Those at its end do not count, as Java's split drops them.
func roomOf(broker string) (room string, ok bool) {
	room, rest, ok := strings.Cut(strings.TrimRight(broker, "@"), "@")
	return room, ok && !strings.Contains(rest, "@")
}

// Rooms tells where brokers and members are.
type Rooms struct {
	Queue  func(skua.Queue) string      // the machine room of a queue's broker
	Member func(clientID string) string // the machine room of a member
}

// MachineRoomNearby returns a strategy that keeps reading inside of machine rooms: the queues of each room are divided
// among its members, by within, and those of a room without members among all. It is Java's MACHINE_ROOM_NEARBY. That a
// room is "" is an error.
func MachineRoomNearby(within Strategy, where Rooms) Strategy {
	return func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
		if at, err := check(queues, members, member); at < 0 {
			return nil, err
		}
		inRoom, groups := map[string][]skua.Queue{}, map[string][]string{}
		for _, q := range queues {
			room := where.Queue(q)
			if room == "" {
				return nil, fmt.Errorf("Machine room is null for mq %s: the resolver does not know broker %s", queueText(q), q.Broker)
			}
			inRoom[room] = append(inRoom[room], q)
		}
		for _, m := range members {
			room := where.Member(m)
			if room == "" {
				return nil, fmt.Errorf("Machine room is null for consumer id %s: the resolver does not know it", m)
			}
			groups[room] = append(groups[room], m)
		}
		own := where.Member(member)
		var mine []skua.Queue
		take := func(queues []skua.Queue, members []string) error {
			more, err := within(queues, members, member)
			mine = append(mine, more...)
			return err
		}
		if near := inRoom[own]; len(near) > 0 {
			if err := take(near, groups[own]); err != nil {
				return nil, err
			}
		}
		for _, room := range slices.Sorted(maps.Keys(inRoom)) {
			if len(groups[room]) > 0 {
				continue
			}
			if err := take(inRoom[room], members); err != nil {
				return nil, err
			}
		}
		return mine, nil
	}
}
