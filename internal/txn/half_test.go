package txn

import (
	"fmt"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

func properties(kv ...string) []byte {
	var p []byte
	for i := 0; i < len(kv); i += 2 {
		p = record.AppendProperty(p, kv[i], kv[i+1])
	}
	return p
}

func TestReadHalf(t *testing.T) {
	for _, c := range []struct {
		name string
		p    []byte
		born int64
		want Half
	}{
		{"stored once", properties("PGROUP", "g", "UNIQ_KEY", "k"), 900, Half{Offset: 9, First: 9, Stored: 1000, FirstStored: 1000, Group: []byte("g"), UniqueKey: []byte("k")}},
		{"left alone for a while", properties("CHECK_IMMUNITY_TIME_IN_SECONDS", "7"), 900, Half{Offset: 9, First: 9, Stored: 1000, FirstStored: 1000, Immunity: 7 * time.Second}},
		{"immunity that is none", properties("CHECK_IMMUNITY_TIME_IN_SECONDS", "-1"), 900, Half{Offset: 9, First: 9, Stored: 1000, FirstStored: 1000}},
		{"stored again", properties("SKUA_HALF", "3,500", "TRANSACTION_CHECK_TIMES", "2"), 400, Half{Offset: 9, First: 3, Stored: 1000, FirstStored: 500, Checks: 2, Marked: true}},
		{"stored again, with a time that cannot be", properties("SKUA_HALF", "3,5000"), 400, Half{Offset: 9, First: 3, Stored: 1000, FirstStored: 1000, Marked: true}},
		{"stored again by Java while it was left alone", properties("TRAN_PREPARED_QUEUE_OFFSET", "4", "TRANSACTION_CHECK_TIMES", "1"), 400, Half{Offset: 9, First: 4, Stored: 1000, FirstStored: 400, Checks: 1}},
		{"stored again by Java", properties("TRANSACTION_CHECK_TIMES", "1"), 400, Half{Offset: 9, First: 9, Stored: 1000, FirstStored: 400, Checks: 1, Foreign: true}},
		{"stored again by Java, born in the future", properties("TRANSACTION_CHECK_TIMES", "1"), 4000, Half{Offset: 9, First: 9, Stored: 1000, FirstStored: 1000, Checks: 1, Foreign: true}},
		{"nonsense", properties("SKUA_HALF", "x", "TRANSACTION_CHECK_TIMES", "99999999999999999999", "TRAN_PREPARED_QUEUE_OFFSET", "12"), 400, Half{Offset: 9, First: 9, Stored: 1000, FirstStored: 1000}},
	} {
		got := ReadHalf(&record.Message{QueueOffset: 9, StoreTime: 1000, BornTime: c.born, Properties: c.p})
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// What is stored again says where it came from, however often, and is delivered without that.
func TestPropertiesOfCopies(t *testing.T) {
	p := properties("TAGS", "a", "REAL_TOPIC", "T", "REAL_QID", "2", "TRAN_MSG", "true", "SKUA_HALF", "77,1")
	h := Half{Offset: 5, First: 5, Stored: 100, FirstStored: 100}
	for checks := 1; checks <= 3; checks++ {
		p = h.AppendAgain(nil, p, checks)
		h = ReadHalf(&record.Message{QueueOffset: h.Offset + 10, StoreTime: h.Stored + 10, Properties: p})
		if h.First != 5 || h.FirstStored != 100 || h.Checks != checks || !h.Marked {
			t.Errorf("after %d checks: %+v", checks, h)
		}
	}
	want := map[string]string{"TAGS": "a", "TRAN_MSG": "true", "TRANSACTION_CHECK_TIMES": "3"}
	if got := record.ParseProperties(AppendReal(nil, p)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("delivered with %v, want %v", got, want)
	}
	want = map[string]string{"TAGS": "a", "TRAN_MSG": "true", "REAL_TOPIC": "T", "REAL_QID": "2"}
	if got := record.ParseProperties(AppendAnew(nil, p)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored as a new one with %v, want %v", got, want)
	}
}

func TestJudge(t *testing.T) {
	r := Rules{Timeout: 6 * time.Second, Interval: 30 * time.Second, MaxChecks: 15, Keep: time.Hour}
	const s = int64(1000)
	once := Half{Offset: 9, First: 9, Stored: 0, FirstStored: 0}
	immune := once
	immune.Immunity = 60 * time.Second
	short := once
	short.Immunity = time.Second
	asked := Half{Offset: 9, First: 3, Stored: 100 * s, FirstStored: 0, Checks: 2}
	moved := Half{Offset: 9, First: 3, Stored: 100 * s, FirstStored: 98 * s}
	last := asked
	last.Checks = 15
	for _, c := range []struct {
		name        string
		h           Half
		alive, room bool
		now         int64
		want        Verdict
		when        int64
	}{
		{"just stored", once, true, true, 1 * s, Fresh, 6 * s},
		{"too old", once, true, true, 6 * s, Ask, 0},
		{"nobody there", once, false, true, 6 * s, Alone, 3600 * s},
		{"enough to do", once, true, false, 6 * s, Crowd, 36 * s},
		{"enough to do, near its end", once, true, false, 3590 * s, Crowd, 3600 * s},
		{"left alone", immune, true, true, 59 * s, Wait, 60 * s},
		{"left alone long enough", immune, true, true, 60 * s, Ask, 0},
		{"left alone for less than all others", short, true, true, 5 * s, Fresh, 6 * s},
		{"asked about", asked, true, true, 129 * s, Wait, 130 * s},
		{"not answered", asked, true, true, 130 * s, Ask, 0},
		{"asked about for the last time", last, true, true, 129 * s, Wait, 130 * s},
		{"asked about too often", last, true, true, 130 * s, GiveUp, 0},
		{"asked about too often, nobody there", last, false, true, 130 * s, GiveUp, 0},
		{"stored again, not asked about", moved, true, true, 101 * s, Wait, 104 * s},
		{"too old for the store", once, true, true, 3600 * s, GiveUp, 0},
		{"too old for the store, left alone", Half{Offset: 9, First: 9, Immunity: 9 * time.Hour}, false, false, 3600 * s, GiveUp, 0},
		{"left alone beyond its end", Half{Offset: 9, First: 9, Immunity: 9 * time.Hour}, true, true, s, Wait, 3600 * s},
	} {
		if got, when := r.Judge(&c.h, c.alive, c.room, c.now); got != c.want || when != c.when {
			t.Errorf("%s: verdict %d at %d, want %d at %d", c.name, got, when, c.want, c.when)
		}
	}
}

func TestClock(t *testing.T) {
	var c Clock
	for _, x := range []struct {
		wall    int64
		elapsed time.Duration
		want    int64
	}{
		{1000, time.Second, 1000}, {1500, 1500 * time.Millisecond, 1500},
		{100, 1700 * time.Millisecond, 1700}, // set back: it goes on
		{101, 1700*time.Millisecond + 400*time.Microsecond, 1700},
		{101, 1700*time.Millisecond + 1400*time.Microsecond, 1701}, // nothing is lost of short times
		{9000, 2 * time.Second, 9000},
		{8000, 3 * time.Second, 10000},
	} {
		if got := c.Now(x.wall, x.elapsed); got != x.want {
			t.Errorf("wall %d, after %v: %d, want %d", x.wall, x.elapsed, got, x.want)
		}
	}
	if c.NotBefore(50_000); c.Now(8000, 4*time.Second) != 51_000 {
		t.Errorf("time is %d", c.Now(8000, 4*time.Second))
	}
}

func FuzzReadHalf(f *testing.F) {
	for _, p := range [][]byte{nil, properties("SKUA_HALF", "3,500"), properties("SKUA_HALF", ",", "TRAN_PREPARED_QUEUE_OFFSET", "9"), []byte("\x01\x02\x02\x01")} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		m := record.Message{QueueOffset: 9, StoreTime: 1000, BornTime: 500, Properties: p}
		h := ReadHalf(&m)
		if h.First < 0 || h.FirstStored <= 0 || h.FirstStored > 1000 || h.Checks < 0 || h.Immunity < 0 {
			t.Fatalf("%+v", h)
		}
		m.QueueOffset = skua.QueueOffset(1 << 40)
		m.Properties = h.AppendAgain(nil, p, 3)
		if again := ReadHalf(&m); again.First != h.First || again.FirstStored != h.FirstStored || again.Checks != 3 || !again.Marked {
			t.Fatalf("%+v, again %+v", h, again)
		}
	})
}
