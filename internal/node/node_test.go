package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// both are a name server and a broker on free ports.
func both(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	var ns nameserver.Options
	var b broker.Options
	for dst, settings := range map[any][]string{
		&ns: {"bindAddress=127.0.0.1", "listenPort=0", "kvConfigPath=" + dir + "/kv.json", "configStorePath="},
		&b: {"bindAddress=127.0.0.1", "listenPort=0", "brokerName=b", "storePathRootDir=" + dir + "/store",
			"mappedFileSizeCommitLog=1048576", "maxHashSlotNum=100", "maxIndexNum=400"},
	} {
		src, err := conf.Args(settings)
		if err == nil {
			_, err = conf.Load(dst, conf.Broker, false, src)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return Config{Nameserver: &ns, Broker: &b, ReadyFile: filepath.Join(dir, "ready"), Log: slog.New(slog.DiscardHandler)}
}

func TestRun(t *testing.T) {
	c := both(t)
	if err := os.WriteFile(c.ReadyFile, []byte("of an earlier process"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var told Addresses
	c.Ready = func(a Addresses) {
		told = a
		data, err := os.ReadFile(c.ReadyFile)
		var written Addresses
		if err == nil {
			err = json.Unmarshal(data, &written)
		}
		if err != nil || written != told || written.PID != os.Getpid() {
			t.Errorf("ready file: %s, %v, want %+v", data, err, told)
		}
		for _, addr := range []string{a.Nameserver, a.Broker} {
			if c, err := net.Dial("tcp", addr); err != nil {
				t.Error(err)
			} else {
				c.Close()
			}
		}
		stop()
	}
	if err := Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(c.ReadyFile); !os.IsNotExist(err) {
		t.Errorf("the ready file is still there: %v", err)
	}
	for _, addr := range []string{told.Nameserver, told.Broker} {
		if _, err := net.Dial("tcp", addr); err == nil {
			t.Errorf("%s still listens", addr)
		}
	}
}

// A server that cannot start takes those down that could.
func TestStartFails(t *testing.T) {
	c := both(t)
	c.Broker.FlushDiskType = "never"
	c.Ready = func(Addresses) { t.Error("ready") }
	if err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "flushDiskType") {
		t.Errorf("got %v", err)
	}
}

// A broker that waits for a name server can be stopped.
func TestStopWhileStarting(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := both(t)
	c.Nameserver, c.Broker.NamesrvAddr = nil, silent.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		if conn, err := silent.Accept(); err == nil {
			defer conn.Close()
			stop() // the broker waits for an answer now
			<-ctx.Done()
		}
	}()
	if err := Run(ctx, c); err != nil {
		t.Error(err)
	}
}

func TestWithOwn(t *testing.T) {
	for _, tt := range []struct{ own, configured, want string }{
		{"", "", ""},
		{"", "a:1;b:2", "a:1;b:2"},
		{"a:1", "", "a:1"},
		{"a:1", "b:2", "a:1;b:2"},
		{"a:1", "b:2;a:1", "b:2;a:1"},
	} {
		if got := withOwn(tt.own, tt.configured); got != tt.want {
			t.Errorf("%q, %q: got %q, want %q", tt.own, tt.configured, got, tt.want)
		}
	}
}

func TestReachable(t *testing.T) {
	for in, want := range map[string]string{"[::]:9876": "127.0.0.1:9876", "0.0.0.0:1": "127.0.0.1:1", "10.0.0.1:2": "10.0.0.1:2", "[::1]:3": "[::1]:3"} {
		if got := reachable(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
