package broker_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
)

// smallDisk mounts a file system of its own, which takes privileges that tests may not have.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skip("cannot mount a tmpfs:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func remount(t *testing.T, dir string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, options); err != nil {
		t.Skip("cannot remount a tmpfs:", err)
	}
}

// A full disk refuses sends, keeps what was acknowledged, and lets sends pass again when there is space.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=24m")
	d := openDoor(t, "storePathRootDir", dir)
	body := make([]byte, 32<<10)
	send := func() refusalOf {
		answer := d.peer.call(command.SendMessageV2, sendHeader("T"), body)
		return refusalOf{command.Status(answer.Code), string(answer.Remark)}
	}
	stored := 0
	refused := send()
	for ; refused.status == command.StatusSuccess && stored < 2000; stored++ {
		refused = send()
	}
	if refused.status != command.StatusServiceNotAvailable {
		t.Fatalf("after %d messages: %+v", stored, refused)
	}
	for _, want := range []string{dir, "bytes", "free space"} {
		if !strings.Contains(refused.remark, want) {
			t.Errorf("%q is missing in: %s", want, refused.remark)
		}
	}
	answer := d.peer.must(command.GetMaxOffset, &command.OffsetHeader{Topic: []byte("T")}, nil)
	if got := answer.Ext.String("offset"); got != fmt.Sprint(stored) {
		t.Errorf("%s messages are there, %d were acknowledged", got, stored)
	}
	remount(t, dir, 0, "size=256m")
	until(t, "sends pass again", func() bool { return send().status == command.StatusSuccess })
}

// refusalOf is the outcome of a send.
type refusalOf struct {
	status command.Status
	remark string
}

// optionsIn are those of a broker on free ports with its files in dir.
func optionsIn(dir string) broker.Options {
	var o broker.Options
	conf.Defaults(&o)
	o.BrokerName, o.BindAddress, o.StorePathRootDir, o.ListenPort = "b", "127.0.0.1", dir, 0
	return o
}

func TestReadOnlyDisk(t *testing.T) {
	dir := smallDisk(t, "size=1m")
	remount(t, dir, unix.MS_RDONLY, "")
	_, err := broker.New(optionsIn(filepath.Join(dir, "store")), slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("the broker started")
	}
	for _, want := range []string{dir, "read-only", "storePathRootDir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// TestDirectoryOfAnotherUser: the error names the directory, who lacks the permission, and the cure.
func TestDirectoryOfAnotherUser(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	o := optionsIn(filepath.Join(dir, "store"))
	// To root everything is permitted: give that up for the file system, on this thread alone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Getuid() == 0 {
		if err := unix.Setfsuid(65534); err != nil {
			t.Skip(err)
		}
		defer unix.Setfsuid(0)
	}
	_, err := broker.New(o, slog.New(slog.DiscardHandler))
	if err == nil {
		t.Fatal("the broker started")
	}
	for _, want := range []string{dir, "permission denied", "the broker runs as user", fmt.Sprint(os.Getuid()), "choose another"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
}

// Each config file falls back to its .bak with a warning; the broker does not start without either.
func TestDamagedConfigFiles(t *testing.T) {
	d := openDoor(t)
	d.peer.send("T", "x")
	d.peer.send("T", "x", "DELAY", "1")
	until(t, "the delayed message is delivered", func() bool { return len(d.peer.stored("T")) == 2 })
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig("G"))
	d.peer.must(command.UpdateConsumerOffset, &command.OffsetHeader{Group: []byte("G"), Topic: []byte("T"), CommitOffset: 1, HasCommit: true, HasQueueID: true}, nil)
	d.restart()
	for _, name := range []string{"topics.json", "subscriptionGroup.json", "consumerOffset.json", "delayOffset.json"} {
		t.Run(name, func(t *testing.T) {
			d.close()
			path := filepath.Join(d.o.StorePathRootDir, "config", name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			put := func(main, bak string) {
				for path, text := range map[string]string{path: main, path + ".bak": bak} {
					if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			put("{\x00", "\xff")
			if err := d.failsToStart(); !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "repair the file") {
				t.Errorf("both are damaged: %v", err)
			}
			put("{\x00", string(whole))
			before := d.log.count("file=" + path)
			d.start()
			if d.log.count("file="+path) == before {
				t.Error("no warning")
			}
			if off := d.peer.committed("G", "T", 0); off != skua.QueueOffset(1) || len(d.peer.stored("T")) != 2 {
				t.Errorf("offset %d, %d messages", off, len(d.peer.stored("T")))
			}
		})
	}
}
