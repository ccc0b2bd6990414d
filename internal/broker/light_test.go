package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// openLight starts a broker with light queues.
func openLight(t testing.TB, set ...string) *door {
	return openQuick(t, append([]string{"enableLmq", "true", "enableMultiDispatch", "true", "timerPrecisionMs", "100", "timerFlushIntervalMs", "20",
		"messageDelayLevel", "1s 2s"}, set...)...)
}

// lightOffsets are what the messages of a light queue tell of their offsets, one after the other.
func (p *peer) lightOffsets(name string) (told []string) {
	for _, m := range p.stored(name) {
		v, _ := record.Property(m.Properties, skua.PropMultiQueueOffset)
		told = append(told, string(v))
	}
	return told
}

// asked asks for an offset of queue 0 of a topic.
func (p *peer) asked(code command.Code, h *command.OffsetHeader) int64 {
	p.t.Helper()
	var r command.OffsetResponse
	if err := command.Decode(p.must(code, h, nil).Ext, &r); err != nil {
		p.t.Fatal(err)
	}
	return r.Offset
}

func (p *peer) endOf(topic string) int64 {
	return p.asked(command.GetMaxOffset, &command.OffsetHeader{Topic: []byte(topic)})
}

func TestLightQueues(t *testing.T) {
	for _, set := range [][]string{{"flushDiskType", "ASYNC_FLUSH"}, {"flushDiskType", "SYNC_FLUSH"}, {"storeType", "defaultRocksDB", "enabledAppendPropCRC", "true"}} {
		t.Run(set[1], func(t *testing.T) {
			t.Parallel()
			d := openLight(t, set...)
			d.peer.send("T", "in none")
			d.peer.send("T", "in a", skua.PropMultiDispatch, "%LMQ%a")
			d.peer.send("T", "in both", skua.PropMultiDispatch, "%LMQ%a,%LMQ%b,", skua.PropMultiQueueOffset, "77")
			d.peer.send("T", "in b and no folder", skua.PropMultiDispatch, "%LMQ%../../x,%LMQ%b,%LMQ%..")
			d.peer.send("T", "in a once", skua.PropMultiDispatch, "%LMQ%a,%LMQ%a")
			check := func(when string) {
				t.Helper()
				for name, want := range map[string]string{"%LMQ%a": "[in a in both in a once] [0 1,0 2,2]", "%LMQ%b": "[in both in b and no folder] [1,0 0,1,0]",
					"%LMQ%..": "[in b and no folder] [0,1,0]", "%LMQ%c": "[] []"} {
					if got := fmt.Sprint(d.peer.texts(name), " ", d.peer.lightOffsets(name)); got != want {
						t.Errorf("%s: %s has %s, want %s", when, name, got, want)
					}
				}
				if got := d.peer.texts("T"); len(got) != 5 {
					t.Errorf("%s: T has %v", when, got)
				}
			}
			check("first")
			d.restart()
			check("after a restart")
			f := d.peer.must(command.PullMessage, pullHeader("%LMQ%a", 1), nil)
			if r := pullResponse(t, f); r.NextOffset != 3 || r.MinOffset != 0 || r.MaxOffset != 3 || fmt.Sprint(bodies(t, f.Body)) != "[in both in a once]" {
				t.Errorf("pulled %v, next %d, max %d", bodies(t, f.Body), r.NextOffset, r.MaxOffset)
			}
		})
	}
}

// What the broker says of a light queue is what a Java broker said.
func TestLightQueueOffsets(t *testing.T) {
	d := openLight(t)
	for range 4 {
		d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%a")
	}
	h := &command.OffsetHeader{Topic: []byte("%LMQ%a")}
	if lo, hi := d.peer.asked(command.GetMinOffset, h), d.peer.endOf("%LMQ%a"); lo != 0 || hi != 4 {
		t.Errorf("from %d to %d", lo, hi)
	}
	h.Timestamp = time.Now().UnixMilli() + 100_000
	if got := d.peer.asked(command.SearchOffsetByTimestamp, h); got != 4 {
		t.Errorf("offset of the future %d", got)
	}
	if got := d.peer.endOf("%LMQ%none"); got != 0 {
		t.Errorf("a queue that is not there ends at %d", got)
	}
	for _, c := range []struct {
		topic     string
		off, next int64
		want      command.Status
	}{{"%LMQ%none", 0, 0, command.StatusPullNotFound}, {"%LMQ%none", 5, 0, command.StatusPullOffsetMoved}, {"%LMQ%a", 99, 4, command.StatusPullOffsetMoved},
		{"%LMQ%a", 4, 4, command.StatusPullNotFound}} {
		f := d.peer.call(command.PullMessage, pullHeader(c.topic, c.off), nil)
		if r := pullResponse(t, f); command.Status(f.Code) != c.want || r.NextOffset != c.next {
			t.Errorf("%s at %d: %s, next %d", c.topic, c.off, command.Status(f.Code), r.NextOffset)
		}
	}
	d.peer.refused(command.StatusTopicNotExist, "topic[%LMQ%a/b] not exist", command.PullMessage, pullHeader("%LMQ%a/b", 0), nil)
	d.peer.refused(command.StatusInvalidParameter, "queueId[1] is illegal", command.PullMessage,
		&command.PullHeader{Group: []byte("G"), Topic: []byte("%LMQ%a"), QueueID: 1, MaxMessages: 1, SysFlag: command.PullSubscription, Subscription: []byte("*")}, nil)
	// A message can be sent to a light queue itself.
	if _, off := d.peer.send("%LMQ%a", "itself", skua.PropMultiDispatch, "%LMQ%b"); off != 4 {
		t.Errorf("stored at %d", off)
	}
	if got := d.peer.endOf("%LMQ%b"); got != 0 {
		t.Errorf("%d in another light queue", got)
	}
}

func TestLightQueuesThatAreOff(t *testing.T) {
	for _, set := range [][]string{{}, {"enableLmq", "true"}, {"enableMultiDispatch", "true"}} {
		t.Run(fmt.Sprint(set), func(t *testing.T) {
			t.Parallel()
			d := openQuick(t, set...)
			d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%a,nonsense", skua.PropMultiQueueOffset, "3")
			m := d.peer.stored("T")[0]
			if p := record.ParseProperties(m.Properties); p[skua.PropMultiDispatch] != "%LMQ%a,nonsense" || p[skua.PropMultiQueueOffset] != "" {
				t.Errorf("stored with %v", p)
			}
			if got := d.peer.endOf("%LMQ%a"); got != 0 {
				t.Errorf("light queue ends at %d", got)
			}
			h := sendHeader("T")
			h.Batch = true
			d.peer.must(command.SendBatchMessage, h, batchWith(skua.PropMultiQueueOffset, "3"))
			if got := d.peer.stored("T"); len(got) != 3 || record.HasLightOffsets(got[2].Properties) {
				t.Errorf("of a batch: %q", got[2].Properties)
			}
			if len(set) == 0 {
				d.peer.refused(command.StatusTopicNotExist, "topic[%LMQ%a] not exist", command.PullMessage, pullHeader("%LMQ%a", 0), nil)
			}
		})
	}
}

func TestLightListsAreChecked(t *testing.T) {
	d := openLight(t)
	for list, why := range map[string]string{"a": `"a" does not begin`, "%LMQ%a,b": `"b" does not`, "%LMQ%a,,%LMQ%b": `"" does not`, "%LMQ%" + strings.Repeat("x", 251): "has 256 bytes"} {
		f := d.peer.call(command.SendMessageV2, sendHeader("T", skua.PropMultiDispatch, list), []byte("x"))
		if f.Code != int32(command.StatusMessageIllegal) || !strings.HasPrefix(string(f.Remark), "the message is illegal") || !strings.Contains(string(f.Remark), why) {
			t.Errorf("%.40s: %d %s", list, f.Code, f.Remark)
		}
	}
	d.peer.send("T", "blank", skua.PropMultiDispatch, " ")
	d.peer.send("T", "commas", skua.PropMultiDispatch, ",,")
	long := strings.Repeat(",%LMQ%"+strings.Repeat("x", 24), 1000)[1:]
	d.peer.send("T", "many", skua.PropMultiDispatch, long)
	d.peer.refused(command.StatusMessageIllegal, "the message is illegal, maybe msg body or properties length not matched", command.SendMessageV2,
		sendHeader("T", skua.PropMultiDispatch, long, "more", strings.Repeat("y", 700)), []byte("x"))
	d.peer.send("T", "after", skua.PropMultiDispatch, "%LMQ%"+strings.Repeat("x", 24))
	if got := d.peer.texts("%LMQ%" + strings.Repeat("x", 24)); fmt.Sprint(got) != "[many after]" {
		t.Errorf("after one that got too long: %v", got)
	}
}

// Messages that wait are in no light queue before they come.
func TestLightQueuesOfMessagesThatWait(t *testing.T) {
	d := openLight(t)
	d.peer.send("T", "delayed", "DELAY", "1", skua.PropMultiDispatch, "%LMQ%delayed")
	d.peer.send("T", "timed", skua.PropTimerDelayMs, "300", skua.PropMultiDispatch, "%LMQ%timed")
	h := d.peer.half("T", "half", skua.PropMultiDispatch, "%LMQ%half")
	back := d.peer.half("T", "rolled back", skua.PropMultiDispatch, "%LMQ%half")
	later := d.peer.half("T", "delayed half", "DELAY", "1", skua.PropMultiDispatch, "%LMQ%delayed")
	for _, name := range []string{"%LMQ%delayed", "%LMQ%timed", "%LMQ%half"} {
		if got := d.peer.endOf(name); got != 0 {
			t.Errorf("%s has %d messages too early", name, got)
		}
	}
	d.peer.commitHalf(h)
	d.peer.rollBackHalf(back)
	d.peer.commitHalf(later)
	if got := d.peer.texts("%LMQ%half"); fmt.Sprint(got) != "[half]" {
		t.Errorf("after the commit: %v", got)
	}
	until(t, "delivery", func() bool { return d.peer.endOf("%LMQ%delayed") == 2 && d.peer.endOf("%LMQ%timed") == 1 })
	for _, name := range []string{"%LMQ%delayed", "%LMQ%timed", "%LMQ%half"} {
		for i, m := range d.peer.stored(name) {
			if v, _ := record.Property(m.Properties, skua.PropMultiQueueOffset); string(m.Topic) != "T" || string(v) != fmt.Sprint(i) {
				t.Errorf("%s at %d: topic %s, offset %s", name, i, m.Topic, v)
			}
		}
	}
}

// As in Java the messages of a batch are in no light queues.
func TestLightQueuesOfBatches(t *testing.T) {
	d := openLight(t)
	h := sendHeader("T")
	h.Batch = true
	d.peer.must(command.SendBatchMessage, h, batchWith(skua.PropMultiDispatch, "%LMQ%a"))
	d.peer.createTopic("B", 1, "+queue.type=BatchCQ")
	inner := sendHeader("B", skua.PropUniqueKey, "K", skua.PropMultiDispatch, "%LMQ%a")
	inner.Batch = true
	d.peer.must(command.SendBatchMessage, inner, batchWith(skua.PropMultiDispatch, "%LMQ%a"))
	if got := d.peer.endOf("%LMQ%a"); got != 0 {
		t.Errorf("%d messages", got)
	}
	for _, m := range append(d.peer.stored("T"), d.peer.stored("B")...) {
		if record.HasLightOffsets(m.Properties) {
			t.Errorf("%q", m.Properties)
		}
	}
}

func TestHeldPullOfLightQueue(t *testing.T) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		d := openLight(t, "flushDiskType", flush)
		h := pullHeader("%LMQ%new", 0)
		h.Group, h.Subscription = []byte("%LMQ%g"), []byte("B")
		answer := d.peer.held(h, 10*time.Second)
		until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
		d.b.SweepLight()
		d.peer.send("T", "a", "TAGS", "A", skua.PropMultiDispatch, "%LMQ%new")
		d.peer.send("T", "b", "TAGS", "B", skua.PropMultiDispatch, "%LMQ%other,%LMQ%new")
		if got := bodies(t, (<-answer).Body); fmt.Sprint(got) != "[b]" {
			t.Errorf("pulled %v", got)
		}
		d.close()
	}
}

// The offsets of groups named %LMQ%... are where Java keeps them.
func TestLightOffsetsFile(t *testing.T) {
	d := openLight(t)
	d.peer.createTopic("U", 2)
	for range 3 {
		d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%a")
	}
	d.peer.commitAs("CG", "%LMQ%a", 0, 2)
	d.peer.commitAs("%LMQ%g", "%LMQ%a", 0, 3)
	d.peer.commitAs("%LMQ%g", "U", 1, 0)
	if _, ok := ask[command.GroupConfigWrapper](d.peer, command.GetAllSubscriptiongroupConfig, nil, nil).Groups["%LMQ%g"]; ok {
		t.Error("the group is saved")
	}
	all := ask[command.ConsumerOffsets](d.peer, command.GetAllConsumerOffset, nil, nil)
	if len(all.Light) != 1 || all.Light["%LMQ%a@%LMQ%g"] != 3 || all.Offsets["%LMQ%a@CG"][0] != 2 {
		t.Errorf("offsets %+v", all)
	}
	check := func() {
		t.Helper()
		for _, c := range []struct {
			group, topic string
			queue        int32
			want         skua.QueueOffset
		}{{"CG", "%LMQ%a", 0, 2}, {"%LMQ%g", "%LMQ%a", 0, 3}, {"%LMQ%g", "U", 1, 0}} {
			if got := d.peer.committed(c.group, c.topic, c.queue); got != c.want {
				t.Errorf("%s on %s: %d, want %d", c.group, c.topic, got, c.want)
			}
		}
	}
	d.restart()
	check()
	d.close()
	dir := filepath.Join(d.o.StorePathRootDir, "config")
	b, err := os.ReadFile(filepath.Join(dir, "lmqConsumerOffset.json"))
	if err != nil || !strings.Contains(string(b), "\"lmqOffsetTable\":{\n\t\t\"%LMQ%a@%LMQ%g\":3\n\t},\n\t\"offsetTable\"") {
		t.Errorf("file %s, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "consumerOffset.json")); err == nil {
		t.Error("the other file is there, too")
	}
	// Without light queues their groups are none, the others go on; and the other way round.
	d.o.EnableLmq = false
	d.start()
	if n := d.log.count("light queues have messages in the store, but cannot be read"); n != 1 {
		t.Errorf("warned %d times that they cannot be read", n)
	}
	d.peer.commitAs("CG", "T", 0, 1)
	if got := d.peer.committed("CG", "%LMQ%a", 0); got != 2 {
		t.Errorf("switched off: %d", got)
	}
	d.close()
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "lmqConsumerOffset.json"), old, old); err != nil {
		t.Fatal(err)
	}
	d.o.EnableLmq = true
	d.start()
	check()
	if got := d.peer.committed("CG", "T", 0); got != 1 {
		t.Errorf("switched on again: %d", got)
	}
}

func TestLightQuota(t *testing.T) {
	d := openLight(t, "enableLmqQuota", "true", "maxLmqConsumeQueueNum", "3")
	d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%a,%LMQ%b,%LMQ%c")
	const full = "[LMQ_CONSUME_QUEUE_NUM_EXCEEDED]lmq consume queue num exceeded."
	for _, topic := range []string{"T", "%LMQ%d"} {
		d.peer.refused(command.StatusLMQQuotaExceeded, full, command.SendMessageV2, sendHeader(topic, skua.PropMultiDispatch, "%LMQ%a,%LMQ%d"), []byte("x"))
	}
	d.peer.refused(command.StatusLMQQuotaExceeded, full, command.PullMessage, pullHeader("%LMQ%d", 0), nil)
	d.peer.send("T", "y", skua.PropMultiDispatch, "%LMQ%c")
	// Delayed ones come all the same, so that those behind them do.
	d.peer.send("T", "z", "DELAY", "1", skua.PropMultiDispatch, "%LMQ%d")
	until(t, "delivery", func() bool { return slices.Contains(d.peer.texts("T"), "z") })
	d.peer.must(command.DeleteTopicInBroker, &command.DeleteTopicHeader{Topic: "%LMQ%c"}, nil)
	d.peer.send("T", "w", skua.PropMultiDispatch, "%LMQ%d")
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("maxLmqConsumeQueueNum=4\n"))
	d.peer.send("T", "v", skua.PropMultiDispatch, "%LMQ%e")
	d.peer.refused(command.StatusLMQQuotaExceeded, full, command.PullMessage, pullHeader("%LMQ%f", 0), nil)
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("enableLmqQuota=false\n"))
	d.peer.send("T", "u", skua.PropMultiDispatch, "%LMQ%f")
}

func TestDeleteLightQueue(t *testing.T) {
	d := openLight(t)
	d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%a,%LMQ%b")
	d.peer.commitAs("%LMQ%g", "%LMQ%a", 0, 1)
	answer := d.peer.held(pullHeader("%LMQ%a", 1), 10*time.Second)
	until(t, "pull is held", func() bool { return d.b.HeldPulls() == 1 })
	d.peer.must(command.DeleteTopicInBroker, &command.DeleteTopicHeader{Topic: "%LMQ%a"}, nil)
	if f := <-answer; command.Status(f.Code) != command.StatusPullOffsetMoved || pullResponse(t, f).NextOffset != 0 {
		t.Errorf("held pull: %d %s", f.Code, f.Remark)
	}
	if a, b, off := d.peer.endOf("%LMQ%a"), d.peer.endOf("%LMQ%b"), d.peer.committed("%LMQ%g", "%LMQ%a", 0); a != 0 || b != 1 || off > 0 {
		t.Errorf("ends at %d, the other at %d, group at %d", a, b, off)
	}
	d.peer.send("T", "y", skua.PropMultiDispatch, "%LMQ%a")
	d.restart()
	if got := d.peer.texts("%LMQ%a"); fmt.Sprint(got) != "[y]" || fmt.Sprint(d.peer.lightOffsets("%LMQ%a")) != "[0]" {
		t.Errorf("made again it has %v", got)
	}
	// Topics of light queues cannot be made; they are there.
	d.peer.createTopic("%LMQ%made", 8)
	if c := ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: "%LMQ%made"}, nil); c.ReadQueues != 1 || c.Perm != skua.PermRead|skua.PermWrite {
		t.Errorf("made with %+v", c)
	}
}

// Who only asks for light queues leaves none behind.
func TestUnusedLightQueuesAreForgotten(t *testing.T) {
	d := openLight(t, "enableLmqQuota", "true", "maxLmqConsumeQueueNum", "10")
	d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%used")
	for i := range 9 {
		d.peer.call(command.PullMessage, pullHeader(fmt.Sprint("%LMQ%", i), 0), nil)
	}
	d.peer.refused(command.StatusLMQQuotaExceeded, "[LMQ_CONSUME", command.PullMessage, pullHeader("%LMQ%more", 0), nil)
	d.peer.commitAs("%LMQ%g", "%LMQ%3", 0, 0)
	d.b.SweepLight()
	if got := d.peer.committed("%LMQ%g", "%LMQ%3", 0); got != 0 {
		t.Errorf("a group that has read an empty queue up to its end is at %d", got)
	}
	if all := ask[command.ConsumerOffsets](d.peer, command.GetAllConsumerOffset, nil, nil); len(all.PullOffsets) > 0 || len(all.Light) != 1 {
		t.Errorf("kept %+v", all)
	}
	for i := range 9 {
		d.peer.send("T", "x", skua.PropMultiDispatch, fmt.Sprint("%LMQ%again", i))
	}
	if got := d.peer.texts("%LMQ%used"); len(got) != 1 {
		t.Errorf("used one has %v", got)
	}
}

// Groups of light queues need not be created, but what they can make the broker keep is bounded.
func TestLightGroupsAreBounded(t *testing.T) {
	d := openLight(t)
	d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%a")
	d.peer.commitAs("%LMQ%1", "%LMQ%a", 0, 1)
	d.b.LimitOffsets(1)
	h := &command.OffsetHeader{Group: []byte("%LMQ%2"), Topic: []byte("%LMQ%a"), CommitOffset: 1, HasCommit: true}
	d.peer.refused(command.StatusInvalidParameter, "offset of group %LMQ%2 on topic %LMQ%a cannot be kept", command.UpdateConsumerOffset, h, nil)
	d.peer.commitAs("%LMQ%1", "%LMQ%a", 0, 0)
	f := pullHeader("%LMQ%a", 0)
	f.Group = []byte("%LMQ%3")
	d.peer.must(command.PullMessage, f, nil)
	if all := ask[command.ConsumerOffsets](d.peer, command.GetAllConsumerOffset, nil, nil); len(all.Light) != 1 || len(all.PullOffsets) != 0 {
		t.Errorf("kept %+v", all)
	}
}

// A light queue goes with its last message. Groups begin at 0 again, as it does.
func TestRetentionOfLightQueues(t *testing.T) {
	d := openLight(t, "mappedFileSizeCommitLog", "65536", "deleteFileBatchMax", "100", "deleteCommitLogFilesInterval", "0")
	d.peer.send("T", "x", skua.PropMultiDispatch, "%LMQ%old,%LMQ%both")
	d.peer.commitAs("G", "%LMQ%old", 0, 1)
	d.peer.commitAs("G", "%LMQ%both", 0, 1)
	for range 200 {
		d.peer.send("T", strings.Repeat("x", 1000))
	}
	d.peer.send("T", "y", skua.PropMultiDispatch, "%LMQ%both")
	dir := filepath.Join(d.o.StorePathRootDir, "consumequeue", "%LMQ%old")
	until(t, "the log is on disk", func() bool {
		return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table["remainHowManyDataToFlush"] == "0 B"
	})
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	old := time.Now().Add(-100 * time.Hour)
	files, _ := filepath.Glob(filepath.Join(d.o.StorePathRootDir, "commitlog", "0*"))
	for _, f := range files {
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	d.peer.must(command.DeleteExpiredCommitLog, nil, nil)
	if old, both := d.peer.committed("G", "%LMQ%old", 0), d.peer.committed("G", "%LMQ%both", 0); old != 0 || both != 1 {
		t.Errorf("group is at %d and %d", old, both)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	d.peer.send("T", "z", skua.PropMultiDispatch, "%LMQ%old,%LMQ%both")
	for _, when := range []string{"at once", "after a restart"} {
		if old, both := d.peer.lightOffsets("%LMQ%old"), d.peer.texts("%LMQ%both"); fmt.Sprint(old) != "[0,2]" || d.peer.endOf("%LMQ%both") != 3 {
			t.Errorf("%s: %v and %v", when, old, both)
		}
		d.restart()
	}
}
