package record

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/skuamq/skua"
)

var nextHost = netip.MustParseAddrPort("127.0.0.1:10911")

// logOf returns records that lie one behind the other from off on, and where each begins.
func logOf(off skua.LogOffset, n int) (b []byte, at []int) {
	for i := range n {
		m := Message{Topic: []byte("T"), Body: fmt.Appendf(nil, "body %d", i), BornHost: nextHost, StoreHost: nextHost}
		at = append(at, len(b))
		b = Append(b, &m)
		Place(b[at[i]:], skua.QueueOffset(i), off+skua.LogOffset(at[i]), 1)
	}
	return b, at
}

// naiveNext tries every byte; -1 if there is no good record.
func naiveNext(b []byte, off skua.LogOffset) int {
	for i := range b {
		if m, _, err := Decode(b[i:]); err == nil && m.LogOffset == off+skua.LogOffset(i) && m.BodyIntact() {
			return i
		}
	}
	return -1
}

func TestNextFindsTheRecordBehindDamage(t *testing.T) {
	const off = 1 << 33
	whole, at := logOf(off, 4)
	for from := range at[3] {
		b := bytes.Clone(whole)
		clear(b[from:][:8])
		if got, err := Next(b, off, int64(len(b))); err != nil || got != naiveNext(b, off) {
			t.Errorf("damage at %d: found %d, %v, want %d", from, got, err, naiveNext(b, off))
		}
	}
}

func TestNextRefusesWhatDoesNotBelong(t *testing.T) {
	b, at := logOf(0, 3)
	for name, c := range map[string]struct {
		off  skua.LogOffset
		room int64
		edit func(b []byte)
		want int
		err  error
	}{
		"good":            {0, 1 << 20, func([]byte) {}, 0, nil},
		"elsewhere":       {7, 1 << 20, func([]byte) {}, len(b) - BlankSize + 1, ErrShort},
		"body":            {0, 1 << 20, func(b []byte) { b[bytes.Index(b, []byte("body"))]++ }, at[1], nil},
		"size too large":  {0, int64(len(b)), func(b []byte) { b[1] = 1 }, at[1], nil},
		"may be large":    {0, 1 << 25, func(b []byte) { b[1] = 1 }, 0, ErrShort},
		"size too small":  {0, 1 << 20, func(b []byte) { b[3] = 8 }, at[1], nil},
		"size negative":   {0, 1 << 20, func(b []byte) { b[0] = 0xFF }, at[1], nil},
		"magic":           {0, 1 << 20, func(b []byte) { b[7]++ }, at[1], nil},
		"two":             {0, 1 << 20, func(b []byte) { b[7]++; b[at[1]+30]++ }, at[2], nil},
		"all":             {0, 1 << 20, func(b []byte) { clear(b) }, len(b) - BlankSize + 1, ErrShort},
		"last, cut short": {0, 1 << 20, func(b []byte) { b[4]++; b[at[1]+4]++; b[at[2]+4]++ }, len(b) - BlankSize + 1, ErrShort},
	} {
		t.Run(name, func(t *testing.T) {
			b := bytes.Clone(b)
			c.edit(b)
			if got, err := Next(b, c.off, c.room); got != c.want || !errors.Is(err, c.err) {
				t.Errorf("found %d, %v; want %d, %v", got, err, c.want, c.err)
			}
		})
	}
}

// Bytes that come in pieces lead to the same place.
func TestNextInPieces(t *testing.T) {
	b, at := logOf(0, 3)
	clear(b[:40])
	for piece := 1; piece < len(b); piece += 7 {
		from, n := 0, piece
		for {
			got, err := Next(b[from:min(from+n, len(b))], skua.LogOffset(from), int64(len(b)-from))
			from += got
			if err == nil {
				break
			}
			n *= 2
		}
		if from != at[1] {
			t.Fatalf("pieces of %d: found %d, want %d", piece, from, at[1])
		}
	}
}

func FuzzNext(f *testing.F) {
	b, _ := logOf(5, 3)
	f.Add(b, int64(5))
	f.Add(b[3:], int64(8))
	f.Fuzz(func(t *testing.T, b []byte, off int64) {
		at, err := Next(b, skua.LogOffset(off), int64(len(b)))
		if at < 0 || at > len(b) {
			t.Fatalf("found %d of %d", at, len(b))
		}
		if want := naiveNext(b, skua.LogOffset(off)); err == nil && at != want || err != nil && want >= 0 && at > want {
			t.Fatalf("found %d, %v; want %d", at, err, want)
		}
	})
}
