package broker

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

// The table must agree with a twin that keeps all that was ever said and searches it for each answer.
func TestBroadcastsAgainstNaiveTwin(t *testing.T) {
	type said struct {
		client  string
		queue   int32
		off     skua.QueueOffset
		proxied bool
		at      time.Time
	}
	const short, long = 120 * time.Second, 300 * time.Second
	rnd := rand.New(rand.NewPCG(5, 6))
	var b broadcasts
	var all []said
	now := after(0)
	online := map[string]bool{}
	last := func(client string) (s said, ok bool) {
		for i := len(all) - 1; i >= 0; i-- {
			if all[i].client == client {
				return all[i], true
			}
		}
		return s, false
	}
	furthest := func(client string, queue int32) skua.QueueOffset {
		off := noOffset
		for _, s := range all {
			if s.client == client && s.queue == queue {
				off = max(off, s.off)
			}
		}
		return off
	}
	for step := range 6000 {
		now = now.Add(time.Duration(rnd.IntN(10)) * time.Second)
		by := broadcastPull{fmt.Sprint("c", rnd.IntN(4)), rnd.IntN(2) == 0}
		queue, off := int32(rnd.IntN(2)), skua.QueueOffset(rnd.IntN(50)-1)
		online[fmt.Sprint("c", rnd.IntN(4))] = rnd.IntN(2) == 0
		switch rnd.IntN(8) {
		case 0:
			least := map[int32]skua.QueueOffset{}
			for client := range map[string]bool{"c0": true, "c1": true, "c2": true, "c3": true} {
				s, ok := last(client)
				if !ok {
					continue
				}
				silent := now.Sub(s.at)
				for q := range int32(2) {
					if f := furthest(client, q); f != noOffset && (online[client] || silent < short) {
						if had, ok := least[q]; !ok || f < had {
							least[q] = f
						}
					}
				}
				if online[client] && silent >= long || !online[client] && silent >= short {
					var rest []said
					for _, s := range all {
						if s.client != client {
							rest = append(rest, s)
						}
					}
					all = rest
				}
			}
			saved := map[int32]skua.QueueOffset{}
			b.gather(now, short, long, func(_, client string) bool { return online[client] }, func(_ offsetKey, q int32, off skua.QueueOffset) { saved[q] = off })
			if fmt.Sprint(saved) != fmt.Sprint(least) {
				t.Fatalf("step %d: saved %v, want %v", step, saved, least)
			}
		case 1, 2, 3:
			if off >= 0 {
				b.note("T", "G", queue, off, by, now)
				all = append(all, said{by.client, queue, off, by.proxied, now})
			}
		default:
			s, ok := last(by.client)
			want, wantMoved := noOffset, by.proxied && off < 0
			if ok {
				if wantMoved = s.proxied != by.proxied || by.proxied && off < 0; wantMoved {
					want = furthest(by.client, queue)
				}
			}
			if got, moved := b.begin("T", "G", queue, off, by); got != want || moved != wantMoved {
				t.Fatalf("step %d: %+v at %d of queue %d: %d %v, want %d %v", step, by, off, queue, got, moved, want, wantMoved)
			}
		}
	}
	b.forget(func(k offsetKey) bool { return k.group == "G" })
	if b.count != 0 || len(b.table) != 0 {
		t.Errorf("left over: %d, %v", b.count, b.table)
	}
}
