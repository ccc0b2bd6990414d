package interop

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/process"
)

// requestsOf starts one of the two sides of java/Requests.java.
func requestsOf(t *testing.T, names *cluster.Server, args ...string) *process.Process {
	t.Helper()
	return javaProgram(t, names, "Requests", nil, args...)
}

// skuaClient is the client package of Skua.
func skuaClient(t *testing.T, names *cluster.Server) *client.Client {
	t.Helper()
	c, err := client.Open(t.Context(), client.Options{NameServers: []string{names.Addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// skuaAnswers answers the requests of a topic with Skua's client package.
func skuaAnswers(t *testing.T, names *cluster.Server, topic string) {
	t.Helper()
	c := skuaClient(t, names)
	p, err := c.Producer(client.ProducerOptions{Group: "skua-answer"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PushConsumer(within(t), client.PushOptions{Group: "skua-answer-consumer", Subscriptions: []client.Subscription{{Topic: topic}}, Start: client.StartEarliest,
		Handler: func(ctx context.Context, m *client.Received) error {
			reply, err := client.NewReply(m, append([]byte("re: "), m.Body...))
			if err == nil {
				reply.Properties = map[string]string{"colour": "blue"}
				_, err = p.Send(ctx, reply)
			}
			if err != nil {
				t.Log(err) // a requester that is not known yet asks again
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
}

// skuaAsks sends requests with Skua's client package, one of them of 20,000 bytes.
func skuaAsks(t *testing.T, names *cluster.Server, topic string) {
	t.Helper()
	p, err := skuaClient(t, names).Producer(client.ProducerOptions{Group: "skua-ask"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		body := fmt.Sprint("question ", i)
		if i == 0 {
			body = strings.Repeat("x", 20_000)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		m, err := p.Request(ctx, &client.Message{Topic: topic, Body: []byte(body)})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Body) != "re: "+body || m.Property("colour") != "blue" {
			t.Errorf("request %d: %.30q %v", i, m.Body, m.Properties())
		}
	}
}

// javaAsks checks what a Java program of requests has printed.
func javaAsks(t *testing.T, names *cluster.Server, topic string) {
	t.Helper()
	p := requestsOf(t, names, "ask", topic, "10")
	if err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	out := p.Output()
	for i := 1; i < 10; i++ {
		if want := fmt.Sprintf("reply re: question %d colour blue\n", i); strings.Count(out, want) != 1 {
			t.Errorf("%q is missing", want)
		}
	}
	if !strings.Contains(out, "reply of 20004 bytes colour blue\n") || !strings.Contains(out, "\ndone\n") || strings.Contains(out, "failed") {
		t.Errorf("requester:\n%s", p.Tail())
	}
}

// On brokers of both sides: Java's client asks and Java's and Skua's answer, and the other way round. The brokers store the
// same of a reply.
func TestRequestReply(t *testing.T) {
	var mu sync.Mutex
	keys := map[cluster.Side][]string{}
	t.Run("sides", func(t *testing.T) {
		for _, side := range []cluster.Side{cluster.Skua, cluster.Java} {
			if side == cluster.Skua && !needSkua() {
				continue
			}
			t.Run(string(side), func(t *testing.T) {
				t.Parallel()
				names, broker := private(t, side, side)
				ofJava := topic(t, names, broker, "JavaAnswers", 4)
				answers := requestsOf(t, names, "answer", ofJava)
				if err := answers.WaitFor(within(t), "started"); err != nil {
					t.Fatal(err)
				}
				javaAsks(t, names, ofJava)
				skuaAsks(t, names, ofJava)
				err := answers.Until(within(t), "twenty answers", func() bool { return strings.Count(answers.Output(), "answered SEND_OK") == 20 })
				if err != nil || strings.Contains(answers.Output(), "failed") {
					t.Errorf("%v, responder:\n%s", err, answers.Tail())
				}
				ofSkua := topic(t, names, broker, "SkuaAnswers", 4)
				skuaAnswers(t, names, ofSkua)
				javaAsks(t, names, ofSkua)
				skuaAsks(t, names, ofSkua)

				all, err := dial(t, broker.Addr).Read("DefaultCluster_REPLY_TOPIC", 0, 0)
				if err != nil || len(all) != 40 {
					t.Fatalf("%d replies are stored, %v", len(all), err)
				}
				// Java forgets to note that the first one, the long one, is compressed.
				if flag := all[0].SysFlag & 1; len(all[0].Body) > 1000 || (flag == 1) != (side == cluster.Skua) {
					t.Errorf("a stored reply of %d bytes with system flag %d", len(all[0].Body), all[0].SysFlag)
				}
				mu.Lock()
				defer mu.Unlock()
				keys[side] = slices.Sorted(maps.Keys(all[1].Properties)) // by Java's responder
			})
		}
	})
	if s, j := keys[cluster.Skua], keys[cluster.Java]; needSkua() && !slices.Equal(s, j) {
		t.Errorf("properties of a stored reply: Skua %v, Java %v", s, j)
	}
}

// Apache's Go client asks. It does not answer: its replies are sent without their bodies, upon which Java's broker fails.
func TestGoClientRequests(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "GoRequests", 2)
	skuaAnswers(t, names, name)
	p := newProducer(t, names, producer.WithGroupName("go-requests"))
	// Its heartbeat and its first request cross each other, so that the broker may not know it yet.
	eventually(t, time.Minute, "a reply", func() bool {
		reply, err := p.Request(context.Background(), 3*time.Second, primitive.NewMessage(name, []byte("hello")))
		return err == nil && string(reply.Body) == "re: hello"
	})
}

// forward lets clients that insist on an address reach another one. It skips the test if the address is in use.
func forward(t *testing.T, from, to string) {
	t.Helper()
	l, err := net.Listen("tcp", from)
	if err != nil {
		t.Skipf("%s is in use: %v", from, err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			for _, way := range [][2]net.Conn{{in, out}, {out, in}} {
				wait.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					way[0].Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		l.Close()
		wait.Wait()
	})
}

// Apache's own examples of requests, which name 127.0.0.1:9876 in their sources.
func TestRequestExamples(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	forward(t, "127.0.0.1:9876", names.Addr)
	topic(t, names, broker, "RequestTopic", 4)
	responder := program(t, names, "rpc.ResponseConsumer")
	if err := responder.WaitFor(within(t), "Consumer Started"); err != nil {
		t.Fatal(err)
	}
	// The responder takes its queues a moment after it has started, and begins with their newest messages.
	eventually(t, programLimit, "a reply", func() bool {
		p := program(t, names, "rpc.RequestProducer")
		return p.Wait(within(t)) == nil && strings.Contains(p.Output(), "request to <RequestTopic> cost: ")
	})
	async := program(t, names, "rpc.AsyncRequestProducer")
	if err := async.WaitFor(within(t), "request to <RequestTopic> cost: "); err != nil {
		t.Error(err)
	}
	if out := responder.Output(); !strings.Contains(out, "reply to ") || !strings.Contains(out, "sendStatus=SEND_OK") {
		t.Errorf("responder:\n%s", responder.Tail())
	}
}
