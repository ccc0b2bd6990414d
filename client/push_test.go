package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

// inbox collects what handlers see.
type inbox struct {
	mu  sync.Mutex
	all []*Received
	by  map[string]int // body -> times
	new chan struct{}
}

func newInbox() *inbox { return &inbox{by: map[string]int{}, new: make(chan struct{}, 1)} }

func (b *inbox) add(m *Received) {
	b.mu.Lock()
	b.all = append(b.all, m)
	b.by[string(m.Body)]++
	b.mu.Unlock()
	select {
	case b.new <- struct{}{}:
	default:
	}
}

func (b *inbox) handle(_ context.Context, m *Received) error {
	b.add(m)
	return nil
}

// await waits until n different bodies have come.
func (b *inbox) await(t testing.TB, n int) {
	t.Helper()
	b.until(t, func() bool { return len(b.by) >= n })
}

// until waits until cond, called under the lock, is true.
func (b *inbox) until(t testing.TB, cond func() bool) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		b.mu.Lock()
		ok := cond()
		have := len(b.all)
		different := len(b.by)
		b.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-b.new:
		case <-timeout:
			t.Fatalf("gave up with %d messages, %d different", have, different)
		}
	}
}

func newPush(t testing.TB, c *Client, o PushOptions) *PushConsumer {
	t.Helper()
	p, err := c.PushConsumer(deadline(t), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPushGroupSharesQueues(t *testing.T) {
	addr := nameServer(t)
	c1, c2 := open(t, addr), open(t, addr)
	topic, group := unique(t), unique(t)
	p := newProducer(t, c1, ProducerOptions{})
	sendN(t, p, topic, "before", 20)
	b1, b2, both := newInbox(), newInbox(), newInbox()
	options := func(b *inbox) PushOptions {
		return PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Handler: func(_ context.Context, m *Received) error {
			b.add(m)
			both.add(m)
			return nil
		}}
	}
	first := newPush(t, c1, options(b1))
	both.await(t, 20)
	second := newPush(t, c2, options(b2))
	b2.until(t, func() bool { // one of them must come to the second member when the queues are divided
		n := len(b2.all)
		if n == 0 {
			b2.mu.Unlock()
			sendN(t, p, topic, fmt.Sprintf("probe%d-", time.Now().UnixNano()), 8)
			b2.mu.Lock()
			select {
			case b2.new <- struct{}{}:
			default:
			}
		}
		return n > 0
	})
	sendN(t, p, topic, "after", 40)
	both.until(t, func() bool {
		for i := range 40 {
			if both.by[fmt.Sprintf("after%d", i)] == 0 {
				return false
			}
		}
		return true
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	sendN(t, p, topic, "last", 20)
	b2.until(t, func() bool {
		for i := range 20 {
			if b2.by[fmt.Sprintf("last%d", i)] == 0 {
				return false
			}
		}
		return true
	})
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPushGoesOnWhereItStopped(t *testing.T) {
	addr := nameServer(t)
	topic, group := unique(t), unique(t)
	c := open(t, addr)
	p := newProducer(t, c, ProducerOptions{})
	for round := range 3 {
		sendN(t, p, topic, fmt.Sprintf("round%d-", round), 30)
		b := newInbox()
		consumer := newPush(t, c, PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Handler: b.handle})
		b.await(t, 30)
		if err := consumer.Close(); err != nil {
			t.Fatal(err)
		}
		if len(b.all) != 30 || b.by[fmt.Sprintf("round%d-0", round)] != 1 {
			t.Errorf("round %d saw %d messages: %v", round, len(b.all), b.by)
		}
	}
}

func TestPushStartLatest(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{})
	sendN(t, p, topic, "old", 10)
	readAll(t, c, topic, 10) // the name server knows the topic, so its queues are none that came later
	b := newInbox()
	consumer := newPush(t, c, PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Handler: b.handle})
	awaitQueues(t, consumer.m, topic, 4)
	sendN(t, p, topic, "new", 10)
	b.until(t, func() bool { return b.by["new9"] > 0 })
	b.await(t, 10)
	if n := b.by["old0"]; n != 0 {
		t.Errorf("an old message came %d times", n)
	}
}

// awaitQueues waits until the member reads n queues of topic.
func awaitQueues(t testing.TB, m *member, topic string, n int) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		have := 0
		for _, l := range m.held() {
			if l.queue.Topic == topic {
				have++
			}
		}
		if have >= n {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-timeout:
			t.Fatalf("%d queues of %s after 20 s, want %d", have, topic, n)
		}
	}
}

func TestPushTags(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{})
	for i := range 30 {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "%c%d", 'a'+i%3, i), Tag: string(rune('a' + i%3))}); err != nil {
			t.Fatal(err)
		}
	}
	// "AaAa" and "BBBB" have the same hash in Java: only the client can tell them apart
	for _, tag := range []string{"AaAa", "BBBB"} {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte(tag), Tag: tag}); err != nil {
			t.Fatal(err)
		}
	}
	b := newInbox()
	newPush(t, c, PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic, Tags: "a || c|| AaAa"}}, Start: StartEarliest, Handler: b.handle})
	b.await(t, 21)
	for body := range b.by {
		if body[0] == 'b' || body == "BBBB" {
			t.Errorf("%s came", body)
		}
	}
}

func TestPushRetriesAndGivesUp(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{})
	b := newInbox()
	newPush(t, c, PushOptions{
		Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest,
		Handler: func(_ context.Context, m *Received) error {
			b.add(m)
			switch {
			case string(m.Body) == "panic" && m.ReconsumeTimes == 0:
				panic("as the test wants")
			case string(m.Body) == "dead":
				return DeadLetter(errors.New("hopeless"))
			case m.ReconsumeTimes == 0:
				return RetryAt(1, errors.New("not yet"))
			}
			return nil
		},
	})
	for _, body := range []string{"twice", "dead"} {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte(body), Tag: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	b.until(t, func() bool { return b.by["twice"] == 2 && b.by["dead"] == 1 })
	b.mu.Lock()
	last := b.all[len(b.all)-1]
	b.mu.Unlock()
	if last.Topic != topic || last.Queue.Topic != skua.RetryTopic(group) || last.ReconsumeTimes != 1 || last.Tag() != "x" {
		t.Errorf("the redelivery: topic %s, queue %v, reconsume times %d", last.Topic, last.Queue, last.ReconsumeTimes)
	}
	dead := readAll(t, c, skua.DLQTopic(group), 1)[0]
	if string(dead.Body) != "dead" {
		t.Errorf("the dead letter topic has %q", dead.Body)
	}
}

func TestPushOrderly(t *testing.T) {
	addr := nameServer(t)
	topic, group := unique(t), unique(t)
	producers := open(t, addr)
	p := newProducer(t, producers, ProducerOptions{})
	sendN(t, p, topic, "first", 1)
	var mu sync.Mutex
	busy := map[skua.Queue]bool{}
	seen := map[string][]int{}
	b := newInbox()
	handler := func(_ context.Context, m *Received) error {
		mu.Lock()
		if busy[m.Queue] {
			t.Errorf("two handlers for %v at a time", m.Queue)
		}
		busy[m.Queue] = true
		mu.Unlock()
		var key string
		var n int
		_, _ = fmt.Sscanf(string(m.Body), "%1s%d", &key, &n)
		fail := n%10 == 5 && m.ReconsumeTimes == 0
		mu.Lock()
		defer mu.Unlock()
		busy[m.Queue] = false
		if fail {
			return errors.New("once more")
		}
		seen[key] = append(seen[key], n)
		b.add(m)
		return nil
	}
	options := PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Orderly: true, RetryPause: 20 * time.Millisecond, Handler: handler}
	one := open(t, addr)
	first := newPush(t, one, options)
	const n = 30
	send := func(from, to int) {
		for i := from; i < to; i++ {
			for _, key := range []string{"p", "q", "r", "s"} {
				if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "%s%d", key, i), ShardingKey: key}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	send(0, n)
	b.await(t, 4*n+1)
	newPush(t, open(t, addr), options)
	send(n, 2*n)
	b.await(t, 8*n+1)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	send(2*n, 3*n)
	b.await(t, 12*n+1)
	mu.Lock()
	defer mu.Unlock()
	for _, key := range []string{"p", "q", "r", "s"} {
		if got := slices.Compact(slices.Clone(seen[key])); !slices.IsSorted(got) || len(got) != 3*n {
			t.Errorf("key %s came in the order %v", key, seen[key])
		}
	}
}

func TestPushBroadcast(t *testing.T) {
	addr := nameServer(t)
	topic, group := unique(t), unique(t)
	c1, c2 := open(t, addr), open(t, addr)
	p := newProducer(t, c1, ProducerOptions{})
	sendN(t, p, topic, "a", 10)
	file := filepath.Join(t.TempDir(), "offsets", "offsets.json")
	b1, b2 := newInbox(), newInbox()
	options := PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Broadcast: true, Handler: b1.handle, OffsetFile: file}
	first := newPush(t, c1, options)
	options.Handler, options.OffsetFile = b2.handle, ""
	newPush(t, c2, options)
	b1.await(t, 10)
	b2.await(t, 10)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	sendN(t, p, topic, "b", 10)
	b3 := newInbox()
	options.Handler, options.OffsetFile = b3.handle, file
	newPush(t, c1, options)
	b3.await(t, 10)
	b2.await(t, 20)
	if b3.by["a0"] != 0 {
		t.Errorf("the third consumer did not go on where the file said: %v", slices.Sorted(maps.Keys(b3.by)))
	}
}

func TestPushBounded(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{})
	for i := range 300 {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "%d", i), ShardingKey: "one queue"}); err != nil {
			t.Fatal(err)
		}
	}
	b := newInbox()
	release := make(chan struct{})
	consumer := newPush(t, c, PushOptions{
		Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, ReadAhead: 50, PullBatch: 10, Concurrency: 2,
		Handler: func(_ context.Context, m *Received) error { b.add(m); <-release; return nil },
	})
	b.await(t, 2)
	m := consumer.m
	timeout := time.After(10 * time.Second)
	for stalled := false; !stalled; {
		for _, l := range m.held() {
			m.mu.Lock()
			stalled = stalled || l.stalled
			if n := len(l.entries); n > 60 {
				t.Errorf("%d messages are read ahead", n)
			}
			m.mu.Unlock()
		}
		select {
		case <-time.After(time.Millisecond):
		case <-timeout:
			t.Fatal("reading ahead did not stop")
		}
	}
	close(release)
	b.await(t, 300)
}

func TestPushWaitsForTopic(t *testing.T) {
	c := open(t, nameServer(t))
	topic := unique(t)
	b := newInbox()
	newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: topic}}, Start: StartLatest, Handler: b.handle})
	p := newProducer(t, c, ProducerOptions{})
	sendN(t, p, topic, "x", 5)
	b.await(t, 5)
}

func TestPushOptions(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	handler := func(context.Context, *Received) error { return nil }
	subs := []Subscription{{Topic: "t"}}
	for name, o := range map[string]PushOptions{
		"no handler":       {Group: "g", Subscriptions: subs},
		"no subscriptions": {Group: "g", Handler: handler},
		"no group":         {Handler: handler, Subscriptions: subs},
		"tags":             {Group: "g", Handler: handler, Subscriptions: []Subscription{{Topic: "t", Tags: "||"}}},
		"tags and SQL":     {Group: "g", Handler: handler, Subscriptions: []Subscription{{Topic: "t", Tags: "a", SQL: "b"}}},
	} {
		if _, err := c.PushConsumer(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			t.Log(name+":", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.PushConsumer(ctx, PushOptions{Group: "g", Handler: handler, Subscriptions: subs}); err == nil {
		t.Error("no error without a name server")
	} else {
		t.Log(err)
	}
}

// TestPushCloseDrains: handlers that run are waited for and what they consumed is committed; what waits is left.
func TestPushCloseDrains(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{})
	for i := range 10 {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "%d", i), ShardingKey: "one queue"}); err != nil {
			t.Fatal(err)
		}
	}
	box, release := newInbox(), make(chan struct{})
	options := PushOptions{
		Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Concurrency: 2,
		Handler: func(ctx context.Context, m *Received) error { box.add(m); <-release; return ctx.Err() },
	}
	consumer := newPush(t, c, options)
	box.await(t, 2)
	closed := make(chan error)
	go func() { closed <- consumer.Close() }()
	select {
	case <-closed:
		t.Error("Close did not wait for the handlers")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if len(box.all) != 2 {
		t.Errorf("%d messages were handled", len(box.all))
	}
	rest := newInbox()
	options.Handler = rest.handle
	newPush(t, c, options)
	rest.await(t, 8)
	if rest.by["0"]+rest.by["1"] != 0 {
		t.Errorf("messages came again: %v", rest.by)
	}
}

// TestPushCloseEndsContext: a handler that hangs learns that time is up; its message comes again.
func TestPushCloseEndsContext(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	sendN(t, newProducer(t, c, ProducerOptions{}), topic, "x", 1)
	box := newInbox()
	options := PushOptions{
		Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, DrainTimeout: 10 * time.Millisecond,
		Handler: func(ctx context.Context, m *Received) error { box.add(m); <-ctx.Done(); return RetryAt(1, ctx.Err()) },
	}
	consumer := newPush(t, c, options)
	box.await(t, 1)
	if err := consumer.Close(); err != nil {
		t.Fatal(err)
	}
	again := newInbox()
	options.Handler = again.handle
	newPush(t, c, options)
	again.await(t, 1)
}

func TestOneConsumerOfAGroup(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	options := PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Handler: newInbox().handle}
	first := newPush(t, c, options)
	if _, err := c.PushConsumer(deadline(t), options); err == nil {
		t.Error("two consumers of one group in one client")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	newPush(t, c, options)
}

// TestPushOrderlyGivesUp: a message that cannot be handled holds up its queue until MaxReconsume, then it is a dead
// letter.
func TestPushOrderlyGivesUp(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	p := newProducer(t, c, ProducerOptions{})
	for _, body := range []string{"bad", "good"} {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte(body), ShardingKey: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	box := newInbox()
	newPush(t, c, PushOptions{
		Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Orderly: true, MaxReconsume: 2, RetryPause: time.Millisecond,
		Handler: func(_ context.Context, m *Received) error {
			box.add(m)
			if string(m.Body) == "bad" {
				return errors.New("no")
			}
			return nil
		},
	})
	box.until(t, func() bool { return box.by["good"] > 0 })
	if box.by["bad"] != 3 || string(box.all[3].Body) != "good" {
		t.Errorf("the handler saw %v", box.by)
	}
	if dead := readAll(t, c, skua.DLQTopic(group), 1)[0]; string(dead.Body) != "bad" {
		t.Errorf("the dead letter topic has %q", dead.Body)
	}
}

func TestPushStartAt(t *testing.T) {
	c := open(t, nameServer(t))
	topic := unique(t)
	p := newProducer(t, c, ProducerOptions{})
	sendN(t, p, topic, "old", 8)
	time.Sleep(5 * time.Millisecond) // times are stored in ms: those of old and new must differ
	at := time.Now()
	time.Sleep(5 * time.Millisecond)
	sendN(t, p, topic, "new", 8)
	readAll(t, c, topic, 16) // a broker may find times later than messages
	box := newInbox()
	newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: topic}}, Start: StartAt(at), Handler: box.handle})
	box.await(t, 8)
	if box.by["old7"] != 0 || box.by["new0"] != 1 {
		t.Errorf("the handler saw %v", box.by)
	}
}
