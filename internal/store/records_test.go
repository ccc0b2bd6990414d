package store

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// Records are found by their places and by going through the log, across files and in the ring, and are those that were
// appended.
func TestRecordsOfTheLog(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir(), SegmentSize: 1 << 16, MaxMessageSize: 8 << 10, StagingSize: 64 << 10})
	q := s.Queue("T", 0)
	var offs []skua.LogOffset
	for i := range 300 {
		m := message("T", 0, fmt.Sprint(i))
		m.Body = append(m.Body, bytes.Repeat([]byte("x"), i*13%3000)...)
		r, err := s.Append(q, m)
		if err != nil {
			t.Fatal(err)
		}
		offs = append(offs, r.LogOffset)
	}
	end := s.End()
	var buf []byte
	for i, off := range offs {
		want, err := s.Record(off)
		if err != nil {
			t.Fatal(err)
		}
		buf, err = s.AppendRecord(append(buf[:0], "in front"...), off, true)
		if err != nil || string(buf) != "in front"+string(want) {
			t.Fatalf("record %d: %d bytes, %v", i, len(buf), err)
		}
		if m, _, err := record.Decode(want); err != nil || !bytes.HasPrefix(m.Body, fmt.Append(nil, i)) {
			t.Fatalf("record %d: %q, %v", i, m.Body, err)
		}
	}
	for _, from := range []int{0, 1, 150, 299} {
		i := from
		err := s.Scan(offs[from], func(m *record.Message) bool {
			if m.LogOffset != offs[i] || !bytes.HasPrefix(m.Body, fmt.Append(nil, i)) {
				t.Errorf("scan from %d: at %d there is %d, %q", from, i, m.LogOffset, m.Body)
			}
			i++
			return true
		})
		if err != nil || i != len(offs) {
			t.Errorf("scan from %d: ended at %d, %v", from, i, err)
		}
	}
	n := 0
	if err := s.Scan(0, func(*record.Message) bool { n++; return n < 7 }); err != nil || n != 7 {
		t.Errorf("scan that was ended: %d records, %v", n, err)
	}
	if err := s.Scan(end, func(*record.Message) bool { n++; return true }); err != nil || n != 7 {
		t.Errorf("scan of nothing: %d records, %v", n, err)
	}
	for _, off := range []skua.LogOffset{-1, offs[1] + 1, offs[2] - 1, end, end + 1000} {
		if b, err := s.AppendRecord(nil, off, true); !errors.Is(err, ErrNoRecord) || len(b) != 0 {
			t.Errorf("record at %d: %d bytes, %v", off, len(b), err)
		}
	}
	if err := s.Scan(offs[1]+1, func(*record.Message) bool { return true }); !errors.Is(err, ErrNoRecord) {
		t.Errorf("scan from the middle of a record: %v", err)
	}
}

func TestReadingARecordDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := open(t, Options{Dir: t.TempDir(), SegmentSize: 1 << 20})
	r, err := s.Append(s.Queue("T", 0), message("T", 0, "hello"))
	if err != nil {
		t.Fatal(err)
	}
	var buf []byte
	if n := testing.AllocsPerRun(1000, func() {
		if buf, err = s.AppendRecord(buf[:0], r.LogOffset, false); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
