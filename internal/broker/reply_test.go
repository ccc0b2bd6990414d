package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

const replyTopic = "DefaultCluster_REPLY_TOPIC"

// pushedReply is a reply as a requester got it.
type pushedReply struct {
	command.ReplyHeader
	properties map[string]string
	body       string
}

// requester connects a client that waits for replies under an id, and answers each with a status.
func (d *door) requester(id string, status command.Status) (*peer, chan pushedReply) {
	got := make(chan pushedReply, 100)
	p := d.connect(func(req *wire.Frame) {
		if command.Code(req.Code) != command.PushReplyMessageToClient {
			return
		}
		r := pushedReply{body: string(req.Body)}
		if err := command.Decode(req.Ext, &r.ReplyHeader); err != nil {
			d.t.Error(err)
		}
		r.properties = record.ParseProperties([]byte(r.Properties))
		got <- r
		req.Call().Reply(&wire.Response{Status: status, Remark: map[bool]string{true: "no room"}[status != 0]})
	})
	p.must(command.HeartBeat, nil, &command.HeartbeatData{ClientID: id, Producers: []command.ProducerData{{Group: "P"}}})
	return p, got
}

// replyHeader is a reply to a requester, "" to none, with further properties.
func replyHeader(to string, properties ...string) *command.SendHeader {
	h := sendHeader(replyTopic)
	h.Properties = record.AppendProperty(nil, skua.PropMessageType, "reply")
	properties = append(properties, skua.PropCorrelationID, "c1", skua.PropReplyToClient, to)
	for i := 0; i < len(properties); i += 2 {
		if properties[i+1] != "" {
			h.Properties = record.AppendProperty(h.Properties, properties[i], properties[i+1])
		}
	}
	return h
}

// replied sends a reply and returns status, remark and header of the answer.
func (p *peer) replied(h *command.SendHeader, body string) (command.Status, string, command.SendResponse) {
	p.t.Helper()
	answer := p.call(command.SendReplyMessageV2, h, []byte(body))
	var r command.SendResponse
	if err := command.Decode(answer.Ext, &r); err != nil {
		p.t.Fatal(err)
	}
	return command.Status(answer.Code), string(answer.Remark), r
}

// A reply is pushed to the producer that it names, with what the broker adds, and stored without the time of that.
func TestReply(t *testing.T) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			d := openDoor(t, "flushDiskType", flush)
			_, got := d.requester("me", command.StatusSuccess)
			h := replyHeader("me", skua.PropUniqueKey, "U1", skua.PropCluster, "mine")
			h.SysFlag, h.Flag, h.BornTimestamp, h.ReconsumeTimes = 0x1, 7, 77, 2
			before := time.Now().UnixMilli()
			status, remark, r := d.peer.replied(h, "squeezed")
			if status != 0 || remark != "" || r.QueueID != 0 || r.QueueOffset != 0 || r.Region != "DefaultRegion" || !r.TraceOn {
				t.Errorf("%v %q %+v", status, remark, r)
			}
			p := <-got
			pushed, err := strconv.ParseInt(p.properties[skua.PropPushReplyTime], 10, 64)
			if err != nil || pushed < before || pushed > time.Now().UnixMilli() {
				t.Errorf("pushed at %d, %v", pushed, err)
			}
			delete(p.properties, skua.PropPushReplyTime)
			want := map[string]string{"CORRELATION_ID": "c1", "MSG_REGION": "DefaultRegion", "MSG_TYPE": "reply", "REPLY_TO_CLIENT": "me", "TRACE_ON": "true", "UNIQ_KEY": "U1"}
			if fmt.Sprint(p.properties) != fmt.Sprint(want) || p.body != "squeezed" {
				t.Errorf("pushed %v %q", p.properties, p.body)
			}
			if p.Topic != replyTopic || p.ProducerGroup != "P" || p.SysFlag != 1 || p.Flag != 7 || p.BornTimestamp != 77 || p.ReconsumeTimes != 2 ||
				!strings.HasPrefix(p.BornHost, "127.0.0.1:") || p.StoreHost != d.b.Advertised() || p.StoreTimestamp < before {
				t.Errorf("pushed %+v", p.ReplyHeader)
			}
			ms := d.peer.stored(replyTopic)
			if len(ms) != 1 || fmt.Sprint(record.ParseProperties(ms[0].Properties)) != fmt.Sprint(want) || string(ms[0].Body) != "squeezed" || ms[0].SysFlag != 1 || ms[0].Flag != 7 ||
				logOffset(t, string(r.MsgID)) != ms[0].LogOffset {
				t.Errorf("stored %+v, answered %s", ms, r.MsgID)
			}
		})
	}
}

// The long names of SEND_REPLY_MESSAGE, as a Java client sent them, and what Java answered.
func TestReplyByLongNames(t *testing.T) {
	d := openDoor(t)
	got := d.answerTo(rawFrame(command.SendReplyMessage, map[string]string{"queueId": "0", "producerGroup": "P_raw", "flag": "0", "sysFlag": "0", "reconsumeTimes": "0", "batch": "false",
		"topic": replyTopic, "unitMode": "false", "bornTimestamp": "1795225473591", "defaultTopic": "TBW102", "defaultTopicQueueNums": "4",
		"properties": "MSG_TYPE\x01reply\x02REPLY_TO_CLIENT\x01nobody\x02CORRELATION_ID\x01c1\x02"}, []byte("answer")))
	if got.Code != 1 || !strings.HasPrefix(got.Remark, "push reply message fail, channel of <nobody> not found.") || !strings.Contains(got.Remark, "connected to broker b: ") {
		t.Errorf("%+v", got)
	}
	ms := d.peer.stored(replyTopic)
	if len(ms) != 1 || logOffset(t, got.ExtFields["msgId"]) != ms[0].LogOffset {
		t.Fatalf("stored %v, answered %v", ms, got.ExtFields)
	}
	delete(got.ExtFields, "msgId")
	if want := map[string]string{"queueId": "0", "queueOffset": "0", "TRACE_ON": "true", "MSG_REGION": "DefaultRegion"}; fmt.Sprint(got.ExtFields) != fmt.Sprint(want) {
		t.Errorf("ext fields %v", got.ExtFields)
	}
}

// The requester may be the responder, on the same connection; and of several connections of one client the one that was
// heard of last gets the reply.
func TestReplyToOneself(t *testing.T) {
	d := openDoor(t)
	old, gotOld := d.requester("me", command.StatusSuccess)
	p, got := d.requester("me", command.StatusSuccess)
	for range 20 {
		if status, remark, _ := p.replied(replyHeader("me"), "x"); status != 0 {
			t.Fatalf("%v %s", status, remark)
		}
		<-got
	}
	if len(gotOld) > 0 {
		t.Error("the older connection got a reply")
	}
	p.pool.Close()
	until(t, "the other connection gets it", func() bool {
		status, _, _ := old.replied(replyHeader("me"), "x")
		return status == 0 && len(gotOld) > 0
	})
}

func TestReplyNotStored(t *testing.T) {
	d := openDoor(t, "storeReplyMessageEnable", "false")
	_, got := d.requester("me", command.StatusSuccess)
	if status, remark, r := d.peer.replied(replyHeader("me"), "x"); status != 0 || remark != "" || string(r.MsgID) != "0" || r.QueueOffset != 0 {
		t.Errorf("%v %q %+v", status, remark, r)
	}
	<-got
	if status, remark, r := d.peer.replied(replyHeader("you"), "x"); status != command.StatusSystemError || !strings.Contains(remark, "channel of <you> not found") || string(r.MsgID) != "0" {
		t.Errorf("%v %q %+v", status, remark, r)
	}
	// A store that takes nothing keeps no reply from its requester.
	d.set("storeReplyMessageEnable=true\nminFreeDiskSpace=1048576TB\n")
	status, remark, r := d.peer.replied(replyHeader("me"), "x")
	if status != 0 || !strings.HasPrefix(remark, "the requester has the reply; it is not stored: service not available now") || string(r.MsgID) != "0" {
		t.Errorf("%v %q %+v", status, remark, r)
	}
	<-got
	if status, remark, _ := d.peer.replied(replyHeader("you"), "x"); status != command.StatusSystemError || !strings.Contains(remark, "channel of <you> not found") || !strings.Contains(remark, "; it is not stored: ") {
		t.Errorf("%v %q", status, remark)
	}
	if ms := d.peer.stored(replyTopic); len(ms) > 0 {
		t.Errorf("stored %d", len(ms))
	}
}

// What goes wrong with a push, and replies that cannot be passed on at all.
func TestReplyRefusals(t *testing.T) {
	d := openDoor(t)
	d.requester("unwilling", command.StatusSystemError)
	consumer := d.connect(nil)
	consumer.must(command.HeartBeat, nil, &command.HeartbeatData{ClientID: "consumer", Consumers: []command.ConsumerData{{Group: "G", Type: command.ConsumePassively, Model: command.Clustering}}})
	dumb := d.connect(nil) // knows no requests
	dumb.must(command.HeartBeat, nil, &command.HeartbeatData{ClientID: "dumb", Producers: []command.ProducerData{{Group: "P"}}})
	refused := func(status command.Status, text string, h *command.SendHeader) {
		t.Helper()
		d.peer.refused(status, text, command.SendReplyMessageV2, h, []byte("x"))
	}
	refused(command.StatusSystemError, "push reply message to unwillingfail. It answered SYSTEM_ERROR: no room", replyHeader("unwilling"))
	refused(command.StatusSystemError, "push reply message to dumbfail. It answered REQUEST_CODE_NOT_SUPPORTED", replyHeader("dumb"))
	refused(command.StatusSystemError, "push reply message fail, channel of <consumer> not found. No producer", replyHeader("consumer"))
	refused(command.StatusSystemError, "reply message properties[REPLY_TO_CLIENT] is null: ", replyHeader(""))
	if n := len(d.peer.stored(replyTopic)); n != 4 {
		t.Errorf("%d replies are stored", n)
	}
	batch := replyHeader("dumb")
	batch.Batch = true
	refused(command.StatusMessageIllegal, "the message is illegal: a reply cannot be a batch", batch)
	refused(command.StatusMessageIllegal, "the message is illegal: a reply cannot be a transaction message", replyHeader("dumb", skua.PropTransactionPrepared, "true"))
	refused(command.StatusMessageIllegal, "timer message illegal, ", replyHeader("dumb", skua.PropTimerDelayMs, "soon"))
	unknown := replyHeader("dumb")
	unknown.Topic, unknown.DefaultTopic = []byte("None"), []byte("none")
	refused(command.StatusTopicNotExist, "topic[None] not exist, apply first please!", unknown)
	queue := replyHeader("dumb")
	queue.QueueID = 5
	refused(command.StatusInvalidParameter, "request queueId[5] is illegal", queue)
	if n := len(d.peer.stored(replyTopic)); n != 4 {
		t.Errorf("%d replies are stored", n)
	}
}

// silentRequester is a requester that says it is there and then reads nothing more.
func (d *door) silentRequester(id string) net.Conn {
	d.t.Helper()
	body, err := fastjson.Marshal(&command.HeartbeatData{ClientID: id, Producers: []command.ProducerData{{Group: "P"}}})
	if err != nil {
		d.t.Fatal(err)
	}
	raw := d.dialRaw()
	if answer := raw.exchange(rawFrame(command.HeartBeat, nil, body)); binary.BigEndian.Uint32(answer)>>24 != 0 || !bytes.Contains(answer, []byte(`"code":0`)) {
		d.t.Fatalf("%q", answer)
	}
	return raw.conn
}

// A requester that does not read holds up nobody, not even who replies to it: answers to others overtake.
func TestReplyToSilentRequester(t *testing.T) {
	d := openDoor(t, "storeReplyMessageEnable", "false")
	_, got := d.requester("me", command.StatusSuccess)
	silent := d.silentRequester("silent")
	conn, err := d.peer.pool.Conn(t.Context(), d.peer.addr)
	if err != nil {
		t.Fatal(err)
	}
	const n = 80 // more than there are workers
	failed := make(chan string, n)
	for range n {
		r := &wire.Request{Code: command.SendReplyMessageV2, Header: replyHeader("silent"), Body: make([]byte, 1<<18)}
		conn.Go(r, 20*time.Second, func(f *wire.Frame, err error) {
			if err != nil {
				failed <- err.Error()
				return
			}
			failed <- string(f.Remark)
		})
	}
	for i := range 100 {
		if status, remark, _ := d.peer.replied(replyHeader("me"), fmt.Sprint(i)); status != 0 {
			t.Fatalf("%v %s", status, remark)
		}
		<-got
	}
	if len(failed) == n {
		t.Error("all were answered: the requester must have read")
	}
	silent.Close()
	for range n {
		if text := <-failed; !strings.HasPrefix(text, "push reply message to silentfail. ") && !strings.HasPrefix(text, "push reply message fail, channel of <silent> not found.") {
			t.Error(text)
		}
	}
}
