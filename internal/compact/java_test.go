package compact

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/skuamq/skua/internal/segment"
)

// A Java broker was killed at each of the steps in which it replaces files.
func TestKilledJava(t *testing.T) {
	for k, more := 0, true; more; k++ {
		w := newTwin(t, 60)
		w.produce(300)
		if err := w.copy(); err != nil {
			t.Fatal(err)
		}
		steps := javaSteps(t, w)
		w.logs.Close()
		for _, step := range steps[:min(k, len(steps))] {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		w.furthest = int64(w.l.Next())
		more = k < len(steps)
		w.reopen(Trust{Doubt: true, Again: w.l.Next()})
		w.atLeast("killed", w.copied)
		w.check(fmt.Sprint("step ", k))
		if _, err := w.l.Pass(-1, func() bool { return false }); err != nil {
			t.Fatal(err)
		}
		w.passed = w.position
		w.check(fmt.Sprint("step ", k, " and a pass"))
	}
}

// javaSteps writes the files of a pass, and returns what Java does with them.
func javaSteps(t *testing.T, w *twin) (steps []func() error) {
	p := &pass{l: w.l, old: w.l.closed(), position: -1, stop: func() bool { return false }}
	for _, f := range []func() error{p.choose, p.decide, p.write} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
	}
	var old, fresh []string
	for _, x := range p.old {
		old = append(old, segment.FileName(x.start))
	}
	for _, x := range p.fresh {
		fresh = append(fresh, segment.FileName(x.start))
	}
	if len(old) < 3 || len(fresh) < 2 || slices.Equal(old, fresh) {
		t.Fatalf("%v becomes %v, which is no good test", old, fresh)
	}
	for _, dir := range []folder{w.l.logDir(), w.l.unitDir()} {
		in := func(name string) string { return filepath.Join(string(dir), name) }
		for _, name := range old {
			steps = append(steps, func() error { return os.Rename(in(name), in(name+deletedSuffix)) })
		}
		for _, name := range fresh {
			steps = append(steps, func() error { return os.Rename(filepath.Join(string(compacting(dir)), name), in(name)) })
		}
		for _, name := range old {
			steps = append(steps, func() error { return os.Remove(in(name + deletedSuffix)) })
		}
	}
	return steps
}

// FuzzFiles: whatever is in the files, they are opened, read and compacted, or refused with an error.
func FuzzFiles(f *testing.F) {
	w := newTwin(f, 5)
	w.produce(60)
	if err := w.copy(); err != nil {
		f.Fatal(err)
	}
	for _, p := range w.l.parts {
		data, err := os.ReadFile(p.log.Path(p.start))
		if err != nil {
			f.Fatal(err)
		}
		units, err := os.ReadFile(p.units.Path(p.start))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, units, false)
		f.Add(data, units[46:], true)
	}
	f.Fuzz(func(t *testing.T, data, units []byte, doubt bool) {
		w := newTwin(t, 1)
		defer w.logs.Close()
		for i, b := range [][]byte{data, units} {
			size := []int64{w.logs.LogSize, w.logs.UnitsSize}[i]
			dir := string([]folder{w.l.logDir(), w.l.unitDir()}[i])
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, start := range []int64{0, w.logs.LogSize} {
				path := filepath.Join(dir, segment.FileName(start))
				if err := os.WriteFile(path, b[:min(int64(len(b)), size)], 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, size); err != nil {
					t.Fatal(err)
				}
			}
		}
		l, err := w.logs.Open("T", 0, Trust{Doubt: doubt, Again: 1000})
		if err != nil {
			return
		}
		for _, off := range []int64{0, 10, 1 << 60} {
			readAll(l, off)
		}
		l.ByTime(100)
		l.Before(100)
		l.Last()
		_, _ = l.Pass(-1, func() bool { return false })
		_ = l.Truncate(5)
		readAll(l, 0)
	})
}
