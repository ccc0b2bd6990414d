package store

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

var (
	twinTime = flag.Duration("twin", 1500*time.Millisecond, "how long the test against a twin in memory runs, each")
	twinSeed = flag.Uint64("twinseed", 0, "seed of that test; 0: by chance")
)

// twinTest is a store beside what it a store must hold, kept in the simplest way.
type twinTest struct {
	t       *testing.T
	o       Options
	s       *Store
	machine *machine
	rnd     *rand.Rand
	now     clock
	queues  map[string][]stored // by topic/queue, in order; they begin at offset 0
	gone    map[string]bool     // light queues that retention removed
	n       int                 // messages made
	counts  map[string]int      // of operations
}

type stored struct {
	body string
	log  skua.LogOffset
	end  skua.LogOffset
	sure bool // it was said to be on disk
}

func TestTwin(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprint("sync=", sync), func(t *testing.T) {
			t.Parallel()
			seed := *twinSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Log("seed", seed)
			w := &twinTest{t: t, o: small(quickDir(t)), machine: newMachine(), rnd: rand.New(rand.NewPCG(seed, 1)),
				queues: map[string][]stored{}, gone: map[string]bool{}, counts: map[string]int{}}
			w.now.Store(1_700_000_000_000)
			w.o.Now, w.o.SyncFlush, w.o.Faults = w.now.read, sync, w.machine.faults()
			w.o.FlushInterval, w.o.Light = 3*time.Millisecond, true
			w.o.Seal = seed%2 == 0
			w.o.LightGone = func(names map[string]bool) { // only retain makes it be called
				for name := range names {
					delete(w.queues, twinKey(name, 0))
					w.gone[name] = true
				}
			}
			w.s = open(t, w.o)
			for end := time.Now().Add(*twinTime); time.Now().Before(end) && !t.Failed(); {
				w.step()
			}
			w.check("at the end")
			closed(t, w.s)
			t.Log(w.counts, "messages", w.n)
		})
	}
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

// twinSteps are the operations and how often each is done, in a thousand.
var twinSteps = []struct {
	weight int
	name   string
	do     func(w *twinTest)
}{
	{795, "append", (*twinTest).append},
	{40, "read", (*twinTest).readOne},
	{20, "query", (*twinTest).query},
	{30, "flush", func(w *twinTest) { w.s.flushCycle() }},
	{30, "durable", (*twinTest).durable},
	{15, "later", func(w *twinTest) { w.now.Add(w.rnd.Int64N(2000)) }},
	{5, "delete topic", (*twinTest).deleteTopic},
	{5, "delete light queue", (*twinTest).deleteLight},
	{5, "retain", (*twinTest).retain},
	{15, "clean stop", func(w *twinTest) { closed(w.t, w.s); w.reopen("a clean stop") }},
	{20, "kill", func(w *twinTest) { crash(w.t, w.s); w.reopen("a kill") }},
	{20, "power loss", (*twinTest).powerLoss},
}

func (w *twinTest) step() {
	n := w.rnd.IntN(1000)
	for _, s := range twinSteps {
		if n -= s.weight; n < 0 {
			w.counts[s.name]++
			s.do(w)
			return
		}
	}
}

func (w *twinTest) topic() (string, int32) {
	return fmt.Sprint("T", w.rnd.IntN(3)), int32(w.rnd.IntN(3))
}

func twinKey(topic string, queue int32) string { return fmt.Sprint(topic, "/", queue) }

func (w *twinTest) append() {
	topic, queue := w.topic()
	half := w.rnd.IntN(20) == 0
	ms := make([]*record.Message, 1+w.rnd.IntN(4))
	for i := range ms {
		ms[i] = message(topic, queue, fmt.Sprint(w.n))
		ms[i].Body = fmt.Appendf(nil, "%d %s", w.n, strings.Repeat("x", w.rnd.IntN(2000)))
		if half {
			ms[i].SysFlag |= record.FlagTransactionPrepared
		}
		w.n++
	}
	lights := w.nameLight(ms)
	r, err := w.s.Append(w.s.Queue(topic, queue), ms...)
	if err != nil {
		w.t.Fatal(err)
	}
	if half {
		return
	}
	k := twinKey(topic, queue)
	if int(r.QueueOffset) != len(w.queues[k]) {
		w.t.Fatalf("%s: stored at %d, want %d", k, r.QueueOffset, len(w.queues[k]))
	}
	for _, m := range ms {
		w.queues[k] = append(w.queues[k], stored{string(m.Body), m.LogOffset, m.LogOffset + skua.LogOffset(m.Size), false})
	}
	for i, names := range lights {
		m := ms[i]
		for _, name := range names {
			k := twinKey(name, 0)
			w.queues[k] = append(w.queues[k], stored{string(m.Body), m.LogOffset, m.LogOffset + skua.LogOffset(m.Size), false})
		}
	}
}

// nameLight makes some messages ask for entries in light queues, and tells in which they will have them.
func (w *twinTest) nameLight(ms []*record.Message) [][]string {
	lights := make([][]string, len(ms))
	if w.rnd.IntN(3) > 0 {
		return lights
	}
	for i, m := range ms {
		var list []string
		for n := range 3 {
			if name := fmt.Sprint("%LMQ%", n); w.rnd.IntN(2) == 0 {
				lights[i], list = append(lights[i], name), append(list, name)
			}
		}
		if w.rnd.IntN(10) == 0 {
			list = append(list, "%LMQ%with/slash")
		}
		if len(lights[i]) > 0 && w.rnd.IntN(10) == 0 {
			list = append(list, lights[i][0]) // a second time
		}
		m.Light = len(list) > 0
		if m.Light {
			m.Properties = record.AppendProperty(m.Properties, skua.PropMultiDispatch, strings.Join(list, ","))
		}
	}
	return lights
}

func (w *twinTest) deleteLight() {
	name := fmt.Sprint("%LMQ%", w.rnd.IntN(3))
	if err := w.s.DeleteTopic(name); err != nil {
		w.t.Fatal(err)
	}
	delete(w.queues, twinKey(name, 0))
	delete(w.gone, name)
}

// durable waits until all is on disk, as the store says.
func (w *twinTest) durable() {
	if !w.o.SyncFlush {
		w.s.flushCycle()
	}
	done := make(chan error, 1)
	w.s.WhenDurable(skua.LogOffset(w.s.log.end.Load()), 10*time.Second, func(err error) { done <- err })
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	w.believe()
}

// believe notes what the store says is on disk.
func (w *twinTest) believe() {
	durable := w.s.Durable()
	for _, q := range w.queues {
		for i := range q {
			q[i].sure = q[i].sure || q[i].end <= durable
		}
	}
}

func (w *twinTest) deleteTopic() {
	topic, _ := w.topic()
	if err := w.s.DeleteTopic(topic); err != nil {
		w.t.Fatal(err)
	}
	for queue := range int32(3) {
		delete(w.queues, twinKey(topic, queue))
	}
}

func (w *twinTest) retain() {
	files, _ := filepath.Glob(filepath.Join(w.o.Dir, "commitlog", "0*"))
	if w.rnd.IntN(4) == 0 {
		w.s.DropUnused(func(*Queue) bool { return false })
	}
	for _, f := range files[:len(files)/2+w.rnd.IntN(len(files)/2+1)] {
		old := w.now.read().Add(-100 * time.Hour)
		if err := os.Chtimes(f, old, old); err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
	w.s.DeleteExpired()
}

func (w *twinTest) powerLoss() {
	w.believe()
	crash(w.t, w.s)
	chance := []float64{0, 1, 0.5, 0.1, 0.9}[w.rnd.IntN(5)]
	w.machine.lose(w.t, w.o.Dir, func() bool { return w.rnd.Float64() < chance })
	w.s = w.opened(fmt.Sprint("a power loss of ", chance))
	for topic := range 3 {
		for queue := range int32(3) {
			w.settle(fmt.Sprint("T", topic), queue)
		}
		w.settle(fmt.Sprint("%LMQ%", topic), 0)
	}
	w.check("after a power loss")
}

// settle takes over what a loss of power has left of a queue.
func (w *twinTest) settle(topic string, queue int32) {
	k := twinKey(topic, queue)
	want, q := w.queues[k], w.s.Queue(topic, queue)
	got := int(q.Max())
	sure := 0
	for i, m := range want {
		if m.sure {
			sure = i + 1
		}
	}
	if sure > got {
		w.t.Fatalf("%s at %d, log offset %d, was on disk, but the queue ends at %d, the log goes from %d to %d", k, sure-1,
			want[sure-1].log, got, w.s.Min(), w.s.Max())
	}
	if got > len(want) && sure == 0 && w.gone[topic] { // its number came back with the power, until retention looks again
		if err := w.s.DeleteTopic(topic); err != nil {
			w.t.Fatal(err)
		}
		delete(w.queues, k)
		return
	}
	if got > len(want) {
		w.t.Fatalf("%s ends at %d, but only %d messages were sent", k, got, len(want))
	}
	if w.queues[k] = want[:got]; got == 0 {
		delete(w.queues, k)
	}
}

func (w *twinTest) opened(after string) *Store {
	s, err := Open(w.o)
	if err != nil {
		w.t.Fatalf("after %s: %v", after, err)
	}
	w.t.Cleanup(func() { s.Close() })
	return s
}

func (w *twinTest) reopen(after string) {
	w.s = w.opened(after)
	w.check("after " + after)
}

// check compares everything. What is not durable cannot be seen yet in SyncFlush.
func (w *twinTest) check(when string) {
	w.durable()
	for k, want := range w.queues {
		w.compare(when, k, want)
	}
}

func (w *twinTest) readOne() {
	topic, queue := w.topic()
	k := twinKey(topic, queue)
	w.durable()
	w.compare("in between", k, w.queues[k])
}

func (w *twinTest) compare(when, k string, want []stored) {
	w.t.Helper()
	topic, number, _ := strings.Cut(k, "/")
	q := w.s.Queue(topic, int32(number[0]-'0'))
	begin, low := w.s.Min(), 0
	for low < len(want) && want[low].log < begin {
		low++
	}
	if int(q.Max()) != len(want) || int(q.Min()) != low {
		w.t.Fatalf("%s %s: queue from %d to %d, want %d to %d", k, when, q.Min(), q.Max(), low, len(want))
	}
	for i, b := range bodies(w.t, w.s, q, q.Min()) {
		if b != want[low+i].body {
			w.t.Fatalf("%s %s: at %d is %.20q, want %.20q", k, when, low+i, b, want[low+i].body)
		}
	}
}

// query looks for one message by its key.
func (w *twinTest) query() {
	topic, queue := w.topic()
	all := w.queues[twinKey(topic, queue)]
	if len(all) == 0 {
		return
	}
	m := all[w.rnd.IntN(len(all))]
	if m.log < w.s.Min() {
		return
	}
	w.durable()
	id, _, _ := strings.Cut(m.body, " ")
	eventually(w.t, "index complete", func() bool { return w.s.index.position() == w.s.log.end.Load() })
	got, err := w.s.Query(topic, "u"+id, 10, 0, w.now.Load()+1)
	if err != nil || len(got.Records) != 1 {
		w.t.Fatalf("%s: query for u%s found %d records, %v", topic, id, len(got.Records), err)
	}
}
