package compact

import (
	"bytes"
	"slices"
	"testing"
)

func FuzzPlan(f *testing.F) {
	f.Add((&plan{drop: []int64{0, 104857460}, move: []int64{0}}).encode())
	f.Add((&plan{}).encode())
	f.Add([]byte("drop 00000000000000000000\nen"))
	f.Add([]byte("drop 0\nend\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePlan(b)
		if err != nil {
			return
		}
		again, err := decodePlan(p.encode())
		if err != nil || !slices.Equal(again.drop, p.drop) || !slices.Equal(again.move, p.move) {
			t.Errorf("%q becomes %+v, that becomes %+v, %v", b, p, again, err)
		}
		if bytes.HasPrefix(b, []byte("move")) && len(p.move) == 0 {
			t.Errorf("%q has no move", b)
		}
	})
}
