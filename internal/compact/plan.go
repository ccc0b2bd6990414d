package compact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// plan says which files take the place of which others. It is on disk before the first of them is touched, so that a start can
// finish what was begun. As text, a line for each file, and one that tells that it is whole:
//
//	drop 00000000000000000000
//	drop 00000000000104857460
//	move 00000000000000000000
//	end
type plan struct {
	drop []int64 // starts of the files that go, if none with this name is moved
	move []int64 // starts of the files that come from the directory of the pass
}

func (p *plan) encode() []byte {
	var b []byte
	for _, s := range p.drop {
		b = fmt.Appendf(b, "drop %s\n", segment.FileName(s))
	}
	for _, s := range p.move {
		b = fmt.Appendf(b, "move %s\n", segment.FileName(s))
	}
	return append(b, "end\n"...)
}

// decodePlan reads a plan.
func decodePlan(b []byte) (p plan, err error) {
	body, whole := bytes.CutSuffix(b, []byte("end\n"))
	if !whole {
		return p, errors.New("it does not end as it should")
	}
	for line := range bytes.Lines(body) {
		word, name, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		start, ok := segment.ParseName(string(name))
		switch {
		case ok && string(word) == "drop":
			p.drop = append(p.drop, start)
		case ok && string(word) == "move":
			p.move = append(p.move, start)
		default:
			return plan{}, fmt.Errorf("line %q", line)
		}
	}
	return p, nil
}

// planPath is where the plan of this log is while files are replaced.
func (l *Log) planPath() string {
	return filepath.Join(l.o.Dir, layout.OwnDir, layout.CompactingDir, l.topic, strconv.Itoa(int(l.queue)))
}

// replace makes fresh parts take the place of the old ones, which must be the first ones of the log.
func (l *Log) replace(old, fresh []*part) error {
	var p plan
	for _, x := range old {
		p.drop = append(p.drop, x.start)
	}
	for _, x := range fresh {
		p.move = append(p.move, x.start)
		x.log.Forget()
		x.units.Forget()
	}
	if err := l.savePlan(&p); err != nil {
		return l.failed(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.carryOut(&p); err != nil {
		l.broken = err
		return err
	}
	l.parts = append(l.moved(fresh), l.parts[len(old):]...)
	l.setFirst()
	return nil
}

// failed notes that the files are in a state that only load knows.
func (l *Log) failed(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = err
	return err
}

// moved are parts of which the files have come to their places.
func (l *Log) moved(fresh []*part) []*part {
	var out []*part
	for _, x := range fresh {
		at := l.o.newPart(l.logDir(), l.unitDir(), x.start, true)
		at.count, at.end, at.first, at.last, at.full = x.count, x.end, x.first, x.last, true
		out = append(out, at)
	}
	return out
}

// savePlan puts a plan on disk. From then on it is carried out, whatever happens.
func (l *Log) savePlan(p *plan) error {
	path, o := l.planPath(), l.o
	if err := o.Faults.Changing("create", path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	next := path + ".tmp"
	if err := os.WriteFile(next, p.encode(), 0o644); err != nil {
		return err
	}
	f, err := os.Open(next)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := o.Faults.Syncing(next); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := o.rename(next, path); err != nil {
		return err
	}
	up := filepath.Dir(dir)
	return errors.Join(o.Faults.SyncDir(dir), o.Faults.SyncDir(up), o.Faults.SyncDir(filepath.Dir(up)))
}

// carryOut does what a plan says, or the rest of it, and removes it. Nobody may use the files.
func (l *Log) carryOut(p *plan) error {
	for _, x := range l.parts[:min(len(p.drop), len(l.parts))] {
		x.log.Forget()
		x.units.Forget()
	}
	moved := map[int64]bool{}
	for _, s := range p.move {
		moved[s] = true
	}
	for _, dir := range []folder{l.logDir(), l.unitDir()} {
		for _, s := range p.move {
			name := segment.FileName(s)
			err := l.o.rename(filepath.Join(string(compacting(dir)), name), filepath.Join(string(dir), name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		for _, s := range p.drop {
			if moved[s] {
				continue
			}
			err := l.o.Faults.Remove(filepath.Join(string(dir), segment.FileName(s)))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		if err := l.o.Faults.SyncDir(string(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := l.o.empty(compacting(dir)); err != nil {
			return err
		}
	}
	return l.dropPlan()
}

// finishPlan carries out a plan that is there.
func (l *Log) finishPlan() error {
	b, err := os.ReadFile(l.planPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := decodePlan(b)
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w; if the directory %s is whole, remove the file", l.planPath(), err, l.logDir())
	}
	return l.carryOut(&p)
}

// dropPlan removes the plan, for good: one that came back would be carried out again.
func (l *Log) dropPlan() error {
	path := l.planPath()
	dir := filepath.Dir(path)
	err := l.o.Faults.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = l.o.Faults.SyncDir(dir)
	}
	os.Remove(dir) // stays if there is another one
	return err
}
