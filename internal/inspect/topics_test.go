package inspect

import (
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// feedQueue appends n messages to one queue. Their bodies are life and their offset.
func feedQueue(t testing.TB, s *store.Store, topic string, id int32, life string, n int) {
	t.Helper()
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	from := int(s.Queue(topic, id).Max())
	for i := from; i < from+n; i++ {
		m := &record.Message{Topic: []byte(topic), QueueID: id, Body: fmt.Append(nil, life, i), BornTime: 1, BornHost: host, StoreHost: host,
			Properties: record.AppendProperties(nil, map[string]string{"KEYS": fmt.Sprint(life, i)})}
		if _, err := s.Append(s.Queue(topic, id), m); err != nil {
			t.Fatal(err)
		}
	}
}

// Messages of the deleted topics below that have no queue any more: T/0 to T/3 had 40 each, D/0 had 10.
const deletedMessages = 4*40 + 10

// remade fills a store: topic T has four queues, is deleted and made again, and gets messages in two of them, fewer and
// more than before. D is deleted for good, Keep is not.
func remade(t testing.TB, s *store.Store) {
	t.Helper()
	feedQueue(t, s, "Keep", 0, "keep", 20)
	for id := range int32(4) {
		feedQueue(t, s, "T", id, "old", 40)
	}
	feedQueue(t, s, "D", 0, "old", 10)
	if err := errors.Join(s.DeleteTopic("T"), s.DeleteTopic("D")); err != nil {
		t.Fatal(err)
	}
	feedQueue(t, s, "T", 0, "new", 5)
	feedQueue(t, s, "T", 1, "new", 60)
	feedQueue(t, s, "Keep", 0, "keep", 20)
}

// writeTopics writes topics.json; topics names them with their numbers of queues.
func writeTopics(t testing.TB, dir, name, topics string) {
	t.Helper()
	var table []string
	for _, f := range strings.Fields(topics) {
		topic, queues, _ := strings.Cut(f, ":")
		table = append(table, fmt.Sprintf(`"%s":{"readQueueNums":1,"topicName":"%s","writeQueueNums":%s}`, topic, topic, queues))
	}
	text := fmt.Sprintf(`{"dataVersion":{"counter":7,"stateVersion":0,"timestamp":1},"topicConfigTable":{%s}}`, strings.Join(table, ","))
	write(t, []byte(text), dir, layout.ConfigDir, name)
}

func write(t testing.TB, b []byte, names ...string) {
	t.Helper()
	path := filepath.Join(names...)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, names ...string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(names...)); err != nil {
		t.Fatal(err)
	}
}

// wantQueue makes sure that a queue has messages of one life only, up to offset n.
func wantQueue(t testing.TB, s *store.Store, topic string, id int32, life string, n int) {
	t.Helper()
	q := s.Queue(topic, id)
	if int(q.Max()) != n {
		t.Errorf("queue %s/%d has %d messages, want %d", topic, id, q.Max(), n)
		return
	}
	for at := q.Min(); at < q.Max(); {
		var out store.ReadResult
		s.Read(q, store.ReadRequest{Offset: at, MaxMessages: 32}, &out)
		for _, b := range out.Records {
			if m, _, err := record.Decode(b); err != nil || string(m.Body) != fmt.Sprint(life, m.QueueOffset) {
				t.Errorf("queue %s/%d has %q at %d, %v", topic, id, m.Body, m.QueueOffset, err)
			}
		}
		next := out.Next
		out.Release()
		if next <= at {
			t.Fatalf("a read at %d leads to %d, %v", at, next, out.Status)
		}
		at = next
	}
}

// Messages of deleted topics are no finding where something tells that they are; queues that are missing stay one.
func TestVerifyDeletedTopics(t *testing.T) {
	line := func(counter int, change string) string {
		text := fmt.Sprintf(`{"version":{"counter":%d,"stateVersion":0,"timestamp":1},%s}`, counter, change)
		return fmt.Sprintf("%08x %s\n", crc32.ChecksumIEEE([]byte(text)), text)
	}
	shrunk := `"put":[{"readQueueNums":2,"topicName":"T","writeQueueNums":2}],"drop":""`
	journal := func(lines ...string) func(dir string) {
		return func(dir string) {
			writeTopics(t, dir, "topics.json", "T:4 Keep:1 D:1")
			write(t, []byte(strings.Join(lines, "")), dir, "skua", "topics")
		}
	}
	for _, c := range []struct {
		name    string
		noted   bool // Skua's notes are there
		prepare func(dir string)
		want    []string // of the findings, each once
	}{
		{"noted", true, func(string) {}, nil},
		{"noted, settings lost", true, func(dir string) { writeTopics(t, dir, "topics.json.bak", "T:4 Keep:1") }, nil},
		{"noted, queue missing", true, func(dir string) {
			remove(t, dir, "consumequeue/T/0")
			writeTopics(t, dir, "topics.json", "T:2 Keep:1")
		}, []string{"records of queue T/0, but the queue has no entries"}},
		{"noted, settings lost, queue missing", true, func(dir string) { remove(t, dir, "consumequeue/T/0") },
			[]string{"records of queue T/0, but the queue has no entries; if its topic was deleted they are no loss, but nobody can tell"}},
		{"fewer queues", false, func(dir string) { writeTopics(t, dir, "topics.json", "T:2 Keep:1") }, nil},
		{"as many queues", false, func(dir string) { writeTopics(t, dir, "topics.json", "T:4 Keep:1") },
			[]string{"records of queue T/2, but the queue has no entries", "records of queue T/3,"}},
		{"settings missing", false, func(dir string) { writeTopics(t, dir, "topics.json.bak", "T:2 Keep:1") },
			[]string{"queue T/2, but the queue has no entries; if its topic was deleted they are no loss, but nobody can tell: ", "queue T/3", "queue D/0"}},
		{"settings damaged", false, func(dir string) { write(t, []byte("{"), dir, "config/topics.json") },
			[]string{"topics.json cannot be read", "queue T/3", "queue D/0"}},
		{"topic with queues", false, func(dir string) {
			remove(t, dir, "consumequeue/Keep")
			writeTopics(t, dir, "topics.json", "T:2 Keep:1")
		}, []string{"records of queue Keep/0, but the queue has no entries"}},
		{"settings in the journal", false, journal(line(7, `"put":[{"topicName":"T"}],"drop":""`), line(8, shrunk), line(9, `"put":[],"drop":"D"`)), nil},
		{"torn journal", false, journal(line(8, shrunk), line(9, `"put":[],"drop":"D"`)[:30]), []string{"queue D/0"}},
		{"journal of nothing known", false, journal(line(8, `"put":7`)), []string{"the journal of topics cannot be read", "queue T/3", "queue D/0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			remade(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if !c.noted {
				remove(t, dir, "skua/deleted")
			}
			c.prepare(dir)
			found, v := verify(t, dir)
			for _, want := range c.want {
				i := slices.IndexFunc(found, func(f Finding) bool { return f.Kind == "entry" && strings.Contains(f.Detail, want) })
				if i < 0 {
					t.Fatalf("no finding says %q: %v", want, found)
				}
				found = slices.Delete(found, i, i+1)
			}
			for _, f := range found {
				t.Error(f)
			}
			if len(c.want) == 0 && v.Deleted != deletedMessages {
				t.Errorf("%d messages count as deleted, want %d", v.Deleted, deletedMessages)
			}
		})
	}
}

// A broker that runs, was killed, or keeps all entries in one log.
func TestVerifyDeletedTopicsOfABroker(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprint("shared=", shared), func(t *testing.T) {
			dir := t.TempDir()
			s := openWith(t, store.Options{Dir: dir, Shared: shared})
			remade(t, s)
			at := func(when, dir string) {
				t.Helper()
				found, v := verify(t, dir)
				if len(found) > 0 || v.Deleted != deletedMessages {
					t.Errorf("%s: %d messages are deleted, %v", when, v.Deleted, found)
				}
			}
			at("running", dir)
			copied := killed(t, dir)
			at("killed", copied)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			at("stopped", dir)

			// Repaired and started, it has nothing of what was deleted.
			scribble(t, first(t, copied, "commitlog/0*"), 100, garbage(8))
			repair(t, copied, false)
			s = openWith(t, store.Options{Dir: copied, Shared: shared})
			if got := s.Topics(); len(got) != 2 {
				t.Errorf("topics %q", got)
			}
			wantQueue(t, s, "T", 0, "new", 5)
			wantQueue(t, s, "T", 1, "new", 60)
			wantQueue(t, s, "T", 3, "new", 0)
		})
	}
}

// damageBody changes the first record whose body begins with text.
func damageBody(t testing.TB, dir, text string) {
	t.Helper()
	path := first(t, dir, "commitlog/0*")
	b, err := os.ReadFile(path)
	at := strings.Index(string(b), text)
	if err != nil || at < 0 {
		t.Fatal(at, err)
	}
	scribble(t, path, int64(at), []byte("x"))
}

// endOf is the offset behind the last entry of a queue, 0 if there is no such queue.
func endOf(t testing.TB, dir, topic string, id int32) int64 {
	t.Helper()
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := d.Summarize()
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range sum.Topics {
		for _, q := range of.Queues {
			if of.Topic == topic && q.ID == id {
				return q.Max
			}
		}
	}
	return 0
}

// A repair brings back what is missing, and nothing that was deleted.
func TestRepairDeletedTopics(t *testing.T) {
	for _, c := range []struct {
		name   string
		noted  bool
		damage func(dir string)
	}{
		{"queue missing", true, func(dir string) { remove(t, dir, "consumequeue/T/0") }},
		{"longer queue missing", true, func(dir string) { remove(t, dir, "consumequeue/T/1") }},
		{"several queues missing", true, func(dir string) { remove(t, dir, "consumequeue/T"); remove(t, dir, "consumequeue/D") }},
		{"entry damaged", true, func(dir string) { scribble(t, first(t, dir, "consumequeue/T/0/0*"), 3*20+8, []byte{0, 0, 0x12}) }},
		{"record damaged", true, func(dir string) { damageBody(t, dir, "new57") }},
		{"queue missing, first record damaged", true, func(dir string) {
			remove(t, dir, "consumequeue/T/0")
			damageBody(t, dir, "new0")
		}},
		{"not noted, entry damaged", false, func(dir string) { scribble(t, first(t, dir, "consumequeue/T/0/0*"), 3*20+8, []byte{0, 0, 0x12}) }},
		{"not noted, queue missing", false, func(dir string) { remove(t, dir, "consumequeue/T/0") }},
		{"not noted, longer queue missing", false, func(dir string) { remove(t, dir, "consumequeue/T/1") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir)
			remade(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if !c.noted {
				remove(t, dir, "skua/deleted")
			}
			writeTopics(t, dir, "topics.json", "T:2 Keep:1")
			c.damage(dir)
			if found, _ := verify(t, dir); len(found) == 0 {
				t.Fatal("nothing is found")
			}
			repair(t, dir, false)
			for _, f := range without(verify(t, dir)) {
				t.Errorf("still there: %v", f)
			}
			for id, max := range map[int32]int64{0: 5, 1: 60} {
				if got := endOf(t, dir, "T", id); got != max {
					t.Errorf("queue %d ends at %d, want %d", id, got, max)
				}
			}
			if !c.noted {
				return // what a start then reads again from the end of the log is not known to be deleted
			}
			s = openStore(t, dir)
			wantQueue(t, s, "T", 0, "new", 5)
			wantQueue(t, s, "T", 1, "new", 60)
			wantQueue(t, s, "T", 2, "old", 0)
			wantQueue(t, s, "D", 0, "old", 0)
			wantQueue(t, s, "Keep", 0, "keep", 40)
		})
	}
}
