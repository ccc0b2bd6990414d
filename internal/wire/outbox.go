package wire

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
)

const (
	// flushSize is how many bytes gather before they are written although the reading goroutine is still handling.
	flushSize = burstSize / 2
	// backlogLimit is how many bytes may wait while others are being written; who adds more waits until they are.
	backlogLimit = 2 << 20
	// writeRounds is how often a goroutine writes what others have appended meanwhile, before it leaves that to one
	// that has nothing else to do.
	writeRounds = 4
	// writeChunk is what the peer must take in WriteTimeout.
	writeChunk = 256 << 10
)

// outbox is the write side of a connection. Frames are appended to a buffer, and one goroutine at a time writes it:
// whoever appends while nobody writes. What is appended meanwhile leaves with the next write of that goroutine. While
// the reading goroutine handles frames it holds the box: then all answers wait for its one write at the end.
type outbox struct {
	c  *Conn
	mu sync.Mutex // guards the following

	buf     buffer
	held    bool  // the reading goroutine will write
	later   int32 // answers whose senders will flush
	writing bool  // a goroutine is writing and will look at buf again
	err     error // after which nothing is sent
	enc     encoder
	room    sync.Cond // a write has ended

	// The following belong to the goroutine that set writing.
	attempt func(fd uintptr) bool // writeSome, bound once
	rest    []byte                // to be written
	failed  error
}

func (o *outbox) init(c *Conn) {
	o.c = c
	o.room.L = &o.mu
	o.attempt = o.writeSome
	o.writing = c.mayBeTLS() // until opened
}

// open begins the writing of a connection over which it has become clear how to write.
func (o *outbox) open() error {
	o.mu.Lock()
	o.writing = false
	return o.writeUnlock(true, true)
}

// send encodes a frame and sees to its being written, later if the caller will see to that.
func (o *outbox) send(h *fixed, header any, ext map[string]string, body []byte, parts [][]byte, later bool) error {
	size := len(body) + len(h.remark) + 1<<10
	for _, p := range parts {
		size += len(p)
	}
	o.mu.Lock()
	for o.err == nil && o.writing && len(o.buf.b) > backlogLimit {
		o.room.Wait()
	}
	if o.err != nil {
		o.mu.Unlock()
		return o.err
	}
	if err := o.appendLocked(size, h, header, ext, body, parts); err != nil {
		o.mu.Unlock()
		return err
	}
	if later {
		o.later++
	}
	return o.writeUnlock(!o.held && !later || len(o.buf.b) >= flushSize, false)
}

// appendLocked encodes a frame of about size bytes into the buffer. If the header's Encode panics, it unlocks.
func (o *outbox) appendLocked(size int, h *fixed, header any, ext map[string]string, body []byte, parts [][]byte) error {
	o.buf.reserve(size)
	done := false
	defer func() {
		if !done {
			o.mu.Unlock()
		}
	}()
	h.language = o.c.language()
	o.enc.b = o.buf.b
	err := o.enc.encode(h, header, ext, body, parts, o.c.owner.MaxFrame)
	o.buf.b, o.enc.b = o.enc.b, nil
	done = true
	return err
}

// Backlogged reports whether the peer reads so slowly that sending to it would block now.
func (c *Conn) Backlogged() bool {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err == nil && o.writing && len(o.buf.b) > backlogLimit
}

// hold makes answers wait for release. Only the reading goroutine calls it.
func (o *outbox) hold() {
	o.mu.Lock()
	o.held = true
	o.mu.Unlock()
}

// release writes what has gathered since hold, and blocks until it is written or another goroutine does it.
func (o *outbox) release() error {
	o.mu.Lock()
	o.held = false
	return o.writeUnlock(true, true)
}

// writeUnlock writes what is in the buffer, if wanted and if nobody else does, and unlocks. If the peer takes no more,
// and it may not block, or if others append without end, the rest is written in the background.
func (o *outbox) writeUnlock(wanted, mayBlock bool) error {
	defer o.mu.Unlock()
	if !wanted || o.writing {
		return o.err
	}
	o.writing = true
	for round := 1; len(o.buf.b) > 0 && o.err == nil; round++ {
		buf := o.buf
		o.buf = buffer{}
		o.mu.Unlock()
		rest, err := o.tryWrite(buf.b)
		if len(rest) > 0 && err == nil {
			if !mayBlock && o.background(buf, rest) {
				return nil
			}
			err = o.write(rest)
		} else if round >= writeRounds && err == nil && o.background(buf, nil) {
			return nil
		}
		o.written(&buf, err)
	}
	o.writing = false
	o.buf.free()
	o.room.Broadcast()
	return o.err
}

// written gives back the memory of what has been written, closes the connection on an error, and locks.
func (o *outbox) written(buf *buffer, err error) {
	buf.free()
	if err != nil {
		o.c.fail(err)
	}
	o.mu.Lock()
	o.room.Broadcast()
}

// background goes on writing in a goroutine of its own. If so it returns true and the lock is held.
func (o *outbox) background(buf buffer, rest []byte) bool {
	o.mu.Lock()
	if o.err != nil { // the connection's goroutines may have been waited for already
		o.mu.Unlock()
		return false
	}
	o.c.owner.wait.Go(func() {
		o.written(&buf, o.write(rest))
		o.writing = false
		o.writeUnlock(true, true)
	})
	return true
}

// tryWrite writes without blocking, if the transport can, and returns what is left.
func (o *outbox) tryWrite(b []byte) (rest []byte, err error) {
	if o.c.raw == nil {
		return nil, o.write(b)
	}
	o.rest, o.failed = b, nil
	if err := o.c.raw.Write(o.attempt); err != nil {
		return nil, err
	}
	if o.failed != nil {
		return nil, os.NewSyscallError("write", o.failed)
	}
	if len(o.rest) < len(b) {
		o.c.touch()
	}
	rest, o.rest = o.rest, nil
	return rest, nil
}

// writeSome writes until all is written or the peer takes no more. It never asks the poller to wait.
func (o *outbox) writeSome(fd uintptr) bool {
	for len(o.rest) > 0 {
		n, again, err := rawWrite(fd, o.rest)
		if again || err != nil {
			o.failed = err
			break
		}
		o.rest = o.rest[n:]
	}
	return true
}

// write writes b. It fails when the peer does not take a chunk in WriteTimeout.
func (o *outbox) write(b []byte) error {
	for len(b) > 0 {
		chunk := b[:min(len(b), writeChunk)]
		o.c.socket.SetWriteDeadline(time.Now().Add(o.c.owner.WriteTimeout))
		if _, err := o.c.nc.Write(chunk); errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%w for %v", errStalled, o.c.owner.WriteTimeout)
		} else if err != nil {
			return err
		}
		o.c.touch()
		b = b[len(chunk):]
	}
	return o.c.socket.SetWriteDeadline(time.Time{})
}

// close makes all later sends fail with err and wakes who waits.
func (o *outbox) close(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
	if !o.writing {
		o.buf.free()
	}
	o.room.Broadcast()
}

// Drop tells that the request will not be answered, so that Shutdown does not wait for the answer. It is Reply's
// counterpart for requests that the protocol leaves without one although they are not one-way.
func (c Call) Drop() {
	if !c.Oneway {
		c.Conn.answered(1)
	}
}

// answered notes that n requests less wait for their answers.
func (c *Conn) answered(n int32) {
	if c.answers.Add(-n) <= 0 && c.leaving.Load() {
		c.socket.SetReadDeadline(time.Now()) // wakes the reading goroutine: the connection may be quiet
	}
}

// Reply answers the request in the encoding that it came in. It does nothing if the request was one-way. Within a
// handler, on the connection's own goroutine, the bytes leave when all complete frames of the read have been handled;
// from other goroutines they leave at once, or with those of the handlers that are running. It does not block unless
// the peer has stopped reading (see Options.WriteTimeout). Any number of goroutines may reply on a connection. The
// error, ErrClosed or what the connection broke with, may be ignored. An answer too great for a frame becomes
// SYSTEM_ERROR with a remark that says so.
func (c Call) Reply(r *Response) error {
	if c.Oneway {
		return nil
	}
	err := c.reply(r, false)
	c.Conn.answered(1)
	return err
}

// ReplyLater is Reply for who answers many requests at once: the bytes may stay until the connection's Flush, which the
// caller has to call. The connection counts the request as unanswered until then.
func (c Call) ReplyLater(r *Response) error {
	if c.Oneway {
		return nil
	}
	err := c.reply(r, true)
	if err != nil {
		c.Conn.answered(1)
	}
	return err
}

// Flush sends what ReplyLater has left. It does not block unless the peer has stopped reading.
func (c *Conn) Flush() error {
	o := &c.out
	o.mu.Lock()
	n := o.later
	o.later = 0
	err := o.writeUnlock(!o.held || len(o.buf.b) >= flushSize, false)
	if n > 0 {
		c.answered(n)
	}
	return err
}

func (c Call) reply(r *Response, later bool) error {
	h := fixed{code: int32(r.Status), opaque: c.Opaque, flag: FlagResponse, remark: r.Remark, encoding: c.Encoding}
	err := c.Conn.out.send(&h, r.Header, r.Ext, r.Body, r.Parts, later)
	if _, tooBig := err.(protocolError); tooBig {
		h.code, h.remark = int32(command.StatusSystemError), "the answer cannot be sent: "+err.Error()
		err = c.Conn.out.send(&h, nil, nil, nil, nil, later)
	}
	return err
}
