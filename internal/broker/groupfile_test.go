package broker

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
)

func openGroupsIn(t testing.TB, dir string) *groups {
	t.Helper()
	at := jsonfile.Place{Path: filepath.Join(dir, "config", "subscriptionGroup.json"), Journal: filepath.Join(dir, "skua", "groups")}
	gs, err := openGroups(at, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return gs
}

func changeGroup(t testing.TB, gs *groups, c groupChange) {
	t.Helper()
	if err := gs.update(func(*command.GroupConfigWrapper) (*groupChange, error) { return &c, nil }); err != nil {
		t.Fatal(err)
	}
}

// Groups that were made, changed, removed or forbidden something are so after the process was killed, and after a stop.
func TestGroupsOfAKilledBroker(t *testing.T) {
	dir := t.TempDir()
	gs := openGroupsIn(t, dir)
	const n = 200
	for i := range n {
		c := command.DefaultGroupConfig(fmt.Sprint("G", i))
		c.RetryMaxTimes = int32(i)
		changeGroup(t, gs, groupChange{Put: []command.GroupConfig{c}})
	}
	forbid := func(bits map[string]int32) {
		changeGroup(t, gs, groupChange{Forbidden: map[string]map[string]int32{"G1": bits}})
	}
	forbid(map[string]int32{"T": forbidRead, "U": forbidRead})
	forbid(map[string]int32{"T": forbidRead})
	changeGroup(t, gs, groupChange{Drop: "G0"})
	journal := filepath.Join(dir, "skua", "groups")
	if _, err := os.Stat(journal); err != nil {
		t.Fatal("nothing is in the journal: ", err)
	}
	version := gs.all().DataVersion
	check := func(gs *groups) {
		t.Helper()
		if got := len(gs.names()); got != n-1+len(startGroups) || gs.all().DataVersion != version {
			t.Fatalf("%d groups of version %v, want %d of %v", got, gs.all().DataVersion, n-1+len(startGroups), version)
		}
		if g := gs.lookup("G1"); g == nil || g.mayRead([]byte("T")) || !g.mayRead([]byte("U")) || gs.lookup("G0") != nil {
			t.Error("G1 must not read T, and there is no G0")
		}
		if g := gs.lookup("G199"); g == nil || g.RetryMaxTimes != 199 {
			t.Error("G199 has lost its settings")
		}
	}
	check(gs)
	gs = openGroupsIn(t, dir)
	check(gs)
	if _, err := os.Stat(journal); err == nil {
		t.Error("the journal is left")
	}
	check(openGroupsIn(t, dir))
}

func BenchmarkCreateGroups(b *testing.B) {
	gs := openGroupsIn(b, b.TempDir())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		changeGroup(b, gs, groupChange{Put: []command.GroupConfig{command.DefaultGroupConfig(fmt.Sprint("G", i))}})
	}
}
