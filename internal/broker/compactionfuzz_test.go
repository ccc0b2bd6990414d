package broker

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/jsonfile"
)

// A position-checkpoint that can be read is written as what it was.
func FuzzPositions(f *testing.F) {
	f.Add([]byte("{\n\t\"empty\":true,\n\t\"queueOffsetMap\":{}\n}"))
	f.Add([]byte("{\"empty\":false,\"queueOffsetMap\":{\"T_0\":123,\"a_b_1\":-1}}"))
	f.Add([]byte("{queueOffsetMap:{\"T_0\":null}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "position-checkpoint")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := jsonfile.ReadCurrent[positions](path)
		if err != nil {
			return
		}
		if err := jsonfile.Write(path, p); err != nil {
			t.Fatal(err)
		}
		again, err := jsonfile.ReadCurrent[positions](path)
		if err != nil || again.Empty != p.Empty || !maps.Equal(again.Offsets, p.Offsets) {
			t.Errorf("%q becomes %+v, that becomes %+v, %v", b, p, again, err)
		}
	})
}
