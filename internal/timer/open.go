package timer

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Limits of options.
const (
	minFileSize  = 4096
	maxPrecision = 60_000 // ms
)

// Open opens the timer of a store, or makes one, at a time, ms. It writes nothing but what mends the files. The error names
// file and cure.
func Open(o Options, now int64) (*Timer, error) {
	if o.Precision < 1 || o.Precision > maxPrecision {
		return nil, fmt.Errorf("timerPrecisionMs: %d is out of range, want 1 to %d", o.Precision, maxPrecision)
	}
	if o.FileSize < minFileSize {
		return nil, fmt.Errorf("mappedFileSizeTimerLog: %d, the least is %d bytes", o.FileSize, minFileSize)
	}
	t := &Timer{o: o, log: o.Log}
	t.counts.topics, t.taker = map[string]*TopicCount{}, t.takeOne
	err := t.open(now)
	if err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

func (t *Timer) open(now int64) (err error) {
	if t.wheel, err = openWheel(t.path("", layout.TimerWheelFile), t.o.Faults); err != nil {
		return err
	}
	if t.units, err = openUnitLog(t.path("", layout.TimerLogDir), t.o.FileSize, t.o.Faults); err != nil {
		return err
	}
	f, err := t.readFound(now)
	if err != nil {
		return err
	}
	if err := t.recover(f, now); err != nil {
		return err
	}
	t.check = f.check
	if t.mark, err = openMark(t.path(layout.OwnDir, layout.TimerMarkFile), t.o.Faults); err != nil {
		return err
	}
	t.progress.read = -1 // so that it is another one
	t.publish()
	t.saved = t.progress
	return nil
}

// found is what a start finds out about the process before it.
type found struct {
	check   layout.TimerCheckpoint
	checked bool             // there is a checkpoint
	mark    layout.TimerMark // the last one
	marked  bool             // it is of this checkpoint
	sure    bool             // and what it says is so: nothing was lost since
}

func (t *Timer) readFound(now int64) (f found, err error) {
	b, err := os.ReadFile(t.path(layout.ConfigDir, layout.TimerCheckFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	f.check, f.checked = layout.DecodeTimerCheckpoint(b)
	c := &f.check
	sane := c.Read > 0 && c.Read-now < turn*t.o.Precision && c.LogFlushed >= 0 && c.Queue >= 0
	if len(b) > 0 && !(f.checked && sane) && t.log != nil {
		t.log.Warn("checkpoint of timed messages makes no sense, so that some of the last week may be delivered again", "file", layout.TimerCheckFile, "checkpoint", *c)
	}
	if f.checked = f.checked && sane; !f.checked {
		f.check = layout.TimerCheckpoint{}
	}
	path := t.path(layout.OwnDir, layout.TimerMarkFile)
	if f.mark, f.marked, err = readMark(path); err != nil {
		return f, err
	}
	// A Java broker that was here in between has written another checkpoint.
	f.marked = f.marked && (f.mark.Checkpoint == f.check || f.mark.Next == f.check)
	f.sure = f.marked && (f.mark.Clean && t.o.Clean || f.mark.Boot == t.o.Boot && f.mark.Boot != layout.Session{})
	return f, nil
}

// recover finds out what is in the wheel, and from where to go on. See the package comment for why it is right.
func (t *Timer) recover(f found, now int64) error {
	begin, stop := t.units.run.Bounds()
	if f.marked && f.mark.Precision == t.o.Precision {
		t.setBack = f.mark.SetBack
	}
	t.read = t.present(f.check.Read)
	switch {
	case f.sure && f.mark.Precision == t.o.Precision && f.mark.Read < t.present(now)+turn:
		t.read, t.slot = f.mark.Read, slot{moment: f.mark.Read, last: -1, done: f.mark.Done}
	case !f.checked && stop > begin: // nobody knows what was delivered: twice is better than never
		t.read = t.present(now) - reach + blankSlots
	case !f.checked:
		t.read = t.present(now)
	}
	tail := f.check.LogFlushed
	if !f.checked || tail < begin || tail > stop {
		tail = begin
	}
	last, end, err := t.findEnd(tail, f.sure || t.o.Clean)
	if err != nil {
		return err
	}
	whole, err := t.scanWheel(f, now, tail, end)
	if err != nil {
		return err
	}
	t.synced, t.units.end = tail, end
	if !f.sure && !t.o.Clean {
		if err := t.units.cut(end); err != nil {
			return err
		}
	}
	if err := t.findQueue(f, last); err != nil {
		return err
	}
	return t.replay(tail, whole)
}

// findEnd finds the end of the timer log, which is at tail or behind it, and the last unit from tail on. Units that may have
// been written while the power went out are not trusted: their messages are looked at.
func (t *Timer) findEnd(tail int64, trust bool) (last layout.TimerUnit, end int64, err error) {
	var failed error
	end, err = t.units.each(tail, func(_ int64, u layout.TimerUnit) bool {
		if u.Log+int64(u.Size) > int64(t.o.LogEnd) {
			return false
		}
		good := trust
		if !trust {
			good, failed = t.leads(u)
		}
		if good {
			last = u
		}
		return good
	})
	return last, end, errors.Join(err, failed)
}

// leads reports whether there is a message where a unit says, and of its time. One that retention took is taken for it.
func (t *Timer) leads(u layout.TimerUnit) (good bool, err error) {
	err = t.o.Messages.Find([]Place{{Log: skua.LogOffset(u.Log), Size: u.Size}}, func(_ int, m *record.Message) error {
		if m == nil {
			good = skua.LogOffset(u.Log) < t.o.LogBegin
			return nil
		}
		x, ok := timedOf(m)
		good = ok && string(m.Topic) == string(t.o.Topic) && (x.out == u.Due() || u.Magic&layout.TimerRolled != 0 && x.out > u.Due())
		return nil
	})
	return good, err
}

// scanWheel finds the slots of the wheel that are pending. whole is false if the wheel is not what the timer log says that
// it was when the log ended at tail, or if it speaks of something from end on.
func (t *Timer) scanWheel(f found, now, tail, end int64) (whole bool, err error) {
	begin, stop := t.units.run.Bounds()
	if t.wheel.file == nil || t.snapshots() || f.marked && f.mark.Precision != t.o.Precision {
		return begin == stop || t.wheel.file == nil && tail == begin, nil
	}
	whole = true
	last := min(max(t.present(now), t.read)+reach, t.read+turn)
	err = t.wheel.scan(t.read, last, func(s layout.TimerSlot) {
		if s.Last >= end {
			whole = false
		} else if s.Last >= 0 {
			t.wheel.known(s)
		}
	})
	if err != nil || !whole || t.read < t.setBack {
		return whole, err
	}
	return t.fits(tail)
}

// fits reports whether the wheel has one of the last units before tail, as far as they are pending. It must not be asked
// when slots were emptied because the clock was set back.
func (t *Timer) fits(tail int64) (bool, error) {
	const looks = 64
	begin, _ := t.units.run.Bounds()
	for pos, n := tail-layout.TimerUnitSize, 0; n < looks && pos >= begin; pos, n = pos-layout.TimerUnitSize, n+1 {
		u, err := t.units.unit(pos, true)
		if err != nil {
			return true, nil // the beginning of a file
		}
		if moment := t.present(u.Due()); moment >= t.read && moment < t.read+turn {
			s, ok, err := t.wheel.get(moment)
			return ok && s.Last >= pos, err
		}
	}
	return true, nil
}

// snapshots reports whether a Java broker has kept its wheel in snapshots (timerWheelSnapshotFlush), beside the file. They
// are moved out of the way of the next one, which else would take them for new.
func (t *Timer) snapshots() bool {
	paths, _ := filepath.Glob(t.path("", layout.TimerWheelFile+".*"))
	for _, path := range paths {
		if err := t.o.Faults.Remove(path); err != nil && t.log != nil {
			t.log.Warn("snapshot of the timer wheel cannot be removed", "file", path, "error", err)
		}
	}
	return len(paths) > 0
}

// replay puts the units of the timer log from from on into their slots, all there are if the wheel is not whole, and notes
// which of them belong to messages that are still in front of the queue's offset.
func (t *Timer) replay(from int64, whole bool) error {
	if !whole {
		if t.log != nil {
			t.log.Warn("the timer wheel is made again from the timer log", "file", t.wheel.path)
		}
		if err := t.wheel.reset(); err != nil {
			return err
		}
		from, _ = t.units.run.Bounds()
	}
	next, err := t.nextLog()
	if err != nil {
		return err
	}
	var failed error
	_, err = t.units.each(from, func(pos int64, u layout.TimerUnit) bool {
		if pos >= t.units.end {
			return false
		}
		if skua.LogOffset(u.Log) >= next {
			t.known = t.known.with(skua.LogOffset(u.Log))
		}
		failed = t.replayOne(pos, u)
		return failed == nil
	})
	return errors.Join(err, failed)
}

// replayOne puts a unit of the timer log into its slot, unless it is there.
func (t *Timer) replayOne(pos int64, u layout.TimerUnit) error {
	moment := t.present(u.Due())
	if moment < t.read || moment >= t.read+turn {
		return nil
	}
	s, ok, err := t.wheel.get(moment)
	if err != nil {
		return fmt.Errorf("timer wheel: %w", err)
	}
	if ok && s.Last >= pos {
		return nil
	}
	if s.Last = pos; s.First < 0 {
		s.First = pos
	}
	if u.Magic&layout.TimerDeletes != 0 {
		s.Count--
	} else {
		s.Count++
	}
	if err := t.wheel.put(s); err != nil {
		return fmt.Errorf("timer wheel: %w", err)
	}
	return nil
}

// errEnough ends Messages.Arrived.
var errEnough = errors.New("enough")

// nextLog is where the next message of the queue stands in the log of messages.
func (t *Timer) nextLog() (at skua.LogOffset, err error) {
	at = math.MaxInt64
	_, err = t.o.Messages.Arrived(t.queue, func(m *record.Message) error {
		at = m.LogOffset
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return at, err
}

// findQueue finds from where on messages of the queue are not in the timer log, of which last is the last unit behind the
// checkpoint.
func (t *Timer) findQueue(f found, last layout.TimerUnit) error {
	t.queue = skua.QueueOffset(f.check.Queue)
	switch {
	case f.sure:
		t.queue = skua.QueueOffset(f.mark.Queue)
		return nil
	case f.marked || t.o.Clean && f.checked:
		return nil
	}
	// A Java broker's checkpoint may be newer than what it has synced of the log.
	if last.Size == 0 && t.units.end > 0 {
		last, _ = t.units.unit(t.units.end-layout.TimerUnitSize, true)
	}
	if last.Size == 0 {
		return nil
	}
	return t.o.Messages.Find([]Place{{Log: skua.LogOffset(last.Log), Size: last.Size}}, func(_ int, m *record.Message) error {
		if m != nil && string(m.Topic) == string(t.o.Topic) {
			if next := m.QueueOffset + 1; next < t.queue || !f.checked {
				t.queue = next
			}
		}
		return nil
	})
}

// known are messages whose units a start has found in the timer log, though the queue's offset says that they are still to
// be put there.
type known struct {
	logs map[skua.LogOffset]struct{}
	last skua.LogOffset // the greatest
}

// with is k, which may be nil, and another one.
func (k *known) with(log skua.LogOffset) *known {
	if k == nil {
		k = &known{logs: map[skua.LogOffset]struct{}{}}
	}
	k.logs[log] = struct{}{}
	k.last = max(k.last, log)
	return k
}

// has reports whether a message is known. When one comes that is newer than all of them it forgets them.
func (k *known) has(m *record.Message) bool {
	if k == nil || k.logs == nil {
		return false
	}
	if m.LogOffset > k.last {
		k.logs = nil
		return false
	}
	_, ok := k.logs[m.LogOffset]
	return ok
}

// release gives back what open took.
func (t *Timer) release() {
	if t.wheel != nil {
		t.wheel.close()
	}
	if t.units != nil {
		t.units.disk.Close()
	}
	if t.mark != nil && t.mark.file != nil {
		t.mark.file.Close()
	}
}
