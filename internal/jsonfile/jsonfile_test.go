package jsonfile

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/skuamq/skua/internal/command"
)

var quiet = slog.New(slog.DiscardHandler)

// shelf is a table: numbers by name.
type shelf struct {
	Version command.DataVersion `json:"dataVersion"`
	Numbers map[string]int      `json:"numbers"`
}

var shelves = Kind[shelf]{
	What:    "numbers",
	Version: func(s *shelf) *command.DataVersion { return &s.Version },
	Loaded: func(s *shelf) {
		if s.Numbers == nil {
			s.Numbers = map[string]int{}
		}
	},
	Clone: func(s shelf) shelf {
		s.Numbers = maps.Clone(s.Numbers)
		return s
	},
}

// put is a change of a shelf.
type put struct {
	Versioned
	Name   string `json:"name"`
	Number int    `json:"number"`
}

func (p *put) Apply(s *shelf) { s.Numbers[p.Name] = p.Number }

func in(dir string) Place {
	return Place{Path: filepath.Join(dir, "config", "numbers.json"), Journal: filepath.Join(dir, "own", "numbers")}
}

func open(t testing.TB, dir string) *Table[shelf] {
	t.Helper()
	table, err := OpenTable[shelf, put](in(dir), shelves, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func update(t testing.TB, table *Table[shelf], name string, number int) {
	t.Helper()
	shown := false
	err := table.Update(&put{Name: name, Number: number}, func(now *shelf) { shown = now.Numbers[name] == number })
	if err != nil || !shown {
		t.Fatalf("%v, shown: %v", err, shown)
	}
}

func content(table *Table[shelf]) (now shelf) {
	table.Read(func(s *shelf) { now = shelves.Clone(*s) })
	return now
}

// Whatever is copied from under a table at any moment has all that was shown before, whether that is in the file, in the journal or
// in both, and half a line more.
func TestTableOfAKilledProcess(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir)
	journals := 0
	for i := range 300 {
		update(t, table, fmt.Sprint(i%7), i)
		if i%50 == 17 {
			if err := table.Rewrite(func() any { return &table.saved }, func() {}); err != nil {
				t.Fatal(err)
			}
		}
		killed := t.TempDir()
		if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if f, err := os.OpenFile(in(killed).Journal, os.O_APPEND|os.O_WRONLY, 0); err == nil {
			journals++
			fmt.Fprintf(f, "%08x {\"version\":{", i)
			f.Close()
		}
		again := open(t, killed)
		if got, want := content(again), content(table); got.Version != want.Version || !maps.Equal(got.Numbers, want.Numbers) || got.Version.Counter != int64(i+1) {
			t.Fatalf("after %d changes %+v comes back, was %+v", i+1, got, want)
		}
		if _, err := os.Stat(in(killed).Journal); err == nil {
			t.Fatal("the journal is left")
		}
	}
	if journals < 100 {
		t.Errorf("the journal was used %d times", journals)
	}
}

// Changes that the file has already, because Java went on with it, are not made again.
func TestOldJournalDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir)
	update(t, table, "a", 1)
	update(t, table, "a", 2)
	old, err := os.ReadFile(in(dir).Journal)
	if err != nil {
		t.Fatal(err)
	}
	update(t, table, "a", 3)
	if err := table.Fold(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in(dir).Journal, old, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := content(open(t, dir)); got.Numbers["a"] != 3 || got.Version.Counter != 3 {
		t.Errorf("%+v comes back", got)
	}
}

// What cannot be saved is not shown, and changes nothing.
func TestFailedChangeIsNotShown(t *testing.T) {
	dir := t.TempDir()
	table := open(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), nil, 0o644); err != nil { // in the place of the folder
		t.Fatal(err)
	}
	err := table.Update(&put{Name: "a", Number: 1}, func(*shelf) { t.Error("shown") })
	if err == nil || !strings.HasPrefix(err.Error(), "numbers cannot be saved: ") {
		t.Errorf("error %v", err)
	}
	if got := content(table); len(got.Numbers) != 0 || got.Version.Counter != 0 {
		t.Errorf("changed to %+v", got)
	}
}

// When there were no changes for a while the file has everything, without anybody's doing.
func TestJournalIsFolded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		table := open(t, dir)
		for i := range 3 {
			if err := table.journal.Append(&put{Versioned{command.DataVersion{Counter: int64(i + 1)}}, "a", i}, false); err != nil {
				t.Fatal(err)
			}
		}
		stop := make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() { table.Keep(stop) })
		time.Sleep(foldAfter + time.Millisecond)
		synctest.Wait()
		if _, err := os.Stat(in(dir).Journal); err == nil {
			t.Error("the journal is left")
		}
		close(stop)
		wait.Wait()
	})
}

// A file that is missing or damaged is replaced by the previous version, which Write leaves.
func TestPreviousVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "f.json")
	if v, err := Read[[]int](path, quiet); v != nil || err != nil {
		t.Fatalf("no file: %v, %v", v, err)
	}
	for _, v := range [][]int{{1}, {2}, {3}} {
		if err := Write(path, v); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, number int, warned bool) {
		t.Helper()
		var log bytes.Buffer
		v, err := Read[[]int](path, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil || !slices.Equal(*v, []int{number}) || strings.Contains(log.String(), path+".bak") != warned {
			t.Errorf("%s: %v, %v, log %q", what, v, err, &log)
		}
	}
	want("whole", 3, false)
	if _, err := os.Stat(path + ".tmp"); err == nil {
		t.Error("the file that was written first is left")
	}
	for _, damage := range []string{"", "[3", " \n"} {
		if err := os.WriteFile(path, []byte(damage), 0o644); err != nil {
			t.Fatal(err)
		}
		want(fmt.Sprintf("%q", damage), 2, true)
	}
	if err := os.WriteFile(path+".bak", []byte("[2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read[[]int](path, quiet); err == nil || !strings.Contains(err.Error(), path+": is empty; repair the file") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Read[[]int](path, quiet); err == nil || !strings.Contains(err.Error(), path+".bak: ") {
		t.Errorf("error %v", err)
	}
}

// FuzzJournal: whatever the file holds, the lines that are read are whole ones in front of it, and it has them all.
func FuzzJournal(f *testing.F) {
	j := NewJournal(filepath.Join(f.TempDir(), "seed"))
	for i := range 3 {
		if err := j.Append(&put{Name: "n", Number: i}, false); err != nil {
			f.Fatal(err)
		}
	}
	seed, err := os.ReadFile(j.Path())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add(seed[:len(seed)-9])
	f.Add([]byte("00000000 \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		left := data
		for line := range wholeLines(data) {
			whole := fmt.Appendf(nil, "%08x %s", crc32.ChecksumIEEE(line), line)
			if len(left) < len(whole) || !bytes.EqualFold(left[:8], whole[:8]) || !bytes.Equal(left[8:len(whole)], whole[8:]) {
				t.Fatalf("%q is no line of %q", line, left)
			}
			left, _ = bytes.CutPrefix(left[len(whole):], []byte("\n"))
		}
		next, _, _ := bytes.Cut(left, []byte("\n"))
		if sum, rest, found := bytes.Cut(next, []byte(" ")); found && strings.EqualFold(string(sum), fmt.Sprintf("%08x", crc32.ChecksumIEEE(rest))) {
			t.Fatalf("%q was not read", next)
		}
	})
}
