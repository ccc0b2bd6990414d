package compact

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestChoice compares a Choice with a map that knows everything.
func TestChoice(t *testing.T) {
	for range 200 {
		keys, n := 1+rand.IntN(300), rand.IntN(1000)
		c := NewChoice(int64(rand.IntN(20_000)), int64(n))
		newest, last := map[string]int64{}, int64(-1)
		all := make([]string, n)
		full := false
		for i := range all {
			all[i] = fmt.Sprint(rand.IntN(keys))
			if full {
				continue
			}
			if full = !c.Note([]byte(all[i]), int64(i)); full {
				if _, known := newest[all[i]]; known || len(newest) < leastKeys*7/8 {
					t.Fatalf("full after %d keys, of which this may be one", len(newest))
				}
				continue
			}
			newest[all[i]], last = int64(i), int64(i)
		}
		if c.Last() != last {
			t.Fatalf("the last is %d, want %d", c.Last(), last)
		}
		for i, key := range all {
			off, empty := int64(i), rand.IntN(5) == 0
			want := off > last || !empty && off >= newest[key]
			if got := c.Keep([]byte(key), off, empty); got != want {
				t.Fatalf("offset %d of %d, last %d, empty %v: kept is %v", off, n, last, empty, got)
			}
		}
		if !c.Keep([]byte("unknown"), 0, false) {
			t.Fatal("a key that has nothing new does not survive")
		}
	}
}

// What a Choice takes is what it was allowed to take.
func TestChoiceMemory(t *testing.T) {
	if c := NewChoice(24_000, 1<<40); len(c.slots)*slotSize > 24_000 {
		t.Errorf("%d bytes", len(c.slots)*slotSize)
	}
	if c := NewChoice(1<<30, 1000); len(c.slots) > 2000 {
		t.Errorf("%d slots for 1000 records", len(c.slots))
	}
}
