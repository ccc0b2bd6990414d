package broker_test

import (
	"fmt"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// storedIn returns where a message went that was sent with some properties to a queue, and the priority that it kept.
func (p *peer) storedIn(topic string, queue int32, kv ...string) string {
	p.t.Helper()
	h := sendHeader(topic, kv...)
	h.QueueID = queue
	r := sendResponse(p.t, p.must(command.SendMessageV2, h, []byte("x")))
	_, off, err := record.ParseOffsetID(string(r.MsgID))
	if err != nil {
		p.t.Fatal(err)
	}
	m, _, err := record.Decode(p.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: off}, nil).Body)
	if err != nil {
		p.t.Fatal(err)
	}
	kept, ok := record.Property(m.Properties, skua.PropPriority)
	if !ok {
		kept = []byte("none")
	}
	return fmt.Sprintf("answered %d, stored %d, priority %s", r.QueueID, m.QueueID, kept)
}

// The queues of priorities, as Java's broker chooses them (interop/priority_test.go has it answer the same).
func TestPriorityChoosesTheQueue(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("P", 4, "+message.type=PRIORITY")
	d.peer.createTopic("N", 4)
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "Narrow", ReadQueues: 8, WriteQueues: 2, Perm: 14, FilterType: command.SingleTag}, nil)
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "ReadOnly", ReadQueues: 8, WriteQueues: 0, Perm: 6, FilterType: command.SingleTag}, nil)
	const p = skua.PropPriority
	for _, c := range []struct {
		topic string
		queue int32
		want  string
		kv    []string
	}{
		{"P", 2, "answered 0, stored 0, priority 0", []string{p, "0"}},
		{"P", 0, "answered 3, stored 3, priority 3", []string{p, "3"}},
		{"P", -1, "answered 3, stored 3, priority 4", []string{p, "4"}},
		{"P", 0, "answered 3, stored 3, priority 2147483647", []string{p, "2147483647"}},
		{"P", 1, "answered 2, stored 2, priority +2", []string{p, "+2"}},
		{"P", 1, "answered 1, stored 1, priority none", nil},
		{"P", 1, "answered 1, stored 1, priority 2147483648", []string{p, "2147483648"}},
		{"P", 1, "answered 1, stored 1, priority 18446744073709551617", []string{p, "18446744073709551617"}},
		{"P", 1, "answered 1, stored 1, priority -1", []string{p, "-1"}},
		{"P", 1, "answered 0, stored 0, priority -0", []string{p, "-0"}},
		{"P", 1, "answered 1, stored 1, priority high", []string{p, "high"}},
		{"P", 1, "answered 1, stored 1, priority +", []string{p, "+"}},
		{"P", 1, "answered 1, stored 1, priority  2", []string{p, " 2"}},
		{"P", 1, "answered 3, stored 3, priority 3", []string{p, "1", p, "3"}}, // the last one counts
		{"P", 1, "answered 1, stored 1, priority none", []string{p, "3", "__SHARDINGKEY", "s"}},
		{"P", 1, "answered 1, stored 1, priority none", []string{"DELAY", "0", p, "3"}},
		{"P", 1, "answered 1, stored 1, priority -1", []string{p, "-1", "__SHARDINGKEY", "s"}},
		{"P", 1, "answered 3, stored 3, priority 3", []string{p, "3", "__LITE_TOPIC", "l"}},
		{"N", 1, "answered 3, stored 3, priority 9", []string{p, "9"}}, // whatever the type of the topic
		{"Narrow", 0, "answered 1, stored 1, priority 7", []string{p, "7"}},
		{"ReadOnly", 5, "answered 5, stored 5, priority 7", []string{p, "7"}},
	} {
		if got := d.peer.storedIn(c.topic, c.queue, c.kv...); got != c.want {
			t.Errorf("%s, queue %d, %q: %s, want %s", c.topic, c.queue, c.kv, got, c.want)
		}
	}
}

// Retries, delays and transactions of messages with a priority.
func TestPriorityOfOtherKinds(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("P", 4, "+message.type=PRIORITY")
	const p = skua.PropPriority
	h := sendHeader("P", p, "2", "UNIQ_KEY", "U")
	r := sendResponse(t, d.peer.must(command.SendMessageV2, h, []byte("sent back")))

	// A message that is sent back keeps its priority as a property; its retry topic's queues are those of retries.
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, string(r.MsgID)), Group: "G", DelayLevel: 1}, nil)
	retry := func() []record.Message { return d.peer.stored(skua.RetryTopic("G")) }
	until(t, "retry", func() bool { return len(retry()) == 1 })
	if v, _ := record.Property(retry()[0].Properties, p); string(v) != "2" {
		t.Errorf("retry has priority %q", v)
	}
	// One that a client sends to the retry topic itself has a delay level, so it loses it.
	back := sendHeader(skua.RetryTopic("G"), p, "2", "DELAY", "1")
	d.peer.must(command.SendMessageV2, back, []byte("again"))
	until(t, "second retry", func() bool { return len(retry()) == 2 })
	if v, there := record.Property(retry()[1].Properties, p); there {
		t.Errorf("delayed retry has priority %q", v)
	}
	// So does a dead letter.
	back = sendHeader(skua.RetryTopic("G"), p, "2")
	back.ReconsumeTimes = 99
	d.peer.must(command.SendMessageV2, back, []byte("dead"))
	dead := d.peer.stored(skua.DLQTopic("G"))
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	if v, there := record.Property(dead[0].Properties, p); there {
		t.Errorf("dead letter has priority %q", v)
	}
	// A half message loses it, and is delivered to the queue that it was sent to.
	half := sendHeader("P", p, "3", "TRAN_MSG", "true", "PGROUP", "P")
	half.QueueID, half.SysFlag = 1, record.FlagTransactionPrepared
	r = sendResponse(t, d.peer.must(command.SendMessageV2, half, []byte("half")))
	if r.QueueID != 1 {
		t.Errorf("half message of queue %d", r.QueueID)
	}
	// A batch goes where it is sent to, whatever its messages say.
	batch := sendHeader("P", p, "3")
	batch.QueueID, batch.Batch = 1, true
	r = sendResponse(t, d.peer.must(command.SendBatchMessage, batch, record.AppendBatchItem(nil, record.BatchItem{Body: []byte("x"), Properties: properties(p, "3")})))
	if r.QueueID != 1 {
		t.Errorf("batch in queue %d", r.QueueID)
	}
}
