package broker

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

// While what belongs to a topic is deleted nobody may create the topic: messages would be acknowledged and then lost.
func TestTopicIsNotMadeWhileItsQueuesAreDeleted(t *testing.T) {
	ts, err := openTopics(jsonfile.Place{Path: filepath.Join(t.TempDir(), "topics.json"), Journal: filepath.Join(t.TempDir(), "topics")}, nil, newStats(after(0)), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := ts.put(command.DefaultTopicConfig("T")); err != nil {
		t.Fatal(err)
	}
	calls := 0
	check := func() error {
		calls++
		if ts.change.TryLock() {
			ts.change.Unlock()
			t.Error("the topic could be created")
		}
		if ts.find("T") != nil {
			t.Error("the topic is still shown")
		}
		return nil
	}
	if err := ts.ifUnknown("T", check); err != nil || calls != 0 {
		t.Errorf("a known topic was taken for an unknown one: %v", err)
	}
	for _, had := range []bool{true, false} {
		if got, err := ts.drop("T", func(bool) error { return check() }); got != had || err != nil {
			t.Errorf("drop: %v %v, want %v", got, err, had)
		}
	}
	if err := ts.ifUnknown("T", check); err != nil || calls != 3 {
		t.Errorf("%d calls, want 3: %v", calls, err)
	}
}
