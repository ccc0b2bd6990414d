package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// frame makes a JSON frame.
func frame(header, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(header)))
	return append(append(b, header...), body...)
}

func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// What is no frame closes the connection, and is logged once with a peer and a reason.
func TestGarbage(t *testing.T) {
	nested := `{"x":` + strings.Repeat("[", 100_000)
	for name, c := range map[string]struct{ send, log string }{
		"HTTP":                  {"GET / HTTP/1.1\r\n\r\n", "an HTTP client"},
		"gRPC":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "gRPC port (8081)"},
		"TLS":                   {"\x16\x03\x01\x02\x00\x01\x00", "tls.server.mode"},
		"PROXY":                 {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "load balancer"},
		"length 0":              {"\x00\x00\x00\x00", "length field 0"},
		"length 3":              {"\x00\x00\x00\x03", "length field 3"},
		"length negative":       {"\xff\xff\xff\xfe", "length field -2"},
		"frame too great":       {"\x00\xff\xff\xfd", "length field 16777213"},
		"header beyond frame":   {"\x00\x00\x00\x10\x00\x00\x00\x20", "header length 32"},
		"unknown type":          {"\x00\x00\x00\x10\x07\x00\x00\x04", "serialize type 7"},
		"no JSON":               {string(frame("hello", "")), "JSON header"},
		"header nested deeply":  {string(frame(nested, "")), "nests deeper"},
		"no header":             {string(frame("", "body")), "JSON header ends"},
		"compact header of one": {"\x00\x00\x00\x05\x01\x00\x00\x01\x00", "compact header of 1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var log logged
			_, addr := serve(t, wire.Options{Log: log.logger(), Handler: echo})
			for range 3 {
				nc := dial(t, addr)
				if _, err := io.WriteString(nc, c.send); err != nil {
					t.Fatal(err)
				}
				if n, err := nc.Read(make([]byte, 1)); n > 0 || err == nil {
					t.Fatal("the connection stayed open")
				} else if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Fatal("the connection stayed open")
				}
			}
			text := log.String()
			if !strings.Contains(text, c.log) || !strings.Contains(text, "peer=127.0.0.1:") || strings.Count(text, "\n") != 1 {
				t.Errorf("log: %s", text)
			}
		})
	}
}

// A frame may come byte by byte.
func TestSlowFrames(t *testing.T) {
	_, addr := serve(t, wire.Options{Handler: echo})
	c := dial(t, addr)
	request := frame(`{"code":1,"opaque":7,"extFields":{"a":"b\u0001"}}`, "body")
	for range 3 {
		for i := range request {
			if _, err := c.Write(request[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if got := readFrame(t, c); !bytes.HasSuffix(got, []byte("body")) || !bytes.Contains(got, []byte(`"a":"b\u0001"`)) {
			t.Fatalf("%q", got)
		}
	}
}

// readFrame reads one frame without its length.
func readFrame(t testing.TB, r io.Reader) []byte {
	t.Helper()
	length := make([]byte, 4)
	if _, err := io.ReadFull(r, length); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint32(length))
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatal(err)
	}
	return b
}

// Frames of all sizes in one stream, cut anywhere.
func TestFramesCutAnywhere(t *testing.T) {
	_, addr := serve(t, wire.Options{Handler: echo})
	c := dial(t, addr)
	var stream []byte
	var sizes []int
	for i := range 60 {
		size := []int{0, 10, 1000, 40_000, 70_000, 600_000}[i%6] + i
		sizes = append(sizes, size)
		stream = append(stream, frame(`{"code":1}`, strings.Repeat("b", size))...)
	}
	go func() {
		for cut := 1; len(stream) > 0; cut = cut*7%100_003 + 1 {
			n := min(cut, len(stream))
			if _, err := c.Write(stream[:n]); err != nil {
				return
			}
			stream = stream[n:]
		}
	}()
	for i, size := range sizes {
		b := readFrame(t, c)
		if body := b[4+int(binary.BigEndian.Uint32(b)):]; len(body) != size {
			t.Fatalf("answer %d has a body of %d bytes, want %d", i, len(body), size)
		}
	}
}

// The greatest frame is taken, one byte more is not.
func TestFrameLimit(t *testing.T) {
	const limit = 100_000
	_, addr := serve(t, wire.Options{MaxFrame: limit, Handler: func(req *wire.Frame) { req.Call().Reply(&wire.Response{}) }})
	header := `{"code":1}`
	c := dial(t, addr)
	if _, err := c.Write(frame(header, strings.Repeat("b", limit-8-len(header)))); err != nil {
		t.Fatal(err)
	}
	readFrame(t, c)
	c.Write(frame(header, strings.Repeat("b", limit-7-len(header))))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("taken")
	}
}

// An answer beyond the limit becomes an error that says so.
func TestAnswerTooGreat(t *testing.T) {
	_, addr := serve(t, wire.Options{MaxFrame: 10_000, Handler: func(req *wire.Frame) {
		req.Call().Reply(&wire.Response{Parts: [][]byte{make([]byte, 6000), make([]byte, 6000)}})
	}})
	f, err := pool(t, wire.Options{}).Call(soon(t), addr, &wire.Request{})
	if err != nil || command.Status(f.Code) != command.StatusSystemError || !strings.Contains(string(f.Remark), "exceeds the limit of 10000") {
		t.Fatal(f, err)
	}
}

// One-way requests are never answered, whatever the handler does.
func TestManyOneway(t *testing.T) {
	var handled atomic.Int64
	_, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) {
		handled.Add(1)
		if req.Code == 2 {
			panic("one-way")
		}
		req.Call().Reply(&wire.Response{Body: make([]byte, 1000)})
	}})
	c := dial(t, addr)
	const n = 20_000
	oneway := frame(`{"code":1,"flag":2}`, "")
	if _, err := c.Write(append(bytes.Repeat(oneway, n), frame(`{"code":2,"flag":2}`, "")...)); err != nil {
		t.Fatal(err)
	}
	c.Write(frame(`{"code":1,"opaque":77}`, ""))
	if b := readFrame(t, c); !bytes.Contains(b, []byte(`"opaque":77`)) {
		t.Fatalf("%q", b)
	}
	if handled.Load() != n+2 {
		t.Errorf("%d handled", handled.Load())
	}
}

// A peer that sends and never reads is disconnected; what waits for it stays bounded.
func TestPeerNeverReads(t *testing.T) {
	var log logged
	closed := make(chan struct{})
	_, addr := serve(t, wire.Options{
		Log: log.logger(), WriteTimeout: 100 * time.Millisecond, Closed: func(*wire.Conn) { close(closed) },
		Handler: func(req *wire.Frame) { req.Call().Reply(&wire.Response{Body: make([]byte, 100_000)}) },
	})
	c := dial(t, addr)
	request := bytes.Repeat(frame(`{"code":1}`, ""), 100)
	for {
		if _, err := c.Write(request); err != nil {
			break
		}
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("still connected")
	}
	if !strings.Contains(log.String(), "taken no bytes") {
		t.Errorf("log: %s", log.String())
	}
}

// Who answers from another goroutine is not held up by a peer that does not read, until the backlog is full.
func TestReplyDoesNotBlock(t *testing.T) {
	call := silent(t, wire.Options{WriteTimeout: time.Hour})
	answered := make(chan error, 3)
	go func() {
		// Far more than the kernel takes, then a little, for which there is room in the backlog.
		for _, size := range []int{12 << 20, 1000, 1000} {
			answered <- call.Reply(&wire.Response{Body: make([]byte, size)})
		}
	}()
	for range cap(answered) {
		select {
		case err := <-answered:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience):
			t.Fatal("held up")
		}
	}
}

// A connection says when sending would block: not before the backlog is full.
func TestBacklogged(t *testing.T) {
	call := silent(t, wire.Options{WriteTimeout: time.Hour})
	if call.Conn.Backlogged() {
		t.Error("nothing has been sent yet")
	}
	for sent := 0; !call.Conn.Backlogged(); sent++ {
		if sent == 64 {
			t.Fatal("64 MiB are on their way to a peer that does not read")
		}
		if err := call.Conn.Send(&wire.Request{Code: 1, Body: make([]byte, 1<<20)}); err != nil {
			t.Fatal(err)
		}
	}
	call.Conn.Close()
	if call.Conn.Backlogged() {
		t.Error("sending to a closed connection does not block")
	}
}

// In the end, an answer to a peer that does not read fails.
func TestReplyGivesUp(t *testing.T) {
	call := silent(t, wire.Options{WriteTimeout: 100 * time.Millisecond})
	for !errors.Is(call.Reply(&wire.Response{Body: make([]byte, 1<<20)}), wire.ErrClosed) {
	}
}

// silent is a request of a peer that does not read.
func silent(t *testing.T, o wire.Options) wire.Call {
	calls := make(chan wire.Call, 1)
	o.Handler = func(req *wire.Frame) { calls <- req.Call() }
	_, addr := serve(t, o)
	c := dial(t, addr)
	if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(frame(`{"code":1}`, "")); err != nil {
		t.Fatal(err)
	}
	return <-calls
}

func TestTooManyConns(t *testing.T) {
	var log logged
	s, addr := serve(t, wire.Options{MaxConns: 2, Log: log.logger(), Handler: echo})
	for range 2 {
		c := dial(t, addr)
		c.Write(frame(`{"code":1}`, ""))
		readFrame(t, c)
	}
	if _, err := dial(t, addr).Read(make([]byte, 1)); err == nil {
		t.Fatal("a third connection was served")
	}
	if n := len(s.Conns()); n != 2 || !strings.Contains(log.String(), "limit=2") {
		t.Errorf("%d connections, log: %s", n, log.String())
	}
}

func TestTooManyPending(t *testing.T) {
	calls := make(chan wire.Call, 2)
	_, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) { calls <- req.Call() }})
	p := pool(t, wire.Options{MaxPending: 1})
	c, err := p.Conn(soon(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	c.Go(&wire.Request{}, patience, func(_ *wire.Frame, err error) { got <- err })
	if _, err := c.Call(soon(t), &wire.Request{}); !errors.Is(err, wire.ErrTooMany) {
		t.Fatal(err)
	}
	(<-calls).Reply(&wire.Response{})
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

// Ten thousand idle connections are to cost 100 MB at most, their kernel buffers apart.
func TestIdleMemory(t *testing.T) {
	if wire.RaceEnabled {
		t.Skip("the race detector's memory is not ours")
	}
	const n = 500
	s, addr := serve(t, wire.Options{Handler: echo})
	memory := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	dial(t, addr)
	before := memory()
	half := frame(`{"code":1,"remark":"not complete`, "")
	for i := range n {
		c := dial(t, addr)
		if _, err := c.Write(frame(`{"code":1,"extFields":{"a":"b","c":"d"}}`, strings.Repeat("b", 1000))); err != nil {
			t.Fatal(err)
		}
		readFrame(t, c)
		if i%2 == 0 {
			c.Write(half[:len(half)-1])
		}
	}
	if open := len(s.Conns()); open < n {
		t.Fatalf("%d connections", open)
	}
	each := (memory() - before) / n
	t.Logf("%d bytes for each connection, the client's side included", each)
	if each > 10_000 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
}
