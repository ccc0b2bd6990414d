package client

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
)

// readAll reads n messages of topic from the beginning, without a group.
func readAll(t testing.TB, c *Client, topic string, n int) []*Received {
	t.Helper()
	p, err := c.PullConsumer(PullOptions{Start: StartEarliest})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Subscribe(deadline(t), Subscription{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	var all []*Received
	for len(all) < n {
		messages, err := p.Poll(deadline(t))
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(all), n, err)
		}
		all = append(all, messages...)
	}
	return all
}

func TestSendAndReadBack(t *testing.T) {
	c := open(t, nameServer(t))
	p := newProducer(t, c, ProducerOptions{Group: "producers"})
	topic := unique(t)
	sent, err := p.Send(deadline(t), &Message{
		Topic: topic, Body: []byte("hello"), Tag: "new", Keys: []string{"k1", "k2"}, ShardingKey: "customer",
		Properties: map[string]string{"colour": "grün"}, Flag: 7,
	})
	if err != nil {
		t.Fatal(err)
	}
	m := readAll(t, c, topic, 1)[0]
	if m.ID() != sent.ID || m.OffsetID() != sent.OffsetID || m.Queue != sent.Queue || m.Offset != sent.Offset {
		t.Errorf("received %s %s %v %d, sent %+v", m.ID(), m.OffsetID(), m.Queue, m.Offset, sent)
	}
	if m.Topic != topic || string(m.Body) != "hello" || m.Tag() != "new" || fmt.Sprint(m.Keys()) != "[k1 k2]" || m.ShardingKey() != "customer" || m.Property("colour") != "grün" || m.Flag != 7 {
		t.Errorf("received %+v %v", m, m.Properties())
	}
	if time.Since(m.BornTime) > time.Minute || time.Since(m.StoreTime) > time.Minute || !m.BornHost.IsValid() || !m.StoreHost.IsValid() {
		t.Errorf("born %v at %v, stored %v at %v", m.BornTime, m.BornHost, m.StoreTime, m.StoreHost)
	}
}

func TestCompression(t *testing.T) {
	c := open(t, nameServer(t))
	body := bytes.Repeat([]byte("all work and no play "), 1000)
	for name, kind := range map[string]Compression{"zlib": Zlib, "lz4": LZ4, "zstd": Zstd} {
		t.Run(name, func(t *testing.T) {
			p := newProducer(t, c, ProducerOptions{Compression: kind})
			topic := unique(t)
			if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: body}); err != nil {
				t.Fatal(err)
			}
			m := readAll(t, c, topic, 1)[0]
			if !bytes.Equal(m.Body, body) {
				t.Errorf("%d bytes came back as %d", len(body), len(m.Body))
			}
			if m.Size > 4096 {
				t.Errorf("the stored message has %d bytes: it is not compressed", m.Size)
			}
		})
	}
}

func TestSendBatch(t *testing.T) {
	c := open(t, nameServer(t))
	p := newProducer(t, c, ProducerOptions{})
	topic := unique(t)
	var batch []*Message
	for i := range 10 {
		batch = append(batch, &Message{Topic: topic, Body: fmt.Appendf(nil, "%d", i), Tag: fmt.Sprintf("t%d", i)})
	}
	sent, err := p.SendBatch(deadline(t), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range readAll(t, c, topic, 10) {
		if m.Offset != sent[i].Offset || m.ID() != sent[i].ID || m.OffsetID() != sent[i].OffsetID || string(m.Body) != fmt.Sprint(i) || m.Tag() != fmt.Sprintf("t%d", i) {
			t.Errorf("message %d: received %s %s %d %q, sent %+v", i, m.ID(), m.OffsetID(), m.Offset, m.Body, sent[i])
		}
	}
}

func TestSendAsyncAndOneway(t *testing.T) {
	c := open(t, nameServer(t))
	p := newProducer(t, c, ProducerOptions{Window: 16})
	topic := unique(t)
	var wg sync.WaitGroup
	places := map[skua.Queue]map[skua.QueueOffset]bool{}
	for i := range 500 {
		wg.Add(1)
		err := p.SendAsync(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "%d", i)}, func(s Sent, err error) {
			defer wg.Done()
			if err != nil {
				t.Error(err)
				return
			}
			if places[s.Queue] == nil {
				places[s.Queue] = map[skua.QueueOffset]bool{}
			}
			places[s.Queue][s.Offset] = true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	n := 0
	for _, q := range places {
		n += len(q)
	}
	if n != 500 || len(places) < 4 {
		t.Errorf("500 messages are in %d places of %d queues", n, len(places))
	}
	for i := range 10 {
		if err := p.SendOneway(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "oneway %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	bodies := map[string]bool{}
	for _, m := range readAll(t, c, topic, 510) {
		bodies[string(m.Body)] = true
	}
	if len(bodies) != 510 {
		t.Errorf("%d different bodies were read", len(bodies))
	}
}

func TestShardingKeyKeepsQueue(t *testing.T) {
	c := open(t, nameServer(t))
	p := newProducer(t, c, ProducerOptions{})
	topic := unique(t)
	queues := map[string]skua.Queue{}
	for range 3 {
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			sent, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte(key), ShardingKey: key})
			if err != nil {
				t.Fatal(err)
			}
			if q, ok := queues[key]; ok && q != sent.Queue {
				t.Errorf("key %s went to %v, before to %v", key, sent.Queue, q)
			}
			queues[key] = sent.Queue
		}
	}
	if len(maps.Collect(func(yield func(skua.Queue, bool) bool) {
		for _, q := range queues {
			if !yield(q, true) {
				return
			}
		}
	})) < 3 {
		t.Errorf("the keys are in %v", queues)
	}
}

func TestBadMessages(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	p := newProducer(t, c, ProducerOptions{MaxMessageSize: 100})
	for want, m := range map[string]*Message{
		"topic is blank":                {Body: []byte("x")},
		"illegal characters":            {Topic: "a b", Body: []byte("x")},
		"belongs to the servers":        {Topic: skua.ScheduleTopic, Body: []byte("x")},
		"message body is empty":         {Topic: "t"},
		"over max value: 101 bytes":     {Topic: "t", Body: make([]byte, 101)},
		"property KEYS is reserved":     {Topic: "t", Body: []byte("x"), Properties: map[string]string{"KEYS": "k"}},
		"must not be empty":             {Topic: "t", Body: []byte("x"), Properties: map[string]string{"a": "b\x01"}},
		`key "a b" is empty`:            {Topic: "t", Body: []byte("x"), Keys: []string{"a b"}},
		"delay level -1 is negative":    {Topic: "t", Body: []byte("x"), DelayLevel: -1},
		"delay -1ns is negative":        {Topic: "t", Body: []byte("x"), Delay: -1},
		"either DelayLevel or Delay or": {Topic: "t", Body: []byte("x"), DelayLevel: 1, DeliverAt: time.Now()},
		"not two of them":               {Topic: "t", Body: []byte("x"), Delay: 1, DeliverAt: time.Now()},
		"property TIMER_DELAY_SEC":      {Topic: "t", Body: []byte("x"), Properties: map[string]string{"TIMER_DELAY_SEC": "1"}},
		"properties take":               {Topic: "t", Body: []byte("x"), Properties: map[string]string{"a": strings.Repeat("x", 40000)}},
	} {
		if _, err := p.Send(t.Context(), m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestNoNameServer(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	p := newProducer(t, c, ProducerOptions{SendTimeout: 300 * time.Millisecond})
	_, err := p.Send(t.Context(), &Message{Topic: "t", Body: []byte("x")})
	var failed *FailedError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("got %v", err)
	}
	t.Log(err)
}

func TestClosedProducer(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	p := newProducer(t, c, ProducerOptions{})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), &Message{Topic: "t", Body: []byte("x")}); !errors.Is(err, ErrClosed) {
		t.Errorf("Send: %v", err)
	}
	if err := p.SendAsync(t.Context(), &Message{Topic: "t", Body: []byte("x")}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("SendAsync: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileWaiting: a send that waits for a route does not hold up Close.
func TestCloseWhileWaiting(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	p := newProducer(t, c, ProducerOptions{})
	failed := make(chan error, 1)
	go func() {
		_, err := p.Send(deadline(t), &Message{Topic: "t", Body: []byte("x")})
		failed <- err
	}()
	for waiting := false; !waiting; time.Sleep(time.Millisecond) { // until the send has begun
		c.routes.mu.Lock()
		waiting = c.routes.topics["t"] != nil
		c.routes.mu.Unlock()
	}
	begun := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil || time.Since(begun) > 5*time.Second {
		t.Errorf("Send: %v after %v", err, time.Since(begun))
	}
}

func TestManyRetriesEnd(t *testing.T) {
	f := newFake(t)
	f.set(func() { f.sends = slices.Repeat([]command.Status{command.StatusSystemBusy}, 20) })
	p := newProducer(t, open(t, f.addr), ProducerOptions{Retries: 10})
	_, err := p.Send(deadline(t), &Message{Topic: "t", Body: []byte("x")})
	var failed *FailedError
	if !errors.As(err, &failed) || len(failed.Attempts) != keep || f.requests(command.SendMessageV2) != 11 {
		t.Errorf("%d attempts: %v", f.requests(command.SendMessageV2), err)
	}
}
