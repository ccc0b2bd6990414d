package interop

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/process"
)

// The whole product in one command: no configuration, any client.
func TestServerCommand(t *testing.T) {
	t.Parallel()
	if *binary == "" {
		t.Skip("asked for Java alone")
	}
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready.json")
	server, err := process.Start("server", dir, nil, *binary, "server", "--data", filepath.Join(dir, "data"), "--namesrv-port", "0",
		"--broker-port", "0", "--ready-file", ready)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	var at struct {
		Namesrv, Broker string
		PID             int
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err = server.Until(ctx, "ready file", func() bool {
		data, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(data, &at) == nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if at.PID != server.PID() || !cluster.Knows(at.Namesrv, at.Broker) {
		t.Errorf("ready file says %+v, the process is %d", at, server.PID())
	}
	if err := server.WaitFor(ctx, "Next:"); err != nil {
		t.Error(err)
	}
	if out := server.Output(); !strings.Contains(out, at.Namesrv) || !strings.Contains(out, at.Broker) {
		t.Errorf("the banner does not say where the servers are:\n%s", out)
	}
	names := &cluster.Server{Addr: at.Namesrv}
	// Nobody created the topic: the first send does.
	p := newProducer(t, names)
	sent := sendAll(t, p, "ServerCommand", 20, nil)
	var got received
	newConsumer(t, names, "ServerCommandGroup", "ServerCommand", "*", got.keep)
	eventually(t, 30*time.Second, "all messages", func() bool { return got.count() >= len(sent) })
	got.onceEach(t, sent)

	// The command-line clients speak to it as well.
	more, err := process.Run(ctx, nil, dir, "sh", "-c", "seq 100 | "+*binary+" produce -t FromShell -n "+at.Namesrv)
	if err != nil {
		t.Errorf("produce: %v %s", err, more)
	}
	lines, err := process.Run(ctx, nil, dir, *binary, "consume", "-t", "FromShell", "-n", at.Namesrv, "--from", "earliest", "--count", "100")
	if err != nil {
		t.Errorf("consume: %v", err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(lines) {
		seen[strings.TrimSpace(line)] = true
	}
	if !seen["1"] || !seen["50"] || !seen["100"] {
		t.Errorf("consume printed\n%s", lines)
	}
	if err := server.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
}
