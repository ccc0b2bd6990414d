package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skuamq/skua/internal/node"
)

// asProgram makes the test binary behave as skua, for tests that need a process of its own.
const asProgram = "SKUA_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	goleak.VerifyTestMain(m)
}

// output collects what a command prints and tells when a line with mark is there.
type output struct {
	mark string

	mu    sync.Mutex
	text  bytes.Buffer // guarded by mu
	found chan struct{}
}

func newOutput(mark string) *output { return &output{mark: mark, found: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := o.mark != "" && strings.Contains(o.text.String(), o.mark)
	o.text.Write(p)
	if o.mark != "" && !before && strings.Contains(o.text.String(), o.mark) {
		close(o.found)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a command that runs in this process.
type running struct {
	out, log *output
	stop     context.CancelFunc
	done     chan error
}

// start runs skua with args until a line with mark is printed. The test ends with the command.
func start(t *testing.T, mark string, args ...string) *running {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{out: newOutput(mark), log: newOutput(""), stop: stop, done: make(chan error, 1)}
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(r.out)
	root.SetErr(r.log)
	go func() { r.done <- root.ExecuteContext(ctx) }()
	t.Cleanup(func() { r.end(t) })
	select {
	case <-r.out.found:
	case err := <-r.done:
		r.done <- err
		t.Fatalf("skua %v ended: %v\n%s%s", args, err, r.out, r.log)
	case <-time.After(20 * time.Second):
		t.Fatalf("skua %v does not start\n%s%s", args, r.out, r.log)
	}
	return r
}

// end stops the command and waits for it.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("ended with %v\n%s", err, r.log)
		}
		r.done <- nil
	case <-time.After(15 * time.Second):
		t.Fatalf("does not stop\n%s", r.log)
	}
}

// fails runs skua with args and returns the error that it ends with.
func fails(t *testing.T, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(new(bytes.Buffer))
	root.SetErr(new(bytes.Buffer))
	err := root.ExecuteContext(ctx)
	if err == nil || ctx.Err() != nil {
		t.Fatalf("skua %v: no error", args)
	}
	return err
}

// small are settings that keep the files of a test small.
var small = []string{"mappedFileSizeCommitLog=1024*1024", "mappedFileSizeConsumeQueue=2000", "maxHashSlotNum=100", "maxIndexNum=400"}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startServer(t *testing.T, more ...string) (*running, node.Addresses) {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	args := append([]string{"server", "--data", t.TempDir(), "--namesrv-port", "0", "--broker-port", "0", "--ready-file", ready}, small...)
	r := start(t, "consume", append(args, more...)...)
	data, err := os.ReadFile(ready)
	if err != nil {
		t.Fatal(err)
	}
	var a node.Addresses
	if err := json.Unmarshal(data, &a); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.end(t)
		if _, err := os.Stat(ready); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the ready file is still there: %v", err)
		}
	})
	return r, a
}

func TestServer(t *testing.T) {
	r, a := startServer(t)
	if a.PID != os.Getpid() {
		t.Errorf("pid %d", a.PID)
	}
	for _, addr := range []string{a.Nameserver, a.Broker} {
		host, _, err := net.SplitHostPort(addr)
		c, dialled := net.Dial("tcp", addr)
		if err != nil || host != "127.0.0.1" || dialled != nil {
			t.Fatalf("%q: %v, %v", addr, err, dialled)
		}
		c.Close()
	}
	text := r.out.String()
	for _, want := range []string{a.Nameserver, "advertised    " + a.Broker + " (from skua server", "survives a killed process, not a power cut", "produce -n " + a.Nameserver} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in the banner\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n"); n > 10 {
		t.Errorf("the banner has %d lines", n)
	}
	if strings.Contains(r.log.String(), "level=WARN") || strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("a plain start warns:\n%s", r.log)
	}
}

func TestServerOnAllAddresses(t *testing.T) {
	r, a := startServer(t, "--host", "0.0.0.0", "brokerIP1=203.0.113.7")
	if !strings.HasPrefix(a.Nameserver, "127.0.0.1:") || !strings.HasPrefix(a.Broker, "203.0.113.7:") {
		t.Errorf("ready file: %+v", a)
	}
	for _, want := range []string{"0.0.0.0:", "from elsewhere 203.0.113.7:", "(from command line; whoever reaches it can read and write)"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("%q is missing in the banner\n%s", want, r.out)
		}
	}
}

func TestServerTakesSettings(t *testing.T) {
	file := write(t, "broker.conf", "brokerName=from-file\nbrokerClusterName = C1\nflushDiskType=ASYNC_FLUSH\nbrokerip1=10.0.0.1\nsendMessageThreadPoolNums=16\n")
	r, _ := startServer(t, "-c", file, "flushDiskType=SYNC_FLUSH")
	for _, want := range []string{"from-file of C1", "survives a killed process and a power cut"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("%q is missing in the banner\n%s", want, r.out)
		}
	}
	for _, want := range []string{"did you mean brokerIP1?", file + ":4", "have no effect in Skua", "sendMessageThreadPoolNums"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("%q is missing in the log\n%s", want, r.log)
		}
	}
}

func TestSeparateServers(t *testing.T) {
	ns := start(t, "boot success", "namesrv", "-c", write(t, "namesrv.conf", "listenPort=0\nkvConfigPath="+t.TempDir()+"/kv.json\n"))
	var port int
	if _, err := fmt.Sscanf(lastLine(ns.out), "The Name Server boot success. serializeType=JSON, address 0.0.0.0:%d", &port); err != nil {
		t.Fatalf("%v: %s", err, ns.out)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	args := append([]string{"broker", "-n", addr, "listenPort=0", "brokerName=b1", "brokerIP1=127.0.0.1", "storePathRootDir=" + t.TempDir()}, small...)
	b := start(t, "boot success", args...)
	var brokerPort int
	line := lastLine(b.out)
	if _, err := fmt.Sscanf(line, "The broker[b1, 127.0.0.1:%d] boot success. serializeType=JSON and name server is "+addr, &brokerPort); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	if !strings.Contains(b.log.String(), `msg="advertising 127.0.0.1" from="command line"`) {
		t.Errorf("the log does not say what is advertised:\n%s", b.log)
	}
}

func lastLine(o *output) string {
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	return lines[len(lines)-1]
}

func TestPrint(t *testing.T) {
	t.Setenv("NAMESRV_ADDR", "10.0.0.9:9876")
	file := write(t, "broker.conf", "# mine\nlistenPort=20911\n")
	for _, tt := range []struct {
		args []string
		want []string
	}{
		{[]string{"broker", "-p", "-c", file, "fileReservedTime=48"}, []string{
			"listenPort=20911 ", "# " + file + ":2", "fileReservedTime=48 ", "# command line", "namesrvAddr=10.0.0.9:9876 ",
			"# environment NAMESRV_ADDR", "pullMessageThreadPoolNums=20 ", "# default, no effect in Skua", "# host name", "# home directory"}},
		{[]string{"broker", "-p", "-n", "10.0.0.8:9876"}, []string{"namesrvAddr=10.0.0.8:9876 "}},
		{[]string{"broker", "-p", "durability=strict"}, []string{"flushDiskType=SYNC_FLUSH ", "# durability=strict"}},
		{[]string{"broker", "-p", "durability=safe", "flushIntervalCommitLog=250"}, []string{"flushIntervalCommitLog=250 ",
			"flushDiskType=ASYNC_FLUSH ", "# durability=safe"}},
		{[]string{"namesrv", "-p"}, []string{"listenPort=9876 ", "kvConfigPath="}},
		{[]string{"broker", "-m", "lisenPort=1"}, []string{"listenPort=10911 ", "did you mean listenPort?"}},
		{[]string{"server", "-p", "--data", "d"}, []string{"bindAddress=127.0.0.1 ", "# skua server", "/d/store "}},
	} {
		var out bytes.Buffer
		root := newRootCommand()
		root.SetArgs(tt.args)
		root.SetOut(&out)
		root.SetErr(&out)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Errorf("%v: %v", tt.args, err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%v: %q is missing in\n%s", tt.args, want, &out)
			}
		}
	}
}

func TestBadConfiguration(t *testing.T) {
	bad := write(t, "bad.conf", "brokerName=a\nlistenPort=ten\n")
	twice := write(t, "twice.conf", "brokerName=a\nbrokerName=b\n")
	high := write(t, "high.conf", "# mine\nbrokerName=a\n\ndiskMaxUsedSpaceRatio = 101\nmaxMessageSize=0\n")
	few := write(t, "few.conf", "mappedFileSizeCommitLog=1GB\nmaxStoreSize=1GB\n")
	idle := write(t, "namesrv.conf", "serverChannelMaxIdleTimeSeconds=-1\n")
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"broker", "-c", bad}, exitBadConfig, bad + ":2: listenPort=ten: want a whole number"},
		{[]string{"broker", "-c", high}, exitBadConfig, high + ":4: diskMaxUsedSpaceRatio=101: want a whole number from 1 to 100 percent\n" +
			high + ":5: maxMessageSize=0: want a whole number from 1 to 65472KB, or one with a unit"},
		{[]string{"broker", "-c", few}, exitBadConfig, few + ":2: maxStoreSize=1073741824: want 0 or at least twice mappedFileSizeCommitLog, 2147483648 bytes"},
		{[]string{"broker", "brokerRole=SLAVE"}, exitBadConfig, "command line: brokerRole=SLAVE: want ASYNC_MASTER or SYNC_MASTER: replication"},
		{[]string{"namesrv", "-c", idle}, exitBadConfig, idle + ":1: serverChannelMaxIdleTimeSeconds=-1: want a whole number from 0 to 2147483647 s"},
		{[]string{"broker", "-c", "/nowhere.conf"}, exitBadConfig, "/nowhere.conf: no such file"},
		{[]string{"broker", "-n", "nohost"}, exitBadStart, "The Name Server Address[nohost] illegal"},
		{[]string{"broker", "oops"}, exitBadConfig, `"oops" is no setting, want key=value`},
		{[]string{"broker", "--strict-config", "-c", twice}, exitBadConfig, twice + ":2: key brokerName was set before"},
		{[]string{"namesrv", "--strict-config", "listenport=1"}, exitBadConfig, "did you mean listenPort?"},
		{[]string{"server", "--data", t.TempDir(), "flushDiskType=never"}, exitBadConfig, "command line: flushDiskType=never: want ASYNC_FLUSH or SYNC_FLUSH"},
		{[]string{"server", "--namesrv-port", "99999"}, 1, "99999"},
	} {
		err := fails(t, tt.args...)
		code := 1
		if e, ok := errors.AsType[*exitError](err); ok {
			code = e.code
		}
		if code != tt.code || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: got %q (code %d), want %q in it (code %d)", tt.args, err, code, tt.want, tt.code)
		}
	}
}

// Servers that take nothing but TLS reach one another, and clients with TLS reach them.
func TestEnforcedTLS(t *testing.T) {
	tls := write(t, "tls.properties", "tls.server.mode=enforcing\ntls.test.mode.enable=true\n")
	r, a := startServer(t, "--tls-config", tls)
	if !strings.Contains(r.log.String(), "registered with name server") {
		t.Errorf("the broker did not register:\n%s", r.log)
	}
	if _, log, err := command(t, "x\n", "produce", "-n", a.Nameserver, "-t", "t", "--tls", tls); err != nil {
		t.Errorf("with TLS: %v\n%s", err, log)
	}
	if _, _, err := command(t, "x\n", "produce", "-n", a.Nameserver, "-t", "t"); err == nil {
		t.Error("a client without TLS was served")
	}
	plain := write(t, "plain.properties", "tls.server.mode=enforcing\ntls.test.mode.enable=true\ntls.enable=false\n")
	if r, _ := startServer(t, "--tls-config", plain); !strings.Contains(r.log.String(), "level=WARN") {
		t.Error("a broker that dials without TLS registered with a name server that wants it")
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	free := []string{"server", "--data", t.TempDir()}
	for _, args := range [][]string{
		append(append(free, "--broker-port", port, "--namesrv-port", "0"), small...),
		append(append(free, "--namesrv-port", port, "--broker-port", "0"), small...),
	} {
		err := fails(t, args...)
		for _, want := range []string{"port " + port, "listenPort", "--namesrv-port and --broker-port"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in: %v", want, err)
			}
		}
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	args := append([]string{"server", "--data", dir, "--namesrv-port", "0", "--broker-port", "0"}, small...)
	start(t, "consume", args...)
	if err := fails(t, args...); !strings.Contains(err.Error(), "another broker") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}
