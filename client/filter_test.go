package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/node"
)

// A push consumer and a pull consumer with a condition get what meets it, of what was there before and of what comes.
func TestSubscribeBySQL(t *testing.T) {
	c := open(t, nameServer(t))
	topic := unique(t)
	p := newProducer(t, c, ProducerOptions{})
	send := func(from, to int) {
		for i := from; i < to; i++ {
			m := &Message{Topic: topic, Body: fmt.Append(nil, i), Properties: map[string]string{"n": fmt.Sprint(i)}}
			if i%2 == 0 {
				m.Tag = "even"
			}
			if _, err := p.Send(deadline(t), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, 40)
	sub := Subscription{Topic: topic, SQL: "n BETWEEN 30 AND 49 AND TAGS IS NULL"}
	var want []string
	for i := 31; i < 50; i += 2 {
		want = append(want, fmt.Sprint(i))
	}
	var mu sync.Mutex
	var pushed []string
	all := make(chan struct{})
	push, err := c.PushConsumer(deadline(t), PushOptions{Group: unique(t), Subscriptions: []Subscription{sub}, Start: StartEarliest,
		Handler: func(_ context.Context, m *Received) error {
			mu.Lock()
			defer mu.Unlock()
			if pushed = append(pushed, string(m.Body)); len(pushed) == len(want) {
				close(all)
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	pull, err := c.PullConsumer(PullOptions{Group: unique(t), Start: StartEarliest})
	if err != nil {
		t.Fatal(err)
	}
	if err := pull.Subscribe(deadline(t), sub); err != nil {
		t.Fatal(err)
	}
	send(40, 60)
	var pulled []string
	for len(pulled) < len(want) {
		messages, err := pull.Poll(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			pulled = append(pulled, string(m.Body))
		}
	}
	select {
	case <-all:
	case <-deadline(t).Done():
		t.Error("not all was pushed")
	}
	if err := push.Close(); err != nil {
		t.Error(err)
	}
	for who, got := range map[string][]string{"pushed": pushed, "pulled": pulled} {
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s %v, want %v", who, got, want)
		}
	}
}

func TestSQLThatIsWrong(t *testing.T) {
	f := newFake(t)
	c := open(t, f.addr)
	p, err := c.PullConsumer(PullOptions{Group: "g"})
	if err != nil {
		t.Fatal(err)
	}
	err = p.Subscribe(deadline(t), Subscription{Topic: "t", SQL: "a == 1"})
	if want := `client: consumer group g: subscription to topic t: SQL "a == 1", line 1, column 4: found "="`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if n := f.requests(command.CheckClientConfig); n != 0 {
		t.Errorf("the broker was asked %d times", n)
	}
}

// A broker that does not filter says so before anything is consumed.
func TestSQLThatTheBrokerRefuses(t *testing.T) {
	b := brokerOptions(t, "broker-a")
	b.EnablePropertyFilter = false
	ns := nameServerOptions()
	c := open(t, run(t, node.Config{Nameserver: &ns, Broker: &b}).Nameserver)
	topic := unique(t)
	sendN(t, newProducer(t, c, ProducerOptions{}), topic, "", 1)
	_, err := c.PushConsumer(deadline(t), PushOptions{Group: "g", Subscriptions: []Subscription{{Topic: topic, SQL: "a = 1"}},
		Handler: func(context.Context, *Received) error { return nil }})
	var refused *Error
	if !errors.As(err, &refused) || refused.Code != 1 || !strings.Contains(refused.Remark, "SQL92") {
		t.Errorf("%v", err)
	}
}
