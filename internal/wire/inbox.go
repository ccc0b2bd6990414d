package wire

import (
	"io"
	"os"
)

// inbox is the read side of a connection, used by the reading goroutine alone. While the connection waits for the peer
// it holds no buffer, or a small one with the beginning of a frame, so that an idle connection costs no more than its
// goroutine's stack.
type inbox struct {
	c       *Conn
	buf     buffer
	start   int // of what has not been handled yet; the end is len(buf.b)
	last    int // start of the frame before
	frame   Frame
	attempt func(fd uintptr) bool // readSome, bound once
	n       int                   // results of attempt
	err     error
	filled  bool // the last blocking read filled the buffer
}

func (in *inbox) init(c *Conn) {
	in.c, in.frame.conn = c, c
	in.attempt = in.readSome
}

// fill waits for bytes and reads what is there.
func (in *inbox) fill() error {
	if in.c.raw == nil {
		return in.fillBlocking()
	}
	if err := in.c.raw.Read(in.attempt); err != nil {
		return err
	}
	if in.err != nil {
		return os.NewSyscallError("read", in.err)
	}
	if in.n == 0 {
		return in.ended()
	}
	in.c.touch()
	return nil
}

// ended is the error when the peer has closed its side.
func (in *inbox) ended() error {
	if in.start == len(in.buf.b) {
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}

// readSome reads what is there, and gives the buffer back if there is nothing. It is called by the poller, again and
// again while it returns false and the connection becomes readable.
func (in *inbox) readSome(fd uintptr) bool {
	in.makeRoom()
	b := in.buf.b
	var again bool
	if in.n, again, in.err = rawRead(fd, b[len(b):cap(b)]); again {
		in.park()
		return false
	}
	in.buf.b = b[:len(b)+max(in.n, 0)]
	return true
}

// fillBlocking is fill without a way to wait but reading (TLS). It waits with a small buffer.
func (in *inbox) fillBlocking() error {
	if in.filled {
		in.makeRoom()
	} else if in.park(); in.buf.box == nil {
		in.buf = getBuffer(tailSize)
	} else if in.start > 0 || len(in.buf.b) == cap(in.buf.b) {
		in.makeRoom()
	}
	b := in.buf.b
	n, err := in.c.nc.Read(b[len(b):cap(b)])
	in.filled = n == cap(b)-len(b)
	in.buf.b = b[:len(b)+n]
	if n > 0 {
		in.c.touch()
		return nil
	}
	if err == io.EOF {
		return in.ended()
	}
	return err
}

// makeRoom moves what is unhandled to the beginning and takes or enlarges the buffer, so that there is room to read
// into. It grows with what has come, not with what a length field promises.
func (in *inbox) makeRoom() {
	if in.start > 0 {
		in.buf.b = in.buf.b[:copy(in.buf.b, in.buf.b[in.start:])]
		in.start = 0
	}
	if cap(in.buf.b) < burstSize {
		in.buf.reserve(burstSize - len(in.buf.b))
	} else {
		in.buf.reserve(1)
	}
}

// park gives back what memory can be spared while waiting.
func (in *inbox) park() {
	rest := in.buf.b[in.start:]
	size := burstSize
	switch {
	case len(rest) == 0:
		in.free()
		if cap(in.frame.Ext) > 32 {
			in.frame.Ext = nil
		}
		return
	case len(rest) <= tailSize/2:
		size = tailSize
	case len(rest) <= 3*tailSize:
		size = 4 * tailSize
	case len(rest) > burstSize/2:
		return
	}
	if cap(in.buf.b) > size {
		smaller := getBuffer(size)
		smaller.b = append(smaller.b, rest...)
		in.free()
		in.buf = smaller
	}
}

// next returns the next frame if it is complete, else nil.
func (in *inbox) next(limit int) ([]byte, error) {
	rest := in.buf.b[in.start:]
	size, err := frameSize(rest, limit)
	if err != nil || size == 0 || size > len(rest) {
		return nil, err
	}
	in.last, in.start = in.start, in.start+size
	return rest[:size:size], nil
}

func (in *inbox) free() {
	in.buf.free()
	in.start = 0
}
