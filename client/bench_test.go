package client

import (
	"testing"
)

// BenchmarkSendAsync measures the client's part of a send; the answers come from a fake in the same process.
func BenchmarkSendAsync(b *testing.B) {
	f := newFake(b)
	f.set(func() { f.quiet = true })
	c := open(b, f.addr)
	p := newProducer(b, c, ProducerOptions{})
	m := &Message{Topic: "t", Body: make([]byte, 1024), Tag: "a"}
	done := func(_ Sent, err error) {
		if err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	b.SetBytes(1024)
	for b.Loop() {
		if err := p.SendAsync(b.Context(), m, done); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
}
