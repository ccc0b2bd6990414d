package broker

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/timer"
	"github.com/skuamq/skua/internal/wire"
)

// wheel runs the timer of timed messages. One goroutine, run, does what there is to do: it sleeps until the next message is
// due or some have arrived. Another, keep, puts what has changed on disk.
type wheel struct {
	*timer.Timer
	b     *Broker
	log   *slog.Logger
	store *store.Store
	queue *store.Queue // of timed messages

	wake    chan struct{} // capacity 1: a message arrived, or a setting was changed
	changed chan struct{} // capacity 1: there is something to put on disk
	recount chan struct{} // capacity 1: the counts are to be checked

	// Of run.
	failed  error // that the last round met
	out     store.ReadResult
	message record.Message
	places  []store.Place

	path     string       // of config/timermetrics
	stored   int64        // version of the counts in it; of keep and close
	enqueued atomic.Int64 // tenths of messages per second, as Rates
	dequeued atomic.Int64
	last     timer.Stats // of the second before; of tick
	lastTime time.Time
}

// Pace of timed messages.
const (
	gatherFor      = 10 * time.Millisecond // after an arrival, so that many are taken at once; less if one is due
	retryTimed     = time.Second           // after an error
	longestTimed   = time.Second           // so that a clock that was set is noticed while messages wait
	durablePoll    = 20 * time.Millisecond // until the log is on disk
	countsInterval = 10 * time.Second      // between writes of config/timermetrics
	findBytes      = 1 << 20               // of messages that are read at a time
)

// openWheel opens the timer, unless it is not enabled.
func (b *Broker) openWheel(o *Options) error {
	if !o.TimerWheelEnable {
		return nil
	}
	w := &wheel{b: b, log: b.log, store: b.store, queue: b.store.Queue(skua.TimerTopic, 0), path: b.configPath("timermetrics"),
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1), recount: make(chan struct{}, 1)}
	var boot layout.Session
	if id, err := hex.DecodeString(string(bytes.ReplaceAll(bootID(), []byte("-"), nil))); err == nil {
		copy(boot[:], id)
	}
	t, err := timer.Open(timer.Options{Dir: o.StorePathRootDir, Precision: int64(o.TimerPrecisionMs), FileSize: int64(o.MappedFileSizeTimerLog),
		Messages: w, LogBegin: b.store.Min(), LogEnd: b.store.Max(), Clean: !b.store.Killed(), Boot: boot, Log: b.log, Topic: timerTopic,
		Durable: w.durable}, b.now().UnixMilli())
	if err != nil {
		return fmt.Errorf("timed messages: %w", err)
	}
	w.Timer = t
	if err := w.loadCounts(); err != nil {
		return errors.Join(err, t.Close(b.now().UnixMilli()))
	}
	if b.store.Killed() {
		w.recount <- struct{}{}
	}
	b.wheel = w
	return nil
}

// signal makes sure that a channel of capacity 1 has something.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// rules are the settings that a step is to follow.
func (w *wheel) rules() timer.Rules {
	o := w.b.options.Load()
	window := int64(o.TimerRollWindowSlot)
	if keep := int64(o.FileReservedTime) * time.Hour.Milliseconds() / int64(o.TimerPrecisionMs); window > keep*3/4 {
		window = max(keep*3/4, 2)
	}
	return timer.Rules{RollWindow: window, StopEnqueue: o.TimerStopEnqueue, StopDequeue: o.TimerStopDequeue,
		SkipErrors: o.TimerSkipUnknownError, TopicInKey: o.AppendTopicForTimerDeleteKey}
}

// run takes and delivers messages until stop is closed.
func (w *wheel) run(stop <-chan struct{}) {
	clock := time.NewTimer(0)
	defer clock.Stop()
	next := int64(0) // ms: when there is something to do
	for {
		select {
		case <-stop:
			return
		case <-w.recount:
			w.survey(stop)
			continue
		case <-clock.C:
		case <-w.wake:
			// A moment for further messages, but not beyond what is due.
			clock.Reset(min(gatherFor, time.Duration(max(min(next, timer.Never/2)-w.b.now().UnixMilli(), 0))*time.Millisecond))
			select {
			case <-stop:
				return
			case <-clock.C:
			}
		}
		next = w.round(stop)
		signal(w.changed)
		if next == timer.Never {
			clock.Stop()
			continue
		}
		clock.Reset(min(time.Duration(max(next-w.b.now().UnixMilli(), 0))*time.Millisecond, longestTimed))
	}
}

// round does what is to be done, and returns when there will be something again.
func (w *wheel) round(stop <-chan struct{}) int64 {
	for {
		now := w.b.now().UnixMilli()
		next, err := w.Step(now, w.rules())
		w.complain(err)
		if err != nil {
			return now + retryTimed.Milliseconds()
		}
		if next > now {
			return next
		}
		select {
		case <-stop:
			return next
		default:
		}
	}
}

// complain logs an error once, and when it is over.
func (w *wheel) complain(err error) {
	switch {
	case err != nil && (w.failed == nil || w.failed.Error() != err.Error()):
		w.log.Warn("timed messages wait; trying again at intervals", "error", err)
	case err == nil && w.failed != nil:
		w.log.Info("timed messages are delivered again")
	}
	w.failed = err
}

// arrived is told that a timed message became visible. It neither blocks nor allocates.
func (w *wheel) arrived() { signal(w.wake) }

// Arrived is that of timer.Messages.
func (w *wheel) Arrived(from skua.QueueOffset, take func(*record.Message) error) (skua.QueueOffset, error) {
	if from >= w.queue.Max() {
		return w.queue.Max(), nil
	}
	defer w.out.Release()
	w.store.Read(w.queue, store.ReadRequest{Offset: from, MaxMessages: 1024}, &w.out)
	if w.out.Err != nil && len(w.out.Records) == 0 {
		return from, w.out.Err
	}
	if len(w.out.Records) == 0 {
		w.log.Error("timed messages are gone before they were put into the timer wheel", "from", from, "to", max(w.out.Next, from+1), "status", w.out.Status)
		return max(w.out.Next, from+1), nil
	}
	for _, b := range w.out.Records {
		var err error
		if w.message, _, err = record.Decode(b); err != nil {
			w.log.Error("timed message is malformed and cannot be delivered", "offset", from, "error", err)
			continue
		}
		off := w.message.QueueOffset
		if err := take(&w.message); err != nil {
			return off, err
		}
	}
	return w.out.Next, nil
}

// Find is that of timer.Messages.
func (w *wheel) Find(places []timer.Place, found func(int, *record.Message) error) error {
	for first := 0; first < len(places); {
		n, size := 0, 0
		w.places = w.places[:0]
		for ; first+n < len(places) && (n == 0 || size+int(places[first+n].Size) <= findBytes); n++ {
			w.places = append(w.places, store.Place(places[first+n]))
			size += int(places[first+n].Size)
		}
		if err := w.find(first, found); err != nil {
			return err
		}
		first += n
	}
	return nil
}

// find calls found for w.places, of which the first has number first.
func (w *wheel) find(first int, found func(int, *record.Message) error) error {
	defer w.out.Release()
	w.store.ReadPlaces(w.places, &w.out)
	records := w.out.Records
	for i, p := range w.places {
		var message *record.Message
		if len(records) > 0 {
			var err error
			if w.message, _, err = record.Decode(records[0]); err == nil && w.message.LogOffset == p.Log {
				message, records = &w.message, records[1:]
			}
		}
		if message == nil && len(records) == 0 && w.out.Err != nil {
			return w.out.Err
		}
		if err := found(first+i, message); err != nil {
			return err
		}
	}
	return nil
}

// Put is that of timer.Messages. It shares the way of delayed messages, which come home, too.
func (w *wheel) Put(m *record.Message) (skua.LogOffset, error) {
	r, err := storeCopy(w.store, w.b.topics, w.b.stats, w.log, m)
	var refused *store.RefusedError
	if errors.As(err, &refused) {
		switch refused.Reason {
		case store.BodyTooLarge, store.PropertiesTooLarge, store.TopicInvalid:
			w.log.Error("timed message cannot be stored where it belongs and is not delivered", "topic", string(m.Topic), "queue", m.QueueID, "error", err)
			return 0, nil
		}
	}
	return r.End, err
}

// durable is timer.Options.Durable.
func (w *wheel) durable(end skua.LogOffset) error {
	for deadline := time.Now().Add(durabilityWait); w.store.Durable() < end; {
		if time.Now().After(deadline) {
			return fmt.Errorf("the log is on disk up to %d only, not up to %d", w.store.Durable(), end)
		}
		select {
		case <-w.b.stop:
			return errStopping // what is to be on disk will be when the store closes
		case <-time.After(durablePoll):
		}
	}
	return nil
}

var errStopping = errors.New("the broker is stopping")

// keep puts what has changed on disk, at intervals, and sees to it that counts are checked, until stop is closed.
func (w *wheel) keep(stop <-chan struct{}) {
	o := w.b.options.Load()
	interval := time.Duration(o.TimerFlushIntervalMs) * time.Millisecond
	check := time.NewTimer(time.Until(w.nextCheck(w.b.now())))
	defer check.Stop()
	var saved time.Time
	failing := false
	for {
		select {
		case <-stop:
			return
		case now := <-check.C:
			if w.b.options.Load().TimerEnableCheckMetrics {
				signal(w.recount)
			}
			check.Reset(time.Until(w.nextCheck(now)))
			continue
		case <-w.changed:
		}
		select {
		case <-stop:
			return
		case <-time.After(interval):
		}
		err := errors.Join(w.Flush(w.b.now().UnixMilli()), w.Retain(w.store.Min()))
		if errors.Is(err, errStopping) {
			return
		}
		if time.Since(saved) >= countsInterval {
			saved = time.Now()
			err = errors.Join(err, w.saveCounts())
		}
		if err != nil {
			signal(w.changed) // it is to be tried again
		}
		if failed := err != nil; failed != failing {
			if failing = failed; failed {
				w.log.Error("how far timed messages are is not on disk; a crash would deliver some again; trying again at intervals", "error", err)
			} else {
				w.log.Info("how far timed messages are is on disk again")
			}
		}
	}
}

// close puts everything on disk. It is the store's Options.Flushed.
func (w *wheel) close() error {
	if w == nil {
		return nil
	}
	return errors.Join(w.Close(w.b.now().UnixMilli()), w.saveCounts())
}

// nextCheck is when the counts are to be checked next: at the beginning of one of the hours for that.
func (w *wheel) nextCheck(now time.Time) time.Time {
	list, _ := hours(w.b.options.Load().TimerCheckMetricsWhen)
	t := time.Date(now.Year(), now.Month(), now.Day(), now.Hour(), 0, 0, 0, now.Location())
	for range 25 {
		if t = t.Add(time.Hour); slices.Contains(list, t.Hour()) {
			break
		}
	}
	return t
}

// hours reads hours of the day separated by semicolons.
func hours(s string) (list []int, err error) {
	for f := range strings.SplitSeq(s, ";") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		h, err := strconv.Atoi(f)
		if err != nil || h < 0 || h > 23 {
			return nil, fmt.Errorf("%q: %q is no hour from 00 to 23", s, f)
		}
		list = append(list, h)
	}
	return list, nil
}

// survey begins to count messages anew, beside everything else.
func (w *wheel) survey(stop <-chan struct{}) {
	s := w.Survey()
	if s == nil {
		return // the next one will do
	}
	w.b.wait.Go(func() {
		err := s.Run(stop)
		if err != nil {
			w.log.Warn("counts of timed messages could not be checked", "error", err)
		}
		var topics []string
		select {
		case <-stop:
		default:
			if topics = w.b.topics.names(); err != nil {
				topics = nil
			}
		}
		s.Adopt(topics, w.b.now().UnixMilli())
		signal(w.changed)
	})
}

// counts is what GET_TIMER_METRICS answers, and config/timermetrics holds.
func (w *wheel) counts() (c command.TimerMetrics, version int64) {
	topics, version := w.Counts()
	c.TimingCount = make(map[string]command.TimerCount, len(topics))
	for name, n := range topics {
		c.TimingCount[name] = command.TimerCount{Count: n.Count, Timestamp: n.Changed}
		c.DataVersion.Timestamp = max(c.DataVersion.Timestamp, n.Changed)
	}
	c.DataVersion.Counter = version
	return c, version
}

func (w *wheel) loadCounts() error {
	saved, err := jsonfile.Read[command.TimerMetrics](w.path, w.log)
	if err != nil || saved == nil {
		return err
	}
	topics := make(map[string]timer.TopicCount, len(saved.TimingCount))
	for name, n := range saved.TimingCount {
		topics[name] = timer.TopicCount{Count: n.Count, Changed: n.Timestamp}
	}
	w.SetCounts(topics, saved.DataVersion.Counter)
	w.stored = saved.DataVersion.Counter
	return nil
}

// saveCounts writes config/timermetrics if there is something new.
func (w *wheel) saveCounts() error {
	c, version := w.counts()
	if version == w.stored {
		return nil
	}
	data, err := fastjson.Marshal(c)
	if err == nil {
		err = jsonfile.Replace(w.path, data)
	}
	if err == nil {
		w.stored = version
	}
	return err
}

// timerCheckpoint serves GET_TIMER_CHECK_POINT.
func (b *Broker) timerCheckpoint(f *wire.Frame) {
	if b.wheel == nil {
		refuse(f, command.StatusSystemError, "The checkpoint is null: timerWheelEnable=false")
		return
	}
	succeed(f, nil, b.wheel.Checkpoint().Append(nil))
}

// timerMetrics serves GET_TIMER_METRICS.
func (b *Broker) timerMetrics(f *wire.Frame) {
	if b.wheel == nil {
		refuse(f, command.StatusSystemError, "The timer message store is null: timerWheelEnable=false")
		return
	}
	c, _ := b.wheel.counts()
	answer(f, c)
}

// second notes how many messages went in and out since it was called last. It is to be called each second.
func (w *wheel) second(now time.Time) {
	if w == nil {
		return
	}
	s := w.Stats()
	if d := now.Sub(w.lastTime).Seconds(); d > 0 && !w.lastTime.IsZero() {
		w.enqueued.Store(int64(10 * float64(s.Enqueued-w.last.Enqueued) / d))
		w.dequeued.Store(int64(10 * float64(s.Delivered-w.last.Delivered) / d))
	}
	w.last, w.lastTime = s, now
}

// addRuntime adds what runtime information tells of timed messages. timerDistribution is not in Java's: how many messages
// are due within so many seconds, and not within the bound before.
func (w *wheel) addRuntime(t map[string]string, now time.Time) {
	if w == nil {
		return
	}
	number := func(key string, n int64) { t[key] = strconv.FormatInt(n, 10) }
	number("timerReadBehind", w.Behind(now.UnixMilli())/1000)
	number("timerOffsetBehind", int64(max(w.queue.Max()-w.Queue(), 0)))
	number("timerCongestNum", w.Pending())
	t["timerEnqueueTps"] = strconv.FormatFloat(float64(w.enqueued.Load())/10, 'f', 1, 64)
	t["timerDequeueTps"] = strconv.FormatFloat(float64(w.dequeued.Load())/10, 'f', 1, 64)
	if n, err := w.ByDistance(now.UnixMilli()); err == nil {
		var words []string
		for i, bound := range timer.Distances {
			words = append(words, fmt.Sprintf("%d:%d", bound, n[i]))
		}
		t["timerDistribution"] = strings.Join(words, " ")
	}
}
