package wire_test

import (
	"testing"

	"github.com/skuamq/skua/internal/wire"
)

// Answers that are sent later leave with the flush at the latest, all of them, and a shutdown waits for that.
func TestReplyLater(t *testing.T) {
	const n = 100
	calls := make(chan wire.Call, n)
	s, addr := serve(t, wire.Options{Handler: func(req *wire.Frame) { calls <- req.Call() }})
	p := pool(t, wire.Options{})
	c, err := p.Conn(soon(t), addr)
	if err != nil {
		t.Fatal(err)
	}
	answers := make(chan error, n)
	for range n {
		c.Go(&wire.Request{Code: 1}, patience, func(_ *wire.Frame, err error) { answers <- err })
	}
	var last wire.Call
	for range n {
		last = <-calls
		if err := last.ReplyLater(&wire.Response{Remark: "later"}); err != nil {
			t.Fatal(err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(soon(t)) }()
	select {
	case err := <-stopped:
		t.Fatalf("shut down before the flush: %v", err)
	default:
	}
	if err := last.Conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := <-answers; err != nil {
			t.Fatal(err)
		}
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
