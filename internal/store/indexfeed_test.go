package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/record"
)

// The index that appenders feed is, byte for byte, the one that is made of the log.
func TestFedIndexIsThatOfTheLog(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(fmt.Sprint("sync=", sync), func(t *testing.T) {
			o := small(t.TempDir())
			o.SyncFlush = sync
			s := open(t, o)
			for i := range 900 {
				m := message("T", 0, fmt.Sprint(i))
				m.Properties = record.AppendProperties(nil, map[string]string{"UNIQ_KEY": fmt.Sprint("u", i), "KEYS": fmt.Sprintf("k%d  l%d", i, i/7)})
				if i%5 == 0 {
					m.Properties = nil
				}
				m.SysFlag = int32(i%4) << 2 // each kind of transaction
				if _, err := s.Append(s.Queue("T", 0), m); err != nil {
					t.Fatal(err)
				}
				if i%300 == 299 {
					closed(t, s)
					s = open(t, o)
				}
			}
			closed(t, s)
			fed := indexBytes(t, o.Dir)
			if err := os.RemoveAll(filepath.Join(o.Dir, "index")); err != nil {
				t.Fatal(err)
			}
			closed(t, open(t, o))
			if read := indexBytes(t, o.Dir); len(fed) == 0 || !bytes.Equal(fed, read) {
				t.Errorf("%d bytes of index, which differ from the %d that are made of the log", len(fed), len(read))
			}
		})
	}
}

// A record may have its keys in two files. When the second one is gone, all that it had comes back.
func TestLastIndexFilesRemoved(t *testing.T) {
	o := small(t.TempDir())
	o.IndexSlots, o.IndexItems = 10, 21 // and the keys of a record are three
	s := open(t, o)
	for i := range 60 {
		m := message("T", 0, fmt.Sprint(i))
		m.Properties = record.AppendProperties(nil, map[string]string{"UNIQ_KEY": fmt.Sprint("u", i), "KEYS": fmt.Sprintf("k%d l%d", i, i)})
		if _, err := s.Append(s.Queue("T", 0), m); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	whole := indexBytes(t, o.Dir)
	names, err := indexNames(filepath.Join(o.Dir, "index"))
	if err != nil || len(names) < 5 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for n := len(names) - 1; n > 0; n-- {
		for _, name := range append(names[n:], filepath.Join(o.Dir, "skua")) {
			if err := os.RemoveAll(name); err != nil {
				t.Fatal(err)
			}
		}
		closed(t, open(t, o))
		if again := indexBytes(t, o.Dir); !bytes.Equal(again, whole) {
			t.Errorf("without file %d and what is behind it %d bytes are made, which differ from the %d that were there", n, len(again), len(whole))
		}
		if names, err = indexNames(filepath.Join(o.Dir, "index")); err != nil {
			t.Fatal(err)
		}
	}
}

// indexBytes returns all index files of a store, one behind the other.
func indexBytes(t *testing.T, dir string) (all []byte) {
	t.Helper()
	names, err := indexNames(filepath.Join(dir, "index"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// What a feed has no room for is left to the log.
func TestFeedThatOverflows(t *testing.T) {
	var f feed
	f.begin(100)
	m := &record.Message{LogOffset: 100}
	f.add(make([]keyed, maxFed), []*record.Message{m}, 1, 200)
	if f.from != 100 || f.to != 200 || len(f.keys) != maxFed {
		t.Fatalf("from %d to %d, %d keys", f.from, f.to, len(f.keys))
	}
	f.add(make([]keyed, 1), []*record.Message{m}, 1, 300)
	if f.from != 300 || f.to != 300 || len(f.keys) != 0 {
		t.Fatalf("from %d to %d, %d keys", f.from, f.to, len(f.keys))
	}
}
