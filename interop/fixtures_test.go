package interop

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// manifest describes a directory in testdata that a Java broker wrote: what Apache's own code found in it. basic and
// propcrc (a checksum in each record) were stopped cleanly, killed was not, and torn lost its end; of deleted the oldest
// files were removed by retention, of deleted-log by hand; slave is that of a slave; kinds has everything else.
type manifest struct {
	Properties map[string]string `json:"brokerProperties"`
	Records    []struct {
		Topic           string
		QueueID         int
		QueueOffset     int64
		CommitLogOffset int64
		StoreSize       int
		UniqKey         string
		Tags            string
		BodyLength      int
		Properties      map[string]string
	}
	Queues []struct {
		Topic    string
		QueueID  int
		Type     string
		Min, Max int64
	}
	Index []struct {
		Topic, Key       string
		CommitLogOffsets []int64
	}
	Config struct {
		Offsets savedOffsets `json:"consumerOffset.json"`
		Light   savedOffsets `json:"lmqConsumerOffset.json"`
	}
}

type savedOffsets struct {
	Table map[string]map[string]int64 `json:"offsetTable"`
}

// handed is a directory on its way between brokers, and what was added to it.
type handed struct {
	manifest
	added []added
}

// added is a message that one of the brokers acknowledged.
type added struct {
	topic         string
	queue         int
	offset        int64
	id, body, who string
}

// Each directory that Java wrote is opened where it stands, served, written to, and given to Java; and both once more.
func TestStoresWrittenByJava(t *testing.T) {
	for _, variant := range []string{"basic", "propcrc", "killed", "torn", "deleted", "deleted-log", "slave", "kinds"} {
		t.Run(variant, func(t *testing.T) {
			h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
			store := filepath.Join(h.Dir, "store-broker-a")
			if err := unpack(filepath.Join("testdata", variant, "store.tar.gz"), store); err != nil {
				t.Fatal(err)
			}
			d := handed{manifest: readManifest(t, variant)}
			// Retention must not take messages of last year.
			settings := []string{"fileReservedTime=876000"}
			for name, value := range d.Properties {
				settings = append(settings, name+"="+value)
			}
			side := cluster.Side(*brokerSide)
			before := javaFiles(t, store)
			broker, err := h.Broker(context.Background(), side, "broker-a", "", settings...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { broker.Kill() })
			for round := range 4 {
				who := fmt.Sprintf("%s %s, round %d", variant, broker.Side, round)
				c := dial(t, broker.Addr)
				d.check(t, c, who)
				d.add(t, c, who)
				d.check(t, c, who+", its own")
				if err := broker.Stop(); err != nil {
					t.Error(err)
				}
				if round == 0 && side == cluster.Skua {
					compareFiles(t, before, javaFiles(t, store))
				}
				if round == 3 {
					break
				}
				if round == 2 && variant == "basic" {
					fallBack(t, filepath.Join(store, "config"))
				}
				if err := os.RemoveAll(filepath.Join(store, "skua")); err != nil { // Java knows nothing of it
					t.Fatal(err)
				}
				next := cluster.Java
				if round%2 == 1 {
					next = side
				}
				broker = broker.With(next)
				if err := broker.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func readManifest(t *testing.T, variant string) (m manifest) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", variant, "manifest.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err == nil {
		err = json.NewDecoder(z).Decode(&m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// own reports whether a topic belongs to its users. The brokers' own topics get and lose messages by themselves, and of a
// compacted one Java serves what its compaction has left.
func own(topic string) bool {
	return !strings.ContainsAny(topic, "%") && !strings.HasPrefix(strings.ToLower(topic), "rmq_sys_") &&
		!slices.Contains([]string{"SCHEDULE_TOPIC_XXXX", "Static", "Compacted", "DefaultCluster_REPLY_TOPIC"}, topic) ||
		strings.HasPrefix(topic, "Topic-with")
}

// add sends messages to each queue; to a batch queue a batch, too.
func (d *handed) add(t *testing.T, c *remoting.Conn, who string) {
	t.Helper()
	for _, q := range d.Queues {
		if !own(q.Topic) {
			continue
		}
		for range 3 {
			a := added{topic: q.Topic, queue: q.QueueID, who: who, id: fmt.Sprintf("NEW%029d", len(d.added)), body: fmt.Sprint("message ", len(d.added), " of ", who)}
			properties := map[string]string{"UNIQ_KEY": a.id, "KEYS": "new", "TAGS": "TagN"}
			var err error
			if q.Type == "BatchCQ" {
				a.body = string(remoting.Batch("KEYS\x01inner\x02", []byte(a.body), []byte("another"), []byte("third")))
				var f *remoting.Frame
				if f, err = c.Call(remoting.SendBatch, remoting.SendFields(q.Topic, q.QueueID, remoting.Properties(properties)), []byte(a.body)); err == nil {
					a.offset = f.Int("queueOffset")
				}
			} else {
				a.offset, err = c.Send(q.Topic, q.QueueID, properties, []byte(a.body))
			}
			if err != nil || a.offset < q.Max {
				t.Errorf("%s: the next message of %s-%d got offset %d, %v; the queue ended at %d", who, q.Topic, q.QueueID, a.offset, err, q.Max)
				continue
			}
			d.added = append(d.added, a)
		}
	}
}

// check compares what a broker serves with the manifest and what was added.
func (d *handed) check(t *testing.T, c *remoting.Conn, who string) {
	t.Helper()
	found := map[int64]remoting.Record{}
	type place struct {
		topic  string
		queue  int
		offset int64
	}
	byPlace := map[place]remoting.Record{}
	for _, q := range d.Queues {
		if _, end, err := c.Bounds(q.Topic, q.QueueID); err != nil || end < q.Max {
			t.Errorf("%s: %s-%d ends at %d, %v instead of %d", who, q.Topic, q.QueueID, end, err, q.Max)
		}
		if !own(q.Topic) {
			continue
		}
		want, from := 0, q.Max
		for _, a := range d.added {
			if a.topic == q.Topic && a.queue == q.QueueID {
				want++
			}
		}
		for _, r := range d.Records {
			if r.Topic == q.Topic && r.QueueID == q.QueueID {
				want++
				from = min(from, r.QueueOffset) // before it Java serves what lies where lost messages have been
			}
		}
		var got []remoting.Record
		eventually(t, 20*time.Second, fmt.Sprintf("%s: %d messages of %s-%d", who, want, q.Topic, q.QueueID), func() bool {
			var err error
			if got, err = c.ReadAround(q.Topic, q.QueueID, from); err != nil {
				t.Fatalf("%s: %s-%d: %v", who, q.Topic, q.QueueID, err)
			}
			return len(got) >= want // Java acknowledges a message before it can be read
		})
		if q.Type == "BatchCQ" {
			checkBatches(t, c, got, who)
		}
		last := int64(-1)
		for _, r := range got {
			if r.Offset <= last {
				t.Errorf("%s: %s-%d: message %d after %d", who, q.Topic, q.QueueID, r.Offset, last)
			}
			last = r.Offset
			found[r.LogOffset], byPlace[place{q.Topic, q.QueueID, r.Offset}] = r, r
		}
	}
	for _, a := range d.added {
		r, ok := byPlace[place{a.topic, a.queue, a.offset}]
		if !ok || string(r.Body) != a.body || r.Properties["UNIQ_KEY"] != a.id {
			t.Errorf("%s: message %d of %s-%d, which %s took, is %.300v", who, a.offset, a.topic, a.queue, a.who, r)
		}
	}
	d.checkRecords(t, c, found, who)
	d.checkIndex(t, c, who)
	saved := d.Config.Offsets.Table
	if saved == nil {
		saved = d.Config.Light.Table
	}
	for name, queues := range saved {
		topic, group, _ := strings.Cut(name, "@")
		if strings.HasPrefix(group, "CID_RMQ_SYS_") {
			continue // the brokers' own go on by themselves
		}
		for queue, want := range queues {
			var id int
			fmt.Sscan(queue, &id)
			if got, err := c.Committed(group, topic, id); err != nil || got != want {
				t.Errorf("%s: committed offset of %s, queue %s: %d, %v instead of %d", who, name, queue, got, err, want)
			}
		}
	}
}

// checkBatches reads a batch queue from each of its offsets: the record that holds the message comes whole, others follow
// as long as their messages are not too many.
func checkBatches(t *testing.T, c *remoting.Conn, records []remoting.Record, who string) {
	t.Helper()
	const limit = 6
	ends := make([]int64, len(records)) // of each record in the queue
	for i, r := range records {
		ends[i] = r.Offset + 1
		if n := r.Properties["INNER_NUM"]; n != "" {
			var count int64
			fmt.Sscan(n, &count)
			ends[i] = r.Offset + count
		}
	}
	for i, r := range records {
		for off := r.Offset; off < ends[i]; off++ {
			last := i
			for last+1 < len(records) && ends[last+1]-r.Offset <= limit {
				last++
			}
			got, next, err := c.PullOnce(r.Topic, r.QueueID, off, limit)
			if err != nil || len(got) != last-i+1 || got[0].Offset != r.Offset || next != ends[last] {
				t.Errorf("%s: %s at %d, which lies in the record at %d: %d records, %v, next offset %d; want %d, next %d", who, r.Topic, off,
					r.Offset, len(got), err, next, last-i+1, ends[last])
			}
		}
	}
}

// checkRecords compares the records of the manifest with those that were found, or are at their place in the log.
func (d *handed) checkRecords(t *testing.T, c *remoting.Conn, found map[int64]remoting.Record, who string) {
	t.Helper()
	for _, want := range d.Records {
		r, ok := found[want.CommitLogOffset]
		if !ok {
			var err error
			if r, err = c.View(want.CommitLogOffset); err != nil || own(want.Topic) {
				t.Errorf("%s: message at %d of %s-%d: not in its queue, %v", who, want.CommitLogOffset, want.Topic, want.QueueID, err)
				continue
			}
		}
		same := r.Topic == want.Topic && r.QueueID == want.QueueID && r.Offset == want.QueueOffset && r.Size == want.StoreSize &&
			len(r.Body) == want.BodyLength && r.Properties["UNIQ_KEY"] == want.UniqKey && r.Properties["TAGS"] == want.Tags
		for name, value := range want.Properties {
			same = same && r.Properties[name] == value
		}
		if !same {
			t.Errorf("%s: message at %d: %.300v instead of %.300v", who, want.CommitLogOffset, r, want)
		}
	}
}

// checkIndex looks for the keys of the manifest, and for some that are new.
func (d *handed) checkIndex(t *testing.T, c *remoting.Conn, who string) {
	t.Helper()
	for _, want := range d.Index {
		got, err := c.Query(want.Topic, want.Key, false)
		var at []int64
		for _, r := range got {
			at = append(at, r.LogOffset)
		}
		for _, off := range want.CommitLogOffsets {
			if !slices.Contains(at, off) && len(at) < 64 {
				t.Errorf("%s: key %s of %s: messages at %v, %v instead of %v", who, want.Key, want.Topic, at, err, want.CommitLogOffsets)
				break
			}
		}
	}
	for i := 0; i < len(d.added); i += 1 + len(d.added)/5 {
		a := d.added[i]
		eventually(t, 20*time.Second, fmt.Sprintf("%s: %s of %s by its id", who, a.body, a.topic), func() bool {
			got, err := c.Query(a.topic, a.id, true)
			return err == nil && len(got) == 1 && string(got[0].Body) == a.body
		})
	}
}

// javaFiles reads the files of a directory that Skua has no business with: what it writes is left out.
func javaFiles(t *testing.T, store string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(store, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(store, path)
		name = filepath.ToSlash(name)
		switch {
		case err != nil:
			return err
		case e.IsDir():
			if slices.Contains([]string{"commitlog", "consumequeue", "consumequeue_ext", "batchconsumequeue", "index", "timerlog", "skua"}, name) {
				return filepath.SkipDir
			}
			return nil
		}
		switch strings.TrimSuffix(name, ".bak") {
		case "abort", "lock", "checkpoint", "config/topics.json", "config/subscriptionGroup.json", "config/consumerOffset.json", "config/lmqConsumerOffset.json", "config/delayOffset.json",
			"config/timercheck", "config/timermetrics", "timerwheel":
			return nil
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func compareFiles(t *testing.T, before, after map[string][]byte) {
	t.Helper()
	for name, want := range before {
		if got, ok := after[name]; !ok || !bytes.Equal(got, want) {
			t.Errorf("%s: there afterwards: %t, changed: %t", name, ok, !bytes.Equal(got, want))
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s is new", name)
		}
	}
}

// fallBack leaves of each config file only the copy that brokers keep.
func fallBack(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"topics.json", "subscriptionGroup.json", "consumerOffset.json", "delayOffset.json"} {
		path := filepath.Join(dir, name)
		if err := cmp.Or(os.Rename(path, path+".bak"), os.WriteFile(path, []byte("{"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// unpack extracts an archive into dir; files keep their times, which retention goes by.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	files := tar.NewReader(z)
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, files)
		if err := errors.Join(err, out.Close(), os.Chtimes(path, h.ModTime, h.ModTime)); err != nil {
			return err
		}
	}
}
