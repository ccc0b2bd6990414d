package broker_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/store"
)

// slowDisk is a disk of which tests hold up the syncs of the log, and make them fail.
type slowDisk struct {
	mu   sync.Mutex
	hold chan struct{} // syncs wait until it is closed
	err  error
}

func (d *slowDisk) sync(path string) error {
	if !strings.Contains(path, "commitlog") {
		return nil
	}
	d.mu.Lock()
	hold := d.hold
	d.mu.Unlock()
	if hold != nil {
		<-hold
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func (d *slowDisk) set(hold chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hold, d.err = hold, err
}

// openFaulty starts a broker with SYNC_FLUSH on such a disk.
func openFaulty(t *testing.T) (*door, *slowDisk) {
	disk := new(slowDisk)
	d := openDoor(t)
	d.close()
	d.o.FlushDiskType, d.o.SyncFlushTimeout = "SYNC_FLUSH", 100
	d.o.EditStore(func(o *store.Options) { o.Faults.Sync = disk.sync })
	d.start()
	return d, disk
}

// A message that is not on disk within syncFlushTimeout is answered with FLUSH_DISK_TIMEOUT, and nobody gets to see it
// before it is.
func TestNotDurableIsNotVisible(t *testing.T) {
	d, disk := openFaulty(t)
	d.peer.send("T", "first", "KEYS", "k")
	hold := make(chan struct{})
	disk.set(hold, nil)
	answer := d.peer.call(command.SendMessageV2, sendHeader("T", "KEYS", "late"), []byte("second"))
	if s := command.Status(answer.Code); s != command.StatusFlushDiskTimeout {
		t.Fatalf("answered %s: %s", s, answer.Remark)
	}
	seen := func() (n int) {
		if d.peer.must(command.GetMaxOffset, &command.OffsetHeader{Topic: []byte("T")}, nil).Ext.String("offset") == "2" {
			n++
		}
		if len(d.peer.stored("T")) == 2 {
			n++
		}
		if a := d.peer.call(command.QueryMessage, &command.QueryMessageHeader{Topic: "T", Key: "late", Max: 9, End: 1 << 62}, nil); a.Code == 0 && bytes.Contains(a.Body, []byte("second")) {
			n++
		}
		first := d.peer.stored("T")[0]
		if a := d.peer.call(command.ViewMessageByID, &command.ViewMessageHeader{Offset: first.LogOffset + skua.LogOffset(first.Size)}, nil); a.Code == 0 {
			n++
		}
		return n
	}
	if n := seen(); n != 0 {
		t.Errorf("%d of 4 ways show a message that is not on disk", n)
	}
	close(hold)
	disk.set(nil, nil)
	until(t, "the message is visible in all ways", func() bool { return seen() == 4 })
}

// A failed sync ends all sends, with the reason and the cure in answers, log and runtime information.
func TestFailedSync(t *testing.T) {
	d, disk := openFaulty(t)
	d.peer.send("T", "first")
	disk.set(nil, syscall.EIO)
	for range 3 {
		answer := d.peer.call(command.SendMessageV2, sendHeader("T"), []byte("x"))
		if answer.Code == 0 {
			t.Fatal("a send succeeded")
		}
		for _, want := range []string{"input/output error", "restart"} {
			if !strings.Contains(string(answer.Remark), want) {
				t.Errorf("%s: %q is missing in %s", command.Status(answer.Code), want, answer.Remark)
			}
		}
		disk.set(nil, nil) // a later sync would succeed
	}
	if n := d.log.count("store refuses messages"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if body := string(d.peer.must(command.GetBrokerRuntimeInfo, nil, nil).Body); !strings.Contains(body, "input/output error") {
		t.Errorf("runtime information does not have the reason: %s", body)
	}
	if got := d.peer.stored("T"); len(got) != 1 || string(got[0].Body) != "first" {
		t.Errorf("%d messages can be read", len(got))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := d.b.Shutdown(ctx); err == nil {
		t.Error("the stop says that all is well")
	}
	<-d.done
	d.peer.pool.Close()
	d.start()
	d.peer.send("T", "after the restart")
}
