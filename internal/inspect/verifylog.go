package inspect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
)

// worker is what one goroutine of the pass over the log keeps.
type worker struct {
	v      *verifier
	log    *logReader
	queues pool
	blocks map[*queue]*block
	item   *indexCursor
	hashes []int32
	lost   int64 // records of the part without items, reported once
	first  int64 // the first of them
}

// block is a piece of a queue's units.
type block struct {
	from int64 // number of the first unit
	b    []byte
}

const (
	blockUnits = 128
	maxBlocks  = 4096 // of a worker
)

func (v *verifier) newWorker() (*worker, func()) {
	w := &worker{v: v, log: v.d.reader(), blocks: map[*queue]*block{}}
	return w, func() {
		w.log.close()
		w.queues.close()
	}
}

// readLog is the second pass.
func (v *verifier) readLog(ctx context.Context) error {
	parts := v.d.parts()
	total := int64(0)
	numbers := make([]int, len(parts))
	for i, p := range parts {
		numbers[i] = i
		total += p.to - p.from
	}
	v.begin("log", total)
	v.tails = make([]tail, len(parts))
	err := each(ctx, v.o.Workers, numbers, v.newWorker, func(w *worker, i int) error { return w.part(i, parts[i]) })
	if err != nil {
		return err
	}
	v.judgeTails()
	return nil
}

// part checks one part of the log.
func (w *worker) part(i int, p part) error {
	v := w.v
	w.item, w.lost = v.cursor(i, p.to), 0
	defer w.item.close()
	t := tail{part: p, off: p.from}
	from := p.from
	err := w.log.walk(p.from, p.to, p.file.start+v.d.log.size, func(s stretch) bool {
		v.done.Add(s.off + min(s.n, p.to-s.off) - from)
		from = s.off + s.n
		switch s.kind {
		case stretchRecord:
			w.record(&s)
			t.last = true
		case stretchGap:
			v.addGap(p, gap{off: s.off, n: s.n, why: s.why})
		case stretchBlank:
			t.last, t.full = true, true
		case stretchTail:
			t.why = s.why
			return false
		}
		t.off = s.off + s.n
		return true
	})
	if v.d.Running && errors.Is(err, fs.ErrNotExist) {
		return nil // retention was quicker
	}
	if err != nil {
		return err
	}
	t.full = t.full || t.off >= p.file.start+v.d.log.size
	w.stray(math.MaxInt64, !t.full && v.d.crashed())
	if w.lost > 0 {
		v.lostKeys.Store(true)
		v.found.add(Finding{Kind: "index", File: p.file.path, Offset: w.first - p.file.start, Log: w.first,
			Detail: fmt.Sprintf("%d keys of records from here on are not in the index", w.lost)})
	}
	v.tails[i] = t
	return w.item.err
}

func (v *verifier) addGap(p part, g gap) {
	v.mu.Lock()
	v.gaps = append(v.gaps, g)
	v.mu.Unlock()
	behind := "a good record follows"
	if g.toFileEnd {
		behind = "good records follow in the next files"
	}
	v.found.add(Finding{Kind: "damage", File: p.file.path, Offset: g.off - p.file.start, Log: g.off,
		Detail: fmt.Sprintf("%d bytes are no records, %s: %v", g.n, behind, g.why)})
}

// judgeTails finds the end of the log. What ends before it without a blank is damaged.
func (v *verifier) judgeTails() {
	d := v.d
	v.end = d.log.begin()
	n := len(v.tails) - 1
	for n >= 0 && !v.tails[n].last {
		n--
	}
	for i, t := range v.tails {
		end := t.part.file.start + d.log.size
		switch {
		case i < n && !t.full:
			why := t.why
			if why == nil {
				why = fmt.Errorf("only zeros")
			}
			v.addGap(t.part, gap{t.off, end - t.off, true, why})
		case i == n:
			if v.end = t.off; t.full {
				v.end = end
			}
			fallthrough
		case i > n:
			v.judgeEnd(t, i == n)
		}
	}
	if d.end > v.end && !d.Running {
		v.found.add(Finding{Kind: "damage", File: d.log.path(v.end), Offset: v.end - d.log.startOf(v.end), Log: v.end,
			Detail: fmt.Sprintf("the log ends here; by the staging ring it goes on to %d", d.end)})
	}
}

// judgeEnd looks at what lies behind the last record.
func (v *verifier) judgeEnd(t tail, last bool) {
	if t.why == nil || t.full && last {
		return
	}
	v.torn = true
	if v.d.Running {
		return
	}
	v.found.add(Finding{Kind: "torn", File: t.part.file.path, Offset: t.off - t.part.file.start, Log: t.off, Note: true,
		Detail: fmt.Sprintf("behind the last record there is something that is none: %v; a crash may have left it, a start cuts it off", t.why)})
}

// path is the path of the file with an offset.
func (c *chain) path(off int64) string {
	if f, ok := c.at(off); ok {
		return f.path
	}
	if n := len(c.files); n > 0 {
		return c.files[n-1].path
	}
	return ""
}

// startOf is the start of the file of c.path.
func (c *chain) startOf(off int64) int64 {
	if f, ok := c.at(off); ok {
		return f.start
	}
	return max(c.end()-c.size, 0)
}

// record checks one record: its seal, its entries and its keys.
func (w *worker) record(s *stretch) {
	v, m := w.v, &s.msg
	v.records.Add(1)
	v.bytes.Add(s.n)
	for last := v.lastTime.Load(); m.StoreTime > last && !v.lastTime.CompareAndSwap(last, m.StoreTime); {
		last = v.lastTime.Load()
	}
	if found, intact := record.CheckSeal(s.raw, m); found && !intact {
		w.find(s, "seal", "the checksum of the record (__CRC32#) does not match")
	}
	if m.Queued() && v.inQueue(m) {
		w.entry(s, string(m.Topic), m.QueueID, int64(m.QueueOffset))
	}
	if names, ok := record.Property(m.Properties, skua.PropMultiDispatch); ok {
		w.light(s, string(names))
	}
	if len(v.index) > 0 {
		w.keys(s)
	}
}

// find adds a finding about a record.
func (w *worker) find(s *stretch, kind, detail string) {
	c := &w.v.d.log
	w.v.found.add(Finding{Kind: kind, File: c.path(s.off), Offset: s.off - c.startOf(s.off), Log: s.off, Detail: detail})
}

// inQueue reports whether m has a place in a queue's files.
func (v *verifier) inQueue(m *record.Message) bool {
	if m.QueueID < 0 || !layout.Storable(string(m.Topic)) || string(m.Topic) == LostTopic {
		return false
	}
	const innerBatch = 0x80
	q := v.table[string(m.Topic)][m.QueueID]
	return m.SysFlag&innerBatch == 0 || q != nil && q.batch
}

// light checks the entries of a record in light queues.
func (w *worker) light(s *stretch, names string) {
	text, _ := record.Property(s.msg.Properties, skua.PropMultiQueueOffset)
	offsets := strings.Split(string(text), ",")
	for i, name := range strings.Split(names, ",") {
		if i >= len(offsets) || strings.Contains(name, "/") {
			continue
		}
		id := s.msg.QueueID
		if strings.HasPrefix(name, skua.LMQPrefix) {
			id = 0
		}
		off, err := strconv.ParseInt(offsets[i], 10, 64)
		if err == nil && w.v.table[name][id] != nil {
			w.entry(s, name, id, off)
		}
	}
}

// entry checks that a queue has the entry of a record.
func (w *worker) entry(s *stretch, topic string, id int32, off int64) {
	v := w.v
	if v.d.topics.gone(topic, s) {
		v.deleted.Add(1)
		return
	}
	q := v.table[topic][id]
	if q == nil || q.end == q.first {
		switch {
		case v.tolerated(s):
		case v.d.topics.lack(topic, id):
			v.deleted.Add(1)
		default:
			w.noQueue(s, topic, id)
		}
		return
	}
	if q.firstLog != math.MaxInt64 && s.off < q.firstLog && (off >= q.max || off < q.min) {
		v.deleted.Add(1) // of a topic that was deleted and made again, or retention was quicker in the queue
		return
	}
	n := off
	var err error
	if q.batch {
		n, err = w.search(q, s.off)
	}
	u, ok, err2 := w.unit(q, n)
	path, at := q.place(n)
	fault := ""
	switch {
	case err != nil || err2 != nil:
		fault = fmt.Sprintf("the entry of queue %s at %d cannot be read: %v", q.name(), off, err2)
	case !ok || q.batch && u.log != s.off:
		if v.tolerated(s) {
			return
		}
		fault = fmt.Sprintf("the record has no entry in queue %s at %d", q.name(), off)
	case u.log > s.off && !u.skip:
		v.deleted.Add(1) // the queue began anew; whether the entry is right turns out by itself
		return
	case u.log != s.off || u.size != int32(s.n) || u.off != off:
		if u.skip && s.off < q.firstLog {
			v.deleted.Add(1)
			return
		}
		fault = fmt.Sprintf("queue %s has at %d an entry of %d bytes at log offset %d; its record has %d bytes at %d", q.name(), off, u.size, u.log, s.n, s.off)
	default:
		q.matched.Add(1)
		fault = w.tags(s, q, u)
	}
	if fault != "" {
		q.bad.Store(true)
		v.found.add(Finding{Kind: "entry", File: path, Offset: at, Log: s.off, Detail: fault})
	}
}

// noQueue reports a queue that is not there, once.
func (w *worker) noQueue(s *stretch, topic string, id int32) {
	v := w.v
	key := topic + "/" + strconv.Itoa(int(id))
	v.mu.Lock()
	seen := v.missing[key] != nil
	if q := v.table[topic][id]; q != nil {
		v.missing[key] = q
	} else if !seen {
		v.missing[key] = &queue{topic: topic, id: id, dir: filepath.Join(v.d.Path, layout.QueueDir, topic, strconv.Itoa(int(id))), firstLog: math.MaxInt64}
	}
	v.mu.Unlock()
	if seen {
		return
	}
	detail := fmt.Sprintf("there are records of queue %s, but the queue has no entries", key)
	if err := v.d.topics.unknown; err != nil {
		detail += fmt.Sprintf("; if its topic was deleted they are no loss, but nobody can tell: %v", err)
	}
	w.find(s, "entry", detail)
}

// tolerated reports whether a record may lack its entries: a running broker has them in memory, and the next start after
// a crash makes them.
func (v *verifier) tolerated(s *stretch) bool {
	d := v.d
	if !d.crashed() {
		return false
	}
	if d.ownOK && d.own.Session == d.abort.Session {
		return s.off >= min(d.own.Synced.End, d.own.Written.End)
	}
	return s.msg.StoreTime > min(d.java.Log, d.java.Queues)-3000
}

// unit reads entry n of a queue.
func (w *worker) unit(q *queue, n int64) (u unit, ok bool, err error) {
	if n < q.first || n >= q.end {
		return u, false, nil
	}
	if u, ok := q.pending.unit(n); ok {
		return u, true, nil
	}
	size := q.unitSize()
	bl := w.blocks[q]
	if bl == nil || n < bl.from || n >= bl.from+int64(len(bl.b))/size {
		if bl == nil {
			if len(w.blocks) >= maxBlocks {
				clear(w.blocks)
			}
			bl = &block{b: make([]byte, 0, blockUnits*size)}
			w.blocks[q] = bl
		}
		if err := w.fill(q, bl, n); err != nil {
			return u, false, err
		}
	}
	if i := (n - bl.from) * size; i >= 0 && i+size <= int64(len(bl.b)) {
		u, ok = q.decode(bl.b[i:], n)
	}
	return u, ok, nil
}

// fill reads units from n on into bl, as many as fit and are in one file.
func (w *worker) fill(q *queue, bl *block, n int64) error {
	size := q.unitSize()
	bl.from, bl.b = n, bl.b[:0]
	f, ok := q.files.at(n * size)
	if !ok {
		return nil
	}
	at := n*size - f.start
	want := max(min(int64(cap(bl.b)), (f.size-at)/size*size), 0)
	bl.b = bl.b[:want]
	got, err := w.queues.readAt(f.path, bl.b, at)
	bl.b = bl.b[:int64(got)/size*size]
	if len(bl.b) > 0 || want == 0 {
		return nil
	}
	return err
}

// search is the number of the first entry that points to log or behind it.
func (w *worker) search(q *queue, log int64) (int64, error) {
	lo, hi := q.first, q.end
	for lo < hi {
		mid := lo + (hi-lo)/2
		u, ok, err := w.unit(q, mid)
		if err != nil {
			return 0, err
		}
		if ok && u.log < log {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}

// tags tells what is wrong with the tags code of an entry.
func (w *worker) tags(s *stretch, q *queue, u unit) string {
	m := &s.msg
	got := u.tags
	if off, ok := layout.ExtOffset(u.tags); ok && !q.batch {
		e, err := w.v.d.ext(&w.queues, q, off)
		if err != nil {
			return fmt.Sprintf("the extension of the entry at %d of queue %s: %v", u.off, q.name(), err)
		}
		if e.Time != m.StoreTime {
			return fmt.Sprintf("the extension of the entry at %d of queue %s is of %s, its record of %s", u.off, q.name(), stamp(e.Time), stamp(m.StoreTime))
		}
		got = e.Tags
	}
	want := w.v.d.tagsCode(m)
	if got == want || string(m.Topic) == skua.ScheduleTopic && w.v.d.o.DelayLevels == "" && got >= m.StoreTime {
		return ""
	}
	return fmt.Sprintf("the entry at %d of queue %s has the tags code %d, that of its record is %d", u.off, q.name(), got, want)
}

// tagsCode is what an entry has as tags code: for delayed messages when they are due.
func (d *Dir) tagsCode(m *record.Message) int64 {
	if string(m.Topic) == skua.ScheduleTopic {
		text, _ := record.Property(m.Properties, skua.PropDelayLevel)
		if level, err := strconv.Atoi(string(text)); err == nil && level > 0 && len(d.delays) > 0 {
			return m.StoreTime + d.delays[min(level, len(d.delays))-1]
		}
	}
	return record.TagsCode(m.Properties)
}

// keys checks that the index has the keys of a record, and nothing else of it.
func (w *worker) keys(s *stretch) {
	w.stray(s.off, false)
	m := &s.msg
	w.hashes = w.hashes[:0]
	if m.Transaction() != record.FlagTransactionRollback {
		w.hashes = appendHashes(w.hashes, m)
	}
	want := len(w.hashes)
	if tag, ok := record.Property(m.Properties, skua.PropTags); ok { // which not every release has indexed
		w.hashes = append(w.hashes, layout.TagHash(m.Topic, tag))
	}
	var have [8]int32
	got := have[:0]
	for c := w.item; c.ok && c.item.Log == s.off; c.next() {
		got = append(got, c.item.Hash)
		if x := c.files[0]; !slices.Contains(w.hashes, c.item.Hash) {
			w.v.addIndex(x, Finding{Offset: x.itemAt(c.n), Log: s.off, Detail: fmt.Sprintf("item %d has the hash %d, which no key of its record has", c.n, c.item.Hash)})
		}
	}
	missing := int64(0)
	for _, h := range w.hashes[:want] {
		if !slices.Contains(got, h) {
			missing++
		}
	}
	if missing == 0 || w.v.unindexed(s) {
		return
	}
	if w.lost == 0 {
		w.first = s.off
	}
	w.lost += missing
}

// appendHashes appends the hashes under which the index has m.
func appendHashes(dst []int32, m *record.Message) []int32 {
	if id, ok := record.Property(m.Properties, skua.PropUniqueKey); ok {
		dst = append(dst, layout.KeyHash(m.Topic, id))
	}
	keys, _ := record.Property(m.Properties, skua.PropKeys)
	for key := range strings.SplitSeq(string(keys), " ") {
		if key != "" {
			dst = append(dst, layout.KeyHash(m.Topic, []byte(key)))
		}
	}
	return dst
}

// stray reports items that point to places in front of off where no record is, neighbours together. With behind
// they are only noted: the log was cut there.
func (w *worker) stray(off int64, behind bool) {
	var x *indexFile
	var from, n, log int64
	report := func() {
		if n > 0 {
			w.v.addIndex(x, Finding{Offset: x.itemAt(from), Log: log, Note: behind,
				Detail: fmt.Sprintf("%d items from number %d on point to places from %d on where no record begins", n, from, log)})
		}
		n = 0
	}
	for c := w.item; c.ok && c.item.Log < off; c.next() {
		if w.v.d.Running && c.item.Log >= w.v.d.limit() {
			continue
		}
		if c.files[0] != x {
			report()
		}
		if n == 0 {
			x, from, log = c.files[0], c.n, c.item.Log
		}
		n++
	}
	report()
}

// unindexed reports whether a record need not be in the index: it is indexed later, or by the next start.
func (v *verifier) unindexed(s *stretch) bool {
	d := v.d
	if !d.crashed() {
		return false
	}
	if d.ownOK && d.own.Session == d.abort.Session && s.off >= d.own.Indexed {
		return true
	}
	for _, x := range v.index {
		if x.count > 1 && x.head.EndOffset() > s.off {
			return v.indexNote(x)
		}
	}
	return true
}
