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
	for q := 1; q < 40; q++ {
		for m := 1; m < 12; m++ {
			all, group := queues(q), members(m)
			runs, cards := dealRuns(all, group), dealCards(all, group)
			for _, member := range group {
				if got, err := Averagely(all, group, member); err != nil || !slices.Equal(got, runs[member]) {
					t.Fatalf("Averagely: %d queues, %d members: %s got %v, want %v (%v)", q, m, member, got, runs[member], err)
				}
				if got, err := ByCircle(all, group, member); err != nil || !slices.Equal(got, cards[member]) {
					t.Fatalf("ByCircle: %d queues, %d members: %s got %v, want %v (%v)", q, m, member, got, cards[member], err)
				}
			}
		}
	}
}

// strategies are all of them, with arguments that suit queues and members.
var strategies = map[string]Strategy{
	"Averagely": Averagely, "ByCircle": ByCircle, "ConsistentHash": ConsistentHash(10), "MachineRoom": MachineRoom([]string{"b0", "b1"}),
	"MachineRoomNearby": MachineRoomNearby(Averagely, Rooms{
		Queue:  func(q skua.Queue) string { return q.Broker },
		Member: func(string) string { return "b1" },
	}),
	"Pop": func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
		return Pop(ByCircle, 1, queues, members, member)
	},
}

func TestStrangerGetsNothing(t *testing.T) {
	for name, strategy := range strategies {
		if got, err := strategy(queues(8), members(4), "10.9.9.9@1"); got != nil || err != nil {
			t.Errorf("%s: a stranger got %v, %v", name, got, err)
		}
	}
}

// Members and queues are the same in all members, who each take what is theirs: nobody may see a change.
func TestArgumentsStayAsTheyAre(t *testing.T) {
	for name, strategy := range strategies {
		all, group := queues(8), members(4)
		got, err := strategy(all, group, group[0])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i := range got {
			got[i].Topic = "changed"
		}
		if !slices.Equal(all, queues(8)) || !slices.Equal(group, members(4)) {
			t.Errorf("%s: the arguments are now %v %v", name, all, group)
		}
	}
	config := queues(3)
	strategy := ByConfig(config)
	config[0].Topic = "changed"
	if got, _ := strategy(nil, nil, ""); !slices.Equal(got, queues(3)) {
		t.Errorf("ByConfig: %v", got)
	}
}

// When a member leaves, only its queues move.
func TestConsistentHashMovesFewQueues(t *testing.T) {
	all, group, strategy := queues(1000), members(10), ConsistentHash(100)
	fewer := slices.Delete(slices.Clone(group), 3, 4)
	for _, member := range fewer {
		before, _ := strategy(all, group, member)
		after, _ := strategy(all, fewer, member)
		for _, q := range before {
			if !slices.Contains(after, q) {
				t.Errorf("%v moved away from %s", q, member)
			}
		}
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
