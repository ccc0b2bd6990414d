package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// Pool keeps one connection for each address, dialled on first use and again after it broke. Options.Handler serves
// requests that servers send. Host names are resolved at each dial. A failed dial is not tried again by itself: how long
// to wait is the caller's choice. Its methods are safe for concurrent use.
type Pool struct {
	owner owner
	ctx   context.Context // ends with Close
	stop  context.CancelFunc

	mu     sync.Mutex // guards the following
	lines  map[string]*line
	closed bool
}

// line is the way to one address.
type line struct {
	addr  string
	ready chan struct{} // closed when the dial has ended, then conn or err is set
	conn  *Conn
	err   error
}

// NewPool returns an empty pool.
func NewPool(o Options) *Pool {
	p := &Pool{lines: map[string]*line{}}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.owner.Options, p.owner.gone = o.withDefaults(), p.remove
	return p
}

// Conn returns the connection to addr ("host:port"), dialling if there is none. Concurrent callers share one dial. The
// error names addr.
func (p *Pool) Conn(ctx context.Context, addr string) (*Conn, error) {
	l, err := p.line(addr)
	if err != nil {
		return nil, err
	}
	select {
	case <-l.ready:
		return l.conn, l.err
	default:
	}
	select {
	case <-l.ready:
		return l.conn, l.err
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", addr, ctx.Err())
	}
}

// line returns the line to addr, and starts a dial if there is none.
func (p *Pool) line(addr string) (*line, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("dial %s: the pool is closed: %w", addr, ErrClosed)
	}
	if l := p.lines[addr]; l != nil && !l.broken() {
		return l, nil
	}
	l := &line{addr: addr, ready: make(chan struct{})}
	p.lines[addr] = l
	p.owner.wait.Go(func() { p.dial(l) })
	return l, nil
}

// broken reports whether the connection has ended, which its goroutine may not have noted yet.
func (l *line) broken() bool {
	select {
	case <-l.ready:
	default:
		return false
	}
	select {
	case <-l.conn.done:
		return true
	default:
		return false
	}
}

// dial connects l and then reads the connection until it ends.
func (p *Pool) dial(l *line) {
	ctx, cancel := context.WithTimeout(p.ctx, p.owner.DialTimeout)
	nc, err := p.connect(ctx, l.addr)
	cancel()
	p.mu.Lock()
	if err == nil && p.closed {
		nc.Close()
		err = ErrClosed
	}
	if err != nil {
		l.err = fmt.Errorf("dial %s: %w", l.addr, err)
		delete(p.lines, l.addr)
	} else {
		l.conn = newConn(&p.owner, nc, false)
	}
	close(l.ready)
	p.mu.Unlock()
	if l.conn != nil {
		l.conn.serve()
	}
}

func (p *Pool) connect(ctx context.Context, addr string) (net.Conn, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil || p.owner.TLS == nil {
		return nc, err
	}
	_, config, err := p.owner.TLS.configs()
	if err != nil {
		p.owner.Log.Warn("wire: TLS files have changed but cannot be used, the old ones stay in use", "err", err)
	}
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("%w: %w", errTLS, err)
	}
	return secure, nil
}

// remove forgets the line of c.
func (p *Pool) remove(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, l := range p.lines {
		if l.conn == c {
			delete(p.lines, addr)
		}
	}
}

// Call is Conn followed by its Call. The error names addr.
func (p *Pool) Call(ctx context.Context, addr string, r *Request) (*Frame, error) {
	c, err := p.Conn(ctx, addr)
	if err != nil {
		return nil, err
	}
	f, err := c.Call(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%v to %s: %w", r.Code, addr, err)
	}
	return f, nil
}

// Close closes all connections and waits for their goroutines. Later calls fail with ErrClosed.
func (p *Pool) Close() error {
	p.stop()
	p.mu.Lock()
	p.closed = true
	for _, l := range p.lines {
		if l.conn != nil {
			l.conn.Close()
		}
	}
	p.mu.Unlock()
	p.owner.wait.Wait()
	return nil
}
