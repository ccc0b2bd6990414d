package inspect

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
)

// queue is one queue of the store, as its files have it.
type queue struct {
	topic string
	id    int32
	dir   string
	batch bool // its units are layout.BatchUnit
	files chain
	size  int64 // that its files should have, bytes; 0 if it is not known

	first    int64 // number of the first unit that is there
	end      int64 // number behind the last one
	min, max int64 // queue offsets: of the first live message, behind the last one
	firstLog int64 // log offset of the first unit that points into the log, MaxInt64 if none does
	live     int64 // units that point into the log
	lastLog  int64 // behind the last record that a unit points to
	logBegin int64 // where the log begins

	matched atomic.Int64 // units that were found to be those of their records
	bad     atomic.Bool  // there are findings

	pending *pending // entries that may not be in files; nil for none

	extOnce  sync.Once
	extChain chain // of extensions
	extErr   error
}

// unitSize is the length of the queue's units, bytes.
func (q *queue) unitSize() int64 {
	if q.batch {
		return layout.BatchUnitSize
	}
	return layout.UnitSize
}

// name is how messages name the queue.
func (q *queue) name() string { return q.topic + "/" + strconv.Itoa(int(q.id)) }

// place is the file that holds unit n, and where.
func (q *queue) place(n int64) (path string, at int64) {
	off := n * q.unitSize()
	if f, ok := q.files.at(off); ok {
		return f.path, off - f.start
	}
	return q.dir, -1
}

// listQueues calls yield with each queue below a folder of the store; their files are not looked at yet.
func (d *Dir) listQueues(folder string, yield func(*queue) error) error {
	root := filepath.Join(d.Path, folder)
	topics, err := folders(root)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		ids, err := folders(filepath.Join(root, topic))
		if err != nil {
			return err
		}
		for _, name := range ids {
			id, err := strconv.ParseInt(name, 10, 32)
			if err != nil || id < 0 {
				continue // none of a broker's
			}
			q := &queue{topic: topic, id: int32(id), dir: filepath.Join(root, topic, name), batch: folder == layout.BatchQueueDir}
			if err := yield(q); err != nil {
				return err
			}
		}
	}
	return nil
}

// queues lists all queues.
func (d *Dir) queues() (qs []*queue, err error) {
	for _, folder := range []string{layout.QueueDir, layout.BatchQueueDir} {
		if err := d.listQueues(folder, func(q *queue) error { qs = append(qs, q); return nil }); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	if err := setFileSizes(qs); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return d.addPending(qs), nil
}

// sizedQueues is of how many queues the files are looked at to find out what size they should have.
const sizedQueues = 128

// setFileSizes tells queues what size their files should have: all of a kind have the same.
func setFileSizes(qs []*queue) error {
	var votes [2]vote
	kind := func(q *queue) int { return map[bool]int{true: 1}[q.batch] }
	step := max(len(qs)/sizedQueues, 1)
	for i := 0; i < len(qs); i += step {
		c, err := findChain(0, qs[i].dir)
		if err != nil {
			return err
		}
		if c.size > 0 {
			votes[kind(qs[i])].add(c.size)
		}
	}
	for _, q := range qs {
		q.size = votes[kind(q)].winner()
	}
	return nil
}

// addPending gives queues the entries that are not in their files yet, and adds those that have no files.
func (d *Dir) addPending(qs []*queue) []*queue {
	if len(d.pending) == 0 {
		return qs
	}
	filed := map[string]map[int32]bool{}
	for _, q := range qs {
		if q.batch {
			continue
		}
		q.pending = d.pending[q.topic][q.id]
		if filed[q.topic] == nil {
			filed[q.topic] = map[int32]bool{}
		}
		filed[q.topic][q.id] = true
	}
	for topic, ps := range d.pending {
		for id, p := range ps {
			if !filed[topic][id] && layout.Storable(topic) {
				dir := filepath.Join(d.Path, layout.QueueDir, topic, strconv.Itoa(int(id)))
				qs = append(qs, &queue{topic: topic, id: id, dir: dir, pending: p})
			}
		}
	}
	return qs
}

// folders lists the folders in dir, none if it does not exist.
func folders(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// unit is what units of both kinds tell.
type unit struct {
	off   int64 // queue offset of the (first) message
	count int64 // messages
	log   int64
	size  int32
	tags  int64
	time  int64 // store time, ms; 0 if the unit does not tell
	skip  bool  // it stands for no message
}

// decode reads unit n of the queue; ok is false where none was written.
func (q *queue) decode(b []byte, n int64) (u unit, ok bool) {
	if q.batch {
		v, ok := layout.DecodeBatchUnit(b)
		return unit{off: v.Base, count: int64(v.Count), log: v.Log, size: v.Size, tags: v.Tags, time: v.Time}, ok
	}
	v, ok := layout.DecodeUnit(b)
	return unit{off: n, count: 1, log: v.Log, size: v.Size, tags: v.Tags, skip: v.Filler()}, ok
}

// load finds the files of the queue and reads its units. Runs of places without units between others are reported to
// hole, units to each, both in their order.
func (q *queue) load(buf []byte, each func(n int64, u unit), hole func(from, to int64)) error {
	var err error
	if q.files, err = findChain(q.size, q.dir); err != nil {
		return err
	}
	size := q.unitSize()
	q.first = (q.files.begin() + size - 1) / size
	q.end = q.first
	buf = buf[:int64(len(buf))/size*size]
	for _, f := range q.files.files {
		if err := q.loadFile(f, buf, each, hole); err != nil {
			return err
		}
	}
	q.loadPending(each, hole)
	return nil
}

// loadPending goes on behind the files.
func (q *queue) loadPending(each func(n int64, u unit), hole func(from, to int64)) {
	p := q.pending
	if p == nil {
		return
	}
	if q.end == q.first {
		q.first, q.end = p.from, p.from
	}
	if p.from > q.end {
		hole(q.end, p.from)
	}
	for n := max(q.end, p.from); n < p.end(); n++ {
		q.end = n + 1
		if u, ok := p.unit(n); ok {
			each(n, u)
		}
	}
}

func (q *queue) loadFile(f file, buf []byte, each func(n int64, u unit), hole func(from, to int64)) error {
	h, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer h.Close()
	size := q.unitSize()
	length := min(f.size, q.files.size)
	for at := int64(0); at+size <= length; {
		n, err := h.ReadAt(buf[:min(int64(len(buf)), length-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		b := buf[:int64(n)/size*size]
		written := false
		for i := int64(0); i < int64(len(b)); i += size {
			number := (f.start + at + i) / size
			u, ok := q.decode(b[i:], number)
			if !ok {
				continue
			}
			if number > q.end {
				hole(q.end, number)
			}
			q.end, written = number+1, true
			each(number, u)
		}
		if at += int64(len(b)); len(b) == 0 {
			return nil
		}
		if !written || q.end*size < f.start+at {
			if at, err = nextData(h, at, size); err != nil {
				return err
			}
		}
	}
	return nil
}

// nextData is the first place at or behind at, a multiple of size, in front of data that the file system has; MaxInt64
// if there is none. Files of queues are sparse, and most of them are almost empty.
func nextData(f *os.File, at, size int64) (int64, error) {
	off, err := f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return math.MaxInt64 - size, nil
	}
	if err != nil {
		return at, nil // not supported: all of it is read
	}
	return off / size * size, nil
}

// summarize prepares the queue for count: logBegin is where the log begins.
func (q *queue) summarize(logBegin int64) {
	q.min, q.max, q.live, q.lastLog, q.firstLog, q.logBegin = -1, 0, 0, 0, math.MaxInt64, logBegin
}

// count takes note of a unit.
func (q *queue) count(_ int64, u unit) {
	q.max = u.off + u.count
	if u.skip || u.log < q.logBegin {
		return
	}
	if q.min < 0 {
		q.min, q.firstLog = u.off, u.log
	}
	q.live++
	q.lastLog = u.log + int64(u.size)
}

// extFiles finds the files with the extensions of a queue's entries.
func (d *Dir) extFiles(q *queue) (*chain, error) {
	q.extOnce.Do(func() {
		q.extChain, q.extErr = findChain(0, filepath.Join(d.Path, layout.ExtDir, q.topic, strconv.Itoa(int(q.id))))
	})
	return &q.extChain, q.extErr
}
