package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"time"

	"github.com/skuamq/skua"
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

func ExampleClient_TransactionProducer() {
	nameServer, stop := servers()
	defer stop()
	ctx := context.Background()
	c, err := client.Open(ctx, client.Options{NameServers: []string{nameServer}})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	payments := map[string]bool{} // stands for a table of payments, with the id of the transaction in each row
	p, err := c.TransactionProducer(client.TransactionOptions{
		ProducerOptions: client.ProducerOptions{Group: "payments"},
		Check: func(ctx context.Context, m *client.Received) client.Outcome {
			if payments[m.ID()] {
				return client.Commit
			}
			return client.Rollback
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	m := &client.Message{Topic: "orders", Tag: "paid", Body: []byte("two herrings")}
	_, outcome, err := p.Send(ctx, m, func(ctx context.Context, half client.Sent) (client.Outcome, error) {
		payments[half.ID] = true // stands for a transaction of the database
		return client.Commit, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(outcome)
	// Output: commit
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

// Two machine rooms: whose addresses begin with 10.1 are in the east, as are brokers named so.
func ExampleMachineRoomNearby() {
	nearby := client.MachineRoomNearby(client.Averagely, client.Rooms{
		Queue: func(q skua.Queue) string {
			room, _, _ := strings.Cut(q.Broker, "-")
			return room
		},
		Member: func(clientID string) string {
			if strings.HasPrefix(clientID, "10.1.") {
				return "east"
			}
			return "west"
		},
	})
	// A consumer takes it as PushOptions.Strategy or PullOptions.Strategy. What it does:
	var queues []skua.Queue
	for _, broker := range []string{"east-1", "west-1"} {
		for id := range int32(2) {
			queues = append(queues, skua.Queue{Topic: "orders", Broker: broker, ID: id})
		}
	}
	members := []string{"10.1.0.7@812#a", "10.1.0.8@67#b", "10.2.0.7@99#c"}
	for _, m := range members {
		mine, err := nearby(queues, members, m)
		fmt.Println(m, mine, err)
	}
	// Output:
	// 10.1.0.7@812#a [{orders east-1 0}] <nil>
	// 10.1.0.8@67#b [{orders east-1 1}] <nil>
	// 10.2.0.7@99#c [{orders west-1 0} {orders west-1 1}] <nil>
}

// A program that asks, and another one that knows the answer.
func ExampleProducer_Request() {
	addr, stop := servers()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()

	// The responder: a consumer that replies.
	c, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	replies, err := c.Producer(client.ProducerOptions{Group: "prices"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = c.PushConsumer(ctx, client.PushOptions{
		Group: "prices", Subscriptions: []client.Subscription{{Topic: "questions"}}, Start: client.StartEarliest,
		Handler: func(ctx context.Context, m *client.Received) error {
			err := replies.Reply(ctx, m, []byte("two pence"))
			if err != nil {
				log.Print(err) // such as that who asked is gone; asking again is up to them
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	// The requester.
	asking, err := client.Open(ctx, client.Options{NameServers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer asking.Close()
	p, err := asking.Producer(client.ProducerOptions{Group: "shop"})
	if err != nil {
		log.Fatal(err)
	}
	reply, err := p.Request(ctx, &client.Message{Topic: "questions", Body: []byte("How much is a herring?")})
	if errors.Is(err, client.ErrNoReply) {
		fmt.Println("nobody knows:", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(reply.Body))
	// Output: two pence
}
