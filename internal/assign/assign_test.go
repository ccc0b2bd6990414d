package assign

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skuamq/skua"
)

func queues(n int) []skua.Queue {
	var list []skua.Queue
	for i := range n {
		list = append(list, skua.Queue{Topic: "t", Broker: fmt.Sprintf("b%d", i/4), ID: int32(i % 4)})
	}
	return list
}

func members(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("10.0.0.1@%05d", i))
	}
	return list
}

// dealRuns is the naive twin of Averagely: it counts how many queues each member is due, then hands them out in order.
func dealRuns(queues []skua.Queue, members []string) map[string][]skua.Queue {
	due := make([]int, len(members))
	for i := range queues {
		due[i%len(members)]++
	}
	got := map[string][]skua.Queue{}
	for i, m := range members {
		for range due[i] {
			got[m] = append(got[m], queues[0])
			queues = queues[1:]
		}
	}
	return got
}

// dealCards is the naive twin of ByCircle.
func dealCards(queues []skua.Queue, members []string) map[string][]skua.Queue {
	got := map[string][]skua.Queue{}
	for i, q := range queues {
		m := members[i%len(members)]
		got[m] = append(got[m], q)
	}
	return got
}

func TestStrategiesAgreeWithNaiveTwins(t *testing.T) {
	for q := range 40 {
		for m := 1; m < 12; m++ {
			all, group := queues(q), members(m)
			runs, cards := dealRuns(all, group), dealCards(all, group)
			for _, member := range group {
				if got := Averagely(all, group, member); !slices.Equal(got, runs[member]) {
					t.Fatalf("Averagely: %d queues, %d members: %s got %v, want %v", q, m, member, got, runs[member])
				}
				if got := ByCircle(all, group, member); !slices.Equal(got, cards[member]) {
					t.Fatalf("ByCircle: %d queues, %d members: %s got %v, want %v", q, m, member, got, cards[member])
				}
			}
		}
	}
}

func TestStrangerGetsNothing(t *testing.T) {
	for _, strategy := range []Strategy{Averagely, ByCircle} {
		if got := strategy(queues(8), members(2), "10.9.9.9@1"); got != nil {
			t.Errorf("a stranger got %v", got)
		}
		if got := strategy(queues(8), nil, "10.9.9.9@1"); got != nil {
			t.Errorf("of no members one got %v", got)
		}
	}
}

func TestResultIsTheCallersOwn(t *testing.T) {
	all := queues(4)
	got := Averagely(all, members(1), members(1)[0])
	got[0].Topic = "changed"
	if all[0].Topic != "t" {
		t.Error("the result shares memory with the argument")
	}
}

func TestSortQueues(t *testing.T) {
	want := []skua.Queue{{Topic: "a", Broker: "b", ID: 2}, {Topic: "a", Broker: "b", ID: 10}, {Topic: "a", Broker: "c", ID: 0}, {Topic: "b", Broker: "a", ID: 0}}
	got := slices.Clone(want)
	rand.Shuffle(len(got), func(i, j int) { got[i], got[j] = got[j], got[i] })
	SortQueues(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
