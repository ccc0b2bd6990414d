package broker_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// properties makes a property string of keys and values.
func properties(kv ...string) []byte {
	var text []byte
	for i := 0; i < len(kv); i += 2 {
		text = record.AppendProperty(text, kv[i], kv[i+1])
	}
	return text
}

// sendHeader is the header of an ordinary send to queue 0.
func sendHeader(topic string, kv ...string) *command.SendHeader {
	return &command.SendHeader{ProducerGroup: []byte("P"), Topic: []byte(topic), DefaultTopic: []byte(skua.TemplateTopic), DefaultQueues: 4,
		BornTimestamp: 1700000000000, Properties: properties(kv...)}
}

func sendResponse(t testing.TB, f *wire.Frame) command.SendResponse {
	t.Helper()
	var r command.SendResponse
	if err := command.Decode(f.Ext, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// createTopic creates a topic with as many queues.
func (p *peer) createTopic(name string, queues int32, attributes ...string) {
	p.t.Helper()
	p.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: name, ReadQueues: queues, WriteQueues: queues, Perm: 6,
		FilterType: command.SingleTag, Attributes: strings.Join(attributes, ",")}, nil)
}

func TestSendStoresWhatJavaStores(t *testing.T) {
	d := openDoor(t)
	h := sendHeader("T", "KEYS", "k1 k2", "UNIQ_KEY", "0A01", "POP_CK", "x", "TRACE_ON", "mine", "TAGS", "A", "EMPTY", "")
	h.QueueID, h.Flag, h.SysFlag, h.ReconsumeTimes = 2, 7, 1, 3
	answer := d.peer.must(command.SendMessageV2, h, []byte("compressed"))
	r := sendResponse(t, answer)
	if r.QueueID != 2 || r.QueueOffset != 0 || string(r.TransactionID) != "0A01" || r.Region != "DefaultRegion" || !r.TraceOn {
		t.Errorf("answer %+v", r)
	}
	host, off, err := record.ParseOffsetID(string(r.MsgID))
	if err != nil || off != 0 || host.String() != d.b.Advertised() {
		t.Errorf("offset id %s: %v %d, %v", r.MsgID, host, off, err)
	}
	m, _, err := record.Decode(d.peer.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: off}, nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"KEYS": "k1 k2", "UNIQ_KEY": "0A01", "TAGS": "A", "MSG_REGION": "DefaultRegion", "TRACE_ON": "true", "CLUSTER": "DefaultCluster"}
	if got := record.ParseProperties(m.Properties); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("properties %v, want %v", got, want)
	}
	if m.QueueID != 2 || m.Flag != 7 || m.SysFlag != 1 || m.ReconsumeTimes != 3 || m.BornTime != 1700000000000 || string(m.Body) != "compressed" {
		t.Errorf("stored %+v", m)
	}
	if !m.BornHost.Addr().IsLoopback() || m.StoreHost.String() != d.b.Advertised() {
		t.Errorf("hosts %v and %v", m.BornHost, m.StoreHost)
	}
}

func TestSendGivesUniqueKey(t *testing.T) {
	d := openDoor(t)
	seen := map[string]bool{}
	for range 3 {
		id := string(sendResponse(t, d.peer.must(command.SendMessage, sendHeader("T", "TAGS", "A"), []byte("x"))).TransactionID)
		if len(id) != 32 || seen[id] || strings.ToUpper(id) != id {
			t.Errorf("unique key %q", id)
		}
		seen[id] = true
	}
}

func TestSendChecks(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 4)
	d.peer.createTopic("Keyed", 1, "+cleanup.policy=COMPACTION")
	d.peer.createTopic("Batched", 1, "+queue.type=BatchCQ")
	d.peer.createTopic("NoQueues", 0)
	long := strings.Repeat("t", 128)
	for _, c := range []struct {
		name   string
		status command.Status
		remark string
		alter  func(h *command.SendHeader)
		body   []byte
	}{
		{"topic with a blank", 29, "The specified topic: bad name!, contains illegal characters, allowing only ^[%|a-zA-Z0-9_-]+$", func(h *command.SendHeader) { h.Topic = []byte("bad name!") }, nil},
		{"topic with a path", 29, "The specified topic: ../../etc/passwd, contains illegal characters", func(h *command.SendHeader) { h.Topic = []byte("../../etc/passwd") }, nil},
		{"topic of zero length", 29, "The specified topic is blank.", func(h *command.SendHeader) { h.Topic = nil }, nil},
		{"topic too long", 29, "The specified topic is longer than topic max length", func(h *command.SendHeader) { h.Topic = []byte(long) }, nil},
		{"forbidden topic", 16, "Sending message to topic[SCHEDULE_TOPIC_XXXX] is forbidden.", func(h *command.SendHeader) { h.Topic = []byte("SCHEDULE_TOPIC_XXXX") }, nil},
		{"forbidden topic that is not there", 16, "Sending message to topic[TRANS_CHECK_MAX_TIME_TOPIC] is forbidden.", func(h *command.SendHeader) { h.Topic = []byte("TRANS_CHECK_MAX_TIME_TOPIC") }, nil},
		{"no template", 17, "topic[New] not exist, apply first please!\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details.", func(h *command.SendHeader) { h.Topic, h.DefaultTopic = []byte("New"), []byte("none") }, nil},
		{"template that does not inherit", 17, "topic[New] not exist", func(h *command.SendHeader) { h.Topic, h.DefaultTopic = []byte("New"), []byte("T") }, nil},
		{"queue beyond the last", 29, "request queueId[4] is illegal, TopicConfig [topicName=T, readQueueNums=4, writeQueueNums=4, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}] Producer: 127.0.0.1:", func(h *command.SendHeader) { h.QueueID = 4 }, nil},
		{"no queue to choose", 29, "request queueId[-1] is illegal", func(h *command.SendHeader) { h.Topic, h.QueueID = []byte("NoQueues"), -1 }, nil},
		{"no key", 13, "Required message key is missing", func(h *command.SendHeader) { h.Topic = []byte("Keyed") }, nil},
		{"batch of garbage in one record", 13, "the message is illegal: record: batch is malformed", func(h *command.SendHeader) {
			h.Batch, h.Topic, h.Properties = true, []byte("Batched"), properties("UNIQ_KEY", "A")
		}, []byte("garbage")},
		{"empty batch in one record", 13, "the message is illegal: the batch is empty", func(h *command.SendHeader) {
			h.Batch, h.Topic, h.Properties = true, []byte("Batched"), properties("UNIQ_KEY", "A")
		}, []byte{}},
		{"one record that says it is a batch", 13, "the message is illegal: it says that it is a batch in one record", func(h *command.SendHeader) {
			h.Topic, h.Properties = []byte("Batched"), properties("INNER_NUM", "5")
		}, nil},
		{"batch that is half a transaction", 13, "the message is illegal: a batch cannot be a transaction message", func(h *command.SendHeader) { h.Batch, h.Properties = true, properties("TRAN_MSG", "true") }, batchBody("x")},
		{"half message by its flag", 16, "the broker[127.0.0.1] sending transaction message is forbidden", func(h *command.SendHeader) { h.SysFlag = 4 }, nil},
		{"timed too far ahead", 13, "timer message illegal, the delay time should not be bigger than the max delay 259200000ms; or if set del msg, the delay time should be bigger than the current time: it asks for 25920",
			func(h *command.SendHeader) { h.Properties = properties("TIMER_DELAY_SEC", "259201") }, nil},
		{"timed beyond all numbers", 13, "timer message illegal", func(h *command.SendHeader) { h.Properties = properties("TIMER_DELAY_SEC", "9223372036854775807") }, nil},
		{"timed at no number", 13, `timer message illegal, the delay time should not be bigger than the max delay 259200000ms; or if set del msg, the delay time should be bigger than the current time: TIMER_DELIVER_MS is "soon", want a number`,
			func(h *command.SendHeader) { h.Properties = properties("TIMER_DELIVER_MS", "soon") }, nil},
		{"recall of the past", 13, "timer message illegal", func(h *command.SendHeader) {
			h.Properties = properties("TIMER_DELIVER_MS", "1000", "TIMER_DEL_UNIQKEY", "A")
		}, nil},
		{"timed batch", 13, "the message is illegal: a batch cannot be delayed", func(h *command.SendHeader) { h.Batch, h.Properties = true, properties("TIMER_DELAY_MS", "9000") }, batchBody("x")},
		{"not fit for the queue of timed messages", 13, "timer message illegal: messages in rmq_sys_wheel_timer need", func(h *command.SendHeader) { h.Topic = []byte("rmq_sys_wheel_timer") }, nil},
		{"batch in one record", 13, "the message is illegal", func(h *command.SendHeader) { h.SysFlag = 0x80 }, nil},
		{"no body", 13, "the message is illegal: it has no body", nil, []byte{}},
		{"body too long", 13, "the message is illegal", nil, make([]byte, 4<<20+1)},
		{"properties too long", 13, "the message is illegal", func(h *command.SendHeader) { h.Properties = properties("K", strings.Repeat("v", 32760)) }, nil},
		{"batch of nothing", 13, "the message is illegal: the batch is empty", func(h *command.SendHeader) { h.Batch = true }, []byte{}},
		{"batch of garbage", 13, "the message is illegal: record: batch is malformed", func(h *command.SendHeader) { h.Batch = true }, []byte("garbage")},
		{"batch to a retry topic", 13, "batch request does not support retry group %RETRY%G", func(h *command.SendHeader) { h.Batch, h.Topic = true, []byte("%RETRY%G") }, nil},
		{"delayed batch", 13, "the message is illegal: a batch cannot be delayed", func(h *command.SendHeader) { h.Batch, h.Properties = true, properties("DELAY", "3") }, batchBody("x")},
		{"timed batch", 13, "the message is illegal: a batch cannot be delayed", func(h *command.SendHeader) { h.Batch, h.Properties = true, properties("TIMER_DELAY_SEC", "3") }, batchBody("x")},
		{"batch of halves", 13, "the message is illegal: a batch cannot be a transaction message", func(h *command.SendHeader) { h.Batch, h.Properties = true, properties("TRAN_MSG", "true") }, batchBody("x")},
		{"batch of halves by their flag", 13, "the message is illegal: a batch cannot be a transaction message", func(h *command.SendHeader) { h.Batch, h.SysFlag = true, 4 }, batchBody("x")},
		{"delayed message in a batch", 13, "the message is illegal: message 1 of the batch: it cannot be delayed; send it alone", func(h *command.SendHeader) { h.Batch = true }, batchWith("DELAY", "3")},
		{"delayed message in a batch in one record", 13, "the message is illegal: message 1 of the batch: it cannot be delayed", func(h *command.SendHeader) {
			h.Batch, h.Topic, h.Properties = true, []byte("Batched"), properties("UNIQ_KEY", "A")
		}, batchWith("DELAY", "3")},
		{"timed message in a batch", 13, "the message is illegal: message 1 of the batch: it cannot be delayed", func(h *command.SendHeader) { h.Batch = true }, batchWith("TIMER_DELIVER_MS", "3")},
		{"half message in a batch", 13, "the message is illegal: message 1 of the batch: it cannot be a transaction message", func(h *command.SendHeader) { h.Batch = true }, batchWith("TRAN_MSG", "true")},
		{"batch in a batch", 13, "the message is illegal: message 1 of the batch: it cannot be a batch itself", func(h *command.SendHeader) { h.Batch = true }, batchWith("INNER_NUM", "3")},
		{"no key in a batch", 13, "Required message key is missing: message 0 of the batch has none", func(h *command.SendHeader) { h.Batch, h.Topic = true, []byte("Keyed") }, batchWith("KEYS", "k")},
		{"batch that ends in the middle", 13, "the message is illegal: record: batch is malformed at byte 24", func(h *command.SendHeader) { h.Batch = true }, batchBody("ab", "cd")[:40]},
		{"batch too long", 13, "the message is illegal", func(h *command.SendHeader) { h.Batch = true }, batchBody(strings.Repeat("x", 2<<20), strings.Repeat("y", 2<<20+1))},
		{"batch with properties too long", 13, "the message is illegal", func(h *command.SendHeader) { h.Batch = true }, record.AppendBatchItem(nil, record.BatchItem{Body: []byte("x"), Properties: make([]byte, 1<<15)})},
		{"batch to a topic with a long name", 29, "The specified topic is longer than topic max length", func(h *command.SendHeader) { h.Batch, h.Topic = true, []byte(long) }, batchBody("x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sendHeader("T")
			if c.alter != nil {
				c.alter(h)
			}
			body := c.body
			if body == nil {
				body = []byte("x")
			}
			answer := d.peer.call(command.SendMessageV2, h, body)
			if command.Status(answer.Code) != c.status || !strings.HasPrefix(string(answer.Remark), c.remark) {
				t.Errorf("got %d %q, want %d %q", answer.Code, answer.Remark, c.status, c.remark)
			}
			if answer.Ext.String("MSG_REGION") != "DefaultRegion" || answer.Ext.String("TRACE_ON") != "true" {
				t.Errorf("answer lacks region and trace switch: %v", answer.Ext)
			}
		})
	}
	if got := d.peer.stored("T"); len(got) != 0 {
		t.Errorf("refused messages were stored: %d", len(got))
	}
}

// batchWith is a batch of two messages, of which the second has a property.
func batchWith(key, value string) []byte {
	return record.AppendBatchItem(batchBody("first"), record.BatchItem{Body: []byte("second"), Properties: properties(key, value)})
}

// What a batch may have in it although it looks as if it asked for something.
func TestSendBatchWithHarmlessProperties(t *testing.T) {
	d := openDoor(t)
	h := sendHeader("T")
	h.Batch = true
	for _, kv := range [][2]string{{"DELAY", "0"}, {"TRAN_MSG", "false"}, {"KEYS", "k"}} {
		d.peer.must(command.SendBatchMessage, h, batchWith(kv[0], kv[1]))
	}
	if got := d.peer.stored("T"); len(got) != 6 {
		t.Errorf("%d messages", len(got))
	}
	d.peer.createTopic("Keyed", 1, "+cleanup.policy=COMPACTION")
	h.Topic = []byte("Keyed")
	d.peer.must(command.SendBatchMessage, h, record.AppendBatchItem(nil, record.BatchItem{Body: []byte("x"), Properties: properties("KEYS", "k")}))
}

func TestSendMalformedNumbers(t *testing.T) {
	d := openDoor(t)
	c := d.dialRaw()
	for _, value := range []string{"99999999999", "-99999999999999999999", "x", ""} {
		f := rawFrame(command.SendMessageV2, map[string]string{"a": "P", "b": "T", "c": "TBW102", "d": "4", "e": value}, []byte("x"))
		if answer := c.exchange(f); bytes.Contains(answer, []byte(`"code":0`)) {
			t.Errorf("queueId %q was accepted: %s", value, answer)
		}
	}
	// A header that Java lets pass: fields that are missing are zero.
	if answer := c.exchange(rawFrame(command.SendMessageV2, map[string]string{"b": "T", "c": "TBW102", "d": "4"}, []byte("x"))); !bytes.Contains(answer, []byte(`"code":0`)) {
		t.Errorf("sparse header was refused: %s", answer)
	}
}

func TestSendCreatesTopic(t *testing.T) {
	d := openDoor(t)
	h := sendHeader("New")
	h.DefaultQueues = 100
	d.peer.must(command.SendMessageV2, h, []byte("x"))
	got := ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: "New"}, nil)
	if got.ReadQueues != 8 || got.WriteQueues != 8 || got.Perm != 6 || got.FilterType != command.SingleTag {
		t.Errorf("topic made by a send: %+v", got.TopicConfig)
	}
	d.restart()
	if got := ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: "New"}, nil); got.ReadQueues != 8 {
		t.Errorf("after restart: %+v", got.TopicConfig)
	}
	off := openDoor(t, "autoCreateTopicEnable", "false")
	off.peer.refused(17, "topic[New] not exist, apply first please!", command.SendMessageV2, h, []byte("x"))
	if answer := off.peer.call(command.SendMessageV2, h, []byte("x")); !strings.Contains(string(answer.Remark), "autoCreateTopicEnable=false") {
		t.Errorf("remark does not tell the cause: %s", answer.Remark)
	}
}

func TestSendToAnyQueue(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 4)
	seen := map[int32]bool{}
	h := sendHeader("T")
	h.QueueID = -1
	for range 200 {
		seen[sendResponse(t, d.peer.must(command.SendMessageV2, h, []byte("x"))).QueueID] = true
	}
	if len(seen) != 4 {
		t.Errorf("queues %v", seen)
	}
}

func TestSendBatch(t *testing.T) {
	d := openDoor(t)
	items := record.AppendBatchItem(nil, record.BatchItem{Flag: 1, Body: []byte("one"), Properties: properties("TAGS", "A", "POP_CK", "kept")})
	items = record.AppendBatchItem(items, record.BatchItem{Flag: 2, Body: []byte("two"), Properties: properties("TAGS", "B")})
	h := sendHeader("T", "UNIQ_KEY", "CAFE", "WAIT", "true")
	h.Batch = true
	d.peer.send("T", "zero")
	r := sendResponse(t, d.peer.must(command.SendBatchMessage, h, items))
	ids := strings.Split(string(r.MsgID), ",")
	if len(ids) != 2 || r.QueueOffset != 1 || string(r.TransactionID) != "CAFE" {
		t.Fatalf("answer %+v", r)
	}
	stored := d.peer.stored("T")
	if len(stored) != 3 {
		t.Fatalf("%d messages stored", len(stored))
	}
	for i, m := range stored[1:] {
		_, off, err := record.ParseOffsetID(ids[i])
		if err != nil || off != m.LogOffset || m.Flag != int32(i+1) || m.QueueOffset != skua.QueueOffset(i+1) {
			t.Errorf("message %d: %+v, id %s %v", i, m, ids[i], err)
		}
	}
	if got := string(stored[1].Properties); got != string(properties("TAGS", "A", "POP_CK", "kept")) {
		t.Errorf("properties of a batched message were changed: %q", got)
	}
}

// A topic with batch queues keeps a batch in one record, which takes as many offsets as it holds messages.
func TestSendBatchToBatchQueue(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("Batched", 1, "+queue.type=BatchCQ")
	batch := func(properties []string, bodies ...string) command.SendResponse {
		h := sendHeader("Batched", properties...)
		h.Batch = true
		return sendResponse(t, d.peer.must(command.SendBatchMessage, h, batchBody(bodies...)))
	}
	if r := batch([]string{"UNIQ_KEY", "CAFE", "WAIT", "true"}, "a", "b", "c"); r.QueueOffset != 0 || string(r.BatchUniqID) != "CAFE" || len(r.MsgID) != 32 {
		t.Errorf("answer %+v", r)
	}
	if r := batch(nil, "d", "e"); r.QueueOffset != 3 || r.BatchUniqID != nil || len(r.MsgID) != 65 {
		t.Errorf("answer for a batch without a unique key %+v", r)
	}
	if _, off := d.peer.send("Batched", "f"); off != 5 {
		t.Errorf("single message at %d", off)
	}
	stored := d.peer.stored("Batched")
	if len(stored) != 4 || stored[0].SysFlag != record.FlagInnerBatch|record.FlagNeedUnwrap || string(stored[0].Body) != string(batchBody("a", "b", "c")) {
		t.Fatalf("stored %+v", stored)
	}
	p := record.ParseProperties(stored[0].Properties)
	if base, err := strconv.Atoi(p["INNER_BASE"]); p["INNER_NUM"] != "3" || err != nil || base != 0 || p["UNIQ_KEY"] != "CAFE" || p["CLUSTER"] == "" {
		t.Errorf("properties %v", p)
	}
	for i, off := range []skua.QueueOffset{0, 3, 4, 5} {
		if stored[i].QueueOffset != off {
			t.Errorf("record %d is at %d", i, stored[i].QueueOffset)
		}
	}
	if answer := d.peer.must(command.GetMaxOffset, &command.OffsetHeader{Topic: []byte("Batched")}, nil); answer.Ext.String("offset") != "6" {
		t.Errorf("queue ends at %s", answer.Ext.String("offset"))
	}
}

func TestSendToRetryTopicEndsInDeadLetters(t *testing.T) {
	d := openDoor(t)
	h := sendHeader("%RETRY%G", "DELAY", "3", "RETRY_TOPIC", "T", "UNIQ_KEY", "U1")
	h.ReconsumeTimes = 17
	d.peer.must(command.SendMessageV2, h, []byte("x"))
	got := d.peer.stored("%DLQ%G")
	if len(got) != 1 || string(got[0].Body) != "x" || got[0].ReconsumeTimes != 17 {
		t.Fatalf("dead letters: %+v", got)
	}
	p := record.ParseProperties(got[0].Properties)
	if p["DELAY"] != "-1" || p["RETRY_TOPIC"] != "T" || p["DLQ_ORIGIN_TOPIC"] != "T" || p["DLQ_ORIGIN_MESSAGE_ID"] != "U1" {
		t.Errorf("properties of the dead letter %v", p)
	}
	h.ReconsumeTimes, h.HasMaxReconsume, h.MaxReconsumeTimes = 17, true, 20
	d.peer.must(command.SendMessageV2, h, []byte("y"))
	if got := d.peer.stored("%DLQ%G"); len(got) != 1 {
		t.Errorf("message below the limit of its request became a dead letter")
	}
	d.peer.send("T", "makes the topic")
	d.peer.must(command.LockBatchMQ, nil, command.LockBatch{Group: "G", ClientID: "c", Queues: []command.MessageQueue{{Broker: "b", Topic: "T"}}})
	h.ReconsumeTimes = 0
	d.peer.must(command.SendMessageV2, h, []byte("z"))
	if got := d.peer.stored("%DLQ%G"); len(got) != 2 {
		t.Errorf("message of a group that consumes in order did not become a dead letter")
	}
}

func TestSendOfRetryNeedsGroup(t *testing.T) {
	d := openDoor(t, "autoCreateSubscriptionGroup", "false")
	d.peer.refused(26, "subscription group not exist, G", command.SendMessageV2, sendHeader("%RETRY%G"), []byte("x"))
}

func TestSendRefusals(t *testing.T) {
	later := openDoor(t, "startAcceptSendRequestTimeStamp", fmt.Sprint(time.Now().Add(time.Hour).UnixMilli()))
	later.peer.refused(1, "broker unable to service, until ", command.SendMessageV2, sendHeader("T"), []byte("x"))
}

func TestSendSyncFlush(t *testing.T) {
	d := openDoor(t, "flushDiskType", "SYNC_FLUSH")
	for i := range 3 {
		for _, wait := range []string{"true", "false"} {
			d.peer.must(command.SendMessageV2, sendHeader("T", "WAIT", wait), fmt.Appendf(nil, "%d", i))
		}
	}
	until(t, "all messages are visible", func() bool { return len(d.peer.stored("T")) == 6 })
}

func TestSendOneway(t *testing.T) {
	d := openDoor(t)
	for range 3 {
		if err := d.peer.oneway(command.SendMessageV2, sendHeader("T"), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "one-way messages are stored", func() bool { return len(d.peer.stored("T")) == 3 })
	// An answer to one of them would confuse this.
	d.peer.send("T", "y")
}

func TestSendSurvivesRestart(t *testing.T) {
	d := openDoor(t)
	for i := range 10 {
		d.peer.send("T", fmt.Sprint(i))
	}
	d.restart()
	if _, off := d.peer.send("T", "next"); off != 10 {
		t.Errorf("offset after restart is %d", off)
	}
	if got := d.peer.stored("T"); len(got) != 11 || string(got[9].Body) != "9" {
		t.Errorf("%d messages after restart", len(got))
	}
}

func TestUnknownCodes(t *testing.T) {
	d := openDoor(t)
	d.peer.refused(3, " request type 200050 not supported (POP_MESSAGE)", command.PopMessage, nil, nil)
	d.peer.refused(3, " request type 31999 not supported", command.Code(31999), nil, nil)
	fast := *d.peer
	fast.addr = d.fastAddr()
	fast.refused(3, " request type 11 not supported (PULL_MESSAGE)", command.PullMessage, &command.PullHeader{}, nil)
	fast.send("T", "by the fast port")
}
