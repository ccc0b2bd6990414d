package inspect

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/compact"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// compactedStore makes a store with a compacted queue of several parts, and returns its directory and the paths of the parts.
func compactedStore(t *testing.T) (dir string, logs, units []string) {
	dir = t.TempDir()
	s := openStore(t, dir)
	feed(t, s, 0, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := compact.Options{Dir: dir, Log: slog.New(slog.DiscardHandler), Free: func(string) (int64, error) { return 1 << 40, nil }}
	o.LogSize, o.UnitsSize = compact.Sizes(8000, 40*layout.BatchUnitSize)
	ls := compact.New(o)
	defer ls.Close()
	l, err := ls.Open("T", 3, compact.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		m := &record.Message{Topic: []byte("T"), QueueID: 3, Body: fmt.Append(nil, "body ", i, strings.Repeat("x", i)), QueueOffset: skua.QueueOffset(2 * i),
			Properties: record.AppendProperties(nil, map[string]string{"KEYS": fmt.Sprint("k", i), "TAGS": "A"}),
			BornHost:   netip.MustParseAddrPort("127.0.0.1:1"), StoreHost: netip.MustParseAddrPort("127.0.0.1:2")}
		b := record.Append(nil, m)
		record.Place(b, m.QueueOffset, 5000, 1000)
		if err := l.Append([][]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	paths := func(kind string) []string {
		p, err := filepath.Glob(filepath.Join(dir, layout.CompactionDir, kind, "T", "3", "0*"))
		if err != nil || len(p) < 3 {
			t.Fatal(p, err)
		}
		return p
	}
	return dir, paths(layout.CompactionLogDir), paths(layout.CompactionUnitDir)
}

// edit changes a file.
func edit(t *testing.T, path string, change func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(b)
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The files of compacted queues are held against one another; each damage is found, with the file and the place.
func TestVerifyCompacted(t *testing.T) {
	second := func(b []byte) int { return int(binary.BigEndian.Uint32(b)) } // where the second record of a file begins
	for name, c := range map[string]struct {
		damage func(t *testing.T, logs, units []string)
		want   string // of the finding; "" for none
	}{
		"whole": {func(*testing.T, []string, []string) {}, ""},
		"body": {func(t *testing.T, logs, _ []string) {
			edit(t, logs[1], func(b []byte) { b[strings.Index(string(b), "body ")] ^= 1 })
		}, "does not match its checksum"},
		"record": {func(t *testing.T, logs, _ []string) {
			edit(t, logs[0], func(b []byte) { clear(b[second(b) : second(b)+40]) })
		}, "there should be the record of message 2"},
		"offset": {func(t *testing.T, logs, _ []string) {
			edit(t, logs[0], func(b []byte) { record.Move(b[second(b):], 0) })
		}, "says that it is at 0"},
		"place": {func(t *testing.T, _, units []string) {
			edit(t, units[0], func(b []byte) { b[layout.BatchUnitSize+7]++ })
		}, "the one before it ends at"},
		"order": {func(t *testing.T, _, units []string) {
			edit(t, units[0], func(b []byte) { binary.BigEndian.PutUint64(b[layout.BatchUnitSize+28:], 0) })
		}, "there was message 0 before"},
		"size": {func(t *testing.T, _, units []string) {
			edit(t, units[0], func(b []byte) { binary.BigEndian.PutUint32(b[8:], 1<<30) })
		}, "which is not possible"},
		"tags": {func(t *testing.T, _, units []string) {
			edit(t, units[2], func(b []byte) { b[19]++ })
		}, "says tags code"},
		"parts of two queues": {func(t *testing.T, logs, units []string) {
			for _, p := range [][]string{logs, units} {
				if err := os.Rename(p[0], p[1]); err != nil {
					t.Fatal(err)
				}
			}
		}, "the entry says that its record is at 0"},
		"cut": {func(t *testing.T, logs, _ []string) {
			if err := os.Truncate(logs[1], 100); err != nil {
				t.Fatal(err)
			}
		}, "has 100 bytes, the others have"},
		"no entries": {func(t *testing.T, _, units []string) { // a start makes them again
			if err := os.Remove(units[0]); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir, logs, units := compactedStore(t)
			c.damage(t, logs, units)
			found, v := verify(t, dir)
			switch {
			case c.want == "" && len(found) > 0:
				t.Error(found)
			case c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Detail, c.want) || !strings.Contains(found[0].Detail, "move both directories") || found[0].File == ""):
				t.Errorf("found %v, not one of %q", found, c.want)
			case name == "whole" && v.Compacted != 100:
				t.Errorf("%d records were looked at", v.Compacted)
			}
		})
	}
}
