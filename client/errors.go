package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// ErrClosed is returned by what is used after it, or its client, was closed.
var ErrClosed = errors.New("client: closed")

// Error is the refusal of a server.
type Error struct {
	Op     string // what was asked, such as "send to topic orders"
	Addr   string // the server, "host:port"
	Code   int32  // RocketMQ's response code, such as 17 for a topic that does not exist
	Remark string // the server's words
	Stored bool   // the message is stored nevertheless, but not (yet) as durably as it should be: codes 10, 11, 12
}

// Error tells who refused what and why.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %s answered %s (%d)", e.Op, e.Addr, command.Status(e.Code), e.Code)
	if e.Remark != "" {
		text += ": " + e.Remark
	}
	if e.Stored {
		text += " (the message is stored)"
	}
	return text
}

// Attempt is one attempt to get something from a server.
type Attempt struct {
	Addr string        // the server, "host:port"
	Took time.Duration // until it failed
	Err  error
}

// FailedError tells why an operation failed: what was tried, in order.
type FailedError struct {
	Op       string
	Attempts []Attempt // the last eight
	Hint     string    // what to do about it; may be empty

	count int // attempts, those that are not kept too
}

// keep is how many attempts a FailedError keeps.
const keep = 8

// Error lists the attempts.
func (e *FailedError) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	b.WriteString(" failed")
	separator := ": "
	for _, a := range e.Attempts {
		b.WriteString(separator)
		separator = "; "
		var refusal *Error
		if errors.As(a.Err, &refusal) {
			fmt.Fprintf(&b, "%s answered %s (%d)", a.Addr, command.Status(refusal.Code), refusal.Code)
			if refusal.Remark != "" {
				fmt.Fprintf(&b, ": %s", refusal.Remark)
			}
			continue
		}
		text := a.Err.Error()
		if !strings.Contains(text, a.Addr) {
			text = a.Addr + ": " + text
		}
		fmt.Fprintf(&b, "%s (after %v)", text, a.Took.Round(time.Millisecond))
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap returns the errors of the attempts.
func (e *FailedError) Unwrap() []error {
	errs := make([]error, len(e.Attempts))
	for i, a := range e.Attempts {
		errs[i] = a.Err
	}
	return errs
}

// add notes an attempt that began at start.
func (e *FailedError) add(addr string, start time.Time, err error) {
	e.count++
	if len(e.Attempts) == keep {
		e.Attempts = append(e.Attempts[:0], e.Attempts[1:]...)
	}
	e.Attempts = append(e.Attempts, Attempt{addr, time.Since(start), err})
}

// refusal returns the *Error of an answer that is not a success.
func refusal(op, addr string, f *wire.Frame) *Error {
	return &Error{Op: op, Addr: addr, Code: f.Code, Remark: string(f.Remark)}
}

// codeOf returns the code of the refusal in err, 0 if there is none.
func codeOf(err error) command.Status {
	var e *Error
	if errors.As(err, &e) {
		return command.Status(e.Code)
	}
	return 0
}
