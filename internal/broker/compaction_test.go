package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// openCompacting starts a broker of which files of compacted topics hold nine messages.
func openCompacting(t testing.TB, set ...string) *door {
	return openDoor(t, append([]string{"compactionMappedFileSize", "4096", "compactionCqMappedFileSize", "460", "flushIntervalCommitLog", "10"}, set...)...)
}

// update sends a message for each key, and notes it as the last one.
func update(p *peer, topic string, last map[string]string, value int, keys ...string) {
	for _, key := range keys {
		body := fmt.Sprintf("%s=%d", key, value)
		p.send(topic, body, "KEYS", key)
		last[key] = body
	}
}

// consume pulls everything from an offset on, and returns the messages.
func (p *peer) consume(topic string, off int64) (out []record.Message) {
	p.t.Helper()
	for {
		answer := p.call(command.PullMessage, pullHeader(topic, off), nil)
		r := pullResponse(p.t, answer)
		switch command.Status(answer.Code) {
		case command.StatusSuccess:
		case command.StatusPullRetryImmediately:
		case command.StatusPullNotFound:
			if off != r.MaxOffset {
				p.t.Fatalf("nothing at %d, the end is %d", off, r.MaxOffset)
			}
			return out
		default:
			p.t.Fatalf("at %d: %s %s", off, command.Status(answer.Code), answer.Remark)
		}
		for b := answer.Body; len(b) > 0; {
			m, n, err := record.Decode(b)
			if err != nil {
				p.t.Fatal(err)
			}
			m.Body = slices.Clone(m.Body)
			out, b = append(out, m), b[n:]
			if int64(m.QueueOffset) < off {
				p.t.Fatalf("message %d again", m.QueueOffset)
			}
			off = int64(m.QueueOffset) + 1
		}
		if r.NextOffset < off {
			p.t.Fatalf("next offset is %d, but message %d was there", r.NextOffset, off-1)
		}
		off = r.NextOffset
	}
}

// state is what a consumer has who has read messages from the beginning.
func state(ms []record.Message) map[string]string {
	out := map[string]string{}
	for _, m := range ms {
		key, _, _ := strings.Cut(string(m.Body), "=")
		out[key] = string(m.Body)
	}
	return out
}

// compacted waits until the topic has at most so many messages.
func (d *door) compacted(topic string, most int) []record.Message {
	d.t.Helper()
	var got []record.Message
	until(d.t, fmt.Sprintf("%s has %d messages", topic, most), func() bool {
		d.b.Compact()
		got = d.peer.consume(topic, 0)
		return len(got) <= most
	})
	return got
}

var fiveKeys = []string{"a", "b", "c", "d", "e"}

func TestCompaction(t *testing.T) {
	d := openCompacting(t)
	d.peer.createTopic("T", 1, "+cleanup.policy=COMPACTION")
	last := map[string]string{}
	for i := range 40 {
		update(d.peer, "T", last, i, fiveKeys...)
	}
	check := func(what string, most int) {
		t.Helper()
		got := d.compacted("T", most)
		if !maps.Equal(state(got), last) {
			t.Fatalf("%s: state is %v, want %v", what, state(got), last)
		}
		if end := got[len(got)-1].QueueOffset; int(end) != 199 && what != "more" {
			t.Fatalf("%s: the last message has offset %d", what, end)
		}
	}
	check("first", 25)
	d.restart()
	check("restart", 25)
	for i := range 3 {
		update(d.peer, "T", last, 100+i, "a", "f")
	}
	if got := d.peer.consume("T", 0); !maps.Equal(state(got), last) {
		t.Fatalf("with the tail: state is %v, want %v", state(got), last)
	}
	if got := d.peer.consume("T", 200); len(got) != 6 {
		t.Fatalf("the tail has %d messages", len(got))
	}
	if n := d.log.count("topic compacted"); n == 0 {
		t.Error("no line in the log about a pass")
	}
}
