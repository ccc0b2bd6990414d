package inspect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// compacted is a queue of a topic with cleanup.policy=COMPACTION: its files of records, in dir, and of entries come in pairs of
// one name, see package compact.
type compacted struct {
	*queue
	units string // directory
}

// compactCure is what helps against damage in these files.
const compactCure = "; move both directories of the queue away: what the commit log still has is copied again"

// readCompacted is the last pass: the files of compacted queues.
func (v *verifier) readCompacted(ctx context.Context) error {
	qs, total, err := v.d.compacted()
	if err != nil {
		return err
	}
	v.begin("compacted queues", total)
	return each(ctx, v.o.Workers, qs, func() (*bufio.Reader, func()) { return bufio.NewReaderSize(nil, 1<<20), func() {} }, v.readCompactedQueue)
}

// compacted lists the compacted queues, and how many bytes their files of records have.
func (d *Dir) compacted() (qs []compacted, total int64, err error) {
	err = d.listQueues(filepath.Join(layout.CompactionDir, layout.CompactionLogDir), func(q *queue) error {
		c, err := findChain(0, q.dir)
		for _, f := range c.files {
			total += f.size
		}
		qs = append(qs, compacted{q, filepath.Join(d.Path, layout.CompactionDir, layout.CompactionUnitDir, q.topic, filepath.Base(q.dir))})
		return err
	})
	return qs, total, err
}

// readCompactedQueue checks the files of a queue. A running broker may replace them meanwhile; then they are read again.
func (v *verifier) readCompactedQueue(r *bufio.Reader, q compacted) error {
	for try := 0; ; try++ {
		logs, err := findChain(0, q.dir)
		if err != nil {
			return err
		}
		units, err := findChain(0, q.units)
		if err != nil {
			return err
		}
		c := compactedCheck{q: q, r: r, logs: logs, units: units, next: -1}
		if err := c.run(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		} else if v.d.Running && try < 5 && (err != nil || len(c.found) > 0) {
			again, err := findChain(0, q.dir)
			if err != nil {
				return err
			}
			if !slices.EqualFunc(logs.files, again.files, func(a, b file) bool { return a.start == b.start && (a.mod.Equal(b.mod) || a.start == logs.last()) }) {
				continue
			}
		}
		for _, f := range c.found {
			v.found.add(f)
		}
		v.compacted.Add(c.records)
		for _, f := range logs.files {
			v.done.Add(f.size)
		}
		return nil
	}
}

// last is the start of the last file, -1 if there is none.
func (c *chain) last() int64 {
	if len(c.files) == 0 {
		return -1
	}
	return c.files[len(c.files)-1].start
}

// compactedCheck is one look at the files of a queue.
type compactedCheck struct {
	q           compacted
	r           *bufio.Reader
	logs, units chain
	next        int64 // no record may have a lower queue offset
	records     int64
	found       []Finding
	buf         []byte
}

func (c *compactedCheck) find(path string, at int64, note bool, format string, args ...any) {
	c.found = append(c.found, Finding{Kind: "compacted", File: path, Offset: at, Note: note, Detail: "queue " + c.q.name() + ": " + fmt.Sprintf(format, args...)})
}

func (c *compactedCheck) run() error {
	for _, u := range c.units.files {
		if !slices.ContainsFunc(c.logs.files, func(l file) bool { return l.start == u.start }) {
			c.find(u.path, -1, true, "the file of records that belongs to it is not there; the next start removes it")
		}
	}
	for i, l := range c.logs.files {
		last := i == len(c.logs.files)-1
		j := slices.IndexFunc(c.units.files, func(u file) bool { return u.start == l.start })
		switch {
		case l.size != c.logs.size:
			c.find(l.path, -1, false, "has %d bytes, the others have %d%s", l.size, c.logs.size, compactCure)
		case j < 0 && last:
			c.find(l.path, -1, true, "has no file of entries yet; the next start removes it")
		case j < 0:
			c.find(l.path, -1, true, "has no file of entries; the next start makes it again from the records")
		case c.units.files[j].size != c.units.size:
			c.find(c.units.files[j].path, -1, false, "has %d bytes, the others have %d%s", c.units.files[j].size, c.units.size, compactCure)
		default:
			if err := c.pair(l, c.units.files[j]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pair holds the entries of a part against its records, until the first that does not fit: what comes behind follows from it.
func (c *compactedCheck) pair(l, u file) error {
	units, err := os.Open(u.path)
	if err != nil {
		return err
	}
	defer units.Close()
	log, err := os.Open(l.path)
	if err != nil {
		return err
	}
	defer log.Close()
	b := make([]byte, layout.BatchUnitSize*1024)
	c.r.Reset(log)
	at := l.start
	for off := int64(0); off < u.size; {
		n, err := units.ReadAt(b[:min(int64(len(b)), u.size-off)], off)
		if err != nil && err != io.EOF {
			return err
		}
		for rest := b[:n-n%layout.BatchUnitSize]; len(rest) > 0; rest, off = rest[layout.BatchUnitSize:], off+layout.BatchUnitSize {
			e, ok := layout.DecodeBatchUnit(rest)
			if !ok {
				return nil // the end, or a mark
			}
			why, damaged := c.entry(e, at, l)
			if why != "" {
				file, place := u.path, off
				if damaged {
					file, place = l.path, at-l.start
				}
				c.find(file, place, false, "%s%s", why, compactCure)
				return nil
			}
			at, c.next = at+int64(e.Size), e.Base+1
			c.records++
		}
		if n == 0 {
			return nil
		}
	}
	return nil
}

// entry tells what is wrong with an entry, or with the record that should be at at, the next to be read; then damaged is true.
func (c *compactedCheck) entry(e layout.BatchUnit, at int64, l file) (why string, damaged bool) {
	switch {
	case e.Log != at:
		return fmt.Sprintf("the entry says that its record is at %d, but the one before it ends at %d", e.Log, at), false
	case e.Size < record.BlankSize || at+int64(e.Size) > l.start+l.size:
		return fmt.Sprintf("the entry says that its record has %d bytes, which is not possible at %d", e.Size, at-l.start), false
	case e.Base < c.next:
		return fmt.Sprintf("the entry is of message %d, but there was message %d before", e.Base, c.next-1), false
	}
	if int(e.Size) > cap(c.buf) {
		c.buf = make([]byte, e.Size)
	}
	b := c.buf[:e.Size]
	if _, err := io.ReadFull(c.r, b); err != nil {
		return fmt.Sprintf("the record of message %d cannot be read: %v", e.Base, err), true
	}
	m, n, err := record.Decode(b)
	switch {
	case err != nil:
		return fmt.Sprintf("there should be the record of message %d: %v", e.Base, err), true
	case n != len(b) || int64(m.LogOffset) != at || int64(m.QueueOffset) != e.Base || string(m.Topic) != c.q.topic || m.QueueID != c.q.id:
		return fmt.Sprintf("there should be the record of message %d, with %d bytes; it is of message %d of %s/%d, with %d bytes, and says that it is at %d",
			e.Base, e.Size, m.QueueOffset, m.Topic, m.QueueID, n, m.LogOffset), true
	case !m.BodyIntact():
		return fmt.Sprintf("the body of message %d does not match its checksum", e.Base), true
	case record.TagsCode(m.Properties) != e.Tags:
		return fmt.Sprintf("the entry of message %d says tags code %d, its record %d", e.Base, e.Tags, record.TagsCode(m.Properties)), false
	}
	return "", false
}
