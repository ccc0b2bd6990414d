// Package remoting is a second, deliberately plain client of the RocketMQ remoting protocol, written from the format
// alone. It shares no code with Skua, so that the tests do not check Skua with itself. It hides the frames.
//
//	length i32 | serialisation u8, header length u24 | header (JSON) | body
//
// The length counts all that follows it.
package remoting

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// Header is the JSON header of a frame.
type Header struct {
	Code      int               `json:"code"`
	Flag      int               `json:"flag"` // bit 0: response, bit 1: one-way
	Language  string            `json:"language"`
	Opaque    int32             `json:"opaque"`
	Remark    string            `json:"remark,omitempty"`
	Serialize string            `json:"serializeTypeCurrentRPC"`
	Version   int               `json:"version"`
	ExtFields map[string]string `json:"extFields,omitempty"`
}

// Frame is one request or answer.
type Frame struct {
	Header
	Body []byte
}

// Error is an answer with a code other than success.
type Error struct {
	Code   int
	Remark string
}

func (e *Error) Error() string { return fmt.Sprintf("CODE %d: %s", e.Code, e.Remark) }

// Int returns a number of the extFields, 0 when it is missing.
func (f *Frame) Int(name string) int64 {
	n, _ := strconv.ParseInt(f.ExtFields[name], 10, 64)
	return n
}

// Fields are the extFields of a request: names and values in turn, the values formatted as by fmt.Sprint.
func Fields(pairs ...any) map[string]string {
	m := make(map[string]string, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = fmt.Sprint(pairs[i+1])
	}
	return m
}

// Conn is a connection. Go and Call may be used from any goroutine; answers are paired by their opaque id.
type Conn struct {
	conn net.Conn
	done chan struct{} // closed when the reader has ended

	mu      sync.Mutex // guards the following and the order of writes
	out     *bufio.Writer
	opaque  int32
	pending map[int32]func(*Frame, error)
	err     error // why the connection ended
}

// Dial connects to addr within 3 seconds.
func Dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, 3*time.Second)
	if err != nil {
		return nil, err
	}
	r := &Conn{conn: c, done: make(chan struct{}), out: bufio.NewWriterSize(c, 64<<10), pending: map[int32]func(*Frame, error){}}
	go r.read()
	return r, nil
}

// Go sends a request. done is called once, from the goroutine that reads, with the answer or the reason why none came.
func (c *Conn) Go(code int, fields map[string]string, body []byte, done func(*Frame, error)) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		done(nil, c.err)
		return
	}
	c.opaque++
	id := c.opaque
	c.pending[id] = done
	header, _ := json.Marshal(Header{Code: code, Language: "JAVA", Opaque: id, Serialize: "JSON", Version: 513, ExtFields: fields})
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(4+len(header)+len(body)))
	binary.BigEndian.PutUint32(head[4:], uint32(len(header))) // its top byte, 0, means JSON
	c.out.Write(head[:])
	c.out.Write(header)
	c.out.Write(body)
	err := c.out.Flush()
	c.mu.Unlock()
	if err != nil {
		c.conn.Close() // the reader fails all that is pending
	}
}

// Call sends a request and waits up to 20 seconds for its answer. An answer other than success is an *Error; the frame is
// returned beside it.
func (c *Conn) Call(code int, fields map[string]string, body []byte) (*Frame, error) {
	type result struct {
		f   *Frame
		err error
	}
	ch := make(chan result, 1)
	c.Go(code, fields, body, func(f *Frame, err error) { ch <- result{f, err} })
	select {
	case r := <-ch:
		if r.err == nil && r.f.Code != 0 {
			return r.f, &Error{r.f.Code, r.f.Remark}
		}
		return r.f, r.err
	case <-time.After(20 * time.Second):
		return nil, fmt.Errorf("request %d to %v: no answer within 20 s", code, c.conn.RemoteAddr())
	}
}

// Close closes the connection and waits for the reader.
func (c *Conn) Close() {
	c.conn.Close()
	<-c.done
}

func (c *Conn) read() {
	defer close(c.done)
	in := bufio.NewReaderSize(c.conn, 256<<10)
	for {
		f, err := ReadFrame(in)
		if err != nil {
			c.fail(err)
			return
		}
		if f.Flag&1 == 0 {
			continue // a request of the server's, such as "members changed": none of our business
		}
		c.mu.Lock()
		done := c.pending[f.Opaque]
		delete(c.pending, f.Opaque)
		c.mu.Unlock()
		if done != nil {
			done(f, nil)
		}
	}
}

func (c *Conn) fail(err error) {
	c.conn.Close()
	c.mu.Lock()
	c.err = errors.Join(errors.New("connection ended"), err)
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, done := range pending {
		done(nil, c.err)
	}
}

// ReadFrame reads one frame with a JSON header.
func ReadFrame(in io.Reader) (*Frame, error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint32(head[:]))
	header := int(binary.BigEndian.Uint32(head[4:]))
	if length > 64<<20 || header>>24 != 0 || header > length-4 {
		return nil, fmt.Errorf("bad frame: % x", head)
	}
	data := make([]byte, length-4)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, err
	}
	f := &Frame{Body: data[header:]}
	if err := json.Unmarshal(data[:header], &f.Header); err != nil {
		return nil, fmt.Errorf("header %s: %w", data[:header], err)
	}
	return f, nil
}
