package wire

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"testing"

	"github.com/skuamq/skua/internal/command"
)

// sample returns a recorded request with the code and encoding, the one with the longest header.
func sample(t testing.TB, code int32, encoding string) []byte {
	var best []byte
	for _, r := range readRecorded(t) {
		if b := r.bytes(t); r.Request == code && !r.Response && r.Serialize == encoding && (best == nil || headerSize(b) > headerSize(best)) {
			best = b
		}
	}
	if best == nil {
		t.Fatalf("no frame of %v", command.Code(code))
	}
	return best
}

var hotRequests = []struct {
	name, encoding string
	code           int32
}{
	{"send", "JSON", 310}, {"send compact", "ROCKETMQ", 310}, {"pull", "JSON", 11}, {"pull compact", "ROCKETMQ", 11}, {"offset", "JSON", 15},
}

func BenchmarkDecode(b *testing.B) {
	for _, r := range hotRequests {
		frame := sample(b, r.code, r.encoding)
		b.Run(r.name, func(b *testing.B) {
			scratch, f := make([]byte, len(frame)), new(Frame)
			b.ReportAllocs()
			b.SetBytes(int64(headerSize(frame)))
			for b.Loop() {
				copy(scratch, frame)
				if _, err := frameSize(scratch, MaxFrame); err != nil {
					b.Fatal(err)
				}
				if err := f.decode(scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("encoding/json", func(b *testing.B) {
		frame := sample(b, 310, "JSON")
		b.ReportAllocs()
		for b.Loop() {
			var h struct {
				Code, Opaque, Flag, Version int32
				Language, Remark            string
				ExtFields                   map[string]string
			}
			if err := json.Unmarshal(frame[prefixSize:prefixSize+headerSize(frame)], &h); err != nil {
				b.Fatal(err)
			}
		}
	})
}

var (
	sendAnswer = &command.SendResponse{MsgID: []byte("0A00000200002A9F00000000000003E8"), QueueID: 3, QueueOffset: 123456, Region: "DefaultRegion", TraceOn: true}
	pullAnswer = &command.PullResponse{NextOffset: 1234567, MinOffset: 1, MaxOffset: 1234599}
)

func BenchmarkEncode(b *testing.B) {
	for _, r := range []struct {
		name     string
		encoding Encoding
		header   any
	}{{"send", JSON, sendAnswer}, {"send compact", Compact, sendAnswer}, {"pull", JSON, pullAnswer}} {
		b.Run(r.name, func(b *testing.B) {
			e := new(encoder)
			b.ReportAllocs()
			for b.Loop() {
				e.b = e.b[:0]
				if err := e.encode(&fixed{opaque: 12345, flag: FlagResponse, encoding: r.encoding}, r.header, nil, nil, nil, MaxFrame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// hotHandler answers as a broker would, and allocates nothing.
func hotHandler(req *Frame) {
	switch req.Code {
	case 310:
		req.Call().Reply(&Response{Header: sendAnswer})
	case 11:
		req.Call().Reply(&Response{Header: pullAnswer, Body: req.Body})
	case 15:
		req.Call().Reply(&Response{})
	}
}

// echoClient sends bursts of frames and reads the answers, without decoding them.
type echoClient struct {
	net.Conn
	burst  []byte
	answer []byte // room for the answers of one burst
}

func newEchoClient(t testing.TB, addr string, frame []byte, n int) *echoClient {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &echoClient{Conn: nc, burst: bytes.Repeat(frame, n)}
	if _, err := nc.Write(frame); err != nil {
		t.Fatal(err)
	}
	length := make([]byte, lengthSize)
	if _, err := io.ReadFull(nc, length); err != nil {
		t.Fatal(err)
	}
	size := int(length[2])<<8 | int(length[3])
	c.answer = make([]byte, n*(size+lengthSize))
	if _, err := io.ReadFull(nc, c.answer[:size]); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *echoClient) round(t testing.TB) {
	if _, err := c.Write(c.burst); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, c.answer); err != nil {
		t.Fatal(err)
	}
}

func newBenchServer(t testing.TB, o Options) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		for _, c := range s.Conns() {
			c.Close()
		}
		s.Shutdown(t.Context())
		<-done
	})
	return l.Addr().String()
}

// The hot requests cost no allocation, from the socket to the socket.
func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	addr := newBenchServer(t, Options{Handler: hotHandler})
	for _, r := range hotRequests {
		frame := sample(t, r.code, r.encoding)
		frame[headerFlag(frame)] = '0' // not one-way
		c := newEchoClient(t, addr, frame, 10)
		for range 10 {
			c.round(t)
		}
		if n := testing.AllocsPerRun(200, func() { c.round(t) }); n > 0 {
			t.Errorf("%s: %v allocations in 10 requests", r.name, n)
		}
	}
}

// headerFlag returns where the flag of a frame stands.
func headerFlag(frame []byte) int {
	if frame[4] == byte(Compact) {
		return prefixSize + 12
	}
	return bytes.Index(frame, []byte(`"flag":`)) + len(`"flag":`)
}

func BenchmarkEcho(b *testing.B) {
	addr := newBenchServer(b, Options{Handler: hotHandler})
	frame := sample(b, 310, "JSON")
	n := headerSize(frame)
	frame = append(bytes.Clone(frame[:prefixSize+n]), make([]byte, 1024)...)
	copy(frame, []byte{0, 0, byte((n + 1028) >> 8), byte(n + 1028)})
	for name, depth := range map[string]int{"sync": 1, "pipelined": 32} {
		b.Run(name, func(b *testing.B) {
			b.SetParallelism(4)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				c := newEchoClient(b, addr, frame, depth)
				for i := 0; pb.Next(); i++ {
					if i%depth == 0 {
						c.round(b)
					}
				}
			})
		})
	}
}
