package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// schedule holds delayed messages back. A message that asks for delay level n is stored in queue n-1 of
// SCHEDULE_TOPIC_XXXX with its real topic and queue in properties, and the consume queue entry carries the time of its
// delivery in place of a tags code. When that time comes the message is stored anew where it belongs. The messages of a
// level fall due in the order in which they were stored, so all that is needed of a level is the offset of the next one.
//
// Crash argument. An offset advances only after the delivered copy has been stored, and it is saved only after that copy
// is as durable as the store makes it; so what a crash can do is deliver a message again, never lose one. After a power
// cut that may be what was delivered since the offsets were saved last; a process that is killed leaves its offsets in a
// delayMark, so that only the batch in hand comes again.
//
// One goroutine, run, serves all levels with one timer. It sleeps until the earliest message falls due or one arrives.
type schedule struct {
	levels delayLevels
	store  *store.Store
	topics *topics // for static ones; may be nil
	stats  *stats
	log    *slog.Logger
	now    func() time.Time
	save   func(offsets map[int32]skua.QueueOffset) error // writes delayOffset.json
	mark   *delayMark                                     // may be nil

	next []atomic.Int64 // by level-1: offset of the next message to deliver; written by run only
	wake chan struct{}  // capacity 1: a message arrived
	soon atomic.Int64   // ms: when run will look next by itself; arrivals due earlier wake it

	pending []pending // by level-1; owned by run
	out     store.ReadResult
	failed  error // that the last delivery met; owned by run

	flushing sync.Mutex // held while offsets are being saved
	saving   struct {
		sync.Mutex
		end   skua.LogOffset // behind the last delivered copy
		dirty bool           // deliveries since the offsets were saved
	}
}

// pending is what run knows of a level.
type pending struct {
	queue *store.Queue
	due   int64 // ms: when the next message falls due, or never
}

const (
	never          = math.MaxInt64
	deliverBatch   = 32        // messages read at a time
	deliverBytes   = 256 << 10 // bytes read at a time
	retryDelivery  = int64(time.Second / time.Millisecond)
	longestSleep   = time.Second      // so that a clock that was set forward is noticed
	durabilityWait = 10 * time.Second // for delivered copies to reach the disk before offsets are saved
)

// newSchedule makes the schedule of a store. Saved offsets that lie outside of their queue are moved into it.
func newSchedule(levels delayLevels, saved map[int32]skua.QueueOffset, s *store.Store, st *stats, log *slog.Logger) *schedule {
	count := len(levels)
	for level := range saved {
		count = max(count, min(int(level), maxDelayLevels))
	}
	sc := &schedule{levels: levels, store: s, stats: st, log: log, now: time.Now,
		next: make([]atomic.Int64, count), pending: make([]pending, count), wake: make(chan struct{}, 1)}
	for i := range sc.pending {
		q := s.Queue(skua.ScheduleTopic, int32(i))
		sc.pending[i] = pending{queue: q, due: 0}
		sc.next[i].Store(int64(min(max(saved[int32(i+1)], q.Min()), q.Max())))
	}
	return sc
}

// tagsCode is what the consume queue stores for m: the time of delivery of delayed messages, the hash of the tag of all
// others. It is the store's Options.TagsCode.
func (l delayLevels) tagsCode(m *record.Message, hash int64) int64 {
	if string(m.Topic) == skua.ScheduleTopic {
		text, _ := record.Property(m.Properties, skua.PropDelayLevel)
		if level := parseLevel(text); level > 0 {
			return l.due(l.clamp(level), m.StoreTime)
		}
	}
	return hash
}

// transform makes of a message that asks for a delay level, which is above 0, one for SCHEDULE_TOPIC_XXXX. Its
// properties become scratch, which is returned grown; m's own are not touched.
func (l delayLevels) transform(m *record.Message, level int, scratch []byte) []byte {
	scratch = append(scratch[:0], m.Properties...)
	if level > len(l) {
		level = len(l)
		scratch = record.AppendProperty(scratch, skua.PropDelayLevel, strconv.Itoa(level))
	}
	scratch = record.AppendProperty(scratch, skua.PropRealTopic, string(m.Topic))
	scratch = record.AppendProperty(scratch, skua.PropRealQueueID, strconv.Itoa(int(m.QueueID)))
	m.Properties, m.Topic, m.QueueID = scratch, scheduleTopic, int32(level-1)
	return scratch
}

var scheduleTopic = []byte(skua.ScheduleTopic)

// arrived is told of each message that became visible in the schedule topic, with its time of delivery. It neither
// blocks nor allocates.
func (s *schedule) arrived(due int64) {
	if due < s.soon.Load() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// run delivers messages until stop is closed.
func (s *schedule) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-s.wake:
		case <-timer.C:
		}
		// Arrivals during the round must wake: their level may have been looked at already.
		s.soon.Store(never)
		first := s.round(stop)
		s.soon.Store(first)
		if first == never {
			timer.Stop()
			continue
		}
		timer.Reset(min(time.Duration(max(first-s.now().UnixMilli(), 0))*time.Millisecond, longestSleep))
	}
}

// round delivers what has fallen due, and returns when the next message does.
func (s *schedule) round(stop <-chan struct{}) int64 {
	first := int64(never)
	for i := range s.pending {
		p := &s.pending[i]
		now := s.now().UnixMilli()
		if p.due <= now || p.due == never && int64(p.queue.Max()) > s.next[i].Load() {
			p.due = s.serve(i, stop)
		}
		first = min(first, p.due)
	}
	return first
}

// serve delivers the messages of one level that are due, and returns when the next one is.
func (s *schedule) serve(i int, stop <-chan struct{}) int64 {
	q := s.pending[i].queue
	defer s.out.Release()
	for {
		select {
		case <-stop:
			return 0
		default:
		}
		off := skua.QueueOffset(s.next[i].Load())
		count, next := s.countDue(i, off)
		if count == 0 {
			if next == off {
				return s.dueAt(i, off)
			}
			s.log.Error("delayed messages are gone before they were delivered", "level", i+1, "from", off, "to", next,
				"cure", "keep messages longer than the longest delay, see fileReservedTime")
			s.advance(i, next)
			continue
		}
		s.store.Read(q, store.ReadRequest{Offset: off, MaxMessages: count, MaxBytes: deliverBytes}, &s.out)
		if len(s.out.Records) == 0 {
			s.log.Error("delayed messages cannot be read", "level", i+1, "from", off, "to", max(s.out.Next, off+1), "status", s.out.Status)
			s.advance(i, max(s.out.Next, off+1))
			continue
		}
		err := s.deliverAll(i, s.out.Records)
		if err := s.mark.set(i+1, skua.QueueOffset(s.next[i].Load())); err != nil {
			s.log.Warn("offsets of delayed messages cannot be noted; a killed process would deliver some again", "error", err)
			s.mark = nil
		}
		if err != nil {
			return s.now().UnixMilli() + retryDelivery
		}
	}
}

// countDue counts the messages of a level that are due from off on. If there are none, next is where to go on: beyond
// off if the messages in between are gone.
func (s *schedule) countDue(i int, off skua.QueueOffset) (count int, next skua.QueueOffset) {
	q, now := s.pending[i].queue, s.now().UnixMilli()
	for count < deliverBatch {
		e, ok := q.Entry(off + skua.QueueOffset(count))
		if !ok || s.levels.correct(i+1, e.TagsCode, now) > now {
			break
		}
		count++
	}
	next = off
	if first, end := q.Min(), q.Max(); count == 0 && off != end {
		if next = min(max(off, first), end); next == off {
			if _, ok := q.Entry(off); !ok {
				next++
			}
		}
	}
	return count, next
}

// dueAt is when the message at off, which is not due yet, is; never if there is none.
func (s *schedule) dueAt(i int, off skua.QueueOffset) int64 {
	e, ok := s.pending[i].queue.Entry(off)
	if !ok {
		return never
	}
	return s.levels.correct(i+1, e.TagsCode, s.now().UnixMilli())
}

// deliverAll stores copies of records where they belong, one after the other.
func (s *schedule) deliverAll(i int, records [][]byte) error {
	for _, b := range records {
		m, _, err := record.Decode(b)
		if err != nil {
			s.log.Error("delayed message is malformed and cannot be delivered", "level", i+1, "offset", s.next[i].Load(), "error", err)
			s.advance(i, skua.QueueOffset(s.next[i].Load())+1)
			continue
		}
		next := m.QueueOffset + 1
		if err := s.deliver(&m); err != nil {
			if s.failed == nil || s.failed.Error() != err.Error() {
				s.log.Warn("delayed messages wait: the store does not take them", "level", i+1, "offset", m.QueueOffset, "error", err)
			}
			s.failed = err
			return err
		}
		if s.failed != nil {
			s.log.Info("delayed messages are delivered again")
			s.failed = nil
		}
		s.advance(i, next)
	}
	return nil
}

// deliver stores a copy of m where it belongs. What is wrong with m itself is logged and no error, because trying again
// would not help; the original stays in the log.
func (s *schedule) deliver(m *record.Message) error {
	topic, queue, ok := record.RealPlace(m.Properties)
	switch {
	case !ok:
		s.log.Error("delayed message does not say where it belongs and is not delivered", "logOffset", m.LogOffset, "properties", string(m.Properties))
		return nil
	case string(topic) == skua.HalfTopic:
		s.log.Error("delayed message belongs to a transaction and is not delivered", "logOffset", m.LogOffset)
		return nil
	}
	m.Topic, m.QueueID, m.PreparedOffset = topic, queue, 0
	r, err := storeCopy(s.store, s.topics, s.stats, s.log, m)
	if err != nil {
		return err
	}
	s.saving.Lock()
	s.saving.end, s.saving.dirty = r.End, true
	s.saving.Unlock()
	return nil
}

func (s *schedule) advance(i int, next skua.QueueOffset) {
	s.next[i].Store(int64(next))
	s.saving.Lock()
	s.saving.dirty = true
	s.saving.Unlock()
}

// offsets returns the offset of the next message of each level, by level.
func (s *schedule) offsets() map[int32]skua.QueueOffset {
	m := make(map[int32]skua.QueueOffset, len(s.next))
	for i := range s.next {
		m[int32(i+1)] = skua.QueueOffset(s.next[i].Load())
	}
	return m
}

// progress returns how far a level has come and how far it can go.
func (s *schedule) progress(i int) (next, end skua.QueueOffset) {
	return skua.QueueOffset(s.next[i].Load()), s.pending[i].queue.Max()
}

// flush saves the offsets if messages were delivered since they were saved last. It waits for the delivered copies to be
// durable first.
func (s *schedule) flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.saving.Lock()
	dirty := s.saving.dirty
	s.saving.dirty = false
	offsets, end := s.offsets(), s.saving.end
	s.saving.Unlock()
	if !dirty {
		return nil
	}
	durable := make(chan error, 1)
	s.store.WhenDurable(end, durabilityWait, func(err error) { durable <- err })
	err := <-durable
	if err == nil {
		err = s.save(offsets)
	}
	if err != nil {
		s.saving.Lock()
		s.saving.dirty = true
		s.saving.Unlock()
	}
	return err
}

// openSchedule reads delayOffset.json and makes the schedule.
func (b *Broker) openSchedule(levels delayLevels) error {
	path := b.configPath("delayOffset.json")
	saved, err := jsonfile.Read[command.DelayOffsets](path, b.log)
	if err != nil {
		return err
	}
	if saved == nil {
		saved = new(command.DelayOffsets)
	}
	offsets := maps.Clone(saved.Offsets)
	if offsets == nil {
		offsets = map[int32]skua.QueueOffset{}
	}
	mark, left, err := openDelayMark(filepath.Join(b.options.Load().StorePathRootDir, "skua", "delayoffset"), bootID(), len(levels))
	if err != nil {
		return fmt.Errorf("offsets of delayed messages: %w", err)
	}
	for level, next := range left {
		if next > offsets[level] {
			offsets[level] = next
		}
	}
	b.schedule = newSchedule(levels, offsets, b.store, b.stats, b.log)
	b.schedule.topics = b.topics
	b.schedule.mark = mark
	b.schedule.save = func(offsets map[int32]skua.QueueOffset) error {
		saved.Offsets, saved.DataVersion = offsets, saved.DataVersion.Next(b.now().UnixMilli())
		return jsonfile.Write(path, saved)
	}
	return nil
}

// flushSchedule saves how far delayed messages were delivered.
func (b *Broker) flushSchedule() error {
	err := b.schedule.flush()
	if err != nil {
		b.log.Warn("offsets of delayed messages cannot be saved; a crash would deliver again what was delivered since they were", "error", err)
	}
	return err
}

// closeSchedule saves how far delayed messages were delivered and ends their delivery.
func (b *Broker) closeSchedule() error {
	err := b.flushSchedule()
	return errors.Join(err, b.schedule.mark.close(err == nil))
}

// delayOffsets serves GET_ALL_DELAY_OFFSET.
func (b *Broker) delayOffsets(f *wire.Frame) {
	answer(f, command.DelayOffsets{DataVersion: command.DataVersion{Timestamp: b.started.UnixMilli()}, Offsets: b.schedule.offsets()})
}
