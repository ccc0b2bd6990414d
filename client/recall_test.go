package client

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
)

// timedBroker returns the address of a name server with a broker that lets messages be recalled, and has short steps.
func timedBroker(t testing.TB, change func(*broker.Options)) string {
	var ns nameserver.Options
	conf.Defaults(&ns)
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	o := brokerOptions(t, "broker-a")
	o.RecallMessageEnable, o.TimerPrecisionMs = true, 100
	if change != nil {
		change(&o)
	}
	return run(t, node.Config{Nameserver: &ns, Broker: &o}).Nameserver
}

func TestTimesOfDeliveryAndRecall(t *testing.T) {
	c := open(t, timedBroker(t, nil))
	p := newProducer(t, c, ProducerOptions{})
	topic := unique(t)
	box := newInbox()
	newPush(t, c, PushOptions{Group: unique(t), Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Handler: box.handle})
	send := func(m Message) Sent {
		t.Helper()
		m.Topic = topic
		sent, err := p.Send(deadline(t), &m)
		if err != nil {
			t.Fatal(err)
		}
		return sent
	}
	began := time.Now()
	if s := send(Message{Body: []byte("now")}); s.RecallHandle != "" {
		t.Errorf("a message without a time has handle %q", s.RecallHandle)
	}
	if s := send(Message{Body: []byte("past"), DeliverAt: began.Add(-time.Hour)}); s.RecallHandle != "" {
		t.Errorf("a message of the past has handle %q", s.RecallHandle)
	}
	send(Message{Body: []byte("delay"), Delay: 700 * time.Millisecond})
	send(Message{Body: []byte("at"), DeliverAt: began.Add(1200 * time.Millisecond)})
	recalled := send(Message{Body: []byte("never"), Delay: 900 * time.Millisecond})
	id, err := p.Recall(deadline(t), topic, recalled.RecallHandle)
	if err != nil || id != recalled.ID {
		t.Errorf("recalled %q, %v; want %s", id, err, recalled.ID)
	}
	box.await(t, 4)
	got := map[string]time.Duration{}
	for _, m := range box.all {
		got[string(m.Body)] = m.StoreTime.Sub(began)
	}
	if _, ok := got["never"]; ok || len(got) != 4 || got["delay"] < 700*time.Millisecond || got["at"] < 1200*time.Millisecond-time.Millisecond {
		t.Errorf("%v", got)
	}

	refused := func(status int32, remark, topic, handle string) {
		t.Helper()
		_, err := p.Recall(deadline(t), topic, handle)
		var e *Error
		if !errors.As(err, &e) || e.Code != status || !strings.HasPrefix(e.Remark, remark) {
			t.Errorf("%v, want %d %s", err, status, remark)
		}
	}
	refused(604, "recall failed, timestamp invalid", topic, base64.URLEncoding.EncodeToString([]byte("v1 "+topic+" broker-a 1000 X")))
	refused(604, "recall failed, topic not match", topic, base64.URLEncoding.EncodeToString([]byte("v1 other broker-a 1000 X")))
	if _, err := p.Recall(deadline(t), topic, "nonsense"); !errors.Is(err, errHandle) {
		t.Error(err)
	}
	if _, err := p.Recall(deadline(t), topic, base64.URLEncoding.EncodeToString([]byte("v1 "+topic+" broker-x 1000 X"))); err == nil || !strings.Contains(err.Error(), `"broker-x"`) {
		t.Error(err)
	}
	var e *Error
	if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("x"), Delay: 100 * 24 * time.Hour}); !errors.As(err, &e) || e.Code != 13 {
		t.Errorf("100 days ahead: %v", err)
	}
	if _, err := p.SendBatch(deadline(t), []*Message{{Topic: topic, Body: []byte("x"), Delay: time.Hour}}); err == nil {
		t.Error("a batch was kept back")
	}
}

// A longer delay than Java's default is a setting.
func TestDelayOfYears(t *testing.T) {
	addr := timedBroker(t, func(o *broker.Options) { o.TimerMaxDelaySec = 10 * 365 * 24 * 3600 })
	p := newProducer(t, open(t, addr), ProducerOptions{})
	topic := unique(t)
	sent, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("x"), DeliverAt: time.Now().AddDate(9, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Recall(deadline(t), topic, sent.RecallHandle); err != nil {
		t.Error(err)
	}
}

func TestRecallIsForbiddenByDefault(t *testing.T) {
	c := open(t, timedBroker(t, func(o *broker.Options) { o.RecallMessageEnable = false }))
	p := newProducer(t, c, ProducerOptions{})
	topic := unique(t)
	sent, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("x"), Delay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := p.Recall(deadline(t), topic, sent.RecallHandle); !errors.As(err, &e) || e.Code != 16 || !strings.Contains(e.Remark, "recallMessageEnable") {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Recall(deadline(t), topic, sent.RecallHandle); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
