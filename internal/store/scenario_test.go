package store

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

var indexName = regexp.MustCompile(`index/[0-9]{17}`)

var update = flag.Bool("update", false, "write what the scenarios say into testdata/recover")

// scenario runs one file of testdata/recover: a command in each line, and behind it, indented by "> ", what it said.
//
//	options sync | light     synchronous flush; light queues
//	open                     opens the store, and says how far the log goes and what was warned of
//	append TOPIC QUEUE N [LIST]   appends N messages, numbered in each queue; LIST names light queues that they are in, too
//	flush                    waits until all is in files, on disk, and indexed
//	close | kill             ends the store
//	power-loss all|none      undoes all that was not synced, or nothing, and boots
//	tear N                   what was written of the last record ends with its sector N: 0 is nothing of it
//	fill FILE FROM N BYTE    overwrites bytes; FILE is a pattern, and the first that matches is meant; FROM below 0: from the end
//	size FILE N              makes a file N bytes long
//	remove PATTERN           removes the first match, a file or a directory with all that is in it
//	java-killed              makes the directory look as if a Java broker had been killed
//	other-broker TOPIC QUEUE N [LIST]    a broker that does not know skua/ appends N messages, and stops
//	queue TOPIC QUEUE        says what the queue holds
//	query TOPIC KEY          says at which queue offsets a key is found
//	delete TOPIC             what is appended to it from then on is numbered from 0 again
type scenario struct {
	t       *testing.T
	o       Options
	s       *Store
	machine *machine
	now     clock
	sent    map[string]int
	last    skua.LogOffset
	said    strings.Builder
}

func TestRecoveryScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/recover/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			runScenario(t, file)
		})
	}
}

func runScenario(t *testing.T, file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &scenario{t: t, o: small(quickDir(t)), machine: newMachine(), sent: map[string]int{}}
	c.o.Faults, c.o.FlushInterval, c.o.Now = c.machine.faults(), time.Hour, c.now.read
	c.o.pace.delay = time.Hour // nothing goes to files but by "flush", however long a line takes
	c.o.Log = slog.New(warnings{c})
	c.now.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli())
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
				out.WriteString("> " + indexName.ReplaceAllString(strings.ReplaceAll(said, c.o.Dir, "DIR"), "index/TIME"))
			}
		}
		if t.Failed() {
			return
		}
	}
	if c.s != nil {
		closed(t, c.s)
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

// warnings is a handler of log lines that writes warnings into what was said.
type warnings struct{ c *scenario }

func (w warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w warnings) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w warnings) WithGroup(string) slog.Handler                { return w }
func (w warnings) Handle(_ context.Context, r slog.Record) error {
	fmt.Fprintf(&w.c.said, "warned: %s", r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&w.c.said, ", %s %v", a.Key, a.Value)
		return true
	})
	fmt.Fprintln(&w.c.said)
	return nil
}

func (c *scenario) check(err error) {
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *scenario) number(s string) int64 {
	n, err := strconv.ParseInt(s, 0, 64)
	c.check(err)
	return n
}

func (c *scenario) queue(args []string) (*Queue, string) {
	return c.s.Queue(args[0], int32(c.number(args[1]))), args[0] + "/" + args[1]
}

func (c *scenario) do(command string, args []string) {
	switch command {
	case "options":
		c.o.SyncFlush, c.o.Light = args[0] == "sync", args[0] == "light"
	case "open":
		c.open()
	case "append":
		c.append(args)
	case "flush":
		flushed(c.t, c.s)
		for c.s.index.step(nil) {
		}
		c.s.flushCycle()
	case "close":
		closed(c.t, c.s)
		c.s = nil
	case "kill":
		crash(c.t, c.s)
		c.s = nil
	case "power-loss":
		crash(c.t, c.s)
		c.machine.lose(c.t, c.o.Dir, func() bool { return args[0] == "all" })
		c.s = nil
	case "other-broker":
		c.otherBroker(args)
	case "delete":
		c.check(c.s.DeleteTopic(args[0]))
		maps.DeleteFunc(c.sent, func(queue string, _ int) bool { return strings.HasPrefix(queue, args[0]+"/") })
	case "queue":
		c.tellQueue(args)
	case "query":
		c.tellQuery(args)
	default:
		c.damage(command, args)
	}
}

func (c *scenario) open() {
	s, err := Open(c.o)
	if err != nil {
		fmt.Fprintf(&c.said, "refused: %v\n", err)
		return
	}
	c.t.Cleanup(func() { s.Close() })
	c.s = s
	fmt.Fprintf(&c.said, "the log goes from %d to %d\n", s.Min(), s.Max())
}

func (c *scenario) otherBroker(args []string) {
	own, kept := filepath.Join(c.o.Dir, "skua"), filepath.Join(c.o.Dir, "kept")
	c.check(os.Rename(own, kept))
	c.check(os.RemoveAll(c.file("abort")))
	c.open()
	c.append(args)
	closed(c.t, c.s)
	c.s = nil
	c.check(os.RemoveAll(own))
	c.check(os.Rename(kept, own))
}

func (c *scenario) append(args []string) {
	q, name := c.queue(args)
	for range c.number(args[2]) {
		c.now.Add(10)
		m := message(args[0], q.ID(), fmt.Sprintf("%04d", c.sent[name]))
		c.sent[name]++
		m.Body = append(m.Body, strings.Repeat(".", 600)...)
		if len(args) > 3 {
			m.Light, m.Properties = true, record.AppendProperty(m.Properties, skua.PropMultiDispatch, args[3])
		}
		r, err := c.s.Append(q, m)
		c.check(err)
		c.last = r.LogOffset
	}
}

// damage does what a disk or a person may do to files.
func (c *scenario) damage(command string, args []string) {
	switch command {
	case "tear":
		file := filepath.Join(c.o.Dir, "commitlog", fmt.Sprintf("%020d", int64(c.last)/c.o.SegmentSize*c.o.SegmentSize))
		at := int64(c.last) % c.o.SegmentSize
		from := max((at/sectorSize+c.number(args[0]))*sectorSize, at)
		c.check(overwriteAt(file, make([]byte, 4*sectorSize), from))
	case "fill":
		file, from := c.file(args[0]), c.number(args[1])
		if info, err := os.Stat(file); from < 0 && err == nil {
			from += info.Size()
		}
		c.check(overwriteAt(file, bytes.Repeat([]byte{byte(c.number(args[3]))}, int(c.number(args[2]))), from))
	case "size":
		c.check(os.Truncate(c.file(args[0]), c.number(args[1])))
	case "remove":
		c.check(os.RemoveAll(c.file(args[0])))
	case "java-killed":
		c.check(os.RemoveAll(c.file("skua")))
		c.check(os.WriteFile(c.file("abort"), []byte("4711"), 0o644))
	default:
		c.t.Fatalf("no such command: %s", command)
	}
}

// file is the first file that matches a pattern.
func (c *scenario) file(pattern string) string {
	path := filepath.Join(c.o.Dir, pattern)
	if found, _ := filepath.Glob(path); len(found) > 0 {
		return found[0]
	}
	return path
}

func (c *scenario) tellQueue(args []string) {
	q, name := c.queue(args)
	if q.light() {
		c.tellLight(q)
		return
	}
	all := bodies(c.t, c.s, q, q.Min())
	for i, b := range all {
		if b[:4] != fmt.Sprintf("%04d", int(q.Min())+i) {
			fmt.Fprintf(&c.said, "%s: at %d is message %s\n", name, int(q.Min())+i, b[:4])
			return
		}
	}
	fmt.Fprintf(&c.said, "messages %d to %d, all in their places\n", q.Min(), q.Max())
}

// tellLight is tellQueue for a light queue, whose messages are numbered where they were sent to.
func (c *scenario) tellLight(q *Queue) {
	all := strings.Fields(strings.ReplaceAll(lightQueue(c.t, c.s, q.topic), ".", ""))
	if len(all) == 0 {
		fmt.Fprintf(&c.said, "messages %d to %d\n", q.Min(), q.Max())
		return
	}
	fmt.Fprintf(&c.said, "messages %d to %d, number=place of the first %s, of the last %s\n", q.Min(), q.Max(), all[0], all[len(all)-1])
}

func (c *scenario) tellQuery(args []string) {
	for c.s.index.step(nil) {
	}
	got, err := c.s.Query(args[0], args[1], 10, 0, math.MaxInt64)
	c.check(err)
	for _, b := range got.Records {
		m, _, err := record.Decode(b)
		c.check(err)
		fmt.Fprintf(&c.said, "queue %d, offset %d\n", m.QueueID, m.QueueOffset)
	}
	if len(got.Records) == 0 {
		fmt.Fprintln(&c.said, "not found")
	}
}
