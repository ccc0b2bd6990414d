package broker_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/inspect"
)

// verified returns the findings of a broker's store.
func (d *door) verified() []inspect.Finding {
	d.t.Helper()
	dir, err := inspect.Open(d.o.StorePathRootDir, d.inspectOptions())
	if err != nil {
		d.t.Fatal(err)
	}
	var found []inspect.Finding
	if _, err := dir.Verify(context.Background(), inspect.VerifyOptions{Found: func(f inspect.Finding) {
		if !f.Note {
			found = append(found, f)
		}
	}}); err != nil {
		d.t.Fatal(err)
	}
	return found
}

func (d *door) inspectOptions() inspect.Options {
	return inspect.Options{IndexSlots: d.o.MaxHashSlotNum, IndexItems: d.o.MaxIndexNum}
}

func (p *peer) sendTo(topic string, queue int32, body string) {
	p.t.Helper()
	h := sendHeader(topic)
	h.QueueID = queue
	p.must(command.SendMessageV2, h, []byte(body))
}

func (p *peer) maxOffset(topic string, queue int32) string {
	p.t.Helper()
	return p.must(command.GetMaxOffset, &command.OffsetHeader{Topic: []byte(topic), QueueID: queue}, nil).Ext.String("offset")
}

// Messages of a topic that was deleted and made again with fewer queues are no finding, and a repair does not bring them
// back. Queues that are missing are made again.
func TestDeletedTopicIsNoFinding(t *testing.T) {
	d := openDoor(t)
	p := d.peer
	p.createTopic("T", 4)
	for i := range 40 {
		p.sendTo("T", int32(i%4), "old")
	}
	p.must(command.DeleteTopicInBroker, &command.TopicHeader{Topic: "T"}, nil)
	p.createTopic("T", 2)
	p.sendTo("T", 0, "new")
	p.sendTo("T", 1, "new")
	if found := d.verified(); len(found) > 0 {
		t.Errorf("while it runs: %v", found)
	}
	d.close()
	if found := d.verified(); len(found) > 0 {
		t.Errorf("after the stop: %v", found)
	}

	dir := d.o.StorePathRootDir
	notes := filepath.Join(dir, "skua/deleted")
	if err := os.Rename(notes, notes+".kept"); err != nil {
		t.Fatal(err)
	}
	if found := d.verified(); len(found) > 0 { // the settings of the topics tell
		t.Errorf("without notes: %v", found)
	}
	if err := os.Rename(notes+".kept", notes); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "consumequeue/T/0")); err != nil {
		t.Fatal(err)
	}
	if found := d.verified(); len(found) != 1 || !strings.Contains(found[0].Detail, "queue T/0, but the queue has no entries") {
		t.Errorf("with a queue missing: %v", found)
	}
	if _, err := inspect.Repair(context.Background(), dir, d.inspectOptions(), inspect.RepairOptions{Do: true, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	d.start()
	d.peer.createTopic("T", 4)
	for id, want := range []string{"1", "1", "0", "0"} {
		if got := d.peer.maxOffset("T", int32(id)); got != want {
			t.Errorf("queue %d ends at %s, want %s", id, got, want)
		}
	}
	if all := d.peer.stored("T"); len(all) != 1 || string(all[0].Body) != "new" {
		t.Errorf("%d messages in queue 0", len(all))
	}
}
