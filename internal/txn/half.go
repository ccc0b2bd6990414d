package txn

import (
	"bytes"
	"math"
	"strconv"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// Half is what a half message says of itself.
type Half struct {
	Offset      skua.QueueOffset // its place
	First       skua.QueueOffset // the place that it had first; Offset if that is its first one, or unknown
	Stored      int64            // when it was stored at its place, ms
	FirstStored int64            // when it was stored first, ms
	Checks      int              // how often its producers were asked about it
	Immunity    time.Duration    // for how long it asks not to be asked about; 0: as long as others
	Group       []byte           // of its producers; a view of the properties
	UniqueKey   []byte           // a view of the properties
	Marked      bool             // it was stored again, and says so in SKUA_HALF
	Foreign     bool             // it was stored again by who did not say where it had been
}

// ReadHalf reads a half message.
func ReadHalf(m *record.Message) Half {
	h := Half{Offset: m.QueueOffset, First: m.QueueOffset, Stored: m.StoreTime, FirstStored: m.StoreTime}
	var origin, prepared []byte
	record.EachProperty(m.Properties, func(key, value []byte) bool {
		switch string(key) {
		case skua.PropProducerGroup:
			h.Group = value
		case skua.PropUniqueKey:
			h.UniqueKey = value
		case skua.PropTransactionCheckTimes:
			h.Checks = int(min(number(value), math.MaxInt32))
		case skua.PropCheckImmunity:
			h.Immunity = time.Duration(min(number(value), maxImmunity)) * time.Second
		case skua.PropTransPreparedQueueOffset:
			prepared = value
		case skua.PropHalf:
			origin = value
		}
		return true
	})
	first, stored, _ := bytes.Cut(origin, []byte(","))
	switch {
	case number(stored) > 0:
		h.First, h.FirstStored, h.Marked = skua.QueueOffset(number(first)), min(number(stored), h.Stored), true
	case len(prepared) > 0 && skua.QueueOffset(number(prepared)) < h.Offset: // Java's word for the first place
		h.First, h.FirstStored = skua.QueueOffset(number(prepared)), bornBefore(m)
	case h.Checks > 0:
		h.Foreign, h.FirstStored = true, bornBefore(m)
	}
	return h
}

// bornBefore is when m was made, if that can be true.
func bornBefore(m *record.Message) int64 {
	if m.BornTime <= 0 || m.BornTime > m.StoreTime {
		return m.StoreTime
	}
	return m.BornTime
}

// maxImmunity is longer than anything is kept, s.
const maxImmunity = 100 * 365 * 24 * 3600

// number reads a decimal number that is not negative; 0 if it is none or too great.
func number(b []byte) int64 {
	if len(b) == 0 || len(b) > 18 {
		return 0
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// AppendAgain appends the properties with which h, which has those given, is stored again, after checks checks.
func (h *Half) AppendAgain(dst, properties []byte, checks int) []byte {
	dst = appendWithout(dst, properties, skua.PropHalf, skua.PropTransactionCheckTimes, skua.PropMultiQueueOffset)
	if checks > 0 {
		dst = record.AppendProperty(dst, skua.PropTransactionCheckTimes, strconv.Itoa(checks))
	}
	origin := strconv.FormatInt(int64(h.First), 10) + "," + strconv.FormatInt(h.FirstStored, 10)
	return record.AppendProperty(dst, skua.PropHalf, origin)
}

// AppendAnew appends the properties with which a half message that has those given is stored as if it were a new one.
func AppendAnew(dst, properties []byte) []byte {
	return appendWithout(dst, properties, skua.PropHalf, skua.PropTransactionCheckTimes, skua.PropTransPreparedQueueOffset,
		skua.PropMultiQueueOffset)
}

// AppendReal appends the properties with which a half message that has those given is delivered.
func AppendReal(dst, properties []byte) []byte {
	return appendWithout(dst, properties, skua.PropRealTopic, skua.PropRealQueueID, skua.PropHalf)
}

// appendWithout appends a property string without some keys.
func appendWithout(dst, properties []byte, keys ...string) []byte {
	record.EachProperty(properties, func(key, value []byte) bool {
		for _, k := range keys {
			if string(key) == k {
				return true
			}
		}
		dst = append(append(dst, key...), 1)
		dst = append(append(dst, value...), 2)
		return true
	})
	return dst
}

// Rules say what is done about halves that wait.
type Rules struct {
	Timeout   time.Duration // a half is asked about when it has waited for so long,
	Interval  time.Duration // and again after so long,
	MaxChecks int           // so often;
	Keep      time.Duration // when it has waited for so long it is given up in any case
}

// ImmuneFor is how long a half is left alone.
func (r Rules) ImmuneFor(h *Half) time.Duration { return max(r.Timeout, h.Immunity) }

// Verdict is what is to be done about a half.
type Verdict int

// The verdicts.
const (
	Wait   Verdict = iota // look at it again later
	Fresh                 // as Wait, and so with all that were stored behind it for the first time
	Ask                   // ask a producer about it
	Alone                 // it would be asked about, but nobody is there
	Crowd                 // it would be asked about, but producers have enough to do
	GiveUp                // nothing comes of it any more
)

// Judge decides about a half that is not done. alive is whether its group has a producer, room whether that may be asked
// about one more half. With Wait, Fresh, Alone and Crowd comes when, in ms, to judge again at the latest.
func (r Rules) Judge(h *Half, alive, room bool, now int64) (Verdict, int64) {
	last := h.FirstStored + r.Keep.Milliseconds()
	if now >= last {
		return GiveUp, 0
	}
	due := h.FirstStored + r.ImmuneFor(h).Milliseconds()
	if h.Checks > 0 {
		due = max(due, h.Stored+r.Interval.Milliseconds())
	}
	switch first := h.First == h.Offset && h.Checks == 0; {
	case now < due && first && h.Immunity <= r.Timeout:
		return Fresh, min(due, last)
	case now < due:
		return Wait, min(due, last)
	case h.Checks >= r.MaxChecks:
		return GiveUp, 0
	case !alive:
		return Alone, last
	case !room:
		return Crowd, min(now+r.Interval.Milliseconds(), last)
	}
	return Ask, 0
}
