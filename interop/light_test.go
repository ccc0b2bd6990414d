package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

var withLight = []string{"enableLmq=true", "enableMultiDispatch=true"}

// Java's clients write and read light queues as Apache's examples do: by pulling, by long polling, with a group named %LMQ%...
func TestJavaClientWithLightQueues(t *testing.T) {
	t.Parallel()
	names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide), withLight...)
	name := topic(t, names, broker, "LightParent", 2)
	p := javaProgram(t, names, "Light", nil, name, "broker-a", broker.Addr)
	if err := p.WaitFor(within(t), "end\n"); err != nil {
		t.Fatal(err)
	}
	var a, b []string
	for i := range 20 {
		if i%2 == 0 {
			a = append(a, fmt.Sprint(i))
		} else {
			a, b = append(a, fmt.Sprint(i, ",", i/2)), append(b, fmt.Sprint(i, ",", i/2))
		}
	}
	// fmt puts spaces between numbers.
	text := func(list []string) string { return strings.ReplaceAll(strings.Join(list, ";"), " ", "") }
	for _, want := range []string{"pulled %LMQ%a " + strings.ReplaceAll(text(a), ";", " ") + "; group at 20, by time 0",
		"pulled %LMQ%b " + strings.ReplaceAll(text(b), ";", " ") + "; group at 10, by time 0", "pushed 20\n"} {
		if out := p.Output(); !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}

// A directory with light queues goes from hand to hand. Each side goes on with the numbers of the others, and knows how far their
// groups are.
func TestLightQueuesGoBetweenJavaAndSkua(t *testing.T) {
	for _, sides := range [][]cluster.Side{
		{cluster.Skua, cluster.Java, cluster.Skua},
		{cluster.Java, cluster.Skua, cluster.Java},
	} {
		t.Run(fmt.Sprint(sides), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				sides = []cluster.Side{cluster.Java, cluster.Java, cluster.Java}
			}
			names, broker := private(t, cluster.Side(*namesSide), sides[0], append(smallFiles, withLight...)...)
			name := "LightStore"
			l := lightLedger{queues: map[string][]string{}}
			for i, side := range sides {
				who := fmt.Sprintf("%s after %v", side, sides[:i])
				if i > 0 {
					broker = handOver(t, broker, side)
				} else {
					topic(t, names, broker, name, 2)
				}
				c := dial(t, broker.Addr)
				l.check(t, c, who)
				if got, err := c.Committed("%LMQ%reader", "%LMQ%0", 0); i > 0 && (err != nil || got != int64(i)) {
					t.Errorf("%s: group is at %d, %v", who, got, err)
				}
				if err := c.Commit("%LMQ%reader", "%LMQ%0", 0, int64(i+1)); err != nil {
					t.Error(err)
				}
				l.write(t, c, name, 300)
				l.check(t, c, who+", its own")
			}
			if err := broker.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// lightLedger is what light queues must hold: bodies in their order.
type lightLedger struct {
	queues map[string][]string
	sent   int
}

// write sends n messages, each to some of 20 light queues.
func (l *lightLedger) write(t *testing.T, c *remoting.Conn, topic string, n int) {
	t.Helper()
	for range n {
		body := fmt.Sprintf("message %d %s", l.sent, strings.Repeat("x", l.sent%700))
		list := []string{fmt.Sprint("%LMQ%", l.sent%20)}
		if l.sent%3 == 0 {
			list = append(list, fmt.Sprint("%LMQ%", (l.sent+7)%20))
		}
		l.sent++
		if _, err := c.Send(topic, l.sent%2, map[string]string{"TAGS": "TagA", "INNER_MULTI_DISPATCH": strings.Join(list, ",")}, []byte(body)); err != nil {
			t.Fatal(err)
		}
		for _, name := range list {
			l.queues[name] = append(l.queues[name], body)
		}
	}
}

func (l *lightLedger) check(t *testing.T, c *remoting.Conn, who string) {
	t.Helper()
	for name, want := range l.queues {
		eventually(t, 20*time.Second, who+": "+name, func() bool {
			_, end, err := c.Bounds(name, 0)
			return err == nil && end >= int64(len(want))
		})
		got, err := c.ReadAround(name, 0, 0)
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: %s has %d messages, %v, want %d", who, name, len(got), err, len(want))
			continue
		}
		for i, r := range got {
			told := map[string]string{}
			offsets := strings.Split(r.Properties["INNER_MULTI_QUEUE_OFFSET"], ",")
			for n, name := range strings.Split(r.Properties["INNER_MULTI_DISPATCH"], ",") {
				told[name] = offsets[n]
			}
			if string(r.Body) != want[i] || told[name] != fmt.Sprint(i) {
				t.Errorf("%s: %s at %d is %.30q and tells %s, want %.30q", who, name, i, r.Body, told[name], want[i])
			}
		}
	}
}
