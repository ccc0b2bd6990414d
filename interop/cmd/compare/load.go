package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/process"
	"github.com/skuamq/skua/interop/remoting"
)

// pair starts a name server and a broker of one side. stop ends both.
func pair(ctx context.Context, h cluster.Host, side cluster.Side, settings ...string) (names, broker *cluster.Server, stop func(), err error) {
	if names, err = h.NameServer(ctx, side); err != nil {
		return nil, nil, nil, err
	}
	if broker, err = h.Broker(ctx, side, "broker-a", names.Addr, settings...); err != nil {
		names.Kill()
		return nil, nil, nil, err
	}
	stop = func() { broker.Kill(); names.Kill() }
	if err = createTopic(names, broker, "BenchmarkSkua", 8); err != nil {
		stop()
		return nil, nil, nil, err
	}
	return names, broker, stop, nil
}

// createTopic makes the topic of the loads, with the same queues on both sides, and waits for its route.
func createTopic(names, broker *cluster.Server, topic string, queues int) error {
	c, err := remoting.Dial(broker.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.CreateTopic(topic, queues); err != nil {
		return err
	}
	n, err := remoting.Dial(names.Addr)
	if err != nil {
		return err
	}
	defer n.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err = n.TopicRoute(topic); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// bench returns a measurement that warms a fresh broker up and then loads it with one mode of "skua bench".
func bench(mode string, args ...string) func(context.Context, cluster.Host, cluster.Side) (map[string]float64, error) {
	return func(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
		names, broker, stop, err := pair(ctx, h, side)
		if err != nil {
			return nil, err
		}
		defer stop()
		// The JVM compiles what it runs often: give it as long as the measurement to do so.
		if _, err := load(ctx, names, broker, mode, "--duration", duration.String(), args); err != nil {
			return nil, err
		}
		return load(ctx, names, broker, mode, "--duration", duration.String(), args)
	}
}

// consume reads what was just written.
func consume(ctx context.Context, h cluster.Host, side cluster.Side) (map[string]float64, error) {
	names, broker, stop, err := pair(ctx, h, side)
	if err != nil {
		return nil, err
	}
	defer stop()
	if _, err := load(ctx, names, broker, "produce", "--count", "500000", []string{"--conns", "8"}); err != nil {
		return nil, err
	}
	if _, err := load(ctx, names, broker, "consume", "--count", "500000", nil); err != nil {
		return nil, err
	}
	return load(ctx, names, broker, "consume", "--count", "500000", nil)
}

// load runs the generator once.
func load(ctx context.Context, names, broker *cluster.Server, mode, limit, value string, args []string) (map[string]float64, error) {
	argv := append([]string{*binary, "bench", mode, "-n", names.Addr, "--json", limit, value}, args...)
	before := cpuSeconds(broker.PID())
	out, err := process.Run(ctx, nil, filepath.Dir(*binary), argv...)
	if err != nil {
		return nil, err
	}
	spent := cpuSeconds(broker.PID()) - before
	var r struct {
		Messages float64
		Errors   float64
		Rate     float64
		Send     *struct{ P50, P99 float64 } `json:"send_ms"`
		EndToEnd *struct{ P50, P99 float64 } `json:"e2e_ms"`
	}
	// Log lines may stand before the report, which is the last line.
	report := strings.TrimSpace(out)
	if err := json.Unmarshal([]byte(report[strings.LastIndexByte(report, '\n')+1:]), &r); err != nil {
		return nil, fmt.Errorf("report %q: %w", out, err)
	}
	if r.Messages == 0 || r.Errors > 0 {
		return nil, fmt.Errorf("%v messages, %v errors: %s", r.Messages, r.Errors, out)
	}
	v := map[string]float64{"msg/s": r.Rate, "broker CPU us/msg": 1e6 * spent / r.Messages}
	if r.Send != nil {
		v["send p50 ms"], v["send p99 ms"] = r.Send.P50, r.Send.P99
	}
	if r.EndToEnd != nil {
		v["end to end p50 ms"], v["end to end p99 ms"] = r.EndToEnd.P50, r.EndToEnd.P99
	}
	return v, nil
}

// cpuSeconds is what a process has used, 0 where there is no /proc.
func cpuSeconds(pid int) float64 {
	stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name, in parentheses, may hold spaces; user and system time are the 12th and 13th field behind it.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	const ticks = 100 // a second, as Linux shows them on every architecture
	return (user + system) / ticks
}

// residentMB is the resident memory of a process, in MiB.
func residentMB(pid int) float64 { return memoryMB(pid, "VmRSS:") }

// anonymousMB is residentMB without what is in the system's cache anyhow, such as mapped files.
func anonymousMB(pid int) float64 { return memoryMB(pid, "RssAnon:") }

func memoryMB(pid int, line string) float64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for l := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(l, line); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024
		}
	}
	return 0
}
