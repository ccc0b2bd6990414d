package broker

import (
	"math"
	"math/rand/v2"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// timing is what the properties of a message say about a time of delivery. Its texts are views.
type timing struct {
	sec, ms, at []byte // TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS; nil if not there
	was         bool   // the message was timed before, and has TIMER_OUT_MS
	recalls     bool   // TIMER_DEL_UNIQKEY: it recalls another one
}

// note looks at a property.
func (t *timing) note(key, value []byte) {
	switch string(key) {
	case skua.PropTimerDelaySec:
		t.sec = value
	case skua.PropTimerDelayMs:
		t.ms = value
	case skua.PropTimerDeliverMs:
		t.at = value
	case skua.PropTimerOutMs:
		t.was = true
	case skua.PropTimerDeleteKey:
		t.recalls = true
	}
}

// asked reports whether the message asks for a time of delivery. One that was timed before, and comes again to be retried,
// does not.
func (t *timing) asked() bool { return !t.was && (t.sec != nil || t.ms != nil || t.at != nil) }

// due is when the message is to be delivered, ms. Of the three properties the first counts, as in Java.
func (t *timing) due(now int64) (int64, error) {
	key, text, unit, base := skua.PropTimerDelaySec, t.sec, int64(1000), now
	switch {
	case t.sec != nil:
	case t.ms != nil:
		key, text, unit = skua.PropTimerDelayMs, t.ms, 1
	default:
		key, text, unit, base = skua.PropTimerDeliverMs, t.at, 1, 0
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0, refusalf(command.StatusMessageIllegal, "%s is %.100q, want a number", key, text)
	}
	if n > 0 && n > (math.MaxInt64-base)/unit {
		return math.MaxInt64, nil
	}
	if n < 0 {
		return min(base, now), nil
	}
	return base + n*unit, nil
}

// until is until when a message waits that asks for a time of delivery, as TIMER_OUT_MS; 0 if it is to be delivered at once.
func (b *Broker) until(t *timing) (int64, error) {
	o := b.options.Load()
	if b.wheel == nil {
		return 0, refusalf(command.StatusSystemError, "accurate timer message is not enabled, timerWheelEnable is false: set it to true and restart the broker, or use a delay level")
	}
	illegal := func(why string, args ...any) error {
		return refusalf(command.StatusMessageIllegal, "timer message illegal, the delay time should not be bigger than the max delay %dms; or if set del msg, "+
			"the delay time should be bigger than the current time: "+why, append([]any{o.maxDelay()}, args...)...)
	}
	now := b.now().UnixMilli()
	due, err := t.due(now)
	switch {
	case err != nil:
		return 0, illegal("%v", err)
	case due <= now && t.recalls:
		return 0, illegal("it recalls a message that was due %d ms ago", now-due)
	case due <= now:
		return 0, nil
	case due-now > o.maxDelay():
		return 0, illegal("it asks for %d ms; timerMaxDelaySec=%d", due-now, o.TimerMaxDelaySec)
	}
	unit := int64(o.TimerPrecisionMs)
	out := (due - 1) / unit * unit // delivered when this step is over: not before it is due, and within a step after it
	return out, b.congested(out, o, t.recalls)
}

// delayOf is how long a message waits, from now on, by what its properties say.
func (b *Broker) delayOf(properties []byte) (delay, error) {
	level, asks := 0, timing{}
	record.EachProperty(properties, func(key, value []byte) bool {
		if string(key) == skua.PropDelayLevel {
			level = parseLevel(value)
		} else {
			asks.note(key, value)
		}
		return true
	})
	if level > 0 || !asks.asked() {
		return delay{level: level}, nil
	}
	until, err := b.until(&asks)
	return delay{until: until}, err
}

// congested returns an error if too many messages wait for the same step. Java refuses the fewer the more there are between
// once and twice the limit; here it is the other way round. A recall makes it better and is always taken.
func (b *Broker) congested(out int64, o *Options, recalls bool) error {
	limit := int64(o.TimerCongestNumEachSlot)
	if limit == math.MaxInt32 || recalls {
		return nil
	}
	n, err := b.wheel.Waiting(out)
	if err != nil {
		return refusalf(command.StatusSystemError, "UNKNOWN_ERROR: timer wheel: %v", err)
	}
	if n <= limit || n < 2*limit && rand.Int64N(limit) >= n-limit {
		return nil
	}
	return refusalf(command.StatusSystemError, "timer message is under flow control, max num limit is %d or the current value is greater than %d and less than %d, trigger random flow control: "+
		"%d messages are due within the same %d ms (timerCongestNumEachSlot=%d); spread their times", 2*limit, limit, 2*limit, n, o.TimerPrecisionMs, limit)
}

// parkedWell reports whether the properties of a message that somebody sends to the queue of timed messages are such that
// it will leave it.
func parkedWell(properties []byte) bool {
	text, _ := record.Property(properties, skua.PropTimerOutMs)
	out, err := strconv.ParseInt(string(text), 10, 64)
	_, _, ok := record.RealPlace(properties)
	return ok && err == nil && out >= 0
}

var timerTopic = []byte(skua.TimerTopic)

// park makes of a message one for the queue of timed messages, which leaves it at until. Its properties become scratch,
// which is returned grown; m's own are not touched.
func park(m *record.Message, until int64, scratch []byte) []byte {
	scratch = append(scratch[:0], m.Properties...)
	if n := len(scratch); n > 0 && scratch[n-1] != 2 {
		scratch = append(scratch, 2)
	}
	scratch = append(append(scratch, skua.PropTimerOutMs...), 1)
	scratch = append(strconv.AppendInt(scratch, until, 10), 2)
	scratch = append(append(append(append(scratch, skua.PropRealTopic...), 1), m.Topic...), 2)
	scratch = append(append(scratch, skua.PropRealQueueID...), 1)
	scratch = append(strconv.AppendInt(scratch, int64(m.QueueID), 10), 2)
	m.Properties, m.Topic, m.QueueID = scratch, timerTopic, 0
	return scratch
}
