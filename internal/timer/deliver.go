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

// Figures of delivery.
const (
	deliverAtOnce = 256  // messages between two notes of how far it is
	deliverStep   = 2048 // messages of one Step, about
)

// slot is the slot that is to be delivered next, or is being delivered: where its units stand in the timer log.
type slot struct {
	moment  int64               // 0: none
	last    int64               // the newest unit that was looked up, -1 if none was
	units   []int64             // of messages, the oldest first
	deletes []int64             // of recalls
	recalls map[string]struct{} // what they recall; nil until they were read
	counted int                 // of deletes: no longer in the counts
	done    int64               // units that were dealt with
}

// load looks up the units of the slot of a moment, as far as that was not done before.
func (t *Timer) load(moment int64) error {
	s, ok, err := t.wheel.get(moment)
	if err != nil {
		return err
	}
	if t.slot.moment != moment {
		t.slot = slot{moment: moment, last: -1, units: t.slot.units[:0], deletes: t.slot.deletes[:0]}
		t.gone = 0
		if cap(t.slot.units) > keptUnits {
			t.slot.units = nil
		}
	}
	if !ok || s.Last == t.slot.last {
		return nil
	}
	begin, _ := t.units.run.Bounds()
	known, units, deletes := t.slot.last, len(t.slot.units), len(t.slot.deletes)
	for pos := s.Last; pos > known; {
		if pos < begin {
			t.gone++ // and whatever was before it
			break
		}
		u, err := t.units.unit(pos, true)
		if err == nil && (t.present(u.Due()) != moment || u.Before >= pos) {
			err = fmt.Errorf("timer log: unit %d is in the list of moment %d but is due at %d ms, behind unit %d", pos, moment, u.Due(), u.Before)
		}
		if err != nil {
			t.slot.units, t.slot.deletes = t.slot.units[:units], t.slot.deletes[:deletes]
			return err
		}
		if u.Magic&layout.TimerDeletes != 0 && u.Magic&layout.TimerRolled == 0 {
			t.slot.deletes = append(t.slot.deletes, pos)
		} else {
			t.slot.units = append(t.slot.units, pos)
		}
		pos = u.Before
	}
	slices.Reverse(t.slot.units[units:])
	t.slot.last, t.slot.recalls = s.Last, nil
	return nil
}

// keptUnits is how many units the memory of a slot may have that is kept for the next.
const keptUnits = 64 << 10

// deliver delivers slots that are due, some messages of them, and reports whether there are more.
func (t *Timer) deliver() (busy bool, err error) {
	defer t.publish()
	for n := 0; n < deliverStep; n++ {
		if !t.onTurn(t.now) {
			return false, nil
		}
		err := t.load(t.read)
		if err == nil && t.slot.recalls == nil {
			err = t.readRecalls()
		}
		if err != nil && !t.rules.SkipErrors {
			return false, err
		}
		if err != nil {
			t.passOver(err)
			continue
		}
		for t.slot.done < int64(len(t.slot.units)) && n < deliverStep {
			if err := t.deliverSome(); err != nil {
				return false, err
			}
			t.publish()
			n += deliverAtOnce
		}
		if t.slot.done >= int64(len(t.slot.units)) {
			t.passSlot()
		}
	}
	return t.onTurn(t.now), nil
}

// onTurn makes read the first moment that is due and has units. If there is none it is the present, and onTurn false.
func (t *Timer) onTurn(now int64) bool {
	present := t.present(now)
	if t.begun() {
		return true // whatever the clock says now
	}
	m, ok := t.wheel.next(t.read, min(present, t.read+turn))
	if !ok {
		m = max(t.read, present)
	}
	t.read = m
	return ok
}

// begun reports whether a part of a slot was delivered.
func (t *Timer) begun() bool { return t.slot.moment == t.read && t.slot.done > 0 }

// passSlot ends the slot in hand.
func (t *Timer) passSlot() {
	if t.gone > 0 && t.log != nil {
		t.log.Error("timed messages are gone before they were delivered", "messages", t.gone, "due", t.read*t.o.Precision,
			"cure", "keep messages longer than their longest stay in the timer wheel, see fileReservedTime and timerRollWindowSlot")
	}
	t.wheel.pass(t.read)
	t.read++
	t.gone, t.slot.moment, t.slot.done = 0, 0, 0
}

// passOver ends a slot of which something cannot be read.
func (t *Timer) passOver(err error) {
	if t.log != nil {
		t.log.Error("timed messages of a slot are passed over (timerSkipUnknownError)", "due", t.read*t.o.Precision, "error", err)
	}
	t.passSlot()
}

// readRecalls reads which messages are recalled.
func (t *Timer) readRecalls() error {
	recalls := map[string]struct{}{}
	var topics []string // of those that were read for the first time
	n := 0
	for some := range slices.Chunk(t.slot.deletes, deliverAtOnce) {
		if err := t.findUnits(some, func(_ layout.TimerUnit, m *record.Message) error {
			if n++; m == nil {
				return nil
			}
			key, _ := record.Property(m.Properties, skua.PropTimerDeleteKey)
			recalls[string(key)] = struct{}{}
			if n > t.slot.counted {
				topic, _ := record.Property(m.Properties, skua.PropRealTopic)
				topics = append(topics, string(topic))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for _, topic := range topics {
		t.counts.add([]byte(topic), 1, t.now) // they counted as -1 until now
	}
	t.slot.recalls, t.slot.counted = recalls, n
	return nil
}

// findUnits calls found for the messages that units at positions speak of, with nil for one that is gone.
func (t *Timer) findUnits(positions []int64, found func(layout.TimerUnit, *record.Message) error) error {
	t.found, t.places = t.found[:0], t.places[:0]
	for _, pos := range positions {
		u, err := t.units.unit(pos, false)
		if err != nil {
			return err
		}
		t.found, t.places = append(t.found, u), append(t.places, Place{Log: skua.LogOffset(u.Log), Size: u.Size})
	}
	return t.o.Messages.Find(t.places, func(i int, m *record.Message) error {
		if m != nil && string(m.Topic) != string(t.o.Topic) {
			m = nil // something else has come to stand there
		}
		return found(t.found[i], m)
	})
}

// deliverSome delivers the next messages of the slot in hand.
func (t *Timer) deliverSome() error {
	some := t.slot.units[t.slot.done:]
	some = some[:min(len(some), deliverAtOnce)]
	began, want := t.slot.done, t.slot.done+int64(len(some))
	err := t.findUnits(some, func(u layout.TimerUnit, m *record.Message) error {
		if m == nil {
			t.gone++
		} else if err := t.hand(u, m); err != nil {
			return putError{err}
		}
		t.slot.done++
		return nil
	})
	if put := (putError{}); errors.As(err, &put) {
		return put.error
	}
	if err != nil && t.rules.SkipErrors {
		if t.log != nil {
			t.log.Error("timed messages that cannot be read are passed over (timerSkipUnknownError)", "messages", want-t.slot.done, "error", err)
		}
		t.slot.done, err = want, nil
	}
	t.counts.mu.Lock()
	t.stats.Delivered += t.slot.done - began
	t.counts.mu.Unlock()
	return err
}

// putError marks an error of Messages.Put.
type putError struct{ error }

// hand hands a message on that is due.
func (t *Timer) hand(u layout.TimerUnit, m *record.Message) error {
	rolled := u.Magic&layout.TimerRolled != 0
	if !rolled && len(t.slot.recalls) > 0 && t.recalled(m) {
		t.count(m, -1)
		return nil
	}
	if !rolled {
		return t.home(m, u.Written)
	}
	e := edit{enqueued: u.Written, dequeued: t.now, rolls: 1}
	if text, ok := record.Property(m.Properties, skua.PropTimerRollTimes); ok {
		n, _ := strconv.Atoi(string(text))
		e.rolls = n + 1
	}
	err := t.put(m, e)
	switch {
	case err != nil:
		return err
	case u.Magic&layout.TimerDeletes != 0:
		t.count(m, 1)
	default:
		t.count(m, -1)
	}
	return nil // it counts again when it is put into the wheel again
}

// recalled reports whether a message was recalled.
func (t *Timer) recalled(m *record.Message) bool {
	key, _ := record.Property(m.Properties, skua.PropUniqueKey)
	if t.rules.TopicInKey {
		topic, _ := record.Property(m.Properties, skua.PropRealTopic)
		key = []byte(string(topic) + "+" + string(key))
	}
	_, yes := t.slot.recalls[string(key)]
	return yes
}

// home stores a message in its own topic and queue. enqueued is when it was put into the wheel, Never if it was not.
func (t *Timer) home(m *record.Message, enqueued int64) error {
	topic, queue, ok := record.RealPlace(m.Properties)
	if !ok {
		if t.log != nil {
			t.log.Error("timed message does not say where it belongs and is not delivered", "logOffset", m.LogOffset, "properties", string(m.Properties))
		}
		return nil
	}
	m.Topic, m.QueueID = topic, queue
	err := t.put(m, edit{enqueued: enqueued, dequeued: t.now})
	if err == nil && enqueued != Never {
		t.count(m, -1)
	}
	return err
}

// put stores a message with new properties.
func (t *Timer) put(m *record.Message, e edit) error {
	t.props = e.append(t.props[:0], m.Properties)
	if len(t.props) <= record.MaxProperties {
		m.Properties = t.props // else these have to do without
	}
	m.PreparedOffset = 0
	end, err := t.o.Messages.Put(m)
	if err == nil {
		t.needed(end)
	}
	return err
}

// edit is what is noted in the properties of a message that leaves the wheel.
type edit struct {
	enqueued, dequeued int64 // ms
	rolls              int   // 0: as it was
}

// append appends properties with the notes to dst, in place of older ones.
func (e edit) append(dst, properties []byte) []byte {
	record.EachProperty(properties, func(k, v []byte) bool {
		switch string(k) {
		case skua.PropTimerEnqueueMs, skua.PropTimerDequeueMs:
			return true
		case skua.PropTimerRollTimes:
			if e.rolls > 0 {
				return true
			}
		}
		dst = append(append(append(append(dst, k...), 1), v...), 2)
		return true
	})
	dst = appendNumber(dst, skua.PropTimerEnqueueMs, e.enqueued)
	if e.rolls > 0 {
		dst = appendNumber(dst, skua.PropTimerRollTimes, int64(e.rolls))
	}
	return appendNumber(dst, skua.PropTimerDequeueMs, e.dequeued)
}

func appendNumber(dst []byte, key string, n int64) []byte {
	dst = append(append(dst, key...), 1)
	return append(strconv.AppendInt(dst, n, 10), 2)
}
