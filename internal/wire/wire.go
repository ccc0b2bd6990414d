// Package wire moves frames of the remoting protocol: it hides both header encodings, batching of reads and writes, TLS
// on the same port, idle connections, request/response pairing and reconnection. It knows no request code.
//
// A frame, all integers big endian:
//
//	+-----------+---------------------+--------+------+
//	| length i32| type u8, hdrLen u24 | header | body |
//	+-----------+---------------------+--------+------+
//	length counts what follows it; type 0 is a JSON header, 1 a compact ("ROCKETMQ") one
//
// One goroutine reads each connection. It decodes all complete frames of a read in place, calls the handler for each,
// and sends all answers with one write: no hand-off and no allocation stands between a request and its answer. Who has
// to wait for something takes Frame.Call and answers from another goroutine. Answers may overtake one another.
//
// While nothing comes in, a connection holds no buffer, so that ten thousand idle ones cost little more than their
// goroutines' stacks. What a peer can make grow has a limit: frames, header fields, connections, requests in flight,
// bytes that wait to be written. A peer that breaks the format is disconnected, with one log line that tells what its
// first bytes look like.
//
// The files, in reading order: wire.go (the contract), server.go, pool.go, conn.go (the life of a connection), inbox.go
// and outbox.go (its two sides), pending.go (our own requests), frame.go, json.go, compact.go and encode.go (the
// format), complaint.go (what is logged of peers), tls.go and tlsfiles.go.
package wire

import (
	"errors"
	"log/slog"
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

// Errors of calls. Match them with errors.Is: they come with their cause.
var (
	ErrClosed  = errors.New("wire: connection closed")
	ErrTimeout = errors.New("wire: no answer in time")
	ErrTooMany = errors.New("wire: too many requests in flight")
)

// Call identifies a request that waits for its answer. It is a small value, to be copied and kept.
type Call struct {
	Conn     *Conn
	Code     command.Code
	Opaque   int32
	Version  int32 // of the peer
	Encoding Encoding
	Oneway   bool // nobody waits: Reply does nothing
}

// Response is an answer.
type Response struct {
	Status command.Status
	Remark string            // "": none
	Header any               // see command.Encode; nil for none
	Ext    map[string]string // further extFields, on cold paths; nil for none
	Body   []byte            // copied before Reply returns
	Parts  [][]byte          // further body, after Body; copied before Reply returns
}

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
	Handler      Handler       // nil: each request is answered REQUEST_CODE_NOT_SUPPORTED
	Closed       func(*Conn)   // called once after the last handler of a connection has returned
	Log          *slog.Logger  // nil: none
	TLS          *TLS          // nil: plain only. A server with it takes TLS on the same port; a pool dials TLS
	Encoding     Encoding      // of requests that this side sends; codes that Compact cannot carry go as JSON
	IdleTimeout  time.Duration // 120 s; closes a connection that neither reads nor writes; see IdleAfter
	WriteTimeout time.Duration // 10 s; closes a connection whose peer takes nothing
	DialTimeout  time.Duration // 3 s, TLS handshake included; pool only
	MaxFrame     int           // bytes; MaxFrame
	MaxConns     int           // server only; 0: no limit
	MaxPending   int           // requests of ours in flight on one connection; 65535
}

// IdleAfter is the IdleTimeout of Java's setting in seconds, in which 0 stands for never: a hundred years.
func IdleAfter(seconds int32) time.Duration {
	if seconds == 0 {
		return 100 * 365 * 24 * time.Hour
	}
	return time.Duration(seconds) * time.Second
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 120 * time.Second
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 3 * time.Second
	}
	if o.MaxFrame <= 0 {
		o.MaxFrame = MaxFrame
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 65535
	}
	return o
}
