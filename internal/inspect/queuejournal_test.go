package inspect

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/layout"
)

// TestPending reads a journal of queues: what another session left does not count, nor what is in files.
func TestPending(t *testing.T) {
	session := layout.Session{7}
	units := func(logs ...int64) (b []byte) {
		for _, log := range logs {
			b = layout.AppendUnit(b, log, 100, 0)
		}
		return b
	}
	other := layout.Session{8}
	var b []byte
	const size = 400 // of a file
	for _, c := range []layout.Chunk{
		{Kind: layout.ChunkReset, Topic: other[:]},
		{Kind: layout.ChunkUnits, Topic: []byte("Old"), From: 5, Units: units(1000)},
		{Kind: layout.ChunkReset, Topic: session[:]},
		{Kind: layout.ChunkBegin},
		{Kind: layout.ChunkWhole},
		{Kind: layout.ChunkUnits, Topic: []byte("T"), Queue: 1, From: 5, Units: units(1000, 1100, 1200)},
		{Kind: layout.ChunkUnits, Topic: []byte("T"), Queue: 1, From: 7, Units: units(1300, 1400)}, // the third one anew
		{Kind: layout.ChunkUnits, Topic: []byte("T"), Queue: 2, From: 0, Units: units(1500)},
		{Kind: layout.ChunkUnits, Topic: []byte("Gone"), From: 0, Units: units(1600)},
		{Kind: layout.ChunkEnd, Topic: []byte("T"), Queue: 1, From: 6},
		{Kind: layout.ChunkEnd, Topic: []byte("T"), Queue: 2, From: 1},
		{Kind: layout.ChunkGone, Topic: []byte("Gone")},
	} {
		if n := len(c.Append(nil)); size-len(b)%size < n {
			b = append(b, make([]byte, size-len(b)%size)...)
		}
		b = c.Append(b)
	}
	dir := t.TempDir()
	b = append(b, make([]byte, size-len(b)%size)...)
	for at := 0; at < len(b); at += size {
		path := filepath.Join(dir, layout.OwnDir, layout.JournalDir, "0000000000000000"+string([]byte{'0' + byte(at/1000), '0' + byte(at/100%10), '0' + byte(at/10%10), '0'}))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b[at:min(at+size, len(b))], 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	d := &Dir{Path: dir, abort: &layout.Abort{Session: session}}
	if err := d.readPending(); err != nil {
		t.Fatal(err)
	}
	p := d.pending["T"][1]
	if p == nil || p.from != 6 || p.end() != 9 || len(d.pending["T"]) != 1 || len(d.pending["Old"])+len(d.pending["Gone"]) > 0 {
		t.Fatalf("%+v", d.pending)
	}
	for n, want := range map[int64]int64{6: 1100, 7: 1300, 8: 1400} {
		if u, ok := p.unit(n); !ok || u.log != want || u.off != n {
			t.Errorf("entry %d: %+v, %t", n, u, ok)
		}
	}
	if _, ok := p.unit(9); ok {
		t.Error("there is an entry behind the end")
	}
}
