package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skuamq/skua/client"
	"github.com/skuamq/skua/internal/node"
)

// program is skua with args as a process of its own, killed with the test.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, log *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log = new(bytes.Buffer)
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = log
	return cmd, log
}

// serverProgram runs skua server on free ports as a process of its own, and returns when its banner is out.
func serverProgram(t *testing.T, dir string, args ...string) (cmd *exec.Cmd, log *bytes.Buffer) {
	t.Helper()
	all := slices.Concat([]string{"server", "--data", dir, "--namesrv-port", "0", "--broker-port", "0"}, args, small)
	cmd, log = program(t, all...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), "consume"); {
	}
	return cmd, log
}

func TestSignalStopsCleanly(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		cmd, log := serverProgram(t, t.TempDir())
		begin := time.Now()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil || time.Since(begin) > 10*time.Second {
			t.Errorf("%v: ended with %v after %v\n%s", sig, err, time.Since(begin), log)
		}
		if !strings.Contains(log.String(), "broker unregistered") {
			t.Errorf("%v: the broker did not leave the name server\n%s", sig, log)
		}
	}
}

// A server under load, with consumers that wait, stops as soon as an idle one, and keeps what it acknowledged.
func TestSignalStopsUnderLoad(t *testing.T) {
	dir := t.TempDir()
	start := func() (*exec.Cmd, *bytes.Buffer, *client.Client) {
		ready := filepath.Join(t.TempDir(), "ready")
		cmd, log := serverProgram(t, dir, "--ready-file", ready)
		var addrs node.Addresses
		if text, err := os.ReadFile(ready); err != nil || json.Unmarshal(text, &addrs) != nil {
			t.Fatalf("ready file: %q, %v\n%s", text, err, log)
		}
		c, err := client.Open(t.Context(), client.Options{NameServers: []string{addrs.Nameserver}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return cmd, log, c
	}
	cmd, log, c := start()
	p, err := c.Producer(client.ProducerOptions{Group: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send(t.Context(), &client.Message{Topic: "load", Body: []byte("first")}); err != nil {
		t.Fatal(err)
	}
	waits, err := c.PushConsumer(t.Context(), client.PushOptions{Group: "g", Subscriptions: []client.Subscription{{Topic: "quiet"}, {Topic: "load"}},
		Handler: func(context.Context, *client.Received) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := int64(1)
	stop, senders := make(chan struct{}), sync.WaitGroup{}
	enough := make(chan struct{})
	for range 8 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := p.Send(t.Context(), &client.Message{Topic: "load", Body: make([]byte, 1000)}); err != nil {
					return
				}
				if atomic.AddInt64(&acknowledged, 1) == 1000 {
					close(enough)
				}
			}
		})
	}
	<-enough
	begin := time.Now()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || time.Since(begin) > 10*time.Second {
		t.Errorf("ended with %v after %v\n%s", err, time.Since(begin), log)
	}
	close(stop)
	_ = waits.Close()
	_ = p.Close()
	_ = c.Close()
	senders.Wait()

	cmd, log, c = start()
	defer func() {
		_ = c.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	queues, err := c.Queues(t.Context(), "load")
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	stored := int64(0)
	for _, q := range queues {
		end, err := c.MaxOffset(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		stored += int64(end)
	}
	if stored < acknowledged {
		t.Errorf("%d messages were acknowledged, %d are there", acknowledged, stored)
	}
}

func TestExitCodes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"namesrv", "bindAddress=127.0.0.1", "listenPort=" + port, "kvConfigPath=" + t.TempDir() + "/kv.json"}, exitBadStart, "port " + port + " is in use"},
		{[]string{"broker", "listenPort=x"}, exitBadConfig, "skua: command line: listenPort=x: want a whole number"},
		{[]string{"nothing"}, 1, `unknown command "nothing"`},
	} {
		cmd, log := program(t, tt.args...)
		err := cmd.Run()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() != tt.code || !strings.Contains(log.String(), tt.want) {
			t.Errorf("%v: %v, want code %d and %q in\n%s", tt.args, err, tt.code, tt.want, log)
		}
	}
}
