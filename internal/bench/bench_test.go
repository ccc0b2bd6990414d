package bench

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
	var ns nameserver.Options
	var b broker.Options
	conf.Defaults(&ns)
	conf.Defaults(&b)
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	b.BindAddress, b.BrokerIP1, b.ListenPort = "127.0.0.1", "127.0.0.1", 0
	b.BrokerName, b.StorePathRootDir = "broker-a", t.TempDir()
	b.MappedFileSizeCommitLog, b.MaxHashSlotNum, b.MaxIndexNum = 4<<20, 1000, 4000
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan node.Addresses, 1), make(chan error, 1)
	go func() {
		ended <- node.Run(ctx, node.Config{
			Nameserver: &ns, Broker: &b, Log: slog.New(slog.DiscardHandler), Ready: func(a node.Addresses) { ready <- a },
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-ready:
		return a.Nameserver
	case err := <-ended:
		ended <- err
		t.Fatal(err)
		return ""
	}
}

func TestRuns(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	o := Options{NameServers: []string{nameServer(t)}, Topic: fmt.Sprintf("bench-%x", rand.Uint32()), Size: 100, Clients: 2, Window: 8, Count: 500}
	r, err := Produce(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Messages != 500 || r.Errors != 0 || r.Rate == 0 || r.Send == nil || r.Send.P50 > r.Send.Max || r.Send.Min == 0 {
		t.Errorf("produce: %+v", r)
	}
	o.Count = 0
	if r, err = Consume(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Messages < 501 || r.Errors != 0 || r.Size != 100 { // one more to begin with
		t.Errorf("consume: %+v", r)
	}
	o.Count, o.Rate = 200, 1000
	if r, err = EndToEnd(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Messages < 200 || r.Errors != 0 || r.EndToEnd == nil || r.Seconds < 0.19 {
		t.Errorf("e2e: %+v", r)
	}
	o.Orderly, o.Count = true, 0
	if r, err = Consume(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Messages < 702 || r.Errors != 0 {
		t.Errorf("orderly: %+v", r)
	}
	o.Delay, o.Count = 1500*time.Millisecond, 100
	if r, err = EndToEnd(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Messages < 100 || r.Errors != 0 || r.Seconds < 1.5 {
		t.Errorf("delayed: %+v", r)
	}
	if r, err = Transactions(ctx, o); err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.Messages != 100 || r.Errors != 0 || r.Send == nil {
		t.Errorf("transactions: %+v", r)
	}
	if text := r.String(); !strings.Contains(text, "transactions") {
		t.Errorf("report: %s", text)
	}
}

func TestDuration(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	o := Options{NameServers: []string{nameServer(t)}, Topic: fmt.Sprintf("bench-%x", rand.Uint32()), Clients: 1, Window: 1, Duration: 200 * time.Millisecond}
	r, err := Produce(ctx, o)
	if err != nil || r.Seconds < 0.2 || r.Seconds > 5 || r.Messages == 0 {
		t.Errorf("produce: %+v, %v", r, err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{Size: 4}, {Clients: -1}, {Rate: -1}, {}} {
		if _, err := Produce(t.Context(), o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
