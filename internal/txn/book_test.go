package txn

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

// A pass looks at what is due, once and in order, and nothing else; Due tells when the next one is. The twin keeps a time
// for each half.
func TestLookAgainstTwin(t *testing.T) {
	const groups = 3
	names := [groups][]byte{[]byte("a"), []byte("b"), []byte("c")}
	type twin struct {
		done  bool
		due   int64 // earliest
		group int   // that it waits for; -1: none
	}
	for seed := range 12 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 7))
		begin := skua.QueueOffset(rnd.IntN(3000))
		b, now := NewBook(begin), int64(1)
		halves := make([]twin, begin)
		for i := range halves {
			halves[i].done = true
		}
		var revived Groups
		for range 60 {
			for range rnd.IntN(1500) {
				halves = append(halves, twin{due: now + 100, group: -1}) // stored now, fresh for 100 ms
			}
			for range rnd.IntN(1500) {
				if at := rnd.IntN(len(halves) + 1); at < len(halves) {
					if got := b.Mark(skua.QueueOffset(at)); got == halves[at].done {
						t.Fatalf("seed %d: mark of %d says %v", seed, at, got)
					}
					halves[at].done = true
				}
			}
			if rnd.IntN(4) == 0 {
				g := rnd.IntN(groups)
				b.Revive(GroupOf(names[g]))
				revived |= GroupOf(names[g])
			}
			now += int64(rnd.IntN(150))
			end := skua.QueueOffset(len(halves))
			last := skua.QueueOffset(-1)
			looked := map[skua.QueueOffset]bool{}
			for {
				at, ok := b.Look(now, end)
				if !ok {
					break
				}
				h := &halves[at]
				if at <= last || h.done || looked[at] {
					t.Fatalf("seed %d: looks at %d after %d, done: %v", seed, at, last, h.done)
				}
				last, looked[at] = at, true
				switch {
				case h.group == -1 && now < h.due:
					b.Stop(at, h.due)
				case rnd.IntN(3) == 0:
					h.done = true
					b.Mark(at)
				default:
					h.group = rnd.IntN(groups)
					h.due = now + int64(rnd.IntN(2000))
					b.Later(at, h.due, GroupOf(names[h.group]))
				}
			}
			waiting, first, due := int64(0), end, int64(never)
			for at := range halves {
				h := &halves[at]
				if h.done {
					continue
				}
				if waiting++; skua.QueueOffset(at) < first {
					first = skua.QueueOffset(at)
				}
				due = min(due, h.due)
				if missed := h.due <= now || h.group >= 0 && revived&GroupOf(names[h.group]) != 0 && !looked[skua.QueueOffset(at)]; missed && !looked[skua.QueueOffset(at)] {
					t.Fatalf("seed %d: %d was due at %d, now is %d, and was not looked at (waits for %d)", seed, at, h.due, now, h.group)
				}
			}
			revived = 0
			if b.First() != first || b.Waiting(end) != waiting || b.Next(begin, end) != first {
				t.Fatalf("seed %d: first %d, next %d, %d wait; want %d and %d", seed, b.First(), b.Next(begin, end), b.Waiting(end), first, waiting)
			}
			if got := b.Due(end); got > due {
				t.Fatalf("seed %d: the next pass is due at %d, a half at %d", seed, got, due)
			}
			for range 50 {
				if at := rnd.IntN(len(halves) + 1); at < len(halves) && b.Done(skua.QueueOffset(at)) != halves[at].done {
					t.Fatalf("seed %d: %d is done: %v", seed, at, !halves[at].done)
				}
			}
		}
	}
}

// A half that somebody holds is not looked at, but not forgotten either.
func TestLookPassesOverClaims(t *testing.T) {
	b := NewBook(0)
	if at, outcome := b.Claim(0, 0, 7); at != 0 || outcome != Claimed {
		t.Fatal(at, outcome)
	}
	if _, outcome := b.Claim(0, 0, 8); outcome != Busy || b.Settled(9) != 7 {
		t.Errorf("a second claim is %d, settled before %d", outcome, b.Settled(9))
	}
	at, ok := b.Look(1000, 2)
	if !ok || at != 1 {
		t.Errorf("looks at %d, %v", at, ok)
	}
	b.Later(1, 100_000, 0)
	if _, ok := b.Look(1000, 2); ok || b.Due(2) != 1000+busyWait {
		t.Errorf("pass goes on, or the next is due at %d", b.Due(2))
	}
	b.Release(0)
	if at, ok := b.Look(b.Due(2), 2); !ok || at != 0 {
		t.Errorf("looks at %d, %v", at, ok)
	}
}

// Halves that wait cost a bit and some, those that were ended nothing, and those that were stored again some tens of bytes
// each.
func TestMemory(t *testing.T) {
	const n = 200_000
	size := func(f func() *Book) int64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b := f()
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(b)
		return int64(after.HeapAlloc) - int64(before.HeapAlloc)
	}
	looked := size(func() *Book {
		b := NewBook(0)
		for {
			at, ok := b.Look(1, n)
			if !ok {
				return b
			}
			b.Later(at, never, 1)
		}
	})
	if looked > n*3/10 {
		t.Errorf("%d halves that were looked at take %d bytes", n, looked)
	}
	ended := size(func() *Book {
		b := NewBook(0)
		for at := range skua.QueueOffset(10 * n) {
			b.Mark(at ^ 1) // in no order
		}
		return b
	})
	if ended > 10_000 {
		t.Errorf("%d halves that were ended take %d bytes", 10*n, ended)
	}
	again := size(func() *Book {
		b := NewBook(0)
		for at := range skua.QueueOffset(n) {
			b.Claim(at, at, 0)
			b.Move(at, at, at+n)
		}
		return b
	})
	if again > 60*n {
		t.Errorf("%d halves that were stored again take %d bytes", n, again)
	}
	t.Logf("%d halves: %d bytes, %d when they were stored again; ten times as many that were ended: %d", n, looked, again, ended)
}

func TestSparse(t *testing.T) {
	b := NewBook(100)
	for at := range skua.QueueOffset(50) {
		b.Mark(101 + at*2) // 100, 102, ... 198 wait
	}
	for _, c := range []struct {
		end   skua.QueueOffset
		slack int64
		want  bool
	}{{200, 0, false}, {200, 10, false}} {
		if got := b.Sparse(c.end, c.slack); got != c.want {
			t.Errorf("to %d with %d: %v", c.end, c.slack, got)
		}
	}
	b.Mark(102)
	if !b.Sparse(200, 0) || b.Sparse(200, 2) {
		t.Error("49 of 100 wait")
	}
}

func TestAsked(t *testing.T) {
	a := Asked{Interval: 30 * time.Second}
	g, other := []byte("g"), []byte("other")
	at := skua.QueueOffset(0)
	ask := func(now int64) (n int) {
		for ; a.Room(g, now); n++ {
			a.Ask(g, at, now)
			at++
		}
		return n
	}
	if n := ask(0); n != firstRoom {
		t.Errorf("%d at first", n)
	}
	if !a.Room(other, 0) {
		t.Error("groups share their room")
	}
	woken := 0
	for i := range skua.QueueOffset(firstRoom) {
		if a.Answer(g, i) {
			woken++
		}
	}
	if woken != 1 || a.Answer(g, 3) || a.Answer(other, 3) {
		t.Errorf("%d times there was room again", woken)
	}
	if n := ask(1000); n != 2*firstRoom {
		t.Errorf("%d after all were answered", n)
	}
	if n := ask(20_000); n != 0 {
		t.Errorf("%d more while they wait", n)
	}
	for now, want := int64(31_000), firstRoom; now < 400_000; now += 31_000 {
		if n := ask(now); n != want {
			t.Errorf("at %d: %d, want %d", now, n, want)
		}
		want = max(want/2, leastRoom)
	}
	for range 5000 {
		ask(400_000)
		a.Answer(g, at-1)
	}
	if n := len(a.groups["g"].open); n > mostRoom || a.groups["g"].room != mostRoom {
		t.Errorf("%d open, room for %d", n, a.groups["g"].room)
	}
	for i := range at {
		a.Answer(g, i)
	}
	if a.Room(g, 500_000); len(a.groups) != 0 {
		t.Errorf("%d groups are kept of which none is asked", len(a.groups))
	}
}

func TestOps(t *testing.T) {
	var body []byte
	for _, at := range []skua.QueueOffset{0, 12, 7, 100000} {
		body = AppendOp(body, at)
	}
	if string(body) != "0,12,7,100000," {
		t.Errorf("body %q", body)
	}
	read := func(body []byte) (all []skua.QueueOffset) {
		EachOp(body, func(at skua.QueueOffset) { all = append(all, at) })
		return all
	}
	for text, want := range map[string]string{"0,12,7,100000,": "[0 12 7 100000]", "5": "[5]", "": "[]", ",,x,3,-4,99999999999999999999,4": "[3 4]"} {
		if got := fmt.Sprint(read([]byte(text))); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
	var parts []string
	for rest := body; len(rest) > 0; {
		var part []byte
		part, rest = CutOp(rest, 6)
		parts = append(parts, string(part))
	}
	if want := []string{"0,12,", "7,", "100000,"}; !slices.Equal(parts, want) {
		t.Errorf("cut %q, want %q", parts, want)
	}

	q := NewOpQueue(5)
	if q.Of(0) != 5 {
		t.Errorf("empty: %d", q.Of(0))
	}
	q.Add(5, []byte("1,9,"))
	q.Add(6, []byte("2,"))
	q.Add(7, nil)
	for _, x := range []struct{ first, want skua.QueueOffset }{{0, 5}, {9, 5}, {10, 8}, {11, 8}} {
		if got := q.Of(x.first); got != x.want {
			t.Errorf("of use from %d on when halves before %d are done, want %d", got, x.first, x.want)
		}
	}
}

func FuzzEachOp(f *testing.F) {
	for _, s := range []string{"1,2,3,", "5", ",,", "x,-1,0"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, size int) {
		var again []byte
		EachOp(body, func(at skua.QueueOffset) {
			if at < 0 {
				t.Fatalf("%q has %d", body, at)
			}
			again = AppendOp(again, at)
		})
		var whole []byte
		for rest := again; len(rest) > 0; {
			var part []byte
			if part, rest = CutOp(rest, max(size%100, 1)); len(part) == 0 {
				t.Fatalf("%q cannot be cut", again)
			}
			whole = append(whole, part...)
		}
		if string(whole) != string(again) {
			t.Fatalf("%q was cut into %q", again, whole)
		}
	})
}

// After a restart there is one place for each half that waits, however it came to be stored again.
func TestWalk(t *testing.T) {
	key := func(h Half, k string) *Half { h.UniqueKey = []byte(k); return &h }
	for _, c := range []struct {
		name   string
		first  skua.QueueOffset
		ops    string
		halves []*Half
		wait   []skua.QueueOffset // places that wait
		moved  map[skua.QueueOffset]skua.QueueOffset
	}{
		{"stored once", 0, "1,", []*Half{{Offset: 0}, nil, {Offset: 2, First: 2}}, []skua.QueueOffset{0, 2}, nil},
		{"stored again, killed before the op message", 0, "", []*Half{{Offset: 0}, {Offset: 1, First: 1}, {Offset: 2, First: 0, Marked: true}, {Offset: 3, First: 0, Marked: true}},
			[]skua.QueueOffset{1, 3}, map[skua.QueueOffset]skua.QueueOffset{0: 3}},
		{"stored again, the first place is done by its op message", 0, "0,", []*Half{nil, {Offset: 1, First: 0, Marked: true}}, []skua.QueueOffset{1}, map[skua.QueueOffset]skua.QueueOffset{0: 1}},
		{"stored again, the first place is before the saved offset", 5, "", []*Half{{Offset: 5, First: 2, Marked: true}}, []skua.QueueOffset{5}, map[skua.QueueOffset]skua.QueueOffset{2: 5}},
		{"Java left them alone", 0, "", []*Half{{Offset: 0}, {Offset: 1, First: 0}, {Offset: 2, First: 0}}, []skua.QueueOffset{2}, map[skua.QueueOffset]skua.QueueOffset{0: 2}},
		{"Java left one alone that was then ended under its first name", 0, "0,", []*Half{nil, {Offset: 1, First: 0}, {Offset: 2, First: 2}}, []skua.QueueOffset{2}, nil},
		{"the same, the first place is before the saved offset", 5, "2,", []*Half{{Offset: 5, First: 2}, {Offset: 6, First: 6}}, []skua.QueueOffset{6}, nil},
		{"Java asked about them and was killed", 0, "", []*Half{key(Half{Offset: 0}, "a"), key(Half{Offset: 1, First: 1}, "b"), key(Half{Offset: 2, First: 2, Checks: 1, Foreign: true}, "a"),
			key(Half{Offset: 3, First: 3, Checks: 2, Foreign: true}, "a")}, []skua.QueueOffset{1, 3}, map[skua.QueueOffset]skua.QueueOffset{0: 3, 2: 3}},
		{"the same key twice is two messages", 0, "", []*Half{key(Half{Offset: 0}, "a"), key(Half{Offset: 1, First: 1}, "a")}, []skua.QueueOffset{0, 1}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, keys := range []bool{false, true} {
				b := NewBook(c.first)
				w := b.NewWalk(keys)
				EachOp([]byte(c.ops), w.Op)
				for _, h := range c.halves {
					if h != nil && !b.Done(h.Offset) {
						w.Half(h)
					}
				}
				if w.Foreign() {
					continue
				}
				end := c.first + skua.QueueOffset(len(c.halves))
				var wait []skua.QueueOffset
				for at := b.Next(0, end); at < end; at = b.Next(at+1, end) {
					wait = append(wait, at)
				}
				if !slices.Equal(wait, c.wait) {
					t.Errorf("keys %v: %v wait, want %v", keys, wait, c.wait)
				}
				for name, want := range c.moved {
					if at, outcome := b.Claim(name, name, 0); at != want || outcome != Claimed {
						t.Errorf("keys %v: the half of %d is at %d (%d), want %d", keys, name, at, outcome, want)
					}
					b.Release(want)
				}
			}
		})
	}
}
