package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/skuamq/skua"
)

func newPull(t testing.TB, c *Client, o PullOptions) *PullConsumer {
	t.Helper()
	p, err := c.PullConsumer(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// poll returns the bodies of the next n messages.
func poll(t testing.TB, p *PullConsumer, n int) []string {
	t.Helper()
	var bodies []string
	for len(bodies) < n {
		messages, err := p.Poll(deadline(t))
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(bodies), n, err)
		}
		for _, m := range messages {
			bodies = append(bodies, string(m.Body))
		}
	}
	return bodies
}

// oneQueue creates topic with n messages m0 and up in one queue and returns that.
func oneQueue(t testing.TB, c *Client, topic string, n int) skua.Queue {
	t.Helper()
	p := newProducer(t, c, ProducerOptions{})
	q := sendN(t, p, topic, "elsewhere", 1)[0].Queue
	q.ID = (q.ID + 1) % 4
	for i := range n {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte{'m', byte('0' + i)}, Queue: q}); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func TestPullAssignSeekCommit(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	q := oneQueue(t, c, topic, 6)
	p := newPull(t, c, PullOptions{Group: group, Start: StartEarliest, Batch: 2})
	if err := p.Assign(deadline(t), q); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p, 2); got[0] != "m0" || got[1] != "m1" {
		t.Errorf("polled %v", got)
	}
	if err := p.Commit(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if off, err := c.Committed(deadline(t), group, q); err != nil || off != 2 {
		t.Errorf("committed %d, %v", off, err)
	}
	if got := poll(t, p, 2); got[0] != "m2" {
		t.Errorf("polled %v", got)
	}
	if err := p.Seek(q, 5); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p, 1); got[0] != "m5" {
		t.Errorf("polled %v after a seek", got)
	}
	if err := p.Seek(q, 1); err != nil {
		t.Fatal(err)
	}
	if off, err := p.Position(q); err != nil || off != 1 {
		t.Errorf("position %d, %v", off, err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Poll(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Poll after Close: %v", err)
	}
	again := newPull(t, c, PullOptions{Group: group})
	if err := again.Assign(deadline(t), q); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, again, 4); got[0] != "m2" {
		t.Errorf("the next consumer of the group polled %v", got)
	}
	if err := again.Seek(skua.Queue{Topic: topic, Broker: q.Broker, ID: 99}, 0); !errors.Is(err, errNotAssigned) {
		t.Errorf("seek in a queue that is not read: %v", err)
	}
	if err := again.Subscribe(t.Context(), Subscription{Topic: topic}); err == nil {
		t.Error("Subscribe after Assign: no error")
	}
}

func TestPullPause(t *testing.T) {
	c := open(t, nameServer(t))
	q := oneQueue(t, c, unique(t), 3)
	p := newPull(t, c, PullOptions{Start: StartEarliest, Batch: 1})
	if err := p.Assign(deadline(t), q); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p, 1); got[0] != "m0" {
		t.Errorf("polled %v", got)
	}
	if err := p.Pause(q); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if m, err := p.Poll(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused queue gave %v, %v", m, err)
	}
	if err := p.Resume(q); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p, 2); got[0] != "m1" || got[1] != "m2" {
		t.Errorf("polled %v", got)
	}
	if err := p.Commit(t.Context()); err == nil {
		t.Error("a consumer without a group committed")
	}
}

func TestPullGroup(t *testing.T) {
	addr := nameServer(t)
	topic, group := unique(t), unique(t)
	c1, c2 := open(t, addr), open(t, addr)
	producer := newProducer(t, c1, ProducerOptions{})
	sendN(t, producer, topic, "a", 20)
	p1 := newPull(t, c1, PullOptions{Group: group, Start: StartEarliest, AutoCommit: true})
	if err := p1.Subscribe(deadline(t), Subscription{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, p1, 20); len(got) != 20 {
		t.Errorf("polled %d messages: %v", len(got), got)
	}
	if err := p1.Subscribe(deadline(t), Subscription{Topic: topic, Tags: "other"}); err == nil {
		t.Error("the subscription was changed")
	}
	if queues := p1.Assignment(); len(queues) != 4 || queues[0].Topic != topic {
		t.Errorf("assignment %v", queues)
	}
	if err := p1.Subscribe(deadline(t), Subscription{Topic: topic + "-2"}); err != nil {
		t.Error(err)
	}
	if err := p1.Commit(deadline(t)); err != nil {
		t.Fatal(err)
	}
	p2 := newPull(t, c2, PullOptions{Group: group, Start: StartEarliest, AutoCommit: true})
	if err := p2.Subscribe(deadline(t), Subscription{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	awaitQueues(t, p2.m, topic, 2)
	if err := p1.Close(); err != nil {
		t.Fatal(err)
	}
	awaitQueues(t, p2.m, topic, 4)
	sendN(t, producer, topic, "b", 20)
	for _, body := range poll(t, p2, 20) {
		if body[0] != 'b' {
			t.Errorf("%s came again", body)
		}
	}
}

func TestOffsets(t *testing.T) {
	c := open(t, nameServer(t))
	topic := unique(t)
	before := time.Now().Add(-time.Second)
	q := oneQueue(t, c, topic, 3)
	if off, err := c.MinOffset(deadline(t), q); err != nil || off != 0 {
		t.Errorf("min offset %d, %v", off, err)
	}
	readAll(t, c, topic, 4) // a broker may count a message after it acknowledged it
	if off, err := c.MaxOffset(deadline(t), q); err != nil || off != 3 {
		t.Errorf("max offset %d, %v", off, err)
	}
	if off, err := c.OffsetAt(deadline(t), q, before); err != nil || off != 0 {
		t.Errorf("offset before the first message %d, %v", off, err)
	}
	if off, err := c.Committed(deadline(t), unique(t), q); err != nil || off != -1 {
		t.Errorf("offset of an unknown group %d, %v", off, err)
	}
	if queues, err := c.Queues(deadline(t), topic); err != nil || len(queues) != 4 {
		t.Errorf("queues %v, %v", queues, err)
	}
	_, err := c.Queues(deadline(t), unique(t)+"-not")
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != 17 {
		t.Errorf("queues of no topic: %v", err)
	}
}
