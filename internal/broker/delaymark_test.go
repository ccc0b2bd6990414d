package broker

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

func TestDelayMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skua", "delayoffset")
	boot, other := []byte(strings.Repeat("a", bootIDSize)), []byte(strings.Repeat("b", bootIDSize))
	open := func(boot []byte) (*delayMark, map[int32]skua.QueueOffset) {
		m, left, err := openDelayMark(path, boot, 3)
		if err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(left, func(_ int32, next skua.QueueOffset) bool { return next == 0 })
		return m, left
	}
	m, left := open(boot)
	if len(left) != 0 {
		t.Errorf("new: %v", left)
	}
	for level, next := range map[int]skua.QueueOffset{1: 5, 3: 1 << 40} {
		if err := m.set(level, next); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.close(false); err != nil { // the process is killed
		t.Fatal(err)
	}
	m, left = open(boot)
	if want := map[int32]skua.QueueOffset{1: 5, 3: 1 << 40}; !maps.Equal(left, want) {
		t.Errorf("after a kill: %v", left)
	}
	if err := m.close(false); err != nil {
		t.Fatal(err)
	}
	m, left = open(other) // the machine was restarted
	if len(left) != 0 {
		t.Errorf("after a restart of the machine: %v", left)
	}
	if err := m.close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a clean stop leaves the file")
	}
	if m, _, err := openDelayMark(path, nil, 3); m != nil || err != nil || m.set(1, 1) != nil || m.close(true) != nil {
		t.Error("without a boot id there is no mark, and that is no error")
	}
	if err := os.WriteFile(path, append(slices.Clone(boot), 1, 2, 3), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, left := open(boot); len(left) != 0 {
		t.Errorf("torn: %v", left)
	}
}

func TestKilledProcessDeliversNothingAgain(t *testing.T) {
	b := newDelayBench(t)
	boot, path := []byte(strings.Repeat("a", bootIDSize)), filepath.Join(b.dir, "skua", "delayoffset")
	mark := func() map[int32]skua.QueueOffset {
		m, left, err := openDelayMark(path, boot, 2)
		if err != nil {
			t.Fatal(err)
		}
		b.schedule.mark = m
		t.Cleanup(func() { m.close(false) })
		return left
	}
	mark()
	b.park(1, "a")
	b.park(1, "b")
	b.advance(time.Second)
	b.saved = mark() // offsets were never saved
	b.reopen()
	b.advance(time.Second)
	if got := bodies(b.read()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
}

func FuzzOpenDelayMark(f *testing.F) {
	boot := strings.Repeat("a", bootIDSize)
	f.Add([]byte(boot + "\x00\x00\x00\x00\x00\x00\x00\x05"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		m, _, err := openDelayMark(path, []byte(boot), 2)
		if err != nil {
			t.Fatal(err)
		}
		m.close(true)
	})
}
