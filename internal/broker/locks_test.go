package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

func queues(ids ...int32) []skua.Queue {
	var qs []skua.Queue
	for _, id := range ids {
		qs = append(qs, skua.Queue{Topic: "T", Broker: "b", ID: id})
	}
	return qs
}

func TestLocks(t *testing.T) {
	t0 := time.Unix(1_700_000_000, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	var l locks
	check := func(what string, got, want []skua.Queue) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("first client takes both", l.acquire("G", "one", queues(0, 1), at(0)), queues(0, 1))
	check("second client gets the free one", l.acquire("G", "two", queues(1, 2), at(1)), queues(2))
	check("groups do not see one another", l.acquire("H", "two", queues(1), at(1)), queues(1))
	check("renewal at 40 s", l.acquire("G", "one", queues(0), at(40)), queues(0))
	check("60 s after the last renewal it is still held", l.acquire("G", "two", queues(1), at(60)), queues())
	check("then it is free", l.acquire("G", "two", queues(0, 1), at(61)), queues(1))
	l.release("G", "one", queues(1, 0))
	check("a client releases its own only", l.acquire("G", "one", queues(0, 1), at(62)), queues(0))
	if !l.held("G", at(62)) || l.held("none", at(62)) {
		t.Error("held is wrong")
	}
	l.releaseClient("G", "two")
	check("unregistering releases all", l.acquire("G", "one", queues(1, 2), at(63)), queues(1, 2))
	l.expire(at(200))
	if l.held("G", at(200)) || len(l.groups) != 0 {
		t.Errorf("after expiry the table holds %v", l.groups)
	}
}

// The table must agree with a list of the last events that is searched anew for each question.
func TestLocksAgainstNaiveTwin(t *testing.T) {
	type event struct {
		client string
		queue  skua.Queue
		at     time.Time
		freed  bool
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var l locks
	var log []event
	now := time.Unix(1_700_000_000, 0)
	owner := func(q skua.Queue) string {
		for i := len(log) - 1; i >= 0; i-- {
			if e := log[i]; e.queue == q {
				if e.freed || now.Sub(e.at) > lockLife {
					return ""
				}
				return e.client
			}
		}
		return ""
	}
	for step := range 3000 {
		now = now.Add(time.Duration(rnd.IntN(8000)) * time.Millisecond)
		client, q := fmt.Sprint(rnd.IntN(3)), queues(int32(rnd.IntN(4)))[0]
		who := owner(q)
		switch rnd.IntN(4) {
		case 0:
			l.release("G", client, []skua.Queue{q})
			if who == client {
				log = append(log, event{client, q, now, true})
			}
		case 1:
			l.expire(now)
		default:
			got := len(l.acquire("G", client, []skua.Queue{q}, now)) == 1
			want := who == "" || who == client
			if got != want {
				t.Fatalf("step %d: %s locking %v held by %q: got %v, want %v", step, client, q, who, got, want)
			}
			if want {
				log = append(log, event{client, q, now, false})
			}
		}
	}
}

// lockFileAt is a table of locks kept in a file, at a time.
func lockFileAt(t *testing.T, path string, log *slog.Logger, now time.Time) *locks {
	l := openLocks(path, "b", log, func() time.Time { return now }, now)
	t.Cleanup(func() { l.file.journal.Close() })
	return l
}

func TestLocksSurviveRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "skua", "locks")
	log := slog.New(slog.DiscardHandler)
	l := lockFileAt(t, path, log, after(0))
	l.acquire("G", "one", queues(0, 1, 2), after(0))
	l.acquire("H", "two", queues(1), after(0))
	l.release("G", "one", queues(1))
	l.acquire("G", "one", queues(0), after(0))
	l = lockFileAt(t, path, log, after(59)) // without a close
	if got := l.acquire("G", "two", queues(0, 1, 2), after(60)); !slices.Equal(got, queues(1)) {
		t.Errorf("after a kill another client got %v", got)
	}
	if got := l.acquire("G", "two", queues(0, 1, 2), after(59+60)); !slices.Equal(got, queues(1)) {
		t.Errorf("a lock found in the file ended before its holder could miss it: %v", got)
	}
	l.expire(after(59 + 61))
	if got := l.all(after(59 + 61)); len(got) != 1 || got[0].client != "two" {
		t.Errorf("locks that nobody renewed: %v", got)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	l = lockFileAt(t, path, log, after(1000))
	if got := l.all(after(1000)); len(got) != 0 {
		t.Errorf("locks of long ago: %v", got)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file about nothing is there: %v", err)
	}
	// A clock that was set back makes locks last, not end.
	l.acquire("G", "one", queues(0), after(1000))
	l = lockFileAt(t, path, log, after(500))
	if got := l.acquire("G", "two", queues(0), after(520)); len(got) != 0 {
		t.Errorf("after the clock was set back another client got %v", got)
	}
}

func TestLockFileIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "skua", "locks")
	buffer := new(bytes.Buffer)
	log := slog.New(slog.NewTextHandler(buffer, nil))
	l := lockFileAt(t, path, log, after(0))
	var many []skua.Queue
	for id := range int32(1000) {
		many = append(many, queues(id)...)
	}
	for l.file.journal.Size() <= smallLockFile {
		l.acquire("G", "one", many, after(0))
		l.releaseClient("G", "one")
	}
	l.acquire("G", "one", queues(5), after(0))
	l.expire(after(0))
	if l.file.journal.Size() > 1000 {
		t.Errorf("the file has %d bytes for one lock", l.file.journal.Size())
	}
	// A file that cannot be written is no reason to refuse locks; it is told once, and caught up with.
	l.file.journal.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	for id := range int32(5) {
		l.acquire("G", "two", queues(10+id), after(0))
		l.expire(after(0))
	}
	if n := strings.Count(buffer.String(), "locks of queues cannot be saved"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, buffer)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	l.expire(after(0))
	if !strings.Contains(buffer.String(), "locks of queues are saved again") {
		t.Errorf("log:\n%s", buffer)
	}
	if again := lockFileAt(t, path, log, after(1)).all(after(1)); len(again) != 6 {
		t.Errorf("the file holds %v", again)
	}
	// Lines that are torn or no notes are passed over, and no reason not to start.
	if err := os.WriteFile(path, []byte("no journal"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := lockFileAt(t, path, log, after(1)).all(after(1)); len(got) != 0 {
		t.Errorf("out of garbage came %v", got)
	}
}
