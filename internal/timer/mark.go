package timer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// mark is the file skua/timer, which says after each batch how far the timer has come; see layout.TimerMark. That it
// cannot be written costs a killed process messages that are delivered again, and is no error.
type mark struct {
	faults segment.Faults
	file   *os.File // nil: it cannot be written
	b      []byte
}

// readMark returns what a process has left.
func readMark(path string) (m layout.TimerMark, ok bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	m, ok = layout.DecodeTimerMark(b)
	return m, ok, nil
}

// openMark opens or makes the file.
func openMark(path string, faults segment.Faults) (*mark, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := faults.Changing("create", path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &mark{faults: faults, file: f}, nil
}

func (k *mark) write(m layout.TimerMark) {
	if k == nil || k.file == nil {
		return
	}
	k.b = m.Append(k.b[:0])
	if err := k.faults.WriteAt(k.file, k.b, 0); err != nil {
		_ = k.file.Truncate(0) // an old one would lie
	}
}

// close ends the use of the file, of which all is on disk then.
func (k *mark) close() error {
	if k == nil || k.file == nil {
		return nil
	}
	err := k.faults.Syncing(k.file.Name())
	if err == nil {
		err = k.file.Sync()
	}
	err = errors.Join(err, k.file.Close())
	k.file = nil
	return err
}

// markLocked is the mark of where the timer is.
func (t *Timer) markLocked(clean bool) layout.TimerMark {
	p := &t.progress
	return layout.TimerMark{Boot: t.o.Boot, Precision: t.o.Precision, Queue: int64(p.queue), Read: p.read, Done: p.done,
		Clean: clean, SetBack: p.setBack, Checkpoint: t.check, Next: t.check}
}
