package interop

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// smallFiles makes every kind of file roll within a few thousand messages.
var smallFiles = []string{"mappedFileSizeCommitLog=1048576", "mappedFileSizeConsumeQueue=4000", "maxHashSlotNum=1000", "maxIndexNum=4000"}

// A directory goes from hand to hand: each side adds to what the others wrote and finds all of it.
func TestStoreGoesBetweenJavaAndSkua(t *testing.T) {
	for _, sides := range [][]cluster.Side{
		{cluster.Skua, cluster.Java, cluster.Skua},
		{cluster.Java, cluster.Skua, cluster.Java},
	} {
		t.Run(fmt.Sprint(sides), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				sides = []cluster.Side{cluster.Java, cluster.Java, cluster.Java}
			}
			handAround(t, sides)
		})
	}
}

// The same with the log in several directories: both sides take turns in the same way.
func TestStoreInSeveralDirectories(t *testing.T) {
	t.Parallel()
	sides := []cluster.Side{cluster.Java, cluster.Skua, cluster.Java}
	if !needSkua() {
		sides[1] = cluster.Java
	}
	root := t.TempDir()
	dirs := []string{filepath.Join(root, "b"), filepath.Join(root, "a"), filepath.Join(root, "c")}
	handAround(t, sides, "storePathCommitLog="+strings.Join(dirs, ","), "readOnlyCommitLogStorePaths="+dirs[2])
	for i, dir := range []string{dirs[1], dirs[0]} {
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 3 {
			t.Errorf("%s: %d files, %v", dir, len(files), err)
		}
		for _, f := range files {
			if start, err := strconv.Atoi(f.Name()); err != nil || start>>20%2 != i {
				t.Errorf("%s is in %s", f.Name(), dir)
			}
		}
	}
	if files, _ := os.ReadDir(dirs[2]); len(files) > 0 {
		t.Errorf("%d files in the directory for old files", len(files))
	}
}

func handAround(t *testing.T, sides []cluster.Side, settings ...string) {
	names, broker := private(t, cluster.Side(*namesSide), sides[0], append(settings, smallFiles...)...)
	l := newLedger("StoreA", "StoreB", "Store-"+strings.Repeat("long", 20))
	for i, side := range sides {
		if i > 0 {
			broker = handOver(t, broker, side)
		}
		c := dial(t, broker.Addr)
		l.check(t, c, fmt.Sprintf("%s after %v", side, sides[:i]))
		if i == 0 {
			for _, name := range l.topics {
				topic(t, names, broker, name, ledgerQueues)
			}
			if err := c.CreateGroup("StoreGroup"); err != nil {
				t.Error(err)
			}
		} else if route, err := dial(t, names.Addr).TopicRoute(l.topics[2]); err != nil || route[0].Write != ledgerQueues {
			t.Errorf("%s: route %v, %v", side, route, err)
		}
		l.write(t, c, 1500)
		l.delay(t, c, i)
		if err := c.Commit("StoreGroup", "StoreA", 1, int64(i+1)); err != nil {
			t.Error(err)
		}
		l.check(t, c, fmt.Sprintf("%s, its own", side))
	}
	var got received
	newConsumer(t, names, "StoreReader", "StoreA", "*", got.keep)
	want := 0
	for queue := range ledgerQueues {
		want += len(l.queues[place("StoreA", queue)])
	}
	eventually(t, 30*time.Second, "all messages at a consumer", func() bool { return got.count() >= want })
	l.checkDelayed(t, dial(t, broker.Addr), len(sides))
	if err := broker.Stop(); err != nil {
		t.Error(err)
	}
}

const ledgerQueues = 4

// entry is one acknowledged message.
type entry struct {
	offset    int64
	id, key   string
	tag, body string
	logOffset int64 // filled in by the first check
	size      int   // of the record; likewise
	storedAt  int64
}

// ledger is what a broker must hold: everything that was acknowledged, by topic and queue.
type ledger struct {
	topics []string
	queues map[string][]entry // topic/queue -> messages in order
	sent   int
	round  int
}

func newLedger(topics ...string) *ledger {
	return &ledger{topics: topics, queues: map[string][]entry{}}
}

func place(topic string, queue int) string { return fmt.Sprint(topic, "/", queue) }

// write sends n messages, many at a time, over all queues.
func (l *ledger) write(t *testing.T, c *remoting.Conn, n int) {
	t.Helper()
	l.round++
	var wait sync.WaitGroup
	var mu sync.Mutex
	window := make(chan struct{}, 64)
	for range n {
		i := l.sent
		l.sent++
		name, queue := l.topics[i%len(l.topics)], i/len(l.topics)%ledgerQueues
		e := entry{id: fmt.Sprintf("%032X", i+1), key: fmt.Sprintf("key%d", i), tag: "Tag" + string("ABC"[i%3]),
			body: fmt.Sprintf("message %d %s", i, strings.Repeat("x", i*37%3000))}
		window <- struct{}{}
		wait.Add(1)
		properties := remoting.Properties(map[string]string{"UNIQ_KEY": e.id, "KEYS": e.key + " all" + fmt.Sprint(i%100), "TAGS": e.tag})
		c.Go(remoting.SendV2, remoting.SendFields(name, queue, properties), []byte(e.body), func(f *remoting.Frame, err error) {
			defer wait.Done()
			<-window
			if err != nil || f.Code != 0 {
				t.Errorf("send %d: %+v, %v", i, f, err)
				return
			}
			e.offset = f.Int("queueOffset")
			mu.Lock()
			l.queues[place(name, queue)] = append(l.queues[place(name, queue)], e)
			mu.Unlock()
		})
	}
	wait.Wait()
	for _, q := range l.queues {
		slices.SortFunc(q, func(a, b entry) int { return cmp.Compare(a.offset, b.offset) })
	}
}

// delayTopic receives the delayed messages.
const delayTopic = "StoreDelayed"

// delay sends one message that falls due at once-ish and one that falls due when another broker has the directory.
func (l *ledger) delay(t *testing.T, c *remoting.Conn, round int) {
	t.Helper()
	for _, level := range []string{"1", "4"} { // 1 s, 30 s
		body := fmt.Sprintf("round %d level %s", round, level)
		if _, err := c.Send(delayTopic, 0, map[string]string{"DELAY": level, "UNIQ_KEY": fmt.Sprintf("%030dDE", round*10+len(level))}, []byte(body)); err != nil {
			t.Error(err)
		}
	}
}

func (l *ledger) checkDelayed(t *testing.T, c *remoting.Conn, rounds int) {
	t.Helper()
	var want, got []string
	for round := range rounds {
		want = append(want, fmt.Sprintf("round %d level 1", round), fmt.Sprintf("round %d level 4", round))
	}
	eventually(t, time.Minute, "delayed messages of all rounds", func() bool {
		all, err := c.Read(delayTopic, 0, 0)
		if err != nil && len(all) == 0 {
			return false
		}
		got = got[:0]
		for _, r := range all {
			got = append(got, string(r.Body))
		}
		return len(got) >= len(want)
	})
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("delayed messages: %q instead of %q", got, want)
	}
}

// check reads everything and compares: queues, keys, ids, times, committed offsets.
func (l *ledger) check(t *testing.T, c *remoting.Conn, who string) {
	t.Helper()
	for _, name := range l.topics {
		for queue := range ledgerQueues {
			want := l.queues[place(name, queue)]
			if len(want) == 0 {
				continue
			}
			var first, end int64
			var err error
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				// Java acknowledges a message before it can be read.
				if first, end, err = c.Bounds(name, queue); end == int64(len(want)) || time.Now().After(deadline) {
					break
				}
			}
			if err != nil || first != 0 || end != int64(len(want)) {
				t.Errorf("%s: %s-%d reaches from %d to %d (%v), %d messages were acknowledged", who, name, queue, first, end, err, len(want))
			}
			got, err := c.Read(name, queue, 0)
			if err != nil || len(got) != len(want) {
				t.Errorf("%s: %s-%d: read %d of %d messages: %v", who, name, queue, len(got), len(want), err)
				continue
			}
			for i, r := range got {
				e := &want[i]
				if e.storedAt == 0 {
					e.logOffset, e.size, e.storedAt = r.LogOffset, r.Size, r.StoreTime
				}
				if r.Offset != e.offset || string(r.Body) != e.body || r.Properties["UNIQ_KEY"] != e.id || r.Properties["TAGS"] != e.tag ||
					r.LogOffset != e.logOffset || r.StoreTime != e.storedAt || r.Topic != name || r.QueueID != queue {
					t.Fatalf("%s: %s-%d message %d is %.200v, was %.200v", who, name, queue, i, r, *e)
				}
			}
			l.checkQueries(t, c, who, name, queue, want)
		}
	}
	if l.round > 0 {
		if at, err := c.Committed("StoreGroup", "StoreA", 1); (err != nil || at != int64(l.round)) && !strings.Contains(who, "own") {
			t.Errorf("%s: committed offset %d, %v instead of %d", who, at, err, l.round)
		}
	}
}

// checkQueries looks messages of each round up by key, by unique id, by log offset and by time.
func (l *ledger) checkQueries(t *testing.T, c *remoting.Conn, who, name string, queue int, want []entry) {
	t.Helper()
	for i := 0; i < len(want); i += 1 + len(want)/6 {
		e := want[i]
		for _, unique := range []bool{false, true} {
			key := e.key
			if unique {
				key = e.id
			}
			var got []remoting.Record
			eventually(t, 20*time.Second, fmt.Sprintf("%s: key %s of %s-%d", who, key, name, queue), func() bool {
				var err error
				got, err = c.Query(name, key, unique)
				return err == nil && len(got) > 0
			})
			if len(got) != 1 || string(got[0].Body) != e.body {
				t.Errorf("%s: %d messages for key %s of %s, the first at %d", who, len(got), key, name, got[0].LogOffset)
			}
		}
		if r, err := c.View(e.logOffset); err != nil || string(r.Body) != e.body {
			t.Errorf("%s: message at %d: %v, %v", who, e.logOffset, r.Offset, err)
		}
		at, err := c.OffsetAt(name, queue, e.storedAt)
		if err != nil || at < 0 || at > e.offset || want[at].storedAt != e.storedAt {
			t.Errorf("%s: offset of %s-%d at %d ms is %d (%v), the message stored then has %d", who, name, queue, e.storedAt, at, err, e.offset)
		}
	}
}
