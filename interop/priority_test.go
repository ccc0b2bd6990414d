package interop

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// placed sends a message and returns the queue that the broker answers, and what it stored: queue and priority.
func placed(c *remoting.Conn, topic string, queue int, properties string) string {
	f, err := c.Call(remoting.SendV2, remoting.SendFields(topic, queue, properties), []byte("x"))
	if err != nil {
		return err.Error()
	}
	at, err := strconv.ParseInt(f.ExtFields["msgId"][16:], 16, 64) // behind the address of the broker
	if err != nil {
		return err.Error()
	}
	m, err := c.View(at)
	if err != nil {
		return err.Error()
	}
	priority, ok := m.Properties["_SYS_MSG_PRIORITY_"]
	if !ok {
		priority = "none"
	}
	return fmt.Sprintf("answered %s, stored %d, priority %s", f.ExtFields["queueId"], m.QueueID, priority)
}

// createTyped creates a topic with attributes, "" for none.
func createTyped(c *remoting.Conn, name string, read, write, perm int, attributes string) error {
	fields := remoting.Fields("topic", name, "defaultTopic", "TBW102", "readQueueNums", read, "writeQueueNums", write, "perm", perm,
		"topicFilterType", "SINGLE_TAG", "topicSysFlag", 0, "order", false)
	if attributes != "" {
		fields["attributes"] = attributes
	}
	_, err := c.Call(remoting.CreateTopic, fields, nil)
	return err
}

// Both brokers put messages with priorities into the same queues, and keep the same priorities.
func TestPlacesOfPriorities(t *testing.T) {
	t.Parallel()
	_, broker := servers(t)
	c := dial(t, broker.Addr)
	for _, topic := range []struct {
		name              string
		read, write, perm int
		attributes        string
	}{
		{"PlacesP", 4, 4, 6, "+message.type=PRIORITY"}, {"PlacesN", 4, 4, 6, ""}, {"PlacesNarrow", 8, 2, 14, ""},
	} {
		if err := createTyped(c, topic.name, topic.read, topic.write, topic.perm, topic.attributes); err != nil {
			t.Fatal(err)
		}
	}
	priority := func(s string) string { return "_SYS_MSG_PRIORITY_\x01" + s + "\x02" }
	for _, x := range []struct {
		topic      string
		queue      int
		properties string
		want       string
	}{
		{"PlacesP", 2, priority("0"), "answered 0, stored 0, priority 0"},
		{"PlacesP", 0, priority("3"), "answered 3, stored 3, priority 3"},
		{"PlacesP", -1, priority("4"), "answered 3, stored 3, priority 4"},
		{"PlacesP", 0, priority("2147483647"), "answered 3, stored 3, priority 2147483647"},
		{"PlacesP", 1, priority("+2"), "answered 2, stored 2, priority +2"},
		{"PlacesP", 1, "", "answered 1, stored 1, priority none"},
		{"PlacesP", 1, priority("2147483648"), "answered 1, stored 1, priority 2147483648"},
		{"PlacesP", 1, priority("-1"), "answered 1, stored 1, priority -1"},
		{"PlacesP", 1, priority("-0"), "answered 0, stored 0, priority -0"},
		{"PlacesP", 1, priority("high"), "answered 1, stored 1, priority high"},
		{"PlacesP", 1, priority("+"), "answered 1, stored 1, priority +"},
		{"PlacesP", 1, priority(" 2"), "answered 1, stored 1, priority  2"},
		{"PlacesP", 1, priority("1") + priority("3"), "answered 3, stored 3, priority 3"},
		{"PlacesP", 1, priority("3") + "__SHARDINGKEY\x01s\x02", "answered 1, stored 1, priority none"},
		{"PlacesP", 1, "DELAY\x010\x02" + priority("3"), "answered 1, stored 1, priority none"},
		{"PlacesP", 1, priority("-1") + "__SHARDINGKEY\x01s\x02", "answered 1, stored 1, priority -1"},
		{"PlacesN", 1, priority("9"), "answered 3, stored 3, priority 9"},
		{"PlacesNarrow", 0, priority("7"), "answered 1, stored 1, priority 7"},
	} {
		if got := placed(c, x.topic, x.queue, x.properties); got != x.want {
			t.Errorf("%s, queue %d, %q: %s, want %s", x.topic, x.queue, x.properties, got, x.want)
		}
	}
	batch := remoting.SendFields("PlacesP", 1, priority("3"))
	batch["m"] = "true"
	f, err := c.Call(remoting.SendBatch, batch, remoting.Batch(priority("3"), []byte("x")))
	if err != nil || f.ExtFields["queueId"] != "1" {
		t.Errorf("a batch: %v, %v", f, err)
	}
}

// No broker looks at the type of a topic when messages come, whatever they are.
func TestBrokersTakeAllTypes(t *testing.T) {
	t.Parallel()
	_, broker := servers(t)
	c := dial(t, broker.Addr)
	for _, of := range []string{"UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY"} {
		name := "Typed" + of
		if err := createTyped(c, name, 1, 1, 6, "+message.type="+of); err != nil {
			t.Fatal(err)
		}
		for _, properties := range []string{"", "__SHARDINGKEY\x01s\x02", "DELAY\x011\x02", "TRAN_MSG\x01true\x02PGROUP\x01g\x02", "_SYS_MSG_PRIORITY_\x011\x02"} {
			if _, err := c.Call(remoting.SendV2, remoting.SendFields(name, 0, properties), []byte("x")); err != nil {
				t.Errorf("%s: %q: %v", of, properties, err)
			}
		}
	}
}

// What both brokers say to attributes of topics that cannot be, to the end of Java's words.
func TestAttributesThatCannotBe(t *testing.T) {
	t.Parallel()
	_, broker := servers(t)
	c := dial(t, broker.Addr)
	if err := createTyped(c, "Attributed", 1, 1, 6, "+queue.type=SimpleCQ,+reserve.time=-1"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ topic, attributes, want string }{
		{"Attributed", "+queue.type=BatchCQ", "attempt to update an unchangeable attribute. key: queue.type"},
		{"Attributed", "-queue.type", "attempt to update an unchangeable attribute. key: queue.type"},
		{"Attributed", "-message.type", "attempt to delete a nonexistent key: message.type"},
		{"Attributed", "-colour", "attempt to delete a nonexistent key: colour"},
		{"Attributed", "+colour=red", "unsupported key: colour"},
		{"Attributed", "+message.type=LOUD", "value is not in set: "},
		{"Attributed", "+reserve.time=soon", `For input string: "soon"`},
		{"Attributed", "+reserve.time=-2", "value is not in range(-1, 9223372036854775807)"},
		{"Attributed", "+lite.topic.expiration=43201", "value is not in range(-1, 43200)"},
		{"Attributed", "++message.type=FIFO", "kv string format wrong."},
		{"Attributed", "message.type=FIFO", "add/alter attribute format is wrong: message.type"},
		{"Attributed", "message.type", "delete attribute format is wrong: message.type"},
		{"Attributed", "+message.type=FIFO,+message.type=FIFO", "key duplication: +message.type"},
		{"Attributed", "+reserve.time=5,-reserve.time", "alter duplication key. key: reserve.time"},
		{"AttributedNew", "-message.type", "only add attribute is supported while creating topic. key: message.type"},
		{"AttributedNew", "+queue.type=RocksDBCQ", "value is not in set: "},
		{"Attributed", "+message.type=MIXED", "MIXED message type is not supported"},
	} {
		err := createTyped(c, x.topic, 1, 1, 6, x.attributes)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s of %s: %v, want %s", x.attributes, x.topic, err, x.want)
		}
	}
	for _, attributes := range []string{"+message.type=FIFO,-reserve.time", "+message.type=PRIORITY", "+lite.topic.expiration=43200"} {
		if err := createTyped(c, "Attributed", 1, 1, 6, attributes); err != nil {
			t.Errorf("%s: %v", attributes, err)
		}
	}
}

// Skua's client sends with priorities to brokers of both sides.
func TestSkuaClientSendsPriorities(t *testing.T) {
	for _, side := range []cluster.Side{cluster.Skua, cluster.Java} {
		if side == cluster.Skua && !needSkua() {
			continue
		}
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			names, broker := private(t, side, side)
			name := topic(t, names, broker, "Priorities", 4)
			p, err := skuaClient(t, names).Producer(client.ProducerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for priority, want := range map[int]int32{0: 0, 2: 2, 3: 3, 99: 3} {
				sent, err := p.Send(within(t), &client.Message{Topic: name, Body: []byte("x"), Priority: new(priority)})
				if err != nil || sent.Queue.ID != want {
					t.Errorf("priority %d: %+v, %v", priority, sent, err)
				}
			}
		})
	}
}

// The command that a refusal names does what it says, run as it is.
func TestCureOfTheWrongType(t *testing.T) {
	t.Parallel()
	if !needSkua() {
		t.Skip("Java's brokers do not look at types")
	}
	_, broker := private(t, cluster.Skua, cluster.Skua, "enableTopicMessageTypeCheck=true")
	c := dial(t, broker.Addr)
	if err := createTyped(c, "Cured", 3, 2, 6, "+message.type=FIFO"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Send("Cured", 0, nil, []byte("x"))
	if err == nil || !strings.Contains(err.Error(), "TopicMessageType validate failed, the expected type is FIFO, but actual type is NORMAL") {
		t.Fatal(err)
	}
	_, command, ok := strings.Cut(err.Error(), "To change that: mqadmin ")
	if !ok {
		t.Fatal(err)
	}
	mqadmin(t, strings.Fields(command)...)
	if _, err := c.Send("Cured", 0, nil, []byte("x")); err != nil {
		t.Error(err)
	}
	if f, err := c.Call(351, remoting.Fields("topic", "Cured"), nil); err != nil || !strings.Contains(string(f.Body), `"readQueueNums":3`) || !strings.Contains(string(f.Body), `"writeQueueNums":2`) {
		t.Errorf("%v %s", err, f.Body)
	}
}
