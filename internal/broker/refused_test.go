package broker_test

import (
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
)

// What a store that takes nothing makes of the broker: sends are answered with reason, number and cure, runtime
// information has them, the log says it once, and consumers go on reading.
func TestRefusingBroker(t *testing.T) {
	d := openDoor(t)
	d.peer.send("T", "before")
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("minFreeDiskSpace=1048576TB\n"))
	for range 3 {
		answer := d.peer.call(command.SendMessageV2, &command.SendHeader{ProducerGroup: []byte("P"), Topic: []byte("T"), BornTimestamp: 1}, []byte("x"))
		if status := command.Status(answer.Code); status != command.StatusServiceNotAvailable {
			t.Fatalf("%v %s", status, answer.Remark)
		}
		for _, want := range []string{"service not available now. It may be caused by one of the following reasons: the broker's disk is full",
			"disk full", "bytes free, the least is 1152921504606846976 (minFreeDiskSpace)", "free space, or lower fileReservedTime", d.o.StorePathRootDir} {
			if !strings.Contains(string(answer.Remark), want) {
				t.Errorf("%q is missing in %s", want, answer.Remark)
			}
		}
	}
	if n := d.log.count("store refuses messages"); n != 1 {
		t.Errorf("said %d times", n)
	}
	info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	if state := info["storeState"]; !strings.HasPrefix(state, "refusing messages: disk full: ") || !strings.Contains(state, "minFreeDiskSpace") {
		t.Errorf("storeState is %q", state)
	}
	if got := d.peer.stored("T"); len(got) != 1 || string(got[0].Body) != "before" {
		t.Errorf("consumers read %d messages", len(got))
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("minFreeDiskSpace=0\n"))
	d.peer.send("T", "after")
	info = ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	if info["storeState"] != "accepting messages" || !strings.HasPrefix(info["putMessageDistributeTime"], "[<=0ms]:2 ") {
		t.Errorf("storeState is %q, put times %s", info["storeState"], info["putMessageDistributeTime"])
	}
}
