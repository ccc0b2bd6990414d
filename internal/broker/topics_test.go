package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

func TestSystemTopicsAreThoseOfJava(t *testing.T) {
	d := openDoor(t)
	all := ask[command.TopicConfigWrapper](d.peer, command.GetAllTopicConfig, nil, nil)
	want := map[string]string{ // read queues, write queues, permission
		"RMQ_SYS_TRANS_HALF_TOPIC": "1 1 6", "BenchmarkTest": "1024 1024 6", "TBW102": "8 8 7", "RMQ_SYS_ROCKSDB_TRANS_HALF_TOPIC": "1 1 6",
		"rmq_sys_REVIVE_LOG_DefaultCluster": "8 8 6", "SELF_TEST_TOPIC": "1 1 6", "SCHEDULE_TOPIC_XXXX": "18 18 6", "DefaultCluster_REPLY_TOPIC": "1 1 6",
		"rmq_sys_wheel_timer": "1 1 6", "RMQ_SYS_TRANS_OP_HALF_TOPIC": "1 1 6", "RMQ_SYS_ROCKSDB_TRANS_OP_HALF_TOPIC": "1 1 6", "b": "1 1 7",
		"OFFSET_MOVED_EVENT": "1 1 6", "DefaultCluster": "16 16 7", "rmq_sys_SYNC_BROKER_MEMBER_b": "1 1 1",
	}
	got := map[string]string{}
	for name, c := range all.Topics {
		got[name] = fmt.Sprintf("%d %d %d", c.ReadQueues, c.WriteQueues, c.Perm)
	}
	if !maps.Equal(got, want) {
		t.Errorf("topics %v\nwant   %v", got, want)
	}
	names := ask[command.TopicList](d.peer, command.GetSystemTopicListFromBroker, nil, nil).Topics
	for _, name := range []string{"TRANS_CHECK_MAX_TIME_TOPIC", "RMQ_SYS_TRACE_TOPIC", "CHECKPOINT_TOPIC", "DefaultCluster", "b", "rmq_sys_wheel_timer"} {
		if !slices.Contains(names, name) {
			t.Errorf("system topics lack %s: %v", name, names)
		}
	}
	if len(names) != 18 {
		t.Errorf("%d system topics, Java has 18: %v", len(names), names)
	}
}

func TestTopicWithoutAutoCreationOrPermissions(t *testing.T) {
	d := openDoor(t, "autoCreateTopicEnable", "false", "clusterTopicEnable", "false", "brokerTopicEnable", "false", "traceTopicEnable", "true")
	all := ask[command.TopicConfigWrapper](d.peer, command.GetAllTopicConfig, nil, nil).Topics
	if _, ok := all["TBW102"]; ok || all["DefaultCluster"].Perm != 1 || all["b"].Perm != 1 || all["RMQ_SYS_TRACE_TOPIC"].WriteQueues != 1 {
		t.Errorf("topics %v", all)
	}
}

func TestTopicChanges(t *testing.T) {
	d := openDoor(t)
	get := func(name string) command.TopicConfig {
		return ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: name}, nil).TopicConfig
	}
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 3, WriteQueues: 2, Perm: 6, FilterType: "SINGLE_TAG",
		SysFlag: 1, Order: true, Attributes: "+message.type=FIFO,+reserve.time=1000"}, nil)
	want := command.TopicConfig{Name: "T", ReadQueues: 3, WriteQueues: 2, Perm: 6, FilterType: "SINGLE_TAG", SysFlag: 1, Order: true,
		Attributes: map[string]string{"message.type": "FIFO", "reserve.time": "1000"}}
	if got := get("T"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("created %+v\nwant %+v", got, want)
	}
	d.peer.send("T", "kept")
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 8, WriteQueues: 8, Perm: 4, FilterType: "SINGLE_TAG",
		Attributes: "+message.type=DELAY,-reserve.time"}, nil)
	want = command.TopicConfig{Name: "T", ReadQueues: 8, WriteQueues: 8, Perm: 4, FilterType: "SINGLE_TAG", Attributes: map[string]string{"message.type": "DELAY"}}
	d.restart()
	if got := get("T"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("changed %+v\nwant %+v", got, want)
	}
	if got := d.peer.stored("T"); len(got) != 1 {
		t.Errorf("%d messages after the change", len(got))
	}
	d.peer.must(command.UpdateAndCreateTopicList, nil, command.TopicConfigList{Topics: []command.TopicConfig{
		{Name: "L1", ReadQueues: 1, WriteQueues: 1, Perm: 6, FilterType: "SINGLE_TAG", Attributes: map[string]string{"+message.type": "NORMAL"}},
		{Name: "L2", ReadQueues: 2, WriteQueues: 2, Perm: 6, FilterType: "SINGLE_TAG"}}})
	if got := get("L1"); got.Attributes["message.type"] != "NORMAL" || get("L2").ReadQueues != 2 {
		t.Errorf("from list %+v", got)
	}
}

func TestTopicChangesAreChecked(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1, "+queue.type=SimpleCQ")
	for _, c := range []struct {
		status command.Status
		remark string
		alter  func(h *command.CreateTopicHeader)
	}{
		{29, "The specified topic: bad name!, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$", func(h *command.CreateTopicHeader) { h.Topic = "bad name!" }},
		{29, "The specified topic is blank.", func(h *command.CreateTopicHeader) { h.Topic = " " }},
		{29, "The topic[SCHEDULE_TOPIC_XXXX] is conflict with system topic.", func(h *command.CreateTopicHeader) { h.Topic = "SCHEDULE_TOPIC_XXXX" }},
		{29, "The topic[DefaultCluster] is conflict with system topic.", func(h *command.CreateTopicHeader) { h.Topic = "DefaultCluster" }},
		{29, "topic T: readQueueNums -1", func(h *command.CreateTopicHeader) { h.ReadQueues = -1 }},
		{29, "topic T: readQueueNums 1 and writeQueueNums 2000000000", func(h *command.CreateTopicHeader) { h.WriteQueues = 2_000_000_000 }},
		{29, "topic T: perm 99", func(h *command.CreateTopicHeader) { h.Perm = 99 }},
		{1, "topicFilterType = [ODD] value invalid", func(h *command.CreateTopicHeader) { h.FilterType = "ODD" }},
		{1, "attempt to update an unchangeable attribute. key: queue.type", func(h *command.CreateTopicHeader) { h.Attributes = "+queue.type=BatchCQ" }},
		{1, "attempt to update an unchangeable attribute. key: queue.type", func(h *command.CreateTopicHeader) { h.Attributes = "-queue.type" }},
		{1, "attempt to delete a nonexistent key: message.type", func(h *command.CreateTopicHeader) { h.Attributes = "-message.type" }},
		{1, "unsupported key: colour", func(h *command.CreateTopicHeader) { h.Attributes = "+colour=red" }},
		{1, "value is not in set: LOUD of key message.type", func(h *command.CreateTopicHeader) { h.Attributes = "+message.type=LOUD" }},
		{1, `For input string: "soon" of key reserve.time`, func(h *command.CreateTopicHeader) { h.Attributes = "+reserve.time=soon" }},
		{1, "value is not in range(-1, 43200): 43201", func(h *command.CreateTopicHeader) { h.Attributes = "+lite.topic.expiration=43201" }},
		{1, "value is not in set: RocksDBCQ", func(h *command.CreateTopicHeader) { h.Topic, h.Attributes = "New", "+queue.type=RocksDBCQ" }},
		{1, "kv string format wrong.", func(h *command.CreateTopicHeader) { h.Attributes = "++message.type=FIFO" }},
		{1, "attempt to delete a nonexistent key: colour", func(h *command.CreateTopicHeader) { h.Attributes = "-colour" }},
		{1, "delete attribute format is wrong: message.type", func(h *command.CreateTopicHeader) { h.Attributes = "message.type" }},
		{1, "add/alter attribute format is wrong: message.type", func(h *command.CreateTopicHeader) { h.Attributes = "message.type=FIFO" }},
		{1, "key duplication: +message.type", func(h *command.CreateTopicHeader) { h.Attributes = "+message.type=FIFO,+message.type=FIFO" }},
		{1, "only add attribute is supported while creating topic. key: message.type", func(h *command.CreateTopicHeader) { h.Topic, h.Attributes = "New", "-message.type" }},
		{29, "MIXED message type is not supported", func(h *command.CreateTopicHeader) { h.Attributes = "+message.type=MIXED" }},
	} {
		h := command.CreateTopicHeader{Topic: "T", ReadQueues: 1, WriteQueues: 1, Perm: 6, FilterType: "SINGLE_TAG"}
		c.alter(&h)
		d.peer.refused(c.status, c.remark, command.UpdateAndCreateTopic, &h, nil)
	}
	d.peer.refused(17, "No topic in this broker. topic: New", command.GetTopicConfig, &command.TopicHeader{Topic: "New"}, nil)
}

func TestTopicIsDeletedWithAllThatBelongsToIt(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	d.peer.send("T", "old")
	d.peer.commitAs("G", "T", 0, 1)
	d.peer.createTopic("%RETRY%G_T", 1)
	d.peer.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	for _, name := range []string{"T", "%RETRY%G_T"} {
		d.peer.refused(17, "No topic in this broker", command.GetTopicConfig, &command.TopicHeader{Topic: name}, nil)
	}
	d.peer.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	d.peer.refused(29, "The topic[TBW102] is conflict with system topic.", command.DeleteTopicInBroker, &command.TopicHeader{Topic: "TBW102"}, nil)
	d.peer.refused(29, "The specified topic is blank.", command.DeleteTopicInBroker, &command.TopicHeader{}, nil)
	if _, off := d.peer.send("T", "new"); off != 0 {
		t.Errorf("topic that was made anew begins at %d", off)
	}
	if got := d.peer.stored("T"); len(got) != 1 || string(got[0].Body) != "new" {
		t.Errorf("topic that was made anew holds %d messages", len(got))
	}
	d.restart()
	if got := d.peer.stored("T"); len(got) != 1 || string(got[0].Body) != "new" {
		t.Errorf("after restart it holds %d messages", len(got))
	}
}

func TestTopicsInPages(t *testing.T) {
	d := openDoor(t)
	for i := range 5 {
		d.peer.createTopic(fmt.Sprintf("T%d", i), 1)
	}
	seq, most, version := int32(0), int32(7), ""
	got := map[string]bool{}
	for range 10 {
		f := d.peer.must(command.GetAllTopicConfig, &command.AllTopicConfigHeader{Seq: &seq, DataVersion: &version, Max: &most}, nil)
		var page command.TopicConfigWrapper
		var h command.AllTopicConfigResponse
		if err := fastjson.Unmarshal(f.Body, &page); err != nil {
			t.Fatal(err)
		}
		if err := command.Decode(f.Ext, &h); err != nil {
			t.Fatal(err)
		}
		if h.Total != 20 {
			t.Fatalf("total %d", h.Total)
		}
		for name := range page.Topics {
			if got[name] {
				t.Errorf("%s came twice", name)
			}
			got[name] = true
		}
		text, err := fastjson.Marshal(page.DataVersion)
		if err != nil {
			t.Fatal(err)
		}
		if seq += int32(len(page.Topics)); seq >= h.Total {
			break
		}
		version = string(text)
	}
	if len(got) != 20 {
		t.Errorf("%d topics in pages", len(got))
	}
	d.peer.createTopic("T9", 1)
	f := d.peer.must(command.GetAllTopicConfig, &command.AllTopicConfigHeader{Seq: &seq, DataVersion: &version, Max: &most}, nil)
	if !strings.Contains(string(f.Body), "BenchmarkTest") {
		t.Error("after a change the pages do not begin anew")
	}
}

func TestGroups(t *testing.T) {
	d := openDoor(t)
	all := ask[command.GroupConfigWrapper](d.peer, command.GetAllSubscriptiongroupConfig, nil, nil)
	if len(all.Groups) != 8 || all.Groups["CID_RMQ_SYS_TRANS"].RetryMaxTimes != 16 {
		t.Errorf("groups from the start: %v", all.Groups)
	}
	g := command.DefaultGroupConfig("G")
	g.RetryMaxTimes, g.ConsumeBroadcastEnable, g.Attributes = 3, false, map[string]string{"+priority.factor": "50"}
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, g)
	d.peer.must(command.UpdateAndCreateSubscriptiongroupList, nil, command.GroupConfigList{Groups: []command.GroupConfig{command.DefaultGroupConfig("H")}})
	d.restart()
	got := ask[command.GroupConfig](d.peer, command.GetSubscriptiongroupConfig, &command.GroupHeader{Group: "G"}, nil)
	if got.RetryMaxTimes != 3 || got.ConsumeBroadcastEnable || got.Attributes["priority.factor"] != "50" || !got.ConsumeEnable {
		t.Errorf("group after restart %+v", got)
	}
	d.peer.refused(29, "The specified group: bad name!, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$", command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig("bad name!"))
	d.peer.refused(26, "No group in this broker. group: N", command.GetSubscriptiongroupConfig, &command.GroupHeader{Group: "N"}, nil)
	d.peer.createTopic("T", 1)
	d.peer.commitAs("G", "T", 0, 7)
	d.peer.must(command.DeleteSubscriptiongroup, &command.DeleteGroupHeader{Group: "G", CleanOffset: true}, nil)
	d.peer.refused(26, "No group", command.GetSubscriptiongroupConfig, &command.GroupHeader{Group: "G"}, nil)
	if off := d.peer.committed("G", "T", 0); off == 7 {
		t.Error("offset of a deleted group is still there")
	}
	d.peer.must(command.DeleteSubscriptiongroup, &command.DeleteGroupHeader{Group: "G"}, nil)
}

func TestGroupAttributes(t *testing.T) {
	d := openDoor(t)
	update := func(attributes map[string]string) *wire.Frame {
		g := command.DefaultGroupConfig("G")
		g.Attributes = attributes
		return d.peer.call(command.UpdateAndCreateSubscriptiongroup, nil, g)
	}
	for _, c := range []struct {
		change map[string]string
		remark string // "": taken
		want   map[string]string
	}{
		{map[string]string{"-priority.factor": ""}, "only add attribute is supported while creating topic. key: priority.factor", nil},
		{map[string]string{"+priority.factor": "101"}, "value is not in range(0, 100): 101 of key priority.factor", nil},
		{map[string]string{"+colour": "red"}, "unsupported key: colour, want one of lite.bind.topic, ", nil},
		{map[string]string{"+priority.factor": "7", "+lite.sub.model": "Exclusive"}, "", map[string]string{"priority.factor": "7", "lite.sub.model": "Exclusive"}},
		{map[string]string{"+lite.sub.model": "Both"}, "value is not in set: Both of key lite.sub.model", nil},
		{map[string]string{"+lite.sub.client.max.event.cnt": "9"}, "value is not in range(10, ", nil},
		{map[string]string{"-lite.bind.topic": ""}, "attempt to delete a nonexistent key: lite.bind.topic", nil},
		{map[string]string{"-lite.sub.model": "", "+lite.bind.topic": "any text"}, "", map[string]string{"priority.factor": "7", "lite.bind.topic": "any text"}},
		{map[string]string{"+lite.sub.reset.offset.exclusive": "perhaps"}, "value is not in set: perhaps", nil},
		{nil, "", map[string]string{"priority.factor": "7", "lite.bind.topic": "any text"}},
		{map[string]string{"priority.factor": "8"}, "", map[string]string{"priority.factor": "8", "lite.bind.topic": "any text"}}, // as a configuration that was read has it
	} {
		answer := update(c.change)
		if taken := answer.Code == 0; taken != (c.remark == "") || !strings.HasPrefix(string(answer.Remark), c.remark) {
			t.Errorf("%v: %d %s, want %q", c.change, answer.Code, answer.Remark, c.remark)
		}
		if c.want == nil {
			continue
		}
		if got := ask[command.GroupConfig](d.peer, command.GetSubscriptiongroupConfig, &command.GroupHeader{Group: "G"}, nil).Attributes; !maps.Equal(got, c.want) {
			t.Errorf("%v: the group has %v, want %v", c.change, got, c.want)
		}
	}
}

func TestGroupRetryPolicy(t *testing.T) {
	d := openDoor(t)
	// What mqadmin updateSubGroup sends.
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, []byte(`{"attributes":{},"brokerId":0,"consumeEnable":true,"groupName":"G","groupRetryPolicy":{"exponentialRetryPolicy":{"initial":100,"max":700,"multiplier":3},"type":"EXPONENTIAL"},"retryMaxTimes":3,"retryQueueNums":2}`))
	d.restart()
	answer := d.peer.must(command.GetSubscriptiongroupConfig, &command.GroupHeader{Group: "G"}, nil)
	if want := `"groupRetryPolicy":{"customizedRetryPolicy":null,"exponentialRetryPolicy":{"initial":100,"max":700,"multiplier":3},"type":"EXPONENTIAL"}`; !strings.Contains(string(answer.Body), want) &&
		!strings.Contains(string(answer.Body), strings.Replace(want, `"customizedRetryPolicy":null,`, "", 1)) {
		t.Errorf("group after a restart %s", answer.Body)
	}
	d.peer.refused(29, `groupRetryPolicy: type "LINEAR", want CUSTOMIZED or EXPONENTIAL`, command.UpdateAndCreateSubscriptiongroup, nil, []byte(`{"groupName":"G","groupRetryPolicy":{"type":"LINEAR"}}`))
}

func TestGroupMayBeForbiddenATopic(t *testing.T) {
	d := openDoor(t)
	no := false
	d.peer.refused(command.StatusInvalidParameter, "", command.UpdateAndGetGroupForbidden, &command.GroupForbiddenHeader{Group: "G", Topic: "a/b", Readable: &no}, nil)
	d.peer.createTopic("T", 1)
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig("G"))
	for _, readable := range []bool{false, true} {
		got := ask[command.GroupForbidden](d.peer, command.UpdateAndGetGroupForbidden, &command.GroupForbiddenHeader{Group: "G", Topic: "T", Readable: &readable}, nil)
		if got.Readable != readable || got.Group != "G" || got.Topic != "T" {
			t.Errorf("got %+v, want readable %v", got, readable)
		}
		d.restart()
		if got := ask[command.GroupForbidden](d.peer, command.UpdateAndGetGroupForbidden, &command.GroupForbiddenHeader{Group: "G", Topic: "T"}, nil); got.Readable != readable {
			t.Errorf("after restart %+v, want readable %v", got, readable)
		}
	}
}

func TestTopicsThatCannotBeSavedAreNotShown(t *testing.T) {
	d := openDoor(t)
	file, journal := filepath.Join(d.o.StorePathRootDir, "config", "topics.json.tmp"), filepath.Join(d.o.StorePathRootDir, "skua", "topics")
	if err := errors.Join(os.MkdirAll(file, 0o755), os.MkdirAll(journal, 0o755)); err != nil {
		t.Fatal(err)
	}
	h := &command.CreateTopicHeader{Topic: "T", ReadQueues: 1, WriteQueues: 1, Perm: 6, FilterType: "SINGLE_TAG"}
	d.peer.refused(1, "topics cannot be saved: ", command.UpdateAndCreateTopic, h, nil)
	d.peer.refused(1, "topics cannot be saved: ", command.SendMessageV2, sendHeader("T"), []byte("x"))
	d.peer.refused(17, "No topic in this broker", command.GetTopicConfig, &command.TopicHeader{Topic: "T"}, nil)
	if err := errors.Join(os.Remove(file), os.Remove(journal)); err != nil {
		t.Fatal(err)
	}
	d.peer.must(command.UpdateAndCreateTopic, h, nil)
	d.peer.send("T", "x")
}

func TestLostTopicsAreMissed(t *testing.T) {
	d := openDoor(t)
	d.peer.send("T", "x")
	d.close()
	for _, name := range []string{"topics.json", "topics.json.bak"} {
		if err := os.Remove(filepath.Join(d.o.StorePathRootDir, "config", name)); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	if d.log.count("topics have messages in the store but no settings") != 1 {
		t.Error("no warning")
	}
	d.peer.send("T", "y")
	if got := d.peer.stored("T"); len(got) != 2 {
		t.Errorf("%d messages", len(got))
	}
}

func TestTopicsOfFileAreCheckedOnly(t *testing.T) {
	d := openDoor(t)
	d.close()
	path := filepath.Join(d.o.StorePathRootDir, "config", "topics.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), `"topicConfigTable":{`, `"topicConfigTable":{"%RETRY%G+T":{"perm":6,"readQueueNums":1,"writeQueueNums":1},
		"../evil":{"perm":6,"readQueueNums":1,"writeQueueNums":1},"Huge":{"perm":6,"readQueueNums":2000000000,"writeQueueNums":1},`, 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d.start()
	if n := d.log.count("topic in file is invalid and left out"); n != 2 {
		t.Errorf("%d topics left out", n)
	}
	d.peer.must(command.GetTopicConfig, &command.TopicHeader{Topic: "%RETRY%G+T"}, nil)
	d.peer.refused(17, "No topic", command.GetTopicConfig, &command.TopicHeader{Topic: "../evil"}, nil)
}
