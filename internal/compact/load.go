package compact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// load makes the state of the log what the files say, and finishes what was begun by a process that died, or failed here. dirs
// tells that names may be there which are not on disk.
func (l *Log) load(trust Trust, dirs bool) error {
	err := l.settle()
	if err == nil && dirs {
		err = l.syncDirs()
	}
	if err != nil {
		return fmt.Errorf("compact: topic %s, queue %d: %w", l.topic, l.queue, err)
	}
	parts, err := l.find()
	if err != nil {
		return err
	}
	for i, p := range parts {
		p.full = i < len(parts)-1
		measure := p.measure
		if trust.Doubt && !p.full {
			measure = func() error { return p.verify(trust.Again) }
		}
		if err := measure(); err != nil {
			return err
		}
	}
	next := int64(0)
	for _, p := range parts {
		if p.count == 0 {
			continue
		}
		if p.first < next {
			return fmt.Errorf("compact: %s begins with the message %d of its queue, the file before it ends with %d: the files do not belong together; "+
				"move both directories of the queue away, and messages that are in the commit log come back", p.log.Path(p.start), p.first, next-1)
		}
		next = p.last + 1
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget()
	l.parts, l.broken = parts, nil
	l.setFirst()
	l.next.Store(max(next, l.next.Load()))
	if n := len(parts); n > 0 {
		parts[n-1].dirty = true
	}
	return nil
}

// settle brings the directories into a state that a pass does not leave behind halfway.
func (l *Log) settle() error {
	if err := l.finishPlan(); err != nil {
		return err
	}
	if err := l.settleJava(); err != nil {
		return err
	}
	return l.discard()
}

// discard removes what a pass has written. Entries go first: those without records are Java's, see settleJava.
func (l *Log) discard() error {
	return errors.Join(l.o.empty(compacting(l.unitDir())), l.o.empty(compacting(l.logDir())))
}

// syncDirs puts the names of all files on disk.
func (l *Log) syncDirs() error {
	for _, dir := range []string{string(l.logDir()), string(l.unitDir()), filepath.Dir(l.planPath())} {
		for range 3 {
			if err := l.o.Faults.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			dir = filepath.Dir(dir)
		}
	}
	return nil
}

// empty removes the files of a run in a directory, and it.
func (ls *Logs) empty(dir folder) error {
	entries, err := os.ReadDir(string(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ls.Faults.Remove(filepath.Join(string(dir), e.Name())); err != nil {
			return err
		}
	}
	return ls.Faults.Remove(string(dir))
}

// names are those of the files in a directory that are named by an offset and a suffix, sorted.
func names(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if _, ok := segment.ParseName(strings.TrimSuffix(e.Name(), suffix)); ok && strings.HasSuffix(e.Name(), suffix) && !e.IsDir() {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}

func (ls *Logs) rename(from, to string) error {
	if err := ls.Faults.Changing("rename", to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// find lists the parts. A pair with a file that is missing was being made or removed.
func (l *Log) find() ([]*part, error) {
	logs, err := l.starts(l.logDir(), l.o.LogSize, "compactionMappedFileSize")
	if err != nil {
		return nil, err
	}
	units, err := l.starts(l.unitDir(), l.o.UnitsSize, "compactionCqMappedFileSize")
	if err != nil {
		return nil, err
	}
	for _, start := range units {
		if !slices.Contains(logs, start) {
			l.o.Log.Warn("file of a compacted topic is removed, as the one that belongs to it is not there", "file", filepath.Join(string(l.unitDir()), segment.FileName(start)))
			if err := l.o.Faults.Remove(filepath.Join(string(l.unitDir()), segment.FileName(start))); err != nil {
				return nil, err
			}
		}
	}
	var parts []*part
	for i, start := range logs {
		p := l.o.newPart(l.logDir(), l.unitDir(), start, true)
		if !slices.Contains(units, start) {
			if i == len(logs)-1 { // it was about to be made, and none of its records was acknowledged
				if err := l.o.Faults.Remove(p.log.Path(start)); err != nil {
					return nil, err
				}
				continue
			}
			p.units = segment.Known(l.o.disk, l.o.UnitsSize, l.unitDir(), start, 0)
			if err := p.rebuild(); err != nil {
				return nil, err
			}
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// starts lists the files in a directory, which must have the right size.
func (l *Log) starts(dir folder, size int64, key string) ([]int64, error) {
	list, err := names(string(dir), "")
	if err != nil {
		return nil, fmt.Errorf("compact: %w", err)
	}
	var out []int64
	for _, name := range list {
		path := filepath.Join(string(dir), name)
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("compact: %w", err)
		}
		start, _ := segment.ParseName(name)
		switch {
		case info.Size() == 0:
			if err := l.o.Faults.Remove(path); err != nil {
				return nil, fmt.Errorf("compact: %w", err)
			}
			continue
		case info.Size() != size:
			return nil, fmt.Errorf("compact: %s has %d bytes, but files of this kind have %d: set %s to what the directory was made with", path, info.Size(), size, key)
		case start%l.o.LogSize != 0:
			return nil, fmt.Errorf("compact: %s: names of files are multiples of %d: set compactionMappedFileSize to what the directory was made with", path, l.o.LogSize)
		}
		out = append(out, start)
	}
	return out, nil
}

// rebuild makes the entries of the records of a part that is full.
func (p *part) rebuild() error {
	at, last := p.start, int64(-1)
	var units []byte
	for end := p.start + p.log.FileSize(); at+record.BlankSize < end; {
		b, m, err := p.record(at)
		if err != nil || int64(m.QueueOffset) <= last || len(units)+2*layout.BatchUnitSize > int(p.units.FileSize()) {
			break
		}
		units = layout.BatchUnit{Log: at, Size: m.Size, Tags: record.TagsCode(m.Properties), Time: m.StoreTime, Base: int64(m.QueueOffset), Count: 1}.Append(units)
		at, last = at+int64(len(b)), int64(m.QueueOffset)
	}
	return p.units.WriteAt(units, p.start)
}

// record reads the record at a place, and verifies it.
func (p *part) record(at int64) (b []byte, m record.Message, err error) {
	head := make([]byte, record.BlankSize)
	if err := p.log.ReadAt(head, at); err != nil {
		return nil, m, err
	}
	_, n, err := record.Decode(head)
	if !errors.Is(err, record.ErrShort) || at+int64(n) > p.start+p.log.FileSize() {
		return nil, m, errDamaged
	}
	b = make([]byte, n)
	if err := p.log.ReadAt(b, at); err != nil {
		return nil, m, err
	}
	m, _, err = record.Decode(b)
	if err != nil || m.LogOffset != skua.LogOffset(at) || !m.BodyIntact() {
		return nil, m, errDamaged
	}
	return b, m, nil
}

// measure finds the end of the entries, and what they speak of.
func (p *part) measure() error {
	return p.setCount(int64(sort.Search(int(p.units.FileSize()/layout.BatchUnitSize), func(i int) bool {
		_, err := p.unit(int64(i))
		return err != nil
	})))
}

// verify is measure for a part of which something may be lost: the end is before the first entry of which the record is not
// there and whole, or of which the queue offset is again or more. What is behind it is cut off.
func (p *part) verify(again skua.QueueOffset) error {
	n, at, last := int64(0), p.start, int64(-1)
	for n < p.units.FileSize()/layout.BatchUnitSize {
		u, err := p.unit(n)
		if err != nil || u.Log != at || u.Base <= last || u.Base >= int64(again) {
			break
		}
		if _, m, err := p.record(at); err != nil || int64(m.QueueOffset) != u.Base || m.Size != u.Size {
			break
		}
		n, at, last = n+1, at+int64(u.Size), u.Base
	}
	if err := p.setCount(n); err != nil {
		return err
	}
	return errors.Join(p.units.Truncate(p.start+n*layout.BatchUnitSize), p.log.Truncate(p.end), p.sync())
}

// setCount makes n the number of entries.
func (p *part) setCount(n int64) error {
	p.count, p.end, p.first, p.last = n, p.start, 0, -1
	if n == 0 {
		return nil
	}
	first, err := p.unit(0)
	if err != nil {
		return err
	}
	last, err := p.unit(n - 1)
	if err != nil {
		return err
	}
	p.first, p.last, p.end = first.Base, last.Base, last.Log+int64(last.Size)
	return nil
}

// Truncate removes the records from queue offset off on.
func (l *Log) Truncate(off skua.QueueOffset) error {
	l.passing.Lock()
	defer l.passing.Unlock()
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.parts); n > 0 && (l.parts[n-1].count == 0 || l.parts[n-1].last >= int64(off)); n = len(l.parts) {
		p := l.parts[n-1]
		i := p.find(func(u layout.BatchUnit) bool { return u.Base >= int64(off) })
		if i > 0 {
			if err := p.setCount(i); err != nil {
				return err
			}
			p.full, p.dirty = false, true
			if err := errors.Join(p.units.Truncate(p.start+i*layout.BatchUnitSize), p.log.Truncate(p.end)); err != nil {
				return err
			}
			break
		}
		if err := errors.Join(p.log.Remove(), p.units.Remove()); err != nil {
			return err
		}
		l.parts = l.parts[:n-1]
	}
	l.setFirst()
	l.next.Store(min(l.next.Load(), int64(off)))
	l.synced.Store(min(l.synced.Load(), int64(off)))
	return nil
}
