package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

// hookLog notes what hooks are called for.
type hookLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *hookLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

// take returns what was noted since the last call, sorted.
func (l *hookLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := l.lines
	l.lines = nil
	slices.Sort(lines)
	return lines
}

type spanKey struct{}

func TestHooks(t *testing.T) {
	var log hookLog
	o := quickOptions(t, nameServer(t))
	o.traceDelay = time.Millisecond
	o.Hooks.Send = func(ctx context.Context, m *Outgoing) func(Sent, error) {
		body := string(m.Message.Body)
		if span, ok := ctx.Value(spanKey{}).(string); ok {
			m.SetProperty("span", span+"/"+body)
		}
		if body == "unseen" {
			return nil
		}
		log.add("send %s", body)
		return func(s Sent, err error) { log.add("sent %s %v %v %v", body, s.ID != "", s.OffsetID != "", err == nil) }
	}
	o.Hooks.Consume = func(ctx context.Context, m *Received) (context.Context, func(error)) {
		if string(m.Body) == "unseen" {
			return nil, nil
		}
		return context.WithValue(ctx, spanKey{}, m.Property("span")), func(err error) { log.add("consumed %s: %v", m.Body, err) }
	}
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topic := unique(t)
	p := newProducer(t, c, ProducerOptions{Retries: -1, Trace: true}) // hooks are not called for traces
	ctx := context.WithValue(deadline(t), spanKey{}, "root")
	expect := func(what string, want ...string) {
		t.Helper()
		if got := log.take(); !slices.Equal(got, want) {
			t.Errorf("%s: hooks were called for %q, want %q", what, got, want)
		}
	}
	message := func(body string) *Message { return &Message{Topic: topic, Body: []byte(body)} }
	if _, err := p.Send(ctx, message("a")); err != nil {
		t.Fatal(err)
	}
	expect("Send", "send a", "sent a true true true")
	if _, err := p.SendBatch(ctx, []*Message{message("b"), message("c"), message("unseen")}); err != nil {
		t.Fatal(err)
	}
	expect("SendBatch", "send b", "send c", "sent b true true true", "sent c true true true")
	done := make(chan error)
	if err := p.SendAsync(ctx, message("d"), func(_ Sent, err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	expect("SendAsync", "send d", "sent d true true true")
	if err := p.SendOneway(ctx, message("e")); err != nil {
		t.Fatal(err)
	}
	expect("SendOneway", "send e", "sent e true false true")

	// Sends that fail end too, wherever they fail.
	for span, want := range map[string]string{"\x01": "bytes 1 and 2", strings.Repeat("x", 40_000): "the properties take"} {
		ctx := context.WithValue(t.Context(), spanKey{}, span)
		if _, err := p.Send(ctx, message("f")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a property that cannot be: %v", err)
		}
		expect("Send that fails", "send f", "sent f false false false")
		if _, err := p.SendBatch(ctx, []*Message{message("f"), message("g")}); err == nil || !strings.Contains(err.Error(), "message 0 of the batch: ") {
			t.Errorf("a property that cannot be: %v", err)
		}
		expect("SendBatch that fails", "send f", "sent f false false false")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	nowhere := &Message{Topic: topic, Body: []byte("h"), Queue: skua.Queue{Broker: "no such broker"}}
	if _, err := p.Send(ended, nowhere); err == nil {
		t.Error("sent to a broker that does not exist")
	}
	expect("Send to nowhere", "send h", "sent h false false false")
	if err := p.SendAsync(ended, nowhere, func(Sent, error) { t.Error("called") }); err == nil {
		t.Error("sent to a broker that does not exist")
	}
	expect("SendAsync to nowhere", "send h", "sent h false false false")
	if err := p.SendOneway(ended, nowhere); err == nil {
		t.Error("sent to a broker that does not exist")
	}
	expect("SendOneway to nowhere", "send h", "sent h true false false")

	box := newInbox()
	var spans sync.Map
	newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Handler: func(ctx context.Context, m *Received) error {
		spans.Store(string(m.Body), ctx.Value(spanKey{}))
		box.add(m)
		switch string(m.Body) {
		case "a":
			return DeadLetter(errors.New("no"))
		case "b":
			panic("as the test wants")
		}
		return nil
	}})
	box.await(t, 6)
	var got []string
	box.until(t, func() bool {
		got = append(got, log.take()...)
		return len(got) >= 5
	})
	slices.Sort(got)
	if want := []string{"consumed a: no", "consumed b: handler panicked: as the test wants", "consumed c: <nil>", "consumed d: <nil>", "consumed e: <nil>"}; !slices.Equal(got[:5], want) {
		t.Errorf("hooks were called for %q, want %q", got, want)
	}
	for _, body := range []string{"a", "c", "e"} {
		if span, _ := spans.Load(body); span != "root/"+body {
			t.Errorf("span of %s is %v", body, span)
		}
	}
	if span, _ := spans.Load("unseen"); span != nil {
		t.Errorf("span of a message that the hook did not want: %v", span)
	}
}
