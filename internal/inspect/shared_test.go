package inspect

import (
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/store"
)

// The entries in the shared queue log are verified like those in files: of a running broker, of a killed one, and after a
// stop. Damage is found; a repair moves the shared log away, and the next start makes it again.
func TestSharedQueueLog(t *testing.T) {
	dir := t.TempDir()
	s := openWith(t, store.Options{Dir: dir, Shared: true})
	feed(t, s, 0, 700)
	clean := func(dir string, records int64) {
		t.Helper()
		if found, v := verify(t, dir); len(found) > 0 || v.Records != records {
			t.Fatalf("%d records, %v", v.Records, found)
		}
	}
	clean(dir, 700)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	clean(dir, 700)
	s = openWith(t, store.Options{Dir: dir, Shared: true})
	feed(t, s, 700, 900)
	clean(killed(t, dir), 900)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := d.Summarize(); err != nil || len(sum.Topics) != 1 || len(sum.Topics[0].Queues) != liveQueues || sum.Topics[0].Messages != 900 {
		t.Errorf("%+v, %v", sum.Topics, err)
	}

	scribble(t, filepath.Join(dir, layout.OwnDir, layout.SharedDir, "00000000000000000000"), 300, garbage(100))
	if found, _ := verify(t, dir); len(found) == 0 {
		t.Fatal("nothing is found")
	}
	repair(t, dir, false)
	s = openWith(t, store.Options{Dir: dir, Shared: true})
	if got := bodies(t, s); len(got) != 900 {
		t.Errorf("%d messages", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	clean(dir, 900)
}
