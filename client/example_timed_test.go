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

// A reminder that is no longer needed is taken back; another one comes in its time.
func ExampleProducer_Recall() {
	nameServer, stop := servers() // that have recallMessageEnable=true
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := client.Open(ctx, client.Options{NameServers: []string{nameServer}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{Group: "reminders"})
	if err != nil {
		log.Fatal(err)
	}
	unpaid, err := p.Send(ctx, &client.Message{Topic: "reminders", Body: []byte("please pay"), Delay: time.Second})
	if err != nil {
		log.Fatal(err)
	}
	_, err = p.Send(ctx, &client.Message{Topic: "reminders", Body: []byte("please rate us"), DeliverAt: time.Now().Add(time.Second)})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.Recall(ctx, "reminders", unpaid.RecallHandle); err != nil {
		log.Fatal(err)
	}

	received := make(chan string)
	_, err = c.PushConsumer(ctx, client.PushOptions{
		Group:         "mail",
		Subscriptions: []client.Subscription{{Topic: "reminders"}},
		Start:         client.StartEarliest,
		Handler: func(ctx context.Context, m *client.Received) error {
			received <- string(m.Body)
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(<-received)
	// Output: please rate us
}

// servers runs a name server and a broker until stop is called.
func servers() (addr string, stop func()) {
	dir, err := os.MkdirTemp("", "skua-example-")
	if err != nil {
		log.Fatal(err)
	}
	var ns nameserver.Options
	var b broker.Options
	conf.Defaults(&ns)
	conf.Defaults(&b)
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	b.BindAddress, b.BrokerIP1, b.ListenPort, b.StorePathRootDir = "127.0.0.1", "127.0.0.1", 0, dir
	b.BrokerName, b.RecallMessageEnable, b.MappedFileSizeCommitLog, b.MaxHashSlotNum, b.MaxIndexNum = "broker-a", true, 4<<20, 1000, 4000
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Config{Nameserver: &ns, Broker: &b, Log: slog.New(slog.DiscardHandler),
			Ready: func(a node.Addresses) { ready <- a.Nameserver }})
	}()
	return <-ready, func() {
		cancel()
		if err := <-ended; err != nil {
			log.Print(err)
		}
		os.RemoveAll(dir)
	}
}
