package client

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/assign"
)

// joined starts a pull consumer of a group.
func joined(t *testing.T, c *Client, group, topic string, s Strategy) *PullConsumer {
	t.Helper()
	p := newPull(t, c, PullOptions{Group: group, Start: StartEarliest, Strategy: s})
	if err := p.Subscribe(deadline(t), Subscription{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	return p
}

// settles waits until a consumer reads exactly these queues.
func settles(t *testing.T, p *PullConsumer, want []skua.Queue) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !slices.Equal(p.Assignment(), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("reads %v, want %v", p.Assignment(), want)
		}
	}
}

// fill creates a topic by four messages, and returns its queues, each of which has one.
func fill(t *testing.T, c *Client, topic string) []skua.Queue {
	t.Helper()
	var queues []skua.Queue
	for _, sent := range sendN(t, newProducer(t, c, ProducerOptions{}), topic, "m", 4) {
		queues = append(queues, sent.Queue)
	}
	assign.SortQueues(queues)
	if len(slices.Compact(slices.Clone(queues))) != 4 {
		t.Fatalf("messages are in %v", queues)
	}
	return queues
}

// Two members of a group read what the strategy gives each, by their ids.
func TestStrategies(t *testing.T) {
	addr := nameServer(t)
	c1, c2 := open(t, addr), open(t, addr)
	topic := unique(t)
	queues := fill(t, c1, topic)
	ids := []string{c1.ID(), c2.ID()}
	slices.Sort(ids)
	for name, s := range map[string]Strategy{
		"ByCircle": ByCircle, "ConsistentHash": ConsistentHash(10),
		"MachineRoomNearby": MachineRoomNearby(ByCircle, Rooms{
			Queue:  func(skua.Queue) string { return "here" },
			Member: func(id string) string { return map[bool]string{true: "here", false: "there"}[id == c2.ID()] },
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group := unique(t)
			p1, p2 := joined(t, c1, group, topic, s), joined(t, c2, group, topic, s)
			for p, c := range map[*PullConsumer]*Client{p1: c1, p2: c2} {
				want, err := s(queues, ids, c.ID())
				if err != nil {
					t.Fatal(err)
				}
				settles(t, p, want)
			}
		})
	}
}

// Queues that are told to a consumer one by one, and not those of other topics. What it sends back comes again.
func TestByConfig(t *testing.T) {
	c := open(t, nameServer(t))
	topic := unique(t)
	all := fill(t, c, topic)
	mine := []skua.Queue{all[1], all[3]}
	other := skua.Queue{Topic: "other", Broker: "broker-a"}
	settles(t, joined(t, c, unique(t), topic, ByConfig(append(mine, other)...)), mine)

	retry := []skua.Queue{{Topic: "%RETRY%g", Broker: "b"}}
	if got, err := ByConfig(mine...)(retry, []string{"me"}, "me"); err != nil || !slices.Equal(got, retry) {
		t.Errorf("of the retry topic: %v %v", got, err)
	}
	if got, err := ByConfig(append(mine, other)...)(mine, []string{"me"}, "me"); err != nil || len(got) != 3 {
		t.Errorf("what was configured: %v %v", got, err)
	}
}

// A strategy that fails leaves a consumer what it has, and the log tells once why.
func TestStrategyFails(t *testing.T) {
	var log lockedBuffer
	o := quickOptions(t, nameServer(t))
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	topic := unique(t)
	queues := fill(t, c, topic)
	var broken atomic.Bool
	var calls atomic.Int32
	p := joined(t, c, unique(t), topic, func(queues []skua.Queue, members []string, member string) ([]skua.Queue, error) {
		if broken.Load() {
			calls.Add(1)
			return nil, errors.New("no idea where I am")
		}
		return Averagely(queues, members, member)
	})
	settles(t, p, queues)
	broken.Store(true)
	p.m.kick()
	for end := time.Now().Add(15 * time.Second); calls.Load() < 3 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if calls.Load() < 3 {
		t.Error("it was not tried again")
	}
	settles(t, p, queues)
	broken.Store(false)
	for end := time.Now().Add(15 * time.Second); log.count("queues are divided again") == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := log.count("no idea where I am"); n != 1 || log.count("queues are divided again") != 1 {
		t.Errorf("logged %d times:\n%s", n, log.text())
	}
}

// lockedBuffer keeps what is logged.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *lockedBuffer) count(text string) int { return strings.Count(b.text(), text) }
