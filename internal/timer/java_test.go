package timer

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// javaStore is what testdata/java/kinds.txt holds.
type javaStore struct {
	files    map[string][]byte
	messages []record.Message
}

func readJava(t *testing.T) *javaStore {
	b, err := os.ReadFile("testdata/java/kinds.txt")
	if err != nil {
		t.Fatal(err)
	}
	j := &javaStore{files: map[string][]byte{}}
	var file []byte
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for line := range strings.Lines(string(b)) {
		w := strings.Fields(line)
		switch {
		case w[0] == "#":
		case w[0] == "file":
			file = make([]byte, number(w[2]))
			j.files[w[1]] = file
		case w[0] == "message":
			j.messages = append(j.messages, record.Message{LogOffset: skua.LogOffset(number(w[1])), Size: int32(number(w[2])), Topic: []byte(w[3]),
				QueueID: int32(number(w[4])), QueueOffset: skua.QueueOffset(number(w[5])), StoreTime: number(w[6]), BornHost: host, StoreHost: host})
		case len(j.messages) > 0:
			m := &j.messages[len(j.messages)-1]
			m.Properties = record.AppendProperty(m.Properties, w[0], w[1])
		default:
			if _, err := hex.Decode(file[number(w[0]):], []byte(w[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	return j
}

// rig is a rig on what Java wrote; with files it has the files, too.
func (j *javaStore) rig(t *testing.T, files bool) *rig {
	r := newRig(t)
	r.stop()
	for name, b := range j.files {
		path := filepath.Join(r.dir, name)
		if !files {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.size = int64(len(j.files["timerlog/00000000000000000000"]))
	return r
}

// add stores a message of Java's where it was.
func (j *javaStore) add(s *shelf, m record.Message) {
	if string(m.Topic) == skua.TimerTopic {
		s.queue = append(s.queue, len(s.all))
	}
	s.at[m.LogOffset] = len(s.all)
	s.all = append(s.all, m)
	s.end = m.LogOffset + skua.LogOffset(m.Size)
}

// The files are opened where they stand: what waited in them is delivered in its time, with the properties that Java gives.
func TestWhatJavaWrote(t *testing.T) {
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprint("clean=", clean), func(t *testing.T) {
			j := readJava(t)
			r := j.rig(t, true)
			for _, m := range j.messages {
				j.add(r.shelf, m)
			}
			r.seen, r.clean = len(r.shelf.all), clean
			check, _ := layout.DecodeTimerCheckpoint(j.files["config/timercheck"])
			r.now = check.Read
			r.open()
			r.steps()
			if r.timer.Queue() != 17 || r.timer.Pending() != 8 {
				t.Errorf("queue at %d, %d pending", r.timer.Queue(), r.timer.Pending())
			}
			var got []string
			for next := r.steps(); next != Never; next = r.steps() {
				r.now = next
				r.steps()
				for ; r.seen < len(r.shelf.all); r.seen++ {
					m := r.shelf.all[r.seen]
					key, _ := record.Property(m.Properties, skua.PropUniqueKey)
					got = append(got, fmt.Sprintf("%d %s/%d %s", (r.now-check.Read)/1000, m.Topic, m.QueueID, key[len(key)-12:]))
				}
			}
			const revive = "rmq_sys_REVIVE_LOG_DefaultCluster/"
			r.want("seconds, queue and message", got, "24 "+revive+"1 @broker-a@ck", "25 "+revive+"1 broker-a@ack", "25 "+revive+"1 broker-a@ack",
				"85 "+revive+"1 @broker-a@ck", "7154 Timer/0 675CD6220008", "7154 Timer/0 675CD6270009", "7165 "+revive+"0 @broker-a@ck",
				"86354 rmq_sys_wheel_timer/0 675CD62B000A", "215954 Timer/0 675CD62B000A")
			r.restart()
			r.want("nothing is left", r.advance(1000_000_000))
		})
	}
}

// The same messages at the same times make the same bytes.
func TestSameBytesAsJava(t *testing.T) {
	j := readJava(t)
	r := j.rig(t, false)
	units := j.files["timerlog/00000000000000000000"]
	r.now = 1795225337000
	r.open()
	n := 0
	for _, m := range j.messages {
		if string(m.Topic) != skua.TimerTopic {
			continue
		}
		u, _ := layout.DecodeTimerUnit(units[n*layout.TimerUnitSize:])
		r.now, n = u.Written, n+1
		r.shelf.end = m.LogOffset
		j.add(r.shelf, m)
		r.timer.now, r.timer.rules = r.now, r.rules
		if _, err := r.timer.take(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.flush(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"timerlog/00000000000000000000", "timerwheel"} {
		b, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, j.files[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// What Java's delivered messages carry ours do, too.
func TestSamePropertiesAsJava(t *testing.T) {
	j := readJava(t)
	for _, m := range j.messages {
		p := record.ParseProperties(m.Properties)
		if string(m.Topic) == skua.TimerTopic {
			continue
		}
		i := slices.IndexFunc(j.messages, func(x record.Message) bool {
			y := record.ParseProperties(x.Properties)
			return string(x.Topic) == skua.TimerTopic && y[skua.PropUniqueKey] == p[skua.PropUniqueKey]
		})
		enqueued, _ := strconv.ParseInt(p[skua.PropTimerEnqueueMs], 10, 64)
		dequeued, _ := strconv.ParseInt(p[skua.PropTimerDequeueMs], 10, 64)
		ours := record.ParseProperties(edit{enqueued: enqueued, dequeued: dequeued}.append(nil, j.messages[i].Properties))
		if !maps.Equal(ours, p) {
			t.Errorf("%v, Java's %v", ours, p)
		}
	}
}
