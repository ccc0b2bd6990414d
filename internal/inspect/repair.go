package inspect

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// RepairOptions say how a store is repaired.
type RepairOptions struct {
	Cut    bool // cut the log at the first damage instead of filling damaged stretches
	Do     bool // change the store; without, the steps are only told
	Told   func(step string)
	Verify VerifyOptions
	Now    time.Time // names the folder of the copies
}

// Repaired is what Repair has done, or would do.
type Repaired struct {
	Verified *Verified
	Steps    int    // 0 if there is nothing to repair
	Copies   string // folder with what was changed or removed, and the journal; "" if nothing was done
}

// ErrRunning is an error of Repair and Undo, to be matched with errors.Is.
var ErrRunning = errors.New("a broker runs on it; stop it first")

// Repair finds what is damaged in the store at path and mends it, see the package comment. It takes the lock of the store
// when it is to change anything. The error of a repair that has begun names the folder from which Undo puts everything
// back.
func Repair(ctx context.Context, path string, o Options, r RepairOptions) (*Repaired, error) {
	if r.Do {
		lock, err := segment.Lock(filepath.Join(path, layout.LockFile))
		if errors.Is(err, segment.ErrLocked) {
			return nil, fmt.Errorf("store: %s cannot be repaired: %w", path, ErrRunning)
		}
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		defer lock.Close()
	}
	d, err := Open(path, o)
	if err != nil {
		return nil, err
	}
	if d.Running && !r.Do {
		return nil, fmt.Errorf("store: %s cannot be repaired: %w", path, ErrRunning)
	}
	d.Running = false // the lock is this process's
	v, err := d.Verify(ctx, r.Verify)
	if err != nil {
		return nil, err
	}
	m := &mend{d: d, v: v, o: r, cut: -1}
	if err := m.plan(); err != nil {
		return nil, err
	}
	out := &Repaired{Verified: v, Steps: len(m.steps)}
	if r.Told != nil {
		for _, s := range m.steps {
			r.Told(s.what)
		}
	}
	if !r.Do || len(m.steps) == 0 {
		return out, nil
	}
	if m.journal, err = newJournal(d.Path, r.Now); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	defer m.journal.close()
	out.Copies = m.journal.dir
	for _, s := range m.steps {
		if err := ctx.Err(); err != nil {
			return out, m.undoHint(err)
		}
		if err := s.do(); err != nil {
			return out, m.undoHint(err)
		}
	}
	return out, nil
}

func (m *mend) undoHint(err error) error {
	return fmt.Errorf("store: the repair is not complete: %w; to put everything back: skua store repair --undo %s", err, m.journal.dir)
}

// mend is one repair.
type mend struct {
	d       *Dir
	v       *Verified
	o       RepairOptions
	cut     int64 // where the log is cut, -1 if it is not
	steps   []step
	journal *journal
}

// step is a part of a repair.
type step struct {
	what string
	do   func() error
}

func (m *mend) add(do func() error, format string, args ...any) {
	m.steps = append(m.steps, step{fmt.Sprintf(format, args...), do})
}

// plan decides on the steps. The order matters if they are interrupted: what a start relies on goes first.
func (m *mend) plan() error {
	d := m.d
	m.planSizes()
	for _, f := range d.log.problems() {
		return fmt.Errorf("store: cannot repair %s: %s: put the file back from a copy or a replica, or move the files in front of "+
			"or behind the place away", f.File, f.Detail)
	}
	if m.o.Cut && len(m.v.gaps) > 0 {
		m.cut = m.v.gaps[0].off
	}
	bad := m.badQueues()
	only := !slices.ContainsFunc(bad, func(q *queue) bool { return q.bad.Load() || q.pending == nil })
	torn := m.v.torn && !d.crashed() && m.behind() // else the next start cuts it off, or it is no matter
	short := d.end > m.v.end || d.ringCut          // what the staging ring claims to hold is not there
	if !short && len(m.steps) == 0 && len(m.v.gaps) == 0 && (len(bad) == 0 || only) && m.v.badIndex == "" && !m.v.lostKeys && !torn && !m.badCheckpoint() {
		return nil
	}
	m.planStaged()
	m.planOwn()
	switch {
	case m.cut >= 0:
		m.planCut(m.cut)
	case torn:
		m.planCut(m.v.end)
		fallthrough
	default:
		if err := m.planFill(); err != nil {
			return err
		}
	}
	if d.shared { // which is moved away; the next start makes it again
		bad = slices.DeleteFunc(bad, func(q *queue) bool { return !q.batch })
	}
	if len(bad) > 0 {
		names := ""
		for i, q := range bad {
			if i < 5 {
				names += " " + q.name()
			}
		}
		if len(bad) > 5 {
			names += " ..."
		}
		m.add(func() error { return m.rebuild(bad) }, "make %d queues again from the log, and put them in place of the old ones:%s", len(bad), names)
	}
	m.planIndex()
	return m.planMarks()
}

// behind reports whether the log is known to have been longer.
func (m *mend) behind() bool {
	return m.d.ownOK && m.d.own.Durable.End > m.v.end ||
		slices.ContainsFunc(m.v.queues, func(q *queue) bool { return q.lastLog > m.v.end })
}

func (m *mend) badCheckpoint() bool {
	path := filepath.Join(m.d.Path, layout.OwnDir, layout.CheckpointFile)
	return !m.d.ownOK && exists(path) || m.d.ownOK && m.d.own.Durable.End > m.v.end || m.d.java.Log > m.v.lastTime && !m.d.crashed()
}

// badQueues are the queues with findings, with entries behind a cut or in Skua's journal only, and those that are not there.
func (m *mend) badQueues() (bad []*queue) {
	for _, q := range m.v.queues {
		if q.bad.Load() || m.cut >= 0 && q.lastLog > m.cut || q.pending != nil {
			bad = append(bad, q)
		}
	}
	for _, q := range m.v.absent {
		if !q.bad.Load() {
			bad = append(bad, q)
		}
	}
	return bad
}

// planSizes gives files of the log that are too short or too long their size.
func (m *mend) planSizes() {
	log := &m.d.log
	for i, f := range log.files {
		if f.size == log.size {
			continue
		}
		what := "is too short and gets zeros"
		if f.size > log.size {
			what = "loses what it is too long"
		}
		m.add(func() error { return m.resize(f.path, log.size) }, "replace %s, of %d bytes, by a copy of %d: it %s", f.path, f.size, log.size, what)
		log.files[i].size = log.size
	}
}

// resize replaces a file by a copy of a size.
func (m *mend) resize(path string, size int64) error {
	name := filepath.Join("new", layout.LogDir, filepath.Base(path))
	copied := filepath.Join(m.journal.dir, name)
	if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
		return err
	}
	if err := copyFile(path, copied); err != nil {
		return err
	}
	if err := os.Truncate(copied, size); err != nil {
		return err
	}
	if err := errors.Join(syncPath(copied), syncPath(filepath.Dir(copied)), m.journal.move(path)); err != nil {
		return err
	}
	return m.journal.place(name, path)
}

// planOwn moves Skua's checkpoint and ring away: they speak of the log as it was, and a start does without. What only the
// ring has is written to the log.
func (m *mend) planOwn() {
	for _, name := range layout.OwnFiles() {
		path := filepath.Join(m.d.Path, layout.OwnDir, name)
		if exists(path) {
			m.add(func() error { return m.journal.move(path) }, "move %s away, the next start makes it again", path)
		}
	}
}

// planStaged writes to the log what only the ring has.
func (m *mend) planStaged() {
	d := m.d
	b, at := d.staged, d.stagedAt
	for len(b) > 0 {
		f, ok := d.log.at(at)
		if !ok {
			end := d.log.end()
			path := filepath.Join(d.o.LogDirs[0], fmt.Sprintf("%020d", end))
			f = file{path: path, start: end, size: d.log.size}
			m.add(func() error { return m.journal.create(path, d.log.size) }, "make the file %s", path)
			d.log.files = append(d.log.files, f)
		}
		n := min(int64(len(b)), f.start+d.log.size-at)
		part, off := b[:n], at-f.start
		m.add(func() error { return m.journal.write(f.path, off, part) },
			"write %d bytes that only the staging ring has to %s at byte %d", n, f.path, off)
		b, at = b[n:], at+n
	}
	if len(d.staged) > 0 {
		m.add(func() error { d.staged = nil; return nil }, "take the log from its files alone from here on")
	}
}

// planCut makes off the end of the log.
func (m *mend) planCut(off int64) {
	d := m.d
	f, ok := d.log.at(off)
	if ok && off > f.start || ok && f.start == d.log.begin() {
		m.add(func() error { return m.journal.zero(f.path, off-f.start, f.start+f.size-off) },
			"cut the log: clear %s from byte %d to its end", f.path, off-f.start)
	}
	for _, later := range slices.Backward(d.log.files) {
		if later.start >= off && later.start > d.log.begin() {
			m.add(func() error { return m.journal.move(later.path) }, "cut the log: move %s away", later.path)
		}
	}
}

// planFill makes the damaged stretches of the log ones that readers walk over.
func (m *mend) planFill() error {
	for _, g := range m.v.gaps {
		f, ok := m.d.log.at(g.off)
		if !ok {
			continue
		}
		off := g.off - f.start
		switch {
		case g.toFileEnd:
			m.add(func() error { return m.journal.write(f.path, off, blank(f.start+f.size-g.off)) },
				"mark %s as blank from byte %d to its end: %d bytes are lost", f.path, off, g.n)
		case g.n < lostLeast:
			return fmt.Errorf("store: %d damaged bytes of %s at byte %d are too few to be filled; cut the log there with --cut", g.n, f.path, off)
		default:
			m.add(func() error { return m.fill(f, g) }, "fill %d damaged bytes of %s at byte %d with records of the topic %s", g.n, f.path, off, LostTopic)
		}
	}
	return nil
}

// planMarks corrects Java's checkpoint where it speaks of messages that are newer than those in the log.
func (m *mend) planMarks() error {
	last, err := m.lastTime()
	if err != nil || m.d.java.Log <= last && m.d.java.Queues <= last {
		return err
	}
	j := m.d.java
	j.Log, j.Queues, j.QueuesEnd = min(j.Log, last), min(j.Queues, last), min(j.QueuesEnd, m.end())
	path := filepath.Join(m.d.Path, layout.JavaCheckpointFile)
	m.add(func() error { return m.journal.write(path, 0, j.Encode()[:javaCheckpointUsed]) }, "set the times in %s to those of the log", path)
	return nil
}

// javaCheckpointUsed is how much of a checkpoint of Java's says something, bytes.
const javaCheckpointUsed = 48

// lastTime is the greatest store time in the log as it will be.
func (m *mend) lastTime() (last int64, err error) {
	if m.cut < 0 {
		return m.v.lastTime, nil
	}
	r := m.d.reader()
	defer r.close()
	for _, p := range slices.Backward(m.d.parts()) {
		if p.from >= m.cut {
			continue
		}
		err := r.walk(p.from, min(p.to, m.cut), p.file.start+m.d.log.size, func(s stretch) bool {
			last = max(last, s.msg.StoreTime)
			return true
		})
		if err != nil || last > 0 {
			return last, err
		}
	}
	return 0, nil
}

// planIndex moves index files away, from the first damaged one on. Those that speak of messages that the log lost count
// as damaged.
func (m *mend) planIndex() {
	from := 0
	switch {
	case m.v.lostKeys:
	case m.v.badIndex == "":
		return
	default:
		from = slices.IndexFunc(m.v.index, func(x *indexFile) bool { return x.path == m.v.badIndex })
	}
	for _, x := range slices.Backward(m.v.index[from:]) {
		m.add(func() error { return m.journal.move(x.path) }, "move %s away, the next start of Skua makes it again (Java does not)", x.path)
	}
}
