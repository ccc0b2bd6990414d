package broker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

func queues(ids ...int32) []skua.Queue {
	var qs []skua.Queue
	for _, id := range ids {
		qs = append(qs, skua.Queue{Topic: "T", Broker: "b", ID: id})
	}
	return qs
}

func TestLocks(t *testing.T) {
	t0 := time.Unix(1_700_000_000, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	var l locks
	check := func(what string, got, want []skua.Queue) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("first client takes both", l.acquire("G", "one", queues(0, 1), at(0)), queues(0, 1))
	check("second client gets the free one", l.acquire("G", "two", queues(1, 2), at(1)), queues(2))
	check("groups do not see one another", l.acquire("H", "two", queues(1), at(1)), queues(1))
	check("renewal at 40 s", l.acquire("G", "one", queues(0), at(40)), queues(0))
	check("60 s after the last renewal it is still held", l.acquire("G", "two", queues(1), at(60)), queues())
	check("then it is free", l.acquire("G", "two", queues(0, 1), at(61)), queues(1))
	l.release("G", "one", queues(1, 0))
	check("a client releases its own only", l.acquire("G", "one", queues(0, 1), at(62)), queues(0))
	if !l.held("G", at(62)) || l.held("none", at(62)) {
		t.Error("held is wrong")
	}
	l.releaseClient("G", "two")
	check("unregistering releases all", l.acquire("G", "one", queues(1, 2), at(63)), queues(1, 2))
	l.expire(at(200))
	if l.held("G", at(200)) || len(l.groups) != 0 {
		t.Errorf("after expiry the table holds %v", l.groups)
	}
}

// The table must agree with a list of the last events that is searched anew for each question.
func TestLocksAgainstNaiveTwin(t *testing.T) {
	type event struct {
		client string
		queue  skua.Queue
		at     time.Time
		freed  bool
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var l locks
	var log []event
	now := time.Unix(1_700_000_000, 0)
	owner := func(q skua.Queue) string {
		for i := len(log) - 1; i >= 0; i-- {
			if e := log[i]; e.queue == q {
				if e.freed || now.Sub(e.at) > lockLife {
					return ""
				}
				return e.client
			}
		}
		return ""
	}
	for step := range 3000 {
		now = now.Add(time.Duration(rnd.IntN(8000)) * time.Millisecond)
		client, q := fmt.Sprint(rnd.IntN(3)), queues(int32(rnd.IntN(4)))[0]
		who := owner(q)
		switch rnd.IntN(4) {
		case 0:
			l.release("G", client, []skua.Queue{q})
			if who == client {
				log = append(log, event{client, q, now, true})
			}
		case 1:
			l.expire(now)
		default:
			got := len(l.acquire("G", client, []skua.Queue{q}, now)) == 1
			want := who == "" || who == client
			if got != want {
				t.Fatalf("step %d: %s locking %v held by %q: got %v, want %v", step, client, q, who, got, want)
			}
			if want {
				log = append(log, event{client, q, now, false})
			}
		}
	}
}
