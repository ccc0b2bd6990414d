package broker

import (
	"bytes"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// FuzzEdited compares what the broker stores of a send's properties with what a map would make of them.
func FuzzEdited(f *testing.F) {
	for _, s := range []string{"", "KEYS\x01k\x02TAGS\x01A\x02", "A\x01b\x02C\x01d", "A\x01\x02C\x01d\x02x\x02", "POP_CK\x01x\x02UNIQ_KEY\x01u\x02WAIT\x01false\x02",
		"DELAY\x013\x02TRAN_MSG\x01TRUE\x02", "\x01\x02\x02\x01", "TIMER_DELAY_SEC\x011", "CLUSTER\x01mine\x02TRACE_ON\x01no\x02MSG_REGION\x01r",
		"_SYS_MSG_PRIORITY_\x013\x02_SYS_MSG_PRIORITY_\x01+4\x02", "_SYS_MSG_PRIORITY_\x01-1\x02__SHARDINGKEY\x01s"} {
		f.Add([]byte(s))
	}
	b := &Broker{}
	b.unique.prefix = []byte{127, 0, 0, 1}
	o := &Options{RegionID: "R", TraceOn: true, BrokerClusterName: "C"}
	f.Fuzz(func(t *testing.T, in []byte) {
		var e edited
		e.out = []byte("left over from the last one")
		e.scan(in)
		e.finish(b, o)
		want := record.ParseProperties(in)
		delete(want, "POP_CK")
		delete(want, "SKUA_HALF")
		want["MSG_REGION"], want["TRACE_ON"], want["CLUSTER"] = "R", "true", "C"
		if want["UNIQ_KEY"] == "" {
			want["UNIQ_KEY"] = string(e.unique())
		}
		if got := record.ParseProperties(e.out); !maps.Equal(got, want) {
			t.Errorf("stored %q, want %q", got, want)
		}
		if string(e.unique()) != want["UNIQ_KEY"] {
			t.Errorf("unique key %q, want %q", e.unique(), want["UNIQ_KEY"])
		}
		if keys := strings.TrimSpace(want["KEYS"]); (keys != "") != e.keys {
			t.Errorf("keys %q: %v", keys, e.keys)
		}
		if e.level != parseLevel([]byte(want["DELAY"])) || e.half != strings.EqualFold(want["TRAN_MSG"], "true") {
			t.Errorf("level %d, half %v of %q", e.level, e.half, want)
		}
		priority, has := want["_SYS_MSG_PRIORITY_"]
		n, err := strconv.ParseInt(priority, 10, 32)
		if number := err == nil && n >= 0; has != e.traits.prioritized || has && number != (e.traits.priority != noPriority) || number && int32(n) != e.traits.priority {
			t.Errorf("priority %d of %q", e.traits.priority, want)
		}
		if kind, _ := e.traits.kind(); kind != kindOf(want) {
			t.Errorf("kind %s of %q", kind, want)
		}
	})
}

// kindOf is the kind of a message with these properties, as Java's TopicMessageType tells it.
func kindOf(p map[string]string) string {
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { _, ok := p[key]; return ok })
	}
	switch {
	case strings.EqualFold(p["TRAN_MSG"], "true"):
		return "TRANSACTION"
	case has("DELAY", "TIMER_DELIVER_MS", "TIMER_DELAY_SEC", "TIMER_DELAY_MS"):
		return "DELAY"
	case has("__SHARDINGKEY"):
		return "FIFO"
	case has("_SYS_MSG_PRIORITY_"):
		return "PRIORITY"
	case has("__LITE_TOPIC"):
		return "LITE"
	}
	return "NORMAL"
}

// FuzzAttributes checks that whatever is accepted can be applied to a new topic or is refused with a reason.
func FuzzAttributes(f *testing.F) {
	for _, s := range []string{"", "+message.type=FIFO", "+a=b,-c", "-queue.type", "+=", "+a", "a=b", "+a=b,+a=c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		changes, err := parseAttributes(text)
		if err != nil {
			return
		}
		got, err := alterAttributes(topicAttributes, nil, true, changes)
		if err != nil {
			return
		}
		for key, value := range got {
			if _, known := topicAttributes[key]; !known || changes["+"+key] != value {
				t.Errorf("%q set %q to %q", text, key, value)
			}
		}
	})
}

func TestUniqueKeysDiffer(t *testing.T) {
	b := &Broker{}
	b.unique.prefix = []byte{127, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	var all [][]byte
	for range 1000 {
		key := b.unique.append(nil)
		if len(key) != 32 {
			t.Fatalf("key %s", key)
		}
		all = append(all, key)
	}
	slices.SortFunc(all, bytes.Compare)
	if n := len(slices.CompactFunc(all, bytes.Equal)); n != 1000 {
		t.Errorf("%d different keys of 1000", n)
	}
}

func TestCrew(t *testing.T) {
	var mu sync.Mutex
	var got []int
	block := make(chan struct{})
	c := newCrew(1, 3, func(n int) {
		<-block
		mu.Lock()
		got = append(got, n)
		mu.Unlock()
	})
	taken := 0
	for n := range 10 {
		if c.add(n) {
			taken++
		}
	}
	if taken > 4 || taken < 3 {
		t.Errorf("%d jobs taken by a crew at which 3 can wait", taken)
	}
	close(block)
	c.close()
	if len(got) != taken || !slices.IsSorted(got) {
		t.Errorf("done %v of %d", got, taken)
	}
	if c.add(1) {
		t.Error("a closed crew took a job")
	}
	many := newCrew(4, 10_000, func(int) {})
	for n := range 10_000 {
		many.add(n)
	}
	many.close()
	if n := many.waiting(); n != 0 {
		t.Errorf("%d jobs left", n)
	}
}

// A crew of which fewer may work for a while does all jobs, with as many as may work at the time.
func TestCrewOfFewer(t *testing.T) {
	var most, now, seen atomic.Int32
	c := newCrew(8, 10_000, func(int) {
		seen.Store(max(seen.Load(), now.Add(1)))
		now.Add(-1)
	})
	c.fewer = func() int { return int(most.Load()) }
	most.Store(1)
	for n := range 1000 {
		c.add(n)
	}
	for c.waiting() > 0 {
		runtime.Gosched()
	}
	if n := seen.Load(); n > 1 {
		t.Errorf("%d worked at a time, one may", n)
	}
	most.Store(100)
	for n := range 1000 {
		c.add(n)
		if n == 500 {
			most.Store(2)
		}
	}
	c.close()
	if c.waiting() != 0 {
		t.Errorf("%d jobs left", c.waiting())
	}
}

func TestFilters(t *testing.T) {
	var f filters
	for _, c := range []struct {
		expression string
		passes     string // tags
		refused    bool
	}{{"", "A B C", false}, {"*", "A B C", false}, {"A", "A", false}, {" A||C ", "A C", false}, {"A||", "A", false}, {"||", "", true}, {" ", "", true}} {
		for range 2 {
			want, err := f.tagged([]byte(c.expression))
			if (err != nil) != c.refused {
				t.Errorf("%q: %v", c.expression, err)
			}
			if err != nil {
				continue
			}
			var passes []string
			for _, tag := range []string{"A", "B", "C"} {
				if want.tags == nil || want.tags(int64(record.HashString([]byte(tag)))) {
					passes = append(passes, tag)
				}
			}
			if strings.Join(passes, " ") != c.passes {
				t.Errorf("%q lets %v pass", c.expression, passes)
			}
		}
	}
	for n := range maxFilters + 10 {
		if _, err := f.tagged([]byte{byte(n), byte(n >> 8), 'x'}); err != nil {
			continue
		}
	}
	if len(f.tags) > maxFilters {
		t.Errorf("%d expressions remembered", len(f.tags))
	}
	long := strings.Repeat("a = 'x' OR ", 4000)
	for n := range 2 * maxFilterText / len(long) {
		if _, err := f.selected([]byte("SQL92"), fmt.Appendf(nil, "%sa = %d", long, n), 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(f.tags) != 0 || len(f.sql)*len(long) > maxFilterText {
		t.Errorf("%d long expressions remembered", len(f.sql))
	}
}

func TestPageSurvivesOddRequests(t *testing.T) {
	b := &Broker{}
	b.options.Store(&Options{EnableSplitMetadata: true, SplitMetadataSize: 2000})
	v := command.DataVersion{Counter: 1}
	text := `{"counter":1,"stateVersion":0,"timestamp":0}`
	for _, seq := range []int32{-1, 0, 3, 1 << 30} {
		for _, most := range []int32{-5, 0, 2, 1 << 30} {
			p, ok := b.pageOf(&seq, &text, &most, v)
			got := part(map[string]int{"a": 1, "b": 2, "c": 3}, p)
			if !ok || len(got) > 3 || p.count < 1 {
				t.Errorf("seq %d most %d: page %+v of %d", seq, most, p, len(got))
			}
		}
	}
}

// Held pulls come in tens of thousands.
func TestHeldPullIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(pull{}); size > 512 {
		t.Errorf("a held pull takes %d bytes", size)
	}
}

// Replies that wait for their requesters are bounded in number and, but for a single one, in bytes.
func TestRepliesAreBounded(t *testing.T) {
	var r replies
	if !r.enter(2*maxReplyBytes) || r.enter(1) {
		t.Error("one large reply, and no other")
	}
	r.leave(0, 2*maxReplyBytes)
	r.leave(1, 0)
	for range maxReplies {
		if !r.enter(10) {
			t.Fatal("refused too early")
		}
		r.leave(0, 10) // it is written
	}
	if r.enter(10) {
		t.Error("one too many")
	}
	r.leave(1, 0)
	if !r.enter(10) || r.bytes != 10 {
		t.Errorf("%d bytes", r.bytes)
	}
	deaf, other := new(wire.Conn), new(wire.Conn)
	for range maxStuck {
		if !r.wait(deaf) {
			t.Fatal("nobody waits")
		}
	}
	if r.wait(deaf) || !r.wait(other) {
		t.Error("too many wait for one requester, or none for the other")
	}
	for range maxStuck {
		r.waited(deaf)
	}
	if r.waited(other); !r.wait(deaf) || len(r.stuck) != 1 {
		t.Errorf("%d requesters are waited for", len(r.stuck))
	}
}
