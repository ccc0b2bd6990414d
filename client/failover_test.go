package client

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
	"github.com/skuamq/skua/internal/wire"
)

// ownNameServer runs a name server alone.
func ownNameServer(t testing.TB) *running {
	var ns nameserver.Options
	conf.Defaults(&ns)
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	return run(t, node.Config{Nameserver: &ns})
}

func port(t testing.TB, addr string) int32 {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return int32(n)
}

// TestBrokerRestarts: what was acknowledged before, between and after comes to the consumer, which heartbeats anew.
func TestBrokerRestarts(t *testing.T) {
	ns := ownNameServer(t)
	o := brokerOptions(t, "broker-a")
	o.NamesrvAddr = ns.Nameserver
	b := run(t, node.Config{Broker: &o})
	o.ListenPort = port(t, b.Broker)

	topic, group := unique(t), unique(t)
	c := open(t, ns.Nameserver)
	p := newProducer(t, c, ProducerOptions{SendTimeout: time.Second})
	sendN(t, p, topic, "before", 20)
	box := newInbox()
	newPush(t, c, PushOptions{Group: group, Subscriptions: []Subscription{{Topic: topic}}, Start: StartEarliest, Handler: box.handle})
	box.await(t, 20)
	for round := range 2 {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b.end()
		}()
		acknowledged := 0
		send := func() {
			if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "round%d-%d", round, acknowledged)}); err == nil {
				acknowledged++
			}
		}
		for down := false; !down; {
			send()
			select {
			case <-stopped:
				down = true
			default:
			}
		}
		b = run(t, node.Config{Broker: &o})
		for until := acknowledged + 50; acknowledged < until; {
			send()
		}
		box.until(t, func() bool {
			for i := range acknowledged {
				if box.by[fmt.Sprintf("round%d-%d", round, i)] == 0 {
					return false
				}
			}
			return true
		})
	}
}

// TestOtherBrokerTakesOver: with two brokers no send fails when one of them stops.
func TestOtherBrokerTakesOver(t *testing.T) {
	ns := ownNameServer(t)
	var brokers []*running
	for _, name := range []string{"broker-a", "broker-b"} {
		o := brokerOptions(t, name)
		o.NamesrvAddr = ns.Nameserver
		brokers = append(brokers, run(t, node.Config{Broker: &o}))
	}
	topic := unique(t)
	c := open(t, ns.Nameserver)
	p := newProducer(t, c, ProducerOptions{})
	names := map[string]int{}
	for range 2 { // the second time by the route of the topic, not of the template
		for _, s := range sendN(t, p, topic, "x", 8) {
			names[s.Queue.Broker]++
		}
		c.refreshRoutes(deadline(t))
	}
	if len(names) != 2 {
		t.Fatalf("16 messages went to %v", names)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		brokers[0].end()
	}()
	for i := 0; ; i++ {
		if _, err := p.Send(deadline(t), &Message{Topic: topic, Body: fmt.Appendf(nil, "y%d", i)}); err != nil {
			t.Errorf("send %d: %v", i, err)
		}
		select {
		case <-ended:
			sendN(t, p, topic, "z", 8)
			return
		default:
		}
	}
}

// TestOtherNameServerTakesOver: a name server that does not answer is passed over.
func TestOtherNameServerTakesOver(t *testing.T) {
	addr := nameServer(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	o := quickOptions(t, "127.0.0.1:1;"+silent.Addr().String()+";"+addr)
	o.Timeout = 200 * time.Millisecond
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	p := newProducer(t, c, ProducerOptions{SendTimeout: 2 * time.Second})
	if _, err := p.Send(ctx, &Message{Topic: unique(t), Body: []byte("x")}); err != nil {
		t.Error(err)
	}
	if first := c.names.order()[0]; first != addr {
		t.Errorf("the next question goes to %s", first)
	}
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	settings := func(mode string) (*wire.TLS, string) {
		file := filepath.Join(dir, mode)
		if err := os.WriteFile(file, []byte("tls.server.mode="+mode+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := wire.LoadTLS(file)
		if err != nil {
			t.Fatal(err)
		}
		return s, file
	}
	var ns nameserver.Options
	conf.Defaults(&ns)
	b := brokerOptions(t, "broker-a")
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	ns.TLS, _ = settings("permissive") // the broker registers without TLS
	var file string
	b.TLS, file = settings("enforcing")
	addr := run(t, node.Config{Nameserver: &ns, Broker: &b}).Nameserver
	o := quickOptions(t, addr)
	o.TLSFile = file
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	topic := unique(t)
	sendN(t, newProducer(t, c, ProducerOptions{}), topic, "x", 3)
	readAll(t, c, topic, 3)

	o.TLSFile += ".not"
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("opened with a file that does not exist")
	}
	plain := newProducer(t, open(t, addr), ProducerOptions{SendTimeout: 300 * time.Millisecond})
	if _, err := plain.Send(t.Context(), &Message{Topic: topic, Body: []byte("x")}); err == nil {
		t.Error("a broker that enforces TLS took a plain message")
	}
}
