package inspect

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// repair repairs a store and returns the folder of the copies.
func repair(t testing.TB, dir string, cut bool) string {
	t.Helper()
	r, err := Repair(context.Background(), dir, Options{}, RepairOptions{Do: true, Cut: cut, Now: time.Now(),
		Told: func(s string) { t.Log(strings.ReplaceAll(s, dir, "")) }})
	if err != nil {
		t.Fatal(err)
	}
	return r.Copies
}

// content is a checksum of each file of a store that Java knows, apart from the lock.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		if err != nil || rel == "skua" {
			if rel == "skua" {
				return fs.SkipDir
			}
			return err
		}
		if e.IsDir() || rel == "lock" {
			return nil
		}
		b, err := os.ReadFile(path)
		all[rel] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// scribble overwrites a part of a file.
func scribble(t testing.TB, path string, off int64, b []byte) {
	t.Helper()
	if err := overwrite(path, off, b); err != nil {
		t.Fatal(err)
	}
}

// garbage is n bytes that are nothing.
func garbage(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 3)
	}
	return b
}

// first is the first file whose path matches pattern.
func first(t testing.TB, dir, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	return paths[0]
}

// onlyFile is the file of a queue that has one only.
func onlyFile(t testing.TB, dir string) string {
	t.Helper()
	queues, err := filepath.Glob(filepath.Join(dir, "consumequeue/*/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if files, err := filepath.Glob(filepath.Join(q, "0*")); err == nil && len(files) == 1 {
			return files[0]
		}
	}
	t.Fatal("no queue has one file only")
	return ""
}

// thirdRecord is the log offset, in the file, of the third record of the log.
func thirdRecord(t testing.TB, dir string) (at, size int64) {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	r := d.reader()
	defer r.close()
	err = r.walk(d.log.begin(), d.log.begin()+d.log.size, d.log.begin()+d.log.size, func(s stretch) bool {
		n++
		at, size = s.off-d.log.begin(), s.n
		return n < 3
	})
	if err != nil || n < 3 {
		t.Fatal("there is no third record", err)
	}
	return at, size
}

// damages are all kinds of damage that verify must find and repair must mend, with what the findings must speak of.
var damages = []struct {
	name, kind string
	damage     func(t testing.TB, dir string)
}{
	{"body", "damage", func(t testing.TB, dir string) {
		at, _ := thirdRecord(t, dir)
		scribble(t, first(t, dir, "commitlog/0*"), at+90, []byte("XXXXXXXX"))
	}},
	{"size", "damage", func(t testing.TB, dir string) {
		at, _ := thirdRecord(t, dir)
		scribble(t, first(t, dir, "commitlog/0*"), at, []byte{0x7F})
	}},
	{"several records", "damage", func(t testing.TB, dir string) {
		at, _ := thirdRecord(t, dir)
		scribble(t, first(t, dir, "commitlog/0*"), at+10, garbage(20_000))
	}},
	{"zeros", "damage", func(t testing.TB, dir string) {
		at, _ := thirdRecord(t, dir)
		scribble(t, first(t, dir, "commitlog/0*"), at, make([]byte, 4096))
	}},
	{"beginning of the log", "damage", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "commitlog/0*"), 0, garbage(300))
	}},
	{"end of a file", "damage", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "commitlog/0*"), 200_000, garbage(62_144))
	}},
	{"last record", "entry", func(t testing.TB, dir string) {
		at := int64(834713-3*262144) - 60
		scribble(t, first(t, dir, "commitlog/0*786432"), at, garbage(60))
	}},
	{"queue offset", "entry", func(t testing.TB, dir string) {
		at, _ := thirdRecord(t, dir)
		scribble(t, first(t, dir, "commitlog/0*"), at+20, []byte{0, 0, 0, 0, 0, 0, 0x7F, 1})
	}},
	{"unit's offset", "entry", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "consumequeue/TopicA/0/0*"), 3*20+5, []byte{0x12, 0x34, 0x56})
	}},
	{"unit's tags", "entry", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "consumequeue/TopicA/0/0*"), 3*20+12, []byte{0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78})
	}},
	{"unit's size", "entry", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "consumequeue/TopicA/0/0*"), 3*20+8, []byte{0, 0, 0x12, 0x34})
	}},
	{"hole in a queue", "hole", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "consumequeue/TopicA/0/0*"), 3*20, make([]byte, 100))
	}},
	{"queue cleared", "hole", func(t testing.TB, dir string) {
		f := first(t, dir, "consumequeue/TopicA/0/0*")
		scribble(t, f, 0, make([]byte, 1000))
	}},
	{"queue removed", "entry", func(t testing.TB, dir string) {
		if err := os.RemoveAll(filepath.Join(dir, "consumequeue/TopicA/0")); err != nil {
			t.Fatal(err)
		}
	}},
	{"file of a queue truncated", "size", func(t testing.TB, dir string) {
		if err := os.Truncate(first(t, dir, "consumequeue/TopicA/0/0*"), 300); err != nil {
			t.Fatal(err)
		}
	}},
	{"only file of a queue truncated", "size", func(t testing.TB, dir string) {
		if err := os.Truncate(onlyFile(t, dir), 30); err != nil {
			t.Fatal(err)
		}
	}},
	{"first file of the log too short", "size", func(t testing.TB, dir string) {
		if err := os.Truncate(first(t, dir, "commitlog/0*"), 100_000); err != nil {
			t.Fatal(err)
		}
	}},
	{"file of the log too short", "size", func(t testing.TB, dir string) {
		if err := os.Truncate(first(t, dir, "commitlog/0*262144"), 100_000); err != nil {
			t.Fatal(err)
		}
	}},
	{"last file of the log too short", "size", func(t testing.TB, dir string) {
		if err := os.Truncate(first(t, dir, "commitlog/0*786432"), 834713-3*262144); err != nil {
			t.Fatal(err)
		}
	}},
	{"file of the log too long", "size", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "commitlog/0*262144"), 262144, garbage(100))
	}},
	{"index item", "index", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "index/2*"), 40+500*4+20*7, garbage(12))
	}},
	{"index slots", "index", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "index/2*"), 40, make([]byte, 2000))
	}},
	{"index head", "index", func(t testing.TB, dir string) {
		scribble(t, first(t, dir, "index/2*"), 0, garbage(40))
	}},
	{"index file removed", "index", func(t testing.TB, dir string) {
		if err := os.Remove(first(t, dir, "index/2*")); err != nil {
			t.Fatal(err)
		}
	}},
	{"checkpoint", "checkpoint", func(t testing.TB, dir string) {
		scribble(t, filepath.Join(dir, "checkpoint"), 0, []byte{0x7F})
	}},
}

func TestRepair(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			dir := unpack(t, "basic")
			d.damage(t, dir)
			before := content(t, dir)
			found, _ := verify(t, dir)
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.Kind == d.kind && f.File != "" }) {
				t.Fatalf("no finding of kind %q among %d: %v", d.kind, len(found), found)
			}
			dry, err := Repair(context.Background(), dir, Options{}, RepairOptions{})
			if err != nil || dry.Steps == 0 || !maps.Equal(content(t, dir), before) {
				t.Fatalf("a dry run plans %+v, %v, and must change nothing", dry, err)
			}
			copies := repair(t, dir, false)
			for _, f := range without(verify(t, dir)) {
				t.Errorf("still there: %v", f)
			}
			if err := Undo(copies, func(string) {}); err != nil {
				t.Fatal(err)
			}
			if after := content(t, dir); !maps.Equal(after, before) {
				t.Error("undone, the store is not what it was", different(before, after))
			}
		})
	}
}

// without drops findings that a repair leaves to the next start: keys that have no items any more.
func without(found []Finding, _ *Verified) []Finding {
	return slices.DeleteFunc(found, func(f Finding) bool { return f.Kind == "index" && strings.Contains(f.Detail, "are not in the index") })
}

func different(a, b map[string]string) (names []string) {
	for k := range a {
		if a[k] != b[k] {
			names = append(names, k)
		}
	}
	for k := range b {
		if a[k] == "" {
			names = append(names, k)
		}
	}
	return names
}
