package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/node"
	"github.com/skuamq/skua/internal/wire"
)

// respond answers the requests of a topic with what answer makes of them, in a group of its own.
func respond(t *testing.T, c *Client, topic string, answer func(p *Producer, m *Received) error) *PushConsumer {
	t.Helper()
	p := newProducer(t, c, ProducerOptions{Group: "responders"})
	return newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest,
		Handler: func(_ context.Context, m *Received) error {
			if err := answer(p, m); err != nil {
				t.Error(err)
			}
			return nil
		}})
}

// echo replies with the body of the request behind a word.
func echo(p *Producer, m *Received) error {
	return p.Reply(context.Background(), m, append([]byte("re: "), m.Body...))
}

func TestRequest(t *testing.T) {
	addr := nameServer(t)
	here, there := open(t, addr), open(t, addr)
	topic := unique(t)
	respond(t, there, topic, func(p *Producer, m *Received) error {
		if m.Property(skua.PropReplyToClient) != here.ID() || m.Property(skua.PropTTL) == "" || m.Property("colour") != "grün" {
			t.Errorf("request with %v", m.Properties())
		}
		reply, err := NewReply(m, append([]byte("re: "), m.Body...))
		if err != nil {
			return err
		}
		reply.Tag, reply.Keys, reply.Properties, reply.Flag = "answer", []string{"k"}, map[string]string{"size": "small"}, 9
		sent, err := p.Send(context.Background(), reply)
		if err == nil && (sent.OffsetID == "" || !strings.HasSuffix(sent.Queue.Topic, "_REPLY_TOPIC")) {
			t.Errorf("sent %+v", sent)
		}
		return err
	})
	p := newProducer(t, here, ProducerOptions{})
	for _, body := range []string{"hello", strings.Repeat("all work and no play ", 5000)} { // the second is compressed
		before := time.Now().Add(-time.Second)
		m, err := p.Request(deadline(t), &Message{Topic: topic, Body: []byte(body), Properties: map[string]string{"colour": "grün"}})
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Body) != "re: "+body || m.Tag() != "answer" || fmt.Sprint(m.Keys()) != "[k]" || m.Property("size") != "small" || m.Flag != 9 {
			t.Errorf("reply %.20q %v %d", m.Body, m.Properties(), m.Flag)
		}
		if m.Property(skua.PropPushReplyTime) == "" || m.Property(skua.PropReplyArriveTime) == "" || m.BornTime.Before(before) || m.StoreTime.Before(before) ||
			!m.BornHost.IsValid() || !m.StoreHost.IsValid() || m.SysFlag != 0 {
			t.Errorf("reply %+v", m)
		}
	}
	if n := here.UnmatchedReplies(); n != 0 {
		t.Errorf("%d replies were not waited for", n)
	}
}

func TestRequestAsync(t *testing.T) {
	addr := nameServer(t)
	here, there := open(t, addr), open(t, addr)
	topic := unique(t)
	respond(t, there, topic, echo)
	p := newProducer(t, here, ProducerOptions{Window: 16})
	const n = 200
	got := map[string]bool{} // callbacks run one after the other
	for i := range n {
		body := fmt.Sprint(i)
		err := p.RequestAsync(deadline(t), &Message{Topic: topic, Body: []byte(body)}, func(m *Received, err error) {
			if err != nil || string(m.Body) != "re: "+body {
				t.Errorf("request %s: %v", body, err)
				return
			}
			got[body] = true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for len(p.window) > 0 {
		time.Sleep(time.Millisecond) // requests that Close would not wait for
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Errorf("%d of %d replies", len(got), n)
	}
}

// One client sends requests and answers them, and a handler that answers one asks another one first: requests may go in
// circles, replies may not.
func TestRequestInCircles(t *testing.T) {
	c := open(t, nameServer(t))
	outer, inner := unique(t)+"-outer", unique(t)+"-inner"
	respond(t, c, inner, echo)
	respond(t, c, outer, func(p *Producer, m *Received) error {
		reply, err := p.Request(deadline(t), &Message{Topic: inner, Body: m.Body})
		if err != nil {
			return err
		}
		if _, err := NewReply(reply, []byte("x")); err == nil || !strings.Contains(err.Error(), "create reply message fail: message") || !strings.Contains(err.Error(), "is a reply itself") {
			t.Errorf("a reply to a reply: %v", err)
		}
		return p.Reply(context.Background(), m, append([]byte("re: "), reply.Body...))
	})
	p := newProducer(t, c, ProducerOptions{})
	m, err := p.Request(deadline(t), &Message{Topic: outer, Body: []byte("x")})
	if err != nil || string(m.Body) != "re: re: x" {
		t.Errorf("%v, %v", m, err)
	}
	if _, err := p.Request(deadline(t), &Message{Topic: "DefaultCluster_REPLY_TOPIC", Body: []byte("x")}); err == nil || !strings.Contains(err.Error(), "holds the replies of cluster DefaultCluster") {
		t.Errorf("a request to the reply topic: %v", err)
	}
}

// A request that nobody answers in time, and a reply that comes later, and twice.
func TestNoReply(t *testing.T) {
	var log lockedBuffer
	addr := nameServer(t)
	o := quickOptions(t, addr)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	here, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	there, topic := open(t, addr), unique(t)
	p := newProducer(t, here, ProducerOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = p.Request(ctx, &Message{Topic: topic, Body: []byte("x")})
	if !errors.Is(err, ErrNoReply) || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "client: request timeout, no reply message in ") {
		t.Errorf("got %v", err)
	}
	done := make(chan error, 1)
	respond(t, there, topic, func(p *Producer, m *Received) error {
		err := errors.Join(echo(p, m), echo(p, m))
		done <- err
		return err
	})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := here.UnmatchedReplies(); n != 2 || log.count("a reply came for which no request waits") != 1 || len(here.requests.waiting) > 0 {
		t.Errorf("%d late replies, logged:\n%s", n, log.text())
	}
}

// A request whose sender has gone is refused at once, and stored once, since there is no other broker to try.
func TestReplyToNobody(t *testing.T) {
	addr := nameServer(t)
	there, topic := open(t, addr), unique(t)
	here, err := Open(t.Context(), quickOptions(t, addr))
	if err != nil {
		t.Fatal(err)
	}
	p := newProducer(t, here, ProducerOptions{})
	if err := p.RequestAsync(deadline(t), &Message{Topic: topic, Body: []byte("x")}, func(_ *Received, err error) {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("of a closed producer: %v", err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	request := readAll(t, there, topic, 1)[0]
	begun := time.Now()
	if err := here.Close(); err != nil || time.Since(begun) > 5*time.Second {
		t.Errorf("closed with %v after %v", err, time.Since(begun))
	}
	q := newProducer(t, there, ProducerOptions{})
	err = q.Reply(deadline(t), request, []byte("too late"))
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != int32(command.StatusSystemError) || !strings.Contains(refused.Remark, "push reply message fail, channel of <"+here.ID()+"> not found.") {
		t.Fatalf("got %v", err)
	}
	stored := 0
	for _, m := range readAll(t, there, "DefaultCluster_REPLY_TOPIC", 1) {
		if m.Property(skua.PropCorrelationID) == request.ID() {
			stored++
		}
	}
	if stored != 1 {
		t.Errorf("stored %d times", stored)
	}
}

func TestBadRequests(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	p := newProducer(t, c, ProducerOptions{})
	received := func(properties string) *Received {
		return &Received{properties: []byte(properties), Queue: skua.Queue{Broker: "b"}}
	}
	const request = "CLUSTER\x01C\x02REPLY_TO_CLIENT\x01me\x02CORRELATION_ID\x01c\x02"
	reply, err := NewReply(received(request), []byte("x"))
	if err != nil || reply.Topic != "C_REPLY_TOPIC" {
		t.Fatal(reply, err)
	}
	for want, err := range map[string]error{
		"create reply message fail, requestMessage cannot be null":                             p.Reply(t.Context(), nil, nil),
		"create reply message fail, requestMessage error, property[CLUSTER] is null: ":         p.Reply(t.Context(), received(request[10:]), nil),
		"create reply message fail, requestMessage error, property[REPLY_TO_CLIENT] is null: ": p.Reply(t.Context(), received("CLUSTER\x01C\x02CORRELATION_ID\x01c\x02"), nil),
		"create reply message fail, requestMessage error, property[CORRELATION_ID] is null: ":  p.Reply(t.Context(), received("CLUSTER\x01C\x02REPLY_TO_CLIENT\x01me\x02"), nil),
		"is a reply itself":                     p.Reply(t.Context(), received(request+"MSG_TYPE\x01reply\x02"), nil),
		"the message body is empty":             p.Reply(t.Context(), received(request), nil),
		"a reply cannot be a request":           second(p.Request(t.Context(), reply)),
		"message 0 of the batch: it is a reply": second(p.SendBatch(t.Context(), []*Message{reply})),
		"property TTL is set by Request":        second(p.Request(t.Context(), &Message{Topic: "t", Body: []byte("x"), Properties: map[string]string{"TTL": "1"}})),
		"property MSG_TYPE is set by":           second(p.Send(t.Context(), &Message{Topic: "t", Body: []byte("x"), Properties: map[string]string{"MSG_TYPE": "x"}, reply: reply.reply})),
		"client: the specified topic is blank":  p.RequestAsync(t.Context(), &Message{Body: []byte("x")}, nil),
		"no route after":                        second(p.Request(brief(t), &Message{Topic: "t", Body: []byte("x")})),
	} {
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Request(t.Context(), &Message{Topic: "t", Body: []byte("x")}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := p.RequestAsync(t.Context(), &Message{Topic: "t", Body: []byte("x")}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func brief(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// pairOfBrokers runs two brokers of a cluster, and returns their name server and the first broker.
func pairOfBrokers(t *testing.T) (names, first string) {
	ns := ownNameServer(t)
	var addrs []string
	for _, name := range []string{"broker-a", "broker-b"} {
		o := brokerOptions(t, name)
		o.NamesrvAddr = ns.Nameserver
		addrs = append(addrs, run(t, node.Config{Broker: &o}).Broker)
	}
	return ns.Nameserver, addrs[0]
}

// The request's topic is on one broker of two. Replies go to the one that has it but may take the way over the other one,
// as those of other clients do: the requester is known there, too.
func TestRequestAcrossBrokers(t *testing.T) {
	names, first := pairOfBrokers(t)
	here, there := open(t, names), open(t, names)
	topic := unique(t)
	if _, err := there.call(deadline(t), "create", first, &wire.Request{Code: command.UpdateAndCreateTopic, Header: &command.CreateTopicHeader{
		Topic: topic, DefaultTopic: skua.TemplateTopic, ReadQueues: 4, WriteQueues: 4, Perm: 6, FilterType: command.SingleTag}}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var ways []string
	via := ""
	respond(t, there, topic, func(p *Producer, m *Received) error {
		mu.Lock()
		defer mu.Unlock()
		reply, err := NewReply(m, bytes.ToUpper(m.Body))
		if err != nil {
			return err
		}
		reply.Queue.Broker = via
		sent, err := p.Send(context.Background(), reply)
		ways = append(ways, sent.Queue.Broker)
		return err
	})
	p := newProducer(t, here, ProducerOptions{})
	for i := range 8 {
		if i == 4 {
			mu.Lock()
			via = "broker-b"
			mu.Unlock()
		}
		m, err := p.Request(deadline(t), &Message{Topic: topic, Body: []byte("x")})
		if err != nil || string(m.Body) != "X" {
			t.Fatalf("request %d: %v %v", i, m, err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if want := append(slices.Repeat([]string{"broker-a"}, 4), slices.Repeat([]string{"broker-b"}, 4)...); !slices.Equal(ways, want) {
		t.Errorf("replies went by %v", ways)
	}
}
