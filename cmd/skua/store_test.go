package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// smallStore makes a store of 300 messages.
func smallStore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(store.Options{Dir: dir, SegmentSize: 64 << 10, QueueFileSize: 1000, IndexSlots: 500, IndexItems: 1000, MaxMessageSize: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	for range 300 {
		m := &record.Message{Topic: []byte("T"), Body: make([]byte, 500), BornHost: host, StoreHost: host,
			Properties: record.AppendProperties(nil, map[string]string{"KEYS": "k"})}
		if _, err := s.Append(s.Queue("T", 0), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStoreCommands(t *testing.T) {
	dir := smallStore(t)
	config := filepath.Join(t.TempDir(), "broker.conf")
	text := "mappedFileSizeCommitLog=65536\nmaxHashSlotNum=500\nmaxIndexNum=1000\nstorePathCommitLog=" + filepath.Join(dir, "commitlog") + "\n"
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want string
	}{
		{"inspect DIR", "stopped; last used by Skua"},
		{"inspect DIR --json", `"messages":300`},
		{"inspect DIR -c CONFIG", "stopped; last used by Skua"},
		{"stat DIR", "300"},
		{"stat DIR --since 2000-01-01T00:00:00Z --until 5", "all"},
		{"dump DIR --limit 1", "topic=T queue=0 queueOffset=0"},
		{"dump DIR/consumequeue --limit 1 --json", `{"number":0,"log":0,`},
		{"verify DIR", "300 records (175.5 KiB), 1 queues with 300 entries, 300 index entries: 0 findings"},
		{"repair DIR", "nothing to repair"},
	} {
		args := strings.Fields("store " + strings.NewReplacer("DIR", dir, "CONFIG", config).Replace(c.args))
		if out, _, err := command(t, "", args...); err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.args, err, out)
		}
	}
	for args, want := range map[string]string{
		"inspect /nowhere":             "no such file",
		"stat DIR --step 0s":           "less than a millisecond",
		"stat DIR --since yesterday":   "is no time",
		"dump DIR --body octal":        "octal",
		"dump DIR/lock":                "--kind",
		"repair":                       "takes one file or directory, not 0: skua store repair DIR",
		"inspect":                      "takes one file or directory, not 0: skua store inspect DIR",
		"dump A B":                     "takes one file or directory, not 2: skua store dump FILE|DIR",
		"bogus":                        "unknown command \"bogus\" for \"skua store\"",
		"repair DIR --undo X":          "no other directory",
		"repair --undo DIR/skua/x":     "is not the folder of a repair",
		"verify DIR --delay-levels 5x": "messageDelayLevel",
	} {
		if out, _, err := command(t, "", strings.Fields("store "+strings.ReplaceAll(args, "DIR", dir))...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\n%s", args, err, out)
		}
	}
}

func TestStoreRepairAndUndo(t *testing.T) {
	dir := smallStore(t)
	log := filepath.Join(dir, "commitlog", "00000000000000065536")
	f, err := os.OpenFile(log, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("damage"), 10_000); err != nil {
		t.Fatal(err)
	}
	out, _, err := command(t, "", "store", "verify", dir)
	if !errors.Is(err, errFindings) || !strings.Contains(out, log+" at byte") {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, _, err = command(t, "", "store", "repair", dir); err != nil || !strings.Contains(out, "nothing was changed") {
		t.Errorf("repair: %v\n%s", err, out)
	}
	if out, _, err = command(t, "", "store", "repair", "--yes", dir); err != nil {
		t.Fatalf("repair --yes: %v\n%s", err, out)
	}
	folder := strings.TrimSpace(out[strings.LastIndex(out, "--undo ")+len("--undo "):])
	if out, _, err := command(t, "", "store", "verify", dir); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, _, err := command(t, "", "store", "repair", "--undo", folder); err != nil {
		t.Errorf("undo: %v\n%s", err, out)
	}
	if out, _, err := command(t, "", "store", "verify", dir, "--json"); !errors.Is(err, errFindings) {
		t.Errorf("verify: %v\n%s", err, out)
	}
}
