package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
)

// sharedVar is the variable of the environment that makes tests of the store run with the shared log.
const sharedVar = "STORE_SHARED"

// What the store promises does not depend on where entries are.
func TestWithSharedLog(t *testing.T) {
	if os.Getenv(sharedVar) != "" {
		t.Skip("all tests run so")
	}
	os.Setenv(sharedVar, "1") // not t.Setenv: some of the tests are parallel, and one runs the test binary again
	t.Cleanup(func() { os.Unsetenv(sharedVar) })
	for name, f := range map[string]func(*testing.T){
		"AppendReadReopen": TestAppendReadReopen, "ManyQueues": TestManyQueues, "Twin": TestTwin, "StartReadsLittle": TestStartReadsLittle,
		"TornAtEachSector": TestTornAtEachSector, "KilledUnderLoad": TestKilledUnderLoad, "EachCallFails": TestEachCallFails,
		"FullDiskRefusesAndRecovers": TestFullDiskRefusesAndRecovers,
	} {
		t.Run(name, f)
	}
}

func sharedOptions(t testing.TB) Options {
	o := small(quickDir(t))
	o.Shared = true
	return o
}

// Entries move between the layouts when the option changes, and no queue forgets where it ends.
func TestSwitchLayouts(t *testing.T) {
	const queues = 20
	o := small(quickDir(t))
	o.Shared = false
	n := 0
	for round := range 6 {
		s := open(t, o)
		for id := range int32(queues) {
			appendN(t, s, "T", id, n, n+30)
			wantBodies(t, s, "T", id, n+30)
		}
		n += 30
		if round%2 == 0 {
			s.flushCycle()
			crash(t, s)
		} else {
			closed(t, s)
		}
		files, _ := filepath.Glob(filepath.Join(o.Dir, layout.QueueDir, "T", "*", "0*"))
		chunks, _ := filepath.Glob(filepath.Join(o.Dir, layout.OwnDir, layout.SharedDir+"*"))
		if o.Shared && len(files) > 0 || !o.Shared && len(chunks) > 0 {
			t.Fatalf("round %d, shared=%t: %d files of queues, %q", round, o.Shared, len(files), chunks)
		}
		o.Shared = !o.Shared
	}
}

// Files of the shared log go when the log has no more of their records. Queues without messages keep their number, here
// and in the other layout.
func TestSharedRetention(t *testing.T) {
	o := sharedOptions(t)
	s := open(t, o)
	appendN(t, s, "Old", 3, 0, 40)
	for i := range 20 {
		appendN(t, s, "T", 0, i*300, i*300+300)
		s.flushCycle()
	}
	before, _ := s.shared.run.Bounds()
	old := time.Now().Add(-100 * time.Hour)
	logs, _ := filepath.Glob(filepath.Join(o.Dir, layout.LogDir, "0*"))
	for _, f := range logs[:len(logs)-1] {
		if err := os.Chtimes(f, old, old); err != nil {
			t.Fatal(err)
		}
	}
	for s.DeleteExpired() > 0 {
	}
	if after, _ := s.shared.run.Bounds(); after <= before {
		t.Errorf("the shared log begins at %d", after)
	}
	min := s.Queue("T", 0).Min()
	check := func() {
		t.Helper()
		if q := s.Queue("Old", 3); q.Min() != 40 || q.Max() != 40 {
			t.Errorf("a queue without messages goes from %d to %d", q.Min(), q.Max())
		}
		q := s.Queue("T", 0)
		if got := bodies(t, s, q, q.Min()); q.Min() != min || len(got) != 6000-int(min) || got[0] != fmt.Sprint(min) {
			t.Errorf("%d messages from %d on, not from %d", len(got), q.Min(), min)
		}
	}
	check()
	s.flushCycle()
	crash(t, s)
	s = open(t, o)
	check()
	for _, name := range layout.SharedStates() { // all chunks are read then
		_ = os.Remove(s.own(name))
	}
	crash(t, s)
	s = open(t, o)
	check()
	closed(t, s)
	o.Shared = false
	s = open(t, o)
	check()
	appendN(t, s, "Old", 3, 40, 41)
}

// Damage in the shared log costs a longer start only.
func TestDamagedSharedLog(t *testing.T) {
	for _, at := range []int64{0, 60, 20_000, 40_000} {
		o := sharedOptions(t)
		s := open(t, o)
		for i := range 20 {
			appendN(t, s, "T", int32(i%3), i/3*100, i/3*100+100)
			s.flushCycle()
		}
		crash(t, s)
		for _, name := range layout.SharedStates() {
			_ = os.Remove(s.own(name))
		}
		files, _ := filepath.Glob(s.own(layout.SharedDir + "/0*"))
		if err := overwriteAt(files[at/(32<<10)], []byte("garbage!garbage!garbage!garbage!garbage!garbage!garbage!garbage!"), at%(32<<10)); err != nil {
			t.Fatal(err)
		}
		s = open(t, o)
		for id, n := range []int{700, 700, 600} {
			wantBodies(t, s, "T", int32(id), n)
		}
		closed(t, s)
	}
}

// A topic that was deleted, and made again, is not mixed up with what it was.
func TestSharedTopicMadeAgain(t *testing.T) {
	o := sharedOptions(t)
	s := open(t, o)
	for i := range 3 {
		appendN(t, s, "T", 0, 0, 50+i)
		s.flushCycle()
		if err := s.DeleteTopic("T"); err != nil {
			t.Fatal(err)
		}
	}
	appendN(t, s, "T", 0, 0, 20)
	s.flushCycle()
	crash(t, s)
	s = open(t, o)
	wantBodies(t, s, "T", 0, 20)
}

// Few entries at a time, to many queues: each has no file, a start is quick, and reading finds entries together.
func TestManyQueuesShareALog(t *testing.T) {
	const topics, queues, rounds = 500, 10, 5
	o := sharedOptions(t)
	o.pace.shared, o.SegmentSize = sharedFile, 64<<20
	s := open(t, o)
	for round := range rounds {
		for i := range topics {
			for id := range int32(queues) {
				appendN(t, s, fmt.Sprint("T", i), id, round, round+1)
			}
		}
		s.flushCycle()
	}
	crash(t, s)
	began := time.Now()
	s = open(t, o)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a start took %v", took)
	}
	if s.scanned > 1<<20 {
		t.Errorf("a start read %d bytes of the log", s.scanned)
	}
	for i := 0; i < topics; i += 25 {
		wantBodies(t, s, fmt.Sprint("T", i), 3, rounds)
	}
	if found, err := os.ReadDir(filepath.Join(o.Dir, layout.QueueDir)); len(found) > 0 || err != nil {
		t.Errorf("%d folders of topics, %v", len(found), err)
	}
}

// A queue that gets one message at a time is in few chunks.
func TestChunksAreMerged(t *testing.T) {
	s := open(t, sharedOptions(t))
	q := s.Queue("T", 0)
	for i := range 1500 {
		appendN(t, s, "T", 0, i, i+1)
		s.flushCycle()
	}
	s.flusher.mu.Lock()
	c := q.shelf.(*chain)
	c.forget()
	links, _, err := c.find(c.log.get, 0)
	size := c.log.end.Load()
	s.flusher.mu.Unlock()
	if err != nil || len(links) > 40 {
		t.Errorf("%d chunks, %v", len(links), err)
	}
	t.Logf("%d bytes for each message, %d chunks", size/1500, len(links))
	wantBodies(t, s, "T", 0, 1500)
}

// Queues in the shared log that nobody uses are small, too.
func TestIdleSharedQueuesAreSmall(t *testing.T) {
	const topics, queues = 2000, 10
	s := open(t, sharedOptions(t))
	before := heap()
	for i := range topics {
		for id := range int32(queues) {
			q := s.Queue(fmt.Sprintf("Topic%05d", i), id)
			q.shelf = findChain(q)
		}
	}
	size := (heap() - before) / (topics * queues)
	t.Logf("%d bytes for each queue", size)
	if size > 300 && !raceEnabled {
		t.Errorf("an idle queue takes %d bytes", size)
	}
	for q := range s.queues.all() {
		q.shelf = nil
	}
}

// Chunks are read and written at the same time.
func TestSharedLogReadsWhileWritten(t *testing.T) {
	s := open(t, sharedOptions(t))
	q := s.Queue("T", 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 4000 {
			appendN(t, s, "T", 0, i, i+1)
			if i%7 == 0 {
				s.flushCycle()
				q.cool()
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		stop := q.Max()
		if got := bodies(t, s, q, max(0, stop-200)); len(got) > 0 && got[0] != fmt.Sprint(max(0, stop-skua.QueueOffset(200))) {
			t.Fatalf("at %d is %s", stop-200, got[0])
		}
	}
	wantBodies(t, s, "T", 0, 4000)
}

// Without skua/ the shared log is made again from the commit log, beside batch queues, too.
func TestSharedLogRemoved(t *testing.T) {
	o := sharedOptions(t)
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 300)
	q := s.BatchQueue("B", 0)
	for range 10 {
		if _, err := s.Append(q, message("B", 0, "one")); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	if err := os.RemoveAll(s.own("")); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	wantBodies(t, s, "T", 0, 300)
	if q = s.BatchQueue("B", 0); q.Max() != 10 {
		t.Errorf("the batch queue ends at %d", q.Max())
	}
}
