package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
)

// A broadcasting consumer keeps its offset itself. When it comes by a proxy the broker tells it where it was, and the other
// way round; one of whom nothing is known begins where the slowest member of its group is.
func TestBroadcastOffsets(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 1)
	for i := range 10 {
		d.peer.send("T", fmt.Sprint(i))
	}
	beat := consumer("one", "G", subscribe("T", "*"))
	beat.Consumers[0].Model = command.Broadcasting
	d.peer.must(command.HeartBeat, nil, beat)
	pull := func(off int64, proxied string) (status command.Status, remark string, next int64) {
		t.Helper()
		h := pullHeader("T", off)
		if proxied != "" {
			h.RequestSource, h.ProxyClientID = command.ProxyForBroadcast, []byte(proxied)
		}
		answer := d.peer.call(command.PullMessage, h, nil)
		return command.Status(answer.Code), string(answer.Remark), pullResponse(t, answer).NextOffset
	}
	check := func(what string, off int64, proxied string, status command.Status, remark string, next int64) {
		t.Helper()
		if s, r, n := pull(off, proxied); s != status || r != remark || n != next {
			t.Errorf("%s: %d %s, next %d; want %d %s, next %d", what, s, r, n, status, remark, next)
		}
	}
	check("directly", 3, "", 0, "FOUND", 10)
	check("directly, further", 4, "", 0, "FOUND", 10)
	check("then by a proxy that does not know the offset", -1, "one", 21, "OFFSET_RESET", 4)
	check("by the proxy at that offset", 4, "one", 0, "FOUND", 10)
	check("by the proxy, at the end", 10, "one", 19, "OFFSET_OVERFLOW_ONE", 10)
	check("directly again, at the offset of before", 4, "", 21, "OFFSET_RESET", 10)
	check("directly", 10, "", 19, "OFFSET_OVERFLOW_ONE", 10)
	check("a client that is new, by a proxy", -1, "two", 21, "OFFSET_RESET", 0)
	check("that one, on", 2, "two", 0, "FOUND", 10)

	d.b.GatherBroadcasts(time.Now()) // the least offset of one, 10, and two, 2
	offsets := ask[command.ConsumerOffsets](d.peer, command.GetAllConsumerOffset, nil, nil)
	if off := offsets.Offsets["T@G@broadcast"][0]; off != 2 {
		t.Errorf("offset of the group %d: %v", off, offsets.Offsets)
	}
	if got := ask[command.GroupList](d.peer, command.QueryTopicConsumeByWho, &command.TopicHeader{Topic: "T"}, nil).Groups; fmt.Sprint(got) != "[G]" {
		t.Errorf("groups of the topic %v", got)
	}
	check("a further one begins there", -1, "three", 21, "OFFSET_RESET", 2)
	d.restart()
	check("also after a restart", -1, "four", 21, "OFFSET_RESET", 2)

	d.peer.must(command.HeartBeat, nil, beat)
	check("directly", 7, "", 0, "FOUND", 10)
	d.b.GatherBroadcasts(time.Now().Add(119 * time.Second)) // four is not connected, but not silent for long enough
	check("four stays where it is", -1, "four", 21, "OFFSET_RESET", 2)
	d.b.GatherBroadcasts(time.Now().Add(121 * time.Second))
	check("four was forgotten, and begins where the group is", -1, "four", 21, "OFFSET_RESET", 7)
	check("one is remembered, since it is connected", 5, "one", 21, "OFFSET_RESET", 7)
	check("it comes back", 9, "", 21, "OFFSET_RESET", 7)
	d.b.GatherBroadcasts(time.Now().Add(301 * time.Second))
	check("one was silent for too long, and begins where it wants", 5, "one", 0, "FOUND", 10)

	d.peer.must(command.UpdateBrokerConfig, nil, []byte("enableBroadcastOffsetStore=false\n"))
	check("switched off", -1, "five", 21, "OFFSET_TOO_SMALL", 0)
}
