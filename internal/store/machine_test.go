package store

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

const sectorSize = 512

// machine is a computer that can lose its power: it remembers what a file held before each write that was not synced, so
// that any part of these can be undone. Files that are mapped come back as they were when they were synced last, or newer.
// Names of files and directories are lost unless the directory above them was synced.
type machine struct {
	mu     sync.Mutex
	undo   map[string]map[int64][]byte // by file and sector
	mapped map[string][]byte           // content at the last sync, by file
	names  []string                    // made and not durable, in order
	steady bool                        // it never loses its power, and need not remember anything
	err    func(call string) error     // asked before everything; nil: nothing fails
}

func newMachine() *machine {
	return &machine{undo: map[string]map[int64][]byte{}, mapped: map[string][]byte{}}
}

func (m *machine) fault(call string) error {
	m.mu.Lock()
	f := m.err
	m.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(call)
}

// faults is the seam between a store and the machine.
func (m *machine) faults() segment.Faults {
	return segment.Faults{
		Write: func(path string, off int64, n int) (int, error) {
			if err := m.fault("write " + path); err != nil {
				n /= 2
				m.remember(path, off, int64(n))
				return n, err
			}
			m.remember(path, off, int64(n))
			return n, nil
		},
		Sync: func(path string) error {
			if err := m.fault("sync " + path); err != nil {
				return err
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.steady {
				return nil
			}
			delete(m.undo, path)
			switch filepath.Base(filepath.Dir(path)) {
			case "index":
				m.mapped[path], _ = os.ReadFile(path)
			case "commitlog": // a time as good as any other for the system to write some of the ring
				ring := filepath.Join(filepath.Dir(path), "..", layout.OwnDir, layout.StagingFile)
				m.mapped[filepath.Clean(ring)], _ = os.ReadFile(ring)
			}
			return nil
		},
		Reserve: func(path string) error { return m.fault("reserve " + path) },
		Change:  m.change,
	}
}

func (m *machine) change(op, path string) error {
	if err := m.fault(op + " " + path); err != nil {
		return err
	}
	if m.steady {
		return nil
	}
	if op == "cut" {
		m.rememberCut(path)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch op {
	case "create":
		var missing []string
		for p := path; ; p = filepath.Dir(p) {
			if _, err := os.Lstat(p); err == nil {
				break
			}
			missing = append(missing, p)
		}
		slices.Reverse(missing)
		m.names = append(m.names, missing...)
	case "remove":
		delete(m.undo, path)
		delete(m.mapped, path)
		m.names = slices.DeleteFunc(m.names, func(p string) bool { return p == path })
	case "syncfs":
		clear(m.undo)
		m.names = nil
	case "sync":
		delete(m.undo, path)
		m.names = slices.DeleteFunc(m.names, func(p string) bool { return filepath.Dir(p) == path })
	}
	return nil
}

// remember keeps what a file holds in the sectors of n bytes at off.
func (m *machine) remember(path string, off, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.steady {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	first, last := off/sectorSize, (off+n+sectorSize-1)/sectorSize
	b := make([]byte, (last-first)*sectorSize)
	k, _ := f.ReadAt(b, first*sectorSize)
	m.keep(path, first, last, b[:k], func([]byte) bool { return true })
}

// rememberCut keeps what a file holds, apart from zeros: what is cut off becomes that.
func (m *machine) rememberCut(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	zero := make([]byte, sectorSize)
	for at := int64(0); ; {
		from, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if err != nil {
			return // no more
		}
		to, err := unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return
		}
		b := make([]byte, to-from)
		k, _ := f.ReadAt(b, from)
		m.keep(path, from/sectorSize, (to+sectorSize-1)/sectorSize, b[:k], func(sector []byte) bool { return !bytes.Equal(sector, zero[:len(sector)]) })
		at = to
	}
}

// keep keeps the sectors from first to before last, of which b is what the file has, if they are wanted and not known yet.
func (m *machine) keep(path string, first, last int64, b []byte, wanted func(sector []byte) bool) {
	sectors := m.undo[path]
	if sectors == nil {
		sectors = map[int64][]byte{}
		m.undo[path] = sectors
	}
	for s := first; s < last; s++ {
		at := min((s-first)*sectorSize, int64(len(b)))
		old := b[at:min(at+sectorSize, int64(len(b)))] // at the end of a file less, or nothing
		if _, ok := sectors[s]; !ok && wanted(old) {
			sectors[s] = old
		}
	}
}

// lose undoes some of what was not synced: each sector for which lost says so, and the names from the first one that is
// lost on. The store must be dead. dir is the store's directory.
func (m *machine) lose(t testing.TB, dir string, lost func() bool) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for path, sectors := range m.undo {
		m.rollBack(t, path, sectors, lost)
	}
	m.loseMapped(t, dir, lost)
	if i := slices.IndexFunc(m.names, func(string) bool { return lost() }); i >= 0 {
		for _, gone := range m.names[i:] {
			if err := os.RemoveAll(gone); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.undo, m.names = map[string]map[int64][]byte{}, nil
	forgetBoot(t, dir)
}

func (m *machine) rollBack(t testing.TB, path string, sectors map[int64][]byte, lost func() bool) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s, old := range sectors {
		if !lost() {
			continue
		}
		if len(old) == 0 {
			err = f.Truncate(s * sectorSize)
		} else {
			_, err = f.WriteAt(old, s*sectorSize)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// loseMapped rolls back files that are written through memory: the index, and the ring.
func (m *machine) loseMapped(t testing.TB, dir string, lost func() bool) {
	paths, _ := filepath.Glob(filepath.Join(dir, "index", "*"))
	for _, path := range append(paths, filepath.Join(dir, layout.OwnDir, layout.StagingFile)) {
		now, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		old := m.mapped[path]
		for at := 0; at < len(now); at += 8 * sectorSize {
			if page := now[at:min(at+8*sectorSize, len(now))]; lost() {
				clear(page)
				if at < len(old) {
					copy(page, old[at:])
				}
			}
		}
		m.mapped[path] = now
		if err := os.WriteFile(path, now, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// forgetBoot makes the machine one that was booted since.
func forgetBoot(t testing.TB, dir string) {
	own := filepath.Join(dir, layout.OwnDir)
	if b, err := os.ReadFile(filepath.Join(own, layout.CheckpointFile)); err == nil {
		if c, ok := layout.DecodeCheckpoint(b); ok {
			c.Boot[0] ^= 0x5a
			if err := os.WriteFile(filepath.Join(own, layout.CheckpointFile), c.Encode(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	ring := filepath.Join(own, layout.StagingFile)
	b := make([]byte, 1)
	if f, err := os.Open(ring); err == nil {
		f.ReadAt(b, 32) // the boot id, see layout.StagingHead
		f.Close()
		b[0] ^= 0x5a
		if err := overwriteAt(ring, b, 32); err != nil {
			t.Fatal(err)
		}
	}
}
