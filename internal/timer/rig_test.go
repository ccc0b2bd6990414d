package timer

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// shelf is a store of messages in memory.
type shelf struct {
	all    []record.Message
	at     map[skua.LogOffset]int
	queue  []int // those of the queue of timed messages
	end    skua.LogOffset
	safe   int    // messages that are on disk
	broken error  // what Put fails with
	puts   int    // until Put fails with broken; below 0: it does not
	onPut  func() // called before each Put
}

func newShelf() *shelf { return &shelf{at: map[skua.LogOffset]int{}, end: 1000, puts: -1} }

var topicBytes = []byte(skua.TimerTopic)

var host = netip.MustParseAddrPort("10.0.0.1:1000")

func (s *shelf) Put(m *record.Message) (skua.LogOffset, error) {
	if s.puts == 0 {
		return 0, s.broken
	}
	if s.onPut != nil {
		s.onPut()
	}
	s.puts--
	c := *m
	c.Topic, c.Properties, c.Body = slices.Clone(m.Topic), slices.Clone(m.Properties), slices.Clone(m.Body)
	c.LogOffset, c.Size = s.end, int32(record.Size(m))
	if string(c.Topic) == skua.TimerTopic {
		c.QueueOffset = skua.QueueOffset(len(s.queue))
		s.queue = append(s.queue, len(s.all))
	}
	s.at[c.LogOffset] = len(s.all)
	s.all = append(s.all, c)
	s.end += skua.LogOffset(c.Size)
	return s.end, nil
}

func (s *shelf) Arrived(from skua.QueueOffset, take func(*record.Message) error) (skua.QueueOffset, error) {
	for n := 0; n < 32 && int(from) < len(s.queue); n++ {
		m := s.all[s.queue[from]]
		if err := take(&m); err != nil {
			return from, err
		}
		from++
	}
	return min(from, skua.QueueOffset(len(s.queue))), nil
}

func (s *shelf) Find(places []Place, found func(int, *record.Message) error) error {
	for i, p := range places {
		var m *record.Message
		if n, ok := s.at[p.Log]; ok && s.all[n].Size == p.Size {
			c := s.all[n]
			m = &c
		}
		if err := found(i, m); err != nil {
			return err
		}
	}
	return nil
}

// lose drops what was not on disk.
func (s *shelf) lose() {
	for len(s.all) > s.safe {
		n := len(s.all) - 1
		m := s.all[n]
		delete(s.at, m.LogOffset)
		if string(m.Topic) == skua.TimerTopic {
			s.queue = s.queue[:len(s.queue)-1]
		}
		s.all, s.end = s.all[:n], m.LogOffset
	}
}

// disk remembers what files held before writes that were not synced, by pages, so that a loss of power can undo some.
type disk struct {
	mu   sync.Mutex
	old  map[string]map[int64][]byte
	fail func(call string) error
}

const diskPage = 512

func (d *disk) faults() segment.Faults {
	call := func(op, path string) error {
		if d.fail == nil {
			return nil
		}
		return d.fail(op + " " + filepath.Base(path))
	}
	return segment.Faults{
		Write: func(path string, off int64, n int) (int, error) {
			if err := call("write", path); err != nil {
				return 0, err
			}
			d.remember(path, off, int64(n))
			return n, nil
		},
		Sync: func(path string) error {
			if err := call("sync", path); err != nil {
				return err
			}
			d.forget(path)
			return nil
		},
		Change: func(op, path string) error {
			if err := call(op, path); err != nil {
				return err
			}
			switch op {
			case "sync", "remove":
				d.forget(path)
			case "cut":
				if info, err := os.Stat(path); err == nil {
					d.remember(path, 0, min(info.Size(), 1<<20))
				}
			}
			return nil
		},
	}
}

func (d *disk) forget(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.old, path)
}

func (d *disk) remember(path string, off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.old[path] == nil {
		d.old[path] = map[int64][]byte{}
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	for p := off / diskPage; p*diskPage < off+n; p++ {
		if d.old[path][p] == nil {
			b := make([]byte, diskPage)
			f.ReadAt(b, p*diskPage)
			d.old[path][p] = b
		}
	}
}

// power undoes each page that was not synced if lost says so.
func (d *disk) power(t testing.TB, lost func() bool) {
	for path, pages := range d.old {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		for p, b := range pages {
			if end := info.Size() - p*diskPage; lost() && end > 0 {
				if _, err := f.WriteAt(b[:min(int64(len(b)), end)], p*diskPage); err != nil {
					t.Fatal(err)
				}
			}
		}
		f.Close()
	}
	clear(d.old)
}

// rig is a timer with a clock, on a shelf and a disk.
type rig struct {
	t     testing.TB
	dir   string
	shelf *shelf
	disk  *disk
	timer *Timer
	rules Rules
	boot  layout.Session
	now   int64 // ms
	log   strings.Builder
	seen  int  // messages of the shelf that delivered has looked at
	safe  bool // the store makes everything durable when it is asked
	clean bool
	size  int64
	unit  int64 // precision
}

// quickDir is a directory in memory, if there is such a file system: syncs cost nothing there.
func quickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "skua-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

const clock0 = int64(1_795_000_000_000)

func newRig(t testing.TB) *rig {
	r := &rig{t: t, dir: quickDir(t), shelf: newShelf(), disk: &disk{old: map[string]map[int64][]byte{}}, now: clock0,
		rules: Rules{RollWindow: 172800}, boot: layout.Session{1}, safe: true, clean: true, size: 4096, unit: 1000}
	r.open()
	t.Cleanup(func() {
		if r.timer != nil {
			r.timer.release()
		}
	})
	return r
}

func (r *rig) options() Options {
	return Options{Dir: r.dir, Precision: r.unit, FileSize: r.size, Messages: r.shelf, LogEnd: r.shelf.end, Clean: r.clean, Boot: r.boot,
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Topic: topicBytes, Faults: r.disk.faults(), Durable: r.durable}
}

func (r *rig) durable(end skua.LogOffset) error {
	if r.safe {
		r.shelf.safe = len(r.shelf.all)
	}
	if n := r.shelf.safe; n < len(r.shelf.all) && r.shelf.all[n].LogOffset < end {
		return errors.New("not durable")
	}
	return nil
}

func (r *rig) open() {
	r.t.Helper()
	timer, err := Open(r.options(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	r.timer = timer
}

// kill ends the process without a word.
func (r *rig) kill() {
	r.timer.release()
	r.timer, r.clean = nil, false
}

func (r *rig) stop() {
	r.t.Helper()
	if err := r.timer.Close(r.now); err != nil {
		r.t.Fatal(err)
	}
	r.timer, r.clean = nil, true
	r.shelf.safe = len(r.shelf.all)
}

// power ends the machine: some of what was not synced is lost.
func (r *rig) power(lost func() bool) {
	r.kill()
	r.disk.power(r.t, lost)
	r.shelf.lose()
	r.seen = min(r.seen, len(r.shelf.all))
	r.boot[0]++
}

func (r *rig) restart() {
	r.t.Helper()
	r.stop()
	r.open()
}

// flush is what the owner does from time to time.
func (r *rig) flush() error { return r.timer.Flush(r.now) }

// out is TIMER_OUT_MS of a message that is due at a time.
func (r *rig) out(due int64) int64 { return (due - 1) / r.unit * r.unit }

// send stores a message that is due after a delay, ms.
func (r *rig) send(name string, delay int64) {
	r.put(name, r.out(r.now+delay))
}

func (r *rig) put(name string, out int64, properties ...string) {
	p := record.AppendProperty(nil, skua.PropUniqueKey, name)
	p = record.AppendProperty(p, skua.PropRealTopic, "T")
	p = record.AppendProperty(p, skua.PropRealQueueID, "3")
	p = record.AppendProperty(p, skua.PropTimerOutMs, strconv.FormatInt(out, 10))
	for i := 0; i < len(properties); i += 2 {
		p = record.AppendProperty(p, properties[i], properties[i+1])
	}
	m := &record.Message{Topic: topicBytes, Body: []byte(name), Properties: p, BornHost: host, StoreHost: host}
	puts := r.shelf.puts
	r.shelf.puts = -1
	if _, err := r.shelf.Put(m); err != nil {
		r.t.Fatal(err)
	}
	r.shelf.puts = puts
}

// recall stores a recall of a message that is due after a delay, ms.
func (r *rig) recall(name string, delay int64) {
	r.put(name, r.out(r.now+delay), skua.PropTimerDeleteKey, name)
}

// steps calls Step until it has nothing to do, and returns when it wants to be called again.
func (r *rig) steps() int64 {
	r.t.Helper()
	for range 10_000 {
		next, err := r.timer.Step(r.now, r.rules)
		if err != nil {
			r.t.Fatalf("step at %d: %v", r.now-clock0, err)
		}
		if next > r.now && (r.rules.StopEnqueue || int(r.timer.Queue()) == len(r.shelf.queue)) {
			return next
		}
	}
	r.t.Fatal("it never ends")
	return 0
}

// delivered returns the names of the messages that have come to their topic since the last call.
func (r *rig) delivered() (names []string) {
	for ; r.seen < len(r.shelf.all); r.seen++ {
		if m := &r.shelf.all[r.seen]; string(m.Topic) == "T" {
			names = append(names, string(m.Body))
		}
	}
	return names
}

// advance moves the clock and steps.
func (r *rig) advance(ms int64) []string {
	r.t.Helper()
	r.now += ms
	r.steps()
	return r.delivered()
}

func (r *rig) want(what string, got []string, want ...string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func names(prefix string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }
