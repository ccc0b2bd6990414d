package layout

import (
	"bytes"
	"testing"
)

func FuzzBatchUnit(f *testing.F) {
	f.Add(BatchUnit{Log: 5, Size: 100, Tags: -7, Time: 9, Base: 3, Count: 2}.Append(nil))
	f.Add(make([]byte, BatchUnitSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < BatchUnitSize {
			return
		}
		if u, ok := DecodeBatchUnit(b); ok && !bytes.Equal(u.Append(nil)[:38], b[:38]) {
			t.Fatalf("%+v is written differently", u)
		}
	})
}

func FuzzExtUnit(f *testing.F) {
	f.Add(ExtUnit{Tags: -7, Time: 9, Filter: []byte{1, 2}}.Append(nil))
	f.Add(AppendExtEnd(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if u, n := DecodeExtUnit(b); n > 0 && !bytes.Equal(u.Append(nil), b[:n]) {
			t.Fatalf("%+v is written differently", u)
		}
	})
}

func TestExtAddress(t *testing.T) {
	for _, off := range []int64{0, 1, 1 << 40} {
		if got, ok := ExtOffset(ExtAddress(off)); !ok || got != off {
			t.Errorf("offset %d becomes %d, %t", off, got, ok)
		}
	}
	for _, tags := range []int64{0, 1, -1, -1 << 31, 1 << 40} {
		if _, ok := ExtOffset(tags); ok {
			t.Errorf("tags code %d is taken for an address", tags)
		}
	}
}

func FuzzTimerUnit(f *testing.F) {
	f.Add(TimerUnit{Before: -1, Magic: 1, Written: 5, Delay: 6, Log: 7, Size: 100, Topic: -8}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < TimerUnitSize {
			return
		}
		if u, ok := DecodeTimerUnit(b); ok && !bytes.Equal(u.Append(nil)[:44], b[:44]) {
			t.Fatalf("%+v is written differently", u)
		}
		if s := DecodeTimerSlot(b); !bytes.Equal(s.Append(nil), b[:TimerSlotSize]) {
			t.Fatalf("%+v is written differently", s)
		}
	})
}
