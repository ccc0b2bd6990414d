package compact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// Result tells what a pass did.
type Result struct {
	Position      skua.QueueOffset // up to it, included, only the newest message of each key is left
	More          bool             // there was no memory for all keys: another pass will do more
	Changed       bool             // files were replaced
	Before, After Amount
}

// Amount is a number of messages and what they take, bytes.
type Amount struct{ Messages, Bytes int64 }

func (a *Amount) add(u layout.BatchUnit) {
	a.Messages++
	a.Bytes += int64(u.Size)
}

// NoSpaceError tells that a pass was not begun because there is no disk space for what it would leave beside what it would
// replace.
type NoSpaceError struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *NoSpaceError) Error() string {
	return fmt.Sprintf("compact: a pass needs %d bytes in %s for a while, %d are free", e.Need, e.Dir, e.Free)
}

// errGone ends a pass over a log that is being removed, or was told to stop.
var errGone = fmt.Errorf("compact: given up: %w", fs.ErrClosed)

// Pass removes superseded records from all files but the last one, if there are new ones, i.e. with queue offsets above
// position, up to which an earlier pass came. It asks stop now and then, and gives up if that is true. Records can be read,
// and copied, meanwhile. After an error everything is as it was, or will be by the next call.
func (l *Log) Pass(position skua.QueueOffset, stop func() bool) (Result, error) {
	l.passing.Lock()
	defer l.passing.Unlock()
	r := Result{Position: position}
	l.appending.Lock()
	err := l.usable()
	l.appending.Unlock()
	if err != nil {
		return r, err
	}
	old := l.closed()
	w := &pass{l: l, old: old, position: int64(position), stop: stop}
	if err := w.choose(); err != nil || w.choice == nil {
		return r, err
	}
	if err := w.decide(); err != nil {
		return r, err
	}
	r.Position, r.More, r.Before, r.After = skua.QueueOffset(w.choice.Last()), w.crowded, w.before, w.after
	if w.before == w.after {
		return r, nil
	}
	if err := w.write(); err != nil {
		return r, errors.Join(err, w.discard())
	}
	r.Changed = true
	return r, l.replace(old, w.fresh)
}

// closed are the parts that nothing is added to any more.
func (l *Log) closed() []*part {
	l.mu.RLock()
	defer l.mu.RUnlock()
	n := max(len(l.parts)-1, 0)
	return l.parts[:n:n]
}

// pass is one at work.
type pass struct {
	l        *Log
	old      []*part
	position int64
	stop     func() bool

	choice        *Choice  // nil if there is nothing new
	crowded       bool     // it was full before the end
	survives      []uint64 // a bit for each record
	before, after Amount
	fresh         []*part
}

// over reports whether the pass is to be given up.
func (w *pass) over() bool {
	w.l.mu.RLock()
	defer w.l.mu.RUnlock()
	return w.l.gone || w.stop()
}

// each calls do for the records of parts, until it returns an error or false.
func (w *pass) each(parts []*part, from int64, do func(u layout.BatchUnit, rec []byte) (bool, error)) error {
	for _, p := range parts {
		i, n := p.find(func(u layout.BatchUnit) bool { return u.Base >= from }), 0
		var failed error
		more, err := p.each(i, pieceBytes, func(u layout.BatchUnit, rec []byte) bool {
			if n++; n%pieceUnits == 0 && w.over() {
				failed = errGone
				return false
			}
			var ok bool
			ok, failed = do(u, rec)
			return ok && failed == nil
		}, func(err error) error { return err })
		if err = errors.Join(err, failed); err != nil || !more {
			return err
		}
	}
	return nil
}

// choose tells the choice of the new records.
func (w *pass) choose() error {
	if w.over() {
		return errGone
	}
	var fresh []*part
	expected := int64(0)
	for _, p := range w.old {
		if p.count > 0 && p.last > w.position {
			fresh = append(fresh, p)
			expected += p.count
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	w.choice = NewChoice(w.l.o.MapBytes, expected)
	return w.each(fresh, w.position+1, func(u layout.BatchUnit, rec []byte) (bool, error) {
		key, _, err := keyOf(rec)
		if err != nil {
			return false, err
		}
		w.crowded = !w.choice.Note(key, u.Base)
		return !w.crowded, nil
	})
}

// keyOf is the key of a record, and whether it has no body.
func keyOf(rec []byte) (key []byte, empty bool, err error) {
	m, _, err := record.Decode(rec)
	if err != nil {
		return nil, false, err
	}
	return Key(&m), len(m.Body) == 0, nil
}

// Key is what messages are compacted by: all keys of a message together, as Java takes them; nil if it has none.
func Key(m *record.Message) []byte {
	key, _ := record.Property(m.Properties, skua.PropKeys)
	if len(bytes.TrimSpace(key)) == 0 {
		return nil
	}
	return key
}

// decide asks which records survive.
func (w *pass) decide() error {
	n := 0
	return w.each(w.old, 0, func(u layout.BatchUnit, rec []byte) (bool, error) {
		key, empty, err := keyOf(rec)
		if err != nil {
			return false, err
		}
		if n%64 == 0 {
			w.survives = append(w.survives, 0)
		}
		w.before.add(u)
		if w.choice.Keep(key, u.Base, empty) {
			w.survives[n/64] |= 1 << (n % 64)
			w.after.add(u)
		}
		n++
		return true, nil
	})
}

// write writes the survivors into new files, and puts these on disk.
func (w *pass) write() error {
	l := w.l
	if err := errors.Join(w.discard(), l.room(w.after)); err != nil { // an earlier pass may have failed at that
		return err
	}
	n, size := 0, 0
	var batch [][]byte
	flush := func() error {
		err := w.add(batch)
		batch, size = batch[:0], 0
		return err
	}
	err := w.each(w.old, 0, func(u layout.BatchUnit, rec []byte) (bool, error) {
		keep := w.survives[n/64]>>(n%64)&1 != 0
		n++
		if !keep {
			return true, nil
		}
		batch, size = append(batch, bytes.Clone(rec)), size+len(rec)
		if size < pieceBytes {
			return true, nil
		}
		return true, flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return err
	}
	if n := len(w.fresh); n > 0 {
		p := w.fresh[n-1]
		p.full = true
		if err := p.close(); err != nil {
			return err
		}
	}
	for _, p := range w.fresh {
		if w.over() {
			return errGone
		}
		if err := p.sync(); err != nil {
			return err
		}
	}
	return nil
}

// add writes records behind those that were written.
func (w *pass) add(records [][]byte) error {
	l := w.l
	for len(records) > 0 {
		n := len(w.fresh)
		if n == 0 || !w.fresh[n-1].fits(len(records[0])) {
			if n > 0 {
				p := w.fresh[n-1]
				p.full = true
				if err := p.close(); err != nil {
					return err
				}
			}
			w.fresh = append(w.fresh, l.o.newPart(compacting(l.logDir()), compacting(l.unitDir()), int64(n)*l.o.LogSize, false))
			n++
		}
		p := w.fresh[n-1]
		grown, err := p.write(records)
		if err != nil {
			return err
		}
		records = records[grown.count-p.count:]
		*p = grown
	}
	return nil
}

// discard removes what was written.
func (w *pass) discard() error {
	for _, p := range w.fresh {
		p.log.Forget()
		p.units.Forget()
	}
	return w.l.discard()
}

// room returns an error if there is no space for so much, with a reserve of a sixteenth.
func (l *Log) room(a Amount) error {
	free := l.o.Free
	if free == nil {
		free = freeSpace
	}
	need := a.Bytes + a.Messages*layout.BatchUnitSize
	need += need / 16
	n, err := free(l.o.Dir)
	if err == nil && n < need {
		err = &NoSpaceError{Dir: l.o.Dir, Need: need, Free: n}
	}
	return err
}

func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}
