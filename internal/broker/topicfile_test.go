package broker

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

func openTopicsIn(t testing.TB, dir string) *topics {
	t.Helper()
	at := jsonfile.Place{Path: filepath.Join(dir, "config", "topics.json"), Journal: filepath.Join(dir, "skua", "topics")}
	ts, err := openTopics(at, nil, newStats(after(0)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

func putTopics(t testing.TB, ts *topics, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		c := command.DefaultTopicConfig(fmt.Sprint("T", i))
		c.ReadQueues = int32(i % 100)
		if err := ts.put(c); err != nil {
			t.Fatal(err)
		}
	}
}

func wantTopics(t testing.TB, ts *topics, from, to int) {
	t.Helper()
	if n := len(ts.names()); n != to-from {
		t.Fatalf("%d topics, want %d", n, to-from)
	}
	for i := from; i < to; i++ {
		if c := ts.find(fmt.Sprint("T", i)); c == nil || c.ReadQueues != int32(i%100) {
			t.Fatalf("topic %d is %+v", i, c)
		}
	}
}

// Changes that were acknowledged survive the end of the process at any moment: also when the journal ends in half a line,
// and when the file has some of its changes already.
func TestTopicsOfAKilledBroker(t *testing.T) {
	dir := t.TempDir()
	ts := openTopicsIn(t, dir)
	putTopics(t, ts, 0, 200)
	journal := filepath.Join(dir, "skua", "topics")
	if _, err := os.Stat(journal); err != nil {
		t.Fatal("nothing is in the journal: ", err)
	}
	if _, err := ts.drop("T0", func(bool) error { return nil }); err != nil {
		t.Fatal(err)
	}
	version := ts.version()
	torn := fmt.Sprintf("%08x {\"version\":{}", 77)
	left, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	left = append(left, torn...)
	if err := os.WriteFile(journal, left, 0o644); err != nil {
		t.Fatal(err)
	}
	ts = openTopicsIn(t, dir)
	wantTopics(t, ts, 1, 200)
	if ts.version() != version {
		t.Errorf("version %v, was %v", ts.version(), version)
	}
	// Killed between writing the file and removing the journal, with later changes of Java's in the file.
	putTopics(t, ts, 200, 201)
	if err := ts.saved.Fold(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journal, left, 0o644); err != nil {
		t.Fatal(err)
	}
	ts = openTopicsIn(t, dir)
	wantTopics(t, ts, 1, 201)
}

// The file is complete soon after the last change, and after a stop.
func TestTopicJournalIsFolded(t *testing.T) {
	dir := t.TempDir()
	ts := openTopicsIn(t, dir)
	putTopics(t, ts, 0, 50)
	if err := ts.saved.Fold(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "skua", "topics")); err == nil {
		t.Error("the journal is left")
	}
	wantTopics(t, openTopicsIn(t, dir), 0, 50)
}

// Name servers take what a broker registers for known when they have seen its version: one that is shown before its topics would
// hide them until the next change.
func TestVersionIsShownWithItsTopics(t *testing.T) {
	ts := openTopicsIn(t, t.TempDir())
	var wait sync.WaitGroup
	defer wait.Wait()
	var done atomic.Bool
	wait.Go(func() {
		defer done.Store(true)
		for i := range 300 {
			if err := ts.put(command.DefaultTopicConfig(fmt.Sprint("T", i))); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for !done.Load() {
		if all, version := ts.all(); version.Counter > int64(len(all)) {
			t.Fatalf("version %d with %d topics", version.Counter, len(all))
		}
	}
}

func BenchmarkCreateTopics(b *testing.B) {
	ts := openTopicsIn(b, b.TempDir())
	putTopics(b, ts, 0, 10000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		putTopics(b, ts, 10000+i, 10001+i)
	}
}
