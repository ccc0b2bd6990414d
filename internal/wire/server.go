package wire

import (
	"context"
	"net"
	"sync"
	"time"
)

// Server accepts connections.
type Server struct {
	owner owner

	mu        sync.Mutex // guards the following
	conns     map[*Conn]struct{}
	listeners map[net.Listener]struct{}
	stopping  bool
	empty     chan struct{} // Shutdown waits for it: closed when the last connection has ended
}

// NewServer returns a server that is not listening yet.
func NewServer(o Options) *Server {
	s := &Server{conns: map[*Conn]struct{}{}, listeners: map[net.Listener]struct{}{}}
	s.owner.Options, s.owner.gone = o.withDefaults(), s.remove
	return s
}

// Serve accepts connections from l until Shutdown or a failure of l, whose error it returns; nil after Shutdown. It
// closes l. It may run for several listeners at once.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.owner.wait.Add(1)
	s.mu.Unlock()
	defer s.owner.wait.Done()
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = 0
			s.admit(nc)
			continue
		}
		s.mu.Lock()
		stopping := s.stopping
		s.mu.Unlock()
		if stopping {
			return nil
		}
		if temporary, ok := err.(interface{ Temporary() bool }); !ok || !temporary.Temporary() {
			return err
		}
		// Such as too many open files: others may free some.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.owner.Log.Warn("wire: cannot accept connections", "listener", l.Addr().String(), "err", err, "retry_in", pause)
		time.Sleep(pause)
	}
}

// admit starts serving nc, if there is room.
func (s *Server) admit(nc net.Conn) {
	c := newConn(&s.owner, nc, true)
	s.mu.Lock()
	full := s.owner.MaxConns > 0 && len(s.conns) >= s.owner.MaxConns
	if s.stopping || full {
		s.mu.Unlock()
		defer nc.Close()
		if full {
			if skipped, ok := s.owner.bad.admit(c.remote.Addr(), time.Now()); ok {
				s.owner.Log.Warn("wire: connection refused, there are too many", "peer", c.addr, "limit", s.owner.MaxConns, "unlogged", skipped)
			}
		}
		return
	}
	s.conns[c] = struct{}{}
	s.owner.wait.Go(c.serve)
	s.mu.Unlock()
}

func (s *Server) remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.empty != nil && len(s.conns) == 0 {
		close(s.empty)
		s.empty = nil
	}
}

// Conns returns the connections that are open now.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// Shutdown stops accepting, answers GO_AWAY to new requests of clients that know it (version above 475), serves those
// of others, and closes each connection as soon as it is quiet (no request of the peer waits for its answer), or all
// when ctx ends. It returns when all goroutines of the server have ended; the error is ctx's if that had to end
// connections that were not quiet.
func (s *Server) Shutdown(ctx context.Context) (err error) {
	s.mu.Lock()
	s.stopping = true
	for l := range s.listeners {
		l.Close()
	}
	var empty chan struct{}
	if len(s.conns) > 0 {
		if s.empty == nil {
			s.empty = make(chan struct{})
		}
		empty = s.empty
	}
	s.mu.Unlock()
	if empty != nil {
		for _, c := range s.Conns() {
			c.leave()
		}
		select {
		case <-empty:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	for _, c := range s.Conns() {
		c.Close()
	}
	s.owner.wait.Wait()
	return err
}
