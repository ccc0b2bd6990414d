package store

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// loadQueues finds the queues and where they end.
func (s *Store) loadQueues() error {
	_, err := os.Stat(filepath.Join(s.o.Dir, layout.ExtDir))
	s.extended = err == nil
	return errors.Join(s.loadFolder(layout.QueueDir), s.loadFolder(layout.BatchQueueDir))
}

// loadFolder finds the queues of one kind.
func (s *Store) loadFolder(name string) error {
	batch := name == layout.BatchQueueDir
	root := filepath.Join(s.o.Dir, name)
	topics, err := readDirs(root)
	if err != nil {
		return err
	}
	return inParallel(slices.Values(topics), func(topic string) error {
		if s.o.Batched != nil && s.o.Batched(topic) != batch {
			s.o.Log.Warn("queues are not of the kind that the topic's attribute queue.type says, and are left alone", "directory",
				filepath.Join(root, topic))
			return nil
		}
		return s.loadTopic(root, topic, batch)
	})
}

// loadTopic finds the queues of a topic and where they end.
func (s *Store) loadTopic(root, topic string, batch bool) error {
	ids, err := readDirs(filepath.Join(root, topic))
	if err != nil {
		return err
	}
	for _, name := range ids {
		id, ok := queueNumber(name)
		if !ok {
			continue // none of ours
		}
		q := s.queueOf(topic, id, batch)
		if q.batch != batch {
			continue
		}
		err = q.load()
		if errors.Is(err, segment.ErrGap) {
			s.queues.mu.Lock() // others load, too
			s.doubt = err
			s.queues.mu.Unlock()
			err = os.RemoveAll(q.dir())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// queueNumber is the number of the queue to which a folder of this name belongs.
func queueNumber(name string) (int32, bool) {
	id, err := strconv.ParseInt(name, 10, 32)
	return int32(id), err == nil && id >= 0 && strconv.FormatInt(id, 10) == name
}

// inParallel calls f for all items, several at a time, and returns an error if one of the calls does. After an error it
// takes no new items.
func inParallel[T any](items iter.Seq[T], f func(T) error) error {
	var wait sync.WaitGroup
	var failed atomic.Pointer[error]
	work := make(chan T, 64)
	for range 2 * runtime.GOMAXPROCS(0) { // they wait for the disk now and then
		wait.Go(func() {
			for item := range work {
				if err := f(item); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	for item := range items {
		if failed.Load() != nil {
			break
		}
		work <- item
	}
	close(work)
	wait.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// readDirs lists the directories in dir, none if it does not exist.
func readDirs(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("store: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// load finds the end of the queue's entries: the first place without one in the last file that has any.
func (q *Queue) load() error {
	files, err := findShelf(q)
	if err != nil {
		return err
	}
	begin, end := files.bounds()
	if begin == end {
		return nil
	}
	q.shelf = files
	q.tailFrom = math.MaxInt64 // everything is in files
	if !q.batch {
		end = q.endOfUnits(begin, end, q.store.o.QueueFileSize/layout.UnitSize)
	}
	q.setEnd(end)
	return q.loadExtension()
}

// endOfUnits is the first offset without an entry, given the offsets and the size of the files.
func (q *Queue) endOfUnits(begin, end, perFile int64) int64 {
	for start := end - perFile; start >= begin; start -= perFile {
		if _, err := q.unit(start); err != nil {
			continue
		}
		return q.endInFile(start+1, start+perFile)
	}
	return begin
}

// endInFile is the first offset without an entry, at least lo and at most hi. Most queues are short, and what lies far
// behind the end of one may have to come from the disk: it looks near lo first.
func (q *Queue) endInFile(lo, hi int64) int64 {
	const block = 4096 / layout.UnitSize
	b := make([]byte, block*layout.UnitSize)
	for step := int64(block); hi-lo > block; step *= 2 {
		at := min(lo+step, hi-1)
		if _, err := q.unit(at); err == nil {
			lo = at + 1
		} else {
			hi = at
			break
		}
	}
	for hi-lo > block {
		mid := lo + (hi-lo)/2
		if _, err := q.unit(mid); err == nil {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	n, err := q.units(b[:(hi-lo)*layout.UnitSize], lo, true)
	for i := 0; err == nil && i < n; i++ {
		if _, ok := layout.DecodeUnit(b[i*layout.UnitSize:]); !ok {
			return lo + int64(i)
		}
	}
	if err != nil {
		return lo
	}
	return hi
}
