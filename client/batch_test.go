package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// A batch that is too large for one request goes in several, in order.
func TestSendBatchIsSplit(t *testing.T) {
	c := open(t, nameServer(t))
	topic := unique(t)
	p := newProducer(t, c, ProducerOptions{MaxMessageSize: 2000})
	var messages []*Message
	for i := range 50 {
		messages = append(messages, &Message{Topic: topic, Body: fmt.Appendf(nil, "%d %s", i, strings.Repeat("x", 300)), ShardingKey: "k"})
	}
	sent, err := p.SendBatch(deadline(t), messages)
	if err != nil || len(sent) != len(messages) {
		t.Fatalf("%d of %d sent: %v", len(sent), len(messages), err)
	}
	all := readAll(t, c, topic, len(messages))
	for i, m := range all {
		if m.ID() != sent[i].ID || m.Offset != sent[i].Offset || m.OffsetID() != sent[i].OffsetID || m.Queue != sent[0].Queue || string(m.Body) != string(messages[i].Body) {
			t.Fatalf("message %d: received %s at %d, sent %+v", i, m.ID(), m.Offset, sent[i])
		}
	}
}

// When a request of a batch fails it is told what is stored; the rest is not sent.
func TestSendBatchFailsHalfway(t *testing.T) {
	f := newFake(t)
	c := open(t, f.addr)
	p := newProducer(t, c, ProducerOptions{MaxMessageSize: 500, Retries: -1})
	var messages []*Message
	for range 6 {
		messages = append(messages, &Message{Topic: "t", Body: make([]byte, 300)})
	}
	f.set(func() { f.sends = []command.Status{0, command.StatusFlushDiskTimeout, command.StatusMessageIllegal} })
	sent, err := p.SendBatch(deadline(t), messages)
	var refused *Error
	if len(sent) != 2 || !errors.As(err, &refused) || refused.Stored || !strings.Contains(err.Error(), "2 of the 6 messages of the batch are stored; request 3 of 6: ") {
		t.Errorf("%d sent, %v", len(sent), err)
	}
	if n := f.requests(command.SendBatchMessage); n != 3 {
		t.Errorf("%d requests", n)
	}
	f.set(func() { f.sends = []command.Status{0, command.StatusFlushDiskTimeout} })
	sent, err = p.SendBatch(deadline(t), messages)
	if len(sent) != 6 || !errors.As(err, &refused) || !refused.Stored {
		t.Errorf("%d sent, %v", len(sent), err)
	}
}

func TestSendBatchChecks(t *testing.T) {
	c := open(t, "127.0.0.1:1")
	p := newProducer(t, c, ProducerOptions{MaxMessageSize: 1000})
	first := &Message{Topic: "t", Body: []byte("x"), ShardingKey: "k"}
	for want, m := range map[string]*Message{
		"message 1 of the batch: it goes to topic u, the first one to t":                                               {Topic: "u", Body: []byte("x"), ShardingKey: "k"},
		"message 1 of the batch: TimeDelayLevel is not supported for batching":                                         {Topic: "t", Body: []byte("x"), ShardingKey: "k", DelayLevel: 1},
		`message 1 of the batch: it has the sharding key "l", the first one "k": a batch goes to one queue`:            {Topic: "t", Body: []byte("x"), ShardingKey: "l"},
		`message 1 of the batch: it goes to queue 3 on "b", the first one to queue 0 on "": a batch goes to one queue`: {Topic: "t", Body: []byte("x"), ShardingKey: "k", Queue: skua.Queue{Broker: "b", ID: 3}},
		"message 1 of the batch: its NoWait differs":                                                                   {Topic: "t", Body: []byte("x"), ShardingKey: "k", NoWait: true},
		"message 1 of the batch: the message body is empty":                                                            {Topic: "t", ShardingKey: "k"},
		"message 1 of the batch: the message body over max value: 1001 bytes, the producer's limit is 1000":            {Topic: "t", ShardingKey: "k", Body: make([]byte, 1001)},
		"message 1 of the batch: it takes 10":                                                                          {Topic: "t", ShardingKey: "k", Body: make([]byte, 1000)},
		"message 1 of the batch: the properties take 33":                                                               {Topic: "t", ShardingKey: "k", Body: []byte("x"), Properties: map[string]string{"p": strings.Repeat("x", 33_000)}},
	} {
		if sent, err := p.SendBatch(t.Context(), []*Message{first, m}); sent != nil || err == nil || !strings.HasPrefix(err.Error(), "client: "+want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := p.SendBatch(t.Context(), nil); err == nil {
		t.Error("a batch of nothing was sent")
	}
	retry := &Message{Topic: "%RETRY%g", Body: []byte("x")}
	if _, err := p.SendBatch(t.Context(), []*Message{retry}); err == nil || !strings.Contains(err.Error(), "Retry Group is not supported for batching") {
		t.Error(err)
	}
}

// createTopic creates a topic at the only broker of a name server.
func createTopic(t testing.TB, c *Client, h command.CreateTopicHeader) {
	t.Helper()
	r, err := c.askRoute(deadline(t), skua.TemplateTopic)
	if err != nil {
		t.Fatal(err)
	}
	h.Perm, h.FilterType = 6, command.SingleTag
	if _, err := c.call(deadline(t), "create topic", r.Brokers[0].Addrs[0], &wire.Request{Code: command.UpdateAndCreateTopic, Header: &h}); err != nil {
		t.Fatal(err)
	}
}

// A message of a batch that is stored in one record is retried, and given up, alone.
func TestRetryOfMessageInBatchRecord(t *testing.T) {
	c := open(t, nameServer(t))
	topic, group := unique(t), unique(t)
	createTopic(t, c, command.CreateTopicHeader{Topic: topic, ReadQueues: 1, WriteQueues: 1, Attributes: "+queue.type=BatchCQ"})
	p := newProducer(t, c, ProducerOptions{})
	var messages []*Message
	for _, body := range []string{"good", "again", "dead", "often"} {
		messages = append(messages, &Message{Topic: topic, Body: []byte(body), Tag: "x", Keys: []string{body}})
	}
	sent, err := p.SendBatch(deadline(t), messages)
	if err != nil {
		t.Fatal(err)
	}
	box := newInbox()
	newPush(t, c, PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, MaxReconsume: 1, Handler: func(_ context.Context, m *Received) error {
		box.add(m)
		switch body := string(m.Body); {
		case body == "dead":
			return DeadLetter(errors.New("hopeless"))
		case body == "often", body == "again" && m.ReconsumeTimes == 0:
			return RetryAt(1, errors.New("not yet"))
		}
		return nil
	}})
	box.until(t, func() bool { return box.by["again"] == 2 && box.by["often"] == 2 })
	var again *Received
	for _, m := range box.all {
		if string(m.Body) == "again" {
			again = m
		}
	}
	if again.ID() != sent[1].ID || again.Topic != topic || again.ReconsumeTimes != 1 || again.Tag() != "x" || again.Queue.Topic != skua.RetryTopic(group) || again.Property(skua.PropOriginMessageID) == "" {
		t.Errorf("the second delivery: %+v %v", again, again.Properties())
	}
	dead := map[string]*Received{}
	for _, m := range readAll(t, c, skua.DLQTopic(group), 2) {
		dead[string(m.Body)] = m
	}
	for i, body := range []string{"dead", "often"} {
		if m := dead[body]; m == nil || m.ID() != sent[2+i].ID || m.Property(skua.PropRetryTopic) != topic {
			t.Errorf("dead letter %s: %+v", body, m)
		}
	}
	box.mu.Lock()
	defer box.mu.Unlock()
	if box.by["good"] != 1 || box.by["dead"] != 1 {
		t.Errorf("the handler saw %v", box.by)
	}
}
