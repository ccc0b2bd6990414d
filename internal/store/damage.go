package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// The end of the scan is the end of the log, or the place of a damage. What tells them apart:
//
//   - How far the log is known to have been whole: the ring of the last run tells it when the machine has been up since, the
//     checkpoint when it has not, or when the stop was clean. A scan that ends before is a damage, one that ends at or behind
//     it is none.
//   - When neither speaks of the last run - it was Java's, or skua/ is gone - a good record behind the place: after a clean
//     stop there can be none, and after a crash none that Java's checkpoint says was on disk. Records that an earlier
//     recovery has cut off do not count: Java leaves their bytes where they are, but they are older than what was written
//     in front of them since.

// checkDamage refuses to go on when the scan ended before the end of the log.
func (r *recovery) checkDamage() error {
	end := r.end.End
	if known := max(r.known, r.own.Durable.End); r.ownOK && end < known || end < r.known {
		return r.damaged(fmt.Sprintf("the log was whole up to log offset %d", known))
	}
	if r.staged != nil || r.crashed && r.ownOK && r.own.Session == r.last || !r.crashed && r.ownOK && end == r.own.Durable.End {
		return nil
	}
	at, m, err := r.nextGood(end)
	switch {
	case err != nil:
		return err
	case at < 0 || m.StoreTime < r.end.Time:
		return nil
	case !r.crashed:
		return r.damaged("the last broker stopped cleanly")
	case m.StoreTime < r.s.java.Log: // others of the same millisecond may have come later
		return r.damaged("the checkpoint says that the record behind it was on disk")
	}
	r.s.o.Log.Warn("commit log has a hole that the crash left; messages behind it, which nobody was promised, are cut off",
		"log offset", end, "good again at", at)
	return nil
}

// damaged describes the damage at the end of the scan; proof is why it is not the end of the log.
func (r *recovery) damaged(proof string) error {
	s, end := r.s, r.end.End
	if begin, stop := s.log.run.Bounds(); begin == stop {
		return fmt.Errorf("store: there are no files of the commit log in %s, but %s; put them back, or set storePathCommitLog to where they are",
			strings.Join(s.o.CommitLogDirs, ", "), proof)
	}
	start := s.log.run.Start(end)
	var b strings.Builder
	fmt.Fprintf(&b, "%s is damaged at byte %d (log offset %d): ", s.log.run.Path(start), end-start, end)
	if r.why != nil {
		fmt.Fprintf(&b, "%v; ", r.why)
	}
	fmt.Fprintf(&b, "but %s. ", proof)
	switch at, m, err := r.nextGood(end); {
	case err != nil:
		fmt.Fprintf(&b, "What lies behind it cannot be read: %v. ", err)
	case at < 0:
		b.WriteString("There is no good record behind it: all messages from there on are lost")
	default:
		next := s.log.run.Start(at)
		fmt.Fprintf(&b, "The next good record is at byte %d of %s (log offset %d): lost are %d bytes", at-next, s.log.run.Path(next), at, at-end)
		if n := s.entriesBetween(end, at); n > 0 {
			fmt.Fprintf(&b, ", in which the queues have %d messages", n)
		}
		fmt.Fprintf(&b, ", stored from %s to %s", showTime(r.end.Time), showTime(m.StoreTime))
	}
	fmt.Fprintf(&b, ". Restore the file from a copy or a replica; or give up what is lost with: skua store repair %s", s.o.Dir)
	return errors.New("store: " + b.String())
}

func showTime(ms int64) string {
	if ms <= 0 {
		return "an unknown time"
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)
}

// entriesBetween counts the queue entries of records from log offset begin to end.
func (s *Store) entriesBetween(begin, end int64) (n int64) {
	for q := range s.queues.all() {
		first := func(at int64) int64 {
			return q.search(q.begin(), q.next, func(u layout.Unit) bool { return u.Log >= at && !u.Filler() })
		}
		n += first(end) - first(begin)
	}
	return n
}

// nextGood finds the first good record behind from, -1 if there is none. Holes are passed over without reading them. The
// slices of the message are of no use.
func (r *recovery) nextGood(from int64) (at int64, m record.Message, err error) {
	run := r.s.log.run
	_, stop := run.Bounds()
	at, step := from+1, int64(scanSize)
	var buf []byte
	for at < stop {
		if at, err = run.NextData(at); err != nil {
			return -1, m, err
		}
		left := run.Start(at) + run.FileSize() - at
		if at >= stop {
			break
		}
		n := min(step, left)
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		if err := run.ReadAt(buf[:n], at); err != nil {
			return -1, m, err
		}
		i, err := record.Next(buf[:n], skua.LogOffset(at), left)
		switch {
		case err == nil:
			m, _, _ = record.Decode(buf[i:n])
			return at + int64(i), m, nil
		case n == left:
			at, step = at+left, scanSize
		case i == 0:
			step *= 2
		default:
			at, step = at+int64(i), scanSize
		}
	}
	return -1, m, nil
}

// unreadable reports whether err is no verdict on what the log holds, but a failure to read it.
func unreadable(err error) bool {
	return !errors.Is(err, record.ErrCorrupt) && !errors.Is(err, record.ErrShort) && !errors.Is(err, segment.ErrOutside)
}
