package timer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/skuamq/skua/internal/layout"
)

// FuzzOpen gives a timer files of any content: it may deliver anything that is in its store of messages, but must open or
// say why not, and come to an end.
func FuzzOpen(f *testing.F) {
	unit := layout.TimerUnit{Before: -1, Magic: 1, Written: clock0, Delay: 5000, Log: 1000, Size: 200}
	slot := layout.TimerSlot{Moment: clock0/1000 + 5, Count: 1}
	check := layout.TimerCheckpoint{Read: clock0, LogFlushed: layout.TimerUnitSize, Queue: 1}
	f.Add(unit.Append(nil), slot.Append(nil), check.Append(nil), []byte{})
	f.Add(layout.AppendTimerBlank(unit.Append(nil), 4096-52), []byte{}, []byte{}, (&layout.TimerMark{Boot: layout.Session{1}, Precision: 1000}).Append(nil))
	f.Fuzz(func(t *testing.T, units, slots, check, mark []byte) {
		r := newRig(t)
		r.send("a", 5000)
		r.send("b", 3000)
		r.steps()
		r.stop()
		put := func(dir, name string, at int64, b []byte, size int64) {
			path := filepath.Join(r.dir, dir, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if size > 0 {
				b = b[:min(int64(len(b)), size-at)]
			}
			if _, err := file.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
		}
		put(layout.TimerLogDir, "00000000000000000000", 0, units, 4096)
		put("", layout.TimerWheelFile, place(clock0/1000)*layout.TimerSlotSize, slots, layout.TimerWheelSize)
		put(layout.ConfigDir, layout.TimerCheckFile, 0, check, layout.TimerCheckpointSize)
		put(layout.OwnDir, layout.TimerMarkFile, 0, mark, 0)
		r.clean = false
		timer, err := Open(r.options(), r.now)
		if err != nil {
			return
		}
		defer timer.release()
		r.now += 10_000
		for range 100 {
			if next, err := timer.Step(r.now, r.rules); err != nil || next > r.now {
				return
			}
		}
		t.Fatal("it never ends")
	})
}
