package timer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

func TestDeliveredWhenTheMomentIsOver(t *testing.T) {
	r := newRig(t)
	r.send("a", 5500)
	if next := r.steps(); next != clock0+6000 {
		t.Errorf("it wants to be called after %d ms", next-clock0)
	}
	r.want("too early", r.advance(5999))
	r.want("in time", r.advance(1), "a")
	if next := r.steps(); next != Never {
		t.Errorf("nothing is left, but it wants to be called at %d", next)
	}
	m := r.shelf.all[1]
	want := map[string]string{"UNIQ_KEY": "a", "REAL_TOPIC": "T", "REAL_QID": "3", "TIMER_OUT_MS": fmt.Sprint(clock0 + 5000),
		"TIMER_ENQUEUE_MS": fmt.Sprint(clock0), "TIMER_DEQUEUE_MS": fmt.Sprint(clock0 + 6000)}
	if got := record.ParseProperties(m.Properties); fmt.Sprint(got) != fmt.Sprint(want) || m.QueueID != 3 {
		t.Errorf("queue %d, properties %v, want %v", m.QueueID, got, want)
	}
}

func TestLateMessagesAreDeliveredAtOnce(t *testing.T) {
	r := newRig(t)
	r.send("a", -10_000)
	r.recall("b", -10_000)
	r.steps()
	r.want("late", r.delivered(), "a")
	if v, _ := record.Property(r.shelf.all[2].Properties, skua.PropTimerEnqueueMs); string(v) != "9223372036854775807" {
		t.Errorf("TIMER_ENQUEUE_MS is %s", v)
	}
	if r.timer.Pending() != 0 || r.timer.Queue() != 2 {
		t.Errorf("%d pending, queue at %d", r.timer.Pending(), r.timer.Queue())
	}
}

func TestOrderWithinASlot(t *testing.T) {
	r := newRig(t)
	want := names("m", 1000) // more than a batch, more than a file of the log
	for i, name := range want {
		r.send(name, 10_000)
		if i%10 == 0 {
			r.send(fmt.Sprint("other", i), 20_000+int64(i)*1000)
		}
		if i%300 == 0 {
			r.steps()
		}
	}
	r.steps()
	if n := r.timer.Pending(); n != 1100 {
		t.Errorf("%d pending", n)
	}
	r.want("all of the slot", r.advance(10_000), want...)
	if n := r.timer.Pending(); n != 100 {
		t.Errorf("%d pending", n)
	}
}

func TestRecall(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a", "b", "c"} {
		r.send(name, 5000)
	}
	r.steps()
	r.recall("b", 5000)
	r.recall("c", 6000) // another slot
	r.steps()
	if n := r.timer.Pending(); n != 1 {
		t.Errorf("%d pending", n)
	}
	r.want("without b", r.advance(10_000), "a", "c")
	if topics, _ := r.timer.Counts(); topics["T"].Count != 0 || r.timer.Pending() != 0 {
		t.Errorf("%v, %d pending", topics, r.timer.Pending())
	}
	r.rules.TopicInKey = true
	r.send("d", 5000)
	r.send("e", 5000)
	r.put("d", r.out(r.now+5000), skua.PropTimerDeleteKey, "T+d")
	r.recall("e", 5000)
	r.steps()
	r.want("with the topic in the key", r.advance(5000), "e")
}

func TestRolls(t *testing.T) {
	r := newRig(t)
	day := int64(24 * 3600 * 1000)
	r.send("a", 5*day)
	r.send("b", 2*day+1000)
	r.steps()
	var deliveredAt []string
	rolled := 0
	for next := r.steps(); next != Never; next = r.steps() {
		r.now = next
		before := len(r.shelf.queue)
		r.steps()
		rolled += len(r.shelf.queue) - before
		for _, name := range r.delivered() {
			deliveredAt = append(deliveredAt, fmt.Sprintf("%s after %d", name, r.now-clock0))
		}
	}
	// b is put at half the window first, since what is left is less than a third of it.
	r.want("delivered", deliveredAt, fmt.Sprintf("b after %d", 2*day+1000), fmt.Sprintf("a after %d", 5*day))
	if rolled != 3 {
		t.Errorf("rolled %d times", rolled)
	}
	last := record.ParseProperties(r.shelf.all[len(r.shelf.all)-1].Properties)
	if last[skua.PropTimerRollTimes] != "2" || strings.Count(fmt.Sprint(last), "TIMER_ENQUEUE_MS") != 1 {
		t.Errorf("%v", last)
	}
	if topics, _ := r.timer.Counts(); topics["T"].Count != 0 {
		t.Errorf("%v", topics)
	}
}

func TestRecallOfARolledMessage(t *testing.T) {
	r := newRig(t)
	day := int64(24 * 3600 * 1000)
	due := r.now + 5*day
	r.put("a", r.out(due))
	r.steps()
	r.advance(day)
	r.put("a", r.out(due), skua.PropTimerDeleteKey, "a")
	for next := r.steps(); next != Never; next = r.steps() {
		r.now = next
	}
	r.want("nothing", r.delivered())
	if topics, _ := r.timer.Counts(); topics["T"].Count != 0 || r.timer.Pending() != 0 || r.now < due {
		t.Errorf("%v, %d pending, ended %d ms before it was due", topics, r.timer.Pending(), due-r.now)
	}
}

func TestStopSwitches(t *testing.T) {
	r := newRig(t)
	r.rules.StopEnqueue = true
	r.send("a", 2000)
	r.steps()
	r.want("not enqueued", r.advance(5000))
	if r.timer.Queue() != 0 {
		t.Error("it took messages")
	}
	r.rules.StopEnqueue = false
	r.want("late", r.advance(0), "a")
	r.send("b", 2000)
	r.steps()
	r.rules.StopDequeue = true
	r.want("not dequeued", r.advance(5000))
	if behind := r.timer.Behind(r.now); behind != 3000 {
		t.Errorf("%d ms behind", behind)
	}
	r.rules.StopDequeue = false
	r.want("dequeued", r.advance(0), "b")
	if behind := r.timer.Behind(r.now); behind != 0 {
		t.Errorf("%d ms behind", behind)
	}
}

// While dequeuing is stopped for longer than the wheel reaches, messages wait in their queue, and none is lost.
func TestATurnBehind(t *testing.T) {
	r := newRig(t)
	r.rules.StopDequeue = true
	r.send("first", 2000)
	r.steps()
	r.now += 10 * 24 * 3600 * 1000
	r.send("a", 1000)
	r.steps()
	r.now += 4*24*3600*1000 + 10_000
	r.send("same place", 3000)
	r.send("late", -3000)
	if next, err := r.timer.Step(r.now, r.rules); next != Never || err != nil {
		t.Errorf("it wants to be called at %d: %v", next, err)
	}
	if r.timer.Queue() != 2 {
		t.Errorf("queue at %d", r.timer.Queue())
	}
	r.rules.StopDequeue = false
	r.want("what is due", r.advance(0), "first", "a", "late")
	r.want("the rest", r.advance(4000), "same place")
}

func TestRefusedMessagesAreTriedAgain(t *testing.T) {
	r := newRig(t)
	for _, name := range names("m", 600) {
		r.send(name, 2000)
	}
	r.steps()
	r.now += 2000
	r.shelf.puts, r.shelf.broken = 300, errors.New("full")
	for range 3 {
		if _, err := r.timer.Step(r.now, r.rules); err == nil || err.Error() != "full" {
			t.Fatalf("%v", err)
		}
	}
	r.shelf.puts = -1
	r.steps()
	r.want("each once", r.delivered(), names("m", 600)...)
	if topics, _ := r.timer.Counts(); topics["T"].Count != 0 {
		t.Errorf("%v", topics)
	}
}

func TestMalformedMessagesArePassedOver(t *testing.T) {
	r := newRig(t)
	for _, p := range []string{"", "TIMER_OUT_MS\x01x\x02REAL_TOPIC\x01T\x02REAL_QID\x010\x02", "TIMER_OUT_MS\x01-4\x02",
		"TIMER_OUT_MS\x011\x02REAL_TOPIC\x01T\x02", "TIMER_OUT_MS\x011\x02REAL_QID\x011\x02", "TIMER_OUT_MS\x011\x02REAL_TOPIC\x01T\x02REAL_QID\x01-1\x02"} {
		if _, err := r.shelf.Put(&record.Message{Topic: topicBytes, Body: []byte("x"), Properties: []byte(p), BornHost: host, StoreHost: host}); err != nil {
			t.Fatal(err)
		}
	}
	r.send("good", 1000)
	r.steps()
	r.want("the good one", r.advance(2000), "good")
	if n := strings.Count(r.log.String(), "passed over") + strings.Count(r.log.String(), "is not delivered"); n != 6 {
		t.Errorf("%d complaints:\n%s", n, r.log.String())
	}
}

func TestMessagesThatAreGone(t *testing.T) {
	r := newRig(t)
	r.send("a", 1000)
	r.send("b", 1000)
	r.steps()
	delete(r.shelf.at, r.shelf.all[0].LogOffset)
	r.want("the other one", r.advance(2000), "b")
	if !strings.Contains(r.log.String(), "gone before they were delivered") {
		t.Errorf("%s", r.log.String())
	}
}

func TestClockSetForward(t *testing.T) {
	r := newRig(t)
	r.send("a", 3600_000)
	r.send("b", 7200_000)
	r.steps()
	r.want("both", r.advance(30*24*3600*1000), "a", "b")
	r.send("c", 5000)
	r.steps()
	r.want("as ever", r.advance(5000), "c")
}

func TestClockSetBack(t *testing.T) {
	r := newRig(t)
	r.send("a", 5000)
	r.send("b", 3600_000)
	r.steps()
	r.want("a", r.advance(10_000), "a")
	r.now -= 3600_000 // all that comes now was passed
	r.send("c", 5000)
	r.steps()
	r.want("not yet", r.advance(4000))
	r.want("c in its time", r.advance(1000), "c")
	r.want("nothing twice", r.advance(3600_000))
	r.kill()
	r.open()
	r.want("b, and nothing twice", r.advance(3600_000), "b")
}

func TestClockSetBackFarther(t *testing.T) {
	r := newRig(t)
	r.send("a", 24*3600*1000)
	r.steps()
	r.now -= 20 * 24 * 3600 * 1000 // farther than the wheel turns: a is in the way
	r.send("b", 5000)
	r.steps()
	r.want("b, early rather than never", append(r.delivered(), r.advance(5000)...), "b")
	r.want("a", r.advance(21*24*3600*1000), "a")
}

func TestRestart(t *testing.T) {
	r := newRig(t)
	for i, name := range names("m", 300) {
		r.send(name, 2000+1000*int64(i%3))
	}
	r.steps()
	r.restart()
	if n := r.timer.Pending(); n != 300 {
		t.Errorf("%d pending", n)
	}
	got := r.advance(3000)
	r.restart()
	got = append(got, r.advance(10_000)...)
	if len(got) != 300 {
		t.Errorf("%d messages", len(got))
	}
	slices.Sort(got)
	if len(slices.Compact(got)) != 300 {
		t.Error("some came twice")
	}
}

// After a long time all that was due meanwhile is delivered, though a Java broker would have forgotten it.
func TestRestartAfterWeeks(t *testing.T) {
	r := newRig(t)
	r.send("a", 5000)
	r.send("b", 40*3600*1000)
	r.steps()
	r.stop()
	r.now += 20 * 24 * 3600 * 1000
	r.send("c", 5000)
	r.open()
	r.want("all", r.advance(0), "a", "b")
	r.want("and what comes", r.advance(5000), "c")
}

func TestKill(t *testing.T) {
	for _, flushed := range []bool{false, true} {
		t.Run(fmt.Sprint("flushed=", flushed), func(t *testing.T) {
			r := newRig(t)
			for _, name := range names("m", 700) {
				r.send(name, 2000)
			}
			r.send("late", -1)
			r.steps()
			if flushed {
				if err := r.flush(); err != nil {
					t.Fatal(err)
				}
			}
			r.kill()
			r.send("x", 2000)
			r.open()
			r.steps()
			if n := r.timer.Pending(); n != 701 {
				t.Errorf("%d pending", n)
			}
			// What is on disk when the process is killed in the middle of the slot.
			n, copied := 0, filepath.Join(t.TempDir(), "store")
			r.shelf.onPut = func() {
				if n++; n == 401 {
					if err := os.CopyFS(copied, os.DirFS(r.dir)); err != nil {
						t.Fatal(err)
					}
					r.shelf.puts = 1
				}
			}
			r.now += 2000
			r.shelf.broken = errors.New("killed here")
			if _, err := r.timer.Step(r.now, r.rules); err == nil {
				t.Fatal("not in the middle of the slot")
			}
			r.shelf.puts, r.shelf.onPut = -1, nil
			r.kill()
			r.dir = copied
			r.open()
			got := r.advance(0)
			want := append([]string{"late"}, names("m", 401)...)
			want = append(want, names("m", 700)[256:]...) // the batch in hand again
			r.want("the batch in hand again, nothing else", got, append(want, "x")...)
		})
	}
}

func TestPowerLoss(t *testing.T) {
	r := newRig(t)
	r.send("a", 5000)
	r.send("b", 6000)
	r.steps()
	if err := r.flush(); err != nil {
		t.Fatal(err)
	}
	r.send("c", 5000)
	r.shelf.safe = len(r.shelf.all)
	r.steps()
	r.want("a and c", r.advance(5000), "a", "c")
	r.power(func() bool { return true })
	r.open()
	r.want("again: nothing said that they were delivered; c is late now", r.advance(0), "c", "a")
	r.want("b", r.advance(1000), "b")
}

// A checkpoint waits for the log of messages, whose loss would take the delivered copies with it.
func TestCheckpointWaitsForTheStore(t *testing.T) {
	r := newRig(t)
	r.send("a", 1000)
	r.steps()
	if err := r.flush(); err != nil {
		t.Fatal(err)
	}
	r.safe = false
	r.want("a", r.advance(2000), "a")
	if err := r.flush(); err == nil {
		t.Error("the copy is not on disk")
	}
	r.power(func() bool { return false })
	r.open()
	r.safe = true
	r.want("a again", r.advance(0), "a")
}

func TestFailedSync(t *testing.T) {
	r := newRig(t)
	r.send("a", 1000)
	r.steps()
	r.disk.fail = func(call string) error {
		if strings.HasPrefix(call, "sync 0000") {
			return errors.New("EIO")
		}
		return nil
	}
	if err := r.flush(); err == nil || !strings.Contains(err.Error(), "EIO") {
		t.Fatalf("%v", err)
	}
	r.disk.fail = nil
	if err := r.flush(); err == nil {
		t.Error("the next one may not succeed")
	}
	r.want("delivered nevertheless", r.advance(2000), "a")
}

func TestFullDisk(t *testing.T) {
	r := newRig(t)
	r.send("a", 2000)
	r.disk.fail = func(call string) error {
		if strings.HasPrefix(call, "write 0000") {
			return errors.New("ENOSPC")
		}
		return nil
	}
	for range 2 {
		if _, err := r.timer.Step(r.now, r.rules); err == nil || !strings.Contains(err.Error(), "ENOSPC") {
			t.Fatalf("%v", err)
		}
	}
	if topics, _ := r.timer.Counts(); r.timer.Pending() != 0 || topics["T"].Count != 0 || r.timer.Queue() != 0 {
		t.Errorf("%d pending, %v, queue at %d", r.timer.Pending(), topics, r.timer.Queue())
	}
	r.disk.fail = nil
	r.steps()
	r.want("a", r.advance(2000), "a")
}

// The wheel is made again from the log when it is missing, or when it is that of another time.
func TestWheelIsMadeAgain(t *testing.T) {
	for _, what := range []string{"removed", "old", "empty", "snapshot", "precision"} {
		t.Run(what, func(t *testing.T) {
			r := newRig(t)
			wheel := filepath.Join(r.dir, layout.TimerWheelFile)
			r.send("a", 5000)
			r.send("b", 3600_000)
			r.steps()
			r.restart()
			old, err := os.ReadFile(wheel)
			if err != nil {
				t.Fatal(err)
			}
			r.send("c", 5000)
			r.send("gone", 1000)
			r.steps()
			r.want("gone", r.advance(2000), "gone")
			r.stop()
			switch what {
			case "removed":
				err = os.Remove(wheel)
			case "old":
				err = os.WriteFile(wheel, old, 0o644)
			case "empty":
				err = os.Truncate(wheel, 0)
			case "snapshot":
				err = errors.Join(os.WriteFile(wheel, old, 0o644), os.WriteFile(wheel+".104", old, 0o644))
			case "precision":
				r.unit = 100
			}
			if err != nil {
				t.Fatal(err)
			}
			r.open()
			r.want("due", r.advance(3000), "a", "c")
			r.restart()
			r.want("later", r.advance(3600_000), "b")
		})
	}
}

func TestWheelOfAWrongSize(t *testing.T) {
	r := newRig(t)
	r.stop()
	wheel := filepath.Join(r.dir, layout.TimerWheelFile)
	if err := os.WriteFile(wheel, make([]byte, 100), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Open(r.options(), r.now)
	if err == nil || !strings.Contains(err.Error(), wheel) || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("%v", err)
	}
}

func TestCheckpointRemoved(t *testing.T) {
	r := newRig(t)
	r.send("a", 5000)
	r.steps()
	r.stop()
	if err := os.Remove(filepath.Join(r.dir, "config", "timercheck")); err != nil {
		t.Fatal(err)
	}
	r.clean = false
	r.open()
	r.steps()
	if n := r.timer.Pending(); n != 1 || r.timer.Queue() != 1 {
		t.Errorf("%d pending, queue at %d", n, r.timer.Queue())
	}
	r.want("a", r.advance(5000), "a")
}

// Files of the timer log go when the messages are gone that they speak of.
func TestRetain(t *testing.T) {
	r := newRig(t)
	for i := range 500 { // six files
		r.send(fmt.Sprint(i), 1000)
	}
	r.steps()
	r.advance(2000)
	if err := r.timer.Retain(r.shelf.all[200].LogOffset); err != nil {
		t.Fatal(err)
	}
	begin, end := r.timer.units.run.Bounds()
	if begin != 2*4096 || end != 7*4096 {
		t.Errorf("from %d to %d", begin, end)
	}
	if err := r.timer.Retain(1 << 60); err != nil {
		t.Fatal(err)
	}
	if begin, _ := r.timer.units.run.Bounds(); begin != 6*4096 {
		t.Errorf("from %d: the last file must stay", begin)
	}
	r.send("a", 1000)
	r.steps()
	r.restart()
	r.want("a", r.advance(2000), "a")
}

func TestSurvey(t *testing.T) {
	r := newRig(t)
	for i := range 100 {
		r.send(fmt.Sprint(i), 1000+int64(i%10)*1000)
	}
	r.recall("1", 2000)
	r.steps()
	r.advance(1000)
	r.timer.SetCounts(map[string]TopicCount{"T": {Count: 7}, "X": {Count: 5}}, 9)
	s := r.timer.Survey()
	if r.timer.Survey() != nil {
		t.Error("two at a time")
	}
	r.send("during", 5000)
	r.advance(1000)
	if err := s.Run(nil); err != nil {
		t.Fatal(err)
	}
	s.Adopt([]string{"T"}, r.now)
	topics, version := r.timer.Counts()
	if topics["T"].Count != 81 || topics["X"].Count != 0 || version <= 9 || r.timer.Pending() != 81 {
		t.Errorf("%v, version %d, %d pending", topics, version, r.timer.Pending())
	}
	r.timer.Forget("X")
	if topics, _ := r.timer.Counts(); len(topics) != 1 {
		t.Errorf("%v", topics)
	}
}

func TestByDistance(t *testing.T) {
	r := newRig(t)
	for _, s := range []int64{1, 4, 30, 59, 61, 3000, 90_000} {
		r.send("x", s*1000)
	}
	r.steps()
	n, err := r.timer.ByDistance(r.now)
	if want := [...]int64{2, 2, 1, 0, 1, 0, 0, 0}; err != nil || n != want {
		t.Errorf("%v, %v", n, err)
	}
	if n, err := r.timer.Waiting(r.out(r.now + 4000)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	r := newRig(t)
	r.stop()
	for _, change := range []func(*Options){func(o *Options) { o.Precision = 0 }, func(o *Options) { o.FileSize = 100 }} {
		o := r.options()
		change(&o)
		if _, err := Open(o, r.now); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// An idle timer leaves nothing behind but its mark.
func TestIdleTimerMakesNoFiles(t *testing.T) {
	r := newRig(t)
	r.steps()
	r.stop()
	for _, name := range []string{"timerwheel", "timerlog"} {
		if _, err := os.Stat(filepath.Join(r.dir, name)); err == nil {
			t.Errorf("%s exists", name)
		}
	}
	r.open()
	r.send("a", 1000)
	r.steps()
	r.want("a", r.advance(2000), "a")
}
