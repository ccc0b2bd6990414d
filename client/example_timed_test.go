package client_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/skuamq/skua/client"
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
