// Package node runs servers together in one process: it hides in which order they start and stop, how they learn each
// other's addresses, and how others learn that they are ready.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/nameserver"
)

// stopTime bounds the stop of all servers together; supervisors kill a process after ten seconds.
const stopTime = 8 * time.Second

// Config says which servers to run.
type Config struct {
	Nameserver *nameserver.Options // nil: none
	Broker     *broker.Options     // nil: none; with a name server beside it and no namesrvAddr, it registers there
	ReadyFile  string              // where to write Addresses as JSON; "": nowhere
	Ready      func(Addresses)     // called once when all servers accept requests; may be nil
	Log        *slog.Logger
}

// server is the life of a server after it has been made.
type server interface {
	Serve(ctx context.Context) error
	Shutdown(ctx context.Context) error
}

// Run runs the servers of c until ctx ends or one of them fails, then stops all of them and returns when their
// goroutines have ended. The error is of the server that could not start, failed, or could not stop cleanly.
func Run(ctx context.Context, c Config) (err error) {
	if err := removeReady(c.ReadyFile); err != nil {
		return err
	}
	n := node{config: c, failed: make(chan error, 2)}
	defer func() { err = errors.Join(err, n.stop()) }()
	if err := n.start(); err != nil {
		return err
	}
	if err := n.announce(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		c.Log.Info("stopping")
		return nil
	case err := <-n.failed:
		return err
	}
}

// node is a running set of servers.
type node struct {
	config Config
	addrs  Addresses
	broker *broker.Broker // nil if there is none

	servers []server // in the order they were started
	failed  chan error
	wait    sync.WaitGroup
}

// start makes the servers, those first that others depend on, and lets them serve.
func (n *node) start() error {
	c := n.config
	n.addrs.PID = os.Getpid()
	if c.Nameserver != nil {
		s, err := nameserver.New(*c.Nameserver, c.Log.With("role", "namesrv"))
		if err != nil {
			return fmt.Errorf("name server: %w", err)
		}
		n.addrs.Nameserver = reachable(s.Addr())
		n.serve(s)
	}
	if c.Broker != nil {
		o := *c.Broker
		if o.NamesrvAddr == "" {
			o.NamesrvAddr = n.addrs.Nameserver
		}
		b, err := broker.New(o, c.Log.With("role", "broker"))
		if err != nil {
			return err
		}
		n.broker = b
		n.addrs.Broker = b.Advertised()
		n.serve(b)
	}
	return nil
}

// serve lets s serve. Its end before its Shutdown is a failure; its context does not end because servers are stopped in
// order.
func (n *node) serve(s server) {
	n.servers = append(n.servers, s)
	n.wait.Go(func() {
		if err := s.Serve(context.Background()); err != nil {
			n.failed <- err
		}
	})
}

// announce tells that the servers accept requests.
func (n *node) announce(ctx context.Context) error {
	if n.broker != nil {
		select {
		case <-n.broker.Registered():
		case err := <-n.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	if err := writeReady(n.config.ReadyFile, n.addrs); err != nil {
		return err
	}
	if n.config.Ready != nil {
		n.config.Ready(n.addrs)
	}
	return nil
}

// stop stops the servers in the reverse order of their start and joins them.
func (n *node) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	errs := []error{removeReady(n.config.ReadyFile)}
	for i := len(n.servers) - 1; i >= 0; i-- {
		errs = append(errs, n.servers[i].Shutdown(ctx))
	}
	n.wait.Wait()
	return errors.Join(errs...)
}
