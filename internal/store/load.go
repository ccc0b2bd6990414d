package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"

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
	for _, topic := range topics {
		if s.o.Batched != nil && s.o.Batched(topic) != batch {
			s.o.Log.Warn("queues are not of the kind that the topic's attribute queue.type says, and are left alone", "directory",
				filepath.Join(root, topic))
			continue
		}
		ids, err := readDirs(filepath.Join(root, topic))
		if err != nil {
			return err
		}
		for _, name := range ids {
			id, err := strconv.ParseInt(name, 10, 32)
			if err != nil || id < 0 || strconv.FormatInt(id, 10) != name {
				continue // none of ours
			}
			q := s.queueOf(topic, int32(id), batch)
			if q.batch != batch {
				continue
			}
			err = q.load()
			if errors.Is(err, segment.ErrGap) {
				s.doubt, err = err, os.RemoveAll(q.dir())
			}
			if err != nil {
				return err
			}
		}
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
		lo, hi := start+1, start+perFile // entries before lo exist, hi is behind the file
		for lo < hi {
			mid := lo + (hi-lo)/2
			if _, err := q.unit(mid); err == nil {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		return lo
	}
	return begin
}
