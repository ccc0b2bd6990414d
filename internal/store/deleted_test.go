package store

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/layout"
)

// putNotes writes notes of deleted topics while no store is open.
func putNotes(t *testing.T, o Options, b []byte) {
	t.Helper()
	if err := os.WriteFile(o.Dir+"/skua/deleted", b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// readNotes reads the notes of deleted topics.
func readNotes(t *testing.T, o Options) map[string]layout.Deletion {
	t.Helper()
	b, err := os.ReadFile(o.Dir + "/skua/deleted")
	if err != nil {
		t.Fatal(err)
	}
	notes, n := layout.Deletions(b)
	if n != len(b) {
		t.Errorf("%d of %d bytes are notes", n, len(b))
	}
	return notes
}

// forgetQueues makes the next start read all queue entries from the log.
func forgetQueues(t *testing.T, o Options) {
	t.Helper()
	for _, name := range []string{"consumequeue", "skua/shared", "skua/queues", "skua/checkpoint"} {
		if err := os.RemoveAll(o.Dir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
}

// A deletion is done when it is noted: a process that dies then leaves the rest to the next start, and only queues of which
// nothing is newer than the deletion go.
func TestDeletionIsFinished(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared=", shared), func(t *testing.T) {
			o := small(quickDir(t))
			o.Shared = shared
			s := open(t, o)
			appendN(t, s, "T", 0, 0, 30)
			appendN(t, s, "Both", 0, 0, 30)
			appendN(t, s, "Both", 1, 0, 30)
			end := s.log.end.Load()
			appendN(t, s, "Both", 1, 30, 40)
			closed(t, s)
			note := layout.Deletion{End: end, Time: time.Now().UnixMilli()}
			b := layout.AppendDeletion(layout.AppendDeletion(nil, "T", note), "Both", note)
			putNotes(t, o, append(b, b[:len(b)-1]...)) // and one that is torn
			for range 2 {
				s = open(t, o)
				if got := s.Topics(); len(got) != 1 || got[0] != "Both" {
					t.Errorf("topics %v", got)
				}
				if n := s.Queue("Both", 0).Max(); n != 0 {
					t.Errorf("%d messages of the deleted topic are left", n)
				}
				wantBodies(t, s, "Both", 1, 40)
				closed(t, s)
				if got := readNotes(t, o); len(got) != 2 || got["T"] != note {
					t.Errorf("notes %v", got)
				}
			}
		})
	}
}

// Notes that speak of more than the log has, as after a loss of power or when another broker has cut it, do not take
// messages that came later.
func TestDeletionsOfALongerLog(t *testing.T) {
	o := small(quickDir(t))
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 10)
	end := s.log.end.Load()
	closed(t, s)

	putNotes(t, o, layout.AppendDeletion(nil, "T", layout.Deletion{End: end + 10_000, Time: time.Now().UnixMilli()}))
	s = open(t, o)
	if got := readNotes(t, o)["T"].End; got != end {
		t.Errorf("the note ends at %d, the log at %d", got, end)
	}
	appendN(t, s, "T", 0, 0, 20)
	closed(t, s)
	forgetQueues(t, o)
	s = open(t, o)
	wantBodies(t, s, "T", 0, 20)
	end = s.log.end.Load()
	closed(t, s)

	// The messages are of another broker, which came when the log ended earlier than the note says.
	putNotes(t, o, layout.AppendDeletion(nil, "T", layout.Deletion{End: end, Time: time.Now().UnixMilli() - 3_600_000}))
	forgetQueues(t, o)
	s = open(t, o)
	wantBodies(t, s, "T", 0, 20)
}

// The notes do not grow without bounds: those of which the log has no records any more go, then the oldest.
func TestDeletionsAreThinned(t *testing.T) {
	o := small(quickDir(t))
	s := open(t, o)
	appendN(t, s, "U", 0, 0, 10)
	appendN(t, s, "T", 0, 0, 10)
	closed(t, s)
	var b []byte
	n := 1
	for ; len(b) < maxDeletions-50; n++ {
		b = layout.AppendDeletion(b, fmt.Sprint(n, strings.Repeat("x", 200)), layout.Deletion{End: int64(n), Time: 1})
	}
	putNotes(t, o, b)
	s = open(t, o)
	if err := s.DeleteTopic("T"); err != nil {
		t.Fatal(err)
	}
	got := readNotes(t, o)
	if _, ok := got["T"]; !ok || len(got) < n/3 || len(got) > 2*n/3 {
		t.Errorf("%d of %d notes are left, that of the last topic among them: %t", len(got), n, ok)
	}
	closed(t, s)
	forgetQueues(t, o)
	s = open(t, o)
	if got := s.Topics(); len(got) != 1 || got[0] != "U" {
		t.Errorf("topics %v", got)
	}
}
