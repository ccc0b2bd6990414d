package broker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

func consumer(id, group string, subs ...command.SubscriptionData) *command.HeartbeatData {
	return &command.HeartbeatData{ClientID: id, Producers: []command.ProducerData{{Group: "CLIENT_INNER_PRODUCER"}},
		Consumers: []command.ConsumerData{{Group: group, Type: command.ConsumePassively, Model: command.Clustering,
			FromWhere: command.FromLastOffset, Subscriptions: subs}}}
}

func subscribe(topic, expression string, codes ...int32) command.SubscriptionData {
	return command.SubscriptionData{Topic: topic, Expression: expression, ExpressionType: command.ExpressionTag, Version: 1, Codes: codes}
}

// notified is a client that counts the notices it gets for each group.
func (d *door) notified() (*peer, chan string) {
	notices := make(chan string, 100)
	return d.connect(func(req *wire.Frame) {
		if command.Code(req.Code) == command.NotifyConsumerIDsChanged {
			notices <- req.Ext.String("consumerGroup")
		}
	}), notices
}

func (p *peer) members(group string) []string {
	p.t.Helper()
	return ask[command.ConsumerList](p, command.GetConsumerListByGroup, &command.ConsumerGroupHeader{Group: group}, nil).ClientIDs
}

func TestGroupMembersAreToldOfChanges(t *testing.T) {
	d := openDoor(t)
	one, toOne := d.notified()
	two, _ := d.notified()
	answer := one.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	if answer.Ext.String("IS_SUPPORT_HEART_BEAT_V2") != "true" || answer.Ext.String("IS_SUB_CHANGE") != "true" {
		t.Errorf("ext fields %v", answer.Ext)
	}
	if g := <-toOne; g != "G" {
		t.Errorf("told of %q", g)
	}
	two.must(command.HeartBeat, nil, consumer("two", "G", subscribe("T", "*")))
	<-toOne
	if got := one.members("G"); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("members %v", got)
	}
	two.must(command.UnregisterClient, &command.UnregisterClientHeader{ClientID: "two", ConsumerGroup: "G"}, nil)
	<-toOne
	if got := one.members("G"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("members %v", got)
	}
	two.must(command.HeartBeat, nil, consumer("two", "G", subscribe("T", "*")))
	<-toOne
	two.pool.Close() // a closed connection takes its clients with it
	<-toOne
	until(t, "closed connection is forgotten", func() bool { return slices.Equal(one.members("G"), []string{"one"}) })
	one.must(command.UnregisterClient, &command.UnregisterClientHeader{ClientID: "one", ConsumerGroup: "G"}, nil)
	one.refused(command.StatusSystemError, "no consumer for this group, G", command.GetConsumerListByGroup, &command.ConsumerGroupHeader{Group: "G"}, nil)
	if answer := one.call(command.GetTopicConfig, &command.TopicHeader{Topic: skua.RetryTopic("G")}, nil); answer.Code != 0 {
		t.Errorf("a consumer's heartbeat must create its retry topic: %s", answer.Remark)
	}
}

func TestSwitchedOffNotices(t *testing.T) {
	d := openDoor(t, "notifyConsumerIdsChangedEnable", "false")
	one, notices := d.notified()
	one.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	one.members("G") // a later answer on the same connection
	if len(notices) != 0 {
		t.Error("told although it is switched off")
	}
}

func TestGroupThatMayNotExistIsPassedOver(t *testing.T) {
	d := openDoor(t, "autoCreateSubscriptionGroup", "false")
	d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	d.peer.refused(command.StatusSystemError, "no consumer for this group, G", command.GetConsumerListByGroup, &command.ConsumerGroupHeader{Group: "G"}, nil)
}

func TestConflictsAreLoggedOnce(t *testing.T) {
	d := openDoor(t)
	other := d.connect(nil)
	for range 3 {
		d.peer.must(command.HeartBeat, nil, consumer("same", "G", subscribe("T", "*")))
		other.must(command.HeartBeat, nil, consumer("same", "G", subscribe("T", "a")))
	}
	for text, want := range map[string]int{"client id same is used by 127.0.0.1:": 1, "consumer group G: clients subscribe differently": 1} {
		if n := d.log.count(text); n != want {
			t.Errorf("%q logged %d times", text, n)
		}
	}
}

func TestBadHeartbeats(t *testing.T) {
	d := openDoor(t)
	d.peer.refused(command.StatusInvalidParameter, "heartbeat without clientID", command.HeartBeat, nil, []byte("{}"))
	d.peer.refused(command.StatusSystemError, "", command.HeartBeat, nil, []byte("{{{"))
	d.peer.must(command.CheckClientConfig, nil, command.CheckClient{ClientID: "a", Group: "G", Subscription: subscribe("T", "*")})
	d.peer.refused(command.StatusInvalidParameter, "group of 1025 bytes", command.LockBatchMQ, nil, command.LockBatch{ClientID: "a", Group: strings.Repeat("g", 1025)})
}

func TestQueueLocksOverTheWire(t *testing.T) {
	d := openDoor(t)
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 3, WriteQueues: 3, Perm: 6, FilterType: command.SingleTag}, nil)
	lock := func(client string, ids ...int32) (got []int32) {
		body := command.LockBatch{ClientID: client, Group: "G"}
		for _, id := range ids {
			body.Queues = append(body.Queues, command.MessageQueue{Broker: "b", Topic: "T", QueueID: id})
		}
		for _, q := range ask[command.LockBatchResponse](d.peer, command.LockBatchMQ, nil, body).Locked {
			got = append(got, q.QueueID)
		}
		return got
	}
	if got := lock("one", 0, 1); !slices.Equal(got, []int32{0, 1}) {
		t.Errorf("%v", got)
	}
	if got := lock("one", 1, 3, -1, 1<<30); !slices.Equal(got, []int32{1}) {
		t.Errorf("queues that do not exist are locked: %v", got)
	}
	if got := lock("two", 1, 2); !slices.Equal(got, []int32{2}) {
		t.Errorf("%v", got)
	}
	d.peer.must(command.UnlockBatchMQ, nil, command.LockBatch{ClientID: "one", Group: "G", Queues: []command.MessageQueue{{Broker: "b", Topic: "T", QueueID: 1}}})
	if got := lock("two", 0, 1); !slices.Equal(got, []int32{1}) {
		t.Errorf("%v", got)
	}
	d.peer.must(command.UnregisterClient, &command.UnregisterClientHeader{ClientID: "one", ConsumerGroup: "G"}, nil)
	if got := lock("two", 0); !slices.Equal(got, []int32{0}) {
		t.Errorf("a client that unregisters gives its locks back: %v", got)
	}
}
