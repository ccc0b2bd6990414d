package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// bits is a filter bit map that tells its message: as long as its body, at most 200 bytes.
func bits(m *record.Message) []byte {
	if len(m.Body) == 1 {
		return nil
	}
	return bytes.Repeat(m.Body, 200)[:min(200, 40*len(m.Body))]
}

func extended(dir string) Options {
	o := small(dir)
	o.Extend, o.ExtensionSize, o.FilterBits = true, 1000, func(dst []byte, m *record.Message) []byte { return append(dst, bits(m)...) }
	return o
}

// checkExtensions looks at entries from offset from on of a queue whose messages are the numbers.
func checkExtensions(t *testing.T, s *Store, q *Queue, from int) {
	t.Helper()
	for i := from; i < int(q.Max()); i++ {
		m := message(q.Topic(), q.ID(), fmt.Sprint(i))
		e, ok := q.Entry(skua.QueueOffset(i))
		if !ok || e.TagsCode != record.TagsCode(m.Properties) {
			t.Fatalf("entry %d: %+v, %t", i, e, ok)
		}
		x, ok := q.Extension(skua.QueueOffset(i))
		at, _ := q.StoreTime(skua.QueueOffset(i))
		if !ok || x.StoreTime != at || !bytes.Equal(x.Filter, bits(m)) {
			t.Fatalf("extension %d: %+v, %t", i, x, ok)
		}
	}
	var r ReadResult
	defer r.Release()
	s.Read(q, ReadRequest{Offset: skua.QueueOffset(from), MaxMessages: 32, Match: func(tags int64) bool { return tags != 'A' }}, &r)
	if len(r.Records) != 0 {
		t.Errorf("a tags code is not that of the message: %d records pass", len(r.Records))
	}
}

func TestExtensions(t *testing.T) {
	o := extended(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 100)
	q := s.Queue("T", 0)
	checkExtensions(t, s, q, 0)
	if _, ok := s.Queue("%LMQ%a", 0).Extension(0); ok {
		t.Error("an empty queue has an extension")
	}
	appendN(t, s, "%LMQ%a", 0, 0, 3)
	if _, ok := s.Queue("%LMQ%a", 0).Extension(0); ok {
		t.Error("a light queue has extensions")
	}
	closed(t, s)
	if files, _ := os.ReadDir(q.extensionDir()); len(files) < 5 {
		t.Errorf("%d files", len(files))
	}

	// Without the key what is there is read, and new entries get none.
	o.Extend = false
	s = open(t, o)
	q = s.Queue("T", 0)
	checkExtensions(t, s, q, 0)
	appendN(t, s, "T", 0, 100, 110)
	if _, ok := q.Extension(105); ok {
		t.Error("an entry has an extension without the key")
	}
	closed(t, s)

	// And with it again.
	o.Extend = true
	s = open(t, o)
	appendN(t, s, "T", 0, 110, 150)
	checkExtensions(t, s, s.Queue("T", 0), 110)
	closed(t, s)

	// Everything is made again from the log: when the queues are lost, and when only the extensions are.
	for _, lost := range []string{layout.QueueDir, layout.ExtDir} {
		for _, dir := range []string{lost, layout.OwnDir} {
			if err := os.RemoveAll(filepath.Join(o.Dir, dir)); err != nil {
				t.Fatal(err)
			}
		}
		s = open(t, o)
		checkExtensions(t, s, s.Queue("T", 0), 0)
		closed(t, s)
	}
	s = open(t, o)
	if err := s.DeleteTopic("T"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(q.extensionDir())); !os.IsNotExist(err) {
		t.Errorf("extensions of a topic that was deleted: %v", err)
	}
}

// Queue entries behind a torn end of the log are cut, and their extensions with them.
func TestExtensionsAreCut(t *testing.T) {
	o := extended(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 60)
	end, _ := s.Queue("T", 0).Entry(40)
	closed(t, s)
	path := filepath.Join(o.Dir, layout.LogDir, "00000000000000000000")
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, o.SegmentSize-int64(end.LogOffset)), int64(end.LogOffset)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.RemoveAll(filepath.Join(o.Dir, layout.OwnDir)); err != nil {
		t.Fatal(err)
	}
	// As a crash would have left it.
	if err := os.WriteFile(filepath.Join(o.Dir, layout.AbortFile), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.Dir, layout.JavaCheckpointFile)); err != nil {
		t.Fatal(err)
	}
	s = open(t, o)
	if got := s.Queue("T", 0).Max(); got != 40 {
		t.Fatalf("queue ends at %d", got)
	}
	appendN(t, s, "T", 0, 40, 70)
	checkExtensions(t, s, s.Queue("T", 0), 0)
	closed(t, s)
	checkUnits(t, s.Queue("T", 0).extensionDir(), 70)
}

// checkUnits reads the extension files of a queue as Java does at its start, from the first to the last.
func checkUnits(t *testing.T, dir string, want int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for size := 0; ; n++ {
			b = b[size:]
			if _, size = layout.DecodeExtUnit(b); size <= 0 {
				break
			}
		}
		if len(b) < layout.ExtSpare || binary.BigEndian.Uint16(b) != 0 && binary.BigEndian.Uint16(b) != 0xFFFF {
			t.Errorf("%s ends in %x", path, b)
		}
	}
	if n != want {
		t.Errorf("%d units in the files, want %d", n, want)
	}
}

// Retention takes the extensions of entries that it takes.
func TestExtensionsExpire(t *testing.T) {
	o := extended(t.TempDir())
	o.ReservedTime = time.Minute
	s := open(t, o)
	for i := range 60 {
		m := message("T", 0, fmt.Sprint(i))
		m.Body = append(bytes.Repeat([]byte{'x'}, 4000), m.Body...)
		if _, err := s.Append(s.Queue("T", 0), m); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	before, _ := os.ReadDir(s.Queue("T", 0).extensionDir())
	o.Now = func() time.Time { return time.Now().Add(time.Hour) }
	s = open(t, o)
	if n := s.DeleteExpired(); n == 0 {
		t.Fatal("nothing expired")
	}
	q := s.Queue("T", 0)
	after, _ := os.ReadDir(q.extensionDir())
	if len(after) >= len(before) {
		t.Errorf("%d files, before %d", len(after), len(before))
	}
	for i := q.Min(); i < q.Max(); i++ {
		if _, ok := q.Extension(i); !ok {
			t.Fatalf("extension %d of %d to %d is lost", i, q.Min(), q.Max())
		}
	}
}
