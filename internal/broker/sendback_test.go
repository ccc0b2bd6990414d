package broker_test

import (
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
	offsets := ask[command.DelayOffsets](d.peer, command.GetAllDelayOffset, nil, nil).Offsets
	if offsets[1] != 1 || offsets[2] != 1 {
		t.Errorf("%v", offsets)
	}
}
