package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// commitAs creates a group and stores an offset of it.
func (p *peer) commitAs(group, topic string, queue int32, off int64) {
	p.t.Helper()
	p.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig(group))
	p.must(command.UpdateConsumerOffset, &command.OffsetHeader{Group: []byte(group), Topic: []byte(topic), QueueID: queue, CommitOffset: off, HasCommit: true}, nil)
}

func TestOffsets(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	for range 3 {
		d.peer.send("T", "x")
	}
	d.peer.commitAs("G", "T", 0, 2)
	d.peer.commitAs("G", "T", 1, 0)
	d.restart()
	if a, b := d.peer.committed("G", "T", 0), d.peer.committed("G", "T", 1); a != 2 || b != 0 {
		t.Errorf("after restart %d and %d", a, b)
	}
	ask1 := func(code command.Code, h *command.OffsetHeader) int64 {
		var r command.OffsetResponse
		if err := command.Decode(d.peer.must(code, h, nil).Ext, &r); err != nil {
			t.Fatal(err)
		}
		return r.Offset
	}
	h := &command.OffsetHeader{Topic: []byte("T")}
	if lo, hi := ask1(command.GetMinOffset, h), ask1(command.GetMaxOffset, h); lo != 0 || hi != 3 {
		t.Errorf("min %d max %d", lo, hi)
	}
	nope := &command.OffsetHeader{Topic: []byte("Nope")}
	if lo, hi := ask1(command.GetMinOffset, nope), ask1(command.GetMaxOffset, nope); lo != 0 || hi != 0 {
		t.Errorf("of a topic that does not exist: min %d max %d", lo, hi)
	}
	var earliest command.TimestampResponse
	if err := command.Decode(d.peer.must(command.GetEarliestMsgStoretime, h, nil).Ext, &earliest); err != nil {
		t.Fatal(err)
	}
	ms := d.peer.stored("T")
	if earliest.Timestamp != ms[0].StoreTime {
		t.Errorf("earliest store time %d, want %d", earliest.Timestamp, ms[0].StoreTime)
	}
	if err := command.Decode(d.peer.must(command.GetEarliestMsgStoretime, nope, nil).Ext, &earliest); err != nil || earliest.Timestamp != -1 {
		t.Errorf("of a topic that does not exist: %d, %v", earliest.Timestamp, err)
	}
	for _, c := range []struct {
		at    int64
		upper string
		want  int64
	}{{0, "", 0}, {ms[2].StoreTime + 1, "", 3}, {ms[2].StoreTime, "UPPER", 2}, {ms[2].StoreTime + 1000, "upper", 2}} {
		if got := ask1(command.SearchOffsetByTimestamp, &command.OffsetHeader{Topic: []byte("T"), Timestamp: c.at, BoundaryType: []byte(c.upper)}); got != c.want {
			t.Errorf("offset by time %d %s is %d, want %d", c.at, c.upper, got, c.want)
		}
	}
}

func TestOffsetUpdatesAreChecked(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("TopicA", 2)
	d.peer.commitAs("G", "TopicA", 0, 1)
	c := d.dialRaw()
	for _, x := range []struct{ ext, want string }{
		{"consumerGroup=none&topic=TopicA&queueId=0&commitOffset=1", `"code":26`},
		{"consumerGroup=G&topic=Nope&queueId=0&commitOffset=1", `"remark":"Topic Nope not exist!`},
		{"consumerGroup=G&topic=TopicA", `"remark":"QueueId is null, topic is TopicA`},
		{"consumerGroup=G&topic=TopicA&queueId=0", `"remark":"Offset is null, topic is TopicA`},
		{"consumerGroup=G&topic=TopicA&queueId=2&commitOffset=1", `"code":29`},
		{"consumerGroup=G&topic=TopicA&queueId=-1&commitOffset=1", `"code":29`},
		{"consumerGroup=G&topic=TopicA&queueId=0&commitOffset=-7", `"code":29`},
		{"consumerGroup=G&topic=TopicA&queueId=0&commitOffset=99999999999999999999", `"code":29`},
	} {
		ext := map[string]string{}
		for _, kv := range strings.Split(x.ext, "&") {
			k, v, _ := strings.Cut(kv, "=")
			ext[k] = v
		}
		if answer := string(c.exchange(rawFrame(command.UpdateConsumerOffset, ext, nil))); !strings.Contains(answer, x.want) {
			t.Errorf("%s: %s, want %s", x.ext, answer, x.want)
		}
	}
	if off := d.peer.committed("G", "TopicA", 0); off != 1 {
		t.Errorf("refused updates changed the offset to %d", off)
	}
}

func TestNewGroupStartsWhereJavaSays(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	d.peer.send("T", "x")
	query := func(queue int32, zero bool) (command.Status, string) {
		f := d.peer.call(command.QueryConsumerOffset, &command.OffsetHeader{Group: []byte("New"), Topic: []byte("T"), QueueID: queue, SetZero: zero}, nil)
		return command.Status(f.Code), string(f.Remark) + f.Ext.String("offset")
	}
	for range 3 {
		if s, text := query(0, true); s != 0 || text != "0" {
			t.Errorf("first message in memory: %d %s", s, text)
		}
	}
	if s, text := query(1, true); s != 0 || text != "0" {
		t.Errorf("empty queue: %d %s", s, text)
	}
	if s, text := query(0, false); s != 22 || text != "Not found, do not set to zero, maybe this group boot first" {
		t.Errorf("not to be set to zero: %d %s", s, text)
	}
	if s, text := query(77, true); s != 22 || text != "Not found, V3_0_6_SNAPSHOT maybe this group consumer boot first" {
		t.Errorf("queue that does not exist: %d %s", s, text)
	}
	if n := d.log.count("group New is new on T: starting at 0 because"); n != 1 {
		t.Errorf("the start of a new group was logged %d times", n)
	}
}

func TestOffsetsFileIsJavas(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	d.peer.send("T", "x")
	d.peer.commitAs("G", "T", 0, 1)
	d.peer.must(command.PullMessage, pullHeader("T", 0), nil)
	d.close()
	data, err := os.ReadFile(filepath.Join(d.o.StorePathRootDir, "config", "consumerOffset.json"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(data)), "")
	for _, want := range []string{`"offsetTable":{"T@G":{0:1}}`, `"pullOffsetTable":{"T@G":{0:1}}`, `"groupTopicMap":{"G":["T"]}`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	d.start()
	if off := d.peer.committed("G", "T", 0); off != 1 {
		t.Errorf("read back %d", off)
	}
}

func TestOffsetsBehindTheEndAreTakenBack(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 2)
	for range 3 {
		d.peer.send("T", "x")
	}
	d.peer.commitAs("G", "T", 0, 99) // as left by a power cut that took messages with it
	d.peer.commitAs("H", "T", 0, 2)
	d.peer.commitAs("G", "T", 1, 7) // of a queue without any message nothing can be said
	d.restart()
	for _, c := range []struct {
		group string
		queue int32
		want  skua.QueueOffset
	}{{"G", 0, 3}, {"H", 0, 2}, {"G", 1, 7}} {
		if off := d.peer.committed(c.group, "T", c.queue); off != c.want {
			t.Errorf("%s queue %d: %d, want %d", c.group, c.queue, off, c.want)
		}
	}
	if n := d.log.count("lies behind the last message"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// A file as Java 5.5.0 leaves it.
const javaOffsets = `{
	"dataVersion":{
		"counter":3,
		"stateVersion":0,
		"timestamp":1795224515566
	},
	"groupTopicMap":{
		"GroupA":[
			"TopicB"
		]
	},
	"offsetTable":{
		"TopicB@GroupA":{
			0:19
		},
		"TopicA@GroupB":{
			0:1,
			1:11,
			2:21
		}
	},
	"pullOffsetTable":{
		"TopicB@GroupA":{
			0:40
		}
	}
}`

func TestConfigFilesFallBack(t *testing.T) {
	write := func(d *door, name, text string) {
		t.Helper()
		dir := filepath.Join(d.o.StorePathRootDir, "config")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := openDoor(t)
	for _, c := range []struct {
		name, main, bak string
		want            skua.QueueOffset // -1: does not start
	}{
		{"whole", javaOffsets, "", 21},
		{"cut", javaOffsets[:200], javaOffsets, 21},
		{"empty", "", javaOffsets, 21},
		{"only the copy is damaged", javaOffsets, "{", 21},
		{"both damaged", "{\"offsetTable\":{\"a\":[}", "x", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			d.close()
			write(d, "consumerOffset.json", c.main)
			write(d, "consumerOffset.json.bak", c.bak)
			if c.want < 0 {
				err := d.failsToStart()
				for _, want := range []string{"consumerOffset.json", "at byte 21", "repair"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error lacks %q: %v", want, err)
					}
				}
				write(d, "consumerOffset.json", javaOffsets)
				d.start()
				return
			}
			before := d.log.count("previous version is used")
			d.start()
			if off := d.peer.committed("GroupB", "TopicA", 2); off != c.want {
				t.Errorf("offset %d, want %d", off, c.want)
			}
			if warned := d.log.count("previous version is used") > before; warned != (c.main != javaOffsets) {
				t.Errorf("warned: %v", warned)
			}
		})
	}
}

func TestConfigOfNewerReleaseIsKept(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	d.close()
	path := filepath.Join(d.o.StorePathRootDir, "config", "topics.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), `"topicName":"T",`, `"topicName":"T","colour":{"of":"tomorrow"},`, 1)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.peer.createTopic("Other", 1)
	d.peer.createTopic("T", 2)
	if data, err = os.ReadFile(path); err != nil || !strings.Contains(string(data), "tomorrow") {
		t.Errorf("a member of a newer release was lost: %v", err)
	}
	if bak, err := os.ReadFile(path + ".bak"); err != nil || fmt.Sprint(len(bak)) == "0" {
		t.Errorf("no previous version: %v", err)
	}
}
