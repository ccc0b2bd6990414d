package interop

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

var kills = flag.Int("kills", 24, "how often the broker is killed under load with ASYNC_FLUSH, and a quarter of it with SYNC_FLUSH")

const (
	crashTopic  = "CrashTopic"
	crashQueues = 8
)

// A broker is killed with SIGKILL under load, again and again. Whatever it acknowledged is there after each start, once.
func TestKilledBrokerLosesNothing(t *testing.T) {
	for flush, rounds := range map[string]int{"ASYNC_FLUSH": *kills, "SYNC_FLUSH": (*kills + 3) / 4} {
		t.Run(flush, func(t *testing.T) {
			h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
			broker, err := h.Broker(context.Background(), cluster.Side(*brokerSide), "broker-a", "",
				"flushDiskType="+flush, "mappedFileSizeCommitLog=8388608", "mappedFileSizeConsumeQueue=100000",
				"maxHashSlotNum=10000", "maxIndexNum=40000")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { broker.Kill() })
			survive(t, broker, rounds)
		})
	}
}

func survive(t *testing.T, broker *cluster.Server, rounds int) {
	if err := dial(t, broker.Addr).CreateTopic(crashTopic, crashQueues); err != nil {
		t.Fatal(err)
	}
	a := &acknowledged{at: map[string]position{}}
	var slowest time.Duration
	for round := range rounds {
		a.load(t, broker, round, 200*time.Millisecond+rand.N(500*time.Millisecond))
		if round%4 == 3 { // and once more, in the middle of the start
			if err := broker.Launch(); err != nil {
				t.Fatal(err)
			}
			_ = broker.Process.Stop(rand.N(60 * time.Millisecond))
			broker.Kill()
		}
		begin := time.Now()
		if err := broker.Start(context.Background()); err != nil {
			t.Fatalf("start after kill %d: %v", round+1, err)
		}
		slowest = max(slowest, time.Since(begin))
		a.verify(t, broker, fmt.Sprint("after kill ", round+1))
		if t.Failed() {
			keepStore(t, broker)
			return
		}
	}
	clear(a.seen)
	a.checked = [crashQueues]int64{}
	a.verify(t, broker, "at the end")
	if err := broker.Stop(); err != nil {
		t.Error(err)
	}
	a.verifyFiles(t, filepath.Join(broker.Store, "commitlog"))
	t.Logf("%d messages acknowledged, %d more stored, slowest start %v", len(a.at), len(a.seen)-len(a.at), slowest)
	if t.Failed() {
		keepStore(t, broker)
	}
}

// keepStore moves the store of a failed run out of the way of the clean-up.
func keepStore(t *testing.T, broker *cluster.Server) {
	broker.Kill()
	kept, err := os.MkdirTemp("", "skua-crash-")
	if err == nil {
		err = os.Rename(broker.Store, filepath.Join(kept, "store"))
	}
	t.Logf("store kept in %s (%v); output of the broker:\n%s", kept, err, broker.Tail())
}

// position is where a message was acknowledged to be.
type position struct {
	queue  int
	offset int64
}

// acknowledged knows what the broker promised, and what of it was found.
type acknowledged struct {
	mu      sync.Mutex // guards at while a load runs
	at      map[string]position
	seen    map[string]position
	checked [crashQueues]int64 // up to where each queue has been read
}

// load sends with many requests in flight from several connections until the broker is killed in the middle of it; in some
// rounds in the middle of a stop.
func (a *acknowledged) load(t *testing.T, broker *cluster.Server, round int, length time.Duration) {
	t.Helper()
	var senders sync.WaitGroup
	var refused atomic.Value
	for s := range 5 {
		c, err := remoting.Dial(broker.Addr)
		if err != nil {
			t.Fatal(err)
		}
		senders.Go(func() {
			defer c.Close()
			a.send(c, fmt.Sprintf("%d.%d", round, s), s == 0, &refused)
		})
	}
	time.Sleep(length) // the load itself, not a wait for anything
	stopping := round%4 == 1
	if stopping {
		_ = broker.Process.Stop(rand.N(80 * time.Millisecond))
	}
	broker.Kill()
	senders.Wait()
	if err := refused.Load(); err != nil && !stopping {
		t.Errorf("round %d: a send was refused: %v", round, err)
	}
}

// send keeps 32 requests in flight until the connection breaks. With batch, each request holds five messages.
func (a *acknowledged) send(c *remoting.Conn, name string, batch bool, refused *atomic.Value) {
	window := make(chan struct{}, 32)
	var broken atomic.Bool
	var open sync.WaitGroup
	for n := 0; !broken.Load(); n++ {
		bodies := make([][]byte, 1)
		if batch {
			bodies = make([][]byte, 5)
		}
		for i := range bodies {
			bodies[i] = fmt.Appendf(nil, "%s.%d.%d %s", name, n, i, strings.Repeat("x", rand.N(2000)))
		}
		queue := n % crashQueues
		code, body := remoting.SendV2, bodies[0]
		fields := remoting.SendFields(crashTopic, queue, remoting.Properties(map[string]string{"KEYS": "crash", "TAGS": "t"}))
		if batch {
			code, body = remoting.SendBatch, remoting.Batch("KEYS\x01crash\x02", bodies...)
			fields["m"] = "true"
		}
		window <- struct{}{}
		open.Add(1)
		c.Go(code, fields, body, func(f *remoting.Frame, err error) {
			defer open.Done()
			<-window
			switch {
			case err != nil:
				broken.Store(true)
			case f.Code != 0:
				refused.Store(&remoting.Error{Code: f.Code, Remark: f.Remark})
				broken.Store(true)
			default:
				a.mu.Lock()
				for i, b := range bodies {
					a.at[key(b)] = position{queue, f.Int("queueOffset") + int64(i)}
				}
				a.mu.Unlock()
			}
		})
	}
	open.Wait()
}

// key is the part of a body that no other message has.
func key(body []byte) string {
	name, _, _ := strings.Cut(string(body), " ")
	return name
}

// verify reads what was stored since the last time and looks for all that was acknowledged.
func (a *acknowledged) verify(t *testing.T, broker *cluster.Server, when string) {
	t.Helper()
	if a.seen == nil {
		a.seen = map[string]position{}
	}
	c, err := remoting.Dial(broker.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for queue := range crashQueues {
		all, err := c.Read(crashTopic, queue, a.checked[queue])
		if err != nil {
			t.Errorf("%s: queue %d: %v", when, queue, err)
		}
		for _, r := range all {
			id, at := key(r.Body), position{queue, r.Offset}
			if old, twice := a.seen[id]; twice {
				t.Errorf("%s: message %s is at %v and at %v", when, id, old, at)
			}
			a.seen[id] = at
		}
		a.checked[queue] += int64(len(all))
	}
	lost := 0
	for id, want := range a.at {
		if got, ok := a.seen[id]; !ok || got != want {
			if lost++; lost <= 10 {
				t.Errorf("%s: message %s was acknowledged at %v: found %v, at %v", when, id, want, ok, got)
			}
		}
	}
	if lost > 0 {
		t.Errorf("%s: %d of %d acknowledged messages are lost or elsewhere", when, lost, len(a.at))
	}
}

// verifyFiles reads the commit log itself: each message must be there once, even if no queue points at it.
func (a *acknowledged) verifyFiles(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "[0-9]*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no commit log in %s: %v", dir, err)
	}
	count := map[string]int{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		records, err := remoting.DecodeAll(data)
		if err != nil && !errors.Is(err, remoting.ErrEnd) {
			t.Errorf("%s: %v", file, err)
		}
		for _, r := range records {
			if r.Topic == crashTopic {
				count[key(r.Body)]++
			}
		}
	}
	for id, n := range count {
		if n != 1 {
			t.Errorf("message %s is %d times in the commit log", id, n)
		}
	}
	if len(count) < len(a.at) {
		t.Errorf("%d messages in the commit log, %d were acknowledged", len(count), len(a.at))
	}
}

// Delayed messages that were acknowledged are delivered although the broker was killed right after.
func TestKilledBrokerDeliversDelayedMessages(t *testing.T) {
	t.Parallel()
	h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
	broker, err := h.Broker(context.Background(), cluster.Side(*brokerSide), "broker-a", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Kill() })
	c, err := remoting.Dial(broker.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := map[string]bool{}
	for i := range 300 {
		body := fmt.Sprint("delayed ", i)
		if _, err := c.Send("DelayedCrash", 0, map[string]string{"DELAY": fmt.Sprint(1 + i%2)}, []byte(body)); err != nil {
			t.Fatal(err)
		}
		want[body] = true
	}
	for range 2 {
		time.Sleep(rand.N(time.Second)) // some are delivered, some are not, some are in between
		broker.Kill()
		if err := broker.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	again := dial(t, broker.Addr)
	eventually(t, time.Minute, "all delayed messages", func() bool {
		got := map[string]bool{}
		all, _ := again.Read("DelayedCrash", 0, 0)
		for _, r := range all {
			got[string(r.Body)] = true
		}
		return len(got) == len(want)
	})
}
