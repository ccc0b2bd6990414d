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
	if r.ReadNow(p, size+6) && string(p) != "abcda" {
		t.Errorf("read %q", p)
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
	if r.ReadNow(p, 1<<19) {
		t.Error("bytes that are gone were read")
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
		m.Resident(0, 100, now)
		r.ReadNow(p, 1<<18)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTrimTakesOutWhatIsIdle(t *testing.T) {
	d := NewDisk(8, Faults{})
	defer d.Close()
	r := mustOpen(t, d, 8*chunkSize, t.TempDir())
	if err := r.WriteAt(fill('a', 8*chunkSize), 0); err != nil {
		t.Fatal(err)
	}
	m := mapped(t, r, 0)
	if !m.Resident(0, 8*chunkSize, 1000) {
		t.Skip("the file system does not keep what was just written in memory")
	}
	if d.loaded.Load() != 8 || !d.Trim(1000+trimAfter, 0) || d.loaded.Load() != 8 {
		t.Errorf("%d chunks, 8 were read", d.loaded.Load())
	}
	m.Resident(chunkSize, 1, 2000)
	m.Resident(7*chunkSize, 1, 2000)
	if !d.Trim(1001+trimAfter, 0) || d.loaded.Load() != 2 {
		t.Errorf("%d chunks, 2 were read lately", d.loaded.Load())
	}
	if !bytes.Equal(m.View(0, 8*chunkSize), fill('a', 8*chunkSize)) {
		t.Error("trimming changed what is read")
	}
	if !m.Resident(0, 8*chunkSize, 4000) || d.loaded.Load() != 8 {
		t.Errorf("%d chunks after reading them again", d.loaded.Load())
	}
	m.Resident(7*chunkSize, 1, 4000+seenFor)
	if d.Trim(4001+seenFor, 6*chunkSize); d.loaded.Load() != 1 {
		t.Errorf("%d chunks, one was read lately", d.loaded.Load())
	}
	for i := range m.h.chunks {
		if asked := m.h.chunks[i].seen.Load() != 0; asked != (i >= 6) {
			t.Errorf("chunk %d, asked for lately: %v; the first six are old", i, asked)
		}
	}
	if !bytes.Equal(m.View(0, 8*chunkSize), fill('a', 8*chunkSize)) {
		t.Error("what left the cache is read differently")
	}
	m.Release()
	d.Relax()
	d.Relax()
	if d.loaded.Load() != 0 || d.Trim(20000, 0) {
		t.Errorf("%d chunks of a file that is not mapped", d.loaded.Load())
	}
}
