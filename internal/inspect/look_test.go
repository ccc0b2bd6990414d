package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/layout"
)

func TestSummarize(t *testing.T) {
	for _, c := range []struct {
		store, state     string
		begin, end       int64
		messages, staged int64
	}{
		{"basic", "stopped", 0, 834713, 400, 0},
		{"killed", "crashed", 0, 398751, 374, 0},
		{"deleted", "stopped", 524288, 0, 0, 0},
	} {
		t.Run(c.store, func(t *testing.T) {
			d, err := Open(unpack(t, c.store), Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := d.Summarize()
			if err != nil {
				t.Fatal(err)
			}
			n := int64(0)
			for _, topic := range s.Topics {
				n += topic.Messages
			}
			if s.State != c.state || s.LastUser != "Java" || s.Log.Begin != c.begin || c.end > 0 && (s.Log.End != c.end || n != c.messages) {
				t.Errorf("%s, last user %s, from %d to %d, %d messages", s.State, s.LastUser, s.Log.Begin, s.Log.End, n)
			}
			if s.Log.First <= 0 || s.Log.Last < s.Log.First || s.Log.Damage != "" {
				t.Errorf("log %+v", s.Log)
			}
			var text bytes.Buffer
			if err := s.Print(&text, 3); err != nil || !strings.Contains(text.String(), "more queues") {
				t.Errorf("%v, %s", err, &text)
			}
		})
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "holds no store") {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestStat(t *testing.T) {
	d, err := Open(unpack(t, "basic"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Stat(context.Background(), Select{Queue: -1}, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}
	sizes, times := Count{}, Count{}
	for _, z := range s.Sizes {
		sizes.merge(z.Count)
	}
	for _, z := range s.Times {
		times.merge(z.Count)
	}
	a := s.Topics["TopicA"]
	if s.All != (Count{400, 829376}) || sizes != s.All || times != s.All || a.Messages != 344 || a.Queues[0].Messages != 103 || a.Tags["TagB"].Messages != 98 {
		t.Errorf("%+v, %+v, %+v, %+v", s.All, sizes, times, a)
	}
	if s, err = d.Stat(context.Background(), Select{Topic: "TopicA", Queue: 1}, 1000, nil); err != nil || s.All.Messages != 73 {
		t.Errorf("one queue: %+v, %v", s.All, err)
	}
}

// dump dumps as JSON and returns the entries.
func dump(t *testing.T, path string, o DumpOptions) (entries []map[string]any) {
	t.Helper()
	o.JSON = true
	if o.Topic == "" {
		o.Queue = -1
	}
	var out bytes.Buffer
	if err := Dump(&out, path, o); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var e map[string]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		entries = append(entries, e)
	}
	var text bytes.Buffer
	o.JSON = false
	if err := Dump(&text, path, o); err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestDump(t *testing.T) {
	dir := unpack(t, "basic")
	records := dump(t, dir, DumpOptions{Body: BodyNone})
	n := 0
	for _, e := range records {
		if e["topic"] != nil {
			n++
		}
	}
	if n != 400 {
		t.Errorf("%d records", n)
	}
	for _, c := range []struct {
		path string
		o    DumpOptions
		want int
	}{
		{"", DumpOptions{Limit: 7}, 7},
		{"", DumpOptions{Select: Select{Topic: "TopicA", Queue: 1}}, 73},
		{"", DumpOptions{Select: Select{From: 507, To: 3527}}, 2},
		{"", DumpOptions{Select: Select{Key: "key-1"}}, 1},
		{"commitlog/00000000000000000000", DumpOptions{Select: Select{To: 508}}, 2},
		{"consumequeue/TopicA/0", DumpOptions{}, 103},
		{"consumequeue/TopicA/0", DumpOptions{Select: Select{From: 60, To: 70}}, 10},
		{"index", DumpOptions{}, 1222},
		{"checkpoint", DumpOptions{}, 1},
	} {
		if got := dump(t, filepath.Join(dir, c.path), c.o); len(got) != c.want {
			t.Errorf("%s with %+v: %d entries instead of %d", c.path, c.o, len(got), c.want)
		}
	}
	kinds := unpack(t, "kinds")
	for path, want := range map[string]int{"batchconsumequeue": 6, "consumequeue_ext/Sql": 12, "commitlog": 150} {
		if got := dump(t, filepath.Join(kinds, path), DumpOptions{}); len(got) != want {
			t.Errorf("%s: %d entries instead of %d", path, len(got), want)
		}
	}
	if err := Dump(&bytes.Buffer{}, filepath.Join(dir, "lock"), DumpOptions{}); err == nil || !strings.Contains(err.Error(), "--kind") {
		t.Errorf("a file of an unknown kind: %v", err)
	}
}

// TestDumpOthers dumps files that the stores of Java here do not have.
func TestDumpOthers(t *testing.T) {
	dir := t.TempDir()
	for path, b := range map[string][]byte{
		"timerlog/00000000000000000000": append(layout.TimerUnit{Before: -1, Magic: 1, Log: 5, Size: 100}.Append(nil), make([]byte, 100)...),
		"timerwheel":                    append(make([]byte, 64), layout.TimerSlot{Moment: 7, First: 0, Last: 52, Count: 2}.Append(nil)...),
		"config/timercheck":             make([]byte, 4096),
		"config/delayOffset.json":       []byte("{\"offsetTable\":{1:10,2:9007199254740993}}"),
		"config/timermetrics.bak":       []byte("{}"),
		"abort":                         layout.AbortOf(5, layout.Session{1}).Encode(),
		"skua/checkpoint":               layout.Checkpoint{Indexed: 5}.Encode(),
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
		if got := dump(t, path, DumpOptions{}); len(got) != 1 {
			t.Errorf("%s: %v", path, got)
		}
	}
	if got := dump(t, dir, DumpOptions{}); len(got) != 7 {
		t.Errorf("all: %v", got)
	}
	var out bytes.Buffer
	if err := Dump(&out, filepath.Join(dir, "config/delayOffset.json"), DumpOptions{JSON: true}); err != nil || !strings.Contains(out.String(), `"2":9007199254740993`) {
		t.Errorf("%v, %s", err, &out)
	}
}

func TestDumpBodies(t *testing.T) {
	dir := unpack(t, "basic")
	for format, want := range map[BodyFormat]string{BodyHex: "0001", BodyBase64: "AAE=", BodyText: "\x00\x01"} {
		if got := dump(t, dir, DumpOptions{Limit: 1, Body: format, MaxBody: 2})[0]["body"]; got != want {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func FuzzFillers(f *testing.F) {
	f.Add(int64(92), int64(5))
	f.Add(int64(5<<20), int64(1<<30))
	f.Fuzz(func(t *testing.T, n, off int64) {
		if n < 0 || n > 8<<20 || off < 0 {
			return
		}
		b := fillers(off, n, 1)
		if n < lostLeast {
			if b != nil {
				t.Fatalf("%d bytes are filled", n)
			}
			return
		}
		d := &Dir{log: chain{size: off + n}, staged: b, stagedAt: off, end: off + n}
		r := d.reader()
		defer r.close()
		at := off
		err := r.walk(off, off+n, off+n, func(s stretch) bool {
			if s.kind != stretchRecord || s.msg.Queued() {
				t.Fatalf("%d bytes at %d: %v", n, s.off, s.why)
			}
			at = s.off + s.n
			return true
		})
		if err != nil || at != off+n {
			t.Fatalf("%d bytes at %d are filled up to %d: %v", n, off, at, err)
		}
	})
}
