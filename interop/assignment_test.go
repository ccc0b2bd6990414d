package interop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/process"
	"github.com/skuamq/skua/interop/remoting"
)

// Codes of this file.
const (
	heartbeat       = 34
	queryAssignment = 400
	setRequestMode  = 401
	allRequestModes = 402
)

// assignment is what a broker assigned.
type assignment struct {
	Mode  string
	Queue struct {
		BrokerName string
		QueueID    int `json:"queueId"`
		Topic      string
	} `json:"messageQueue"`
}

// assigned asks a broker for the queues of a client, and spells the answer as one would the set that it is.
func assigned(c *remoting.Conn, client, group, topic, model, strategy string) string {
	body, _ := json.Marshal(map[string]string{"clientId": client, "consumerGroup": group, "topic": topic, "messageModel": model, "strategyName": strategy})
	f, err := c.Call(queryAssignment, nil, body)
	if err != nil {
		return err.Error()
	}
	if bytes.Equal(f.Body, []byte("{}")) {
		return "{}"
	}
	var a struct{ MessageQueueAssignments []assignment }
	if err := json.Unmarshal(f.Body, &a); err != nil {
		return fmt.Sprintf("%s: %v", f.Body, err)
	}
	all := a.MessageQueueAssignments
	slices.SortFunc(all, func(a, b assignment) int { return cmp.Compare(a.Queue.QueueID, b.Queue.QueueID) })
	var out []string
	for _, x := range all {
		out = append(out, fmt.Sprintf("%s %s:%d", x.Mode, x.Queue.BrokerName, x.Queue.QueueID))
		if x.Queue.Topic != topic {
			out = append(out, "of "+x.Queue.Topic)
		}
	}
	return fmt.Sprint(out)
}

func enlist(t *testing.T, broker *cluster.Server, group, topic string, clients ...string) {
	t.Helper()
	for _, id := range clients {
		body := fmt.Sprintf(`{"clientID":%q,"consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY",`+
			`"groupName":%q,"messageModel":"CLUSTERING","subscriptionDataSet":[{"subString":"*","topic":%q,"subVersion":1}],"unitMode":false}],"producerDataSet":[]}`, id, group, topic)
		if _, err := dial(t, broker.Addr).Call(heartbeat, nil, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
}

// What both brokers answer, to the letter of Java's answers but for the order of a set and further words of a remark.
func TestAssignmentAnswers(t *testing.T) {
	t.Parallel()
	names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide))
	name := topic(t, names, broker, "Assigned", 6)
	c := dial(t, broker.Addr)
	const group = "AssignedGroup"
	ask := func(client, topic, model, strategy string) string {
		return assigned(c, client, group, topic, model, strategy)
	}
	expect := func(want, got string) {
		t.Helper()
		if !strings.HasPrefix(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	expect("{}", ask("a", name, "CLUSTERING", "AVG")) // the group is not here
	enlist(t, broker, group, name, "d", "b", "a", "c")
	expect("[PULL broker-a:0 PULL broker-a:1]", ask("a", name, "CLUSTERING", "AVG"))
	expect("[PULL broker-a:5]", ask("d", name, "CLUSTERING", "AVG"))
	expect("[PULL broker-a:1 PULL broker-a:5]", ask("b", name, "CLUSTERING", "AVG_BY_CIRCLE"))
	expect("[]", ask("stranger", name, "CLUSTERING", "AVG"))
	expect("[PULL broker-a:0 PULL broker-a:1 PULL broker-a:2 PULL broker-a:3 PULL broker-a:4 PULL broker-a:5]", ask("x", name, "BROADCASTING", "AVG"))
	expect("{}", ask("a", "NoSuchTopic", "CLUSTERING", "AVG"))
	expect("{}", ask("a", "NoSuchTopic", "BROADCASTING", "AVG"))
	expect("[PULL broker-a:0]", ask("a", "%LMQ%light", "CLUSTERING", "AVG"))
	if broker.Side == cluster.Java {
		expect("{}", ask("a", name, "CLUSTERING", "CONFIG"))
	} else {
		expect("CODE 29: unsupported strategy [CONFIG]", ask("a", name, "CLUSTERING", "CONFIG"))
	}
	retry := "%RETRY%" + group
	eventually(t, 40*time.Second, "the retry topic's queue", func() bool {
		return ask("a", retry, "CLUSTERING", "AVG") == "[PULL broker-a:0]"
	})

	set := func(topic, group, mode string, share int) string {
		body := fmt.Sprintf(`{"consumerGroup":%q,"mode":%q,"popShareQueueNum":%d,"topic":%q}`, group, mode, share, topic)
		if _, err := c.Call(setRequestMode, nil, []byte(body)); err != nil {
			return err.Error()
		}
		return "done"
	}
	expect("CODE 16: retry topic is not allowed to set mode", set(retry, group, "POP", 0))
	expect("CODE 17: topic[NoSuchTopic] not exist", set("NoSuchTopic", group, "POP", 0))
	expect("CODE 26: subscription group does not exist", set(name, "no/such/group", "POP", 0))
	for share, want := range map[int]string{
		-1: "[POP broker-a:-1]", 0: "[POP broker-a:-1]", 3: "[POP broker-a:-1]", 2: "[POP broker-a:2 POP broker-a:3 POP broker-a:4 POP broker-a:5]",
		1: "[POP broker-a:2 POP broker-a:3 POP broker-a:4]",
	} {
		expect("done", set(name, group, "POP", share))
		expect(want, ask("b", name, "CLUSTERING", "AVG"))
	}
	expect("done", set(name, group, "POP", 2))
	expect("[POP broker-a:0 POP broker-a:2 POP broker-a:3 POP broker-a:4]", ask("c", name, "CLUSTERING", "AVG_BY_CIRCLE"))
	expect("[POP broker-a:0 POP broker-a:1 POP broker-a:2 POP broker-a:3 POP broker-a:4 POP broker-a:5]", ask("x", name, "BROADCASTING", "AVG"))
	expect("[PULL broker-a:0]", ask("a", retry, "CLUSTERING", "AVG"))
	want := `{"messageRequestModeMap":{"Assigned":{"AssignedGroup":{"consumerGroup":"AssignedGroup","mode":"POP","popShareQueueNum":2,"topic":"Assigned"}}}}`
	if f, err := c.Call(allRequestModes, nil, nil); err != nil || string(f.Body) != want {
		t.Errorf("modes: %v %s", err, f.Body)
	}
}

// The file of modes goes from one broker to the other and back.
func TestRequestModesInTheStore(t *testing.T) {
	t.Parallel()
	if !needSkua() {
		t.Skip("asked for Java alone")
	}
	_, broker := private(t, cluster.Skua, cluster.Java)
	body := func(mode string) []byte {
		return fmt.Appendf(nil, `{"consumerGroup":"TOOLS_CONSUMER","mode":%q,"popShareQueueNum":4,"topic":"TBW102"}`, mode)
	}
	for i, side := range []cluster.Side{cluster.Java, cluster.Skua, cluster.Java} {
		if i > 0 {
			broker = handOver(t, broker, side)
		}
		c := dial(t, broker.Addr)
		if f, err := c.Call(allRequestModes, nil, nil); err != nil || i > 0 && !bytes.Contains(f.Body, body([]string{"", "POP", "PULL"}[i])) {
			t.Errorf("%s: %v %s", side, err, f.Body)
		}
		if _, err := c.Call(setRequestMode, nil, body([]string{"POP", "PULL", "POP"}[i])); err != nil {
			t.Error(err)
		}
	}
}

// mqadmin sets modes of all brokers of a cluster.
func TestMqadminConsumeMode(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	a := admin{t, names.Addr}
	name := topic(t, names, broker, "ConsumeMode", 2)
	if err := dial(t, broker.Addr).CreateGroup("ConsumeModeGroup"); err != nil {
		t.Fatal(err)
	}
	a.expect("setConsumeMode -c DefaultCluster -t "+name+" -g ConsumeModeGroup -m POP -q 3", "set consume mode to "+broker.Addr+" success", `consume mode\[POP\] popShareQueueNum\[3\]`)
	f, err := dial(t, broker.Addr).Call(allRequestModes, nil, nil)
	if err != nil || !bytes.Contains(f.Body, []byte(`{"consumerGroup":"ConsumeModeGroup","mode":"POP","popShareQueueNum":3,"topic":"ConsumeMode"}`)) {
		t.Errorf("modes: %v %s", err, f.Body)
	}
	a.expect("setConsumeMode -b "+broker.Addr+" -t "+name+" -g ConsumeModeGroup -m PULL", "set consume mode to "+broker.Addr+" success")
}

// Consumers of Java that leave the division to the broker get the queues that it says, and when one goes the other gets all.
func TestJavaConsumersAssignedByBroker(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "ByBroker", 4)
	start := func(instance string) *process.Process {
		return javaProgram(t, names, "Assigned", nil, name, "ByBrokerGroup", instance)
	}
	one, two := start("1"), start("2")
	for _, p := range []*process.Process{one, two} {
		if err := p.WaitFor(within(t), "started"); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, broker.Addr)
	round := 0
	// until sends a message to each queue, again and again, until a round of them was read as wanted: by which consumer the
	// message of each queue was.
	until := func(want string) {
		t.Helper()
		eventually(t, time.Minute, "queues read by "+want, func() bool {
			round++
			body := fmt.Sprint("round ", round)
			for q := range 4 {
				if _, err := c.Send(name, q, nil, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			readers := func() (by string) {
				for q := range 4 {
					line := fmt.Sprintf("received %s of queue %d\n", body, q)
					switch {
					case strings.Contains(one.Output(), line):
						by += "1"
					case strings.Contains(two.Output(), line):
						by += "2"
					}
				}
				return by
			}
			for end := time.Now().Add(2 * time.Second); len(readers()) < 4 && time.Now().Before(end); {
				time.Sleep(20 * time.Millisecond)
			}
			return readers() == want
		})
	}
	until("1212")
	if err := one.Stop(20 * time.Second); err != nil {
		t.Error(err)
	}
	until("2222")
}

// Consumers of Skua that leave the division to a broker of either side.
func TestSkuaConsumersAssignedByBroker(t *testing.T) {
	for _, side := range []cluster.Side{cluster.Skua, cluster.Java} {
		if side == cluster.Skua && !needSkua() {
			continue
		}
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			names, broker := private(t, side, side)
			name := topic(t, names, broker, "SkuaByBroker", 4)
			var mu sync.Mutex
			readers := map[string]string{} // who received each message
			start := func() (string, *client.PushConsumer) {
				c := skuaClient(t, names)
				p, err := c.PushConsumer(within(t), client.PushOptions{Group: "SkuaByBrokerGroup", Subscriptions: []client.Subscription{{Topic: name}},
					Start: client.StartEarliest, ByBroker: client.BrokerByCircle, Handler: func(_ context.Context, m *client.Received) error {
						mu.Lock()
						defer mu.Unlock()
						readers[string(m.Body)] = c.ID()
						return nil
					}})
				if err != nil {
					t.Fatal(err)
				}
				return c.ID(), p
			}
			one, _ := start()
			two, p := start()
			first, second := min(one, two), max(one, two)
			c := dial(t, broker.Addr)
			round := 0
			until := func(want ...string) {
				t.Helper()
				eventually(t, time.Minute, fmt.Sprint("queues read by ", want), func() bool {
					round++
					for q := range 4 {
						if _, err := c.Send(name, q, nil, fmt.Append(nil, round, ".", q)); err != nil {
							t.Fatal(err)
						}
					}
					var got []string
					eventually(t, 30*time.Second, "a round of messages", func() bool {
						got = nil
						mu.Lock()
						defer mu.Unlock()
						for q := range 4 {
							if by := readers[fmt.Sprint(round, ".", q)]; by != "" {
								got = append(got, by)
							}
						}
						return len(got) == 4
					})
					return slices.Equal(got, want)
				})
			}
			until(first, second, first, second)
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			until(one, one, one, one)
		})
	}
}
