package broker

import (
	"context"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// Requests about a static topic that this broker cannot answer alone are forwarded to other brokers, once: what is forwarded
// says so (lo=false), and is answered for the queue that it names.

const (
	forwardWorkers = 64
	maxForwards    = 10_000
	maxPeers       = 10_000 // brokers whose addresses are kept
)

// peers are the brokers that requests are forwarded to. The pool makes connections as they are needed.
type peers struct {
	pool *wire.Pool

	mu    sync.Mutex
	addrs map[string]string // of masters, by broker name; guarded by mu
}

// known returns the address of a broker, "" if it is not known.
func (p *peers) known(name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addrs[name]
}

// note remembers addresses; they take the place of those that were known.
func (p *peers) note(brokers []command.BrokerData) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addrs == nil || len(p.addrs) > maxPeers {
		p.addrs = map[string]string{}
	}
	for _, b := range brokers {
		if addr := b.Addrs[skua.Master]; addr != "" {
			p.addrs[b.Name] = addr
		}
	}
}

// forget drops an address that did not answer.
func (p *peers) forget(name, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.addrs[name] == addr {
		delete(p.addrs, name)
	}
}

// askBroker sends a request about a topic to another broker that has it, and returns the answer. It blocks up to
// forwardTimeout, and longer if the name servers have to be asked where the broker is. The error is a refusal.
func (b *Broker) askBroker(topic, name string, r *wire.Request) (*wire.Frame, error) {
	ctx, cancel := context.WithTimeout(b.running, time.Duration(b.options.Load().ForwardTimeout)*time.Millisecond)
	defer cancel()
	if addr := b.peers.known(name); addr != "" {
		f, err := b.peers.pool.Call(ctx, addr, r)
		if err == nil {
			return f, nil
		}
		b.peers.forget(name, addr)
		if ctx.Err() != nil {
			return nil, unreached(name, err)
		}
	}
	// It is not known, or has moved.
	if d, _ := b.askRoute(topic); d != nil {
		b.peers.note(d.Brokers)
	}
	addr := b.peers.known(name)
	if addr == "" {
		return nil, refusalf(command.StatusSystemError, "cannot find addr for broker %s: no name server lists its master for topic %s; start the broker", name, topic)
	}
	f, err := b.peers.pool.Call(ctx, addr, r)
	if err != nil {
		b.peers.forget(name, addr)
		return nil, unreached(name, err)
	}
	return f, nil
}

func unreached(name string, err error) error {
	return refusalf(command.StatusSystemError, "broker %s, which has a part of the queue, could not be asked: %v", name, err)
}

// unexpected is the refusal of a request because a broker that was asked has refused it.
func unexpected(name string, f *wire.Frame) error {
	return refusalf(command.StatusSystemError, "unexpected remote response code: broker %s answered %s: %s", name, command.Status(f.Code), f.Remark)
}
