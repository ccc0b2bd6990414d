package store

import (
	"errors"
	"fmt"
)

// Reason tells why a store does not take a message.
type Reason int

// The reasons. Those up to TooManyLight concern the message, the others the whole store.
const (
	BodyTooLarge       Reason = iota + 1 // the body or the record exceeds MaxMessageSize
	PropertiesTooLarge                   // the properties exceed 32,767 bytes
	TopicInvalid                         // the topic cannot be a directory, or is not that of the queue
	Deleted                              // the topic was deleted meanwhile
	TooManyLight                         // the message names a new light queue, and there are enough
	Busy                                 // the disk cannot keep up; try again
	DiskFull                             // no space; ends by itself when there is space again
	Failed                               // a write or sync failed; ends with a restart
	ReadOnly                             // the store was told to refuse, see Store.Refuse
	Closed                               // the store is closed
)

// String names the reason.
func (r Reason) String() string {
	names := [...]string{BodyTooLarge: "body too large", PropertiesTooLarge: "properties too large",
		TopicInvalid: "topic invalid", Deleted: "topic deleted", TooManyLight: "too many light queues", Busy: "busy", DiskFull: "disk full", Failed: "disk failed",
		ReadOnly: "read-only", Closed: "closed"}
	if r <= 0 || int(r) >= len(names) {
		return fmt.Sprintf("reason %d", int(r))
	}
	return names[r]
}

// RefusedError tells why messages were not stored. Nothing of them is in the log.
type RefusedError struct {
	Reason Reason
	Detail string // cause, measured value and cure
	Err    error  // what the system said, may be nil
}

// Error gives reason, detail and cause.
func (e *RefusedError) Error() string {
	s := "store: refused, " + e.Reason.String()
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives what the system said.
func (e *RefusedError) Unwrap() error { return e.Err }

// ErrFlushTimeout tells that messages are stored, but were not yet on disk when the time to wait for it had passed.
var ErrFlushTimeout = errors.New("store: flush to disk timed out")

func refusef(r Reason, format string, args ...any) *RefusedError {
	return &RefusedError{Reason: r, Detail: fmt.Sprintf(format, args...)}
}
