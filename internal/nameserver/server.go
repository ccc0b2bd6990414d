// Package nameserver tells clients which broker holds which queues. It hides how brokers are found to be alive, how
// routes are kept and how they are written for clients of different age.
//
// Table is the state, a pure value. Server adds what is not pure: connections, the clock, the file of the KV table and
// the look whether the addresses that brokers announce can be reached. Name servers do not know each other: a broker
// registers with each of them.
package nameserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/wire"
)

// Server is a name server.
type Server struct {
	log      *slog.Logger
	options  atomic.Pointer[Options] // replaced as a whole
	listener net.Listener
	wire     *wire.Server
	peers    *wire.Pool // to brokers, for notices
	kv       *kv
	start    time.Time
	routes   routeCache

	mu    sync.RWMutex
	table *Table // guarded by mu

	changing sync.Mutex // held while options are changed

	ctx    context.Context // ends with the server
	cancel context.CancelFunc
	jobs   sync.WaitGroup // everything that runs beside the handlers

	life    sync.Mutex    // orders the beginning of Serve and that of Shutdown
	stopped bool          // guarded by life: Serve may not begin
	slots   chan struct{} // bounds the jobs that dial
}

// maxDials bounds the connections to brokers that are being made at a time.
const maxDials = 64

// New returns a name server that listens, but does not accept yet: its KV table is read and its port is bound.
func New(o Options, log *slog.Logger) (*Server, error) {
	if err := conf.Check(&o); err != nil {
		return nil, err
	}
	o.KVConfigPath, o.ConfigStorePath = expand(o.KVConfigPath), expand(o.ConfigStorePath)
	table, err := openKV(o.KVConfigPath, log)
	if err != nil {
		return nil, err
	}
	l, err := wire.Listen(o.BindAddress, int(o.ListenPort))
	if err != nil {
		return nil, err
	}
	s := &Server{log: log, listener: l, kv: table, start: time.Now(), table: NewTable(o.rules()),
		slots: make(chan struct{}, maxDials)}
	s.options.Store(&o)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wire = wire.NewServer(wire.Options{
		Handler:     s.handle,
		Closed:      s.closed,
		Log:         log,
		TLS:         o.TLS,
		IdleTimeout: wire.IdleAfter(o.ServerChannelMaxIdleTimeSeconds),
	})
	s.peers = wire.NewPool(wire.Options{Log: log, TLS: o.TLS.ForDialing()})
	return s, nil
}

// Addr is the address that the server listens on, "ip:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve accepts connections until Shutdown, Close or the end of ctx, and then returns nil; or until accepting fails. It
// is called once.
func (s *Server) Serve(ctx context.Context) error {
	if !s.begin() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	err := s.wire.Serve(s.listener)
	if !stop() {
		s.Close() // is under way: wait for it
	}
	return err
}

// begin starts what runs beside the handlers, unless the server was stopped already.
func (s *Server) begin() bool {
	s.life.Lock()
	defer s.life.Unlock()
	if !s.stopped {
		s.jobs.Go(s.scan)
	}
	return !s.stopped
}

// Shutdown stops accepting, lets requests end until ctx does, and returns when all goroutines have ended. What clients
// and brokers do not notice in time they learn by their broken connections.
func (s *Server) Shutdown(ctx context.Context) error {
	s.life.Lock()
	s.stopped = true
	s.life.Unlock()
	err := s.wire.Shutdown(ctx)
	s.listener.Close() // in case that it was never served
	s.cancel()
	s.jobs.Wait()
	return errors.Join(err, s.peers.Close())
}

// Close is Shutdown without patience.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// now is the clock of the table. It does not go back when the clock on the wall is set.
func (s *Server) now() int64 { return time.Since(s.start).Milliseconds() }

// scan removes brokers that have been silent too long, from time to time.
func (s *Server) scan() {
	tick := time.NewTicker(time.Duration(s.options.Load().ScanNotActiveBrokerInterval) * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			s.expire(s.now())
		}
	}
}

func (s *Server) expire(now int64) {
	s.mu.Lock()
	members, conns, notices := s.table.Expire(now)
	s.mu.Unlock()
	for _, m := range members {
		s.log.Warn("broker gave no sign of life and was removed", "broker", m.BrokerName, "id", m.BrokerID, "addr", m.BrokerAddr)
	}
	for _, c := range conns {
		c.(*wire.Conn).Close()
	}
	s.tell(notices)
}

// isBroker is the Value of connections that a broker registered over.
type isBroker struct{}

// closed removes the brokers of a connection that was closed.
func (s *Server) closed(c *wire.Conn) {
	if _, ok := c.Value().(isBroker); !ok {
		return
	}
	s.mu.Lock()
	members, notices := s.table.ConnClosed(c)
	s.mu.Unlock()
	for _, m := range members {
		s.log.Warn("broker was removed because its connection was closed", "broker", m.BrokerName, "id", m.BrokerID, "addr", m.BrokerAddr)
	}
	s.tell(notices)
}

// tell sends notices, if that is wanted.
func (s *Server) tell(notices []*Notice) {
	if !s.options.Load().NotifyMinBrokerIDChanged {
		return
	}
	for _, n := range notices {
		s.log.Info("lowest id of a broker changed", "broker", n.Header.BrokerName, "id", n.Header.MinBrokerID, "addr", n.Header.MinBrokerAddr)
		for _, addr := range n.To {
			s.dial(func(ctx context.Context) { s.notify(ctx, addr, n) })
		}
	}
}

// dialTimeout bounds the time that a broker has to accept a connection.
const dialTimeout = 3 * time.Second

// dial runs f beside the handlers, unless too many run already.
func (s *Server) dial(f func(context.Context)) {
	select {
	case s.slots <- struct{}{}:
	default:
		s.log.Warn("too many connections to brokers are being made, left one out", "limit", maxDials)
		return
	}
	s.jobs.Go(func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
		defer cancel()
		f(ctx)
	})
}

func (s *Server) notify(ctx context.Context, addr string, n *Notice) {
	c, err := s.peers.Conn(ctx, addr)
	if err == nil {
		err = c.Send(&wire.Request{Code: command.NotifyMinBrokerIDChange, Header: &n.Header})
	}
	if err != nil && s.ctx.Err() == nil {
		s.log.Warn("broker cannot be told that the lowest id changed", "addr", addr, "err", err)
	}
}

// reach connects to an address that a broker announced, because clients will, and says so if that fails.
func (s *Server) reach(ctx context.Context, name, addr string) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		c.Close()
		return
	}
	if s.ctx.Err() == nil {
		s.log.Warn(fmt.Sprintf("%s registered %s but this name server cannot connect: %v. If clients cannot either, set brokerIP1 of the broker to an address that they reach", name, addr, err))
	}
}
