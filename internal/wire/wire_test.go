package wire_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// serve starts a server on a port of its own, which ends with the test.
func serve(t testing.TB, o wire.Options) (*wire.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewServer(o)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

// pool makes a pool that ends with the test.
func pool(t testing.TB, o wire.Options) *wire.Pool {
	p := wire.NewPool(o)
	t.Cleanup(func() { p.Close() })
	return p
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// echo answers with the body and the extFields of the request.
func echo(req *wire.Frame) {
	ext := map[string]string{}
	for _, f := range req.Ext {
		ext[string(f.Key)] = string(f.Value)
	}
	req.Call().Reply(&wire.Response{Ext: ext, Body: req.Body, Remark: "echo"})
}

// logged collects log lines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func TestCall(t *testing.T) {
	for _, encoding := range []wire.Encoding{wire.JSON, wire.Compact} {
		_, addr := serve(t, wire.Options{Handler: echo})
		p := pool(t, wire.Options{Encoding: encoding})
		for _, size := range []int{0, 1, 100, 70_000, 5 << 20} {
			body := strings.Repeat("x", size)
			f, err := p.Call(soon(t), addr, &wire.Request{Code: 310, Ext: map[string]string{"a": "quote \" and \x01 é"}, Body: []byte(body)})
			if err != nil {
				t.Fatal(err)
			}
			if f.Language != command.Other { // see Conn.language
				t.Errorf("a server says %v", f.Language)
			}
			if string(f.Body) != body || string(f.Remark) != "echo" || f.Ext.String("a") != "quote \" and \x01 é" || f.Encoding != encoding {
				t.Errorf("answer with %d bytes: %v %q %v", len(f.Body), f.Encoding, f.Remark, f.Ext)
			}
		}
	}
}

func TestNotSupported(t *testing.T) {
	_, addr := serve(t, wire.Options{})
	f, err := pool(t, wire.Options{}).Call(soon(t), addr, &wire.Request{Code: 999})
	if err != nil {
		t.Fatal(err)
	}
	if command.Status(f.Code) != command.StatusRequestCodeNotSupported || string(f.Remark) != " request type 999 not supported" {
		t.Errorf("%v %q", f.Code, f.Remark)
	}
}

// Pipelined calls from many goroutines, answered by others out of order.
func TestPipeline(t *testing.T) {
	var wg sync.WaitGroup
	_, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) {
		call, body := req.Call(), append([]byte(nil), req.Body...)
		wg.Go(func() { call.Reply(&wire.Response{Body: body}) })
	}})
	defer wg.Wait()
	p := pool(t, wire.Options{})
	c, err := p.Conn(soon(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	var answers sync.WaitGroup
	for i := range n {
		body := strings.Repeat(string(rune('a'+i%26)), i)
		answers.Add(1)
		c.Go(&wire.Request{Code: 1, Body: []byte(body)}, patience, func(f *wire.Frame, err error) {
			defer answers.Done()
			if err != nil || string(f.Body) != body {
				t.Errorf("request %d: %v", i, err)
			}
		})
	}
	answers.Wait()
}

func TestPanic(t *testing.T) {
	var log logged
	_, addr := serve(t, wire.Options{Log: log.logger(), Handler: func(req *wire.Frame) {
		if req.Code == 13 {
			panic("bad luck")
		}
		echo(req)
	}})
	p := pool(t, wire.Options{})
	f, err := p.Call(soon(t), addr, &wire.Request{Code: 13})
	if err != nil || command.Status(f.Code) != command.StatusSystemError || !strings.Contains(string(f.Remark), "bad luck") {
		t.Fatal(f, err)
	}
	if f, err = p.Call(soon(t), addr, &wire.Request{Code: 1}); err != nil || f.Code != 0 {
		t.Fatal("the connection must have stayed", f, err)
	}
	if !strings.Contains(log.String(), "bad luck") || !strings.Contains(log.String(), "stack=") {
		t.Errorf("log: %s", log.String())
	}
}

// The server calls the client over the client's connection.
func TestServerCalls(t *testing.T) {
	conns := make(chan *wire.Conn, 1)
	_, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) {
		conns <- req.Conn()
		echo(req)
	}})
	oneway := make(chan string, 1)
	p := pool(t, wire.Options{Handler: func(req *wire.Frame) {
		if req.Oneway() {
			oneway <- string(req.Body)
		}
		echo(req)
	}})
	if _, err := p.Call(soon(t), addr, &wire.Request{Code: 34}); err != nil {
		t.Fatal(err)
	}
	c := <-conns
	f, err := c.Call(soon(t), &wire.Request{Code: 220, Body: []byte("hello")})
	if err != nil || string(f.Body) != "hello" {
		t.Fatal(f, err)
	}
	if err := c.Send(&wire.Request{Code: 40, Body: []byte("changed")}); err != nil || <-oneway != "changed" {
		t.Fatal(err)
	}
}

func TestTimeout(t *testing.T) {
	calls := make(chan wire.Call, 8)
	_, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) { calls <- req.Call() }})
	p := pool(t, wire.Options{})
	c, err := p.Conn(soon(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 2)
	c.Go(&wire.Request{Code: 1}, patience, func(_ *wire.Frame, err error) { got <- err })
	c.Go(&wire.Request{Code: 1}, 20*time.Millisecond, func(_ *wire.Frame, err error) { got <- err })
	if err := <-got; !errors.Is(err, wire.ErrTimeout) {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Call(ctx, &wire.Request{Code: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	(<-calls).Reply(&wire.Response{})
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	(<-calls).Reply(&wire.Response{})
	(<-calls).Reply(&wire.Response{})
}

func TestCloseFailsPending(t *testing.T) {
	accepted := make(chan wire.Call, 8)
	_, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) { accepted <- req.Call() }})
	p := pool(t, wire.Options{})
	c, err := p.Conn(soon(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	c.Go(&wire.Request{Code: 1}, patience, func(_ *wire.Frame, err error) { got <- err })
	call := <-accepted
	call.Conn.Close()
	if err := <-got; !errors.Is(err, wire.ErrClosed) {
		t.Fatal(err)
	}
	<-c.Done()
	if _, err := c.Call(soon(t), &wire.Request{}); !errors.Is(err, wire.ErrClosed) {
		t.Fatal(err)
	}
	if err := call.Reply(&wire.Response{}); !errors.Is(err, wire.ErrClosed) {
		t.Fatal(err)
	}
	again, err := p.Conn(soon(t), addr)
	if err != nil || again == c {
		t.Fatal("no new connection", err)
	}
}

func TestShutdown(t *testing.T) {
	held := make(chan wire.Call, 1)
	o := wire.Options{Handler: func(req *wire.Frame) {
		if req.Code == 11 {
			held <- req.Call()
			return
		}
		echo(req)
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := wire.NewServer(o)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	p := pool(t, wire.Options{})
	c, err := p.Conn(soon(t), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	pull := make(chan error, 1)
	c.Go(&wire.Request{Code: 11}, patience, func(_ *wire.Frame, err error) { pull <- err })
	call := <-held
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(soon(t)) }()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for { // until the shutdown has reached the connection
		f, err := c.Call(soon(t), &wire.Request{Code: 1})
		if err != nil {
			t.Fatal(err)
		}
		if command.Status(f.Code) == command.StatusGoAway {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no GO_AWAY")
		}
	}
	call.Reply(&wire.Response{})
	if err := <-pull; err != nil {
		t.Fatal("the held request was not answered:", err)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	<-c.Done()
}

func TestIdle(t *testing.T) {
	_, addr := serve(t, wire.Options{IdleTimeout: 50 * time.Millisecond})
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
}

// TestNeverIdle: a connection that may idle for ever is not closed at once, as it would be if the deadline overflowed.
func TestNeverIdle(t *testing.T) {
	if got := wire.IdleAfter(7); got != 7*time.Second {
		t.Errorf("IdleAfter(7) = %v", got)
	}
	_, addr := serve(t, wire.Options{Handler: echo, IdleTimeout: wire.IdleAfter(0)})
	p := wire.NewPool(wire.Options{IdleTimeout: wire.IdleAfter(0)})
	t.Cleanup(func() { p.Close() })
	for range 2 {
		if _, err := p.Call(soon(t), addr, &wire.Request{}); err != nil {
			t.Fatal(err)
		}
	}
}
