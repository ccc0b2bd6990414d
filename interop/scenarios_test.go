package interop

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/interop/cluster"
)

// A scenario of each kind of message: what a client sees that plays it, sorted, each line once. It is played by Skua's client
// (skuaplays_test.go) and Java's (java/Scenarios.java), to Skua's broker and Java's.
var scenarios = map[string][]string{
	"delay":       {"received level", "received now", "received timed"},
	"recall":      {"recalled true", "received kept"},
	"transaction": {"asked about late commit", "asked about late rollback", "received commit", "received late commit"},
	"order":       {"received of a" + upTo(19), "received of b" + upTo(19), "received of c" + upTo(19)},
	"request":     {"reply re: question 0", "reply re: question 1", "reply re: question 2"},
	"sql":         {"received 7", "received 8", "received 9"},
	"tags":        {"received 0", "received 2", "received 3", "received 5", "received 6", "received 8", "received 9"},
	"broadcast": {"1 received 0", "1 received 1", "1 received 2", "1 received 3", "1 received 4",
		"2 received 0", "2 received 1", "2 received 2", "2 received 3", "2 received 4"},
	"batch":    {"received 0", "received 1", "received 2", "received 3", "received 4", "sent 5"},
	"priority": {"0 sent to 0", "2 sent to 2", "9 sent to 3", "0 received from 0", "2 received from 2", "9 received from 3"},
	"retry":    {"received x after 0 failures of Scenario-retry", "received x after 1 failures of Scenario-retry", "received x after 2 failures of Scenario-retry"},
}

func upTo(n int) string {
	s := ""
	for i := range n + 1 {
		s += fmt.Sprint(" ", i)
	}
	return s
}

// The scenarios, three ways: without Java, Java's client on Skua, Skua's client on Java's servers. With -names java -broker java,
// Java's client plays them to Java's servers, to learn what is right.
func TestScenarios(t *testing.T) {
	for _, way := range []struct{ client, servers cluster.Side }{
		{cluster.Skua, cluster.Skua}, {cluster.Java, cluster.Skua}, {cluster.Skua, cluster.Java}, {cluster.Java, cluster.Java},
	} {
		if both := way.client == cluster.Java && way.servers == cluster.Java; needSkua() == both || !needSkua() && way.servers == cluster.Skua {
			continue
		}
		t.Run(fmt.Sprintf("%s client on %s", way.client, way.servers), func(t *testing.T) {
			t.Parallel()
			names, broker := private(t, way.servers, way.servers, append([]string{"recallMessageEnable=true", "enablePropertyFilter=true"}, transactionSettings...)...)
			for name := range scenarios {
				topic(t, names, broker, "Scenario-"+name, 4)
			}
			if way.client == cluster.Java {
				javaPlays(t, names)
				return
			}
			for name, want := range scenarios {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := newStage(t, names, name)
					skuaPlays[name](s)
					compare(t, name, s.seen(), want)
				})
			}
		})
	}
}

// javaPlays has Java's client play all scenarios at the same time.
func javaPlays(t *testing.T, names *cluster.Server) {
	t.Helper()
	// Clients of Java look for queues every 20 s.
	p := javaProgram(t, names, "Scenarios", []string{"-Drocketmq.client.rebalance.waitInterval=1000"}, slices.Sorted(maps.Keys(scenarios))...)
	if err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	for name, want := range scenarios {
		var got []string
		for line := range strings.Lines(p.Output()) {
			if said, ok := strings.CutPrefix(strings.TrimSpace(line), name+": "); ok {
				got = append(got, said)
			}
		}
		compare(t, name, got, want)
	}
}

func compare(t *testing.T, name string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		t.Errorf("%s: %q\nwant %q", name, got, want)
	}
}
