package segment

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
)

// Figures of mappings.
const (
	mapAfter  = 4         // uses of a file between two calls of Disk.Relax after which mapping it pays
	chunkSize = 256 << 10 // bytes of which one note tells when they were last seen in memory; a multiple of every page size
	seenFor   = 1000      // how long that is believed, ms
)

// Mapping is a file of a run as memory that can only be read, shared with the system's cache: it shows what WriteAt has
// written. It stays valid until Release, even if the file is dropped meanwhile. The zero value is no mapping.
//
// A page that is not in memory is read from the disk when it is touched, during which the goroutine's processor is
// blocked: ask Resident first. A disk that fails then, or somebody who makes the file shorter, raises a fault; see Guard.
// The files themselves are never made shorter, so that no fault comes from this package.
type Mapping struct {
	h   *handle
	mem []byte
}

// chunks notes when each chunk of a file was last seen in memory, ms.
type chunks []atomic.Int64

// Map returns the file that holds off as memory. ok is false when there is none, or when it was used too seldom yet for a
// mapping to pay; ReadAt then reads it. It allocates nothing when the file is mapped.
func (r *Run) Map(off int64) (m Mapping, ok bool) {
	start := r.Start(off)
	if begin, end := r.Bounds(); start < begin || start >= end {
		return m, false
	}
	h, err := r.disk.acquire(r, start, false)
	if err != nil {
		return m, false
	}
	if mem := r.disk.mapped(h); mem != nil {
		return Mapping{h, mem}, true
	}
	r.disk.release(h)
	return m, false
}

// mapped returns the memory of h, nil if it has none.
func (d *Disk) mapped(h *handle) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.mem == nil && !h.noMap && h.uses > mapAfter {
		h.mem = mapFile(h.file, h.key.run.size)
		h.seen = make(chunks, (len(h.mem)+chunkSize-1)/chunkSize)
		h.noMap = h.mem == nil
	}
	return h.mem
}

// View is the n bytes at off, nil when the file has not all of them. It does not touch them.
func (m Mapping) View(off, n int64) []byte {
	if m.h == nil {
		return nil
	}
	at := off - m.h.key.start
	if at < 0 || n < 0 || at+n > int64(len(m.mem)) {
		return nil
	}
	return m.mem[at : at+n : at+n]
}

// Resident reports whether the n bytes at off, which must be in the file, can be touched without waiting for the disk. It
// is a good guess: it asks the system once a second for each part of the file. now is the time in ms, from any epoch.
func (m Mapping) Resident(off, n, now int64) bool {
	at := off - m.h.key.start
	for c := at / chunkSize; c*chunkSize < at+n; c++ {
		seen := &m.h.seen[c]
		if t := seen.Load(); t > 0 && now >= t && now-t < seenFor {
			continue
		}
		from := c * chunkSize
		part, all := resident(m.mem[from:min(from+chunkSize, int64(len(m.mem)))], at-from, at+n-from)
		if all {
			seen.Store(now)
		}
		if !part {
			return false
		}
	}
	return true
}

// Release gives the mapping back; what View returned must not be touched any more. It may be called on a zero Mapping.
func (m *Mapping) Release() {
	if m.h != nil {
		m.h.key.run.disk.release(m.h)
		*m = Mapping{}
	}
}

// Copy copies len(p) bytes at off into p if they are in memory, in a file that is worth mapping, and reports whether it
// did. now is the time in ms. It allocates nothing when the file is mapped.
func (r *Run) Copy(p []byte, off, now int64) bool {
	m, ok := r.Map(off)
	if !ok {
		return false
	}
	defer m.Release()
	b := m.View(off, int64(len(p)))
	return b != nil && m.Resident(off, int64(len(b)), now) && Guard(func() { copy(p, b) }) == nil
}

// Cached reports whether the byte at off can be read without waiting for the disk, as far as the system tells. now is the
// time in ms.
func (r *Run) Cached(off, now int64) bool {
	if m, ok := r.Map(off); ok {
		defer m.Release()
		return m.Resident(off, 1, now)
	}
	start := r.Start(off)
	if begin, end := r.Bounds(); start < begin || start >= end {
		return false
	}
	h, err := r.disk.acquire(r, start, false)
	if err != nil {
		return false
	}
	defer r.disk.release(h)
	return cached(h.file, off-start)
}

// Relax unmaps the files that were hardly used since the last call, so that their pages no longer count as the process's.
func (d *Disk) Relax() {
	var idle [][]byte
	d.mu.Lock()
	for _, h := range d.open {
		if h.mem != nil && h.refs == 0 && h.uses <= mapAfter {
			idle = append(idle, h.mem)
			h.mem, h.seen = nil, nil
		}
		h.uses, h.noMap = 0, false
	}
	d.mu.Unlock()
	for _, mem := range idle {
		unmapFile(mem)
	}
}

// Guard calls f, which may touch views of mappings, and returns an error if that raised a fault.
func Guard(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		fault, ok := v.(interface {
			runtime.Error
			Addr() uintptr
		})
		if !ok {
			panic(v)
		}
		err = fmt.Errorf("segment: a mapped file cannot be read; the disk failed, or somebody made the file shorter: %w", fault)
	}()
	f()
	return nil
}
