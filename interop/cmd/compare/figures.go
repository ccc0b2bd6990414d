package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// accepted sends until a message is accepted and returns how long that took from begin on.
func accepted(ctx context.Context, addr string, begin time.Time) (ms float64, err error) {
	for {
		var c *remoting.Conn
		if c, err = remoting.Dial(addr); err == nil {
			_, err = c.Send("Ready", 0, nil, []byte("ready"))
			c.Close()
			if err == nil {
				return float64(time.Since(begin).Microseconds()) / 1000, nil
			}
		}
		if ctx.Err() != nil || time.Since(begin) > 2*time.Minute {
			return 0, errors.Join(ctx.Err(), err)
		}
		time.Sleep(time.Millisecond)
	}
}

// start measures from the start of the process to the first accepted message, on an empty directory.
func start(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	_, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	broker.Kill()
	if err := broker.Erase(); err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := broker.Launch(); err != nil {
		return nil, err
	}
	ms, err := accepted(ctx, broker.Addr, begin)
	return map[string]float64{"first send ms": ms}, err
}

// settle is how long a server rests before its memory is looked at.
const settle = 5 * time.Second

// idle measures the memory of a broker and a name server that do nothing.
func idle(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	names, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	time.Sleep(settle)
	return map[string]float64{"broker MiB": residentMB(broker.PID()), "name server MiB": residentMB(names.PID())}, nil
}

// connections measures what 10,000 connections cost that sent something once.
func connections(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	_, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	time.Sleep(settle)
	before := residentMB(broker.PID())
	const n = 10_000
	conns := make([]*remoting.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for len(conns) < n {
		c, err := remoting.Dial(broker.Addr)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", len(conns), err)
		}
		conns = append(conns, c)
		if _, _, err := c.Bounds("TBW102", 0); err != nil {
			return nil, fmt.Errorf("connection %d: %w", len(conns), err)
		}
	}
	time.Sleep(settle)
	return map[string]float64{"more MiB": residentMB(broker.PID()) - before}, nil
}

// topics measures how long it takes to create 1,000 topics of 8 queues, and to send to each queue.
func topics(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	_, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	c, err := remoting.Dial(broker.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	begin := time.Now()
	const n, queues = 1000, 8
	for i := range n {
		if err := c.CreateTopic(fmt.Sprint("Topic", i), queues); err != nil {
			return nil, err
		}
	}
	created := time.Since(begin)
	begin = time.Now()
	err = pipeline(c, n*queues, func(i int) message {
		return message{topic: fmt.Sprint("Topic", i/queues), queue: i % queues, body: []byte("hello")}
	})
	return map[string]float64{"create s": created.Seconds(), "send s": time.Since(begin).Seconds(),
		"broker MiB": residentMB(broker.PID())}, err
}

// crash fills a store with 2 GiB, kills the broker and measures its next start.
func crash(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	_, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	c, err := remoting.Dial(broker.Addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	const size = 4000
	body := make([]byte, size)
	if err := pipeline(c, 2<<30/size, func(i int) message { return message{topic: "Crash", queue: i % 4, body: body} }); err != nil {
		return nil, err
	}
	ms, err := restart(ctx, broker)
	return map[string]float64{"first send ms": ms}, err
}

// restart kills a broker and returns how long it takes until the next one accepts a message.
func restart(ctx context.Context, broker *cluster.Server) (ms float64, err error) {
	broker.Kill()
	begin := time.Now()
	if err := broker.Launch(); err != nil {
		return 0, err
	}
	return accepted(ctx, broker.Addr, begin)
}

// message is one that pipeline sends.
type message struct {
	topic      string
	queue      int
	properties map[string]string
	body       []byte
}

// busy is the answer of a Java broker that sheds load: the message was not stored.
const busy = 2

// pipeline sends n messages with 64 in flight, again those that the broker was too busy for.
func pipeline(c *remoting.Conn, n int, each func(i int) message) error {
	todo := make([]int, n)
	for i := range todo {
		todo[i] = i
	}
	for len(todo) > 0 {
		refused, err := flight(c, todo, each)
		if err != nil {
			return err
		}
		todo = refused
	}
	return nil
}

// flight sends the given messages and returns those that were refused.
func flight(c *remoting.Conn, todo []int, each func(i int) message) (refused []int, err error) {
	var wait sync.WaitGroup
	var mu sync.Mutex // guards refused and err
	window := make(chan struct{}, 64)
	for _, i := range todo {
		m := each(i)
		window <- struct{}{}
		wait.Add(1)
		c.Go(remoting.SendV2, remoting.SendFields(m.topic, m.queue, remoting.Properties(m.properties)), m.body, func(f *remoting.Frame, failed error) {
			defer wait.Done()
			<-window
			mu.Lock()
			defer mu.Unlock()
			switch {
			case failed != nil:
				err = fmt.Errorf("send %d: %w", i, failed)
			case f.Code == busy:
				refused = append(refused, i)
			case f.Code != 0:
				err = fmt.Errorf("send %d: %w", i, &remoting.Error{Code: f.Code, Remark: f.Remark})
			}
		})
	}
	wait.Wait()
	return refused, err
}
