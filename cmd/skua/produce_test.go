package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/client"
)

// cluster runs skua server and returns the address of its name server.
func cluster(t *testing.T) string {
	_, addrs := startServer(t)
	return addrs.Nameserver
}

// command runs skua with args to its end.
func command(t *testing.T, input string, args ...string) (out, log string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(input))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	err = root.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

func TestProduceAndConsume(t *testing.T) {
	ns := cluster(t)
	_, log, err := command(t, "one\n\ntwo\r\nthree", "produce", "-n", ns, "-t", "greetings", "--tag", "new", "--key", "k")
	if err != nil || !strings.Contains(log, "3 messages sent, 0 failed") {
		t.Fatalf("%v\n%s", err, log)
	}
	out, _, err := command(t, "", "consume", "-n", ns, "-t", "greetings", "--from", "earliest", "--count", "3")
	lines := strings.Fields(out)
	slices.Sort(lines)
	if err != nil || fmt.Sprint(lines) != "[one three two]" {
		t.Errorf("%q, %v", out, err)
	}

	// a group takes two, the next run of it gets the third
	var all []string
	for i, args := range [][]string{{"--count", "2"}, {"--count", "1", "--json"}} {
		out, log, err := command(t, "", slices.Concat([]string{"consume", "-n", ns, "-t", "greetings", "--from", "earliest", "--group", "g", "--tag", "new || old"}, args)...)
		if err != nil {
			t.Fatalf("run %d: %v\n%s", i, err, log)
		}
		if i == 0 {
			all = strings.Fields(out)
			continue
		}
		var m printed
		if err := json.Unmarshal([]byte(out), &m); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		if m.Topic != "greetings" || m.Tag != "new" || len(m.Keys) != 1 || m.Broker != "broker-a" || m.Properties["KEYS"] != "k" || m.ID == "" || time.Since(m.Stored) > time.Minute {
			t.Errorf("printed %s", out)
		}
		all = append(all, *m.Body)
	}
	slices.Sort(all)
	if fmt.Sprint(all) != "[one three two]" {
		t.Errorf("the group saw %v", all)
	}
}

func TestProduceInOrderAndTraced(t *testing.T) {
	ns := cluster(t)
	if _, log, err := command(t, "one\ntwo\nthree\nfour\nfive\nsix\n", "produce", "-n", ns, "-t", "steps", "--sharding-key", "k", "--trace"); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	out, _, err := command(t, "", "consume", "-n", ns, "-t", "steps", "--from", "earliest", "--count", "6")
	if err != nil || fmt.Sprint(strings.Fields(out)) != "[one two three four five six]" {
		t.Errorf("%q, %v", out, err)
	}
	out, _, err = command(t, "", "consume", "-n", ns, "-t", "RMQ_SYS_TRACE_TOPIC", "--from", "earliest", "--count", "1")
	if err != nil || !strings.HasPrefix(out, "Pub\x01") || strings.Count(out, "skua-produce\x01steps\x01") != 6 {
		t.Errorf("traces %q, %v", out, err)
	}
}

func TestProduceRate(t *testing.T) {
	ns := cluster(t)
	begun := time.Now()
	if _, log, err := command(t, strings.Repeat("x\n", 11), "produce", "-n", ns, "-t", "slow", "--rate", "50"); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if took := time.Since(begun); took < 200*time.Millisecond {
		t.Errorf("11 messages at 50 a second took %v", took)
	}
}

func TestProduceFails(t *testing.T) {
	_, log, err := command(t, "x\n", "produce", "-n", "127.0.0.1:1", "-t", "t")
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "is the server running") {
		t.Errorf("%v\n%s", err, log)
	}
	_, _, err = command(t, "x\n", "produce", "-n", "127.0.0.1:1", "-t", "no topic")
	if err == nil || !strings.Contains(err.Error(), "illegal characters") {
		t.Error(err)
	}
	if _, _, err = command(t, "x\n", "produce"); err == nil || !strings.Contains(err.Error(), "topic") {
		t.Error(err)
	}
	if _, _, err = command(t, "x\n", "produce", "-t", "t", "--rate", "-1"); err == nil || !strings.Contains(err.Error(), "--rate -1") {
		t.Error(err)
	}
	if _, _, err = command(t, "", "consume", "-t", "t", "--count", "-1"); err == nil || !strings.Contains(err.Error(), "--count -1") {
		t.Error(err)
	}
	ns := cluster(t)
	_, log, err = command(t, "x\n"+strings.Repeat("y", maxLine+1)+"\nz\n", "produce", "-n", ns, "-t", "t")
	if err == nil || !strings.Contains(err.Error(), "1 of 3 messages failed; the first one: line 2 has 4194305 bytes") || !strings.Contains(log, "2 messages sent, 1 failed") {
		t.Errorf("%v\n%s", err, log)
	}
}

// TestConsumeFollows: the command waits for a topic that does not exist, and goes on until it is stopped.
func TestConsumeFollows(t *testing.T) {
	ns := cluster(t)
	produced := make(chan error, 1)
	go func() {
		_, _, err := command(t, "one\ntwo\n", "produce", "-n", ns, "-t", "later")
		produced <- err
	}()
	r := start(t, "two\n", "consume", "-n", ns, "-t", "later", "--from", "earliest", "--group", "g")
	r.end(t)
	if err := <-produced; err != nil {
		t.Error(err)
	}
}

func TestParseStart(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]client.Start{
		"earliest": client.StartEarliest, "latest": client.StartLatest, "90m": client.StartAt(now.Add(-90 * time.Minute)),
		"2026-11-21T04:15:00Z": client.StartAt(time.Date(2026, 11, 21, 4, 15, 0, 0, time.UTC)),
		"2026-11-21 04:15:00":  client.StartAt(time.Date(2026, 11, 21, 4, 15, 0, 0, time.UTC)),
		"2026-11-21":           client.StartAt(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)),
		"1700000000000":        client.StartAt(time.UnixMilli(1700000000000)),
	} {
		got, err := parseStart(text, now)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := parseStart("soon", now); err == nil {
		t.Error("soon is a time")
	}
}

func TestBench(t *testing.T) {
	ns := cluster(t)
	for _, args := range [][]string{{"produce", "--count", "200", "--size", "64"}, {"consume", "--count", "100"}, {"e2e", "--count", "50", "--conns", "1"}} {
		out, log, err := command(t, "", slices.Concat([]string{"bench"}, args, []string{"-n", ns, "--json"})...)
		var r map[string]any
		if err != nil || json.Unmarshal([]byte(out), &r) != nil || r["mode"] != args[0] || r["messages"].(float64) < 50 {
			t.Errorf("%v: %v\n%s%s", args, err, out, log)
		}
	}
	if _, _, err := command(t, "", "bench", "consume", "-n", ns, "-t", "nothing"); err == nil || !strings.Contains(err.Error(), "TOPIC_NOT_EXIST") {
		t.Errorf("bench consume of no topic: %v", err)
	}
	if out, _, err := command(t, "", "bench", "produce", "-n", ns, "--count", "10"); err != nil || !strings.Contains(out, "messages/s") {
		t.Errorf("%v\n%s", err, out)
	}
}
