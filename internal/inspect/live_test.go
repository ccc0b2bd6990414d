package inspect

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

func openStore(t testing.TB, dir string) *store.Store {
	t.Helper()
	return openWith(t, store.Options{Dir: dir})
}

// openWith opens a store with small files.
func openWith(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(store.Options{Dir: o.Dir, Shared: o.Shared, SegmentSize: 64 << 10, QueueFileSize: 1000, IndexSlots: 500, IndexItems: 1000,
		MaxMessageSize: 16 << 10, StagingSize: 512 << 10, FlushInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const liveQueues = 4

// feed appends messages number from to number to, over all queues.
func feed(t testing.TB, s *store.Store, from, to int) {
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	for i := from; i < to; i++ {
		m := &record.Message{Topic: []byte("T"), QueueID: int32(i % liveQueues), Body: fmt.Append(nil, i, strings.Repeat("x", i%900)),
			BornTime: 1, BornHost: host, StoreHost: host,
			Properties: record.AppendProperties(nil, map[string]string{"TAGS": "A", "KEYS": fmt.Sprint("k", i), "UNIQ_KEY": fmt.Sprint("u", i)})}
		if _, err := s.Append(s.Queue("T", m.QueueID), m); err != nil {
			t.Error(err)
			return
		}
	}
}

// bodies reads all messages of a store.
func bodies(t testing.TB, s *store.Store) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for id := range int32(liveQueues) {
		q := s.Queue("T", id)
		for at := q.Min(); at < q.Max(); {
			var out store.ReadResult
			s.Read(q, store.ReadRequest{Offset: at, MaxMessages: 32}, &out)
			for _, b := range out.Records {
				m, _, err := record.Decode(b)
				if err != nil {
					t.Fatal(err)
				}
				all[string(m.Body)] = true
			}
			next := out.Next
			out.Release()
			if next <= at {
				t.Fatalf("a read at %d of queue %d leads to %d, %v", at, id, next, out.Status)
			}
			at = next
		}
	}
	return all
}

// What a running broker has not written yet, or writes while it is looked at, is no finding.
func TestVerifyRunning(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	feed(t, s, 0, 500)
	var work sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	work.Go(func() {
		for i := 500; ctx.Err() == nil && i < 200_000; i += 50 {
			feed(t, s, i, i+50)
		}
	})
	for range 5 {
		found, v := verify(t, dir)
		for _, f := range found {
			t.Error(f)
		}
		if v.Records < 500 {
			t.Errorf("%d records", v.Records)
		}
	}
	stop()
	work.Wait()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if sum, err := d.Summarize(); err != nil || sum.State != "running" || sum.LastUser != "Skua" || sum.Log.End != int64(s.Max()) {
		t.Errorf("%+v, %v; the log ends at %d", sum, err, s.Max())
	}
	if _, err := Repair(ctx, dir, Options{}, RepairOptions{}); err == nil {
		t.Error("a running store can be repaired")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found, _ := verify(t, dir); len(found) > 0 {
		t.Errorf("after the stop: %v", found)
	}
}

// killed is a copy of the directory of s as if its process had been killed. The ring goes first, as it may be drained
// meanwhile.
func killed(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return -strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if err := copyTree(filepath.Join(dir, e.Name()), filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// Killed: all messages are found, those too that only the ring has. With damage in the middle of the log Skua does not
// start; repaired, it has all but the messages that were hit.
func TestRepairKilled(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	feed(t, s, 0, 700)
	for deadline := time.Now().Add(20 * time.Second); s.Durable() < 3*65536; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) { // what is in the ring would be mended from there
			t.Fatal("the log does not get to the disk")
		}
	}
	feed(t, s, 700, 1000)
	copied := killed(t, dir)
	found, v := verify(t, copied)
	if len(found) > 0 || v.Records != 1000 {
		t.Fatalf("%d records, %v", v.Records, found)
	}
	d, err := Open(copied, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes are in the ring only", len(d.staged))

	// Every record of the first and third file that holds one of these places is hit.
	lost := map[string]bool{}
	r := d.reader()
	defer r.close()
	hits := []int64{1000, 2*d.log.size + 5000, 2*d.log.size + 30_000}
	for _, p := range d.parts() {
		if err := r.walk(p.from, p.to, p.file.start+d.log.size, func(s stretch) bool {
			for _, at := range hits {
				if s.kind == stretchRecord && at >= s.off && at < s.off+s.n {
					lost[string(s.msg.Body)] = true
				}
			}
			return s.kind != stretchTail
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range hits {
		scribble(t, d.log.path(at), at-d.log.startOf(at), []byte{0xFF})
		scribble(t, d.log.path(at), at-d.log.startOf(at)-2, []byte{0xFF, 0xFF})
	}
	if found, _ := verify(t, copied); len(found) == 0 {
		t.Fatal("the damage is not found")
	}
	repair(t, copied, false)
	if found, _ := verify(t, copied); len(without(found, nil)) > 0 {
		t.Errorf("still damaged: %v", found)
	}
	again := openStore(t, copied)
	got := bodies(t, again)
	for i := range 1000 {
		if body := fmt.Sprint(i) + strings.Repeat("x", i%900); !got[body] && !lost[body] {
			t.Errorf("message %d is lost", i)
		}
	}
	if len(got)+len(lost) != 1000 {
		t.Errorf("%d messages and %d lost ones", len(got), len(lost))
	}
	feed(t, again, 1000, 1100)
	if n := len(bodies(t, again)); n != len(got)+100 {
		t.Errorf("%d messages after 100 more", n)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if found, _ := verify(t, copied); len(found) > 0 {
		t.Errorf("after the stop: %v", found)
	}
}

// What is left of a ring that was cut, or lost its content, is moved away, so that a start goes on without it.
func TestRepairCutRing(t *testing.T) {
	for name, hurt := range map[string]func(path string) error{
		"cut": func(path string) error { return os.Truncate(path, 70_000) },
		"cleared": func(path string) error {
			info, err := os.Stat(path)
			if err == nil {
				scribble(t, path, layout.StagingHeadSize, make([]byte, info.Size()-layout.StagingHeadSize))
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			feed(t, openStore(t, dir), 0, 200)
			copied := killed(t, dir)
			if err := hurt(filepath.Join(copied, layout.OwnDir, layout.StagingFile)); err != nil {
				t.Fatal(err)
			}
			if d, err := Open(copied, Options{}); err != nil || len(d.staged) == 0 && !d.ringCut {
				t.Skip("all is in the files by now") // which the writer decides
			}
			if found, _ := verify(t, copied); len(found) == 0 {
				t.Fatal("the damage is not found")
			}
			repair(t, copied, false)
			s := openStore(t, copied)
			n := len(bodies(t, s))
			feed(t, s, 1000, 1100)
			if m := len(bodies(t, s)); m != n+100 {
				t.Errorf("%d messages, and %d after 100 more", n, m)
			}
		})
	}
}

// With --cut the log ends in front of the first damage.
func TestRepairCut(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir)
	feed(t, s, 0, 1000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	scribble(t, first(t, dir, "commitlog/0*65536"), 2000, garbage(100))
	copies := repair(t, dir, true)
	if found, _ := verify(t, dir); len(without(found, nil)) > 0 {
		for _, f := range found {
			t.Error(f)
		}
	}
	again := openStore(t, dir)
	got := bodies(t, again)
	n := 0
	for ; got[fmt.Sprint(n)+strings.Repeat("x", n%900)]; n++ {
	}
	if n == 0 || n != len(got) || again.Max() > 65536+2000 {
		t.Errorf("%d messages, of which the first %d without a gap; the log ends at %d", len(got), n, again.Max())
	}
	feed(t, again, 1000, 1010)
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Undo(copies, func(string) {}); err == nil || !strings.Contains(err.Error(), "since the repair") {
		t.Errorf("undone although a broker has run: %v", err)
	}

	fresh := t.TempDir()
	s = openStore(t, fresh)
	feed(t, s, 0, 1000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	scribble(t, first(t, fresh, "commitlog/0*65536"), 2000, garbage(100))
	damaged := content(t, fresh)
	if err := Undo(repair(t, fresh, true), func(string) {}); err != nil {
		t.Fatal(err)
	}
	if after := content(t, fresh); len(different(damaged, after)) > 0 {
		t.Errorf("undone, these differ: %v", different(damaged, after))
	}
}
