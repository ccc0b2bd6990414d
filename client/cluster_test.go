package client

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nameServer returns the address of a name server with a broker: that of SKUA_TEST_NAMESERVER, to test against servers
// of one's choice, else of ones that run in this process until the test ends.
func nameServer(t testing.TB) string {
	if addr := os.Getenv("SKUA_TEST_NAMESERVER"); addr != "" {
		return addr
	}
	ns := nameServerOptions()
	b := brokerOptions(t, "broker-a")
	return run(t, node.Config{Nameserver: &ns, Broker: &b}).Nameserver
}

// nameServerOptions are those of a name server on a free port.
func nameServerOptions() nameserver.Options {
	var o nameserver.Options
	conf.Defaults(&o)
	o.BindAddress, o.ListenPort = "127.0.0.1", 0
	return o
}

// brokerOptions are those of a broker with small files in a directory of its own, on a free port.
func brokerOptions(t testing.TB, name string) broker.Options {
	var o broker.Options
	conf.Defaults(&o)
	o.BindAddress, o.BrokerIP1, o.ListenPort = "127.0.0.1", "127.0.0.1", 0
	o.BrokerName, o.StorePathRootDir = name, t.TempDir()
	o.MappedFileSizeCommitLog, o.MaxHashSlotNum, o.MaxIndexNum = 4<<20, 1000, 4000
	return o
}

// running are servers that can be stopped before the test ends.
type running struct {
	node.Addresses
	t     testing.TB
	stop  context.CancelFunc
	ended chan error
}

// run runs servers until the test ends.
func run(t testing.TB, c node.Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{t: t, stop: stop, ended: make(chan error, 1)}
	ready := make(chan node.Addresses, 1)
	c.Log, c.Ready = slog.New(slog.DiscardHandler), func(a node.Addresses) { ready <- a }
	go func() { r.ended <- node.Run(ctx, c) }()
	t.Cleanup(r.end)
	select {
	case r.Addresses = <-ready:
	case err := <-r.ended:
		r.ended <- err
		t.Fatal(err)
	}
	return r
}

// end stops the servers and waits until they have ended.
func (r *running) end() {
	r.stop()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
	r.ended <- nil // for the next call
}

// testLog passes what the client logs on to the test.
type testLog struct{ t testing.TB }

func (w testLog) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

func quickOptions(t testing.TB, addr string) Options {
	return Options{
		NameServers: []string{addr}, Log: slog.New(slog.NewTextHandler(testLog{t}, nil)),
		tick: time.Second, rebalance: 500 * time.Millisecond, commit: 100 * time.Millisecond, pullError: 200 * time.Millisecond, redeliver: 200 * time.Millisecond,
	}
}

// open returns a client with short intervals, closed when the test ends.
func open(t testing.TB, addr string) *Client {
	t.Helper()
	c, err := Open(t.Context(), quickOptions(t, addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// unique returns a name that no other run uses.
func unique(t testing.TB) string {
	clean := strings.Map(func(r rune) rune {
		if r == '/' || r == '#' {
			return '_'
		}
		return r
	}, t.Name())
	return fmt.Sprintf("%s-%x", clean, rand.Uint32())
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func newProducer(t testing.TB, c *Client, o ProducerOptions) *Producer {
	t.Helper()
	p, err := c.Producer(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sendN sends n messages with the bodies prefix0 and up, and returns where they are.
func sendN(t testing.TB, p *Producer, topic, prefix string, n int) []Sent {
	t.Helper()
	var all []Sent
	for i := range n {
		sent, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "%s%d", prefix, i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, sent)
	}
	return all
}
