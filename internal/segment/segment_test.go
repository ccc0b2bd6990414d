package segment

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func fill(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func mustOpen(t *testing.T, d *Disk, size int64, dir string) *Run {
	t.Helper()
	r, err := Open(d, size, dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantBounds(t *testing.T, r *Run, begin, end int64) {
	t.Helper()
	if b, e := r.Bounds(); b != begin || e != end {
		t.Errorf("run from %d to %d, want %d to %d", b, e, begin, end)
	}
}

func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	d := NewDisk(2, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 100, dir)
	wantBounds(t, r, 0, 0)
	data := append(fill('a', 150), fill('b', 200)...)
	if err := r.WriteAt(data, 250); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, r, 200, 600)
	for range 2 {
		got := make([]byte, len(data))
		if err := r.ReadAt(got, 250); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("read %q, %v", got, err)
		}
		if err := r.Sync(250, 600); err != nil {
			t.Fatal(err)
		}
		r = mustOpen(t, d, 100, dir) // finds the same again
		wantBounds(t, r, 200, 600)
	}
	for _, off := range []int64{0, 199, 600, 555} {
		if err := r.ReadAt(make([]byte, 50), off); !errors.Is(err, ErrOutside) {
			t.Errorf("read at %d: %v", off, err)
		}
	}
	if err := r.WriteAt([]byte("x"), 700); !errors.Is(err, ErrOutside) {
		t.Errorf("write behind a gap: %v", err)
	}
	if err := r.Truncate(420); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, r, 200, 500)
	got := make([]byte, 100)
	if err := r.ReadAt(got, 400); err != nil || !bytes.Equal(got, append(fill('b', 20), make([]byte, 80)...)) {
		t.Fatalf("after cutting: %q, %v", got, err)
	}
	if n, err := r.DropBefore(399); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	wantBounds(t, r, 300, 500)
	if n, err := r.DropBefore(10000); n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	wantBounds(t, r, 400, 500)
	if err := r.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("directory is left: %v", err)
	}
}

func TestReserveAndDropEmpty(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 4096, t.TempDir())
	if err := r.Reserve(0, 3*4096); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, r, 0, 3*4096)
	if err := r.DropEmpty(4096); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, r, 0, 4096)
	if err := r.DropEmpty(0); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, r, 0, 4096)
	if !r.Cached(0) && r.WriteAt([]byte("x"), 0) == nil && !r.Cached(0) {
		t.Log("the file system does not tell what is cached")
	}
	if at, err := r.ModTime(0); err != nil || time.Since(at) > time.Hour {
		t.Errorf("modified %v, %v", at, err)
	}
}

func openDirs(t *testing.T, d *Disk, size int64, dirs Dirs) *Run {
	t.Helper()
	r, err := OpenDirs(d, size, dirs)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSeveralDirs(t *testing.T) {
	root := t.TempDir()
	a, b, old := filepath.Join(root, "a"), filepath.Join(root, "b"), filepath.Join(root, "old")
	full := map[string]bool{}
	dirs := Dirs{Write: []string{b, old, a, b}, Read: []string{old}, Full: func(dir string) bool { return full[dir] }}
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := openDirs(t, d, 10, dirs)
	write := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := r.WriteAt(fill(byte('0'+i), 10), int64(10*i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, 4)
	full[a] = true
	write(4, 6)
	full[b] = true
	write(6, 8)
	want := []string{a, b, a, b, b, b, a, b}
	for i, dir := range want {
		if _, err := os.Stat(filepath.Join(dir, FileName(int64(10*i)))); err != nil {
			t.Errorf("file %d: %v", i, err)
		}
	}
	// A file may have been moved.
	if err := errors.Join(os.Mkdir(old, 0o755), os.Rename(filepath.Join(a, FileName(0)), filepath.Join(old, FileName(0)))); err != nil {
		t.Fatal(err)
	}
	d.Close()
	r = openDirs(t, d, 10, dirs)
	wantBounds(t, r, 0, 80)
	got := make([]byte, 80)
	if err := r.ReadAt(got, 0); err != nil || string(got[:1]) != "0" || string(got[79:]) != "7" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(a, FileName(0)), fill('x', 10), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirs(d, 10, dirs); err == nil || !strings.Contains(err.Error(), "move one of them away") {
		t.Errorf("a file that is there twice: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]int
		want  string // in the error
	}{
		"wrong size": {map[string]int{FileName(0): 10, FileName(10): 9}, "configured file size is 10"},
		"gap":        {map[string]int{FileName(0): 10, FileName(20): 10}, FileName(10) + " is missing"},
		"empty last": {map[string]int{FileName(0): 10, FileName(10): 0}, ""},
		"others":     {map[string]int{FileName(0): 10, "notes.txt": 3, "0000000000000000000x": 1}, ""},
	} {
		dir := t.TempDir()
		for f, n := range c.files {
			if err := os.WriteFile(filepath.Join(dir, f), make([]byte, n), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Open(NewDisk(1, Faults{}), 10, dir)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want == "":
			wantBounds(t, r, 0, 10)
		case err == nil || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A process is killed when it has made a file that has no size yet, and the next one knows the run without looking.
func TestEmptyFileOfKnownRun(t *testing.T) {
	dir := t.TempDir()
	d := NewDisk(2, Faults{})
	defer d.Close()
	if err := mustOpen(t, d, 100, dir).WriteAt(fill('a', 100), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName(100)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r := Known(d, 100, named(dir), 0, 1)
	if err := r.WriteAt(fill('b', 30), 100); err != nil {
		t.Fatal(err)
	}
	wantBounds(t, r, 0, 200)
	wantBounds(t, mustOpen(t, d, 100, dir), 0, 200)
}

func TestFaults(t *testing.T) {
	full := errors.New("no luck")
	d := NewDisk(8, Faults{
		Write:   func(path string, off int64, n int) (int, error) { return n / 2, full },
		Sync:    func(string) error { return syscall.EIO },
		Reserve: func(string) error { return syscall.ENOSPC },
	})
	defer d.Close()
	r := mustOpen(t, d, 10, t.TempDir())
	if err := r.WriteAt([]byte("abcdef"), 0); !errors.Is(err, full) {
		t.Errorf("write: %v", err)
	}
	got := make([]byte, 6)
	if err := r.ReadAt(got, 0); err != nil || string(got) != "abc\x00\x00\x00" {
		t.Errorf("torn write left %q, %v", got, err)
	}
	if err := r.Sync(0, 10); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	if err := r.Reserve(0, 10); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("reserve: %v", err)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 1000, t.TempDir())
	if err := r.WriteAt(fill('x', 1000), 0); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		if err := r.ReadAt(b, 10); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWriteDirect(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	const size = 4 * DirectAlign
	r := mustOpen(t, d, size, t.TempDir())
	memory, err := unix.Mmap(-1, 0, 2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	for i := range memory {
		memory[i] = byte(i / 100)
	}
	if err := r.WriteAt(memory[:5000], 0); err != nil { // is in the cache when the direct write comes
		t.Fatal(err)
	}
	err = r.WriteDirect(memory[DirectAlign:], DirectAlign)
	if errors.Is(err, ErrNotDirect) {
		t.Skip("the file system of the temporary directory takes no direct writes")
	}
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2*size)
	if err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, memory) {
		t.Errorf("read something else, %v", err)
	}
	if err := r.WriteDirect(memory[1:100], DirectAlign); !errors.Is(err, ErrNotDirect) {
		t.Errorf("a crooked write: %v", err)
	}
	odd := mustOpen(t, d, 1000, t.TempDir())
	if err := odd.WriteDirect(memory[:DirectAlign], 0); !errors.Is(err, ErrNotDirect) {
		t.Errorf("crooked files: %v", err)
	}
}

func TestPrewriteLeavesWhatIsBefore(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	const size = 4 * DirectAlign
	r := mustOpen(t, d, size, t.TempDir())
	want := append(fill('x', 5000), make([]byte, 2*size-5000)...)
	if err := r.WriteAt(want[:5000], 0); err != nil {
		t.Fatal(err)
	}
	if err := r.Reserve(5000, 2*size-5000); err != nil {
		t.Fatal(err)
	}
	r.Prewrite(5000, 2*size-5000)
	got := make([]byte, 2*size)
	if err := r.ReadAt(got, 0); err != nil || !bytes.Equal(got, want) {
		t.Errorf("read something else, %v", err)
	}
}
