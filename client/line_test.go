package client

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// idleLine returns a line of a member that pulls nothing.
func idleLine(t testing.TB) *line {
	c := &Client{}
	m := c.newMember("g")
	t.Cleanup(m.stop)
	m.tasks.join() // refuses all goroutines
	return newLine(m, skua.Queue{Topic: "t", Broker: "b"}, nil, 100)
}

// TestPositionIsFirstUnconsumed compares the line with a naive twin, a list of offsets with a mark each.
func TestPositionIsFirstUnconsumed(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		l := idleLine(t)
		m := l.m
		m.lines[l.queue] = l
		done := map[skua.QueueOffset]bool{}
		var inHand []*Received
		next := skua.QueueOffset(100)
		for range 300 {
			m.mu.Lock()
			switch r.IntN(4) {
			case 0: // messages arrive, some were filtered out
				var batch []*Received
				for range r.IntN(5) {
					next += skua.QueueOffset(r.IntN(3))
					batch = append(batch, &Received{Offset: next, Body: make([]byte, 10)})
					done[next] = false
					next++
				}
				l.offset = next
				l.fileLocked(batch)
			case 1, 2:
				if msg := m.takeLocked(); msg != nil {
					inHand = append(inHand, msg)
				}
			case 3:
				if len(inHand) > 0 {
					i := r.IntN(len(inHand))
					msg := inHand[i]
					inHand = append(inHand[:i], inHand[i+1:]...)
					if r.IntN(4) == 0 {
						l.again = append(l.again, msg)
						l.listLocked()
						break
					}
					done[msg.Offset] = true
					l.ackLocked(msg)
				}
			}
			want := next
			bytes := int64(0)
			for off, ok := range done {
				if !ok && off < want {
					want = off
				}
			}
			for off := range done {
				if off >= want {
					bytes += 10
				}
			}
			if got := l.positionLocked(); got != want || l.bytes != bytes {
				t.Fatalf("seed %d: position %d with %d bytes, want %d with %d", seed, got, l.bytes, want, bytes)
			}
			m.mu.Unlock()
		}
	}
}

func TestJumpForgets(t *testing.T) {
	l := idleLine(t)
	m := l.m
	m.lines[l.queue] = l
	m.mu.Lock()
	defer m.mu.Unlock()
	l.fileLocked([]*Received{{Offset: 100}, {Offset: 101}, {Offset: 102}})
	old := m.takeLocked()
	l.jumpLocked(7)
	if l.positionLocked() != 7 || !l.unsaved {
		t.Errorf("position %d after a jump to 7", l.positionLocked())
	}
	l.ackLocked(old)
	if msg := m.takeLocked(); msg != nil {
		t.Errorf("a forgotten message came: %v", msg.Offset)
	}
	l.fileLocked([]*Received{{Offset: 7}})
	if msg := m.takeLocked(); msg == nil || msg.Offset != 7 {
		t.Errorf("took %v, want the message at 7", msg)
	}
	l.ackLocked(old)
	if l.positionLocked() != 7 {
		t.Error("the ack of a forgotten message counted")
	}
}

func TestReadAheadLimits(t *testing.T) {
	l := idleLine(t)
	l.m.limits = limits{messages: 10, bytes: 1000, span: 50}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	for _, test := range []struct {
		name     string
		messages []*Received
		full     bool
	}{
		{"none", nil, false},
		{"few", []*Received{{Offset: 1}, {Offset: 51}}, false},
		{"span", []*Received{{Offset: 1}, {Offset: 52}}, true},
		{"bytes", []*Received{{Offset: 1, Body: make([]byte, 1000)}}, true},
		{"messages", make([]*Received, 10), true},
	} {
		l.entries, l.bytes = nil, 0
		for i, m := range test.messages {
			if m == nil {
				test.messages[i] = &Received{Offset: skua.QueueOffset(i)}
			}
		}
		l.fileLocked(test.messages)
		if got := l.fullLocked(); got != test.full {
			t.Errorf("%s: full is %v", test.name, got)
		}
	}
}

// A record of a batch queue holds several messages; those before the offset that was asked for are left out.
func TestUnwrapBatch(t *testing.T) {
	l := idleLine(t)
	var err error
	if l.sub, err = newSubscription(Subscription{Topic: "t", Tags: "A"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	var body []byte
	for i := range 5 {
		tag := "TAGS\x01" + string("AB"[i/4]) + "\x02"
		body = record.AppendBatchItem(body, record.BatchItem{Flag: int32(i), Body: []byte{'a' + byte(i)}, Properties: []byte(tag)})
	}
	rec := record.Append(nil, &record.Message{Topic: []byte("t"), QueueOffset: 7, SysFlag: record.FlagInnerBatch | record.FlagNeedUnwrap, Body: body,
		Properties: []byte("INNER_NUM\x015\x02")})
	got, err := l.decode(rec, 8, 0)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for i, m := range got {
		if m.Offset != skua.QueueOffset(8+i) || string(m.Body) != string("bcd"[i]) || m.Flag != int32(1+i) || m.Tag() != "A" || m.SysFlag != 0 {
			t.Errorf("message %d: %+v", i, m)
		}
	}
	rec = record.Append(nil, &record.Message{Topic: []byte("t"), SysFlag: record.FlagInnerBatch, Body: []byte("garbage")})
	if _, err := l.decode(rec, 0, 0); err == nil {
		t.Error("a batch of garbage is taken")
	}
}
