package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
)

// servers runs a name server and a broker for an example, as "skua server" does. It returns the address of the name server.
func servers() (addr string, stop func()) {
	var n nameserver.Options
	var b broker.Options
	conf.Defaults(&n)
	conf.Defaults(&b)
	dir, err := os.MkdirTemp("", "skua-example-")
	if err != nil {
		log.Fatal(err)
	}
	n.BindAddress, n.ListenPort = "127.0.0.1", 0
	b.BindAddress, b.BrokerIP1, b.ListenPort, b.StorePathRootDir = "127.0.0.1", "127.0.0.1", 0, dir
	b.MappedFileSizeCommitLog, b.MaxHashSlotNum, b.MaxIndexNum = 4<<20, 1000, 4000
	b.RecallMessageEnable = true
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan node.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Config{Nameserver: &n, Broker: &b, Log: slog.New(slog.DiscardHandler), Ready: func(a node.Addresses) { ready <- a }})
	}()
	return (<-ready).Nameserver, func() {
		cancel()
		if err := errors.Join(<-ended, os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// Messages with the same sharding key go to the same queue, and an orderly consumer handles those of a queue one after the
// other: what happens to one order is seen in order, while others are handled at the same time. When the handler fails, the
// queue waits: nothing overtakes.
func Example_order() {
	addr, stop := servers()
	defer stop()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{Group: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range []string{"created", "paid", "shipped"} {
		if _, err := p.Send(ctx, &client.Message{Topic: "orders", ShardingKey: "order 17", Body: []byte(step)}); err != nil {
			log.Fatal(err)
		}
	}
	done, first := make(chan bool), true
	_, err = c.PushConsumer(ctx, client.PushOptions{
		Group:         "mail",
		Subscriptions: []client.Subscription{{Topic: "orders"}},
		Start:         client.StartEarliest,
		Orderly:       true,
		Handler: func(ctx context.Context, m *client.Received) error {
			if string(m.Body) == "paid" && first {
				first = false
				fmt.Println("the mail server is busy")
				return client.SuspendFor(0, errors.New("busy"))
			}
			fmt.Println(m.ShardingKey(), string(m.Body))
			if string(m.Body) == "shipped" {
				close(done)
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// order 17 created
	// the mail server is busy
	// order 17 paid
	// order 17 shipped
}

// span stands for that of a tracing library, such as OpenTelemetry's.
type span struct{ name, parent string }

// Hooks join sends and consumption to spans, whose context travels as a property of the message. Package
// interop/opentelemetry does it with OpenTelemetry's, and is there to be used or copied.
func ExampleHooks() {
	type key struct{}
	start := func(ctx context.Context, name, parent string) context.Context {
		if up, ok := ctx.Value(key{}).(span); ok && parent == "" {
			parent = up.name
		}
		return context.WithValue(ctx, key{}, span{name, parent})
	}
	hooks := client.Hooks{
		Send: func(ctx context.Context, m *client.Outgoing) func(client.Sent, error) {
			ctx = start(ctx, "send "+m.Message.Topic, "")
			m.SetProperty("traceparent", ctx.Value(key{}).(span).name)
			return func(client.Sent, error) { fmt.Printf("%+v\n", ctx.Value(key{})) }
		},
		Consume: func(ctx context.Context, m *client.Received) (context.Context, func(error)) {
			ctx = start(ctx, "consume "+m.Topic, m.Property("traceparent"))
			return ctx, func(error) {}
		},
	}

	addr, stop := servers()
	defer stop()
	ctx := start(context.Background(), "checkout", "")
	c, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler), Hooks: hooks})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.Send(ctx, &client.Message{Topic: "orders", Body: []byte("two herrings")}); err != nil {
		log.Fatal(err)
	}
	done := make(chan bool)
	_, err = c.PushConsumer(ctx, client.PushOptions{Group: "mail", Subscriptions: []client.Subscription{{Topic: "orders"}}, Start: client.StartEarliest,
		Handler: func(ctx context.Context, m *client.Received) error {
			fmt.Printf("%+v\n", ctx.Value(key{}))
			close(done)
			return nil
		}})
	if err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// {name:send orders parent:checkout}
	// {name:consume orders parent:send orders}
}

// A batch of any size: it goes in as many requests as it takes. With one sharding key all of it goes to one queue, in order.
func ExampleProducer_SendBatch() {
	addr, stop := servers()
	defer stop()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{MaxMessageSize: 64 << 10})
	if err != nil {
		log.Fatal(err)
	}
	var batch []*client.Message
	for i := range 1000 {
		batch = append(batch, &client.Message{Topic: "ticks", ShardingKey: "DAX", Body: fmt.Appendf(nil, "tick %d", i)})
	}
	sent, err := p.SendBatch(ctx, batch)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(sent), "stored, the last one at", sent[len(sent)-1].Offset)
	// Output: 1000 stored, the last one at 999
}

// The priority of a message is the number of its queue: consumers that pop from a topic that was created with
// "mqadmin updateTopic ... -a +message.type=PRIORITY" get the last queue first.
func ExampleMessage_priority() {
	addr, stop := servers()
	defer stop()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	for _, priority := range []int{2, 0, 9} { // the topic is created with four queues
		sent, err := p.Send(ctx, &client.Message{Topic: "alarms", Priority: new(priority), Body: []byte("smoke")})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("priority", priority, "in queue", sent.Queue.ID)
	}
	// Output:
	// priority 2 in queue 2
	// priority 0 in queue 0
	// priority 9 in queue 3
}
