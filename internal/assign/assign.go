// Package assign divides the queues of a topic among the members of a consumer group. It hides the arithmetic that all
// members, and clients in other languages, must do alike so that each queue has exactly one reader. Its functions are
// pure: they neither keep nor change their arguments.
package assign

import (
	"cmp"
	"slices"

	"github.com/skuamq/skua"
)

// Strategy returns the queues that member reads. queues and members must be in the order of SortQueues and of
// slices.Sort, as each member of the group would sort them. A member that is not in members gets none.
type Strategy func(queues []skua.Queue, members []string, member string) []skua.Queue

// SortQueues sorts in the order that Java's clients use: by topic, broker name, then number.
func SortQueues(queues []skua.Queue) {
	slices.SortFunc(queues, func(a, b skua.Queue) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.ID, b.ID))
	})
}

// Averagely gives each member a run of neighbouring queues; of n queues for k members the first n%k members get one
// more than the others. With fewer queues than members the last members get none.
func Averagely(queues []skua.Queue, members []string, member string) []skua.Queue {
	at := slices.Index(members, member)
	if at < 0 {
		return nil
	}
	size, more := len(queues)/len(members), len(queues)%len(members)
	first := at*size + min(at, more)
	if at < more {
		size++
	}
	return slices.Clone(queues[first : first+size])
}

// ByCircle deals the queues out one by one, so that neighbouring queues, usually of one broker, go to different members.
func ByCircle(queues []skua.Queue, members []string, member string) []skua.Queue {
	at := slices.Index(members, member)
	if at < 0 {
		return nil
	}
	var mine []skua.Queue
	for i := at; i < len(queues); i += len(members) {
		mine = append(mine, queues[i])
	}
	return mine
}
