package store

import (
	"bytes"
	"fmt"
	"os"

	"github.com/skuamq/skua/internal/layout"
)

// After a kill somebody may have removed the abort file, as is a habit with Java, or it may be damaged. Then nothing says
// that the ring counts; but what only it has was acknowledged.

// adopt makes the session of the ring the last one, if it is that of the checkpoint, the machine has been up since, and
// nobody has written to the log since. The journal of queues is not believed then: a broker that wrote nothing may have cut
// the queues.
func (r *recovery) adopt(old *ring) {
	s := r.s
	if !r.ownOK || r.own.Session == r.last || r.own.Boot != bootID() {
		return
	}
	mine, sameBoot := old.of(r.own.Session)
	from, end := old.drained.Load(), old.end.Load()
	if !mine || !sameBoot || from < 0 || end <= from || end-from > old.size {
		return
	}
	if !r.untouched(old, from, end) {
		s.o.Log.Warn("messages that only the staging file had are lost: another broker has written to the log since it was killed",
			"file", s.own(layout.StagingFile), "from", from, "to", end)
		return
	}
	s.o.Log.Warn("the abort file was removed or damaged after a kill; the staging file, which fits the log, is used all the same",
		"file", s.own(layout.StagingFile), "from", from, "to", end)
	r.crashed, r.last, r.adopted = true, r.own.Session, true
}

// checkStaged refuses a staging file of the last run that is not as long as its head says: it would be read as zeros.
func (r *recovery) checkStaged() error {
	path := r.s.own(layout.StagingFile)
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var b [256]byte
	n, _ := f.ReadAt(b[:], 0)
	h, ok := layout.DecodeStagingHead(b[:n], info.Size())
	if none := (layout.Session{}); !ok && h.Session != none && h.Session == r.last && h.End > h.Drained {
		return fmt.Errorf("store: %s is damaged: it has %d bytes, its head says %d; move it away to give up what only it holds, the log "+
			"from %d to %d", path, info.Size(), layout.StagingHeadSize+h.Size, h.Drained, h.End)
	}
	return nil
}

// untouched reports whether the log files hold, from from to end, what the ring holds, or nothing yet.
func (r *recovery) untouched(old *ring, from, end int64) bool {
	const step = 64 << 10
	run := r.s.log.run
	begin, stop := run.Bounds()
	b, none := make([]byte, step), make([]byte, step)
	for at := from; at < min(end, stop); {
		n := min(step, min(end, stop)-at, run.FileSize()-at%run.FileSize())
		if at < begin || run.ReadAt(b[:n], at) != nil {
			return false
		}
		if staged := old.slice(at, n); !bytes.Equal(b[:n], staged) && !bytes.Equal(b[:n], none[:n]) && !zeroOrSame(b[:n], staged) {
			return false
		}
		at += n
	}
	return true
}

// zeroOrSame reports whether each byte of b is 0 or that of want.
func zeroOrSame(b, want []byte) bool {
	for i, c := range b {
		if c != 0 && c != want[i] {
			return false
		}
	}
	return true
}
