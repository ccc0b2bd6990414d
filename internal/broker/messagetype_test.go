package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// kinds are the properties that make a message of each kind.
var kinds = map[string][]string{
	"NORMAL":      {"KEYS", "k"},
	"FIFO":        {"__SHARDINGKEY", "s", "_SYS_MSG_PRIORITY_", "1", "__LITE_TOPIC", "l"},
	"DELAY":       {"DELAY", "1", "__SHARDINGKEY", "s"},
	"TRANSACTION": {"TRAN_MSG", "true", "TIMER_DELAY_SEC", "1"},
	"PRIORITY":    {"_SYS_MSG_PRIORITY_", "1", "__LITE_TOPIC", "l"},
	"LITE":        {"__LITE_TOPIC", "l"},
}

// kindHeader is the header of a message of a kind.
func kindHeader(topic, kind string) *command.SendHeader {
	h := sendHeader(topic, kinds[kind]...)
	if kind == "TRANSACTION" {
		h.SysFlag = record.FlagTransactionPrepared
	}
	return h
}

// Of each kind of messages and each type of topic: which fit, once the broker is told to look.
func TestMessagesOfTheWrongType(t *testing.T) {
	d := openDoor(t, "enableMixedMessageType", "true")
	types := []string{"NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY", "LITE", "UNSPECIFIED", "MIXED", ""}
	for _, of := range types {
		attributes := []string{"+message.type=" + of}
		if of == "" {
			attributes = nil
		}
		d.peer.createTopic("T"+of, 2, attributes...)
	}
	for of := range kinds {
		for _, topic := range types {
			d.peer.must(command.SendMessageV2, kindHeader("T"+topic, of), []byte("as in Java, nobody looks"))
		}
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("enableTopicMessageTypeCheck=true"))
	for of := range kinds {
		for _, topic := range types {
			h := kindHeader("T"+topic, of)
			want := topic
			if topic == "" {
				want = "NORMAL"
			}
			if of == want || topic == "MIXED" {
				d.peer.must(command.SendMessageV2, h, []byte("fits"))
				continue
			}
			d.peer.refused(13, fmt.Sprintf("TopicMessageType validate failed, the expected type is %s, but actual type is %s: topic T%s takes messages of the type %s, the message has ",
				want, of, topic, want), command.SendMessage, h, []byte("does not"))
		}
	}
}

func TestWrongTypeTellsTheCure(t *testing.T) {
	d := openDoor(t, "enableTopicMessageTypeCheck", "true")
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 4, WriteQueues: 3, Perm: 7, Order: true,
		FilterType: command.SingleTag, Attributes: "+message.type=FIFO"}, nil)
	h := sendHeader("T", "DELAY", "1")
	f := d.peer.call(command.SendMessageV2, h, []byte("x"))
	if want := "mqadmin updateTopic -b " + d.b.Advertised() + " -t T -r 4 -w 3 -p 7 -o true -a +message.type=DELAY"; !strings.HasSuffix(string(f.Remark), want) {
		t.Errorf("%s\nwant %s", f.Remark, want)
	}
	if !strings.Contains(string(f.Remark), "has a delay or a time of delivery") {
		t.Error(string(f.Remark))
	}
	d.peer.must(command.UpdateAndCreateTopic, &command.CreateTopicHeader{Topic: "T", ReadQueues: 4, WriteQueues: 3, Perm: 7, Order: true,
		FilterType: command.SingleTag, Attributes: "+message.type=DELAY"}, nil)
	d.peer.must(command.SendMessageV2, h, []byte("x"))
}

func TestTypesOfBatchesAndTheirMessages(t *testing.T) {
	d := openDoor(t, "enableTopicMessageTypeCheck", "true")
	d.peer.createTopic("Fifo", 1, "+message.type=FIFO")
	d.peer.createTopic("Packed", 1, "+message.type=FIFO", "+queue.type=BatchCQ")
	for _, topic := range []string{"Fifo", "Packed"} {
		h := sendHeader(topic, "UNIQ_KEY", "A")
		h.Batch = true
		body := func(second ...string) (b []byte) {
			b = record.AppendBatchItem(b, record.BatchItem{Body: []byte("1"), Properties: properties("__SHARDINGKEY", "s")})
			return record.AppendBatchItem(b, record.BatchItem{Body: []byte("2"), Properties: properties(second...)})
		}
		d.peer.must(command.SendBatchMessage, h, body("__SHARDINGKEY", "s"))
		d.peer.refused(13, "TopicMessageType validate failed, the expected type is FIFO, but actual type is NORMAL: topic "+topic+
			" takes messages of the type FIFO, message 1 of the batch has none of the properties", command.SendBatchMessage, h, body("K", "v"))
		d.peer.refused(13, "the message is illegal: record: batch is malformed", command.SendBatchMessage, h, []byte("garbage"))
	}
}

// Messages that the check leaves alone: those of bridges, retries, dead letters, what systems send, and recalls of topics that
// fit.
func TestTypesThatAreNotLookedAt(t *testing.T) {
	d := openDoor(t, "enableTopicMessageTypeCheck", "true", "recallMessageEnable", "true")
	d.peer.createTopic("Fifo", 1, "+message.type=FIFO")
	d.peer.createTopic("Delay", 1, "+message.type=DELAY")
	for _, topic := range []string{"%RETRY%G", "%DLQ%G", "TBW102"} {
		d.peer.must(command.SendMessageV2, sendHeader(topic, "DELAY", "1"), []byte("x"))
	}
	d.peer.must(command.SendMessageV2, sendHeader("Fifo", "TRANSFER_FLAG", "1"), []byte("x"))
	handle := sendResponse(t, d.peer.must(command.SendMessageV2, sendHeader("Delay", "TIMER_DELAY_SEC", "99"), []byte("x"))).RecallHandle
	d.peer.must(command.RecallMessage, &command.RecallHeader{Topic: "Delay", Handle: string(handle)}, nil)
	d.peer.refused(13, "TopicMessageType validate failed, the expected type is FIFO, but actual type is DELAY", command.RecallMessage,
		&command.RecallHeader{Topic: "Fifo", Handle: string(handle)}, nil)
	if d.peer.call(command.RecallMessage, &command.RecallHeader{Topic: "None", Handle: string(handle)}, nil).Code != int32(command.StatusTopicNotExist) {
		t.Error("recall in a topic that is not there")
	}
}
