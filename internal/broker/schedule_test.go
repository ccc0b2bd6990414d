package broker

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// delayBench is a store with a schedule and a clock that tests set.
type delayBench struct {
	t      *testing.T
	dir    string
	levels delayLevels
	store  *store.Store
	*schedule
	saved map[int32]skua.QueueOffset
	clock atomic.Int64 // ms
	log   bytes.Buffer
	stop  chan struct{}
}

func newDelayBench(t *testing.T) *delayBench {
	b := &delayBench{t: t, dir: t.TempDir(), levels: delayLevels{time.Second, time.Minute}, stop: make(chan struct{})}
	b.clock.Store(clock0.UnixMilli())
	b.open()
	t.Cleanup(func() { b.store.Close() })
	return b
}

func (b *delayBench) now() time.Time { return time.UnixMilli(b.clock.Load()) }

func (b *delayBench) open() {
	s, err := store.Open(store.Options{Dir: b.dir, SegmentSize: 1 << 20, QueueFileSize: 2000, IndexSlots: 100, IndexItems: 400,
		TagsCode: b.levels.tagsCode, Now: b.now})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = s
	b.schedule = newSchedule(b.levels, b.saved, s, newStats(b.now()), slog.New(slog.NewTextHandler(&b.log, nil)))
	b.schedule.now = b.now
	b.schedule.save = func(offsets map[int32]skua.QueueOffset) error {
		b.saved = maps.Clone(offsets)
		return nil
	}
}

func (b *delayBench) reopen() {
	if err := b.store.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
}

var testHost = netip.MustParseAddrPort("10.0.0.1:1000")

// park stores a delayed message for queue 3 of topic Real.
func (b *delayBench) park(level int, body string) {
	b.t.Helper()
	m := &record.Message{Topic: []byte("Real"), QueueID: 3, Body: []byte(body), BornHost: testHost, StoreHost: testHost, BornTime: 7,
		Flag: 9, ReconsumeTimes: 2, Properties: record.AppendProperty(record.AppendProperty(nil, skua.PropDelayLevel, strconv.Itoa(level)), skua.PropTags, "TagA")}
	b.levels.transform(m, level, nil)
	if _, err := b.store.Append(b.store.Queue(skua.ScheduleTopic, m.QueueID), m); err != nil {
		b.t.Fatal(err)
	}
}

// read returns the messages of queue 3 of topic Real.
func (b *delayBench) read() []record.Message {
	b.t.Helper()
	var out store.ReadResult
	q := b.store.Queue("Real", 3)
	var ms []record.Message
	for off := q.Min(); off < q.Max(); {
		b.store.Read(q, store.ReadRequest{Offset: off, MaxMessages: 32}, &out)
		for _, raw := range out.Records {
			m, _, err := record.Decode(bytes.Clone(raw))
			if err != nil {
				b.t.Fatal(err)
			}
			ms = append(ms, m)
			off = m.QueueOffset + 1
		}
		out.Release()
	}
	return ms
}

func bodies(ms []record.Message) (texts []string) {
	for _, m := range ms {
		texts = append(texts, string(m.Body))
	}
	return texts
}

// advance moves the clock and lets the schedule look once. It returns how long until it would look again, in ms.
func (b *delayBench) advance(d time.Duration) int64 {
	b.clock.Add(d.Milliseconds())
	due := b.round(b.stop)
	if due == never {
		return -1
	}
	return due - b.clock.Load()
}

func TestDelayedMessageIsDeliveredOnTime(t *testing.T) {
	b := newDelayBench(t)
	b.park(1, "one")
	e, ok := b.store.Queue(skua.ScheduleTopic, 0).Entry(0)
	if !ok || e.TagsCode != clock0.UnixMilli()+1000 {
		t.Fatalf("entry %+v, want the time of delivery", e)
	}
	if wait := b.advance(999 * time.Millisecond); wait != 1 || len(b.read()) != 0 {
		t.Fatalf("too early: wait %d, %v", wait, bodies(b.read()))
	}
	if wait := b.advance(time.Millisecond); wait != -1 {
		t.Errorf("nothing is left, but it waits %d", wait)
	}
	ms := b.read()
	if len(ms) != 1 {
		t.Fatalf("%d messages", len(ms))
	}
	m := ms[0]
	if string(m.Body) != "one" || m.Flag != 9 || m.BornTime != 7 || m.ReconsumeTimes != 2 || m.BornHost != testHost {
		t.Errorf("%+v", m)
	}
	// What was delivered keeps DELAY, REAL_TOPIC and REAL_QID, as in Java.
	want := map[string]string{"DELAY": "1", "TAGS": "TagA", "REAL_TOPIC": "Real", "REAL_QID": "3"}
	if got := record.ParseProperties(m.Properties); !maps.Equal(got, want) {
		t.Errorf("properties %v, want %v", got, want)
	}
	if e, _ := b.store.Queue("Real", 3).Entry(0); e.TagsCode != int64(record.HashString([]byte("TagA"))) {
		t.Errorf("tags code %d", e.TagsCode)
	}
}

func TestDelayedMessagesKeepTheirOrder(t *testing.T) {
	b := newDelayBench(t)
	var want []string
	for i := range 100 { // more than one batch
		want = append(want, fmt.Sprint(i))
		b.park(1, want[i])
		b.clock.Add(10)
	}
	b.park(2, "later")
	b.advance(time.Second)
	if got := bodies(b.read()); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if wait := b.advance(0); wait != time.Minute.Milliseconds()-1000 {
		t.Errorf("the other level waits %d", wait)
	}
}

func TestDelayedMessagesSurviveARestart(t *testing.T) {
	b := newDelayBench(t)
	b.park(1, "a")
	b.park(2, "b")
	b.advance(time.Second)
	if err := b.flush(); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	b.advance(time.Minute)
	if got := bodies(b.read()); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
}

func TestCrashDeliversAgainRatherThanNever(t *testing.T) {
	b := newDelayBench(t)
	b.park(1, "a")
	b.advance(time.Second)
	b.reopen() // without having saved offsets
	b.advance(0)
	if got := bodies(b.read()); !slices.Equal(got, []string{"a", "a"}) {
		t.Errorf("got %v", got)
	}
}

func TestSavedOffsetsOutsideOfTheQueueAreMoved(t *testing.T) {
	b := newDelayBench(t)
	b.park(1, "a")
	b.saved = map[int32]skua.QueueOffset{1: 99, 2: -5, 7: 3}
	b.reopen()
	if got := b.offsets(); got[1] != 1 || got[2] != 0 || got[7] != 0 {
		t.Errorf("%v", got)
	}
}

func TestClockThatGoesBackDelaysNoLongerThanTheLevel(t *testing.T) {
	b := newDelayBench(t)
	b.park(1, "a")
	b.clock.Add(-time.Hour.Milliseconds())
	b.advance(0)
	if got := bodies(b.read()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v", got)
	}
}

func TestLevelsBeyondTheLast(t *testing.T) {
	b := newDelayBench(t)
	b.park(99, "a")
	if b.store.Queue(skua.ScheduleTopic, 1).Max() != 1 {
		t.Fatal("it must count as the highest level")
	}
	b.advance(time.Minute)
	if got := bodies(b.read()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v", got)
	}
}

func TestRefusedDeliveryIsTriedAgain(t *testing.T) {
	b := newDelayBench(t)
	b.park(1, "a")
	b.store.Refuse("test")
	if wait := b.advance(time.Second); wait != retryDelivery || len(b.read()) != 0 {
		t.Fatalf("wait %d", wait)
	}
	b.advance(time.Second)
	if n := bytes.Count(b.log.Bytes(), []byte("delayed messages wait")); n != 1 {
		t.Errorf("logged %d times: %s", n, b.log.String())
	}
	b.store.Accept()
	b.advance(time.Second)
	if got := bodies(b.read()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v", got)
	}
}

func TestMessageThatBelongsNowhereIsPassedOver(t *testing.T) {
	b := newDelayBench(t)
	for _, real := range []string{"", skua.HalfTopic} {
		m := &record.Message{Topic: scheduleTopic, Body: []byte("x"), BornHost: testHost, StoreHost: testHost,
			Properties: record.AppendProperty(nil, skua.PropDelayLevel, "1")}
		if real != "" {
			m.Properties = record.AppendProperty(record.AppendProperty(m.Properties, skua.PropRealTopic, real), skua.PropRealQueueID, "0")
		}
		if _, err := b.store.Append(b.store.Queue(skua.ScheduleTopic, 0), m); err != nil {
			t.Fatal(err)
		}
	}
	b.park(1, "good")
	b.advance(time.Second)
	if got := bodies(b.read()); !slices.Equal(got, []string{"good"}) {
		t.Errorf("got %v", got)
	}
	if n := bytes.Count(b.log.Bytes(), []byte("is not delivered")); n != 2 {
		t.Errorf("logged %d times: %s", n, b.log.String())
	}
}

// The goroutine itself: an arrival wakes it, and it delivers when the time has come.
func TestScheduleRuns(t *testing.T) {
	b := newDelayBench(t)
	b.schedule.now = time.Now
	b.clock.Store(time.Now().UnixMilli())
	done := make(chan struct{})
	go func() { defer close(done); b.run(b.stop) }()
	defer func() { close(b.stop); <-done }()
	began := time.Now()
	b.clock.Store(began.UnixMilli())
	b.park(1, "a")
	e, _ := b.store.Queue(skua.ScheduleTopic, 0).Entry(0)
	b.arrived(e.TagsCode)
	q := b.store.Queue("Real", 3)
	for q.Max() == 0 {
		if time.Since(began) > 10*time.Second {
			t.Fatal("not delivered")
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took < time.Second-2*time.Millisecond || took > 5*time.Second {
		t.Errorf("delivered after %v", took)
	}
}
