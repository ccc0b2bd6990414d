package broker_test

import (
	"testing"

	"github.com/skuamq/skua/internal/command"
)

// Files of the log go while a consumer is in the middle of them: it is told where to go on.
func TestPullOfWhatRetentionTook(t *testing.T) {
	d := openDoor(t, "mappedFileSizeCommitLog", "65536", "deleteFileBatchMax", "100", "deleteCommitLogFilesInterval", "0")
	body := string(make([]byte, 1000))
	for range 500 {
		d.peer.send("T", body)
	}
	pull := func(off int64) (status command.Status, h command.PullResponse) {
		t.Helper()
		answer := d.peer.call(command.PullMessage, &command.PullHeader{Group: []byte("G"), Topic: []byte("T"), QueueOffset: off, MaxMessages: 4,
			SysFlag: command.PullSubscription, Subscription: []byte("*")}, nil)
		if err := command.Decode(answer.Ext, &h); err != nil {
			t.Fatal(err)
		}
		return command.Status(answer.Code), h
	}
	status, h := pull(0)
	if status != command.StatusSuccess || h.NextOffset != 4 {
		t.Fatalf("%v, next %d", status, h.NextOffset)
	}
	until(t, "the log is on disk", func() bool {
		return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table["remainHowManyDataToFlush"] == "0 B"
	})
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("maxStoreSize=256K\n"))
	status, h = pull(h.NextOffset)
	if status != command.StatusPullOffsetMoved || h.NextOffset != h.MinOffset || h.MinOffset < 100 || h.MaxOffset != 500 {
		t.Fatalf("%v, next %d, from %d to %d", status, h.NextOffset, h.MinOffset, h.MaxOffset)
	}
	for next := h.NextOffset; next < 500; next = h.NextOffset {
		if status, h = pull(next); status != command.StatusSuccess || h.NextOffset <= next {
			t.Fatalf("at %d: %v, next %d", next, status, h.NextOffset)
		}
	}
	info := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	if info["commitLogMinOffset"] == "0" || d.log.count("commit log files removed before their time") != 1 {
		t.Errorf("log begins at %s, and says: %d", info["commitLogMinOffset"], d.log.count("commit log files removed"))
	}
	for _, code := range []command.Code{command.DeleteExpiredCommitLog, command.CleanExpiredConsumequeue, command.CleanUnusedTopic} {
		d.peer.must(code, nil, nil)
	}
	// What is gone is not found by its offset, either.
	d.peer.refused(command.StatusSystemError, "can not find message by the offset, 0", command.ViewMessageByID,
		&command.ViewMessageHeader{}, nil)
}
