package timer

import (
	"log/slog"
	"math"
	"path/filepath"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Never is the time at which nothing happens, ms.
const Never = math.MaxInt64

// Messages is the store of messages, as a timer needs it. Messages that are handed over are valid until the function
// returns that they are handed to.
type Messages interface {
	// Arrived calls take for messages of the queue of timed messages, in their order, from offset from on, until there are
	// no more, or it has called it for enough, or take returns an error, with which it ends. It returns the offset behind
	// the last message that was taken; further if messages at from are gone, and not as far if there never were any.
	Arrived(from skua.QueueOffset, take func(m *record.Message) error) (next skua.QueueOffset, err error)
	// Find calls found for the messages at places, in their order, with nil for one that is gone. It ends with the first
	// error of found. Its own errors tell that something cannot be read at the moment.
	Find(places []Place, found func(i int, m *record.Message) error) error
	// Put stores a message in the topic and queue that it names, and returns where the log of messages then ends, 0 if the
	// message is one that can never be stored. After an error another try may succeed.
	Put(m *record.Message) (end skua.LogOffset, err error)
}

// Place is where a message stands in the log of messages.
type Place struct {
	Log  skua.LogOffset
	Size int32 // bytes
}

// Options configure a timer.
type Options struct {
	Dir       string         // of the store
	Precision int64          // timerPrecisionMs: a slot holds the messages of so many ms
	FileSize  int64          // mappedFileSizeTimerLog: of a file of the timer log, bytes
	Messages  Messages       // the timer uses them in Open and Step only
	LogBegin  skua.LogOffset // where the log of messages begins
	LogEnd    skua.LogOffset // and where it ends
	Clean     bool           // the store was closed, not killed
	// Durable waits until the log of messages is on disk up to end, or returns an error if that takes too long.
	Durable func(end skua.LogOffset) error
	Boot    layout.Session // names the run of the machine; zero if that is unknown
	Log     *slog.Logger   // nil: nothing is logged
	Topic   []byte         // the topic of timed messages
	Faults  segment.Faults // makes the disk fail in tests
}

// Rules are settings that may be other ones at each Step.
type Rules struct {
	RollWindow  int64 // timerRollWindowSlot: messages that are due so many slots ahead, or more, are put into the wheel in steps
	StopEnqueue bool  // timerStopEnqueue: no messages are put into the wheel
	StopDequeue bool  // timerStopDequeue: no slot is delivered
	SkipErrors  bool  // timerSkipUnknownError: what cannot be read is passed over
	TopicInKey  bool  // appendTopicForTimerDeleteKey: a recall names the topic, too
}

// Timer keeps timed messages and hands them on when they are due. Step and what it says it calls are for one goroutine;
// the other methods may be called from any.
type Timer struct {
	o     Options
	log   *slog.Logger
	wheel *wheel
	units *unitLog

	// Of the goroutine that calls Step.
	now     int64                       // of this Step, ms
	rules   Rules                       // of this Step
	read    int64                       // moment of the first slot that was not passed
	queue   skua.QueueOffset            // of the next message to be put into the wheel
	needs   skua.LogOffset              // what of the log of messages has to be on disk before this is told by a checkpoint
	setBack int64                       // see progress
	slot    slot                        // in hand
	known   *known                      // units that a start has found; nil once they do not matter
	batch   batch                       // on its way into the timer log
	gone    int64                       // messages of the slot in hand that could not be found
	found   []layout.TimerUnit          // memory of findUnits
	places  []Place                     // memory of findUnits
	props   []byte                      // memory of put
	taker   func(*record.Message) error // takeOne

	flushing sync.Mutex // held by Flush
	parking  sync.Mutex // held while units are in their slots, but not yet in the timer log

	mu       sync.Mutex // guards the following
	progress progress
	saved    progress // what the checkpoint on disk says
	synced   int64    // the timer log before it is on disk
	check    layout.TimerCheckpoint
	mark     *mark
	failed   error // a sync failed: what is on disk is unknown until the next start

	counts counts
	stats  Stats // guarded by counts.mu
}

// progress is how far a timer has come.
type progress struct {
	read  int64
	done  int64 // units of the slot in hand that were dealt with
	queue skua.QueueOffset
	log   int64 // end of the timer log
	needs skua.LogOffset
	// Slots before this moment were passed and emptied, as the clock was set back; 0 when it has come there again.
	setBack int64
}

// Stats counts what a timer has done since Open.
type Stats struct {
	Enqueued  int64 // messages that were put into the wheel, or came too late for it
	Delivered int64 // messages that left it for their topic, or for another round
}

func (t *Timer) path(dir, name string) string { return filepath.Join(t.o.Dir, dir, name) }

// present is the moment of a time.
func (t *Timer) present(now int64) int64 { return now / t.o.Precision }

// Step does a part of what is to be done at a time, ms: puts messages that have arrived into the wheel, and delivers those
// that are due. It returns when it wants to be called again, unless a message arrives before: now or earlier if there is
// more to do, Never if there is nothing to wait for. After an error the rest was done nevertheless; another call soon may
// succeed. It blocks while the disk is read.
func (t *Timer) Step(now int64, r Rules) (next int64, err error) {
	t.now, t.rules = now, r
	t.rules.RollWindow = t.window(r.RollWindow)
	if err := t.follow(); err != nil {
		return now, err
	}
	more := t.begun() && t.present(now) <= t.read && !r.StopDequeue // the slot has to be finished, then follow can do it
	if !r.StopEnqueue && !more {
		more, err = t.take()
	}
	if r.StopDequeue {
		if next = Never; more {
			next = now
		}
		return next, err
	}
	busy, failed := t.deliver()
	if err == nil {
		err = failed
	}
	if more || busy {
		return now, err
	}
	return t.ahead(now), err
}

// window is the roll window in effect, as in Java; also such that a unit can tell how far ahead it is.
func (t *Timer) window(slots int64) int64 {
	most := min(int64(reach-blankSlots), math.MaxInt32/t.o.Precision)
	if slots < 2 || slots > most {
		return most
	}
	return slots
}

// blankSlots is how much less than half a turn messages may be ahead.
const blankSlots = 60

// ahead returns when the next slot is due, and reads which units are in it if that is soon.
func (t *Timer) ahead(now int64) int64 {
	m, ok := t.wheel.next(t.read, t.read+turn)
	if !ok {
		return Never
	}
	due := (m + 1) * t.o.Precision
	if due-now <= max(t.o.Precision, loadAhead) {
		_ = t.load(m) // an error will come again when it is due
	}
	return due
}

// loadAhead is how long before it is due the units of a slot are looked up, ms.
const loadAhead = 1000

// publish lets others see how far the timer has come.
func (t *Timer) publish() {
	p := progress{read: t.read, done: t.slot.done, queue: t.queue, log: t.units.end, needs: t.needs}
	if t.read < t.setBack {
		p.setBack = t.setBack
	}
	if t.slot.moment != t.read {
		p.done = 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if p == t.progress {
		return
	}
	t.progress = p
	t.mark.write(t.markLocked(false))
}

func (t *Timer) needed(end skua.LogOffset) { t.needs = max(t.needs, end) }

// Behind is how long the first message that is due has waited, ms; 0 if none is due.
func (t *Timer) Behind(now int64) int64 {
	t.mu.Lock()
	read := t.progress.read
	t.mu.Unlock()
	m, ok := t.wheel.next(read, min(t.present(now), read+turn))
	if !ok {
		return 0
	}
	return now - (m+1)*t.o.Precision
}

// Queue is the offset of the next message that is to be put into the wheel.
func (t *Timer) Queue() skua.QueueOffset {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.progress.queue
}

// Pending is how many messages wait in the wheel. Recalls count as -1 until they have met what they recall.
func (t *Timer) Pending() int64 { return t.wheel.messages() }

// Waiting is how many messages wait in the slot of a time, ms. It may read the disk.
func (t *Timer) Waiting(due int64) (int64, error) { return t.wheel.count(t.present(due)) }

// Checkpoint is what GET_TIMER_CHECK_POINT answers: the checkpoint that was written last.
func (t *Timer) Checkpoint() layout.TimerCheckpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.check
}

// Stats returns the counts.
func (t *Timer) Stats() Stats {
	t.counts.mu.Lock()
	defer t.counts.mu.Unlock()
	return t.stats
}
