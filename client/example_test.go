package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/skuamq/skua/client"
)

func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := client.Open(ctx, client.Options{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{Group: "orders"})
	if err != nil {
		log.Fatal(err)
	}
	sent, err := p.Send(ctx, &client.Message{Topic: "orders", Tag: "new", Keys: []string{"4711"}, Body: []byte("two herrings")})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored at", sent.Offset, "of queue", sent.Queue.ID)
}

func ExampleProducer_SendAsync() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.Producer(client.ProducerOptions{Window: 100})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		m := &client.Message{Topic: "ticks", Body: fmt.Appendf(nil, "%d", i)}
		err := p.SendAsync(ctx, m, func(_ client.Sent, err error) {
			if err != nil {
				log.Print(err)
			}
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	p.Close() // waits for all answers
}

func ExampleError() {
	var p *client.Producer // from Client.Producer
	_, err := p.Send(context.Background(), &client.Message{Topic: "orders", Body: []byte("x")})
	var refused *client.Error
	if errors.As(err, &refused) && refused.Stored {
		fmt.Println("stored, but not yet on the disks that it should be on:", refused.Remark)
	}
}

func ExampleClient_PushConsumer() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_, err = c.PushConsumer(ctx, client.PushOptions{
		Group:         "billing",
		Subscriptions: []client.Subscription{{Topic: "orders", Tags: "new || changed"}},
		Handler: func(ctx context.Context, m *client.Received) error {
			if len(m.Body) == 0 {
				return client.DeadLetter(errors.New("an order without content"))
			}
			fmt.Println(m.Tag(), string(m.Body))
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	time.Sleep(time.Minute) // whatever the program does meanwhile
}

func ExampleClient_PullConsumer() {
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{"127.0.0.1:9876"}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	p, err := c.PullConsumer(client.PullOptions{Group: "report", Start: client.StartEarliest})
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Subscribe(ctx, client.Subscription{Topic: "orders"}); err != nil {
		log.Fatal(err)
	}
	for {
		messages, err := p.Poll(ctx)
		if err != nil {
			log.Fatal(err)
		}
		for _, m := range messages {
			fmt.Println(m.Queue, m.Offset, string(m.Body))
		}
		if err := p.Commit(ctx); err != nil {
			log.Fatal(err)
		}
	}
}
