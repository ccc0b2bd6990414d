package main

import (
	"context"
	"strconv"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// orderly reads what was just written, with consumers that lock their queues and handle the messages of each in order.
func orderly(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	names, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	const topic = "Orderly"
	if err := createTopic(names, broker, topic, 64); err != nil {
		return nil, err
	}
	if _, err := load(ctx, names, broker, "produce", "--count", "500000", []string{"--conns", "8", "--topic", topic}); err != nil {
		return nil, err
	}
	args := []string{"--conns", "8", "--orderly", "--topic", topic}
	if _, err := load(ctx, names, broker, "consume", "--count", "500000", args); err != nil {
		return nil, err
	}
	return load(ctx, names, broker, "consume", "--count", "500000", args)
}

// pending measures the memory that a million timed messages take until they are due, and the start after a kill with them.
// A broker that has got as many messages without a time is what it is compared with.
func pending(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	_, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	c, err := remoting.Dial(broker.Addr)
	if err != nil {
		return nil, err
	}
	defer func() { c.Close() }()
	const n = 1_000_000
	fill := func(properties func(i int) map[string]string) error {
		return pipeline(c, n, func(i int) message {
			return message{topic: "Pending", queue: i % 4, properties: properties(i), body: []byte("pending")}
		})
	}
	if err := fill(func(int) map[string]string { return nil }); err != nil {
		return nil, err
	}
	time.Sleep(settle)
	resident, anonymous := residentMB(broker.PID()), anonymousMB(broker.PID())
	plain, err := restart(ctx, broker)
	if err != nil {
		return nil, err
	}
	c.Close()
	if c, err = remoting.Dial(broker.Addr); err != nil {
		return nil, err
	}
	begin := time.Now()
	day := begin.UnixMilli() + (24 * time.Hour).Milliseconds()
	if err := fill(func(i int) map[string]string {
		return map[string]string{"TIMER_DELIVER_MS": strconv.FormatInt(day+int64(i%3600)*1000, 10)}
	}); err != nil {
		return nil, err
	}
	took := time.Since(begin)
	time.Sleep(2 * settle)
	resident, anonymous = residentMB(broker.PID())-resident, anonymousMB(broker.PID())-anonymous
	timed, err := restart(ctx, broker)
	return map[string]float64{"more MiB": resident, "more MiB, not files": anonymous, "stored/s": n / took.Seconds(),
		"plain: first send ms": plain, "first send ms": timed}, err
}
