// Package node runs servers together in one process: it hides in which order they start and stop, how they learn each
// other's addresses, and how others learn that they are ready.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/nameserver"
)

// stopTime bounds the stop of all servers together. Most take milliseconds; to write the entries of 100,000 queues to files that
// are not there yet takes seconds. A supervisor that has less patience kills the process, which loses nothing.
const stopTime = 25 * time.Second

// registerTime bounds how long a start waits for name servers that do not answer.
const registerTime = 3 * time.Second

// Config says which servers to run.
type Config struct {
	Nameserver *nameserver.Options // nil: none
	Broker     *broker.Options     // nil: none; it registers with the name server beside it, and with those of namesrvAddr
	ReadyFile  string              // where to write Addresses as JSON; "": nowhere
	Ready      func(Addresses)     // called once when all servers accept requests; may be nil
	Log        *slog.Logger
}

// server is the life of a server after it has been made: it serves until ctx ends or something fails, and has ended when
// Serve returns. One that never served is given up by Shutdown.
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
	n := node{config: c, addrs: Addresses{PID: os.Getpid()}, ended: make(chan struct{}, 1)}
	if err := n.make(); err != nil {
		return errors.Join(err, n.giveUp())
	}
	for _, s := range n.servers {
		n.serve(s)
	}
	err = n.announce(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
			c.Log.Info("stopping")
		case <-n.ended: // its error is among those of stop
		}
	}
	return errors.Join(err, n.stop())
}

// node is a set of servers.
type node struct {
	config  Config
	addrs   Addresses
	broker  *broker.Broker // nil if there is none
	servers []*running     // in the order of their start
	ended   chan struct{}  // has an element when a server ended by itself
}

// running is a server that serves.
type running struct {
	server
	name string
	stop context.CancelFunc
	done chan error // what Serve returned
}

// make makes the servers, those first that others depend on.
func (n *node) make() error {
	c := n.config
	if c.Nameserver != nil {
		s, err := nameserver.New(*c.Nameserver, c.Log.With("role", "namesrv"))
		if err != nil {
			return fmt.Errorf("name server: %w", err)
		}
		n.addrs.Nameserver = reachable(s.Addr())
		n.servers = append(n.servers, &running{server: s, name: "name server"})
	}
	if c.Broker != nil {
		o := *c.Broker
		o.NamesrvAddr = withOwn(n.addrs.Nameserver, o.NamesrvAddr)
		b, err := broker.New(o, c.Log.With("role", "broker"))
		if err != nil {
			return err
		}
		n.broker = b
		n.addrs.Broker = b.Advertised()
		n.servers = append(n.servers, &running{server: b, name: "broker"})
	}
	return nil
}

// withOwn adds the address of the process's own name server, if there is one, to those that are configured.
func withOwn(own, configured string) string {
	if own == "" || slices.Contains(strings.Split(configured, ";"), own) {
		return configured
	}
	if configured == "" {
		return own
	}
	return own + ";" + configured
}

// giveUp closes servers that never served.
func (n *node) giveUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	var errs []error
	for _, s := range slices.Backward(n.servers) {
		errs = append(errs, s.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// serve lets s serve. Each server has a context of its own, because they are stopped one after the other.
func (n *node) serve(s *running) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop, s.done = cancel, make(chan error, 1)
	go func() {
		s.done <- s.Serve(ctx)
		select {
		case n.ended <- struct{}{}:
		default:
		}
	}()
}

// announce tells that the servers accept requests, unless ctx or a server ends before.
func (n *node) announce(ctx context.Context) error {
	if n.broker != nil {
		select {
		case <-n.broker.Registered():
		case <-time.After(registerTime):
			// It goes on trying; what is here can be used.
		case <-n.ended:
			n.ended <- struct{}{} // for Run
			return nil
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
	late := time.NewTimer(stopTime)
	defer late.Stop()
	errs := []error{removeReady(n.config.ReadyFile)}
	for _, s := range slices.Backward(n.servers) {
		s.stop()
		select {
		case err := <-s.done:
			errs = append(errs, err)
		case <-late.C:
			return errors.Join(append(errs, fmt.Errorf("the %s does not stop within %v: giving up, as if the process had been killed", s.name, stopTime))...)
		}
	}
	return errors.Join(errs...)
}
