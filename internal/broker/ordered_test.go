package broker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// lock asks for queues of T for a client of G, and returns those that it got.
func (p *peer) lock(client string, ids ...int32) (got []int32) {
	p.t.Helper()
	body := command.LockBatch{ClientID: client, Group: "G"}
	for _, id := range ids {
		body.Queues = append(body.Queues, command.MessageQueue{Broker: "b", Topic: "T", QueueID: id})
	}
	for _, q := range ask[command.LockBatchResponse](p, command.LockBatchMQ, nil, body).Locked {
		got = append(got, q.QueueID)
	}
	return got
}

// A client that is gone without a word may still be busy, so its locks stay, also while the broker restarts; one that says
// that it leaves gives them back.
func TestLocksStayUntilTheirHolderLeaves(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	one := d.connect(nil)
	one.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	if got := one.lock("one", 0, 1); !slices.Equal(got, []int32{0, 1}) {
		t.Fatalf("first client locks %v", got)
	}
	one.pool.Close()
	until(t, "closed connection is forgotten", func() bool {
		return d.peer.call(command.GetConsumerListByGroup, &command.ConsumerGroupHeader{Group: "G"}, nil).Code != 0
	})
	if got := d.peer.lock("two", 0, 1); got != nil {
		t.Errorf("when the connection of the holder broke another one locks %v", got)
	}
	d.restart()
	if got := d.peer.lock("two", 0, 1); got != nil {
		t.Errorf("after a restart another one locks %v", got)
	}
	if got := d.peer.lock("one", 1); !slices.Equal(got, []int32{1}) {
		t.Errorf("after a restart the holder renews %v", got)
	}
	d.peer.must(command.UnregisterClient, &command.UnregisterClientHeader{ClientID: "one", ConsumerGroup: "G"}, nil)
	if got := d.peer.lock("two", 0, 1); !slices.Equal(got, []int32{0, 1}) {
		t.Errorf("when the holder has left another one locks %v", got)
	}
	d.b.Scan(time.Now().Add(time.Minute + time.Second))
	if got := d.peer.lock("three", 0, 1); !slices.Equal(got, []int32{0, 1}) {
		t.Errorf("a minute later another one locks %v", got)
	}
	d.peer.refused(command.StatusInvalidParameter, `consumerGroup "G" or clientId "" is missing`, command.LockBatchMQ, nil, command.LockBatch{Group: "G"})
}

func TestBlockedQueueIsTold(t *testing.T) {
	d := openDoor(t, "blockedQueueTimeMillis", "2000")
	d.peer.createTopic("T", 2)
	for range 3 {
		d.peer.send("T", "x")
	}
	if got := d.peer.lock("one", 0, 1); len(got) != 2 {
		t.Fatal(got)
	}
	d.peer.must(command.PullMessage, pullHeader("T", 1), nil) // a new group that began with the second message
	start := time.Now()
	scan := func(seconds int, warnings, ends int) {
		t.Helper()
		d.b.Scan(start.Add(time.Duration(seconds) * time.Second))
		if got := d.log.count("queue is blocked: group G has not consumed the message at offset 1 of T queue 0 for "); got != warnings {
			t.Errorf("after %d s: %d warnings, want %d", seconds, got, warnings)
		}
		if got := d.log.count("queue is not blocked any more: T queue 0 of group G was for "); got != ends {
			t.Errorf("after %d s: %d ends, want %d", seconds, got, ends)
		}
	}
	scan(0, 0, 0)
	scan(1, 0, 0)
	scan(2, 1, 0)
	scan(9, 1, 0)
	info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	if info["blockedQueues"] != "1" || !strings.HasPrefix(info["blockedQueue_T@G_0"], "1,") {
		t.Errorf("runtime information: %q, %q", info["blockedQueues"], info["blockedQueue_T@G_0"])
	}
	stats := ask[command.ConsumeStats](d.peer, command.GetConsumeStats, &command.ConsumeStatsHeader{Group: "G", Topic: "T"}, nil)
	if len(stats.Blocked) != 1 || stats.Blocked[0].Offset != 1 || stats.Blocked[0].ClientID != "one" || stats.Blocked[0].Queue != (command.MessageQueue{Broker: "b", Topic: "T"}) {
		t.Errorf("consume stats: %+v", stats.Blocked)
	}
	if other := ask[command.ConsumeStats](d.peer, command.GetConsumeStats, &command.ConsumeStatsHeader{Group: "H", Topic: "T"}, nil); other.Blocked != nil {
		t.Errorf("consume stats of another group: %+v", other.Blocked)
	}
	d.peer.commitAs("G", "T", 0, 2)
	scan(10, 1, 1)
	scan(11, 1, 1)
	d.peer.commitAs("G", "T", 0, 3) // all is consumed: the queue waits for messages, not for a consumer
	scan(14, 1, 1)
	if info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table; info["blockedQueues"] != "0" {
		t.Errorf("runtime information: %q", info["blockedQueues"])
	}
}

// Members of a broadcasting group have all queues, whoever else there is: they are not told of one another.
func TestBroadcastingMembersAreNotTold(t *testing.T) {
	d := openDoor(t)
	one, notices := d.notified()
	h := consumer("one", "G", subscribe("T", "*"))
	h.Consumers[0].Model = command.Broadcasting
	one.must(command.HeartBeat, nil, h)
	h = consumer("one", "H", subscribe("T", "*"))
	one.must(command.HeartBeat, nil, h)
	if g := <-notices; g != "H" {
		t.Errorf("told of %q", g)
	}
}

func TestSilentGroupIsNotTold(t *testing.T) {
	d := openDoor(t)
	g := command.DefaultGroupConfig("G")
	g.NotifyConsumerIDsChanged = false
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, g)
	one, notices := d.notified()
	one.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	one.must(command.HeartBeat, nil, consumer("one", "H", subscribe("T", "*")))
	if g := <-notices; g != "H" {
		t.Errorf("told of %q", g)
	}
}

// The retry topic of a group that subscribes to an ordered topic is ordered too, so that a broker that is being emptied does
// not take more of it.
func TestRetryTopicOfOrderedTopic(t *testing.T) {
	d := openDoor(t)
	create := func(order bool) {
		d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 1, WriteQueues: 1, Perm: 6, FilterType: command.SingleTag, Order: order}, nil)
	}
	retry := func() bool {
		return ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: skua.RetryTopic("G")}, nil).Order
	}
	beat := func() { d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*"))) }
	create(false)
	beat()
	if retry() {
		t.Error("retry topic is ordered although the topic is not")
	}
	create(true)
	beat()
	if !retry() {
		t.Error("retry topic is not ordered")
	}
	// A second heartbeat of a client that leaves its subscriptions out does not undo it.
	short := consumer("one", "G")
	short.Fingerprint, short.WithoutSub = 7, true
	d.peer.must(command.HeartBeat, nil, short)
	d.restart()
	if !retry() {
		t.Error("after a restart the retry topic is not ordered")
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("brokerPermission=4\n"))
	d.peer.refused(command.StatusNoPermission, "the broker[127.0.0.1] sending message is forbidden", command.SendMessageV2, sendHeader(skua.RetryTopic("G")), []byte("x"))
	create(false)
	beat()
	if retry() {
		t.Error("retry topic is still ordered")
	}
}
