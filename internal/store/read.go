package store

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Status is the outcome of a Read; its String is Java's GetMessageStatus.
type Status int

// The outcomes, in Java's order.
const (
	Found               Status = iota
	NoMatchedMessage           // no message passed the filter; go on at Next
	MessageWasRemoving         // the messages are no longer in the log; go on at Next
	OffsetFoundNull            // the queue has no entry at the offset
	OffsetOverflowBadly        // the offset is beyond the end
	OffsetOverflowOne          // the offset is the end: nothing new
	OffsetTooSmall             // the offset is before the first message
	NoMatchedLogicQueue        // there is no such queue
	NoMessageInQueue           // the queue never had a message
	OffsetReset                // the broker reset the group's offset; the store never says this
)

var statusNames = [...]string{"FOUND", "NO_MATCHED_MESSAGE", "MESSAGE_WAS_REMOVING", "OFFSET_FOUND_NULL",
	"OFFSET_OVERFLOW_BADLY", "OFFSET_OVERFLOW_ONE", "OFFSET_TOO_SMALL", "NO_MATCHED_LOGIC_QUEUE", "NO_MESSAGE_IN_QUEUE",
	"OFFSET_RESET"}

// String is Java's name of the status.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("STATUS_%d", int(s))
	}
	return statusNames[s]
}

// Limits of one read, as in Java.
const (
	memoryBytes = 256 << 10 // of messages that are taken to be in memory
	memoryCount = 32
	diskBytes   = 64 << 10 // of older ones
	diskCount   = 8
	filterBytes = 16000     // of queue entries that are looked at
	maxRead     = 128 << 20 // when the request names no limit
	leastRead   = 100       // MaxBytes below it count as it
	unitChunk   = 64        // entries fetched at a time
)

// ReadRequest asks for messages of a queue.
type ReadRequest struct {
	Offset      skua.QueueOffset
	MaxMessages int
	MaxBytes    int                       // of records; 0: no limit but Java's
	Match       func(tagsCode int64) bool // nil: all
	Mapped      bool                      // records may be views of mapped files, to be touched in Guard only
}

// Guard calls f, which may touch records of a Mapped read, and returns an error if a disk that fails let it down in the
// middle. A Read that is not Mapped then gets what can be had, and tells what is wrong.
func Guard(f func()) error { return segment.Guard(f) }

// ReadResult holds records. It is reused by passing it again. A result must not be copied while it holds records, nor
// used by two goroutines at a time.
type ReadResult struct {
	Status         Status
	Next, Min, Max skua.QueueOffset
	Records        [][]byte // views, valid until Release
	SuggestSlave   bool     // the reader is so far behind that a slave had better serve it

	Bytes int   // of Records
	Err   error // a failure of the disk that ended the read early; messages from Next on may be there all the same
	buf   *[]byte
	pins  []segment.Mapping // that Records are views of
	spans []span
	scan  [unitChunk * layout.UnitSize]byte
}

// span is a record to read: size bytes of the log, for the entry off of the queue.
type span struct {
	log  int64
	size int32
	off  int64
}

// readBuffers holds buffers of records.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 0, memoryBytes); return &b }}

// maxKeptBuffer is the capacity above which a buffer is not kept, bytes.
const maxKeptBuffer = 1 << 20

// Release gives the records back. It may be called again, and on a zero ReadResult.
func (r *ReadResult) Release() {
	if r.buf != nil && cap(*r.buf) <= maxKeptBuffer {
		*r.buf = (*r.buf)[:0]
		readBuffers.Put(r.buf)
	}
	r.buf = nil
	for i := range r.pins {
		r.pins[i].Release()
	}
	r.pins = r.pins[:0]
	clear(r.Records)
	r.Records, r.Bytes = r.Records[:0], 0
}

// Hot reports whether a Read at off will be served from memory, so that it may run where blocking is not allowed. It is a
// good guess: memory may be taken away by the system before the Read.
func (s *Store) Hot(q *Queue, off skua.QueueOffset) bool {
	o := int64(off)
	if o >= q.visible.Load() || o < q.min.Load() {
		return true // there is nothing to read
	}
	now := s.nowMs()
	u, ok := q.peek(o, now)
	return ok && (s.log.inRing(u.Log) || s.inMemory(u.Log) && s.log.run.Cached(u.Log, now))
}

// inMemory is Java's guess whether a record is in memory: it is among the last 40 % of it.
func (s *Store) inMemory(log int64) bool { return s.log.end.Load()-log <= memorySize()*4/10 }

var memorySize = sync.OnceValue(func() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 8 << 30
	}
	return int64(info.Totalram) * int64(info.Unit)
})

// Read reads messages of q into out. It may block on the disk unless Hot. At least one message is returned if one
// matches near the offset, however large it is.
func (s *Store) Read(q *Queue, r ReadRequest, out *ReadResult) {
	out.Release()
	out.SuggestSlave, out.Err = false, nil
	lo, hi := q.min.Load(), q.visible.Load()
	out.Min, out.Max = skua.QueueOffset(lo), skua.QueueOffset(hi)
	off := int64(r.Offset)
	switch {
	case hi == 0:
		out.Status, out.Next = NoMessageInQueue, 0
	case off < lo:
		out.Status, out.Next = OffsetTooSmall, out.Min
	case off == hi:
		out.Status, out.Next = OffsetOverflowOne, r.Offset
	case off > hi:
		out.Status, out.Next = OffsetOverflowBadly, out.Max
	default:
		s.readSome(q, r, out)
		if lo = q.min.Load(); out.Status == OffsetFoundNull && off < lo {
			out.Status, out.Next, out.Min = OffsetTooSmall, skua.QueueOffset(lo), skua.QueueOffset(lo) // the entries have just gone
		}
	}
}

// selection is the state of a read that walks over queue entries.
type selection struct {
	s        *Store
	q        *Queue
	r        ReadRequest
	out      *ReadResult
	stop     int64 // visible end of the queue
	last     int64 // log offset of the last entry that was looked at
	maxBytes int
}

// readSome reads from an offset that the queue has.
func (s *Store) readSome(q *Queue, r ReadRequest, out *ReadResult) {
	sel := selection{s: s, q: q, r: r, out: out, stop: int64(out.Max), maxBytes: maxRead}
	if r.MaxBytes > 0 {
		sel.maxBytes = max(r.MaxBytes, leastRead)
	}
	out.Status = NoMatchedMessage
	out.spans = out.spans[:0]
	next := int64(r.Offset)
	for next < sel.stop {
		n, err := q.units(out.scan[:], next)
		if err != nil || n == 0 {
			if len(out.spans) == 0 && next == int64(r.Offset) {
				out.Status = OffsetFoundNull
				next = min(s.nextQueueFile(next), sel.stop)
			}
			break
		}
		taken, full := sel.take(out.scan[:n*layout.UnitSize], next)
		next += int64(taken)
		if full {
			break
		}
	}
	out.Next = skua.QueueOffset(next)
	if len(out.spans) > 0 {
		s.load(out, r.Mapped)
	}
	out.SuggestSlave = sel.last > 0 && !s.inMemory(sel.last)
}

// nextQueueFile is the first offset of the queue file behind the one with off.
func (s *Store) nextQueueFile(off int64) int64 {
	perFile := s.o.QueueFileSize / layout.UnitSize
	return off - off%perFile + perFile
}

// take looks at entries from offset from on, and returns how many it has dealt with, and whether the read is over.
func (sel *selection) take(b []byte, from int64) (taken int, full bool) {
	out, begin := sel.out, int64(sel.s.Min())
	for i := 0; i+layout.UnitSize <= len(b); i += layout.UnitSize {
		off := from + int64(taken)
		u, ok := layout.DecodeUnit(b[i:])
		if !ok || off >= sel.stop || (off-int64(sel.r.Offset))*layout.UnitSize > int64(max(filterBytes, sel.r.MaxMessages*layout.UnitSize)) {
			return taken, true
		}
		if sel.full(u) {
			return taken, true
		}
		taken++
		sel.last = u.Log
		switch {
		case u.Filler() || u.Log < begin:
			if len(out.spans) == 0 {
				out.Status = MessageWasRemoving
			}
		case sel.r.Match != nil && !sel.matches(u):
			if len(out.spans) == 0 {
				out.Status = NoMatchedMessage
			}
		default:
			out.Status = Found
			out.spans = append(out.spans, span{u.Log, u.Size, off})
			out.Bytes += int(u.Size)
		}
	}
	return taken, false
}

func (sel *selection) matches(u layout.Unit) bool {
	tags, ok := sel.q.tags(u)
	return !ok || sel.r.Match(tags)
}

// full reports whether the read ends before u. It never does before the first message.
func (sel *selection) full(u layout.Unit) bool {
	count, bytes := len(sel.out.spans), sel.out.Bytes
	if count == 0 {
		return false
	}
	maxBytes, maxCount := diskBytes, diskCount
	if sel.s.inMemory(u.Log) {
		maxBytes, maxCount = memoryBytes, memoryCount
	}
	return count+1 > sel.r.MaxMessages || bytes+int(u.Size) > min(sel.maxBytes, maxBytes) || count >= maxCount
}

// load gets the records of out.spans.
func (s *Store) load(out *ReadResult, mapped bool) {
	if !mapped || segment.Guard(func() { s.gather(out, s.nowMs()) }) != nil {
		out.Release()
		s.gather(out, 0)
	}
	if len(out.Records) == 0 {
		out.Status = MessageWasRemoving
	}
}

// gather makes the records of out.spans views of mapped files, or reads them, neighbours at once. What the log has no
// longer is left out; when the disk fails, the read ends before it, so that no message is passed over. now is the time in
// ms, 0 if nothing shall be mapped.
func (s *Store) gather(out *ReadResult, now int64) {
	room, free := 0, []byte(nil)
	for _, sp := range out.spans {
		room += int(sp.size)
	}
	out.Bytes = 0
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
			err = s.log.read(b, first.log)
		}
		room -= int(n)
		if err != nil && !errors.Is(err, segment.ErrOutside) {
			out.Err, out.Next = err, skua.QueueOffset(first.off)
			s.o.Log.Error("commit log cannot be read", "offset", first.log, "err", err)
			break
		}
		for ; i < j; i++ {
			size := int64(out.spans[i].size)
			if err == nil && s.holds(b[:size], out.spans[i]) {
				out.Records = append(out.Records, b[:size:size])
				out.Bytes += int(size)
			}
			b = b[size:]
		}
	}
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
// the ring, whose bytes do not stay, or from the disk, for which a goroutine that touches memory would block others.
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

// holds reports whether b is the record that a queue entry speaks of. Its head tells enough: what the disk returns whole
// was checked when it was written, and its readers check it again.
func (s *Store) holds(b []byte, sp span) bool {
	if record.Begins(b, skua.LogOffset(sp.log)) {
		return true
	}
	s.o.Log.Error("commit log does not hold the record that a queue points to; it is passed over", "offset", sp.log,
		"size", sp.size, "queue offset", sp.off)
	return false
}
