package store

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/layout"
)

// failer makes one call to the disk fail, or all from it on.
type failer struct {
	mu     sync.Mutex
	n, at  int // calls so far, and the one that fails; 0: none
	on     bool
	err    error
	failed []string // the calls that did
}

func (f *failer) check(call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
	if f.at == 0 || f.n < f.at || f.n > f.at && !f.on {
		return nil
	}
	f.failed = append(f.failed, call)
	return f.err
}

func (f *failer) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = 0
}

// fatal reports whether one of the calls that failed must have ended the run.
func (f *failer) fatal() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.failed, func(call string) bool {
		op, path, _ := strings.Cut(call, " ")
		switch op {
		case "sync", "syncfs": // notes of deleted topics may be given up, as checkpoints
			return !strings.Contains(path, "checkpoint") && !strings.Contains(path, "deleted") && !strings.HasSuffix(path, layout.OwnDir)
		case "write":
			return f.err == syscall.EIO && (strings.Contains(path, "commitlog/") || strings.Contains(path, "consumequeue/"))
		}
		return false
	})
}

var callStep = flag.Int("callstep", 3, "every which call to the disk fails, beginning with one of the first by chance; 1: each")

// Each call that a store makes to the disk in its life - starts, writes, syncs, files made and removed, of log, queues, index,
// checkpoint, abort file and ring - fails in turn, once or from then on. Whatever was acknowledged is there when the disk
// is whole again, nothing was acknowledged after a failure that is final, and the store never takes damage from it.
func TestEachCallFails(t *testing.T) {
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		for _, on := range []bool{false, true} {
			for _, sync := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v,on=%v,sync=%v", err, on, sync), func(t *testing.T) {
					t.Parallel()
					step := *callStep
					if testing.Short() {
						step = 11
					}
					for k := 1 + rand.IntN(step); ; k += step {
						f := &failer{at: k, err: err, on: on}
						l := &shortLife{t: t, f: f, sync: sync}
						l.run(quickDir(t))
						if len(f.failed) == 0 {
							t.Logf("%d calls", k-1)
							break
						}
						if t.Failed() {
							t.Fatalf("call %d, %v", k, f.failed)
						}
					}
				})
			}
		}
	}
}

// shortLife is a store from its making to a clean stop, with a kill in between.
type shortLife struct {
	t     *testing.T
	f     *failer
	sync  bool
	s     *Store
	acked []int
	n     int
}

func (l *shortLife) run(dir string) {
	m := newMachine()
	m.err, m.steady = l.f.check, true
	o := small(dir)
	o.SegmentSize, o.QueueFileSize, o.MaxMessageSize, o.StagingSize = 4096, 200, 1000, 64<<10
	o.IndexSlots, o.IndexItems = 10, 20
	o.SyncFlush, o.Faults, o.FlushInterval = l.sync, m.faults(), time.Hour
	l.live(o)
	if l.s != nil {
		crash(l.t, l.s) // no matter what Close said
	}
	l.f.heal()
	s, err := Open(o)
	if err != nil {
		l.t.Errorf("with a good disk: %v", err)
		return
	}
	defer s.Close()
	got := bodies(l.t, s, s.Queue("T", 0), 0)
	slices.Sort(l.acked)
	for _, want := range l.acked {
		i := slices.Index(got, fmt.Sprint(want))
		if i < 0 {
			l.t.Errorf("message %d was acknowledged and is lost", want)
			return
		}
		got = got[i+1:]
	}
	appendTo(l.t, s)
	if err := s.Close(); err != nil {
		l.t.Errorf("with a good disk, at the stop: %v", err)
	}
}

func appendTo(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Append(s.Queue("T", 0), message("T", 0, "last")); err != nil {
		t.Errorf("with a good disk: %v", err)
	}
}

func (l *shortLife) live(o Options) {
	if l.s, _ = Open(o); l.s == nil {
		return
	}
	l.send(25)
	l.s.Append(l.s.Queue("U", 0), message("U", 0, "x"))
	l.s.flushCycle()
	l.send(15)
	_ = l.s.DeleteTopic("U")
	l.s.flushCycle()
	l.indexed()
	l.send(5)
	l.checkFinal()
	crash(l.t, l.s)
	l.f.mu.Lock()
	before := len(l.f.failed)
	l.f.mu.Unlock()
	if l.s, _ = Open(o); l.s == nil {
		return
	}
	l.f.mu.Lock()
	opened := len(l.f.failed) - before
	l.f.mu.Unlock()
	l.send(10)
	l.s.flushCycle()
	if opened == 0 && before == 0 {
		l.checkFinal()
	}
	if l.f.err == syscall.ENOSPC && !l.f.fatal() {
		l.f.heal()
		if r := l.s.CheckDisk(); r != nil {
			l.t.Errorf("refuses with space again: %v", r)
		}
		l.send(1)
	}
	if l.s.Close() == nil {
		l.s = nil
	}
}

// indexed waits until the index has what it can have.
func (l *shortLife) indexed() {
	for l.s.index.step(nil) {
	}
}

// send appends n messages, some at a time, and notes those that were acknowledged.
func (l *shortLife) send(n int) {
	const atOnce = 3
	type told struct {
		n   int
		err error
	}
	for end := l.n + n; l.n < end; {
		waiting, done := 0, make(chan told, atOnce)
		for range min(atOnce, end-l.n) {
			i := l.n
			l.n++
			if r, err := l.s.Append(l.s.Queue("T", 0), message("T", 0, fmt.Sprint(i))); err == nil {
				l.s.WhenDurable(r.End, 100*time.Millisecond, func(err error) { done <- told{i, err} })
				waiting++
			}
		}
		for range waiting {
			if d := <-done; d.err == nil {
				l.acked = append(l.acked, d.n)
			}
		}
	}
}

// checkFinal makes sure that a final failure is one. The writer may have been told of it and not have got any farther.
func (l *shortLife) checkFinal() {
	if !l.f.fatal() {
		return
	}
	eventually(l.t, "refused after a final failure", func() bool { return reason(l.s.refusedErr()) == Failed })
	if _, err := l.s.Append(l.s.Queue("T", 0), message("T", 0, "x")); reason(err) != Failed {
		l.t.Errorf("appended after %v: %v", l.f.failed, err)
	}
}

func (s *Store) refusedErr() error {
	if r := s.Refused(); r != nil {
		return r
	}
	return nil
}
