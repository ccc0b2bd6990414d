package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/skuamq/skua/internal/segment"
)

// DirectIO says when the log is written past the system's cache, straight from the ring to the disk.
type DirectIO string

// The ways to write the log.
const (
	// DirectAuto writes past the cache while messages come faster than the cache takes them, which is when memory is
	// short, or has to be found for the machine first. Who reads them later than the ring has them reads the disk.
	DirectAuto DirectIO = "auto"
	DirectOn   DirectIO = "on"  // all large writes
	DirectOff  DirectIO = "off" // none
)

// Figures of DirectAuto.
const (
	directShare = 4           // it begins when this part of the ring waits to be written,
	directPace  = 64 << 20    // and ends when less has come, bytes,
	directLook  = time.Second // in this time
	directLeast = 64 << 10    // smaller writes go to the cache in any case, bytes
)

// directness decides between the two ways. It belongs to who holds drainMu.
type directness struct {
	mode  DirectIO
	on    bool
	since time.Time // begin of the current look, while on
	seen  int64     // drained then
}

func (d DirectIO) check() error {
	switch d {
	case DirectAuto, DirectOn, DirectOff:
		return nil
	}
	return fmt.Errorf("store: commitLogDirectIO is %q, it must be auto, on or off", d)
}

// look decides for a drain of what waits, from drained on, in a ring of size bytes.
func (d *directness) look(drained, waits, size int64) {
	if d.mode != DirectAuto {
		d.on = d.mode == DirectOn
		return
	}
	if !d.on {
		if waits >= size/directShare {
			d.on, d.since, d.seen = true, time.Now(), drained
		}
		return
	}
	now := time.Now()
	if now.Sub(d.since) < directLook {
		return
	}
	d.on = drained+waits-d.seen >= directPace
	d.since, d.seen = now, drained
}

// writeOut moves some of the bytes from at to stop from the ring to the segment files and returns how many.
//
// A direct write begins with the page of at, whose beginning is in the files already: the same bytes are written again.
// The ring still has them, as appenders keep away from the whole page (see roomLocked).
func (l *commitLog) writeOut(ring *ring, at, stop int64) (int64, error) {
	n := min(stop-at, maxDrain, ring.size)
	if l.direct.on {
		from, to := pageOf(at), pageOf(at+n)
		if from >= l.base && to-from >= directLeast {
			err := l.run.WriteDirect(ring.slice(from, to-from), from)
			if !errors.Is(err, segment.ErrNotDirect) {
				return to - at, err
			}
			l.direct.mode, l.direct.on = DirectOff, false
			l.log.Info("the file system of the log takes no direct writes; they go through the system's cache")
		}
	}
	if err := l.clearLast(at, at+n); err != nil {
		return 0, err
	}
	if err := l.run.WriteAt(ring.slice(at, n), at); err != nil {
		return 0, err
	}
	if n >= drainStep {
		l.run.StartSync(at, n)
	}
	return n, nil
}

// clearLast writes zeros to the page in which a write from at to stop ends, unless the write begins there, too: of prewritten
// space the system would first read from the disk what it writes a part of.
func (l *commitLog) clearLast(at, stop int64) error {
	last := pageOf(stop)
	if !l.prewrite || last < at || last == stop || l.run.FileSize()%segment.DirectAlign != 0 {
		return nil
	}
	return l.run.WriteAt(zeroPage[:], last)
}

var zeroPage [segment.DirectAlign]byte

// pageOf is the begin of the page in which off is.
func pageOf(off int64) int64 { return off - off%segment.DirectAlign }
