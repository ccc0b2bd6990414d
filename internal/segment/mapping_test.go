package segment

import (
	"bytes"
	"os"
	"testing"
)

// mapped returns the mapping of the file that holds off, after enough uses of it.
func mapped(t *testing.T, r *Run, off int64) Mapping {
	t.Helper()
	for range mapAfter + 1 {
		if m, ok := r.Map(off); ok {
			return m
		}
	}
	t.Fatal("the file is not mapped")
	return Mapping{}
}

func TestMappingShowsWhatIsWritten(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	const size = 2*chunkSize + 100
	r := mustOpen(t, d, size, t.TempDir())
	if err := r.WriteAt(fill('a', 2*size), 0); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Map(2 * size); ok {
		t.Error("a mapping behind the files")
	}
	if _, ok := r.Map(0); ok {
		t.Error("a file that was hardly used is mapped")
	}
	m := mapped(t, r, size+7)
	defer m.Release()
	if b := m.View(size+7, 3); string(b) != "aaa" || cap(b) != 3 {
		t.Errorf("view %q, capacity %d", b, cap(b))
	}
	if m.View(size-1, 2) != nil || m.View(2*size-1, 2) != nil {
		t.Error("a view beyond the file")
	}
	if m.View(size, size) == nil {
		t.Error("no view of the whole file")
	}
	if !m.Resident(size, size, 1) || !m.Resident(2*size-1, 1, 1) {
		t.Log("the file system does not keep what was just written in memory")
	}
	if err := r.WriteAt([]byte("bcd"), size+7); err != nil {
		t.Fatal(err)
	}
	if b := m.View(size+7, 3); string(b) != "bcd" {
		t.Errorf("view %q after a write", b)
	}
	p := make([]byte, 5)
	if m.Resident(size+6, 5, 1) && !r.Copy(p, size+6, 1) || p[0] != 0 && string(p) != "abcda" {
		t.Errorf("copied %q", p)
	}
}

func TestMappingOutlivesItsFile(t *testing.T) {
	d := NewDisk(8, Faults{})
	r := mustOpen(t, d, 8192, t.TempDir())
	if err := r.WriteAt(fill('a', 2*8192), 0); err != nil {
		t.Fatal(err)
	}
	m := mapped(t, r, 0)
	if n, err := r.DropBefore(8192); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	last := mapped(t, r, 8192)
	d.Relax()
	d.Relax()
	d.Close()
	if !bytes.Equal(m.View(0, 8192), fill('a', 8192)) || !bytes.Equal(last.View(8192, 8192), fill('a', 8192)) {
		t.Error("pinned memory changed")
	}
	m.Release()
	m.Release()
	last.Release()
}

func TestRelaxUnmapsIdleFiles(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 8192, t.TempDir())
	if err := r.WriteAt(fill('a', 8192), 0); err != nil {
		t.Fatal(err)
	}
	m := mapped(t, r, 0)
	m.Release()
	d.Relax() // it was used since the beginning
	h := d.open[fileKey{r, 0}]
	if h.mem == nil {
		t.Error("a busy file was unmapped")
	}
	d.Relax()
	if h.mem != nil {
		t.Error("an idle file stayed mapped")
	}
	m = mapped(t, r, 0)
	m.Release()
}

func TestFaultBecomesAnError(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 1<<20, t.TempDir())
	if err := r.WriteAt(fill('a', 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	m := mapped(t, r, 0)
	defer m.Release()
	if err := os.Truncate(r.Path(0), 4096); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if err := Guard(func() { copy(p, m.View(0, 100)) }); err != nil || p[0] != 'a' {
		t.Error(err)
	}
	if err := Guard(func() { copy(p, m.View(1<<19, 100)) }); err == nil {
		t.Error("no error for a page that is gone")
	}
	if r.Copy(p, 1<<19, 1) {
		t.Error("a page that is gone was copied")
	}
	defer func() {
		if recover() != "other" {
			t.Error("another panic was swallowed")
		}
	}()
	_ = Guard(func() { panic("other") })
}

func TestMappingDoesNotAllocate(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 1<<20, t.TempDir())
	if err := r.WriteAt(fill('a', 1<<19), 0); err != nil {
		t.Fatal(err)
	}
	m := mapped(t, r, 0)
	defer m.Release()
	p, now := make([]byte, 100), int64(1)
	if n := testing.AllocsPerRun(100, func() {
		now += seenFor // the system is asked each time
		r.Copy(p, 0, now)
		r.Cached(1<<18, now)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
