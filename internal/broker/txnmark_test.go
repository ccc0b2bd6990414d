package broker

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua"
)

func TestTxnMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skua", "transactions")
	open := func() (*txnMark, skua.LogOffset, bool) {
		m, at, ok, err := openTxnMark(path)
		if err != nil {
			t.Fatal(err)
		}
		return m, at, ok
	}
	m, at, ok := open()
	if ok {
		t.Errorf("a new mark tells %d", at)
	}
	for _, want := range []skua.LogOffset{0, 7, 1 << 40} {
		if err := m.set(want); err != nil {
			t.Fatal(err)
		}
		if err := m.close(); err != nil {
			t.Fatal(err)
		}
		if m, at, ok = open(); !ok || at != want {
			t.Errorf("%d became %d, %v", want, at, ok)
		}
	}
	m.close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		bad := append([]byte(nil), data...)
		bad[i] ^= 4
		if err := os.WriteFile(path, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if m, at, ok := open(); ok {
			t.Errorf("with a damaged byte %d it tells %d", i, at)
		} else {
			m.close()
		}
	}
	if err := os.WriteFile(path, data[:5], 0o644); err != nil {
		t.Fatal(err)
	}
	if m, at, ok := open(); ok {
		t.Errorf("cut off it tells %d", at)
	} else {
		m.close()
	}
}
