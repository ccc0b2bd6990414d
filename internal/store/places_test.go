package store

import (
	"fmt"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

func TestReadPlaces(t *testing.T) {
	o := small(t.TempDir())
	flushed := 0
	o.Flushed = func() error { flushed++; return nil }
	s := open(t, o)
	if s.Killed() {
		t.Error("a new store was not killed")
	}
	q := s.Queue("T", 0)
	var places []Place
	for i := range 200 {
		m := message("T", 0, fmt.Sprint(i))
		if _, err := s.Append(q, m); err != nil {
			t.Fatal(err)
		}
		places = append(places, Place{m.LogOffset, m.Size})
	}
	eventually(t, "in files", func() bool { return s.Behind() == 0 })
	asked := []Place{places[150], places[3], {places[7].Log + 1, 100}, places[4], {places[5].Log, places[5].Size + 1}, {1 << 40, 100}, places[199]}
	var out ReadResult
	defer out.Release()
	for range 2 {
		s.ReadPlaces(asked, &out)
		var got []skua.LogOffset
		for _, b := range out.Records {
			m, _, err := record.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.LogOffset)
		}
		if want := []skua.LogOffset{places[150].Log, places[3].Log, places[4].Log, places[199].Log}; fmt.Sprint(got) != fmt.Sprint(want) || out.Err != nil || out.Status != Found {
			t.Errorf("%v %v, want %v: %v", out.Status, got, want, out.Err)
		}
	}
	s.ReadPlaces(nil, &out)
	if len(out.Records) != 0 {
		t.Error("records of no places")
	}
	closed(t, s)
	if flushed != 1 {
		t.Errorf("Flushed was called %d times", flushed)
	}
}
