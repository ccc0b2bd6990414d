package layout

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Session names one run of a store; it ties abort file, staging ring and checkpoint together. The zero value is none.
type Session [16]byte

// Abort is the content of the abort file: the process id in the first line, as Java has it, and Skua's session in the
// second, zero when Java ran.
type Abort struct {
	PID     string
	Session Session
}

// Encode returns the file's bytes.
func (a Abort) Encode() []byte {
	return []byte(a.PID + "\n" + hex.EncodeToString(a.Session[:]) + "\n")
}

// AbortOf is the content for process pid in session s.
func AbortOf(pid int, s Session) Abort { return Abort{PID: strconv.Itoa(pid), Session: s} }

// DecodeAbort reads an abort file; anything is one.
func DecodeAbort(b []byte) (a Abort) {
	pid, rest, _ := strings.Cut(string(b), "\n")
	if id, err := hex.DecodeString(strings.TrimSpace(rest)); err == nil && len(id) == len(a.Session) {
		a.Session = Session(id)
	}
	a.PID = strings.TrimSpace(pid)
	return a
}
