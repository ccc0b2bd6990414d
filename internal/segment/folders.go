package segment

import (
	"iter"
	"sync"
)

// folders are the directories of a run.
type folders interface {
	// all yields every directory once.
	all() iter.Seq[string]
	// of returns the directory of the file that starts at start and has a number.
	of(start, number int64) string
	// set notes where a file is, or that it is no more when dir is "".
	set(start int64, dir string)
}

// Folder is a directory. Its name must always be the same.
type Folder interface {
	Folder() string
}

// named is a directory that is kept by name.
type named string

// Folder is the name.
func (n named) Folder() string { return string(n) }

// single is one directory.
type single struct{ Folder }

func (s single) all() iter.Seq[string] {
	return func(yield func(string) bool) { yield(s.Folder.Folder()) }
}
func (s single) of(_, _ int64) string { return s.Folder.Folder() }
func (s single) set(int64, string)    {}

// spread is several directories, which take turns with new files.
type spread struct {
	dirs Dirs
	mu   sync.Mutex
	home map[int64]string // by start
}

func (s *spread) all() iter.Seq[string] { return s.dirs.all() }

func (s *spread) of(start, number int64) string {
	s.mu.Lock()
	dir := s.home[start]
	s.mu.Unlock()
	if dir == "" {
		dir = s.dirs.choose(number)
	}
	return dir
}

func (s *spread) set(start int64, dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir == "" {
		delete(s.home, start)
		return
	}
	s.home[start] = dir
}
