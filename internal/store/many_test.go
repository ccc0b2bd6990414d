package store

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// A store with many queues is not large because of those that nobody uses.
func TestIdleQueuesAreSmall(t *testing.T) {
	const topics, queues = 2000, 10
	s := open(t, small(t.TempDir()))
	before := heap()
	for i := range topics {
		for id := range int32(queues) {
			q := s.Queue(fmt.Sprintf("Topic%05d", i), id)
			q.shelf = queueFiles{segment.Known(s.queueDisk, s.o.QueueFileSize, (*queueFolder)(q), 0, 1)}
		}
	}
	size := (heap() - before) / (topics * queues)
	t.Logf("%d bytes for each queue", size)
	if size > 300 && !raceEnabled {
		t.Errorf("an idle queue takes %d bytes", size)
	}
	for q := range s.queues.all() {
		q.shelf = nil // there are no files
	}
}

// heap is the memory in use, bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// What many queues got is in the journal, which the next start reads instead of their files, after a kill and after a stop.
func TestJournalOfQueues(t *testing.T) {
	const topics, queues = 50, 10
	o := small(t.TempDir())
	o.pace.few, o.pace.late = 20, 3
	o.StagingSize = 2 << 20
	n := 0
	fill := func(s *Store) {
		t.Helper()
		for i := range topics {
			for id := range int32(queues) {
				appendN(t, s, fmt.Sprint("T", i), id, n, n+2)
			}
		}
		n += 2
		s.flushCycle()
	}
	check := func(s *Store, fromJournal bool) {
		t.Helper()
		if got := lateNow(s); fromJournal && !got {
			t.Error("the journal was not read")
		}
		for i := range topics {
			for id := range int32(queues) {
				wantBodies(t, s, fmt.Sprint("T", i), id, n)
			}
		}
	}
	s := open(t, o)
	fill(s)
	fill(s)
	if !lateNow(s) {
		t.Fatal("nothing is in the journal only")
	}
	if err := s.DeleteTopic("T7"); err != nil {
		t.Fatal(err)
	}
	for id := range int32(queues) {
		appendN(t, s, "T7", id, 0, n)
	}
	crash(t, s)
	s = open(t, o)
	check(s, true)
	fill(s)
	crash(t, s)
	s = open(t, o)
	check(s, true)
	fill(s)
	closed(t, s)
	s = open(t, o)
	check(s, false)
	if q := s.Queue("T3", 3); q.unfiled() != 0 {
		t.Error("a queue has entries that are not in files after a stop")
	}
	crash(t, s)
	// Without the journal, and without the folder, everything is found, too.
	if err := os.RemoveAll(s.own(layout.JournalDir)); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	check(s, false)
	fill(s)
	closed(t, s)
	if err := os.RemoveAll(s.own("")); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	check(s, false)
}

// lateNow reports whether the journal has entries that files lack.
func lateNow(s *Store) bool {
	s.flusher.mu.Lock()
	defer s.flusher.mu.Unlock()
	return len(s.flusher.late) > 0
}

// A start that is killed before it has told the journal leaves one that is of no use. The next start then reads the log from
// where files have everything, and not all of it.
func TestKilledBeforeTheJournal(t *testing.T) {
	const queues = 40
	o := small(t.TempDir())
	o.Shared = false
	o.pace.few, o.pace.late = 20, 3
	s := open(t, o)
	for id := range int32(queues) {
		appendN(t, s, "T", id, 0, 50)
	}
	closed(t, s)
	s = open(t, o)
	for id := range int32(queues) {
		appendN(t, s, "T", id, 50, 51)
	}
	s.flushCycle()
	if !lateNow(s) {
		t.Fatal("nothing is in the journal only")
	}
	crash(t, s)
	journal := t.TempDir()
	if err := os.CopyFS(journal, os.DirFS(s.own(layout.JournalDir))); err != nil {
		t.Fatal(err)
	}
	o.pace.late = 0
	s = open(t, o)
	crash(t, s)
	if err := errors.Join(os.RemoveAll(s.own(layout.JournalDir)), os.CopyFS(s.own(layout.JournalDir), os.DirFS(journal))); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if all := int64(s.Max() - s.Min()); s.scanned > all/2 {
		t.Errorf("the start read %d of %d bytes of the log", s.scanned, all)
	}
	for id := range int32(queues) {
		wantBodies(t, s, "T", id, 51)
	}
}

// The journal of a run in which somebody else came between is not used.
func TestStaleJournal(t *testing.T) {
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 10)
	closed(t, s)
	r := &recovery{s: s}
	at, err := changed(o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	s.queues.clear()
	s.journal = nil
	if r.readJournal(at); s.journal == nil {
		t.Fatal("the journal of a clean stop is not used")
	}
	now := time.Now().Add(time.Hour)
	if err := os.Chtimes(o.Dir, now, now); err != nil {
		t.Fatal(err)
	}
	if at, err = changed(o.Dir); err != nil {
		t.Fatal(err)
	}
	s.journal = nil
	if r.readJournal(at) || s.journal != nil {
		t.Error("the journal is used although somebody has used the directory")
	}
}

// A journal whose first files are gone can be read from the one that is left.
func TestJournalLosesItsFirstFiles(t *testing.T) {
	s := open(t, small(t.TempDir()))
	q := s.Queue("T", 0)
	closed(t, s)
	j, err := s.findJournal()
	if err != nil {
		t.Fatal(err)
	}
	q.tail = make([]byte, 50000*layout.UnitSize)
	start := j.end
	for j.end < start+2*journalFile+journalFile/2 {
		j.addUnits(q, 0)
		if err := j.commit(); err != nil {
			t.Fatal(err)
		}
	}
	q.tail = nil
	if n, err := j.run.DropBefore(j.end); n != 2 || err != nil {
		t.Fatalf("%d files dropped, %v", n, err)
	}
	if err := j.run.WriteAt(make([]byte, 100), j.end); err != nil { // over what the run had written there
		t.Fatal(err)
	}
	again, err := s.findJournal()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := again.replay(func(c []layout.Chunk) bool { n += len(c); return true }); err != nil || n == 0 || again.end != j.end {
		t.Errorf("%d chunks to %d, want them to %d: %v", n, again.end, j.end, err)
	}
}

// Queues that are never idle keep fewer entries in memory the more of them there are.
func TestBusyQueuesAreSmallWhenMany(t *testing.T) {
	const queues, each = 50, 40
	o := small(t.TempDir())
	o.StagingSize = 2 << 20
	o.FlushInterval = time.Hour // flushes between those below would find fewer queues busy when the machine is slow, and leave them more
	o.pace.kept = queues * each * layout.UnitSize
	s := open(t, o)
	for n := 0; n < 600; n += 30 {
		for id := range int32(queues) {
			appendN(t, s, "T", id, n, n+30)
		}
		s.flushCycle()
	}
	for id := range int32(queues) {
		q := s.Queue("T", id)
		q.mu.RLock()
		entries, room := len(q.tail)/layout.UnitSize, cap(q.tail)/layout.UnitSize
		q.mu.RUnlock()
		if entries > 3*each || room > 8*each {
			t.Errorf("queue %d keeps %d entries, and has room for %d", id, entries, room)
		}
		wantBodies(t, s, "T", id, 600)
	}
	one := open(t, small(t.TempDir()))
	appendN(t, one, "T", 0, 0, 2*keepUnits)
	one.flushCycle()
	if q := one.Queue("T", 0); len(q.tail) < keepUnits*layout.UnitSize {
		t.Errorf("a single queue keeps %d entries", len(q.tail)/layout.UnitSize)
	}
}
