package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/skuamq/skua/internal/command"
)

// Conn is one connection, of a server or a dialer. Both sides may send requests over it. Its methods are safe for
// concurrent use.
type Conn struct {
	owner  *owner
	socket net.Conn        // for deadlines and closing
	nc     net.Conn        // to read and write: socket, or TLS over it
	raw    syscall.RawConn // to read and write socket without blocking; nil with TLS
	remote netip.AddrPort
	addr   string // of the peer

	in   inbox   // of the reading goroutine
	out  outbox  // what waits to be written
	asks pending // our requests that wait for an answer

	accepted bool         // else dialled
	active   atomic.Int64 // when the connection was last read from or written to, see clock
	answers  atomic.Int32 // requests of the peer that wait for our answer
	leaving  atomic.Bool  // Shutdown wants the connection to end
	value    atomic.Pointer[any]
	done     chan struct{}
	closing  sync.Once
	closedBy error // what ended the connection; valid once done is closed
}

// owner is what the connections of a server or pool have in common.
type owner struct {
	Options
	gone func(*Conn)    // called when a connection has ended, before Options.Closed
	wait sync.WaitGroup // goroutines and timers of connections
	bad  complaints
}

// newConn returns a connection over nc, which no goroutine reads yet.
func newConn(o *owner, nc net.Conn, accepted bool) *Conn {
	c := &Conn{owner: o, accepted: accepted, addr: nc.RemoteAddr().String(), done: make(chan struct{})}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		a := a.AddrPort()
		c.remote = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
		c.addr = c.remote.String()
	}
	c.in.init(c)
	c.out.init(c)
	c.socket, c.nc, c.raw = nc, nc, rawOf(nc)
	c.touch()
	return c
}

// mayBeTLS reports whether the first byte of the peer decides if the connection is one of TLS.
func (c *Conn) mayBeTLS() bool { return c.accepted && c.owner.TLS != nil }

var epoch = time.Now()

// clock is the time in nanoseconds since the start of the program.
func clock() int64 { return int64(time.Since(epoch)) }

func (c *Conn) touch() { c.active.Store(clock()) }

// RemoteAddr is the peer's address, "ip:port".
func (c *Conn) RemoteAddr() string { return c.addr }

// RemoteAddrPort is the peer's address; the IPv4-mapped form is unmapped.
func (c *Conn) RemoteAddrPort() netip.AddrPort { return c.remote }

// LocalAddr is our end of the connection, "ip:port".
func (c *Conn) LocalAddr() string { return c.socket.LocalAddr().String() }

// Close closes the connection; pending calls fail with ErrClosed. It does not wait for handlers.
func (c *Conn) Close() error {
	c.fail(nil)
	return nil
}

// Done is closed when the connection is.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Value returns what SetValue stored, nil before: a slot for the server's state of the connection.
func (c *Conn) Value() any {
	if p := c.value.Load(); p != nil {
		return *p
	}
	return nil
}

// SetValue stores v. Safe for concurrent use.
func (c *Conn) SetValue(v any) { c.value.Store(&v) }

// fail closes the connection because of cause, nil if this side wants it.
func (c *Conn) fail(cause error) {
	c.closing.Do(func() {
		c.closedBy = ErrClosed
		if cause != nil {
			c.closedBy = fmt.Errorf("%w: %w", ErrClosed, cause)
		}
		c.out.close(c.closedBy)
		close(c.done)
		c.socket.Close()
	})
}

// serve reads until the connection ends. It is the reading goroutine.
func (c *Conn) serve() {
	err := c.arm(c.owner.IdleTimeout)
	if err == nil && c.mayBeTLS() {
		err = c.greet()
	}
	for err == nil {
		if err = c.in.fill(); err == nil {
			err = c.handleAll()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = c.overdue()
		}
	}
	c.complain(err)
	c.fail(err)
	c.in.free()
	c.asks.close(c)
	c.owner.gone(c)
	if c.owner.Closed != nil {
		c.owner.Closed(c)
	}
}

// arm sets the read deadline to d from now. There is one deadline for many reads: each only notes the time.
func (c *Conn) arm(d time.Duration) error {
	if err := c.socket.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	if c.quiet() { // since the caller looked
		return c.socket.SetReadDeadline(time.Now())
	}
	return nil
}

// quiet reports whether the connection may end because of Shutdown.
func (c *Conn) quiet() bool { return c.leaving.Load() && c.answers.Load() <= 0 }

// leave asks the connection to end as soon as it is quiet.
func (c *Conn) leave() {
	c.leaving.Store(true)
	c.socket.SetReadDeadline(time.Now())
}

// overdue decides what to do when the read deadline has passed: it returns an error if the connection is to be closed,
// else it sets the next deadline.
func (c *Conn) overdue() error {
	if c.quiet() {
		return c.depart()
	}
	idle := time.Duration(clock() - c.active.Load())
	if idle >= c.owner.IdleTimeout {
		return errIdle
	}
	return c.arm(c.owner.IdleTimeout - idle)
}

// lastCall is how long a quiet connection is listened to before Shutdown closes it, for a request that is on its way.
const lastCall = 5 * time.Millisecond

// depart ends a quiet connection during Shutdown, unless the peer says something.
func (c *Conn) depart() error {
	c.socket.SetReadDeadline(time.Now().Add(lastCall))
	err := c.in.fill()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errShutdown
	}
	if err == nil {
		err = c.handleAll()
	}
	if err == nil {
		err = c.socket.SetReadDeadline(time.Now())
	}
	return err
}

// handleAll handles all complete frames that have been read and sends what was answered.
func (c *Conn) handleAll() error {
	c.out.hold()
	var err error
	for more := true; more && err == nil; {
		more, err = c.handleSome()
	}
	if e := c.out.release(); err == nil {
		err = e
	}
	return err
}

// handleSome handles frames until there is no complete one left, or one panics; then more is true.
func (c *Conn) handleSome() (more bool, err error) {
	f := &c.in.frame
	defer func() {
		if v := recover(); v != nil {
			c.panicked(f, v)
			more, err = true, nil
		}
	}()
	for {
		b, err := c.in.next(c.owner.MaxFrame)
		if b == nil || err != nil {
			return false, err
		}
		if err := f.decode(b); err != nil {
			return false, err
		}
		if f.Flag&FlagResponse != 0 {
			c.asks.answer(f)
			continue
		}
		c.request(f)
	}
}

// request handles a request of the peer.
func (c *Conn) request(f *Frame) {
	if !f.Oneway() {
		c.answers.Add(1)
		if c.leaving.Load() && f.Version > command.V5_3_1 {
			f.Call().Reply(&Response{Status: command.StatusGoAway, Remark: "please go away: the server is shutting down"})
			return
		}
	}
	if c.owner.Handler == nil {
		f.Call().Reply(NotSupported(f.Code))
		return
	}
	c.owner.Handler(f)
}

// NotSupported is the answer to a request code that the server does not know.
func NotSupported(code int32) *Response {
	remark := fmt.Sprintf(" request type %d not supported", code)
	if name := command.Code(code).String(); name != fmt.Sprint(code) {
		remark += " (" + name + ")"
	}
	return &Response{Status: command.StatusRequestCodeNotSupported, Remark: remark}
}

// panicked answers a request whose handler has panicked.
func (c *Conn) panicked(f *Frame, v any) {
	c.owner.Log.Error("wire: handler panicked", "peer", c.addr, "code", command.Code(f.Code), "panic", v, "stack", string(debug.Stack()))
	if f.Flag&FlagResponse == 0 {
		f.Call().Reply(&Response{Status: command.StatusSystemError, Remark: fmt.Sprintf("panic while handling %v: %v", command.Code(f.Code), v)})
	}
}
