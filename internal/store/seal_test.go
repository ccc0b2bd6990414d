package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// A seal tells of damage where the checksum of the body is blind.
func TestSealShowsDamage(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		o := small(t.TempDir())
		o.Seal = sealed
		s := open(t, o)
		appendN(t, s, "T", 0, 0, 10)
		closed(t, s)
		path := filepath.Join(o.Dir, layout.LogDir, segment.FileName(0))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[bytes.LastIndex(b, []byte("UNIQ_KEY\x01u9"))+len("UNIQ_KEY\x01")]++
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(o.Dir, layout.OwnDir)); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		want := 10
		if sealed {
			want--
		}
		if got := len(bodies(t, s, s.Queue("T", 0), 0)); got != want {
			t.Errorf("sealed %t: %d messages after the damage of the last one, want %d", sealed, got, want)
		}
	}
}

// A seal that came with a message is not taken for that of the record.
func TestForeignSealIsDropped(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	m := message("T", 0, "x")
	m.Properties = append(m.Properties, "__CRC32#\x011234567890\x02"...)
	r, err := s.Append(s.Queue("T", 0), m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Record(r.LogOffset)
	if err != nil {
		t.Fatal(err)
	}
	stored, _, _ := record.Decode(b)
	if found, _ := record.CheckSeal(b, &stored); found {
		t.Errorf("stored with properties %q", stored.Properties)
	}
}
