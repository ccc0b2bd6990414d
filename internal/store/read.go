package store

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
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
	WouldWait                  // not in Java: the disk must be read, which ReadRequest.NoWait forbids; nothing was read
)

var statusNames = [...]string{"FOUND", "NO_MATCHED_MESSAGE", "MESSAGE_WAS_REMOVING", "OFFSET_FOUND_NULL",
	"OFFSET_OVERFLOW_BADLY", "OFFSET_OVERFLOW_ONE", "OFFSET_TOO_SMALL", "NO_MATCHED_LOGIC_QUEUE", "NO_MESSAGE_IN_QUEUE",
	"OFFSET_RESET", "WOULD_WAIT"}

// String is Java's name of the status.
func (s Status) String() string {
	if s < 0 || int(s) >= len(statusNames) {
		return fmt.Sprintf("STATUS_%d", int(s))
	}
	return statusNames[s]
}

// Limits of one read, as in Java; Transfer has those that can be set.
const (
	maxRead   = 128 << 20 // when the request names no limit
	leastRead = 100       // MaxBytes below it count as it
	unitChunk = 64        // entries fetched at a time
)

// ReadRequest asks for messages of a queue.
type ReadRequest struct {
	Offset      skua.QueueOffset
	MaxMessages int
	MaxBytes    int                       // of records; 0: no limit but Java's
	Match       func(tagsCode int64) bool // nil: all
	// MatchProperties is asked, too, with the properties of each record that Match lets pass; nil: all pass. One read looks at
	// 8 MiB of records or so, 1 MiB with NoWait. The bytes are valid during the call.
	MatchProperties func(properties []byte) bool
	// MatchExtension is asked before MatchProperties, without which it is not, about each entry that has an extension; nil:
	// all pass.
	MatchExtension func(Extension) bool
	// NoWait makes the Read one that does not wait for the disk, for goroutines that must not block: it is WouldWait if what
	// it needs is not in memory, or if it is far behind while others send, see Crowded.
	NoWait bool
	Mapped bool // records may be views of mapped files, to be touched in Guard only
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
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 0, usualBuffer); return &b }}

// Capacities of buffers, bytes.
const (
	usualBuffer   = 64 << 10
	maxKeptBuffer = 1 << 20 // greater ones are not kept
)

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

// Hot reports whether the message at off is in memory, as far as the system tells. If off is none of the queue, it is.
func (s *Store) Hot(q *Queue, off skua.QueueOffset) bool {
	o := int64(off)
	if o >= q.visible.Load() || o < q.min.Load() {
		return true // there is nothing to read
	}
	var b [layout.UnitSize]byte
	if n, err := q.units(b[:], o, false); err != nil || n == 0 {
		return false
	}
	u, ok := layout.DecodeUnit(b[:])
	return ok && (s.log.inRing(u.Log) || s.inMemory(u.Log) && s.log.run.Cached(u.Log))
}

// inMemory is Java's guess whether a record is in memory: it is among the newest that could fill 40 % of it.
func (s *Store) inMemory(log int64) bool { return s.log.end.Load()-log <= s.memorySpan() }

// memorySpan is how many of the newest bytes of the log are taken to be in memory.
func (s *Store) memorySpan() int64 { return memorySize() / 100 * int64(s.o.AccessInMemoryRatio) }

var memorySize = sync.OnceValue(func() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 8 << 30
	}
	return int64(info.Totalram) * int64(info.Unit)
})

// Read reads messages of q into out. It may wait for the disk unless NoWait is set. At least one message is returned if
// one matches near the offset, however large it is.
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
	count    int   // messages that were chosen, of which one record may hold several
	chosen   bool  // the record of the last entry is among them
	maxBytes int

	unwanted uint64 // bit i: so is the record of entry i of those at hand, see examine
	examined int    // bytes of records
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
	if q.batch { // a record counts as a whole
		sel.count = int(next - q.baseOf(next))
	}
	for next < sel.stop {
		n, err := q.units(out.scan[:], next, !r.NoWait)
		if err == errWouldWait {
			out.Status, out.Next = WouldWait, r.Offset
			return
		}
		if err != nil || n == 0 {
			if len(out.spans) == 0 && next == int64(r.Offset) {
				out.Status = OffsetFoundNull
				next = min(s.nextQueueFile(next), sel.stop)
			}
			break
		}
		over := false
		if r.MatchProperties != nil {
			if n, over, err = sel.examine(out.scan[:n*layout.UnitSize], next); err != nil {
				out.Status, out.Next = WouldWait, r.Offset
				return
			}
		}
		taken, full := sel.take(out.scan[:n*layout.UnitSize], next)
		next += int64(taken)
		if full || over {
			break
		}
	}
	out.Next = skua.QueueOffset(next)
	if len(out.spans) > 0 && !s.load(out, &r) {
		out.Release()
		out.Status, out.Next = WouldWait, r.Offset
		return
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
		if ok && sel.q.batch && u.Log == sel.last && off > int64(sel.r.Offset) && !u.Filler() {
			taken++
			if back := sel.more(off); back > 0 {
				return taken - back, true
			}
			continue
		}
		sel.chosen = false
		if !ok || off >= sel.stop || (off-int64(sel.r.Offset))*layout.UnitSize > int64(max(sel.s.o.MaxFilterBytes, sel.r.MaxMessages*layout.UnitSize)) {
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
		case sel.unwanted>>(taken-1)&1 != 0 || sel.r.Match != nil && !sel.matches(u):
			if len(out.spans) == 0 {
				out.Status = NoMatchedMessage
			}
		default:
			out.Status = Found
			out.spans = append(out.spans, span{u.Log, u.Size, off})
			out.Bytes += int(u.Size)
			sel.count++
			sel.chosen = true
		}
	}
	return taken, false
}

// more counts another message of the record of the last entry. If these are too many, the record is left out, and the read
// goes back by as many entries and is over.
func (sel *selection) more(off int64) (back int) {
	if !sel.chosen {
		return 0
	}
	out := sel.out
	sel.count++
	last := len(out.spans) - 1
	if sel.count <= sel.r.MaxMessages || last == 0 {
		return 0
	}
	record := out.spans[last]
	out.spans, out.Bytes = out.spans[:last], out.Bytes-int(record.size)
	return int(off-record.off) + 1
}

func (sel *selection) matches(u layout.Unit) bool {
	tags, ok := sel.q.tags(u)
	return !ok || sel.r.Match(tags)
}

// full reports whether the read ends before u. It never does before the first message.
func (sel *selection) full(u layout.Unit) bool {
	count, bytes := sel.count, sel.out.Bytes
	if len(sel.out.spans) == 0 {
		return false
	}
	t := &sel.s.o.Transfer
	maxBytes, maxCount := t.MaxTransferBytesOnDisk, t.MaxTransferCountOnDisk
	if sel.s.inMemory(u.Log) {
		maxBytes, maxCount = t.MaxTransferBytesInMemory, t.MaxTransferCountInMemory
	}
	return count+1 > sel.r.MaxMessages || bytes+int(u.Size) > min(sel.maxBytes, maxBytes) || count >= maxCount
}
