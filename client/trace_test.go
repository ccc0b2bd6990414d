package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/node"
)

// What we write of a step is, byte for byte, what Java writes.
func TestTraceRecordsAreJavas(t *testing.T) {
	data, err := os.ReadFile("testdata/traces.tsv")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, text, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			want[name] = text
		}
	}
	base := traceRecord{at: 1700000000123, region: "DefaultRegion", group: "G", request: "AC01", took: 7, success: true, topic: "orders",
		id: "7F000001000100000001000000010001", tag: "new", keys: "k1 k2", store: "10.0.0.1:10911", offsetID: "0A00000100002A9F0000000000000011", bodyLength: 12, retries: 2}
	for name, alter := range map[string]func(r *traceRecord){
		"Pub":                      func(r *traceRecord) { r.kind = tracePub },
		"Pub without tag and keys": func(r *traceRecord) { r.kind, r.tag, r.keys = tracePub, "", "" },
		"Pub of a delayed message that is not flushed": func(r *traceRecord) {
			r.kind, r.keys, r.message, r.success = tracePub, "", tracedDelay, false
		},
		"SubBefore":              func(r *traceRecord) { r.kind = traceSubBefore },
		"SubBefore without keys": func(r *traceRecord) { r.kind, r.keys = traceSubBefore, "" },
		"SubAfter":               func(r *traceRecord) { r.kind, r.keys = traceSubAfter, "k1" },
		"SubAfter of a failure":  func(r *traceRecord) { r.kind, r.keys, r.success, r.result = traceSubAfter, "", false, consumerFailed },
		"EndTransaction": func(r *traceRecord) {
			r.kind, r.keys, r.message, r.transaction, r.state, r.checked = traceEndTransaction, "k1", tracedCommit, "TX1", "COMMIT_MESSAGE", true
		},
		"Recall": func(r *traceRecord) { r.kind = traceRecall },
	} {
		r := base
		alter(&r)
		got := strings.NewReplacer("\x01", `\x01`, "\x02", `\x02`).Replace(string(r.append(nil)))
		if got != want[name] || got == "" {
			t.Errorf("%s: got  %s\nwant %s", name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("not compared: %v", want)
	}
}

// traces reads the trace topic until done says that it has seen enough; records are cut into fields.
func traces(t *testing.T, c *Client, done func(record []string, keys []string) bool) {
	t.Helper()
	p, err := c.PullConsumer(PullOptions{Start: StartEarliest})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Subscribe(deadline(t), Subscription{Topic: c.o.TraceTopic}); err != nil {
		t.Fatal(err)
	}
	for {
		messages, err := p.Poll(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			for text := range strings.SplitSeq(strings.TrimSuffix(string(m.Body), "\x02"), "\x02") {
				if done(strings.Split(text, "\x01"), m.Keys()) {
					return
				}
			}
		}
	}
}

// What happens to messages can be read from the trace topic, and found by the messages' ids and keys.
func TestTraces(t *testing.T) {
	o := quickOptions(t, nameServer(t))
	o.traceDelay = 10 * time.Millisecond
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{Group: "traced-producer", Trace: true})
	one, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("one"), Tag: "A", Keys: []string{"k1", "k2"}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := p.SendBatch(deadline(t), []*Message{{Topic: topic, Body: []byte("b1")}, {Topic: topic, Body: []byte("b22"), Keys: []string{"k3"}}})
	if err != nil {
		t.Fatal(err)
	}
	async := make(chan Sent, 1)
	if err := p.SendAsync(deadline(t), &Message{Topic: topic, Body: []byte("async"), DelayLevel: 1}, func(s Sent, err error) { async <- s }); err != nil {
		t.Fatal(err)
	}
	ids := []string{one.ID, batch[0].ID, batch[1].ID, (<-async).ID}
	untraced := newProducer(t, c, ProducerOptions{})
	ids = append(ids, sendN(t, untraced, topic, "untraced", 1)[0].ID) // whose consumption is traced all the same
	box := newInbox()
	newPush(t, c, PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Trace: true, Handler: func(_ context.Context, m *Received) error {
		box.add(m)
		switch {
		case string(m.Body) == "b1" && m.ReconsumeTimes == 0:
			return RetryAt(1, errors.New("not yet"))
		case string(m.Body) == "b22":
			panic("as the test wants")
		}
		return nil
	}})
	// Somebody who traces the consumption of traces would make them grow for ever.
	newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: c.o.TraceTopic}}, Start: StartEarliest, Trace: true, Handler: func(context.Context, *Received) error { return nil }})
	box.until(t, func() bool {
		return box.by["b1"] == 2 && box.by["async"] == 1 && box.by["one"] == 1 && box.by["b22"] > 0
	})

	sent, before, after := map[string][]string{}, map[string][]string{}, map[string][]string{} // by id or request
	results := map[string]bool{}
	traces(t, c, func(r, keys []string) bool {
		switch r[0] {
		case "Pub":
			if r[4] == c.o.TraceTopic {
				t.Errorf("traces are traced: %q", r)
			}
			if !slices.Contains(ids, r[5]) {
				break // of another program
			}
			sent[r[5]] = r
			if !slices.Contains(keys, r[5]) {
				t.Errorf("keys %v of the traces of message %s", keys, r[5])
			}
		case "SubBefore":
			if r[3] != group {
				break
			}
			before[r[4]] = r
			if r[1] == "" || r[2] != defaultRegion {
				t.Errorf("%q", r)
			}
		case "SubAfter":
			if r[8] != group {
				break
			}
			after[r[1]] = r
			results[r[6]] = true
		}
		for request := range after { // the queues of the topic are read side by side
			if before[request] == nil {
				return false
			}
		}
		return len(sent) >= 4 && len(after) >= 5 && results["0"] && results["2"] && results["4"]
	})
	first := sent[one.ID]
	if len(first) != 14 || first[2] != defaultRegion || first[3] != "traced-producer" || first[4] != topic || first[6] != "A" || first[7] != "k1 k2" || !strings.Contains(first[8], ":") ||
		first[9] != "3" || first[11] != "0" || first[12] != one.OffsetID || first[13] != "true" {
		t.Errorf("trace of the first message: %q", first)
	}
	if second := sent[batch[1].ID]; len(second) != 14 || second[7] != "k3" || second[9] != "3" || second[12] != batch[1].OffsetID {
		t.Errorf("trace of a message of a batch: %q", second)
	}
	if last := sent[ids[3]]; len(last) != 14 || last[11] != "3" {
		t.Errorf("trace of a delayed message: %q", last)
	}
	for request, a := range after {
		b := before[request]
		if b == nil {
			t.Errorf("%q has no beginning", a)
			continue
		}
		if a[2] != b[5] || a[8] != group || b[3] != group || a[4] != fmt.Sprint(a[6] == "0") || !slices.Contains(ids, a[2]) {
			t.Errorf("traces of consumption: %q, %q", b, a)
		}
	}
	t.Logf("traced message %s", one.ID) // which tests with Java's tools look for
}

// A broker with traceOn=false has neither its producers nor the consumers of its messages trace.
func TestBrokerThatWantsNoTraces(t *testing.T) {
	ns := ownNameServer(t)
	b := brokerOptions(t, "broker-a")
	b.NamesrvAddr, b.TraceOn = ns.Nameserver, false
	run(t, node.Config{Broker: &b})
	c, topic := open(t, ns.Nameserver), unique(t)
	p := newProducer(t, c, ProducerOptions{Trace: true})
	sendN(t, p, topic, "x", 3)
	box := newInbox()
	consumer := newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Trace: true, Handler: box.handle})
	box.await(t, 3)
	if err := consumer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil { // which writes the traces that there are
		t.Fatal(err)
	}
	if _, err := open(t, ns.Nameserver).Queues(deadline(t), skua.TraceTopic); codeOf(err) != command.StatusTopicNotExist {
		t.Errorf("somebody has written to the trace topic: %v", err)
	}
}

// Where traces cannot be written nothing else is held up, and it is told once.
func TestTracesThatCannotBeWritten(t *testing.T) {
	var log bytes.Buffer
	c, err := Open(t.Context(), Options{NameServers: []string{"127.0.0.1:1"}, Log: slog.New(slog.NewTextHandler(&log, nil)), Timeout: 50 * time.Millisecond, traceDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, c, ProducerOptions{Trace: true})
	for range 3 * maxTraces {
		p.traces.note(&traceRecord{kind: tracePub, topic: "t", id: "x"})
	}
	p.traces.note(&traceRecord{kind: tracePub, topic: skua.TraceTopic, id: "about itself"})
	if n := len(p.traces.records); n > maxTraces {
		t.Errorf("%d records wait", n)
	}
	start := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	p.traces.note(&traceRecord{kind: tracePub, topic: "t"}) // does nothing any more
	if n := strings.Count(log.String(), "message traces are dropped"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &log)
	}
	if _, err := Open(t.Context(), Options{NameServers: []string{"127.0.0.1:1"}, TraceTopic: "no/topic"}); err == nil {
		t.Error("opened with a trace topic that is none")
	}
}
