package assign

import (
	"slices"

	"github.com/skuamq/skua"
)

// AnyQueue is the number of a queue that stands for all those of its topic on its broker.
const AnyQueue int32 = -1

// Pop returns the queues from which member takes messages in a group that shares them: a message that one member holds
// is hidden from the others. With share the member has its own queues, by within, and those of the share members after
// it; with more members than queues it has one queue. A share below 1, or of nearly all members, gives AnyQueue of each
// broker.
func Pop(within Strategy, share int, queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
	if share <= 0 || share >= len(members)-1 {
		all := make([]skua.Queue, 0, len(queues))
		for _, q := range queues {
			all = append(all, skua.Queue{Topic: q.Topic, Broker: q.Broker, ID: AnyQueue})
		}
		return slices.Compact(all), nil
	}
	if len(members) > len(queues) {
		at, err := check(queues, members, member)
		if at < 0 {
			return nil, err
		}
		return []skua.Queue{queues[at%len(queues)]}, nil
	}
	mine, err := within(queues, members, member)
	at := slices.Index(members, member)
	if at < 0 || err != nil {
		return mine, err
	}
	for i := 1; i <= share; i++ {
		more, err := within(queues, members, members[(at+i)%len(members)])
		if err != nil {
			return nil, err
		}
		mine = append(mine, more...)
	}
	return mine, nil
}
