// Package wire moves frames of the remoting protocol: it hides both header encodings, batching of reads and writes, TLS
// on the same port, idle connections, request/response pairing and reconnection. It knows no request code.
//
// A frame:
//
//	+-----------+---------------------+--------+------+
//	| length i32| type u8, hdrLen u24 | header | body |
//	+-----------+---------------------+--------+------+
//	length counts what follows it; type 0 is a JSON header, 1 a compact ("ROCKETMQ") one
package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/skuamq/skua/internal/command"
)

// Encoding is the encoding of a header.
type Encoding uint8

// The encodings, as in the frame.
const (
	JSON    Encoding = 0
	Compact Encoding = 1
)

// Bits of Frame.Flag.
const (
	FlagResponse = 1
	FlagOneway   = 2
)

// MaxFrame is the default limit of a frame in bytes, its length field included.
const MaxFrame = 16 << 20

// Errors of the client side.
var (
	ErrClosed  = errors.New("wire: connection closed")
	ErrTimeout = errors.New("wire: no answer in time")
)

// Frame is a decoded frame. All slices are views of the connection's read buffer, valid until the handler returns,
// except in frames that Call, Go and Clone return, which own their memory.
type Frame struct {
	Encoding Encoding
	Code     int32 // a command.Code in requests, a command.Status in responses
	Language command.Language
	Version  int32 // ordinal of a release, see command
	Opaque   int32
	Flag     int32
	Remark   []byte
	Ext      command.Fields
	Body     []byte

	conn *Conn
}

// Clone returns a copy that owns its memory and can still be answered.
func (f *Frame) Clone() *Frame { panic("skeleton") }

// Oneway reports whether the sender wants no answer.
func (f *Frame) Oneway() bool { return f.Flag&FlagOneway != 0 }

// Conn returns the connection that the frame came in on.
func (f *Frame) Conn() *Conn { return f.conn }

// Call returns what is needed to answer the request later, from any goroutine.
func (f *Frame) Call() Call {
	return Call{Conn: f.conn, Code: command.Code(f.Code), Opaque: f.Opaque, Version: f.Version, Encoding: f.Encoding, Oneway: f.Oneway()}
}

// Call identifies a request that waits for its answer. It is a small value, to be copied and kept.
type Call struct {
	Conn     *Conn
	Code     command.Code
	Opaque   int32
	Version  int32
	Encoding Encoding
	Oneway   bool
}

// Response is an answer.
type Response struct {
	Status command.Status
	Remark string
	Header any               // see command.Encode; nil for none
	Ext    map[string]string // further extFields, on cold paths; nil for none
	Body   []byte            // copied before Reply returns
	Parts  [][]byte          // further body, after Body; copied before Reply returns
}

// Reply answers the request in the encoding that it came in. It does nothing if the request was one-way. Within a
// handler, on the connection's own goroutine, the bytes leave when all complete frames of the read have been handled;
// from other goroutines they leave at once. It does not block unless the peer has stopped reading (see
// Options.WriteTimeout). Any number of goroutines may reply on a connection. The error, ErrClosed or what the
// connection broke with, may be ignored.
func (c Call) Reply(r *Response) error { panic("skeleton") }

// Request is a request to a peer.
type Request struct {
	Code   command.Code
	Header any               // see command.Encode; nil for none
	Ext    map[string]string // further extFields; nil for none
	Body   []byte            // copied before the call returns
}

// Handler serves one request on the connection's reading goroutine: it must not block. What blocks takes req.Call() and
// answers later; req itself is valid only until the handler returns. A handler that panics is answered SYSTEM_ERROR
// with the panic's text, and logged.
type Handler func(req *Frame)

// Options configure a server or a dialer. Zero values are defaults.
type Options struct {
	Handler      Handler     // nil: each request is answered REQUEST_CODE_NOT_SUPPORTED
	Closed       func(*Conn) // called once after the last handler of a connection has returned
	Log          *slog.Logger
	TLS          *TLS          // nil: plain only
	Encoding     Encoding      // of requests that this side sends
	IdleTimeout  time.Duration // 120 s; closes a connection that neither reads nor writes
	WriteTimeout time.Duration // 10 s; closes a connection whose peer does not read
	MaxFrame     int           // MaxFrame
	MaxConns     int           // server only; 0: no limit
	MaxPending   int           // requests of ours in flight on one connection; 65535
}

// Server accepts connections.
type Server struct{}

// NewServer returns a server that is not listening yet.
func NewServer(o Options) *Server { panic("skeleton") }

// Serve accepts connections from l until Shutdown or a failure of l, whose error it returns; nil after Shutdown. It may
// run for several listeners at once.
func (s *Server) Serve(l net.Listener) error { panic("skeleton") }

// Shutdown stops accepting, answers GO_AWAY to new requests of clients that know it (version above 475), serves those
// of others, and closes each connection as soon as it is quiet, or all when ctx ends. It returns when all goroutines
// of the server have ended.
func (s *Server) Shutdown(ctx context.Context) error { panic("skeleton") }

// Conns returns the connections that are open now.
func (s *Server) Conns() []*Conn { panic("skeleton") }

// Conn is one connection, of a server or a dialer. Both sides may send requests over it.
type Conn struct{}

// RemoteAddr is the peer's address, "ip:port".
func (c *Conn) RemoteAddr() string { panic("skeleton") }

// RemoteAddrPort is the peer's address; the IPv4-mapped form is unmapped.
func (c *Conn) RemoteAddrPort() netip.AddrPort { panic("skeleton") }

// LocalAddr is our end of the connection, "ip:port".
func (c *Conn) LocalAddr() string { panic("skeleton") }

// Close closes the connection; pending calls fail with ErrClosed. It does not wait for handlers.
func (c *Conn) Close() error { panic("skeleton") }

// Done is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { panic("skeleton") }

// Value returns what SetValue stored: a slot for the server's state of the connection.
func (c *Conn) Value() any { panic("skeleton") }

// SetValue stores v. Safe for concurrent use.
func (c *Conn) SetValue(v any) { panic("skeleton") }

// Call sends a request and waits for the answer, which owns its memory. The error is ctx's, ErrClosed or a network
// error; an answer with a status other than success is no error.
func (c *Conn) Call(ctx context.Context, r *Request) (*Frame, error) { panic("skeleton") }

// Go sends a request and calls done exactly once: with the answer, which is valid until done returns, or with an error
// (ErrTimeout after timeout). done runs on the connection's reading goroutine or a timer's: it must not block.
func (c *Conn) Go(r *Request, timeout time.Duration, done func(*Frame, error)) { panic("skeleton") }

// Send sends a one-way request.
func (c *Conn) Send(r *Request) error { panic("skeleton") }

// Pool keeps one connection for each address, dialled on first use and again after it broke. Options.Handler serves
// requests that servers send. Host names are resolved at each dial.
type Pool struct{}

// NewPool returns an empty pool.
func NewPool(o Options) *Pool { panic("skeleton") }

// Conn returns the connection to addr ("host:port"), dialling if there is none. Concurrent callers share one dial.
func (p *Pool) Conn(ctx context.Context, addr string) (*Conn, error) { panic("skeleton") }

// Call is Conn followed by its Call. The error names addr.
func (p *Pool) Call(ctx context.Context, addr string, r *Request) (*Frame, error) { panic("skeleton") }

// Close closes all connections and waits for their goroutines.
func (p *Pool) Close() error { panic("skeleton") }
