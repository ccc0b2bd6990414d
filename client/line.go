package client

import (
	"time"

	"github.com/skuamq/skua"
)

// line is a queue in the hands of a member, and the messages of it that were read but not consumed yet.
//
//	entries   first ............. next ............. last
//	          handed out, some    not handed out yet
//	          of them consumed
//
// An entry leaves at the front when it and all before it are consumed; the offset of the first entry is what is
// committed. All fields are guarded by the member's mu; those above the blank line do not change.
type line struct {
	m     *member
	queue skua.Queue
	sub   *subscription

	entries  []entry
	first    int              // place of entries[0] in the order of arrival
	next     int              // place of the entry that is handed out next
	again    []*Received      // to be handed out once more, before next
	bytes    int64            // of the bodies in entries
	offset   skua.QueueOffset // to be pulled next
	epoch    int              // of the pull that counts; others were overtaken by a seek
	stalled  bool             // no pull is under way, until there is room or the line is resumed
	from     skua.BrokerID    // broker that the last answer suggested
	listed   bool             // stands in the member's ready
	busy     bool             // orderly: a message is being handled
	held     bool             // orderly: the first message failed a moment ago
	paused   bool
	dropped  bool
	lost     bool             // orderly: another member has the lock
	locked   time.Time        // orderly: when the broker confirmed the lock
	saved    skua.QueueOffset // last committed
	carried  skua.QueueOffset // last committed with a pull, or where the line began
	unsaved  bool             // nothing was committed yet
	lastPull time.Time
	lastDone time.Time
}

type entry struct {
	m    *Received
	done bool
}

func newLine(m *member, q skua.Queue, sub *subscription, offset skua.QueueOffset) *line {
	return &line{m: m, queue: q, sub: sub, offset: offset, carried: offset, locked: time.Now(), unsaved: true, lastPull: time.Now()}
}

// lockValid is for how long a member relies on a lock that the broker confirmed; the broker keeps it twice as long.
const lockValid = 30 * time.Second

// fullLocked reports whether no more is to be read ahead.
func (l *line) fullLocked() bool {
	n, limit := len(l.entries), l.m.limits
	if n >= limit.messages || l.bytes >= limit.bytes {
		return true
	}
	return limit.span > 0 && !l.m.orderly && n > 0 && l.entries[n-1].m.Offset-l.entries[0].m.Offset > limit.span
}

// fileLocked adds messages that arrived.
func (l *line) fileLocked(messages []*Received) {
	for _, msg := range messages {
		msg.line, msg.place = l, l.first+len(l.entries)
		l.entries = append(l.entries, entry{m: msg})
		l.bytes += int64(len(msg.Body))
	}
	l.listLocked()
}

// waitingLocked reports whether there is a message to hand out.
func (l *line) waitingLocked() bool { return len(l.again) > 0 || l.next < l.first+len(l.entries) }

// listLocked puts the line where takers look, if it has something for them, and wakes one.
func (l *line) listLocked() {
	if l.enlistLocked() {
		l.m.some.Signal()
	}
}

// enlistLocked is listLocked for one who looks then. It reports whether the line was put there.
func (l *line) enlistLocked() bool {
	if l.listed || l.paused || l.dropped || l.busy || l.held || !l.waitingLocked() {
		return false
	}
	l.listed = true
	l.m.ready.push(l)
	return true
}

// lineQueue holds lines, first in, first out.
type lineQueue struct {
	lines []*line
	head  int // lines before it were taken
}

func (q *lineQueue) push(l *line) {
	if q.head > len(q.lines)/2 {
		n := copy(q.lines, q.lines[q.head:])
		clear(q.lines[n:])
		q.lines, q.head = q.lines[:n], 0
	}
	q.lines = append(q.lines, l)
}

// pop returns nil if there is none.
func (q *lineQueue) pop() *line {
	if q.head == len(q.lines) {
		return nil
	}
	l := q.lines[q.head]
	q.lines[q.head] = nil
	q.head++
	return l
}

// takeLocked hands out the next message.
func (l *line) takeLocked() *Received {
	if n := len(l.again); n > 0 {
		msg := l.again[0]
		l.again = l.again[1:]
		return msg
	}
	msg := l.entries[l.next-l.first].m
	l.next++
	return msg
}

// takeLocked takes the next message from the first line that has one; nil if none has.
func (m *member) takeLocked() *Received {
	for l := m.ready.pop(); l != nil; l = m.ready.pop() {
		l.listed = false
		if l.dropped || l.paused || !l.waitingLocked() || m.orderly && !l.lockedLocked() {
			continue
		}
		msg := l.takeLocked()
		l.busy = m.orderly
		l.listLocked()
		return msg
	}
	return nil
}

// lockedLocked reports whether the line may be consumed in order: the broker confirmed its lock lately.
func (l *line) lockedLocked() bool {
	return l.m.broadcast || time.Since(l.locked) < lockValid
}

// ackLocked notes that msg is consumed, and reads on if there is room again.
func (l *line) ackLocked(msg *Received) {
	at := msg.place - l.first
	if at < 0 || at >= len(l.entries) || l.entries[at].m != msg {
		return // overtaken by a seek
	}
	l.entries[at].done = true
	l.lastDone = time.Now()
	for len(l.entries) > 0 && l.entries[0].done {
		l.bytes -= int64(len(l.entries[0].m.Body))
		l.entries[0] = entry{}
		l.entries = l.entries[1:]
		l.first++
	}
	l.wakeLocked()
}

// wakeLocked sends the pull that was put off, if there is room for its answer now.
func (l *line) wakeLocked() {
	if l.stalled && !l.paused && !l.dropped && !l.fullLocked() {
		l.stalled = false
		epoch := l.epoch
		l.m.tasks.start(func() { l.pull(epoch) })
	}
}

// jumpLocked goes on reading at offset. What was read before is forgotten.
func (l *line) jumpLocked(offset skua.QueueOffset) {
	l.first += len(l.entries)
	l.next = l.first
	l.entries, l.again, l.bytes = nil, nil, 0
	l.offset, l.carried = offset, offset
	l.unsaved = true
	l.epoch++
	l.stalled = true
	l.wakeLocked()
}

// dropLocked takes the line out of the member: it hands out no more messages.
func (l *line) dropLocked() {
	l.dropped = true
	if l.m.lines[l.queue] == l {
		delete(l.m.lines, l.queue)
	}
}

// positionLocked is the offset to be committed: that of the first message that is not consumed.
func (l *line) positionLocked() skua.QueueOffset {
	if len(l.entries) > 0 {
		return l.entries[0].m.Offset
	}
	return l.offset
}
