package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// lightMessageOf is a message that names light queues.
func lightMessageOf(topic, body string, names ...string) *record.Message {
	m := message(topic, 0, body)
	m.Light = true
	m.Properties = record.AppendProperty(m.Properties, skua.PropMultiDispatch, strings.Join(names, ","))
	return m
}

// withLight are options of a store with light queues.
func withLight(dir string) Options {
	o := small(dir)
	o.Light = true
	return o
}

func appendLight(t testing.TB, s *Store, body string, names ...string) {
	t.Helper()
	if _, err := s.Append(s.Queue("T", 0), lightMessageOf("T", body, names...)); err != nil {
		t.Fatal(err)
	}
}

// lightQueue says what a light queue holds: each body, and the offset that the record tells.
func lightQueue(t testing.TB, s *Store, name string) string {
	t.Helper()
	q := s.Find([]byte(name), 0)
	if q == nil {
		return "none"
	}
	var out []string
	var r ReadResult
	defer r.Release()
	for next := q.Min(); next < q.Max(); next = r.Next {
		s.Read(q, ReadRequest{Offset: next, MaxMessages: 32}, &r)
		for _, b := range r.Records {
			m, _, err := record.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			off, ok := q.placeOf(&m)
			out = append(out, fmt.Sprintf("%s=%d", m.Body, off))
			if want := int(q.Min()) + len(out) - 1; !ok || off != int64(want) {
				t.Errorf("%s at %d: %s tells %d", name, want, m.Body, off)
			}
		}
	}
	return strings.Join(out, " ")
}

// The entries in light queues come back from the log alone, in either layout.
func TestLightQueuesAreMadeAgain(t *testing.T) {
	for _, shared := range []bool{false, true} {
		o := withLight(t.TempDir())
		o.Shared, o.Seal = shared, shared
		s := open(t, o)
		appendLight(t, s, "0", "%LMQ%a")
		appendLight(t, s, "1", "%LMQ%a", "%LMQ%b")
		appendN(t, s, "T", 0, 2, 60)
		appendLight(t, s, "60", "%LMQ%b")
		half := lightMessageOf("T", "half", "%LMQ%a")
		half.SysFlag |= record.FlagTransactionPrepared
		if _, err := s.Append(s.Queue("T", 0), half); err != nil {
			t.Fatal(err)
		}
		check := func(when string) {
			t.Helper()
			if a, b := lightQueue(t, s, "%LMQ%a"), lightQueue(t, s, "%LMQ%b"); a != "0=0 1=1" || b != "1=0 60=1" {
				t.Errorf("%s: %q and %q", when, a, b)
			}
		}
		check("at first")
		for _, lost := range []string{"nothing", "consumequeue", "skua", "consumequeue/%LMQ%a"} {
			closed(t, s)
			if lost != "nothing" {
				if err := os.RemoveAll(filepath.Join(o.Dir, lost)); err != nil {
					t.Fatal(err)
				}
			}
			s = open(t, o)
			check("without " + lost)
			if lost == "nothing" && s.scanned > 0 {
				t.Errorf("a start after a clean stop read %d bytes of the log", s.scanned)
			}
		}
		crash(t, s)
		s = open(t, o)
		check("after a kill")
		appendLight(t, s, "61", "%LMQ%a", "%LMQ%b")
		if a, b := lightQueue(t, s, "%LMQ%a"), lightQueue(t, s, "%LMQ%b"); a != "0=0 1=1 61=2" || b != "1=0 60=1 61=2" {
			t.Errorf("then: %q and %q", a, b)
		}
		closed(t, s)
	}
}

// Light queues move with all others when the layout changes.
func TestLightQueuesMove(t *testing.T) {
	o := withLight(t.TempDir())
	for i := range 5 {
		o.Shared = i%2 == 1
		s := open(t, o)
		appendLight(t, s, fmt.Sprint(i), "%LMQ%a", "%LMQ%b")
		if i == 3 {
			crash(t, s)
		} else {
			closed(t, s)
		}
	}
	s := open(t, o)
	if a, b := lightQueue(t, s, "%LMQ%a"), lightQueue(t, s, "%LMQ%b"); a != "0=0 1=1 2=2 3=3 4=4" || b != a {
		t.Errorf("%q and %q", a, b)
	}
}

// With the option off nothing is entered, and what a message tells of offsets is not stored.
func TestLightIsOff(t *testing.T) {
	s := open(t, small(t.TempDir()))
	m := lightMessageOf("T", "0", "%LMQ%a")
	m.Properties = record.AppendProperty(m.Properties, skua.PropMultiQueueOffset, "5")
	r, err := s.Append(s.Queue("T", 0), m)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Record(r.LogOffset)
	if err != nil || record.HasLightOffsets(b) || lightQueue(t, s, "%LMQ%a") != "none" {
		t.Errorf("stored %q, %v; queue has %s", b, err, lightQueue(t, s, "%LMQ%a"))
	}
}

// Offsets of a message that is refused in the last moment are given to the next one.
func TestRefusedLightMessageLeavesNoGap(t *testing.T) {
	s := open(t, withLight(t.TempDir()))
	appendLight(t, s, "0", "%LMQ%a")
	names := make([]string, 1000)
	for i := range names {
		names[i] = "%LMQ%" + strings.Repeat("n", 20) + strconv.Itoa(1000+i)
	}
	long := lightMessageOf("T", "long", append(names, "%LMQ%a")...)
	long.Properties = record.AppendProperty(long.Properties, "more", strings.Repeat("x", record.MaxProperties-len(long.Properties)-200))
	if _, err := s.Append(s.Queue("T", 0), long); !isReason(err, PropertiesTooLarge) {
		t.Fatal(err)
	}
	appendLight(t, s, "1", append(names, "%LMQ%a")...)
	if a, n := lightQueue(t, s, "%LMQ%a"), lightQueue(t, s, names[500]); a != "0=0 1=1" || n != "1=0" {
		t.Errorf("%q and %q", a, n)
	}
	crash(t, s) // a stop would make a file for each
}

func isReason(err error, want Reason) bool {
	r, ok := err.(*RefusedError)
	return ok && r.Reason == want
}

// A light queue is deleted while a message for it is on its way: it is numbered anew.
func TestLightQueueDeletedUnderAMessage(t *testing.T) {
	s := open(t, withLight(t.TempDir()))
	appendLight(t, s, "0", "%LMQ%a")
	d, m := new(draft), lightMessageOf("T", "1", "%LMQ%a")
	if err := s.encode(d, s.Queue("T", 0), []*record.Message{m}, 1); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTopic("%LMQ%a"); err != nil {
		t.Fatal(err)
	}
	s.log.mu.Lock()
	at, _ := s.log.roomLocked(int64(len(d.buf)) + d.light.room)
	if r := s.numberLightLocked(d, []*record.Message{m}); r != nil {
		t.Error(r)
	}
	s.placeLocked(d, s.Queue("T", 0), []*record.Message{m}, at, 1)
	s.log.mu.Unlock()
	if got := lightQueue(t, s, "%LMQ%a"); got != "1=0" {
		t.Errorf("%q", got)
	}
}

// Appenders that share light queues leave each with numbers from 0 on, in the order of the log.
func TestLightQueuesOfManyAppenders(t *testing.T) {
	o := withLight(t.TempDir())
	o.SyncFlush = true
	s := open(t, o)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 40 {
				m := lightMessageOf("T", fmt.Sprint(w, ".", i), fmt.Sprint("%LMQ%", w%3), "%LMQ%all")
				m.QueueID = int32(w % 2)
				if _, err := s.Append(s.Queue("T", m.QueueID), m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	eventually(t, "visible", func() bool { return s.Queue("%LMQ%all", 0).Max() == 320 })
	was := lightQueue(t, s, "%LMQ%all")
	if n := len(strings.Fields(was)); n != 320 {
		t.Errorf("%d messages", n)
	}
	crash(t, s)
	s = open(t, o)
	if got := lightQueue(t, s, "%LMQ%all"); got != was {
		t.Errorf("after a kill: %s, before: %s", got, was)
	}
}

// Twenty thousand light queues take few open files, and little memory.
func TestManyLightQueues(t *testing.T) {
	const n = 20_000
	for _, shared := range []bool{false, true} {
		o := withLight(quickDir(t))
		o.Shared, o.StagingSize, o.pace.few, o.pace.late, o.pace.shared = shared, 4<<20, fewQueues, 1, sharedFile
		o.SegmentSize, o.MaxLight = 16<<20, n
		s := open(t, o)
		before := heap()
		fds := openFiles(t)
		fill := func(body string) {
			names := make([]string, 0, 20)
			for i := range n {
				if names = append(names, skua.LMQPrefix+fmt.Sprint("device", i)); len(names) == 20 {
					appendLight(t, s, body, names...)
					names = names[:0]
				}
			}
			s.flushCycle()
		}
		fill("0")
		fill("1")
		if _, err := s.LightQueue([]byte("%LMQ%more")); !isReason(err, TooManyLight) || s.LightQueues() != n {
			t.Errorf("%d light queues, one more: %v", s.LightQueues(), err)
		}
		for range coolAfter + 2 {
			s.flushCycle()
		}
		size := (heap() - before) / n
		t.Logf("shared %v: %d bytes for each queue", shared, size)
		if size > 600 && !raceEnabled {
			t.Errorf("shared %v: %d bytes for each queue", shared, size)
		}
		if grown := openFiles(t) - fds; grown > openQueueFiles+20 {
			t.Errorf("shared %v: %d more open files", shared, grown)
		}
		crash(t, s)
		s = open(t, o)
		fill("2")
		for _, i := range []int{0, 1, n / 2, n - 1} {
			if got := lightQueue(t, s, skua.LMQPrefix+fmt.Sprint("device", i)); got != "0=0 1=1 2=2" {
				t.Errorf("shared %v: queue %d has %q", shared, i, got)
			}
		}
		if s.LightQueues() != n {
			t.Errorf("shared %v: %d light queues after a kill", shared, s.LightQueues())
		}
		crash(t, s)
	}
}

func openFiles(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(files)
}

// Appends allocate nothing, with light queues neither.
func TestLightAppendAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	o := withLight(t.TempDir())
	o.SegmentSize, o.FlushInterval = 64<<20, 1<<40
	s := open(t, o)
	m, q := lightMessageOf("T", "0", "%LMQ%a", "%LMQ%b"), s.Queue("T", 0)
	for range 100 {
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"T", "%LMQ%a", "%LMQ%b"} {
		q := s.Find([]byte(name), 0)
		q.tail = slices.Grow(q.tail, 1<<20) // which grows by and by
	}
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
