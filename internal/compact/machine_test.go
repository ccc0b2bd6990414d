package compact

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

const sectorSize = 512

// machine is a computer that can fail, and lose its power: it remembers what files held before each write that was not synced,
// and the names that were changed in directories that were not.
type machine struct {
	dir   string
	err   func(call string) error // asked before everything
	undo  map[string]map[int64][]byte
	names []nameChange
	n     int // of backups
}

// nameChange is a file that got a name or lost it.
type nameChange struct {
	path   string
	from   string // it was renamed from there; "": it was made, or removed
	backup string // what had the name before, "" if nothing had
}

func newMachine(t testing.TB) *machine {
	return &machine{dir: quickDir(t), err: func(string) error { return nil }, undo: map[string]map[int64][]byte{}}
}

func (m *machine) faults() segment.Faults {
	return segment.Faults{
		Write: func(path string, off int64, n int) (int, error) {
			err := m.err("write " + path)
			if err != nil {
				n = rand.IntN(n + 1)
			}
			m.remember(path, off, int64(n))
			return n, err
		},
		Sync: func(path string) error {
			err := m.err("sync " + path)
			if err == nil {
				delete(m.undo, path)
			}
			return err
		},
		Change: m.change,
	}
}

func (m *machine) change(op, path string) error {
	if err := m.err(op + " " + path); err != nil {
		return err
	}
	c := nameChange{path: path}
	switch op {
	case "sync":
		m.names = slices.DeleteFunc(m.names, func(c nameChange) bool { return filepath.Dir(c.path) == path })
		return nil
	case "rename":
		if c.from = filepath.Join(filepath.Dir(path), layout.CompactingDir, filepath.Base(path)); !exists(c.from) {
			c.from = path + ".tmp"
		}
		if !exists(c.from) {
			return nil
		}
	case "create", "remove":
	default:
		return nil
	}
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		m.n++
		c.backup = filepath.Join(m.dir, "backup", segment.FileName(int64(m.n)))
		os.MkdirAll(filepath.Dir(c.backup), 0o755)
		os.Link(path, c.backup)
	}
	m.names = append(m.names, c)
	delete(m.undo, path)
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// remember keeps what a file holds in the sectors of n bytes at off.
func (m *machine) remember(path string, off, n int64) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	if m.undo[path] == nil {
		m.undo[path] = map[int64][]byte{}
	}
	for s := off / sectorSize; s*sectorSize < off+n; s++ {
		if _, ok := m.undo[path][s]; !ok {
			b := make([]byte, sectorSize)
			k, _ := f.ReadAt(b, s*sectorSize)
			m.undo[path][s] = b[:k]
		}
	}
}

// lose undoes some of what is not on disk. The log must not be used any more.
func (m *machine) lose() {
	for path, sectors := range m.undo {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		for s, old := range sectors {
			if rand.IntN(2) == 0 {
				f.WriteAt(old, s*sectorSize)
			}
		}
		f.Close()
	}
	keep := rand.IntN(len(m.names) + 1)
	for _, c := range slices.Backward(m.names[keep:]) {
		if c.from != "" {
			os.MkdirAll(filepath.Dir(c.from), 0o755)
			os.Rename(c.path, c.from)
		} else if exists(c.path) && !strings.HasSuffix(c.path, ".tmp") {
			os.Remove(c.path)
		}
		if c.backup != "" {
			os.MkdirAll(filepath.Dir(c.path), 0o755)
			os.Rename(c.backup, c.path)
		}
	}
	m.undo, m.names = map[string]map[int64][]byte{}, nil
}

// quickDir is a directory in memory, if there is one: what the disk keeps is for machine to say.
func quickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "skua-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
