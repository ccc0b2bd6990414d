package interop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/interop/cluster"
)

// skuaPlays are the scenarios as Skua's client plays them.
var skuaPlays = map[string]func(*stage){
	"delay": playDelay, "recall": playRecall, "transaction": playTransaction, "order": playOrder, "request": playRequest,
	"sql": playSQL, "tags": playTags, "broadcast": playBroadcast, "batch": playBatch, "priority": playPriority, "retry": playRetry,
}

// stage is what one scenario has.
type stage struct {
	t           *testing.T
	names, name string
	topic       string

	mu    sync.Mutex // guards lines
	lines map[string]bool
}

func newStage(t *testing.T, names *cluster.Server, name string) *stage {
	return &stage{t: t, names: names.Addr, name: name, topic: "Scenario-" + name, lines: map[string]bool{}}
}

func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[fmt.Sprintf(format, args...)] = true
}

func (s *stage) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.lines))
}

// await waits until some lines were said.
func (s *stage) await(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		eventually(s.t, time.Minute, fmt.Sprintf("%q, of %q", line, lines), func() bool { return slices.Contains(s.seen(), line) })
	}
}

func (s *stage) client() *client.Client {
	c, err := client.Open(s.t.Context(), client.Options{NameServers: []string{s.names}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *stage) producer() *client.Producer {
	p, err := s.client().Producer(client.ProducerOptions{Group: s.topic + "-producer"})
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *stage) message(body string) *client.Message {
	return &client.Message{Topic: s.topic, Body: []byte(body)}
}

func (s *stage) send(p *client.Producer, m *client.Message) client.Sent {
	s.t.Helper()
	sent, err := p.Send(within(s.t), m)
	if err != nil {
		s.t.Fatal(err)
	}
	return sent
}

// consume starts a consumer, in a client of its own.
func (s *stage) consume(o client.PushOptions) {
	s.t.Helper()
	o.Group, o.Start = s.topic+"-consumer", client.StartEarliest
	if o.Subscriptions == nil {
		o.Subscriptions = []client.Subscription{{Topic: s.topic}}
	}
	if o.Handler == nil {
		o.Handler = func(_ context.Context, m *client.Received) error {
			s.say("received %s", m.Body)
			return nil
		}
	}
	if _, err := s.client().PushConsumer(within(s.t), o); err != nil {
		s.t.Fatal(err)
	}
}

func playDelay(s *stage) {
	s.consume(client.PushOptions{Handler: func(_ context.Context, m *client.Received) error {
		least, _ := strconv.Atoi(m.Tag())
		if waited := m.StoreTime.Sub(m.BornTime); waited < time.Duration(least-100)*time.Millisecond {
			s.say("received %s early, after %v", m.Body, waited)
			return nil
		}
		s.say("received %s", m.Body)
		return nil
	}})
	now, level, timed := s.message("now"), s.message("level"), s.message("timed")
	now.Tag, level.Tag, timed.Tag = "0", "1000", "1500"
	level.DelayLevel, timed.Delay = 1, 1500*time.Millisecond
	p := s.producer()
	for _, m := range []*client.Message{timed, level, now} {
		s.send(p, m)
	}
	s.await(scenarios[s.name]...)
}

func playRecall(s *stage) {
	s.consume(client.PushOptions{})
	p := s.producer()
	recalled, kept := s.message("recalled"), s.message("kept")
	recalled.Delay, kept.Delay = 2500*time.Millisecond, 4*time.Second
	sent := s.send(p, recalled)
	s.send(p, kept)
	id, err := p.Recall(within(s.t), s.topic, sent.RecallHandle)
	if err != nil {
		s.t.Fatal(err)
	}
	s.say("recalled %t", id == sent.ID)
	s.await("received kept")
}

func playTransaction(s *stage) {
	s.consume(client.PushOptions{})
	p, err := s.client().TransactionProducer(client.TransactionOptions{ProducerOptions: client.ProducerOptions{Group: s.topic + "-transactions"}, Topics: []string{s.topic},
		Check: func(_ context.Context, m *client.Received) client.Outcome {
			s.say("asked about %s", m.Body)
			if string(m.Body) == "late commit" {
				return client.Commit
			}
			return client.Rollback
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, kind := range []string{"late rollback", "late commit", "rollback", "commit"} {
		outcome := map[string]client.Outcome{"rollback": client.Rollback, "commit": client.Commit}[kind]
		_, _, err := p.Send(within(s.t), s.message(kind), func(context.Context, client.Sent) (client.Outcome, error) { return outcome, nil })
		if err != nil {
			s.t.Fatal(err)
		}
	}
	s.await(scenarios[s.name]...)
}

func playOrder(s *stage) {
	p := s.producer()
	for i := range 20 {
		for _, key := range []string{"a", "b", "c"} {
			m := s.message(fmt.Sprint(key, " ", i))
			m.ShardingKey = key
			s.send(p, m)
		}
	}
	var mu sync.Mutex
	seen := map[string]string{}
	s.consume(client.PushOptions{Orderly: true, Handler: func(_ context.Context, m *client.Received) error {
		key, n, _ := strings.Cut(string(m.Body), " ")
		mu.Lock()
		defer mu.Unlock()
		seen[key] += " " + n
		if n == "19" {
			s.say("received of %s%s", key, seen[key])
		}
		return nil
	}})
	s.await(scenarios[s.name]...)
}

func playRequest(s *stage) {
	answers := s.producer()
	s.consume(client.PushOptions{Handler: func(ctx context.Context, m *client.Received) error {
		reply, err := client.NewReply(m, append([]byte("re: "), m.Body...))
		if err == nil {
			_, err = answers.Send(ctx, reply)
		}
		if err != nil {
			s.say("not answered: %v", err)
		}
		return nil
	}})
	p := s.producer()
	for i := range 3 {
		ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
		m, err := p.Request(ctx, s.message(fmt.Sprint("question ", i)))
		cancel()
		if err != nil {
			s.t.Fatal(err)
		}
		s.say("reply %s", m.Body)
	}
}

func playSQL(s *stage) {
	s.consume(client.PushOptions{Subscriptions: []client.Subscription{{Topic: s.topic, SQL: "n > 6 AND colour = 'blue'"}}})
	s.numbered()
}

func playTags(s *stage) {
	s.consume(client.PushOptions{Subscriptions: []client.Subscription{{Topic: s.topic, Tags: "tag0 || tag2"}}})
	s.numbered()
}

// numbered sends ten messages to choose from.
func (s *stage) numbered() {
	p := s.producer()
	for i := range 10 {
		m := s.message(strconv.Itoa(i))
		m.Tag, m.Properties = fmt.Sprint("tag", i%3), map[string]string{"n": strconv.Itoa(i), "colour": "blue"}
		s.send(p, m)
	}
	s.await(scenarios[s.name]...)
}

func playBroadcast(s *stage) {
	for n := range 2 {
		s.consume(client.PushOptions{Broadcast: true, Handler: func(_ context.Context, m *client.Received) error {
			s.say("%d received %s", n+1, m.Body)
			return nil
		}})
	}
	p := s.producer()
	for i := range 5 {
		s.send(p, s.message(strconv.Itoa(i)))
	}
	s.await(scenarios[s.name]...)
}

func playBatch(s *stage) {
	s.consume(client.PushOptions{})
	var batch []*client.Message
	for i := range 5 {
		batch = append(batch, s.message(strconv.Itoa(i)))
	}
	sent, err := s.producer().SendBatch(within(s.t), batch)
	if err != nil {
		s.t.Fatal(err)
	}
	s.say("sent %d", len(sent))
	s.await(scenarios[s.name]...)
}

func playPriority(s *stage) {
	s.consume(client.PushOptions{Handler: func(_ context.Context, m *client.Received) error {
		priority, _ := m.Priority()
		s.say("%d received from %d", priority, m.Queue.ID)
		return nil
	}})
	p := s.producer()
	for _, priority := range []int{9, 0, 2} {
		m := s.message("x")
		m.Priority = new(priority)
		s.say("%d sent to %d", priority, s.send(p, m).Queue.ID)
	}
	s.await(scenarios[s.name]...)
}

func playRetry(s *stage) {
	s.consume(client.PushOptions{MaxReconsume: 2, Handler: func(_ context.Context, m *client.Received) error {
		s.say("received %s after %d failures of %s", m.Body, m.ReconsumeTimes, m.Topic)
		if m.ReconsumeTimes < 2 {
			return client.RetryAt(1, errors.New("not yet"))
		}
		return nil
	}})
	s.send(s.producer(), s.message("x"))
	s.await(scenarios[s.name]...)
}
