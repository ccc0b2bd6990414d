package timer

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
)

var update = flag.Bool("update", false, "write what the scenarios say into testdata")

// scenario runs one file of testdata: a command in each line, and behind it, indented by "> ", what it said. Times are
// durations, in the words of Go, since the scenario began.
//
//	at TIME                  sets the clock, and calls Step until it has nothing to do
//	send NAME DELAY          stores a message that is due after a delay
//	recall NAME DELAY        stores a recall of one
//	step                     calls Step
//	rules NAME=VALUE...      window (seconds), enqueue, dequeue (on, off)
//	refuse N | accept        the store takes N more messages, and then none
//	flush
//	close | kill             ends the timer
//	power-loss               ends the machine: all that was not synced is lost
//	open
//	slots                    says what is in the slots that wait
//	log                      says what is in the timer log
//	state                    says how far it is
type scenario struct {
	*rig
	said  strings.Builder
	slots map[int64]bool // moments that were used
}

func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScenario(t, file) })
	}
}

func runScenario(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &scenario{rig: newRig(t), slots: map[int64]bool{}}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, ">") {
			continue
		}
		fmt.Fprintln(&out, line)
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			c.said.Reset()
			c.do(words[0], words[1:])
			for said := range strings.Lines(c.said.String()) {
				out.WriteString("> " + said)
			}
		}
		if t.Failed() {
			return
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); got != string(b) {
		t.Errorf("%s: it went otherwise; look at the difference after running with -update:\n%s", file, got)
	}
}

func (c *scenario) say(format string, args ...any) { fmt.Fprintf(&c.said, format+"\n", args...) }

func (c *scenario) duration(s string) int64 {
	d, err := time.ParseDuration(s)
	if err != nil {
		c.t.Fatal(err)
	}
	return d.Milliseconds()
}

// since spells a time, ms, as a duration since the scenario began.
func since(ms int64) string { return (time.Duration(ms-clock0) * time.Millisecond).String() }

func (c *scenario) do(command string, args []string) {
	switch command {
	case "at":
		c.now = clock0 + c.duration(args[0])
		c.round()
	case "step":
		c.round()
	case "send":
		out := c.out(c.now + c.duration(args[1]))
		c.slots[out/c.unit] = true
		c.put(args[0], out)
	case "recall":
		c.recall(args[0], c.duration(args[1]))
	case "rules":
		c.setRules(args)
	case "refuse":
		c.shelf.puts, _ = strconv.Atoi(args[0])
		c.shelf.broken = fmt.Errorf("refused")
	case "accept":
		c.shelf.puts = -1
	case "flush":
		if err := c.flush(); err != nil {
			c.say("%v", err)
		}
	case "close":
		c.stop()
	case "kill":
		c.kill()
	case "power-loss":
		c.shelf.safe = len(c.shelf.all)
		c.power(func() bool { return true })
	case "open":
		c.log.Reset()
		c.open()
		for line := range strings.Lines(c.log.String()) {
			_, line, _ = strings.Cut(line, "level=")
			c.said.WriteString(strings.ReplaceAll(line, c.dir, "DIR"))
		}
	case "slots":
		c.sayPending()
	case "log":
		c.sayLog()
	case "state":
		checkpoint := "none"
		if at := c.timer.Checkpoint(); at != (layout.TimerCheckpoint{}) {
			checkpoint = fmt.Sprintf("read %s, queue %d, timer log %d", since(at.Read), at.Queue, at.LogFlushed)
		}
		c.say("queue at %d, %d pending, %d ms behind; checkpoint: %s", c.timer.Queue(), c.timer.Pending(), c.timer.Behind(c.now), checkpoint)
	default:
		c.t.Fatalf("no such command: %s", command)
	}
}

// round calls Step until it has nothing to do, and says what was delivered.
func (c *scenario) round() {
	queue := len(c.shelf.queue)
	var next int64
	var err error
	for range 1000 {
		next, err = c.timer.Step(c.now, c.rules)
		if err != nil || next > c.now && (c.rules.StopEnqueue || int(c.timer.Queue()) == len(c.shelf.queue)) {
			break
		}
	}
	for _, name := range c.delivered() {
		c.say("delivered %s", name)
	}
	if n := len(c.shelf.queue) - queue; n > 0 {
		c.say("%d again in the queue", n)
	}
	switch {
	case err != nil:
		c.say("%v", err)
	case next == Never:
		c.say("waits for messages")
	default:
		c.say("waits until %s", since(next))
	}
}

func (c *scenario) setRules(args []string) {
	for _, arg := range args {
		switch name, value, _ := strings.Cut(arg, "="); name {
		case "window":
			c.rules.RollWindow, _ = strconv.ParseInt(value, 10, 64)
		case "enqueue":
			c.rules.StopEnqueue = value == "off"
		case "dequeue":
			c.rules.StopDequeue = value == "off"
		default:
			c.t.Fatalf("no such rule: %s", name)
		}
	}
}

func (c *scenario) sayPending() {
	for m, ok := c.timer.wheel.next(0, turn); ok; m, ok = c.timer.wheel.next(m+1, turn) {
		moment := c.timer.read + (m-place(c.timer.read)+turn)%turn
		s, _, err := c.timer.wheel.get(moment)
		if err != nil {
			c.t.Fatal(err)
		}
		c.say("%s: %d messages, units %d to %d", since(moment*c.unit), s.Count, s.First, s.Last)
	}
}

func (c *scenario) sayLog() {
	_, err := c.timer.units.each(0, func(pos int64, u layout.TimerUnit) bool {
		if pos >= c.timer.units.end {
			return false
		}
		kind := ""
		if u.Magic&layout.TimerRolled != 0 {
			kind += ", rolled"
		}
		if u.Magic&layout.TimerDeletes != 0 {
			kind += ", recalls"
		}
		m := c.shelf.all[c.shelf.at[skua.LogOffset(u.Log)]]
		c.say("%d: %s, before it %d, written %s, until %s%s", pos, m.Body, u.Before, since(u.Written), since(u.Due()), kind)
		return true
	})
	if err != nil {
		c.t.Fatal(err)
	}
}
