package broker_test

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
)

// Requests that a Java client sent to a Java 5.5.0 broker, and how that refused them.
func TestRefusalsAreJavas(t *testing.T) {
	d := openDoor(t, "brokerName", "broker-a")
	d.peer.createTopic("TopicA", 4)
	d.peer.createTopic("Compacted", 1, "+cleanup.policy=COMPACTION")
	d.peer.createTopic("Typed", 1, "+queue.type=SimpleCQ")
	for _, g := range []string{"G_push", "GroupB", "G_lite_pull"} {
		d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig(g))
	}
	for i := range 27 {
		h := sendHeader("TopicA")
		h.QueueID = int32(i / 17)
		d.peer.must(command.SendMessageV2, h, []byte("x"))
	}
	file, err := os.Open("testdata/refusals.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	peer := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var x struct {
			Code    int
			Remark  string
			Ext     map[string]string
			Request string
		}
		if err := json.Unmarshal(lines.Bytes(), &x); err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(x.Request)
		if err != nil {
			t.Fatal(err)
		}
		// Held pulls are not what this is about.
		frame = []byte(strings.Replace(string(frame), `"suspendTimeoutMillis":"20000"`, `"suspendTimeoutMillis":"00001"`, 1))
		got := d.answerTo(frame)
		if got.Code != x.Code || !strings.HasPrefix(peer.ReplaceAllString(got.Remark, "PEER"), peer.ReplaceAllString(x.Remark, "PEER")) {
			t.Errorf("%.200q\ngot  %d %q\nJava %d %q", frame, got.Code, got.Remark, x.Code, x.Remark)
		}
		if fmt.Sprint(got.ExtFields) != fmt.Sprint(x.Ext) {
			t.Errorf("%.200q\ngot  %v\nJava %v", frame, got.ExtFields, x.Ext)
		}
	}
	if err := lines.Err(); err != nil || n < 20 {
		t.Errorf("%d refusals, %v", n, err)
	}
}

// rawAnswer is the header of an answer.
type rawAnswer struct {
	Code      int
	Remark    string
	ExtFields map[string]string
}

// answerTo sends a frame as it is and returns the header of the answer. It reads code and remark of the compact form
// only.
func (d *door) answerTo(frame []byte) rawAnswer {
	d.t.Helper()
	answer := d.dialRaw().exchange(frame)
	mark := binary.BigEndian.Uint32(answer)
	header := answer[4 : 4+mark&0xFFFFFF]
	if mark>>24 == 0 {
		var r rawAnswer
		if err := json.Unmarshal(header, &r); err != nil {
			d.t.Fatal(err)
		}
		return r
	}
	remark := binary.BigEndian.Uint32(header[13:])
	return rawAnswer{Code: int(binary.BigEndian.Uint16(header)), Remark: string(header[17 : 17+remark])}
}
