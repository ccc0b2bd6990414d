package filter

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestBloomAsInJava(t *testing.T) {
	data, err := os.ReadFile("testdata/bloom.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if line[0] == '#' {
			continue
		}
		n++
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		rate, _ := strconv.Atoi(f[0])
		expected, _ := strconv.Atoi(f[1])
		b, err := NewBloom(rate, expected)
		if err != nil {
			t.Fatal(err)
		}
		if len(f) == 4 {
			if got := fmt.Sprintf("%d\t%d", b.hashes, b.Bits()); got != f[2]+"\t"+f[3] {
				t.Errorf("%d %%, %d groups: %s, in Java %s %s", rate, expected, got, f[2], f[3])
			}
			continue
		}
		at := b.positions(f[2])
		if got := strings.Trim(strings.ReplaceAll(fmt.Sprint(at), " ", ","), "[]"); got != f[3] {
			t.Errorf("%s: bits %s, in Java %s", f[2], got, f[3])
		}
		bitmap := make([]byte, b.Bits()/8)
		if b.Marked(bitmap, at) {
			t.Errorf("%s is marked in an empty map", f[2])
		}
		b.Mark(bitmap, at)
		if !b.Marked(bitmap, at) || !b.Valid(b.Bits(), at) {
			t.Errorf("%s is not marked, or not valid", f[2])
		}
		if got := hex.EncodeToString(bitmap); f[4] != "" && got != f[4] {
			t.Errorf("%s: map %s, in Java %s", f[2], got, f[4])
		}
	}
	if n < 300 {
		t.Fatalf("%d cases", n)
	}
}

func TestBloomOfOtherSettings(t *testing.T) {
	b, _ := NewBloom(20, 32)
	for _, at := range [][]int32{nil, {1, 2}, {1, 2, 112}, {-1, 2, 3}} {
		if b.Valid(112, at) {
			t.Errorf("%v is valid", at)
		}
	}
	if b.Valid(64, []int32{1, 2, 3}) || !b.Valid(112, []int32{1, 2, 3}) {
		t.Error("the length of the map does not matter")
	}
	if !b.Marked(make([]byte, 8), []int32{1, 2, 3}) {
		t.Error("a map of another length decides")
	}
	for _, bad := range [][2]int{{0, 1}, {100, 1}, {20, 0}, {20, 1_000_001}} {
		if _, err := NewBloom(bad[0], bad[1]); err == nil {
			t.Errorf("%v is allowed", bad)
		}
	}
}
