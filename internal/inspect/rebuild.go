package inspect

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// fillStep is how much is filled at a time, bytes.
const fillStep = 64 << 20

// fill fills a damaged stretch.
func (m *mend) fill(f file, g gap) error {
	r := m.d.reader()
	defer r.close()
	var at int64
	if s, err := r.record(g.off+g.n, f.start+m.d.log.size); err == nil && s.why == nil {
		at = s.msg.StoreTime
	}
	for off, left := g.off, g.n; left > 0; {
		n := left
		if left > 2*fillStep {
			n = fillStep
		}
		if err := m.journal.write(f.path, off-f.start, fillers(off, n, at)); err != nil {
			return err
		}
		off, left = off+n, left-n
	}
	return nil
}

// draft is a queue that is being made again, in the journal's folder.
type draft struct {
	old   *queue
	q     *queue // as it becomes
	dir   string // below the journal's folder
	files map[int64]*os.File
	seen  []uint64 // a bit for each unit from q.first on whose record is there
	next  int64    // batch queues: number of the next unit
	floor int64    // start of the log file of the last record that was met
	met   bool
	birth int64 // records before it with offsets of old's entries, or behind them, are of a topic that was deleted; 0: not known
}

// rebuild makes queues again. Files are copied and corrected, so that what is right in them stays: entries of messages
// that retention took, addresses of extensions, delivery times.
func (m *mend) rebuild(bad []*queue) error {
	w, free := (&verifier{d: m.d, table: map[string]map[int32]*queue{}}).newWorker()
	defer free()
	drafts := map[string]map[int32]*draft{}
	for _, q := range bad {
		dr, err := m.draft(q)
		if err != nil {
			return err
		}
		defer dr.close()
		dr.birth = m.birth(w, q)
		if drafts[q.topic] == nil {
			drafts[q.topic] = map[int32]*draft{}
		}
		drafts[q.topic][q.id] = dr
	}
	if err := m.eachRecord(w, func(s *stretch) error { return m.redo(w, drafts, s) }); err != nil {
		return err
	}
	clear(w.blocks) // which may be older than what was put
	for _, q := range bad {
		dr := drafts[q.topic][q.id]
		if err := dr.finish(w, m.end()); err != nil {
			return err
		}
		if exists(q.dir) {
			if err := m.journal.move(q.dir); err != nil {
				return err
			}
		}
		if err := m.journal.place(dr.dir, q.dir); err != nil {
			return err
		}
	}
	return nil
}

// birth is the log offset of the first record of q by its entries, if it is that record: offsets only grow, so that no
// record before it can have one of those that follow. It is 0 if that is not known.
func (m *mend) birth(w *worker, q *queue) int64 {
	if q.batch || q.end == q.first || q.firstLog == math.MaxInt64 {
		return 0
	}
	s, err := w.log.record(q.firstLog, min(m.d.log.startOf(q.firstLog)+m.d.log.size, m.end()))
	if err != nil || s.why != nil || !q.holds(&s.msg, unit{off: q.min}) {
		return 0
	}
	return q.firstLog
}

// end is where the log ends after the repair.
func (m *mend) end() int64 {
	if m.cut >= 0 {
		return m.cut
	}
	return m.v.end
}

// eachRecord calls f with the records of the log as it is after the repair. What was staged is in the files by now.
func (m *mend) eachRecord(w *worker, f func(*stretch) error) error {
	var err error
	for _, p := range m.d.parts() {
		to := min(p.to, m.end())
		werr := w.log.walk(p.from, to, p.file.start+m.d.log.size, func(s stretch) bool {
			if s.kind == stretchRecord {
				err = f(&s)
			}
			return err == nil && s.kind != stretchTail
		})
		if err = errors.Join(err, werr); err != nil {
			return err
		}
	}
	return nil
}

// draft begins to make q again.
func (m *mend) draft(q *queue) (*draft, error) {
	rel, err := filepath.Rel(m.d.Path, q.dir)
	if err != nil {
		return nil, err
	}
	dr := &draft{old: q, dir: filepath.Join("new", rel), files: map[int64]*os.File{}}
	dir := filepath.Join(m.journal.dir, dr.dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	dr.q = &queue{topic: q.topic, id: q.id, dir: dir, batch: q.batch, first: q.first, end: q.end, logBegin: m.d.log.begin()}
	dr.q.files.size = q.files.size
	if dr.q.files.size == 0 {
		dr.q.files.size = m.queueFileSize(q.batch)
	}
	dr.next = -1
	if q.batch || q.end == q.first || len(q.files.problems()) > 0 {
		dr.q.first, dr.q.end = 0, 0 // all of it is made again
		return dr, nil
	}
	for _, f := range q.files.files {
		if err := copyFile(f.path, filepath.Join(dir, filepath.Base(f.path))); err != nil {
			return nil, err
		}
		dr.q.files.files = append(dr.q.files.files, file{path: filepath.Join(dir, filepath.Base(f.path)), start: f.start, size: f.size})
	}
	return dr, nil
}

// queueFileSize is the size of files in queues of a kind: that of the others, or Java's.
func (m *mend) queueFileSize(batch bool) int64 {
	for _, q := range m.v.queues {
		if q.batch == batch && q.files.size > 0 && len(q.files.problems()) == 0 {
			return q.files.size
		}
	}
	if batch {
		return 300_000 * layout.BatchUnitSize
	}
	return 300_000 * layout.UnitSize
}

func (dr *draft) close() {
	for _, f := range dr.files {
		f.Close()
	}
}

// redo enters a record into the drafts of its queues.
func (m *mend) redo(w *worker, drafts map[string]map[int32]*draft, s *stretch) error {
	r := &s.msg
	floor := m.d.log.startOf(s.off)
	const innerBatch = 0x80
	dr := drafts[string(r.Topic)][r.QueueID]
	if dr != nil && r.Queued() && (dr.q.batch || r.SysFlag&innerBatch == 0) && !m.d.topics.gone(dr.q.topic, s) {
		if err := dr.enter(w, m.d, s, int64(r.QueueOffset), floor); err != nil {
			return err
		}
	}
	names, ok := record.Property(r.Properties, skua.PropMultiDispatch)
	if !ok {
		return nil
	}
	text, _ := record.Property(r.Properties, skua.PropMultiQueueOffset)
	offsets := strings.Split(string(text), ",")
	for i, name := range strings.Split(string(names), ",") {
		id := r.QueueID
		if strings.HasPrefix(name, skua.LMQPrefix) {
			id = 0
		}
		dr := drafts[name][id]
		if dr == nil || i >= len(offsets) || m.d.topics.gone(name, s) {
			continue
		}
		off, err := strconv.ParseInt(offsets[i], 10, 64)
		if err != nil {
			continue
		}
		if err := dr.enter(w, m.d, s, off, floor); err != nil {
			return err
		}
	}
	return nil
}

// enter makes the entry of a record right.
func (dr *draft) enter(w *worker, d *Dir, s *stretch, off, floor int64) error {
	if dr.q.batch {
		return dr.enterBatch(d, s, off)
	}
	if dr.q.end > dr.q.first && !dr.met && s.off < dr.old.firstLog && (off >= dr.old.max || off < dr.old.min) && dr.old.firstLog < 1<<62 {
		return nil // of a time before the topic was made again
	}
	if s.off < dr.birth && off >= dr.old.min {
		return nil
	}
	if off == 0 && dr.met && dr.old.end == dr.old.first {
		if err := dr.restart(); err != nil { // what was entered is of a topic of that name that was deleted
			return err
		}
	}
	if !dr.met && dr.q.end == dr.q.first {
		perFile := dr.q.files.size / layout.UnitSize
		dr.q.first = off / perFile * perFile
		dr.q.end = dr.q.first
	}
	if off < dr.q.first || off-dr.q.end > 1<<28 {
		return nil // offsets began anew, or the record is not to be believed
	}
	dr.met = true
	for n := dr.q.end; n < off; n++ {
		fill := layout.AppendFiller
		if dr.floor > 0 {
			fill = func(b []byte) []byte { return layout.AppendLost(b, dr.floor) }
		}
		if err := dr.put(n, fill(nil)); err != nil {
			return err
		}
	}
	dr.floor = floor
	dr.see(off)
	if off < dr.q.end {
		u, ok, err := w.unit(dr.q, off)
		if err != nil {
			return err
		}
		if ok && u.log == s.off && u.size == int32(s.n) && w.rightTags(d, dr.old, u, &s.msg) {
			return nil
		}
	}
	return dr.put(off, layout.AppendUnit(nil, s.off, int32(s.n), d.tagsCode(&s.msg)))
}

// rightTags reports whether an entry's tags code can stay.
func (w *worker) rightTags(d *Dir, q *queue, u unit, m *record.Message) bool {
	s := stretch{msg: *m}
	w.v.d = d
	return w.tags(&s, q, u) == ""
}

// restart forgets what was entered into a queue of which nothing was there.
func (dr *draft) restart() error {
	dr.close()
	clear(dr.files)
	for _, f := range dr.q.files.files {
		if err := os.Remove(f.path); err != nil {
			return err
		}
	}
	dr.q.files.files, dr.seen = nil, nil
	dr.q.first, dr.q.end, dr.floor, dr.met = 0, 0, 0, false
	return nil
}

func (dr *draft) enterBatch(d *Dir, s *stretch, off int64) error {
	count := int64(1)
	if text, ok := record.Property(s.msg.Properties, skua.PropInnerNum); ok {
		if n, err := strconv.ParseInt(string(text), 10, 16); err == nil && n > 0 {
			count = n
		}
	}
	if dr.next < 0 {
		dr.next = dr.old.files.begin() / layout.BatchUnitSize
		dr.q.first = dr.next
	}
	u := layout.BatchUnit{Log: s.off, Size: int32(s.n), Tags: d.tagsCode(&s.msg), Time: s.msg.StoreTime, Base: off, Count: int16(count)}
	dr.next++
	dr.met = true
	return dr.put(dr.next-1, u.Append(nil))
}

// see remembers that the record of a unit is there.
func (dr *draft) see(n int64) {
	i := n - dr.q.first
	if word := int(i / 64); word >= len(dr.seen) {
		dr.seen = append(dr.seen, make([]uint64, word+1-len(dr.seen)+len(dr.seen)/2)...)
	}
	dr.seen[i/64] |= 1 << (i % 64)
}

func (dr *draft) saw(n int64) bool {
	i := n - dr.q.first
	return i >= 0 && i/64 < int64(len(dr.seen)) && dr.seen[i/64]&(1<<(i%64)) != 0
}

// put writes unit n.
func (dr *draft) put(n int64, b []byte) error {
	size := dr.q.files.size
	off := n * dr.q.unitSize()
	start := off - off%size
	f := dr.files[start]
	if f == nil {
		path := filepath.Join(dr.q.dir, fmt.Sprintf("%020d", start))
		var err error
		if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
			return err
		}
		dr.files[start] = f
		if err := f.Truncate(size); err != nil {
			return err
		}
		if _, ok := dr.q.files.at(start); !ok {
			dr.q.files.files = append(dr.q.files.files, file{path: path, start: start, size: size})
			slices.SortFunc(dr.q.files.files, func(a, b file) int { return int(min(max(a.start-b.start, -1), 1)) })
		}
	}
	_, err := f.WriteAt(b, off-start)
	dr.q.end = max(dr.q.end, n+1)
	return err
}

// finish makes the entries without records those of lost messages; behind the last record there are none where Java would
// take them for the end of the log.
func (dr *draft) finish(w *worker, end int64) error {
	if !dr.q.batch {
		floor, last := int64(0), dr.q.first
		for n := dr.q.first; n < dr.q.end; n++ {
			if dr.saw(n) {
				last = n + 1
			}
		}
		for n := dr.q.first; n < dr.q.end; n++ {
			u, ok, err := w.unit(dr.q, n)
			if err != nil {
				return err
			}
			if dr.saw(n) {
				floor = w.v.d.log.startOf(u.log)
				continue
			}
			if ok && (u.skip || u.log < dr.q.logBegin) {
				continue
			}
			b := layout.AppendLost(nil, floor)
			if n >= last && (floor == 0 || u.log >= end) {
				b = make([]byte, layout.UnitSize)
			}
			if err := dr.put(n, b); err != nil {
				return err
			}
		}
	}
	for _, f := range dr.files {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return syncPath(dr.q.dir)
}
