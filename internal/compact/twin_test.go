package compact

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// twin is a log and a naive copy of what went into it.
type twin struct {
	t    testing.TB
	m    *machine
	logs *Logs
	l    *Log

	keys   int
	source []message // by queue offset
	copied int64     // what the log has acknowledged: offsets below it
	synced int64     // and what survives a loss of power

	position int64 // that is saved
	furthest int64 // of all passes that were begun
	highest  int64 // Next ever
	passed   int64 // every message up to it was looked at by a pass that ended well
}

type message struct {
	rec   []byte
	key   string
	empty bool
	none  bool // the offset is not used
}

func newTwin(t testing.TB, keys int) *twin {
	w := &twin{t: t, m: newMachine(t), keys: keys, position: -1, furthest: -1, passed: -1}
	w.reopen(Trust{})
	return w
}

func (w *twin) reopen(trust Trust) {
	w.t.Helper()
	o := Options{Dir: w.m.dir, MapBytes: 1, Faults: w.m.faults(), Log: slog.New(slog.DiscardHandler), Free: func(string) (int64, error) { return 1 << 40, nil }}
	o.LogSize, o.UnitsSize = Sizes(8000, 40*layout.BatchUnitSize)
	if w.logs != nil {
		w.logs.Close()
	}
	w.logs = New(o)
	l, err := w.logs.Open("T", 0, trust)
	if err != nil {
		w.t.Fatalf("open, %+v: %v", trust, err)
	}
	w.l = l
	w.position = min(w.position, int64(l.Next())-1) // what is copied again is new
	w.passed = min(w.passed, w.position)
}

// produce makes further messages.
func (w *twin) produce(n int) {
	for range n {
		off := skua.QueueOffset(len(w.source))
		x := message{key: fmt.Sprint("key", rand.IntN(w.keys)), empty: rand.IntN(10) == 0, none: rand.IntN(20) == 0}
		m := &record.Message{Topic: []byte("T"), Properties: record.AppendProperty(nil, skua.PropKeys, x.key), QueueOffset: off, StoreTime: int64(off) * 10,
			BornHost: netip.MustParseAddrPort("127.0.0.1:1"), StoreHost: netip.MustParseAddrPort("127.0.0.1:2")}
		if !x.empty {
			m.Body = make([]byte, 1+rand.IntN(300))
			for i := range m.Body {
				m.Body[i] = byte(rand.Int())
			}
		}
		x.rec = record.Append(nil, m)
		record.Place(x.rec, off, 1<<40+skua.LogOffset(off), m.StoreTime)
		w.source = append(w.source, x)
	}
}

// copy copies what the log has not.
func (w *twin) copy() error {
	var records [][]byte
	for _, x := range w.source[w.l.Next():] {
		if !x.none {
			records = append(records, x.rec)
		}
	}
	err := w.l.Append(records)
	w.highest = max(w.highest, int64(w.l.Next()))
	if err != nil {
		return err
	}
	w.l.Skip(skua.QueueOffset(len(w.source)))
	w.copied = int64(len(w.source))
	return nil
}

func (w *twin) sync() error {
	err := w.l.Sync()
	if err == nil {
		w.synced = w.copied
	}
	return err
}

func (w *twin) pass() error {
	w.furthest = int64(w.l.Next())
	for {
		r, err := w.l.Pass(skua.QueueOffset(w.position), func() bool { return false })
		if err != nil {
			return err
		}
		w.position = int64(r.Position)
		if !r.More {
			w.passed = max(w.passed, w.position)
			return nil
		}
	}
}

// check compares what the log has with what it should have at least and at most.
func (w *twin) check(what string) {
	w.t.Helper()
	next := int64(w.l.Next())
	there := map[int64]bool{}
	last := int64(-1)
	err := w.l.Read(0, 1000, func(u layout.BatchUnit, rec []byte) bool {
		x := w.source[u.Base]
		m, n, err := record.Decode(rec)
		switch {
		case err != nil || n != len(rec):
			w.t.Fatalf("%s: record %d: %v", what, u.Base, err)
		case u.Base <= last || u.Base >= next:
			w.t.Fatalf("%s: record %d after %d, the end is %d", what, u.Base, last, next)
		case x.none || string(Key(&m)) != x.key || string(m.Body) != string(x.rec[88:88+len(m.Body)]) || len(rec) != len(x.rec) || u.Time != u.Base*10:
			w.t.Fatalf("%s: record %d is another one: %+v, want %+v", what, u.Base, u, x)
		case int64(m.LogOffset) != u.Log:
			w.t.Fatalf("%s: record %d says that it is at %d, not %d", what, u.Base, m.LogOffset, u.Log)
		}
		last, there[u.Base] = u.Base, true
		return true
	})
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	newest, once := w.newest(), map[string]int64{}
	for off, x := range w.source[:next] {
		at := int64(off)
		switch {
		case x.none:
		case there[at]:
			if before, twice := once[x.key]; twice && at <= w.passed {
				w.t.Fatalf("%s: both %d and %d have %s, though a pass came up to %d", what, before, at, x.key, w.passed)
			}
			if x.empty && at <= w.passed {
				w.t.Fatalf("%s: %d is empty, though a pass came up to %d", what, at, w.passed)
			}
			if n := newest[x.key]; n < next && w.source[n].empty && !there[n] {
				w.t.Fatalf("%s: %d is there, though its key was deleted by %d, which is gone", what, at, n)
			}
			once[x.key] = at
		case at > w.furthest:
			w.t.Fatalf("%s: %d is gone, though no pass came to it", what, at)
		case newest[x.key] == at && !x.empty:
			w.t.Fatalf("%s: %d is gone, the newest of %s", what, at, x.key)
		}
	}
}

// newest are the offsets of the newest messages of each key, of those that were ever copied.
func (w *twin) newest() map[string]int64 {
	w.highest = max(w.highest, int64(w.l.Next()))
	out := map[string]int64{}
	for off, x := range w.source[:w.highest] {
		if !x.none {
			out[x.key] = int64(off)
		}
	}
	return out
}

// atLeast checks that the log has not forgotten what it acknowledged, before off.
func (w *twin) atLeast(what string, off int64) {
	w.t.Helper()
	newest := w.newest()
	for at := int64(w.l.Next()); at < off; at++ {
		x := w.source[at]
		if !x.none && (at > w.furthest || newest[x.key] == at && !x.empty) {
			w.t.Fatalf("%s: it ends at %d, but %d is below %d", what, w.l.Next(), at, off)
		}
	}
}

// crash ends the process, or the machine. The commit log has what was not synced, or more.
func (w *twin) crash(power bool) {
	w.t.Helper()
	w.m.err = func(string) error { return nil }
	again := rand.Int64N(w.synced + 1)
	if power {
		w.m.lose()
	} else if rand.IntN(2) == 0 {
		again = w.copied
	}
	w.reopen(Trust{Doubt: true, Again: skua.QueueOffset(again)})
	w.atLeast(fmt.Sprintf("power %v", power), again)
	w.check("after a crash")
	w.copied = int64(w.l.Next())
	w.synced = min(w.synced, w.copied)
}

func TestTwin(t *testing.T) {
	for run := range 12 {
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Parallel()
			w := newTwin(t, []int{3, 30, 300}[run%3])
			for range 60 {
				var err error
				switch n := rand.IntN(20); {
				case n < 8:
					w.produce(rand.IntN(120))
					err = w.copy()
				case n < 11:
					err = w.sync()
				case n < 15:
					err = w.pass()
				case n < 16:
					w.crash(false)
				case n < 17:
					w.crash(true)
				case n < 18: // the position was not saved
					w.position = min(w.position, rand.Int64N(w.position+2)-1)
				case n < 19:
					w.m.err = func(string) error {
						if rand.IntN(40) > 0 {
							return nil
						}
						return errors.New("the disk fails")
					}
				default:
					if w.m.err = func(string) error { return nil }; w.sync() == nil { // a stop
						w.reopen(Trust{})
						w.atLeast("stopped", w.copied)
					}
				}
				if err == nil && w.l.Mend() == nil {
					w.check("all went well")
				}
			}
			w.crash(false)
			if err := errors.Join(w.copy(), w.sync(), w.pass()); err != nil {
				t.Fatal(err)
			}
			w.check("at the end")
		})
	}
}

// The disk fails at each call in turn, once or from then on, which is as if the process were killed there; after that nothing
// is lost.
func TestEachCallFails(t *testing.T) {
	for _, on := range []bool{false, true} {
		for _, power := range []bool{false, true} {
			t.Run(fmt.Sprintf("on=%v,power=%v", on, power), func(t *testing.T) {
				t.Parallel()
				for at, more := 1+rand.IntN(2), true; more; at += 2 {
					w := newTwin(t, 20)
					calls := 0
					w.m.err = func(call string) error {
						if calls++; calls == at || on && calls > at {
							return fmt.Errorf("%s: %w", call, fs.ErrInvalid)
						}
						return nil
					}
					for range 3 {
						w.produce(100)
						_ = errors.Join(w.copy(), w.sync(), w.pass(), w.sync())
					}
					more = calls >= at
					w.crash(power)
					w.produce(10)
					if err := errors.Join(w.copy(), w.sync(), w.pass()); err != nil {
						t.Fatal(err)
					}
					w.check(fmt.Sprint("call ", at))
				}
			})
		}
	}
}

// readAll reads what there is from off on.
func readAll(l *Log, off int64) (n int, err error) {
	err = l.Read(skua.QueueOffset(off), 1000, func(layout.BatchUnit, []byte) bool { n++; return true })
	return n, err
}
