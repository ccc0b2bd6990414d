package wire_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/wire"
)

// counting counts the connections that it accepts.
type counting struct {
	net.Listener
	accepted atomic.Int32
}

func (l *counting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.accepted.Add(1)
	}
	return c, err
}

func TestPoolSharesADial(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &counting{Listener: inner}
	s := wire.NewServer(wire.Options{Handler: echo})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	p := pool(t, wire.Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := p.Call(soon(t), l.Addr().String(), &wire.Request{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := l.accepted.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	p.Close()
	if _, err := p.Conn(soon(t), l.Addr().String()); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("a closed pool: %v", err)
	}
	if err := s.Shutdown(soon(t)); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

func TestPoolDialFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p := pool(t, wire.Options{})
	for range 2 { // the failure is not remembered
		if _, err := p.Call(soon(t), addr, &wire.Request{}); err == nil || !strings.Contains(err.Error(), addr) {
			t.Fatal(err)
		}
	}
	_, back := serveAt(t, addr)
	if _, err := p.Call(soon(t), back, &wire.Request{}); err != nil {
		t.Fatal(err)
	}
}

// serveAt starts an echo server at addr.
func serveAt(t testing.TB, addr string) (*wire.Server, string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skip("the port was taken meanwhile:", err)
	}
	s := wire.NewServer(wire.Options{Handler: echo})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() { s.Shutdown(soon(t)); <-served })
	return s, addr
}

// Who gives up waiting does not end the dial of others, and a dial ends by itself.
func TestPoolDialTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, but never shakes hands
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := pool(t, wire.Options{TLS: settings(t), DialTimeout: 100 * time.Millisecond})
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Conn(gone, l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := p.Conn(soon(t), l.Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestPoolCloseDuringDial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := wire.NewPool(wire.Options{TLS: settings(t)})
	failed := make(chan error, 1)
	go func() {
		_, err := p.Conn(context.Background(), l.Addr().String())
		failed <- err
	}()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if err := <-failed; err == nil {
		t.Fatal("dialled")
	}
}

// A connection that is used stays, plain or TLS, though its deadline passes again and again.
func TestBusyIsNotIdle(t *testing.T) {
	for name, o := range map[string]wire.Options{"plain": {}, "TLS": {TLS: settings(t)}} {
		t.Run(name, func(t *testing.T) {
			const idle = 200 * time.Millisecond
			_, addr := serve(t, wire.Options{Handler: echo, TLS: o.TLS, IdleTimeout: idle})
			o.IdleTimeout = idle
			p := pool(t, o)
			c, err := p.Conn(soon(t), addr)
			if err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(idle / 10)
			defer tick.Stop()
			for range 35 {
				<-tick.C
				if _, err := c.Call(soon(t), &wire.Request{}); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case <-c.Done():
			case <-time.After(patience):
				t.Error("an idle connection stays")
			}
		})
	}
}

// Old clients, which do not know GO_AWAY, are served until they are quiet; a request that nobody will answer does not
// hold Shutdown up once it is dropped; one that is only half there does not either.
func TestShutdownQuiet(t *testing.T) {
	for name, request := range map[string]string{
		"idle":    string(frame(`{"code":1}`, "")),
		"dropped": string(frame(`{"code":1}`, "") /* answered */) + string(frame(`{"code":37}`, "")),
		"half":    string(frame(`{"code":1}`, "")) + string(frame(`{"code":1}`, ""))[:9],
	} {
		t.Run(name, func(t *testing.T) {
			dropped := make(chan struct{}, 1)
			s, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) {
				if req.Code == 37 {
					req.Call().Drop()
					dropped <- struct{}{}
					return
				}
				echo(req)
			}})
			c := dial(t, addr)
			if _, err := c.Write([]byte(request)); err != nil {
				t.Fatal(err)
			}
			readFrame(t, c)
			if name == "dropped" {
				<-dropped
			}
			if err := s.Shutdown(soon(t)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Fatal("still connected")
			}
		})
	}
}

// A connection with an unanswered request is ended with Shutdown's context.
func TestShutdownByForce(t *testing.T) {
	got := make(chan wire.Call, 1)
	s, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) { got <- req.Call() }})
	c := dial(t, addr)
	c.Write(frame(`{"code":11}`, ""))
	call := <-got
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := call.Reply(&wire.Response{}); !errors.Is(err, wire.ErrClosed) {
		t.Fatal(err)
	}
}

// The server's state of a connection, and the end of it.
func TestConnValueAndClosed(t *testing.T) {
	ended := make(chan any, 1)
	s, addr := serve(t, wire.Options{
		Closed: func(c *wire.Conn) { ended <- c.Value() },
		Handler: func(req *wire.Frame) {
			if req.Conn().Value() == nil {
				req.Conn().SetValue("state")
			}
			echo(req)
		},
	})
	c := dial(t, addr)
	c.Write(frame(`{"code":1}`, ""))
	readFrame(t, c)
	at := s.Conns()[0]
	if at.RemoteAddr() != c.LocalAddr().String() || at.LocalAddr() != addr || at.RemoteAddrPort().String() != at.RemoteAddr() {
		t.Errorf("%s %s", at.RemoteAddr(), at.LocalAddr())
	}
	c.Close()
	if v := <-ended; v != "state" {
		t.Error(v)
	}
}
