// Package assign divides the queues of a topic among the members of a consumer group. It hides the arithmetic that all
// members, and clients in other languages, must do alike so that each queue has exactly one reader: its results are those
// of Java's strategies for the same arguments. Its functions are pure: they neither keep nor change their arguments.
package assign

import (
	"cmp"
	"errors"
	"slices"

	"github.com/skuamq/skua"
)

// Strategy returns the queues that member reads, in the order of queues, as memory of the caller's own. queues and
// members must be in the order of SortQueues and of slices.Sort, as each member of the group would sort them. A member
// that is not in members gets none. That there are no queues, no members, or that member is "" is an error: whoever
// divides then leaves everything as it is.
type Strategy func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error)

// What is wrong with the arguments of a strategy.
var (
	errNoMember  = errors.New("currentCID is empty: no client id")
	errNoQueues  = errors.New("mqAll is null or mqAll empty: there are no queues to divide")
	errNoMembers = errors.New("cidAll is null or cidAll empty: the group has no members")
)

// SortQueues sorts in the order that Java's clients use: by topic, broker name, then number.
func SortQueues(queues []skua.Queue) {
	slices.SortFunc(queues, func(a, b skua.Queue) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Broker, b.Broker), cmp.Compare(a.ID, b.ID))
	})
}

// check finds the place of a member among the others, below 0 if it is not there.
func check(queues []skua.Queue, members []string, member string) (at int, err error) {
	switch {
	case member == "":
		return -1, errNoMember
	case len(queues) == 0:
		return -1, errNoQueues
	case len(members) == 0:
		return -1, errNoMembers
	}
	return slices.Index(members, member), nil
}

// Averagely gives each member a run of neighbouring queues; of n queues for k members the first n%k members get one
// more than the others. With fewer queues than members the last members get none. It is Java's AVG.
func Averagely(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
	at, err := check(queues, members, member)
	if at < 0 {
		return nil, err
	}
	size, more := len(queues)/len(members), len(queues)%len(members)
	first := at*size + min(at, more)
	if at < more {
		size++
	}
	return slices.Clone(queues[first : first+size]), nil
}

// ByCircle deals the queues out one by one, so that neighbouring queues, usually of one broker, go to different members.
// It is Java's AVG_BY_CIRCLE.
func ByCircle(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
	at, err := check(queues, members, member)
	if at < 0 {
		return nil, err
	}
	var mine []skua.Queue
	for i := at; i < len(queues); i += len(members) {
		mine = append(mine, queues[i])
	}
	return mine, nil
}

// ByConfig returns a strategy that gives each member the same queues, which whoever made it has divided already. It is
// Java's CONFIG and, like it, looks at none of its arguments.
func ByConfig(queues []skua.Queue) Strategy {
	queues = slices.Clone(queues)
	return func([]skua.Queue, []string, string) ([]skua.Queue, error) { return slices.Clone(queues), nil }
}
