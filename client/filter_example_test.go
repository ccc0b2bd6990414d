package client_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
)

// exampleServers starts a name server and a broker, and returns the name server's address and what stops them.
func exampleServers() (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "skua-example-")
	if err != nil {
		log.Fatal(err)
	}
	var ns nameserver.Options
	var b broker.Options
	conf.Defaults(&ns)
	conf.Defaults(&b)
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	b.BindAddress, b.BrokerIP1, b.ListenPort, b.StorePathRootDir, b.BrokerName = "127.0.0.1", "127.0.0.1", 0, dir, "broker-a"
	b.MappedFileSizeCommitLog, b.MaxHashSlotNum, b.MaxIndexNum = 4<<20, 1000, 4000
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Config{Nameserver: &ns, Broker: &b, Log: slog.New(slog.DiscardHandler),
			Ready: func(a node.Addresses) { ready <- a.Nameserver }})
	}()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			log.Fatal(err)
		}
		os.RemoveAll(dir)
	}
	select {
	case addr = <-ready:
	case err := <-ended:
		log.Fatal(err)
	}
	return addr, stop
}

// A consumer that wants messages by their properties.
func ExampleSubscription_sql() {
	addr, stop := exampleServers() // or those that are there
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{Group: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	for _, amount := range []string{"8", "120", "4000"} {
		m := &client.Message{Topic: "orders", Tag: "new", Properties: map[string]string{"amount": amount, "region": "north"}, Body: []byte("order of " + amount)}
		if _, err := p.Send(ctx, m); err != nil {
			log.Fatal(err)
		}
	}
	consumer, err := c.PullConsumer(client.PullOptions{Group: "fraud", Start: client.StartEarliest})
	if err != nil {
		log.Fatal(err)
	}
	err = consumer.Subscribe(ctx, client.Subscription{Topic: "orders", SQL: "amount > 1000 AND region IN ('north', 'south') AND TAGS = 'new'"})
	if err != nil {
		log.Fatal(err)
	}
	messages, err := consumer.Poll(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages {
		fmt.Println(string(m.Body))
	}
	// Output: order of 4000
}
