package store

import (
	"errors"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// errWouldWait tells that something is not in memory, to a reader that must not wait for the disk.
var errWouldWait = errors.New("store: the disk would have to be read")

// load gets the records of out.spans, and reports false if it would have to wait and must not.
func (s *Store) load(out *ReadResult, r *ReadRequest) bool {
	if r.NoWait && s.behind(out.spans[0].log) && s.crowded.Load() {
		s.readers.ring()
		return false
	}
	var err error
	if !r.Mapped {
		err = s.gather(out, r)
	} else if fault := segment.Guard(func() { err = s.gather(out, r) }); fault != nil {
		if r.NoWait {
			return false
		}
		plain := *r
		plain.Mapped = false
		out.Release()
		err = s.gather(out, &plain)
	}
	if len(out.pins) > 0 {
		s.readers.ring()
	}
	if len(out.Records) == 0 {
		out.Status = MessageWasRemoving
	}
	return err == nil
}

// gather makes the records of out.spans views of mapped files, or reads them, neighbours at once. What the log has no
// longer is left out; when the disk fails, the read ends before it, so that no message is passed over. The only error is
// errWouldWait.
func (s *Store) gather(out *ReadResult, r *ReadRequest) error {
	now := int64(0)
	if r.Mapped {
		now = s.nowMs()
	}
	announced, kept := false, 0
	room, free := 0, []byte(nil)
	for _, sp := range out.spans {
		room += int(sp.size)
	}
	for i := 0; i < len(out.spans); {
		first, n, j := out.spans[i], int64(0), i
		for ; j < len(out.spans) && out.spans[j].log == first.log+n; j++ {
			n += int64(out.spans[j].size)
		}
		var err error
		b := s.view(out, first.log, n, now)
		if b == nil {
			if out.buf == nil {
				free = out.takeBuffer(room)
			}
			b, free = free[:n:n], free[n:]
			err = s.log.fetch(b, first.log, false)
		}
		room -= int(n)
		if err == errWouldWait {
			if r.NoWait {
				return err
			}
			if !announced {
				announced = true
				s.announce(out.spans[i:])
			}
			err = s.log.fetch(b, first.log, true)
		}
		if err != nil && !errors.Is(err, segment.ErrOutside) {
			out.Err, out.Next = err, skua.QueueOffset(first.off)
			s.o.Log.Error("commit log cannot be read", "offset", first.log, "err", err)
			break
		}
		for ; i < j; i++ {
			size := int64(out.spans[i].size)
			if err == nil {
				out.Records = append(out.Records, b[:size:size])
				out.spans[kept] = out.spans[i]
				kept++
			}
			b = b[size:]
		}
	}
	out.spans = out.spans[:kept]
	s.sift(out)
	return nil
}

// sift leaves only those records that are what the queue's entries speak of.
func (s *Store) sift(out *ReadResult) {
	kept := out.Records[:0]
	out.Bytes = 0
	for i, b := range out.Records {
		if record.Begins(b, skua.LogOffset(out.spans[i].log)) {
			kept = append(kept, b)
			out.Bytes += len(b)
		} else {
			s.miss(out.spans[i])
		}
	}
	clear(out.Records[len(kept):])
	out.Records = kept
}

// takeBuffer gives r a buffer of n bytes.
func (r *ReadResult) takeBuffer(n int) []byte {
	r.buf = readBuffers.Get().(*[]byte)
	if cap(*r.buf) < n {
		*r.buf = make([]byte, 0, n)
	}
	return (*r.buf)[:n]
}

// view returns the n bytes of the log at off as a part of a mapped file, which it pins, nil if they are to be read: from
// the ring, whose bytes do not stay, or because they may be on the disk only: who waits for it touching memory blocks others.
func (s *Store) view(out *ReadResult, off, n, now int64) []byte {
	l := s.log
	if now <= 0 || l.inRing(off) || off+n > l.drained.Load() {
		return nil
	}
	var b []byte
	last := len(out.pins) - 1
	if last >= 0 {
		b = out.pins[last].View(off, n)
	}
	if b == nil {
		m, ok := l.run.Map(off)
		if !ok {
			return nil
		}
		out.pins = append(out.pins, m)
		last++
		b = m.View(off, n)
	}
	if b == nil || !out.pins[last].Resident(off, n, now) {
		return nil
	}
	return b
}

// miss logs that a record is not where a queue's entry says. Its head told: what the disk returns whole was checked when it
// was written, and its readers check it again.
func (s *Store) miss(sp span) {
	s.o.Log.Error("commit log does not hold the record that a queue points to; it is passed over", "offset", sp.log,
		"size", sp.size, "queue offset", sp.off)
}
