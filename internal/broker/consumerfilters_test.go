package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

func filtersIn(dir string) jsonfile.Place {
	return jsonfile.Place{Path: filepath.Join(dir, "config", "consumerFilter.json"), Journal: filepath.Join(dir, "skua", "filters")}
}

func openFilters(t *testing.T, dir string) *consumerFilters {
	t.Helper()
	var o Options
	conf.Defaults(&o)
	fs, err := openConsumerFilters(filtersIn(dir), &o, time.UnixMilli(5_000_000), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func subscription(topic, expression string, version int64) *command.SubscriptionData {
	return &command.SubscriptionData{Topic: topic, Expression: expression, ExpressionType: command.ExpressionSQL92, Version: version}
}

// Whenever a broker is killed, a filter that comes back is the one that marked messages last, with its birth. Others may be
// forgotten.
func TestKilledFiltersComeBackAsTheyWere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()
	fs := openFilters(t, dir)
	now := int64(10_000_000)
	back, compared := 0, 0
	for step := range 200 {
		now += rnd.Int64N(1000)
		at := time.UnixMilli(now)
		topic, group := fmt.Sprint("T", rnd.IntN(3)), fmt.Sprint("G", rnd.IntN(3))
		switch rnd.IntN(10) {
		case 0:
			if err := fs.file.Fold(); err != nil {
				t.Fatal(err)
			}
		case 1:
			fs.sweep(at, time.Duration(rnd.IntN(2000))*time.Millisecond, func(topic, group string) bool { return (len(topic)+int(topic[1])+int(group[1])+step)%2 == 0 })
		case 2:
			_ = fs.register(group, subscription(topic, "n = ", now), at, now)
		default:
			version := now
			if rnd.IntN(4) == 0 {
				version -= 5000
			}
			if err := fs.register(group, subscription(topic, fmt.Sprint("n = ", rnd.IntN(4)), version), at, now); err != nil {
				t.Fatal(err)
			}
		}
		if rnd.IntN(2) == 0 { // as after some time; else the next changes go into the journal
			if err := fs.file.Rewrite(func() any { return fs.saved(nil, nil) }, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		killed := t.TempDir()
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		again := openFilters(t, killed)
		for topic, groups := range again.table {
			for group, f := range groups {
				compared++
				live := fs.get([]byte(topic), []byte(group))
				if live == nil || live.err != nil || live.Expression != f.Expression || live.BornTime != f.BornTime {
					t.Fatalf("step %d: %s of %s comes back as %+v, was %+v", step, topic, group, f.ConsumerFilter, live)
				}
			}
		}
		if again.count > 0 {
			back++
		}
		if rnd.IntN(20) == 0 {
			dir, fs = killed, again
		}
	}
	if back < 30 || compared < 60 {
		t.Errorf("filters came back %d times, %d were compared", back, compared)
	}
}

// A filter is born later than any message is that was there, or on its way, when it came.
func TestFiltersAreBornLate(t *testing.T) {
	fs := openFilters(t, t.TempDir())
	now := time.UnixMilli(1_000_000)
	for last, want := range map[int64]int64{0: 1_002_000, 999_999: 1_002_000, 7_000_000: 7_002_000} {
		group := fmt.Sprint("G", last)
		if err := fs.register(group, subscription("T", "a = 1", 1), now, last); err != nil {
			t.Fatal(err)
		}
		f := fs.get([]byte("T"), []byte(group))
		if f.BornTime != want {
			t.Errorf("last message %d: born at %d, want %d", last, f.BornTime, want)
		}
		none := make([]byte, 14)
		for at, passes := range map[int64]bool{want - 1: true, want: true, want + 1: false} {
			if f.wants.extension(store.Extension{StoreTime: at, Filter: none}) != passes {
				t.Errorf("message stored at %d, born at %d: passes is %t", at, want, !passes)
			}
		}
		if !f.wants.extension(store.Extension{StoreTime: want + 1}) || !f.wants.extension(store.Extension{StoreTime: want + 1, Filter: none[:13]}) {
			t.Error("no bit map, or another one, decides")
		}
	}
}

func TestFilterLimits(t *testing.T) {
	fs := openFilters(t, t.TempDir())
	long := "a = '" + strings.Repeat("x", 60<<10) + "'"
	n := 0
	for ; n < 1000; n++ {
		if err := fs.register(fmt.Sprint("G", n), subscription("T", long, 1), time.UnixMilli(1), 1); err != nil {
			if want := "there are 273 filters with "; !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
			break
		}
	}
	if n != maxGroupFilterText/len(long) || fs.count != n || fs.text != n*len(long) {
		t.Errorf("%d filters, %d counted, %d bytes", n, fs.count, fs.text)
	}
	if err := fs.register("G1", subscription("T", "a = 1", 2), time.UnixMilli(1), 1); err != nil {
		t.Error(err)
	}
	if want := (n-1)*len(long) + 5; fs.text != want || fs.count != n {
		t.Errorf("%d filters with %d bytes, want %d", fs.count, fs.text, want)
	}
}

// The bit map of a message is made without allocation, and not at all if that takes too long.
func TestBitsOfMessages(t *testing.T) {
	fs := openFilters(t, t.TempDir())
	for i := range 3 {
		if err := fs.register(fmt.Sprint("G", i), subscription("T", fmt.Sprint("n > ", 10*i), 1), time.UnixMilli(1), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.register("Bad", subscription("T", "n >", 1), time.UnixMilli(1), 1); err != nil {
		t.Fatal(err)
	}
	m := &record.Message{Topic: []byte("T"), Properties: record.AppendProperty(nil, "n", "15")}
	dst := []byte("before")
	got := fs.bits(dst, m)
	if !bytes.HasPrefix(got, dst) || len(got) != len(dst)+14 {
		t.Fatalf("%x", got)
	}
	for i, want := range []bool{true, true, false} {
		if f := fs.get([]byte("T"), fmt.Append(nil, "G", i)); fs.bloom.Marked(got[len(dst):], f.Bloom.Positions) != want {
			t.Errorf("group %d: marked is %t", i, !want)
		}
	}
	memory := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { fs.bits(memory, m) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
	m.Topic = []byte("U")
	if got := fs.bits(nil, m); len(got) != 0 {
		t.Errorf("topic without filters: %x", got)
	}
	costly := "n = 1" + strings.Repeat(" OR n = 2", 900)
	for i := range 25 {
		if err := fs.register(fmt.Sprint("G", i), subscription("V", costly, 1), time.UnixMilli(1), 1); err != nil {
			t.Fatal(err)
		}
	}
	m.Topic = []byte("V")
	if got := fs.bits(nil, m); len(got) != 0 {
		t.Errorf("filters that cost too much: %x", got)
	}
}

// A file that is damaged keeps nobody from starting, but its previous version does not count.
func TestDamagedFilterFile(t *testing.T) {
	dir := t.TempDir()
	fs := openFilters(t, dir)
	for version := range int64(2) {
		if err := fs.register("G", subscription("T", fmt.Sprint("a = ", version), version+1), time.UnixMilli(1), 1); err != nil {
			t.Fatal(err)
		}
		if err := fs.file.Rewrite(func() any { return fs.saved(nil, nil) }, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	path := filtersIn(dir).Path
	if _, err := os.Stat(path + ".bak"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if again := openFilters(t, dir); again.count != 0 {
		t.Errorf("%d filters come back", again.count)
	}
	if again := openFilters(t, dir); again.count != 0 { // the file is whole again
		t.Errorf("%d filters come back", again.count)
	}
}
