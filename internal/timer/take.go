package timer

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Figures of taking messages from the queue of timed messages.
const (
	takeAtOnce = 512  // messages, about, between two writes to the timer log
	takeStep   = 2048 // messages of one Step, about
)

// errAhead tells that a message is due later than the wheel reaches, as seen from the slot that is to be passed next: it
// is a turn behind. It is no failure: messages wait in their queue until what is due has been delivered.
var errAhead = errors.New("due beyond the end of the timer wheel")

// take puts messages of the queue into the wheel, or delivers them if they are due, and reports whether there are more.
func (t *Timer) take() (more bool, err error) {
	for stop := t.queue + takeStep; t.queue < stop; {
		from := t.queue
		err := t.takeSome()
		if errors.Is(err, errAhead) {
			return !t.rules.StopDequeue, nil
		}
		if err != nil || t.queue == from {
			return false, err
		}
	}
	return true, nil
}

// takeSome takes some messages. Those that are due are delivered first, then all others are written to the timer log, then
// the queue's offset moves on: at whatever point the process is killed none is lost, and only these come again.
func (t *Timer) takeSome() error {
	t.parking.Lock()
	defer t.parking.Unlock()
	t.batch = batch{units: t.batch.units[:0], undo: t.batch.undo[:0], counts: t.batch.counts[:0], bytes: t.batch.bytes, end: t.units.end}
	next, failed := t.queue, error(nil)
	for failed == nil && next < t.queue+takeAtOnce {
		began := next
		next, failed = t.o.Messages.Arrived(began, t.taker)
		if next == began {
			break
		}
	}
	if err := t.writeBatch(); err != nil {
		return errors.Join(failed, err)
	}
	t.counts.mu.Lock()
	t.stats.Enqueued += int64(next - t.queue)
	t.counts.mu.Unlock()
	t.queue = next
	t.publish()
	return failed
}

// batch are messages that were put into their slots, and are to be written to the timer log.
type batch struct {
	units  []layout.TimerUnit
	undo   []layout.TimerSlot // what the slot of each was before
	counts []change           // what each changes in the counts of topics
	bytes  []byte             // memory
	end    int64              // of the timer log, with the units
}

// writeBatch writes the batch to the timer log. After an error the messages are in no slot.
func (t *Timer) writeBatch() (err error) {
	b := &t.batch
	if len(b.units) == 0 {
		return nil
	}
	if b.bytes, err = t.units.append(b.units, b.bytes); err != nil {
		for _, s := range slices.Backward(b.undo) {
			t.wheel.undo(s)
		}
		t.slot.moment, t.slot.done = 0, 0
		return err
	}
	last := b.units[len(b.units)-1]
	t.needed(skua.LogOffset(last.Log) + skua.LogOffset(last.Size))
	t.counts.apply(b.counts)
	return nil
}

// takeOne takes a message of the queue.
func (t *Timer) takeOne(m *record.Message) error {
	if t.known.has(m) {
		return nil
	}
	x, ok := timedOf(m)
	if !ok {
		if t.log != nil {
			t.log.Error("message in the queue of timed messages does not say when it is due and is passed over", "logOffset", m.LogOffset)
		}
		return nil
	}
	if !t.late(t.present(x.out), x.deletes) {
		return t.park(m, x)
	}
	if x.deletes {
		return nil // what it recalls is on its way
	}
	err := t.home(m, Never)
	if err == nil {
		t.counts.mu.Lock()
		t.stats.Delivered++
		t.counts.mu.Unlock()
	}
	return err
}

// timed is what the properties of a message in the queue of timed messages say.
type timed struct {
	out     int64 // TIMER_OUT_MS
	topic   []byte
	deletes bool
}

func timedOf(m *record.Message) (x timed, ok bool) {
	record.EachProperty(m.Properties, func(k, v []byte) bool {
		switch string(k) {
		case skua.PropTimerOutMs:
			n, err := strconv.ParseInt(string(v), 10, 64)
			x.out, ok = n, err == nil && n >= 0
		case skua.PropRealTopic:
			x.topic = v
		case skua.PropTimerDeleteKey:
			x.deletes = true
		}
		return true
	})
	return x, ok
}

// park puts a message into its slot, and its unit into the batch.
func (t *Timer) park(m *record.Message, x timed) error {
	u := layout.TimerUnit{Magic: layout.TimerUsual, Written: t.present(t.now) * t.o.Precision, Log: int64(m.LogOffset), Size: m.Size,
		Topic: record.HashString(x.topic)}
	due, window := x.out, t.rules.RollWindow*t.o.Precision
	switch ahead := x.out - u.Written; {
	case ahead < window:
	case ahead-window < t.rules.RollWindow/3*t.o.Precision: // the last round is not to be a short one
		u.Magic |= layout.TimerRolled
		due = u.Written + t.rules.RollWindow/2*t.o.Precision
	default:
		u.Magic |= layout.TimerRolled
		due = u.Written + window
	}
	u.Delay = int32(due - u.Written)
	one := int32(1)
	if x.deletes {
		u.Magic |= layout.TimerDeletes
		one = -1
	}
	moment := t.present(due)
	if moment >= t.read+turn {
		return errAhead
	}
	s, _, err := t.wheel.get(moment)
	if err != nil {
		return fmt.Errorf("timer wheel: %w", err)
	}
	before, at := s, t.units.room(t.batch.end)
	u.Before, s.Last = s.Last, at
	if s.First < 0 {
		s.First = at
	}
	s.Count += one
	if err := t.wheel.put(s); err != nil {
		return fmt.Errorf("timer wheel: %w", err)
	}
	t.batch.undo, t.batch.end = append(t.batch.undo, before), at+layout.TimerUnitSize
	t.batch.units = append(t.batch.units, u)
	t.batch.counts = append(t.batch.counts, change{t.counts.of(x.topic), int64(one), t.now})
	return nil
}

// late reports whether a message can no longer be put into the slot of a moment. A recall can until the slot is being
// delivered.
func (t *Timer) late(moment int64, deletes bool) bool {
	if moment < t.read || moment == t.read && t.begun() {
		return true
	}
	return moment < t.present(t.now) && !deletes
}

// follow deals with a clock that was set back. Slots that the new time has still to come to were passed: they are emptied,
// so that they can be used, and passed, once more. A slot that is being delivered is finished before.
func (t *Timer) follow() error {
	present := t.present(t.now)
	if present >= t.read || t.begun() {
		return nil
	}
	back := present
	if last, ok := t.wheel.last(t.read); ok {
		back = max(back, last-turn+1) // what waits must stay within a turn
	}
	if back >= t.read {
		return nil
	}
	for m := max(back, t.read-turn); m < t.read; m++ {
		if err := t.wheel.clear(m); err != nil {
			return fmt.Errorf("timer wheel: %w", err)
		}
	}
	t.publish()
	if err := t.Flush(t.now); err != nil { // before a mark can speak of the new time
		return err
	}
	if t.log != nil {
		t.log.Warn("the clock was set back; timed messages wait until it has come to their time again", "ms", (t.read-present)*t.o.Precision)
	}
	t.setBack = max(t.setBack, t.read)
	t.read, t.slot.moment = back, 0
	t.publish()
	return t.Flush(t.now) // before a message can be put into a slot that the checkpoint takes for passed
}
