package client

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/broker"
)

// Ends of transactions and recalls are traced as Java's client traces them; interop/traces_test.go compares the records.
func TestTracesOfEndsAndRecalls(t *testing.T) {
	o := quickOptions(t, timedBroker(t, func(o *broker.Options) { o.TransactionTimeOut, o.TransactionCheckInterval = 50, 100 }))
	o.traceDelay = 10 * time.Millisecond
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topic, d := unique(t), newTold()
	d.outcome["asked"] = Rollback
	p, err := c.TransactionProducer(TransactionOptions{ProducerOptions: ProducerOptions{Group: "traced", Trace: true}, Check: d.check})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{} // of messages, by id
	for body, outcome := range map[string]Outcome{"committed": Commit, "rolled back": Rollback, "asked": Unknown} {
		sent, _, err := p.Send(deadline(t), &Message{Topic: topic, Tag: "A", Keys: []string{"k1", "k2"}, Body: []byte(body)}, outcomeOf(outcome, nil))
		if err != nil {
			t.Fatal(err)
		}
		names[sent.ID] = body
	}
	timed := newProducer(t, c, ProducerOptions{Group: "traced-timed", Trace: true})
	sent, err := timed.Send(deadline(t), &Message{Topic: topic, Body: []byte("recalled"), Delay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	names[sent.ID] = "recalled"
	if _, err := timed.Recall(deadline(t), topic, sent.RecallHandle); err != nil {
		t.Error(err)
	}
	if _, err := timed.Recall(deadline(t), topic+"x", sent.RecallHandle); err == nil {
		t.Error("a recall in another topic succeeded")
	}
	if _, err := c.Producer(ProducerOptions{}); err != nil {
		t.Error(err)
	}
	want := map[string]bool{
		"Pub committed 1": true, "Pub rolled back 1": true, "Pub asked 1": true, "Pub recalled 3": true, "Recall recalled true": true,
		"EndTransaction committed 2 COMMIT_MESSAGE false": true, "EndTransaction rolled back 2 ROLLBACK_MESSAGE false": true,
		"EndTransaction asked 2 UNKNOW false": true, "EndTransaction asked 2 ROLLBACK_MESSAGE true": true,
	}
	traces(t, c, func(r, keys []string) bool {
		id := r[5]
		got := r[0] + " " + names[id]
		switch r[0] {
		case "Pub":
			got += " " + r[11]
		case "EndTransaction":
			got += fmt.Sprint(" ", r[9], " ", r[11], " ", r[12])
			if r[2] != defaultRegion || r[3] != "traced" || r[4] != topic || r[6] != "A" || r[7] != "k1 k2" || !strings.Contains(r[8], ":") || r[10] != id || len(r) != 13 {
				t.Errorf("%q", r)
			}
		case "Recall":
			got += " " + r[6]
			if r[2] != defaultRegion || r[3] != "traced-timed" || r[4] != topic || len(r) != 7 {
				t.Errorf("%q", r)
			}
		}
		if !want[got] {
			t.Errorf("unexpected: %s, %q", got, r)
		}
		delete(want, got)
		return len(want) == 0
	})
}

// What there is to trace of recalls that brokers refuse, and of those that they know nothing about.
func TestTracesOfRecallsThatFail(t *testing.T) {
	for handle, want := range map[string]string{"djEgdCBiIDEgSw==": "K", "nonsense": "", "": ""} {
		if got := handleKey(handle); got != want {
			t.Errorf("key of %q is %q", handle, got)
		}
	}
}
