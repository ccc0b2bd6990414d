package client

import (
	"fmt"
	"slices"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/node"
)

// Messages are sent to a topic and read by way of light queues, whose offsets are not those of the topic.
func TestLightQueues(t *testing.T) {
	ns, b := nameServerOptions(), brokerOptions(t, "broker-a")
	b.EnableLmq, b.EnableMultiDispatch = true, true
	c := open(t, run(t, node.Config{Nameserver: &ns, Broker: &b}).Nameserver)
	p := newProducer(t, c, ProducerOptions{})
	const n = 40
	var want []string
	for i := range n {
		m := &Message{Topic: "Parent", Body: fmt.Append(nil, i)}
		if i%2 == 0 {
			m.Properties = map[string]string{skua.PropMultiDispatch: "%LMQ%a,%LMQ%b"}
			want = append(want, fmt.Sprint(i))
		}
		if _, err := p.Send(deadline(t), m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Send(deadline(t), &Message{Topic: "Parent", Body: []byte("x"), Properties: map[string]string{skua.PropMultiQueueOffset: "0"}}); err == nil {
		t.Error("a message may tell its offset")
	}
	q := skua.Queue{Topic: "%LMQ%a", Broker: "broker-a"}
	reader := newPull(t, c, PullOptions{Group: "%LMQ%reader", Start: StartEarliest, Batch: 8})
	if err := reader.Assign(deadline(t), q); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, reader, n/2); !slices.Equal(got, want) {
		t.Errorf("read %v", got)
	}
	if err := reader.Commit(deadline(t)); err != nil {
		t.Error(err)
	}
	if off, err := c.Committed(deadline(t), "%LMQ%reader", q); err != nil || off != n/2 {
		t.Errorf("committed %d, %v", off, err)
	}
	if off, err := c.MaxOffset(deadline(t), q); err != nil || off != n/2 {
		t.Errorf("ends at %d, %v", off, err)
	}
	group := newPull(t, c, PullOptions{Group: "Readers", Start: StartEarliest})
	if err := group.Subscribe(deadline(t), Subscription{Topic: "%LMQ%b"}); err != nil {
		t.Fatal(err)
	}
	if got := poll(t, group, n/2); !slices.Equal(got, want) {
		t.Errorf("a group read %v", got)
	}
}
