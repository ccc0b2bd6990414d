package inspect

import (
	"fmt"
	"strings"
	"sync"
)

// Finding is something that is not as it should be.
type Finding struct {
	Kind   string `json:"kind"`           // what sort of finding, one word
	File   string `json:"file,omitempty"` // path
	Offset int64  `json:"offset"`         // byte in the file, -1 if it is about the file as a whole
	Log    int64  `json:"log,omitempty"`  // offset in the log that it is about, if there is one
	Note   bool   `json:"note,omitempty"` // true if it is no damage: the next start of a broker deals with it
	Detail string `json:"detail"`
}

// String is the finding as a line.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.Kind)
	if f.Note {
		b.WriteString(" (note)")
	}
	if f.File != "" {
		b.WriteString(" " + f.File)
	}
	if f.Offset >= 0 {
		fmt.Fprintf(&b, " at byte %d", f.Offset)
	}
	if f.Log > 0 {
		fmt.Fprintf(&b, " (log offset %d)", f.Log)
	}
	return b.String() + ": " + f.Detail
}

// findings hands findings on, one at a time, and counts them.
type findings struct {
	mu    sync.Mutex
	yield func(Finding)
	count int
	notes int
}

func (f *findings) add(v Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if v.Note {
		f.notes++
	} else {
		f.count++
	}
	if f.yield != nil {
		f.yield(v)
	}
}
