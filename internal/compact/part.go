package compact

import (
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Sizes of pieces that are read or written at once: bytes of records, and entries.
const (
	pieceBytes = 1 << 20
	pieceUnits = 1024
)

// part is a pair of files that begin at the same place: records, and an entry for each. All but the last part of a queue are
// full, and do not change.
type part struct {
	start       int64 // of both files
	log, units  *segment.Run
	count       int64 // entries
	end         int64 // place behind the last record
	first, last int64 // queue offsets of the first and the last record, if count is not 0
	full        bool  // nothing is written to it any more
	dirty       bool  // something was written since it was last synced
}

// folder is the name of a directory.
type folder string

// Folder is the name.
func (f folder) Folder() string { return string(f) }

// newPart returns a part of which the files are there, or else will be made when something is written.
func (ls *Logs) newPart(logDir, unitDir folder, start int64, exists bool) *part {
	n := int64(0)
	if exists {
		n = 1
	}
	return &part{start: start, end: start, log: segment.Known(ls.disk, ls.LogSize, logDir, start, n), units: segment.Known(ls.disk, ls.UnitsSize, unitDir, start, n)}
}

// fits reports whether a record of so many bytes fits behind the last one. As in Java, the last entry of a file, and the
// last eight bytes of the other, are for a mark.
func (p *part) fits(size int) bool {
	return !p.full && (p.count+1)*layout.BatchUnitSize < p.units.FileSize() && p.end-p.start+int64(size)+record.BlankSize <= p.log.FileSize()
}

// write writes records that fit, as many as it takes at once, and returns the part as it is then.
func (p *part) write(records [][]byte) (grown part, err error) {
	grown = *p
	var data, units []byte
	for _, b := range records {
		if len(data) > 0 && len(data)+len(b) > pieceBytes || !grown.fits(len(b)) {
			break
		}
		m, _, err := record.Decode(b)
		if err != nil {
			return *p, err
		}
		at := len(data)
		data = append(data, b...)
		record.Move(data[at:], skua.LogOffset(grown.end))
		units = layout.BatchUnit{Log: grown.end, Size: m.Size, Tags: record.TagsCode(m.Properties), Time: m.StoreTime, Base: int64(m.QueueOffset), Count: 1}.Append(units)
		if grown.count == 0 {
			grown.first = int64(m.QueueOffset)
		}
		grown.last = int64(m.QueueOffset)
		grown.end += int64(len(b))
		grown.count++
	}
	if err := p.log.WriteAt(data, p.end); err != nil {
		return *p, err
	}
	grown.dirty = true
	return grown, p.units.WriteAt(units, p.start+p.count*layout.BatchUnitSize)
}

// close marks the rest of both files.
func (p *part) close() error {
	left := p.start + p.log.FileSize() - p.end
	if err := p.log.WriteAt(record.AppendBlank(nil, left), p.end); err != nil {
		return err
	}
	return p.units.WriteAt(layout.AppendBatchEnd(nil), p.start+p.count*layout.BatchUnitSize)
}

// sync puts both files on disk.
func (p *part) sync() error {
	return errors.Join(p.log.Sync(p.start, p.start+1), p.units.Sync(p.start, p.start+1)) // files as a whole
}

// unit reads an entry.
func (p *part) unit(i int64) (layout.BatchUnit, error) {
	b := make([]byte, layout.BatchUnitSize)
	if err := p.units.ReadAt(b, p.start+i*layout.BatchUnitSize); err != nil {
		return layout.BatchUnit{}, err
	}
	u, ok := layout.DecodeBatchUnit(b)
	if !ok || !p.holds(u) {
		return u, fmt.Errorf("compact: %s has no entry at %d", p.units.Path(p.start), i*layout.BatchUnitSize)
	}
	return u, nil
}

// holds reports whether the record of an entry can be in this part.
func (p *part) holds(u layout.BatchUnit) bool {
	return u.Log >= p.start && u.Log <= p.start+p.log.FileSize()-int64(u.Size)
}

// find is the number of the first entry that is as wanted; those before it are not. What cannot be read is not wanted.
func (p *part) find(wanted func(layout.BatchUnit) bool) int64 {
	return int64(sort.Search(int(p.count), func(i int) bool {
		u, err := p.unit(int64(i))
		return err == nil && wanted(u)
	}))
}

// buffers are those of each.
type buffers struct{ data, units []byte }

var pieces = sync.Pool{New: func() any {
	return &buffers{units: make([]byte, pieceUnits*layout.BatchUnitSize)}
}}

// errDamaged tells that a record is not what its entry says.
var errDamaged = errors.New("compact: damaged")

// each calls take with the entries and records from number i on, in their order, until it returns false; more tells
// whether it did not. A record is valid during the call. most is how many bytes are read at once. A record that is not what its
// entry says goes to damaged, whose error ends it.
func (p *part) each(i int64, most int, take func(u layout.BatchUnit, rec []byte) bool, damaged func(error) error) (more bool, err error) {
	buf := pieces.Get().(*buffers)
	defer pieces.Put(buf)
	for i < p.count {
		n := min(p.count-i, pieceUnits)
		units := buf.units[:n*layout.BatchUnitSize]
		if err := p.units.ReadAt(units, p.start+i*layout.BatchUnitSize); err != nil {
			return false, err
		}
		for len(units) > 0 {
			done, size, err := p.stretch(units, most)
			if err != nil {
				return false, err
			}
			from, _ := layout.DecodeBatchUnit(units)
			if cap(buf.data) < size {
				buf.data = make([]byte, size)
			}
			data := buf.data[:size]
			if err := p.log.ReadAt(data, from.Log); err != nil {
				return false, err
			}
			for range done {
				u, _ := layout.DecodeBatchUnit(units)
				rec := data[:u.Size:u.Size]
				units, data = units[layout.BatchUnitSize:], data[u.Size:]
				if !record.Begins(rec, skua.LogOffset(u.Log)) || int64(record.QueueOffsetOf(rec)) != u.Base {
					if err := damaged(fmt.Errorf("%w: %s has another record at %d than its entry says", errDamaged, p.log.Path(p.start), u.Log-p.start)); err != nil {
						return false, err
					}
				} else if !take(u, rec) {
					return false, nil
				}
			}
		}
		i += n
	}
	return true, nil
}

// stretch is how many of the entries have records that follow one another, up to so many bytes together, and how many bytes
// these are.
func (p *part) stretch(units []byte, most int) (n, size int, err error) {
	next := int64(0)
	for ; len(units) > 0; units = units[layout.BatchUnitSize:] {
		u, ok := layout.DecodeBatchUnit(units)
		if !ok || !p.holds(u) {
			return 0, 0, fmt.Errorf("%w: %s has a bad entry for the record at %d", errDamaged, p.units.Path(p.start), u.Log-p.start)
		}
		if n > 0 && (size+int(u.Size) > most || u.Log != next) {
			break
		}
		n, size, next = n+1, size+int(u.Size), u.Log+int64(u.Size)
	}
	return n, size, nil
}
