package wire

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// Why this side closes a connection.
var (
	errIdle     = errors.New("neither read from nor written to for too long")
	errShutdown = errors.New("shutting down")
	errStalled  = errors.New("peer has taken no bytes")
)

const (
	complaintGap  = time.Minute // between two log lines about a peer
	complaintRoom = 1024        // peers that are remembered
)

// complaints bound how often a peer can make us log.
type complaints struct {
	mu    sync.Mutex
	peers map[netip.Addr]*complaint
}

type complaint struct {
	logged  time.Time
	skipped int
}

// admit reports whether a line about peer may be logged, and how many have not been since the last one.
func (c *complaints) admit(peer netip.Addr, now time.Time) (skipped int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.peers[peer]; old != nil {
		if now.Sub(old.logged) < complaintGap {
			old.skipped++
			return 0, false
		}
		skipped = old.skipped
	}
	if c.peers == nil || len(c.peers) >= complaintRoom {
		c.peers = make(map[netip.Addr]*complaint)
	}
	c.peers[peer] = &complaint{logged: now}
	return skipped, true
}

// complain logs why the connection is closed, if that is the peer's fault.
func (c *Conn) complain(err error) {
	var broken protocolError
	if !errors.As(err, &broken) && !errors.Is(err, errStalled) && !errors.Is(err, errTLS) {
		return
	}
	skipped, ok := c.owner.bad.admit(c.remote.Addr(), time.Now())
	if !ok {
		return
	}
	args := []any{"peer", c.addr, "reason", err.Error()}
	if broken != "" {
		first := c.in.suspect()
		args = append(args, "first", string(first))
		if h := hint(first); h != "" {
			args = append(args, "hint", h)
		}
	}
	if skipped > 0 {
		args = append(args, "unlogged", skipped)
	}
	c.owner.Log.Warn("wire: connection closed", args...)
}

// suspect returns the first bytes of the frame that is broken.
func (in *inbox) suspect() []byte {
	b := in.buf.b[in.start:]
	if _, err := frameSize(b, MaxFrame); err == nil {
		b = in.buf.b[in.last:]
	}
	return b[:min(len(b), 32)]
}

// hint says what a foreign peer is, going by its first bytes.
func hint(first []byte) string {
	for _, h := range [...]struct{ prefix, text string }{
		{"PRI * HTTP/2", "an HTTP/2 or gRPC client: this is a remoting port, 5.x clients connect to a proxy's gRPC port (8081)"},
		{"GET ", "an HTTP client: this is a remoting port"},
		{"POST ", "an HTTP client: this is a remoting port"},
		{"PUT ", "an HTTP client: this is a remoting port"},
		{"HEAD ", "an HTTP client: this is a remoting port"},
		{"OPTIONS ", "an HTTP client: this is a remoting port"},
		{"CONNECT ", "an HTTP client: this is a remoting port"},
		{"SSH-", "an SSH client: this is a remoting port"},
		{"PROXY ", "a PROXY protocol header: switch it off in the load balancer"},
		{"\r\n\r\n\x00\r\nQUIT\n", "a PROXY protocol header: switch it off in the load balancer"},
		{"\x16\x03", "a TLS client, but TLS is off here: see tls.server.mode"},
	} {
		if bytes.HasPrefix(first, []byte(h.prefix)) {
			return h.text
		}
	}
	return ""
}
