package store

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// The child of the crash test: this test binary, started again with these variables, writes until it is killed.
const (
	crashDirVar   = "SKUA_STORE_CRASH_DIR"
	crashRoundVar = "SKUA_STORE_CRASH_ROUND"
	crashSyncVar  = "SKUA_STORE_CRASH_SYNC"
)

const crashWriters = 4

var kills = flag.Int("kills", 12, "how often the process under load is killed; half as often in SYNC_FLUSH")

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVar); dir != "" {
		if err := writeUntilKilled(dir, os.Getenv(crashRoundVar), os.Getenv(crashSyncVar) != ""); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m)
}

func crashOptions(dir string, sync bool) Options {
	return Options{Dir: dir, SegmentSize: 1 << 20, QueueFileSize: 20000, IndexSlots: 500, IndexItems: 5000, SyncFlush: sync,
		MaxMessageSize: 64 << 10, StagingSize: 1 << 20, FlushInterval: 15 * time.Millisecond, CheckCRC: true, Light: true, pace: pace{few: 1, late: 1}, Shared: os.Getenv(sharedVar) != ""}
}

// writeUntilKilled appends from several goroutines and tells on standard output what was acknowledged.
func writeUntilKilled(dir, round string, sync bool) error {
	o := crashOptions(dir, sync)
	if n, _ := strconv.Atoi(round); n%2 == 1 {
		o.DirectIO = DirectOn
	}
	s, err := Open(o)
	if err != nil {
		return err
	}
	errs := make(chan error)
	for w := range crashWriters {
		go func() { errs <- crashWriter(s, w, round) }()
	}
	return <-errs
}

func crashWriter(s *Store, w int, round string) error {
	q := s.Queue("Crash", int32(w%3)) // two writers share a queue
	done := make(chan error, 1)
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d-%d", round, w, i)
		ms := make([]*record.Message, 1+i%3)
		for j := range ms {
			ms[j] = message("Crash", q.ID(), fmt.Sprintf("%s.%d", id, j))
			ms[j].Body = append(ms[j].Body, strings.Repeat("x", (i*37+j*100)%5000)...)
			ms[j].Light = true
			ms[j].Properties = record.AppendProperty(ms[j].Properties, skua.PropMultiDispatch, fmt.Sprint("%LMQ%", w, ",%LMQ%all"))
		}
		r, err := s.Append(q, ms...)
		if err != nil {
			return err
		}
		s.WhenDurable(r.End, 10*time.Second, func(err error) { done <- err })
		if err := <-done; err != nil {
			return err
		}
		for j := range ms {
			if _, err := fmt.Printf("%s.%d %d %d\n", id, j, q.ID(), int(r.QueueOffset)+j); err != nil {
				return err
			}
		}
	}
}

// acks are acknowledged messages by id: where the child was told that they are.
type acks struct {
	at map[string]place
}

type place struct {
	queue  int32
	offset skua.QueueOffset
}

// killOnce lets a child write to dir for a while and kills it.
func (a *acks) killOnce(t *testing.T, dir string, round int, sync bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirVar+"="+dir, fmt.Sprintf("%s=%d", crashRoundVar, round))
	if sync {
		cmd.Env = append(cmd.Env, crashSyncVar+"=1")
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	life := time.Duration(5+rand.IntN(120)) * time.Millisecond
	var timer *time.Timer
	if round%4 == 3 { // dies in its own recovery, often
		timer = time.AfterFunc(rand.N(15*time.Millisecond), func() { cmd.Process.Kill() })
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Log(err)
			}
			break // what is left of a line was not acknowledged completely
		}
		if timer == nil {
			timer = time.AfterFunc(life, func() { cmd.Process.Kill() })
		}
		var id string
		var p place
		if _, err := fmt.Sscan(line, &id, &p.queue, &p.offset); err != nil {
			t.Fatalf("child said %q: %v", line, err)
		}
		a.at[id] = p
	}
	if err := cmd.Wait(); timer == nil {
		t.Fatalf("child ended: %v: %s", err, stderr.String())
	}
}

func TestKilledUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name   string
		sync   bool
		rounds int
	}{{"async", false, *kills}, {"sync", true, *kills / 2}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rounds := c.rounds
			if testing.Short() {
				rounds = 3
			}
			dir := t.TempDir()
			a := &acks{at: map[string]place{}}
			for round := range rounds {
				a.killOnce(t, dir, round, c.sync)
				if round%5 == 4 || round == rounds-1 {
					a.verify(t, crashOptions(dir, c.sync))
				}
			}
			t.Logf("%d acknowledged messages, all there", len(a.at))
		})
	}
}

// verify opens the store and checks that every acknowledged message is where it was said to be, and that none is in the
// log twice.
func (a *acks) verify(t *testing.T, o Options) {
	t.Helper()
	s := open(t, o)
	defer closed(t, s)
	seen, lights := map[string]int{}, map[string]int64{}
	eachRecord(t, s, func(m *record.Message) {
		seen[crashID(m.Body)]++
		record.EachLight(m, func(name []byte, off int64) bool {
			if e, ok := s.Find(name, 0).Entry(skua.QueueOffset(off)); !ok || e.LogOffset != m.LogOffset || off != lights[string(name)] {
				t.Errorf("%s has %+v at %d, where %s should be, the next number is %d", name, e, off, m.Body[:10], lights[string(name)])
			}
			lights[string(name)]++
			return true
		})
	})
	for name, n := range lights {
		if end := s.Find([]byte(name), 0).Max(); int64(end) != n {
			t.Errorf("%s ends at %d, the log has %d of its messages", name, end, n)
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s is in the log %d times", id, n)
		}
	}
	found := map[place]string{}
	var r ReadResult
	defer r.Release()
	for _, q := range s.Queues("Crash") {
		if q.Min() != 0 {
			t.Errorf("queue %d begins at %d", q.ID(), q.Min())
		}
		for next := skua.QueueOffset(0); next < q.Max(); next = r.Next {
			s.Read(q, ReadRequest{Offset: next, MaxMessages: 32}, &r)
			if r.Status != Found {
				t.Fatalf("queue %d at %d: %v", q.ID(), next, r.Status)
			}
			for _, b := range r.Records {
				m, _, _ := record.Decode(b)
				if !m.BodyIntact() {
					t.Errorf("queue %d at %d: body is damaged", q.ID(), m.QueueOffset)
				}
				found[place{q.ID(), m.QueueOffset}] = crashID(m.Body)
			}
		}
	}
	for id, p := range a.at {
		if found[p] != id {
			t.Fatalf("%s was acknowledged at %v, but there is %q", id, p, found[p])
		}
	}
}

func crashID(body []byte) string {
	id, _, _ := strings.Cut(string(body), "x")
	return id
}

// eachRecord walks over the log as it is in the files.
func eachRecord(t *testing.T, s *Store, yield func(m *record.Message)) {
	t.Helper()
	if err := s.log.drain(); err != nil {
		t.Fatal(err)
	}
	in := scanner{run: s.log.run}
	for at, end := int64(s.Min()), s.log.end.Load(); at < end; {
		m, n, err := in.record(at)
		if errors.Is(err, record.ErrBlank) {
			at += s.o.SegmentSize - at%s.o.SegmentSize
			continue
		}
		if err != nil {
			t.Fatalf("log offset %d: %v", at, err)
		}
		yield(&m)
		at += int64(n)
	}
}
