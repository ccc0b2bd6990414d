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
	chunkSize = 256 << 10 // bytes of a chunk; a multiple of every page size
	seenFor   = 5000      // how long it is believed that a chunk is in memory, ms
	goneFor   = 50        // and that it is not
	usedFor   = 100       // a note of a chunk's use holds so long, ms
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

// chunk is what is known of a part of a mapped file. Times are in ms.
type chunk struct {
	seen atomic.Int64 // when all of it was in memory; negative: when it was not
	used atomic.Int64 // its last use, about; 0: its pages are not in the process
}

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
		h.chunks = make([]chunk, (len(h.mem)+chunkSize-1)/chunkSize)
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
// is a good guess: it asks the system every few seconds, for a greater part of the file at once, of which all must be in
// memory. now is the time in ms, from any epoch, greater than 0.
func (m Mapping) Resident(off, n, now int64) bool {
	at := off - m.h.key.start
	for c := at / chunkSize; c*chunkSize < at+n; c++ {
		k := &m.h.chunks[c]
		t := k.seen.Load()
		if t < 0 && now+t < goneFor {
			return false
		}
		if t <= 0 || now-t >= seenFor {
			if from := c * chunkSize; !resident(m.mem[from:min(from+chunkSize, int64(len(m.mem)))]) {
				k.seen.Store(-now)
				return false
			}
			k.seen.Store(now)
		}
		if t := k.used.Load(); now-t >= usedFor && k.used.Swap(now) == 0 {
			m.h.key.run.disk.loaded.Add(1)
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

// Figures of Trim.
const (
	trimAfter = 2000      // chunks that were not used for so long, ms, are taken out of the process
	trimSoon  = 250       // the same while there are more than
	enough    = 128 << 20 // bytes of chunks in it
)

// Trim takes the chunks of mapped files that were not read lately out of the process, so that they no longer count as
// its memory. They stay in the system's cache, and may be read again at any time; but those before offset old, of whatever
// run, leave the cache, too, when they have not been read for some more seconds. It reports whether there is something
// left to do later. now is the time in ms, as for Resident.
func (d *Disk) Trim(now, old int64) (more bool) {
	idle := int64(trimAfter)
	if d.loaded.Load()*chunkSize > enough {
		idle = trimSoon
	}
	d.mu.Lock()
	mapped := make([]*handle, 0, len(d.open))
	for _, h := range d.open {
		if h.mem != nil {
			h.refs++
			mapped = append(mapped, h)
		}
	}
	d.mu.Unlock()
	waiting := false
	for _, h := range mapped {
		d.loaded.Add(-h.trim(now - idle))
		waiting = h.drop(now-seenFor, old-h.key.start) || waiting
		d.release(h)
	}
	return waiting || d.loaded.Load() > 0
}

// trim unloads the chunks that were last used before a time, neighbours at once, and returns how many.
func (h *handle) trim(before int64) (n int64) {
	for i := 0; i < len(h.chunks); i++ {
		first := i
		for ; i < len(h.chunks); i++ {
			used := h.chunks[i].used.Load()
			if used == 0 || used >= before || !h.chunks[i].used.CompareAndSwap(used, 0) {
				break
			}
		}
		if i > first {
			unload(h.mem[first*chunkSize : min(i*chunkSize, len(h.mem))])
			n += int64(i - first)
		}
	}
	return n
}

// drop drops from the system's cache those of the chunks before the end of the first stop bytes that nobody has asked for
// since a time, and reports whether there are others that somebody has asked for.
func (h *handle) drop(before, stop int64) (others bool) {
	for i := range min(stop, int64(len(h.mem))) / chunkSize {
		k := &h.chunks[i]
		switch t := max(k.seen.Load(), -k.seen.Load()); {
		case t == 0:
		case t > before || k.used.Load() != 0:
			others = true
		default:
			k.seen.Store(0)
			dontNeed(h.file, i*chunkSize, chunkSize)
		}
	}
	return others
}

// Relax unmaps the files that were hardly used since the last call, so that their pages no longer count as the process's.
func (d *Disk) Relax() {
	var idle [][]byte
	d.mu.Lock()
	for _, h := range d.open {
		if h.mem != nil && h.refs == 0 && h.uses <= mapAfter {
			idle = append(idle, h.takeMem())
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
