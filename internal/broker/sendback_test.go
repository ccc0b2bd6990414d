package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// logOffset is where the message with an offset id is.
func logOffset(t *testing.T, id string) skua.LogOffset {
	t.Helper()
	_, off, err := record.ParseOffsetID(id)
	if err != nil {
		t.Fatal(err)
	}
	return off
}

func TestSendBackComesAgainAfterItsDelay(t *testing.T) {
	d := openDoor(t)
	id, _ := d.peer.send("T", "body", skua.PropTags, "TagA", skua.PropUniqueKey, "U1")
	began := time.Now()
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, id), Group: "G", DelayLevel: 1}, nil)
	var retries []record.Message
	until(t, "retry", func() bool { retries = d.peer.stored(skua.RetryTopic("G")); return len(retries) == 1 })
	if took := time.Since(began); took < 990*time.Millisecond || took > 10*time.Second {
		t.Errorf("level 1 took %v", took)
	}
	m := retries[0]
	properties := record.ParseProperties(m.Properties)
	for key, want := range map[string]string{skua.PropRetryTopic: "T", skua.PropOriginMessageID: id, skua.PropDelayLevel: "1",
		skua.PropRealTopic: skua.RetryTopic("G"), skua.PropRealQueueID: "0", skua.PropTags: "TagA", skua.PropUniqueKey: "U1", skua.PropWait: "false"} {
		if properties[key] != want {
			t.Errorf("%s = %q, want %q", key, properties[key], want)
		}
	}
	if string(m.Body) != "body" || m.ReconsumeTimes != 1 || m.BornTime != 1 {
		t.Errorf("%+v", m)
	}
	// The second time the first offset id stays, and the count grows.
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: m.LogOffset, Group: "G", DelayLevel: 1}, nil)
	until(t, "second retry", func() bool { retries = d.peer.stored(skua.RetryTopic("G")); return len(retries) == 2 })
	properties = record.ParseProperties(retries[1].Properties)
	if retries[1].ReconsumeTimes != 2 || properties[skua.PropOriginMessageID] != id || properties[skua.PropRetryTopic] != "T" {
		t.Errorf("%+v %v", retries[1], properties)
	}
}

func TestSendBackDelayGrowsWithRetries(t *testing.T) {
	d := openDoor(t)
	id, _ := d.peer.send("T", "body")
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, id), Group: "G"}, nil)
	queue := ask[command.ConsumeQueueSlice](d.peer, command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: skua.ScheduleTopic, QueueID: 2, Count: 10}, nil)
	if len(queue.Entries) != 1 {
		t.Fatalf("level 3, queue 2 of the schedule, has %v", queue.Entries)
	}
	if wait := time.Until(time.UnixMilli(queue.Entries[0].TagsCode)); wait < 8*time.Second || wait > 10*time.Second {
		t.Errorf("due in %v, want 10 s after it was stored", wait)
	}
}

func TestSendBackGivesUp(t *testing.T) {
	d := openDoor(t)
	id, _ := d.peer.send("T", "body")
	zero := int32(0)
	for i, h := range []command.SendBackHeader{
		{Group: "G", DelayLevel: -1},                          // the consumer says so
		{Group: "G", DelayLevel: 1, MaxReconsumeTimes: &zero}, // it allows no retry
	} {
		h.Offset = logOffset(t, id)
		d.peer.must(command.ConsumerSendMsgBack, &h, nil)
		dead := d.peer.stored(skua.DLQTopic("G"))
		if len(dead) != i+1 || dead[i].ReconsumeTimes != 1 || string(dead[i].Body) != "body" {
			t.Fatalf("%d: %+v", i, dead)
		}
		if p := record.ParseProperties(dead[i].Properties); p[skua.PropRetryTopic] != "T" || p[skua.PropOriginMessageID] != id {
			t.Errorf("%d: %v", i, p)
		}
	}
	topic := ask[command.TopicConfig](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: skua.DLQTopic("G")}, nil)
	if topic.ReadQueues != 1 || topic.Perm != skua.PermRead|skua.PermWrite {
		t.Errorf("%+v", topic)
	}
}

func TestSendBackRefusals(t *testing.T) {
	d := openDoor(t)
	id, _ := d.peer.send("T", "body")
	back := func(h command.SendBackHeader) *command.SendBackHeader { return &h }
	d.peer.refused(command.StatusSubscriptionGroupNotExist, "subscription group not exist, G none", command.ConsumerSendMsgBack, back(command.SendBackHeader{Group: "G none"}), nil)
	d.peer.refused(command.StatusSystemError, "look message by offset failed, 999999999", command.ConsumerSendMsgBack, back(command.SendBackHeader{Group: "G", Offset: 999999999}), nil)
	d.peer.refused(command.StatusSystemError, "look message by offset failed, 1", command.ConsumerSendMsgBack, back(command.SendBackHeader{Group: "G", Offset: 1}), nil)
	d.peer.refused(command.StatusSystemError, "header field offset is missing", command.ConsumerSendMsgBack, &command.ConsumerGroupHeader{Group: "G"}, nil)
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("brokerPermission=4\n"))
	d.peer.refused(command.StatusNoPermission, "the broker[", command.ConsumerSendMsgBack, back(command.SendBackHeader{Group: "G", Offset: logOffset(t, id)}), nil)
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("brokerPermission=6\n"))
	group := command.DefaultGroupConfig("Drop")
	group.RetryQueues = 0
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, &group)
	d.peer.must(command.ConsumerSendMsgBack, back(command.SendBackHeader{Group: "Drop", Offset: logOffset(t, id)}), nil)
	if d.log.count("message that a consumer sent back is dropped") != 1 {
		t.Error("a dropped message must be logged")
	}
}

func TestDelayedSendSurvivesARestart(t *testing.T) {
	d := openDoor(t, "messageDelayLevel", "1s 2s")
	d.peer.send("T", "one", skua.PropDelayLevel, "1")
	d.peer.send("T", "two", skua.PropDelayLevel, "2")
	if got := d.peer.stored("T"); len(got) != 0 {
		t.Fatalf("delivered at once: %v", got)
	}
	until(t, "level 1", func() bool { return len(d.peer.stored("T")) == 1 })
	d.restart()
	var got []record.Message
	until(t, "level 2", func() bool { got = d.peer.stored("T"); return len(got) == 2 })
	if string(got[0].Body) != "one" || string(got[1].Body) != "two" {
		t.Errorf("%v", got)
	}
	until(t, "progress of both levels", func() bool { // which moves on when the message is there already
		offsets := ask[command.DelayOffsets](d.peer, command.GetAllDelayOffset, nil, nil).Offsets
		return offsets[1] == 1 && offsets[2] == 1
	})
}

// Dead letters tell where they came from, and can be read and sent again.
func TestDeadLettersCanBeReadAndSentAgain(t *testing.T) {
	d := openDoor(t)
	for _, key := range []string{"U1", ""} {
		id, _ := d.peer.send("T", "body", skua.PropTags, "A", skua.PropUniqueKey, key)
		d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, id), Group: "G", DelayLevel: -1}, nil)
	}
	answer := d.peer.must(command.PullMessage, pullHeader(skua.DLQTopic("G"), 0), nil)
	if got := bodies(t, answer.Body); len(got) != 2 {
		t.Fatalf("dead letters %v", got)
	}
	for i, m := range d.peer.stored(skua.DLQTopic("G")) {
		p := record.ParseProperties(m.Properties)
		if p[skua.PropDLQOriginTopic] != "T" || i == 0 && p[skua.PropDLQOriginMessageID] != "U1" || p[skua.PropDLQOriginMessageID] != p[skua.PropUniqueKey] || p[skua.PropOriginMessageID] == "" {
			t.Errorf("%v", p)
		}
		h := sendHeader(p[skua.PropDLQOriginTopic])
		h.Properties = m.Properties
		d.peer.must(command.SendMessageV2, h, m.Body)
	}
	again := d.peer.stored("T")
	if len(again) != 4 || string(again[3].Body) != "body" {
		t.Fatalf("sent again: %v", again)
	}
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: again[2].LogOffset, Group: "G", DelayLevel: -1}, nil)
	if dead := d.peer.stored(skua.DLQTopic("G")); len(dead) != 3 || strings.Count(string(dead[2].Properties), skua.PropDLQOriginTopic) != 1 {
		t.Errorf("dead for the second time: %v", dead)
	}
	// Where there is no room for more properties the letter arrives all the same.
	id, _ := d.peer.send("T", "full", "P", strings.Repeat("x", 32_300))
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, id), Group: "G", DelayLevel: -1}, nil)
	dead := d.peer.stored(skua.DLQTopic("G"))
	if len(dead) != 4 || strings.Contains(string(dead[3].Properties), skua.PropDLQOriginTopic) {
		t.Errorf("%d dead letters", len(dead))
	}
}

// The settings of the group count where the consumer says nothing.
func TestSendBackGoesByTheGroup(t *testing.T) {
	d := openDoor(t)
	g := command.DefaultGroupConfig("G")
	g.RetryMaxTimes, g.RetryQueues = 1, 3
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, &g)
	id, _ := d.peer.send("T", "body")
	for range 30 {
		d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, id), Group: "G", DelayLevel: 99}, nil)
	}
	topic := ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: skua.RetryTopic("G")}, nil)
	if topic.ReadQueues != 3 || topic.WriteQueues != 3 {
		t.Errorf("retry topic %+v", topic.TopicConfig)
	}
	// A level beyond the last one is the last one.
	parked := ask[command.ConsumeQueueSlice](d.peer, command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: skua.ScheduleTopic, QueueID: 17, Count: 100}, nil).Entries
	if len(parked) != 30 {
		t.Fatalf("%d messages wait in the last level", len(parked))
	}
	queues := map[string]bool{}
	var retry record.Message
	for _, u := range parked {
		m, _, err := record.Decode(d.peer.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: u.Offset}, nil).Body)
		if err != nil {
			t.Fatal(err)
		}
		queues[record.ParseProperties(m.Properties)[skua.PropRealQueueID]] = true
		retry = m
	}
	if len(queues) != 3 {
		t.Errorf("retries go to queues %v", queues)
	}
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: retry.LogOffset, Group: "G"}, nil)
	if dead := d.peer.stored(skua.DLQTopic("G")); len(dead) != 1 || dead[0].ReconsumeTimes != 2 {
		t.Errorf("after the last retry: %v", dead)
	}
	more := int32(2)
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: retry.LogOffset, Group: "G", MaxReconsumeTimes: &more}, nil)
	if dead := d.peer.stored(skua.DLQTopic("G")); len(dead) != 1 {
		t.Errorf("a consumer that allows more retries than its group: %d dead letters", len(dead))
	}
}

// Topics that administrators have changed.
func TestSendBackToChangedTopics(t *testing.T) {
	d := openDoor(t)
	change := func(topic string, queues int32, perm skua.Perm) {
		d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: topic, ReadQueues: queues, WriteQueues: queues, Perm: perm, FilterType: command.SingleTag}, nil)
	}
	id, _ := d.peer.send("T", "body")
	retry := &command.SendBackHeader{Offset: logOffset(t, id), Group: "G", DelayLevel: 1}
	dead := &command.SendBackHeader{Offset: logOffset(t, id), Group: "G", DelayLevel: -1}
	change(skua.RetryTopic("G"), 1, 4)
	d.peer.refused(command.StatusNoPermission, "the topic[%RETRY%G] sending message is forbidden: its permission is R--", command.ConsumerSendMsgBack, retry, nil)
	change(skua.RetryTopic("G"), 0, 6)
	d.peer.refused(command.StatusSystemError, "topic[%RETRY%G] not exist: it has no queue to write to", command.ConsumerSendMsgBack, retry, nil)
	change(skua.RetryTopic("G"), 1, 6)
	change(skua.DLQTopic("G"), 0, 6)
	d.peer.refused(command.StatusSystemError, "topic[%DLQ%G] not exist: it has no queue to write to", command.ConsumerSendMsgBack, dead, nil)
	h := sendHeader(skua.RetryTopic("G"))
	h.ReconsumeTimes = 17
	d.peer.refused(command.StatusSystemError, "topic[%DLQ%G] not exist: it has no queue to write to", command.SendMessageV2, h, []byte("x"))
	change(skua.DLQTopic("G"), 2, 4) // refused for lack of permission, they would come back for ever
	d.peer.must(command.ConsumerSendMsgBack, dead, nil)
	d.peer.must(command.SendMessageV2, h, []byte("x"))
	// Without autoCreateTopicEnable the topics of groups come into being all the same.
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("autoCreateTopicEnable=false\n"))
	dead.Group = "H"
	d.peer.must(command.ConsumerSendMsgBack, dead, nil)
	if got := d.peer.stored(skua.DLQTopic("H")); len(got) != 1 {
		t.Errorf("%d dead letters", len(got))
	}
}

// A batch that is stored in one record cannot be sent back, as with Java: clients send the message itself.
func TestSendBackOfBatchInOneRecord(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("Batched", 1, "+queue.type=BatchCQ")
	h := sendHeader("Batched", "UNIQ_KEY", "CAFE")
	h.Batch = true
	r := sendResponse(t, d.peer.must(command.SendBatchMessage, h, batchBody("a", "b")))
	d.peer.refused(command.StatusSystemError, "MESSAGE_ILLEGAL: ", command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, string(r.MsgID)), Group: "G"}, nil)
}
