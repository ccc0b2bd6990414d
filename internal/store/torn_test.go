package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A write of the last record that ends at any sector, and leaves zeros or old bytes behind it, costs that record only.
func TestTornAtEachSector(t *testing.T) {
	o := small(quickDir(t))
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 10)
	m := message("T", 0, "10")
	m.Body = append(m.Body, strings.Repeat("x", 5000)...)
	r, err := s.Append(s.Queue("T", 0), m)
	if err != nil {
		t.Fatal(err)
	}
	s.flushCycle()
	crash(t, s)
	file := filepath.Join(o.Dir, "commitlog", fmt.Sprintf("%020d", 0))
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for end := int64(r.LogOffset); end < int64(r.End); end = end - end%sectorSize + sectorSize {
		for _, old := range []byte{0, 0xEE} {
			dir := quickDir(t)
			if err := os.CopyFS(dir, os.DirFS(o.Dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(dir, "skua")); err != nil {
				t.Fatal(err)
			}
			torn := append([]byte(nil), whole...)
			for i := end; i < int64(r.End); i++ {
				torn[i] = old
			}
			if err := os.WriteFile(filepath.Join(dir, "commitlog", filepath.Base(file)), torn, 0o644); err != nil {
				t.Fatal(err)
			}
			o := o
			o.Dir = dir
			s := open(t, o)
			if s.Max() != r.LogOffset {
				t.Fatalf("torn at %d: the log ends at %d, want %d", end, s.Max(), r.LogOffset)
			}
			wantBodies(t, s, "T", 0, 10)
			appendN(t, s, "T", 0, 10, 12)
			wantBodies(t, s, "T", 0, 12)
			closed(t, s)
		}
	}
}

// A start after a kill reads what came since the last checkpoint, whatever the size of the store.
func TestStartReadsLittle(t *testing.T) {
	scanned := func(n int) int64 {
		o := small(quickDir(t))
		s := open(t, o)
		appendN(t, s, "T", 0, 0, n)
		s.flushCycle()
		appendN(t, s, "T", 0, n, n+10)
		crash(t, s)
		s = open(t, o)
		wantBodies(t, s, "T", 0, n+10)
		return s.scanned
	}
	few, many := scanned(500), scanned(20_000)
	if many > 2*few+4096 {
		t.Errorf("a start read %d bytes of the log, with forty times as many messages %d", few, many)
	}
}
