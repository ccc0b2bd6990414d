package broker_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// timed sends a message and returns its answer.
func (p *peer) timed(topic, body string, properties ...string) command.SendResponse {
	p.t.Helper()
	var text []byte
	for i := 0; i < len(properties); i += 2 {
		text = record.AppendProperty(text, properties[i], properties[i+1])
	}
	answer := p.must(command.SendMessageV2, &command.SendHeader{ProducerGroup: []byte("P"), Topic: []byte(topic), DefaultTopic: []byte(skua.TemplateTopic),
		DefaultQueues: 1, BornTimestamp: 1, Properties: text}, []byte(body))
	var r command.SendResponse
	if err := command.Decode(answer.Ext, &r); err != nil {
		p.t.Fatal(err)
	}
	r.RecallHandle = slices.Clone(r.RecallHandle)
	return r
}

// texts are the bodies of the messages in queue 0 of a topic.
func (p *peer) texts(topic string) (texts []string) {
	for _, m := range p.stored(topic) {
		texts = append(texts, string(m.Body))
	}
	return texts
}

func ms(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func TestTimedMessages(t *testing.T) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			t.Parallel()
			d := openDoor(t, "flushDiskType", flush, "timerPrecisionMs", "100", "timerFlushIntervalMs", "20")
			began := time.Now()
			at := began.Add(500 * time.Millisecond)
			d.peer.timed("T", "by seconds", skua.PropTimerDelaySec, "1", skua.PropTimerDelayMs, "50", skua.PropTags, "A")
			d.peer.timed("T", "by ms", skua.PropTimerDelayMs, "200")
			d.peer.timed("T", "by time", skua.PropTimerDeliverMs, ms(at), skua.PropUniqueKey, "KEY1")
			if r := d.peer.timed("T", "past", skua.PropTimerDeliverMs, "1000"); r.RecallHandle != nil {
				t.Errorf("delivered at once, but may be recalled by %s", r.RecallHandle)
			}
			d.peer.timed("T", "negative", skua.PropTimerDelaySec, "-5")
			if got := d.peer.texts("T"); flush == "ASYNC_FLUSH" && !slices.Equal(got, []string{"past", "negative"}) {
				t.Errorf("at once: %q", got)
			}
			parked := d.peer.stored(skua.TimerTopic)
			if len(parked) != 3 {
				t.Fatalf("%d messages are parked", len(parked))
			}
			p := record.ParseProperties(parked[2].Properties)
			out := (at.UnixMilli() - 1) / 100 * 100
			for key, want := range map[string]string{skua.PropRealTopic: "T", skua.PropRealQueueID: "0", skua.PropTimerOutMs: fmt.Sprint(out),
				skua.PropTimerDeliverMs: ms(at), skua.PropUniqueKey: "KEY1", skua.PropCluster: "DefaultCluster"} {
				if p[key] != want {
					t.Errorf("parked with %s=%q, want %q", key, p[key], want)
				}
			}
			until(t, "all messages", func() bool { return len(d.peer.stored("T")) == 5 })
			for _, m := range d.peer.stored("T") {
				p := record.ParseProperties(m.Properties)
				due := map[string]time.Time{"by seconds": began.Add(time.Second), "by ms": began.Add(200 * time.Millisecond), "by time": at}[string(m.Body)]
				if late := time.UnixMilli(m.StoreTime).Sub(due); !due.IsZero() && (late < -time.Millisecond || late > 2*time.Second) {
					t.Errorf("%s came %v late", m.Body, late)
				}
				if !due.IsZero() && (p[skua.PropTimerEnqueueMs] == "" || p[skua.PropTimerDequeueMs] == "" || p[skua.PropTimerOutMs] == "" || m.BornTime != 1) {
					t.Errorf("%s: %v", m.Body, p)
				}
			}
			info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
			if info["timerCongestNum"] != "0" || info["timerReadBehind"] != "0" || info["timerOffsetBehind"] != "0" {
				t.Errorf("%v", info)
			}
		})
	}
}

// A message that a level and a time are asked for goes by the level, and forgets the time.
func TestDelayLevelWinsOverTime(t *testing.T) {
	d := openDoor(t)
	d.peer.timed("T", "a", skua.PropTimerDelaySec, "3600", skua.PropDelayLevel, "1", skua.PropTimerDelayMs, "9", skua.PropTimerDeliverMs, "x")
	until(t, "the message", func() bool { return len(d.peer.stored("T")) == 1 })
	p := record.ParseProperties(d.peer.stored("T")[0].Properties)
	if p[skua.PropDelayLevel] != "1" || p[skua.PropTimerDelaySec] != "" || p[skua.PropTimerDelayMs] != "" || p[skua.PropTimerDeliverMs] != "" || p[skua.PropUniqueKey] == "" {
		t.Errorf("%v", p)
	}
	if n := len(d.peer.stored(skua.TimerTopic)); n != 0 {
		t.Errorf("%d messages in the timer topic", n)
	}
	// A message that was timed is not timed again when it is sent back, nor when it is sent with what it had.
	id := d.peer.timed("T", "b", skua.PropTimerDelaySec, "3600", skua.PropTimerOutMs, "1000").MsgID
	d.peer.must(command.ConsumerSendMsgBack, &command.SendBackHeader{Offset: logOffset(t, string(id)), Group: "G", DelayLevel: 1}, nil)
	until(t, "the retry", func() bool { return len(d.peer.stored(skua.RetryTopic("G"))) == 1 })
	p = record.ParseProperties(d.peer.stored(skua.RetryTopic("G"))[0].Properties)
	if p[skua.PropTimerDelaySec] != "" || p[skua.PropTimerOutMs] != "1000" {
		t.Errorf("%v", p)
	}
}

func TestTimerWheelDisabled(t *testing.T) {
	d := openDoor(t, "timerWheelEnable", "false", "recallMessageEnable", "true")
	d.peer.createTopic("T", 1)
	h := sendHeader("T")
	h.Properties = properties("TIMER_DELAY_SEC", "1")
	d.peer.refused(command.StatusSystemError, "accurate timer message is not enabled, timerWheelEnable is false", command.SendMessageV2, h, []byte("x"))
	d.peer.refused(command.StatusSystemError, "The checkpoint is null", command.GetTimerCheckPoint, nil, nil)
	d.peer.refused(command.StatusSystemError, "The timer message store is null", command.GetTimerMetrics, nil, nil)
	d.peer.refused(command.StatusSystemError, "recall failed, execute error", command.RecallMessage, &command.RecallHeader{Topic: "T", Handle: handle("v1 T b " + ms(time.Now().Add(time.Minute)) + " K")}, nil)
	if info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table; info["timerReadBehind"] != "0" || info["timerEnqueueTps"] != "0.0" {
		t.Errorf("%v", info)
	}
}

func handle(text string) string { return base64.URLEncoding.EncodeToString([]byte(text)) }

func TestRecall(t *testing.T) {
	d := openDoor(t, "recallMessageEnable", "true", "timerPrecisionMs", "100")
	far := d.peer.timed("T", "far", skua.PropTimerDelaySec, "3600", skua.PropUniqueKey, "KEY1")
	text, err := base64.URLEncoding.DecodeString(string(far.RecallHandle))
	words := strings.Fields(string(text))
	if err != nil || len(words) != 5 || words[0] != "v1" || words[1] != "T" || words[2] != "b" || words[4] != "KEY1" || words[3][len(words[3])-2:] != "01" {
		t.Fatalf("handle %q: %v", text, err)
	}
	near := d.peer.timed("T", "near", skua.PropTimerDelayMs, "600", skua.PropUniqueKey, "KEY2")
	d.peer.timed("T", "neighbour", skua.PropTimerDelayMs, "600", skua.PropUniqueKey, "KEY3")
	// A broker that takes no messages lets recall those it has.
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("brokerPermission=4\n"))
	answer := d.peer.must(command.RecallMessage, &command.RecallHeader{ProducerGroup: "P", Topic: "T", Handle: string(near.RecallHandle)}, nil)
	if answer.Ext.String("msgId") != "KEY2" || answer.Ext.String("MSG_REGION") != "DefaultRegion" {
		t.Errorf("answered %v", answer.Ext)
	}
	parked := d.peer.stored(skua.TimerTopic)
	p := record.ParseProperties(parked[len(parked)-1].Properties)
	out, _ := record.Property(parked[1].Properties, skua.PropTimerOutMs)
	n, _ := strconv.ParseInt(string(out), 10, 64)
	if delete(p, "BORN_TIMESTAMP"); !maps.Equal(p, map[string]string{"PGROUP": "P", "REAL_QID": "0", "REAL_TOPIC": "T", "TAGS": "_RECALL_TAG_",
		"TIMER_DELIVER_MS": fmt.Sprint(n + 1), "TIMER_DEL_UNIQKEY": "KEY2", "TIMER_OUT_MS": string(out), "UNIQ_KEY": "KEY2"}) ||
		string(parked[len(parked)-1].Body) != "0" {
		t.Errorf("%v", p)
	}
	until(t, "the neighbour", func() bool { return len(d.peer.stored("T")) > 0 })
	if got := d.peer.texts("T"); !slices.Equal(got, []string{"neighbour"}) {
		t.Errorf("delivered %q", got)
	}
	metrics := ask[command.TimerMetrics](d.peer, command.GetTimerMetrics, nil, nil)
	if metrics.TimingCount["T"].Count != 1 || metrics.DataVersion.Counter == 0 {
		t.Errorf("%+v", metrics)
	}

	later := time.Now().Add(time.Minute)
	request := func(text string) *command.RecallHeader {
		return &command.RecallHeader{Topic: "T", Handle: handle(text)}
	}
	for _, c := range []struct {
		status command.Status
		remark string
		h      *command.RecallHeader
	}{
		{17, "recall failed, the topic[X] not exist", &command.RecallHeader{Topic: "X", Handle: string(far.RecallHandle)}},
		{604, "recall handle is invalid", &command.RecallHeader{Topic: "T", Handle: "???"}},
		{604, "recall handle is invalid", &command.RecallHeader{Topic: "T", Handle: "A" + string(far.RecallHandle)}},
		{604, "recall handle is invalid", request("v2 T b 1 K")},
		{604, "recall handle is invalid", request("v1 T b 1")},
		{604, "recall handle is invalid", request("v1 T b " + ms(later) + " K\x02REAL_TOPIC\x01X")},
		{604, "recall failed, topic not match", request("v1 TBW102 b " + ms(later) + " K")},
		{604, "recall failed, broker service not available", request("v1 T other " + ms(later) + " K")},
		{604, "recall failed, timestamp invalid", request("v1 T b x K")},
		{604, "recall failed, timestamp invalid", request("v1 T b 1000 K")},
		{604, "recall failed, timestamp invalid", request("v1 T b " + ms(later.Add(72*time.Hour)) + " K")},
	} {
		d.peer.refused(c.status, c.remark, command.RecallMessage, c.h, nil)
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("allowRecallWhenBrokerNotWriteable=false\n"))
	d.peer.refused(14, "recall failed, broker service not available", command.RecallMessage, request("v1 T b "+ms(later)+" K"), nil)
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("recallMessageEnable=false\n"))
	d.peer.refused(16, "recall failed, operation is forbidden", command.RecallMessage, request("v1 T b "+ms(later)+" K"), nil)
}

// What waits survives a stop, in Java's files.
func TestTimedMessagesSurviveARestart(t *testing.T) {
	d := openDoor(t, "timerPrecisionMs", "100")
	d.peer.timed("T", "a", skua.PropTimerDelayMs, "1500")
	d.peer.timed("T", "b", skua.PropTimerDelaySec, "3000")
	until(t, "in the wheel", func() bool {
		return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table["timerCongestNum"] == "2"
	})
	info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	if info["timerDistribution"] != "5:1 60:0 300:0 900:0 3600:1 14400:0 28800:0 86400:0" {
		t.Errorf("%v", info["timerDistribution"])
	}
	d.restart()
	check, ok := layout.DecodeTimerCheckpoint(d.peer.must(command.GetTimerCheckPoint, nil, nil).Body)
	if !ok || check.Queue != 2 || check.LogFlushed != 2*layout.TimerUnitSize || check.MasterQueue != 2 || check.Counter == 0 {
		t.Errorf("%+v", check)
	}
	for name, size := range map[string]int64{"timerwheel": 38707200, "timerlog/00000000000000000000": 104857600, "config/timercheck": 4096} {
		if f, err := os.Stat(filepath.Join(d.o.StorePathRootDir, name)); err != nil || f.Size() != size {
			t.Errorf("%s: %v", name, err)
		}
	}
	metrics, err := os.ReadFile(filepath.Join(d.o.StorePathRootDir, "config/timermetrics"))
	if want := `{"dataVersion":{"counter":2,"stateVersion":0,"timestamp":`; err != nil || !strings.HasPrefix(string(metrics), want) ||
		!strings.Contains(string(metrics), `},"timingCount":{"T":{"count":2,"timeStamp":`) {
		t.Errorf("%s, %v", metrics, err)
	}
	until(t, "a", func() bool { return slices.Equal(d.peer.texts("T"), []string{"a"}) })
	if got := ask[command.TimerMetrics](d.peer, command.GetTimerMetrics, nil, nil); got.TimingCount["T"].Count != 1 {
		t.Errorf("%+v", got)
	}
	d.peer.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	if got := ask[command.TimerMetrics](d.peer, command.GetTimerMetrics, nil, nil); len(got.TimingCount) != 0 {
		t.Errorf("of a deleted topic: %+v", got)
	}
}

func TestTimerSwitchesAndCongestion(t *testing.T) {
	d := openDoor(t, "timerPrecisionMs", "100", "timerStopDequeue", "true", "timerStopEnqueue", "true", "timerCongestNumEachSlot", "4")
	runtime := func(key string) string {
		return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table[key]
	}
	d.peer.timed("T", "a", skua.PropTimerDelayMs, "300")
	until(t, "it waits in its queue", func() bool { return runtime("timerOffsetBehind") == "1" })
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("timerStopEnqueue=false\n"))
	until(t, "it is in the wheel", func() bool { return runtime("timerCongestNum") == "1" || len(d.peer.stored("T")) == 1 })
	at := ms(time.Now().Add(5 * time.Second))
	h := sendHeader("T")
	h.Properties = properties("TIMER_DELIVER_MS", at)
	refused := 0
	for range 200 {
		answer := d.peer.call(command.SendMessageV2, h, []byte("x"))
		if answer.Code != 0 {
			if refused++; command.Status(answer.Code) != command.StatusSystemError || !strings.HasPrefix(string(answer.Remark),
				"timer message is under flow control, max num limit is 8 or the current value is greater than 4 and less than 8, trigger random flow control") {
				t.Fatalf("%d %s", answer.Code, answer.Remark)
			}
			continue
		}
		until(t, "it is taken", func() bool { return runtime("timerOffsetBehind") == "0" })
	}
	if refused != 192 && refused < 192 {
		t.Errorf("%d of 200 refused; 8 are the most for one step", refused)
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("timerStopDequeue=false\n"))
	until(t, "a", func() bool { return len(d.peer.stored("T")) >= 1 })
}

func TestTimerOptionsThatCannotBe(t *testing.T) {
	d := openDoor(t)
	d.close()
	for key, value := range map[string]int32{"timerPrecisionMs": 0, "timerMaxDelaySec": -1, "mappedFileSizeTimerLog": 100, "timerFlushIntervalMs": 0} {
		o := d.o
		field := map[string]*int32{"timerPrecisionMs": &d.o.TimerPrecisionMs, "timerMaxDelaySec": &d.o.TimerMaxDelaySec,
			"mappedFileSizeTimerLog": &d.o.MappedFileSizeTimerLog, "timerFlushIntervalMs": &d.o.TimerFlushIntervalMs}[key]
		*field = value
		if err := d.failsToStart(); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
		d.o = o
	}
	d.o.TimerCheckMetricsWhen = "25"
	if err := d.failsToStart(); err == nil || !strings.Contains(err.Error(), "timerCheckMetricsWhen") {
		t.Error(err)
	}
}

// Counts that a crash has made wrong are made right soon after the start.
func TestTimerCountsAfterACrash(t *testing.T) {
	d := openDoor(t)
	for range 5 {
		d.peer.timed("T", "a", skua.PropTimerDelaySec, "100")
	}
	until(t, "in the wheel", func() bool {
		return ask[command.TimerMetrics](d.peer, command.GetTimerMetrics, nil, nil).TimingCount["T"].Count == 5
	})
	d.close()
	dir := d.o.StorePathRootDir
	if err := os.WriteFile(filepath.Join(dir, "abort"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "config/timermetrics")); err != nil {
		t.Fatal(err)
	}
	d.start()
	until(t, "the counts", func() bool {
		return ask[command.TimerMetrics](d.peer, command.GetTimerMetrics, nil, nil).TimingCount["T"].Count == 5
	})
}
