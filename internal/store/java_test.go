package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// manifest tells what Java found in a store.
type manifest struct {
	Begin, End skua.LogOffset
	Queues     []struct {
		Topic    string
		ID       int32
		Min, Max skua.QueueOffset
		Units    [][]int64 // queue offset, log offset, size, tags code
		// Of a queue with extensions, by queue offset: the store time, and the bit map if there is one.
		Times   map[skua.QueueOffset]int64
		Filters map[skua.QueueOffset][]byte
		// Of a batch queue, by queue offset of the first message: how many messages the record has.
		Batch  bool
		Counts map[skua.QueueOffset]int
	}
	Index []struct {
		Topic, Key string
		Offsets    []int64
	}
	Records []struct {
		Topic               string
		Queue               int32
		QueueOffset, Offset int64
		SHA256              string
	}
}

var javaStores = []string{"basic", "killed", "torn", "deleted", "deleted-log", "propcrc", "slave", "kinds"}

// unpack makes a directory from a Java store, and returns options that fit it.
func unpack(t testing.TB, variant string) (Options, manifest) {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join("testdata", "java", variant+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for in := tar.NewReader(z); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(in)
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644), os.Chtimes(path, h.ModTime, h.ModTime))
		if err != nil {
			t.Fatal(err)
		}
	}
	var m manifest
	if b, err = os.ReadFile(filepath.Join("testdata", "java", variant+".json")); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	o := small(dir)
	// Not in the time of retention, whenever the test runs.
	o.SegmentSize, o.DeleteWhen, o.ReservedTime = 262144, "04", 1000000*time.Hour
	o.BatchQueueSize, o.ExtensionSize, o.Extend = 920, 65536, variant == "kinds"
	o.Seal = variant == "propcrc"
	return o, m
}

func TestJavaStores(t *testing.T) {
	for _, variant := range javaStores {
		t.Run(variant, func(t *testing.T) {
			t.Parallel()
			o, m := unpack(t, variant)
			want := m
			for round := range 2 {
				s := open(t, o)
				checkManifest(t, s, want)
				appendToAll(t, s, &want, round)
				checkManifest(t, s, want)
				closed(t, s)
			}
			// Java does not know skua/, and may take it away.
			if err := os.RemoveAll(filepath.Join(o.Dir, layout.OwnDir)); err != nil {
				t.Fatal(err)
			}
			s := open(t, o)
			checkManifest(t, s, want)
			closed(t, s)
		})
	}
}

// appendToAll adds messages to each queue, and to what is wanted of it: more than fit into a file of the queue.
func appendToAll(t *testing.T, s *Store, m *manifest, round int) {
	t.Helper()
	m.Queues = slices.Clone(m.Queues)
	for i := range m.Queues {
		want := &m.Queues[i]
		q := s.Queue(want.Topic, want.ID)
		if q.Batch() != want.Batch {
			t.Fatalf("%s %d: batch %t", want.Topic, want.ID, q.Batch())
		}
		for j := range 30 {
			add := message(want.Topic, want.ID, fmt.Sprint("more", round, j))
			if want.Batch && j%2 == 0 {
				add = bundle(want.Topic, want.ID, 3, fmt.Sprint("more", round, j))
			}
			r, err := s.Append(q, add)
			if err != nil || r.QueueOffset != want.Max {
				t.Fatalf("append to %s %d: %+v, %v, want it at %d", want.Topic, want.ID, r, err, want.Max)
			}
			if round+i+j == 0 && r.LogOffset != m.End {
				t.Fatalf("appended at %d, the log ended at %d", r.LogOffset, m.End)
			}
			want.Max += skua.QueueOffset(r.Messages)
			want.Units = append(want.Units, []int64{int64(r.QueueOffset), int64(r.LogOffset), int64(add.Size), record.TagsCode(add.Properties)})
		}
	}
	m.End = s.Max()
}

func checkManifest(t *testing.T, s *Store, m manifest) {
	t.Helper()
	if s.Min() != m.Begin || s.Max() != m.End {
		t.Errorf("log from %d to %d, want %d to %d", s.Min(), s.Max(), m.Begin, m.End)
	}
	for _, r := range m.Records {
		b, err := s.Record(skua.LogOffset(r.Offset))
		if err != nil {
			t.Fatalf("record at %d: %v", r.Offset, err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != r.SHA256 {
			t.Errorf("record at %d differs", r.Offset)
		}
	}
	for _, want := range m.Queues {
		q := s.Queue(want.Topic, want.ID)
		for _, r := range m.Records {
			if r.Topic == want.Topic && r.Queue == want.ID {
				// Java leaves the least offset at 0 when the first file of a queue has no live entry. Skua does not.
				want.Min = max(want.Min, skua.QueueOffset(r.QueueOffset))
				break
			}
		}
		if q.Min() != want.Min || q.Max() != want.Max {
			t.Errorf("%s %d: from %d to %d, want %d to %d", q.Topic(), q.ID(), q.Min(), q.Max(), want.Min, want.Max)
		}
		for _, u := range want.Units {
			if u[1] < int64(m.Begin) {
				continue
			}
			if e, ok := q.Entry(skua.QueueOffset(u[0])); !ok || int64(e.LogOffset) != u[1] || int64(e.Size) != u[2] || e.TagsCode != u[3] {
				t.Fatalf("%s %d: entry %v, want %v", q.Topic(), q.ID(), e, u)
			}
			off := skua.QueueOffset(u[0])
			if at, want := want.Times[off], want.Filters[off]; at > 0 {
				if x, ok := q.Extension(off); !ok || x.StoreTime != at || !bytes.Equal(x.Filter, want) {
					t.Fatalf("%s %d: extension of entry %d is %+v, %t, want %d and %x", q.Topic(), q.ID(), off, x, ok, at, want)
				}
			}
			for i := range want.Counts[off] {
				if e, ok := q.Entry(off + skua.QueueOffset(i)); !ok || int64(e.LogOffset) != u[1] {
					t.Fatalf("%s %d: entry %d is %+v, %t, want record %d", q.Topic(), q.ID(), int(off)+i, e, ok, u[1])
				}
			}
		}
	}
	for _, want := range m.Index {
		got, err := s.Query(want.Topic, want.Key, 64, 0, math.MaxInt64)
		if err != nil {
			t.Fatal(err)
		}
		var offsets []int64
		for _, b := range got.Records {
			r, _, _ := record.Decode(b)
			offsets = append(offsets, int64(r.LogOffset))
		}
		slices.Sort(want.Offsets)
		if !slices.Equal(offsets, want.Offsets) {
			t.Errorf("%s %s: found at %v, want %v", want.Topic, want.Key, offsets, want.Offsets)
		}
	}
}

// Records that Skua writes are the ones that Java wrote, byte for byte.
func TestSameBytesAsJava(t *testing.T) {
	for _, variant := range []string{"basic", "propcrc"} {
		t.Run(variant, func(t *testing.T) { writeAgain(t, variant) })
	}
}

func writeAgain(t *testing.T, variant string) {
	o, m := unpack(t, variant)
	s := open(t, o)
	mine := small(t.TempDir())
	mine.SegmentSize, mine.Seal = o.SegmentSize, variant == "propcrc"
	var now clock
	mine.Now = now.read
	again := open(t, mine)
	for _, r := range m.Records {
		b, err := s.Record(skua.LogOffset(r.Offset))
		if err != nil {
			t.Fatal(err)
		}
		msg, _, err := record.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		now.Store(msg.StoreTime)
		if _, err := again.Append(again.Queue(r.Topic, r.Queue), &msg); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	closed(t, again)
	for _, dir := range []string{"commitlog", "consumequeue"} {
		sameFiles(t, filepath.Join(o.Dir, dir), filepath.Join(mine.Dir, dir))
	}
	sameIndex(t, o.Dir, mine.Dir) // made from the keys that appenders handed over
	for _, dir := range []string{"index", layout.OwnDir} {
		if err := os.RemoveAll(filepath.Join(mine.Dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, open(t, mine))
	sameIndex(t, o.Dir, mine.Dir) // made from the log
}

// sameIndex compares the index files of two stores, which are named by the time when they were made.
func sameIndex(t *testing.T, want, got string) {
	t.Helper()
	a, err := indexNames(filepath.Join(want, "index"))
	b, err2 := indexNames(filepath.Join(got, "index"))
	if err != nil || err2 != nil || len(a) == 0 || len(a) != len(b) {
		t.Fatalf("index files %v and %v, %v, %v", a, b, err, err2)
	}
	for i := range a {
		x, err := os.ReadFile(a[i])
		y, err2 := os.ReadFile(b[i])
		if err != nil || err2 != nil || !bytes.Equal(x, y) {
			t.Errorf("index file %d differs from Java's: %v, %v", i, err, err2)
		}
	}
}

func sameFiles(t *testing.T, want, got string) {
	t.Helper()
	err := filepath.WalkDir(want, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(want, path)
		a, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err == nil && !bytes.Equal(a, b) {
			for i := range a {
				if i >= len(b) || a[i] != b[i] {
					return fmt.Errorf("%s differs at byte %d", rel, i)
				}
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Java's answers to the question for an offset by time. Not among them: times before the first message of a queue whose
// least offset Java has not corrected; there it names the message before the first one.
func TestJavaOffsetsByTime(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "java", "times.txt"))
	if err != nil {
		t.Fatal(err)
	}
	stores := map[string]*Store{}
	for line := range strings.Lines(string(data)) {
		var variant, topic string
		var id int32
		var ms int64
		var lower, upper skua.QueueOffset
		if n, _ := fmt.Sscan(line, &variant, &topic, &id, &ms, &lower, &upper); n != 6 {
			continue // the comment
		}
		if stores[variant] == nil {
			o, _ := unpack(t, variant)
			stores[variant] = open(t, o)
		}
		q := stores[variant].Queue(topic, id)
		if l, u := q.OffsetByTime(ms, false), q.OffsetByTime(ms, true); l != lower || u != upper {
			t.Errorf("%s, queue %d of %s at %d: %d and %d, Java says %d and %d", variant, id, topic, ms, l, u, lower, upper)
		}
	}
	if len(stores) != 2 {
		t.Error("times.txt lacks a store")
	}
}
