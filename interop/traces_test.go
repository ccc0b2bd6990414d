package interop

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

const traceTopic = "RMQ_SYS_TRACE_TOPIC"

// tracedBy reads the trace topic and returns the records about a topic, in order of the alphabet. What differs from run to run is
// replaced: times, places in the log, and the ids of messages, by their bodies' names, which their keys begin with.
func tracedBy(c *remoting.Conn, topic string) (records []string) {
	var all [][]string
	for queue := range 8 {
		stored, err := c.Read(traceTopic, queue, 0)
		if err != nil {
			continue
		}
		for _, m := range stored {
			for text := range strings.SplitSeq(strings.TrimSuffix(string(m.Body), "\x02"), "\x02") {
				if f := strings.Split(text, "\x01"); len(f) > 6 && strings.TrimSuffix(f[4], "-other") == topic {
					all = append(all, f)
				}
			}
		}
	}
	names := map[string]string{}
	for _, f := range all {
		if f[0] == "Pub" {
			name, _, _ := strings.Cut(f[7], " ")
			names[f[5]] = name
		}
	}
	for _, f := range all {
		f[1], f[3], f[4], f[5] = "time", strings.Replace(f[3], topic, "group", 1), strings.Replace(f[4], topic, "topic", 1), names[f[5]]
		switch f[0] {
		case "Pub":
			f[10], f[12] = "took", "offset"
		case "EndTransaction":
			f[10] = names[f[10]]
		}
		records = append(records, strings.Join(f, "|"))
	}
	slices.Sort(records)
	return slices.Compact(records) // Java's broker may ask twice
}

// skuaTraced does with Skua's client what java/Traced.java does.
func skuaTraced(t *testing.T, names *cluster.Server, topic string) {
	t.Helper()
	c, err := client.Open(t.Context(), client.Options{NameServers: []string{names.Addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p, err := c.TransactionProducer(client.TransactionOptions{ProducerOptions: client.ProducerOptions{Group: topic, Trace: true}, Topics: []string{topic},
		Check: func(context.Context, *client.Received) client.Outcome { return client.Commit }})
	if err != nil {
		t.Fatal(err)
	}
	message := func(kind string) *client.Message {
		return &client.Message{Topic: topic, Tag: "TagA", Keys: []string{kind, "key"}, Body: []byte(kind)}
	}
	for kind, outcome := range map[string]client.Outcome{"commit": client.Commit, "rollback": client.Rollback, "asked": client.Unknown} {
		_, _, err := p.Send(within(t), message(kind), func(context.Context, client.Sent) (client.Outcome, error) { return outcome, nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	timed, err := c.Producer(client.ProducerOptions{Group: topic + "-timed", Trace: true})
	if err != nil {
		t.Fatal(err)
	}
	m := message("recalled")
	m.Delay = time.Hour
	sent, err := timed.Send(within(t), m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := timed.Recall(within(t), topic, sent.RecallHandle); err != nil {
		t.Error(err)
	}
	if _, err := timed.Recall(within(t), topic+"-other", sent.RecallHandle); err == nil {
		t.Error("recalled in another topic")
	}
}

// What Java's client and Skua's trace of the ends of transactions and of recalls is the same, to the letter. Java's traces recalls
// if a system property says so.
func TestTracesOfEndsAndRecalls(t *testing.T) {
	t.Parallel()
	names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide), append([]string{"recallMessageEnable=true"}, transactionSettings...)...)
	byJava, bySkua := topic(t, names, broker, "TracedJava", 2), topic(t, names, broker, "TracedSkua", 2)
	for _, name := range []string{byJava, bySkua} {
		topic(t, names, broker, name+"-other", 2)
	}
	p := javaProgram(t, names, "Traced", []string{"-Dcom.rocketmq.recall.default.trace.enable=true"}, byJava, byJava)
	if err := p.WaitFor(within(t), "READY"); err != nil {
		t.Fatal(err)
	}
	skuaTraced(t, names, bySkua)
	c := dial(t, broker.Addr)
	const wanted = 4 + 4 + 2
	var ofJava, ofSkua []string
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Java traces\n%s\nSkua\n%s\n%s", strings.Join(ofJava, "\n"), strings.Join(ofSkua, "\n"), p.Tail())
		}
	})
	eventually(t, time.Minute, "all traces, and the same", func() bool {
		ofJava, ofSkua = tracedBy(c, byJava), tracedBy(c, bySkua)
		return len(ofJava) >= wanted && slices.Equal(ofJava, ofSkua)
	})
}
