package broker_test

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

func TestQueries(t *testing.T) {
	d := openDoor(t)
	id, _ := d.peer.send("T", "one", skua.PropKeys, "k1 k2", skua.PropUniqueKey, "U1", skua.PropTags, "a")
	d.peer.send("T", "two", skua.PropKeys, "k2 a", skua.PropUniqueKey, "U2", skua.PropTags, "k1")
	query := func(key, kind string, unique bool) []string {
		answer := d.peer.must(command.QueryMessage, &command.QueryMessageHeader{Topic: "T", Key: key, Max: 10,
			End: time.Now().UnixMilli() + 1000, IndexType: kind, UniqueQuery: unique}, nil)
		var found []string
		for b := answer.Body; len(b) > 0; {
			m, n, err := record.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			found, b = append(found, string(m.Body)), b[n:]
		}
		return found
	}
	if got := query("k2", "", false); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("k2: %v", got)
	}
	if got := query("U2", "", true); !slices.Equal(got, []string{"two"}) {
		t.Errorf("U2: %v", got)
	}
	if got := query("a", command.IndexTag, false); !slices.Equal(got, []string{"one"}) {
		t.Errorf("tag a: %v", got)
	}
	if got := query("a", "K", false); !slices.Equal(got, []string{"two"}) {
		t.Errorf("key a: %v", got)
	}
	d.peer.refused(command.StatusQueryNotFound, "can not find message, maybe time range not correct", command.QueryMessage,
		&command.QueryMessageHeader{Topic: "T", Key: "none", Max: 10, End: time.Now().UnixMilli()}, nil)
	m, _, err := record.Decode(d.peer.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: logOffset(t, id)}, nil).Body)
	if err != nil || string(m.Body) != "one" {
		t.Errorf("%v %v", m, err)
	}
	d.peer.refused(command.StatusSystemError, "can not find message by the offset, 99999999", command.ViewMessageByID, &command.ViewMessageHeader{Offset: 99999999}, nil)
	d.peer.call(command.QueryMessage, nil, nil) // without any header it must be answered too
}

// The keys that Java 5.5.0 gives and tools parse.
const runtimeKeys = `msgPutTotalTodayNow brokerActive sendThreadPoolQueueHeadWaitTimeMills putMessageDistributeTime
	queryThreadPoolQueueHeadWaitTimeMills remainHowManyDataToFlush msgGetTotalTodayNow timerEnqueueTps queryThreadPoolQueueSize
	timerOffsetBehind bootTimestamp msgPutTotalYesterdayMorning msgGetTotalYesterdayMorning pullThreadPoolQueueSize commitLogMinOffset
	pullThreadPoolQueueHeadWaitTimeMills runtime dispatchMaxBuffer putTps getTransferredTps getMissTps
	litePullThreadPoolQueueHeadWaitTimeMills EndTransactionQueueSize getTotalTps consumeQueueDiskRatio litePullThreadPoolQueueSize
	pageCacheLockTimeMills ackThreadPoolQueueSize commitLogDiskRatio getFoundTps EndTransactionThreadPoolQueueCapacity
	ackThreadPoolQueueHeadWaitTimeMills putMessageFailedTimes putLatency999 timerReadBehind commitLogMaxOffset getMessageEntireTimeMax
	msgPutTotalTodayMorning putMessageTimesTotal putLatency99 msgGetTotalTodayMorning brokerVersionDesc startAcceptSendRequestTimeStamp
	sendThreadPoolQueueSize putMessageEntireTimeMax earliestMessageTimeStamp commitLogDirCapacity timerCongestNum
	remainTransientStoreBufferNumbs ackThreadPoolQueueCapacity queryThreadPoolQueueCapacity putMessageAverageSize dispatchBehindBytes
	putMessageSizeTotal sendThreadPoolQueueCapacity timerDequeueTps pullThreadPoolQueueCapacity litePullThreadPoolQueueCapacity
	brokerVersion scheduleMessageOffset_3`

func TestRuntimeInfo(t *testing.T) {
	d := openDoor(t)
	d.peer.send("T", "x")
	d.peer.send("T", "x", skua.PropDelayLevel, "3")
	table := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	for _, key := range strings.Fields(runtimeKeys) {
		if table[key] == "" {
			t.Errorf("%s is missing", key)
		}
	}
	for key, want := range map[string]string{"msgPutTotalTodayNow": "2", "scheduleMessageOffset_3": "0,1", "brokerVersion": "513", "commitLogMinOffset": "0"} {
		if table[key] != want {
			t.Errorf("%s = %q, want %q", key, table[key], want)
		}
	}
	if n := len(strings.Fields(table["putTps"])); n != 3 {
		t.Errorf("putTps has %d numbers: %q", n, table["putTps"])
	}
}

func TestSettingsOverTheNetwork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "broker.conf")
	if err := os.WriteFile(file, []byte("# mine\nbrokerPermission = 6\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, "brokerConfigPath", file)
	all := string(d.peer.must(command.GetBrokerConfig, nil, nil).Body)
	for _, line := range []string{"brokerName=b\n", "autoCreateTopicEnable=true\n", "sendMessageThreadPoolNums="} {
		if !strings.Contains(all, line) {
			t.Errorf("%q is missing", line)
		}
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("autoCreateTopicEnable=false\nbrokerPermission=4\n"))
	answer := d.peer.must(command.GetBrokerConfig, nil, nil)
	if !bytes.Contains(answer.Body, []byte("autoCreateTopicEnable=false\n")) {
		t.Error("not changed")
	}
	var version command.DataVersion
	if err := fastjson.Unmarshal([]byte(answer.Ext.String("version")), &version); err != nil || version.Counter != 1 {
		t.Errorf("version %q: %v", answer.Ext.String("version"), err)
	}
	if got, _ := os.ReadFile(file); string(got) != "# mine\nbrokerPermission=4\nautoCreateTopicEnable=false\n" {
		t.Errorf("file is now %q", got)
	}
	for body, want := range map[string]struct {
		status command.Status
		remark string
	}{
		"brokerConfigPath=/x":                             {command.StatusNoPermission, "Can not update config in black list."},
		"autoCreateTopicEnable=true\nstorePathRootDir=/x": {command.StatusNoPermission, "Can not update config in black list. storePathRootDir is read when the broker starts: set it in " + file},
		"noSuchKey=1":                                     {command.StatusNoPermission, "Can not update config in black list. noSuchKey has no effect"},
		"brokerPermission=x":                              {command.StatusInvalidParameter, ""},
		"maxStoreSize=1":                                  {command.StatusInvalidParameter, "maxStoreSize=1: want 0 or at least twice"},
		"deleteWhen=noon":                                 {command.StatusInvalidParameter, "deleteWhen=noon: want hours"},
		"brokerPermission=99":                             {command.StatusInvalidParameter, "brokerPermission=99: want a whole number from 0 to 7"},
	} {
		d.peer.refused(want.status, want.remark, command.UpdateBrokerConfig, nil, []byte(body))
	}
	if all := d.peer.must(command.GetBrokerConfig, nil, nil).Body; !bytes.Contains(all, []byte("autoCreateTopicEnable=false\n")) {
		t.Error("of settings that are refused together none may take effect")
	}
}

// Settings that cannot be saved hold all the same, and the answer tells: a full disk or a file that is mounted to be read only
// must not keep anybody from making room or taking traffic away.
func TestSettingsThatCannotBeSaved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d := openDoor(t, "brokerConfigPath", filepath.Join(file, "broker.conf"))
	answer := d.peer.must(command.UpdateBrokerConfig, nil, []byte("brokerPermission=4\n"))
	if !strings.HasPrefix(string(answer.Remark), "the settings are changed, but only until the next start") || d.log.count("changed settings cannot be saved") != 1 {
		t.Errorf("answer %q", answer.Remark)
	}
	if all := d.peer.must(command.GetBrokerConfig, nil, nil).Body; !bytes.Contains(all, []byte("brokerPermission=4\n")) {
		t.Error("not changed")
	}
}

func TestConnections(t *testing.T) {
	d := openDoor(t)
	d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "a || b", 97, 98)))
	c := ask[command.ConsumerConnection](d.peer, command.GetConsumerConnectionList, &command.ConsumerGroupHeader{Group: "G"}, nil)
	if len(c.Connections) != 1 || c.Connections[0].ClientID != "one" || c.Model != command.Clustering || c.Subscriptions["T"].Expression != "a || b" {
		t.Errorf("%+v", c)
	}
	d.peer.refused(command.StatusConsumerNotOnline, "the consumer group[none] not online", command.GetConsumerConnectionList, &command.ConsumerGroupHeader{Group: "none"}, nil)
	p := ask[command.ProducerConnection](d.peer, command.GetProducerConnectionList, &command.ProducerGroupHeader{Group: "CLIENT_INNER_PRODUCER"}, nil)
	if len(p.Connections) != 1 || p.Connections[0].Version != command.V5_5_0 {
		t.Errorf("%+v", p)
	}
	d.peer.refused(command.StatusSystemError, "the producer group[none] not exist", command.GetProducerConnectionList, &command.ProducerGroupHeader{Group: "none"}, nil)
	if all := ask[command.ProducerTable](d.peer, command.GetAllProducerInfo, nil, nil); len(all.Groups["CLIENT_INNER_PRODUCER"]) != 1 {
		t.Errorf("%+v", all)
	}
	if g := ask[command.GroupList](d.peer, command.QueryTopicConsumeByWho, &command.TopicHeader{Topic: "T"}, nil); !slices.Equal(g.Groups, []string{"G"}) {
		t.Errorf("%+v", g)
	}
	if s := ask[command.GroupSubscription](d.peer, command.QuerySubscriptionByConsumer, &command.GroupHeader{Group: "G", Topic: "T"}, nil); s.Subscription == nil {
		t.Errorf("%+v", s)
	}
}

// commit stores a group's offset of queue 0.
func (p *peer) commit(group, topic string, off int64) {
	p.t.Helper()
	p.must(command.UpdateConsumerOffset, &command.OffsetHeader{Group: []byte(group), Topic: []byte(topic), HasQueueID: true, CommitOffset: off, HasCommit: true, SetZero: true}, nil)
}

// offset reads a group's offset of queue 0.
func (p *peer) offset(group, topic string) string {
	p.t.Helper()
	return p.must(command.QueryConsumerOffset, &command.OffsetHeader{Group: []byte(group), Topic: []byte(topic), SetZero: true}, nil).Ext.String("offset")
}

func TestProgress(t *testing.T) {
	d := openDoor(t)
	for range 5 {
		d.peer.send("T", "x")
	}
	d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	d.peer.commit("G", "T", 3)
	mq := command.MessageQueue{Broker: "b", Topic: "T"}
	s := ask[command.TopicStatsTable](d.peer, command.GetTopicStatsInfo, &command.TopicHeader{Topic: "T"}, nil)
	if o := s.Offsets[mq]; len(s.Offsets) != 1 || o.MaxOffset != 5 || o.MinOffset != 0 || time.Since(time.UnixMilli(o.LastUpdate)) > time.Minute {
		t.Errorf("%+v", s)
	}
	d.peer.refused(command.StatusTopicNotExist, "topic[Nope] not exist", command.GetTopicStatsInfo, &command.TopicHeader{Topic: "Nope"}, nil)
	c := ask[command.ConsumeStats](d.peer, command.GetConsumeStats, &command.ConsumeStatsHeader{Group: "G"}, nil)
	if o := c.Offsets[mq]; len(c.Offsets) != 1 || o.BrokerOffset != 5 || o.ConsumerOffset != 3 || o.LastTimestamp == 0 {
		t.Errorf("%+v", c)
	}
	b := ask[command.ConsumeStatsList](d.peer, command.GetBrokerConsumeStats, &command.BrokerConsumeStatsHeader{}, nil)
	if b.TotalDiff != 2 || b.BrokerAddr == "" {
		t.Errorf("%+v", b)
	}
	span := ask[command.ConsumeTimeSpans](d.peer, command.QueryConsumeTimeSpan, &command.GroupHeader{Group: "G", Topic: "T"}, nil)
	if len(span.Queues) != 1 || span.Queues[0].ConsumeTime == 0 || !strings.Contains(span.Queues[0].MaxTimeText, "#") {
		t.Errorf("%+v", span)
	}
	if l := ask[command.TopicList](d.peer, command.QueryTopicsByConsumer, &command.GroupHeader{Group: "G"}, nil); !slices.Equal(l.Topics, []string{"T"}) {
		t.Errorf("%+v", l)
	}
	d.peer.must(command.CloneGroupOffset, &command.CloneOffsetHeader{From: "G", To: "H", Topic: "T", Offline: true}, nil)
	if got := d.peer.offset("H", "T"); got != "3" {
		t.Errorf("cloned offset %s", got)
	}
}

func TestCorrectionOffsets(t *testing.T) {
	d := openDoor(t)
	for range 5 {
		d.peer.send("T", "x")
	}
	for group, off := range map[string]int64{"A": 2, "B": 3, "C": 1} {
		d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig(group))
		d.peer.commit(group, "T", off)
	}
	for _, c := range []struct {
		compare, leftOut, topic string
		want                    map[int32]skua.QueueOffset
	}{
		{"B", "", "T", map[int32]skua.QueueOffset{0: 1}},
		{"A", "C", "T", map[int32]skua.QueueOffset{0: 2}},
		{"C", "C,X", "T", map[int32]skua.QueueOffset{0: math.MaxInt64}}, // C is behind all others
		{"Nope", "A,B,C", "T", map[int32]skua.QueueOffset{}},
		{"A", "", "Nope", map[int32]skua.QueueOffset{}},
	} {
		h := command.CorrectionOffsetHeader{CompareGroup: c.compare, FilterGroups: c.leftOut, Topic: c.topic}
		if got := ask[command.CorrectionOffsets](d.peer, command.QueryCorrectionOffset, &h, nil); !maps.Equal(got.Offsets, c.want) {
			t.Errorf("%+v: got %v, want %v", h, got.Offsets, c.want)
		}
	}
	if got := d.peer.offset("C", "T"); got != "1" {
		t.Errorf("a group that was left out has lost its offset: %s", got)
	}
}

func TestResetOffset(t *testing.T) {
	d := openDoor(t)
	for range 5 {
		d.peer.send("T", "x")
	}
	d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	d.peer.commit("G", "T", 3)
	mq := command.MessageQueue{Broker: "b", Topic: "T"}
	two, minusOne := skua.QueueOffset(2), skua.QueueOffset(-1)
	for _, c := range []struct {
		h    command.ResetOffsetHeader
		want skua.QueueOffset
	}{
		{command.ResetOffsetHeader{QueueID: -1, Timestamp: 0}, 0},
		{command.ResetOffsetHeader{QueueID: -1, Offset: &minusOne, Timestamp: -1}, 5},
		{command.ResetOffsetHeader{QueueID: 0, Offset: &two}, 2},
	} {
		c.h.Group, c.h.Topic, c.h.Force = "G", "T", true
		got := ask[command.ResetOffset](d.peer, command.InvokeBrokerToResetOffset, &c.h, nil)
		if got.Offsets[mq] != c.want || len(got.Offsets) != 1 {
			t.Errorf("%+v: got %v", c.h, got)
		}
	}
	far := skua.QueueOffset(99)
	d.peer.refused(command.StatusSystemError, "Target offset 99 not in consume queue range [0-5]", command.InvokeBrokerToResetOffset, &command.ResetOffsetHeader{Group: "G", Topic: "T", Offset: &far}, nil)
	d.peer.refused(command.StatusTopicNotExist, "Topic Nope does not exist", command.InvokeBrokerToResetOffset, &command.ResetOffsetHeader{Group: "G", Topic: "Nope"}, nil)
	d.peer.refused(command.StatusSubscriptionGroupNotExist, "Group Nope does not exist", command.InvokeBrokerToResetOffset, &command.ResetOffsetHeader{Group: "Nope", Topic: "T"}, nil)
}

func TestResetOffsetReachesPullsThatWait(t *testing.T) {
	d := openDoor(t)
	d.peer.send("T", "x")
	d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	answered := make(chan *wire.Frame, 1)
	waiting := d.connect(nil)
	go func() {
		answered <- waiting.call(command.PullMessage, &command.PullHeader{Group: []byte("G"), Topic: []byte("T"), QueueOffset: 1, MaxMessages: 1,
			SysFlag: command.PullSuspend | command.PullSubscription, SuspendTimeout: 15_000, Subscription: []byte("*")}, nil)
	}()
	began := time.Now()
	until(t, "pull is held", func() bool {
		d.peer.must(command.InvokeBrokerToResetOffset, &command.ResetOffsetHeader{Group: "G", Topic: "T", QueueID: -1}, nil)
		return len(answered) == 1
	})
	f := <-answered
	if command.Status(f.Code) != command.StatusPullOffsetMoved || f.Ext.String("nextBeginOffset") != "0" || time.Since(began) > 5*time.Second {
		t.Errorf("%s %v after %v", command.Status(f.Code), f.Ext, time.Since(began))
	}
}

func TestResetOffsetByTheMembers(t *testing.T) {
	d := openDoor(t, "useServerSideResetOffset", "false")
	for range 5 {
		d.peer.send("T", "x")
	}
	asked := make(chan command.ResetOffset, 1)
	member := d.connect(func(req *wire.Frame) {
		var body command.ResetOffset
		if command.Code(req.Code) == command.ResetConsumerClientOffset && fastjson.Unmarshal(req.Body, &body) == nil {
			asked <- body
		}
	})
	h := &command.ResetOffsetHeader{Group: "G", Topic: "T", QueueID: -1, Timestamp: 0}
	d.peer.refused(command.StatusConsumerNotOnline, "Consumer not online", command.InvokeBrokerToResetOffset, h, nil)
	member.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	d.peer.refused(command.StatusSystemError, "THe consumer group <G> not exist", command.InvokeBrokerToResetOffset, h, nil)
	d.peer.commit("G", "T", 3)
	d.peer.must(command.InvokeBrokerToResetOffset, h, nil)
	if got := <-asked; got.Offsets[command.MessageQueue{Broker: "b", Topic: "T"}] != 0 || len(got.Offsets) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestConsumersAreAsked(t *testing.T) {
	d := openDoor(t)
	id, _ := d.peer.send("T", "body")
	member := d.connect(func(req *wire.Frame) {
		switch command.Code(req.Code) {
		case command.GetConsumerRunningInfo:
			req.Call().Reply(&wire.Response{Body: []byte(`{"properties":{"a":"b"}}`)})
		case command.ConsumeMessageDirectly:
			m, _, err := record.Decode(req.Body)
			if err != nil || req.Ext.String("brokerName") != "b" {
				t.Errorf("%v %v", err, req.Ext)
			}
			req.Call().Reply(&wire.Response{Body: append([]byte(`{"consumeResult":"CR_SUCCESS","remark":"`), append(bytes.Clone(m.Body), `"}`...)...)})
		case command.GetConsumerStatusFromClient:
			req.Call().Reply(&wire.Response{Body: []byte(`{"messageQueueTable":{{"brokerName":"b","queueId":0,"topic":"T"}:7}}`)})
		}
	})
	member.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "*")))
	info := ask[command.ConsumerRunningInfo](d.peer, command.GetConsumerRunningInfo, &command.RunningInfoHeader{Group: "G", ClientID: "one"}, nil)
	if info.Properties["a"] != "b" {
		t.Errorf("%+v", info)
	}
	done := ask[command.ConsumeMessageDirectlyResult](d.peer, command.ConsumeMessageDirectly, &command.ConsumeDirectlyHeader{Group: "G", ClientID: "one", MsgID: id, Topic: "T"}, nil)
	if done.Result != command.ConsumeSuccess || done.Remark != "body" {
		t.Errorf("%+v", done)
	}
	status := ask[command.ConsumerPositions](d.peer, command.InvokeBrokerToGetConsumerStatus, &command.ConsumerStatusHeader{Group: "G", Topic: "T"}, nil)
	if status.Consumers["one"][command.MessageQueue{Broker: "b", Topic: "T"}] != 7 {
		t.Errorf("%+v", status)
	}
	d.peer.refused(command.StatusSystemError, "The Consumer <G> <none> not online", command.GetConsumerRunningInfo, &command.RunningInfoHeader{Group: "G", ClientID: "none"}, nil)
	d.peer.refused(command.StatusSystemError, "No Any Consumer online in the consumer group: [none]", command.InvokeBrokerToGetConsumerStatus, &command.ConsumerStatusHeader{Group: "none", Topic: "T"}, nil)
}

func TestQueueEntries(t *testing.T) {
	d := openDoor(t)
	for _, tag := range []string{"a", "b", "a"} {
		d.peer.send("T", "x", skua.PropTags, tag)
	}
	d.peer.must(command.HeartBeat, nil, consumer("one", "G", subscribe("T", "b", record.HashString([]byte("b")))))
	q := ask[command.ConsumeQueueSlice](d.peer, command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: "T", Index: 1, Count: 2, Group: "G"}, nil)
	if q.MaxIndex != 3 || len(q.Entries) != 2 || !q.Entries[0].Eval || q.Entries[1].Eval || q.Entries[0].TagsCode != int64(record.HashString([]byte("b"))) {
		t.Errorf("%+v", q)
	}
	d.peer.refused(command.StatusSystemError, "5@T is not exist!", command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: "T", QueueID: 5}, nil)
	for _, code := range []command.Code{command.CleanExpiredConsumequeue, command.DeleteExpiredCommitLog, command.CleanUnusedTopic} {
		d.peer.must(code, nil, nil)
	}
	if len(d.peer.stored("T")) != 3 {
		t.Error("cleaning removed what is in use")
	}
}

func TestStatisticsOverTheWire(t *testing.T) {
	d := openDoor(t)
	d.peer.refused(command.StatusSystemError, "The stats <X> <Y> not exist", command.ViewBrokerStatsData, &command.StatsHeader{Name: "X", Key: "Y"}, nil)
	d.peer.send("T", "x")
	d.peer.must(command.ViewBrokerStatsData, &command.StatsHeader{Name: "TOPIC_PUT_NUMS", Key: "T"}, nil)
}
