package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/skuamq/skua/interop/cluster"
)

// instances makes every client of this process distinct: client-go shares connections and groups by instance name.
var instances atomic.Int64

func instance() string { return fmt.Sprintf("interop-%d-%d", os.Getpid(), instances.Add(1)) }

// newProducer starts a producer of Apache's Go client.
func newProducer(t testing.TB, names *cluster.Server, options ...producer.Option) mq.Producer {
	t.Helper()
	p, err := mq.NewProducer(append([]producer.Option{
		producer.WithNameServer([]string{names.Addr}), producer.WithInstanceName(instance()),
		producer.WithGroupName("interop-producer"), producer.WithSendMsgTimeout(10 * time.Second)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Shutdown() })
	return p
}

// received collects what the consumers of a test were given.
type received struct {
	mu   sync.Mutex
	seen map[string]int // deliveries by body
	all  []*primitive.MessageExt
	at   []time.Time
}

func (r *received) add(msgs ...*primitive.MessageExt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	for _, m := range msgs {
		r.seen[string(m.Body)]++
		r.all, r.at = append(r.all, m), append(r.at, time.Now())
	}
}

// count is the number of different bodies.
func (r *received) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen)
}

// onceEach fails unless every body sent was received exactly once, and nothing else was.
func (r *received) onceEach(t testing.TB, sent []string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, body := range sent {
		if n := r.seen[body]; n != 1 {
			t.Errorf("%q received %d times", body, n)
		}
	}
	if len(r.seen) != len(sent) {
		t.Errorf("%d different messages received, %d sent", len(r.seen), len(sent))
	}
}

// handler is what a push consumer calls.
type handler = func(context.Context, ...*primitive.MessageExt) (consumer.ConsumeResult, error)

// newConsumer starts a push consumer of Apache's Go client that reads from the first message on.
func newConsumer(t testing.TB, names *cluster.Server, group, topic, tags string, f handler, options ...consumer.Option) mq.PushConsumer {
	t.Helper()
	c, err := mq.NewPushConsumer(append([]consumer.Option{
		consumer.WithNameServer([]string{names.Addr}), consumer.WithInstance(instance()), consumer.WithGroupName(group),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: tags}, f); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Shutdown() })
	return c
}

// keep returns a handler that collects and accepts everything.
func (r *received) keep(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
	r.add(msgs...)
	return consumer.ConsumeSuccess, nil
}

// sendAll sends n messages one after the other and returns their bodies.
func sendAll(t testing.TB, p mq.Producer, topic string, n int, edit func(i int, m *primitive.Message)) []string {
	t.Helper()
	bodies := make([]string, n)
	for i := range bodies {
		bodies[i] = fmt.Sprintf("%s message %d", topic, i)
		m := primitive.NewMessage(topic, []byte(bodies[i]))
		if edit != nil {
			edit(i, m)
		}
		r, err := p.SendSync(context.Background(), m)
		if err != nil {
			t.Fatalf("send %d: %v", i, err)
		}
		if r.Status != primitive.SendOK || r.MsgID == "" || r.OffsetMsgID == "" {
			t.Fatalf("send %d: %v", i, r)
		}
	}
	return bodies
}

func TestGoClientSends(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	ctx := context.Background()
	p := newProducer(t, names)
	name := topic(t, names, broker, "GoSends", 4)

	sent := sendAll(t, p, name, 50, func(i int, m *primitive.Message) {
		m.WithTag("TagA").WithKeys([]string{fmt.Sprint("key", i), "common"})
		m.WithProperty("colour", "light blue; "+strings.Repeat("é", i))
	})
	var wait sync.WaitGroup
	for i := range 50 {
		body := fmt.Sprint("async ", i)
		sent = append(sent, body)
		wait.Add(1)
		err := p.SendAsync(ctx, func(_ context.Context, r *primitive.SendResult, err error) {
			defer wait.Done()
			if err != nil || r.Status != primitive.SendOK {
				t.Errorf("async send: %v, %v", r, err)
			}
		}, primitive.NewMessage(name, []byte(body)))
		if err != nil {
			t.Fatal(err)
		}
	}
	wait.Wait()
	var batch []*primitive.Message
	for i := range 40 {
		body := fmt.Sprint("batch ", i)
		sent = append(sent, body)
		batch = append(batch, primitive.NewMessage(name, []byte(body)).WithTag("TagB"))
	}
	if r, err := p.SendSync(ctx, batch...); err != nil || strings.Count(r.OffsetMsgID, ",") != 39 {
		t.Fatalf("batch: %v, %v", r, err)
	}
	large := strings.Repeat("compressible ", 100_000)
	sent = append(sent, large)
	if _, err := p.SendSync(ctx, primitive.NewMessage(name, []byte(large))); err != nil {
		t.Fatalf("large message: %v", err)
	}
	for i := range 20 {
		body := fmt.Sprint("one-way ", i)
		sent = append(sent, body)
		if err := p.SendOneWay(ctx, primitive.NewMessage(name, []byte(body))); err != nil {
			t.Fatal(err)
		}
	}

	var got received
	newConsumer(t, names, "GoSendsGroup", name, "*", got.keep)
	eventually(t, 30*time.Second, fmt.Sprint(len(sent), " messages"), func() bool { return got.count() >= len(sent) })
	got.onceEach(t, sent)
	for _, m := range got.all {
		if i := 0; strings.HasPrefix(string(m.Body), name) {
			fmt.Sscanf(string(m.Body), name+" message %d", &i)
			want := "light blue; " + strings.Repeat("é", i)
			if m.GetTags() != "TagA" || m.GetKeys() != fmt.Sprint("key", i, " common") || m.GetProperty("colour") != want {
				t.Errorf("message %d arrived with other properties: %v", i, m.GetProperties())
			}
		}
	}
}

func TestGoClientSharesQueues(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoClustering", 8)
	var all received
	var share [2]atomic.Int64
	for i := range share {
		newConsumer(t, names, "GoClusteringGroup", name, "*", func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			share[i].Add(int64(len(msgs)))
			all.add(msgs...)
			return consumer.ConsumeSuccess, nil
		})
	}
	// The first member gives up half of its queues when the broker tells it of the second.
	p := newProducer(t, names)
	sent := 0
	eventually(t, 60*time.Second, "messages at both members", func() bool {
		for range 16 {
			if _, err := p.SendSync(context.Background(), primitive.NewMessage(name, fmt.Append(nil, "message ", sent))); err != nil {
				t.Fatal(err)
			}
			sent++
		}
		return share[0].Load() > 0 && share[1].Load() > 0
	})
	// Some may come twice while queues change hands.
	eventually(t, 30*time.Second, "all messages", func() bool { return all.count() >= sent })
}

func TestGoClientBroadcasts(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoBroadcast", 4)
	t.Cleanup(func() { // client-go keeps the offsets of broadcast groups there
		home, _ := os.UserHomeDir()
		old, _ := filepath.Glob(filepath.Join(home, ".rocketmq_client_go", fmt.Sprintf("*interop-%d-*", os.Getpid())))
		for _, dir := range old {
			os.RemoveAll(dir)
		}
	})
	sent := sendAll(t, newProducer(t, names), name, 20, nil)
	var members [2]received
	for i := range members {
		newConsumer(t, names, "GoBroadcastGroup", name, "*", members[i].keep, consumer.WithConsumerModel(consumer.BroadCasting))
	}
	for i := range members {
		eventually(t, 30*time.Second, "all messages at each member", func() bool { return members[i].count() >= len(sent) })
		members[i].onceEach(t, sent)
	}
}

func TestGoClientOrder(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoOrder", 4)
	p := newProducer(t, names, producer.WithQueueSelector(producer.NewHashQueueSelector()))
	const keys, each = 7, 20
	sent := sendAll(t, p, name, keys*each, func(i int, m *primitive.Message) { m.WithShardingKey(fmt.Sprint("key", i%keys)) })
	var got received
	newConsumer(t, names, "GoOrderGroup", name, "*", got.keep, consumer.WithConsumerOrder(true))
	eventually(t, 60*time.Second, "all messages", func() bool { return got.count() >= len(sent) })
	got.onceEach(t, sent)
	next := map[string]int64{}
	for _, m := range got.all {
		queue := m.Queue.String()
		if m.QueueOffset != next[queue] {
			t.Errorf("%s: message %d where %d should be", queue, m.QueueOffset, next[queue])
		}
		next[queue] = m.QueueOffset + 1
	}
}

func TestGoClientRetriesThenDeadLetter(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoRetry", 1)
	var got received
	newConsumer(t, names, "GoRetryGroup", name, "*", func(_ context.Context, msgs ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		got.add(msgs...)
		if strings.HasSuffix(string(msgs[0].Body), " 0") || msgs[0].ReconsumeTimes == 0 {
			return consumer.ConsumeRetryLater, nil
		}
		return consumer.ConsumeSuccess, nil
	}, consumer.WithMaxReconsumeTimes(1), consumer.WithConsumeMessageBatchMaxSize(1))
	sendAll(t, newProducer(t, names), name, 2, func(_ int, m *primitive.Message) { m.WithTag("TagA").WithProperty("kept", "yes") })

	// Both come again after level 3, 10 s; the message that fails again goes to the group's dead letters. The client
	// learns of the new retry topic only when it next refreshes its routes, every 30 s.
	eventually(t, 90*time.Second, "second deliveries", func() bool {
		got.mu.Lock()
		defer got.mu.Unlock()
		return len(got.all) == 4
	})
	firstAt := map[string]time.Time{}
	for i, m := range got.all {
		body := string(m.Body)
		if m.ReconsumeTimes == 0 {
			firstAt[body] = got.at[i]
			continue
		}
		if wait := got.at[i].Sub(firstAt[body]); m.ReconsumeTimes != 1 || wait < 9*time.Second {
			t.Errorf("%q again after %v as delivery %d", body, wait, m.ReconsumeTimes)
		}
		if m.Topic != name || m.GetTags() != "TagA" || m.GetProperty("kept") != "yes" {
			t.Errorf("%q came back as %s %v", body, m.Topic, m.GetProperties())
		}
	}
	c := dial(t, broker.Addr)
	eventually(t, 30*time.Second, "the dead letter", func() bool {
		dead, err := c.Read("%DLQ%GoRetryGroup", 0, 0)
		if err == nil && len(dead) == 1 {
			if d := dead[0]; string(d.Body) != name+" message 0" || d.Properties["RETRY_TOPIC"] != name || d.Properties["kept"] != "yes" {
				t.Errorf("dead letter %q %v", d.Body, d.Properties)
			}
		}
		return err == nil && len(dead) == 1
	})
}

func TestGoClientDelays(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoDelay", 2)
	var got received
	newConsumer(t, names, "GoDelayGroup", name, "*", got.keep)
	delays := map[int]time.Duration{1: time.Second, 2: 5 * time.Second, 3: 10 * time.Second}
	p := newProducer(t, names)
	sentAt := map[string]time.Time{}
	want := map[string]time.Duration{}
	for level, delay := range delays {
		for i := range 3 {
			body := fmt.Sprintf("level %d message %d", level, i)
			sentAt[body], want[body] = time.Now(), delay
			if _, err := p.SendSync(context.Background(), primitive.NewMessage(name, []byte(body)).WithDelayTimeLevel(level)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, 30*time.Second, "delayed messages", func() bool { return got.count() >= len(want) })
	for i, m := range got.all {
		body := string(m.Body)
		if after := got.at[i].Sub(sentAt[body]); after < want[body]-50*time.Millisecond || after > want[body]+3*time.Second {
			t.Errorf("%q arrived after %v instead of %v", body, after, want[body])
		}
		if m.Topic != name {
			t.Errorf("%q arrived on topic %s", body, m.Topic)
		}
	}
}

func TestGoClientFiltersTags(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoTags", 4)
	sent := sendAll(t, newProducer(t, names), name, 90, func(i int, m *primitive.Message) { m.WithTag("Tag" + string("ABC"[i%3])) })
	var got received
	newConsumer(t, names, "GoTagsGroup", name, "TagA || TagC", got.keep)
	var want []string
	for i, body := range sent {
		if i%3 != 1 {
			want = append(want, body)
		}
	}
	eventually(t, 30*time.Second, "messages of two tags", func() bool { return got.count() >= len(want) })
	got.onceEach(t, want)
}

func TestGoClientPulls(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoPull", 4)
	p := newProducer(t, names)
	sent := sendAll(t, p, name, 60, nil)
	var got received
	pull := func(limit int) {
		c, err := mq.NewPullConsumer(consumer.WithNameServer([]string{names.Addr}), consumer.WithInstance(instance()),
			consumer.WithGroupName("GoPullGroup"), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Subscribe(name, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		defer c.Shutdown()
		eventually(t, 60*time.Second, fmt.Sprint(limit, " messages"), func() bool {
			request, err := c.Poll(context.Background(), time.Second)
			if err == nil {
				got.add(request.GetMsgList()...)
				c.ACK(context.Background(), request, consumer.ConsumeSuccess)
			}
			return got.count() >= limit
		})
		if err := c.PersistOffset(context.Background(), name); err != nil {
			t.Error(err)
		}
	}
	pull(len(sent))
	// A second consumer of the group goes on where the first one committed.
	more := "after the commit"
	if _, err := p.SendSync(context.Background(), primitive.NewMessage(name, []byte(more))); err != nil {
		t.Fatal(err)
	}
	sent = append(sent, more)
	pull(len(sent))
	got.onceEach(t, sent)
}

func TestGoClientGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoResume", 4)
	p := newProducer(t, names)
	var got received
	sent := sendAll(t, p, name, 40, nil)
	first := newConsumer(t, names, "GoResumeGroup", name, "*", got.keep)
	eventually(t, 30*time.Second, "the first messages", func() bool { return got.count() >= len(sent) })
	first.Shutdown() // commits its offsets
	for i := range 40 {
		body := fmt.Sprint("while nobody listened ", i)
		if _, err := p.SendSync(context.Background(), primitive.NewMessage(name, []byte(body))); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, body)
	}
	newConsumer(t, names, "GoResumeGroup", name, "*", got.keep)
	eventually(t, 30*time.Second, "the messages sent meanwhile", func() bool { return got.count() >= len(sent) })
	got.onceEach(t, sent)
}
