package store

import (
	"os"
	"path/filepath"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// queueJournal tells what is in which queue, so that a start need not look at the files of all of them, and holds entries
// that are not in their files yet: of many queues with few entries each a sequential write is a hundred times cheaper than
// as many small ones. It is a log of chunks in skua/queues, of use only for the run that comes next:
//
//	reset, begin, end of each queue, whole | units, ends ... | begin, end of each queue, whole | units, ends ... | clean
//	└ what the start found ┘                                   └ again when much has been added: what is before it, and
//	                                                             in files, is dropped ┘
//
// It knows nothing of batch queues, nor of extensions. Methods are called by one goroutine at a time.
type queueJournal struct {
	run      *segment.Run
	end      int64 // bytes before it are written
	buf      []byte
	state    int64 // where the last whole state begins
	size     int64 // bytes of that state
	logBegin int64 // begin of the log when it was told
}

// Figures of the journal, bytes.
const (
	journalFile = 16 << 20
	journalStep = 64 << 20 // after so much the state is told anew
	journalBuf  = 4 << 20  // written at once
)

func (s *Store) findJournal() (*queueJournal, error) {
	run, err := segment.Open(s.queueDisk, journalFile, s.own(layout.JournalDir))
	if err != nil {
		return nil, err
	}
	begin, _ := run.Bounds()
	return &queueJournal{run: run, end: begin}, nil
}

// add appends a chunk; commit writes it. A chunk that does not fit into its file goes to the next one, so that each file
// begins with a chunk when those before it are gone.
func (j *queueJournal) add(c *layout.Chunk) {
	n := len(j.buf)
	j.buf = c.Append(j.buf)
	at, size := j.end+int64(n), int64(len(j.buf)-n)
	if left := journalFile - at%journalFile; size > left {
		j.buf = append(j.buf[:n], make([]byte, left)...)
		j.buf = c.Append(j.buf)
	}
}

// commit writes what was added. After an error it may be called again.
func (j *queueJournal) commit() error {
	if len(j.buf) == 0 {
		return nil
	}
	if err := j.run.WriteAt(j.buf, j.end); err != nil {
		return err
	}
	j.end += int64(len(j.buf))
	if j.buf = j.buf[:0]; cap(j.buf) > 2*journalBuf {
		j.buf = nil
	}
	return nil
}

// replay calls f for all chunks, some at a time, until it says false, and sets the end behind the last ones. What f gets
// is no more valid when it returns.
func (j *queueJournal) replay(f func(chunks []layout.Chunk) bool) error {
	_, stop := j.run.Bounds()
	b := make([]byte, 2*layout.MaxChunk)
	var chunks []layout.Chunk
	for at := j.end; at < stop; {
		n := min(int64(len(b)), journalFile-at%journalFile)
		if err := j.run.ReadAt(b[:n], at); err != nil {
			return err
		}
		rest, begin := b[:n], at
		for chunks = chunks[:0]; ; {
			c, size := layout.DecodeChunk(rest)
			if size == 0 || size > len(rest) {
				break
			}
			chunks = append(chunks, c)
			rest, at = rest[size:], at+int64(size)
		}
		if at == begin {
			at += journalFile - at%journalFile // there is no more in this file
			continue
		}
		j.end = at
		if !f(chunks) {
			return nil
		}
	}
	return nil
}

// lateQueues counts the queues with entries that are not in files, and all.
func (s *Store) lateQueues() (late, all int) {
	for q := range s.queues.all() {
		if all++; q.unfiled() > 0 {
			late++
		}
	}
	return late, all
}

// addUnits notes the entries of q in memory from offset from on, and returns the offset behind them.
func (j *queueJournal) addUnits(q *Queue, from int64) int64 {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.batch {
		return from
	}
	from = max(from, q.flushed)
	units := q.tail[min((from-q.tailFrom)*layout.UnitSize, int64(len(q.tail))):]
	for len(units) > 0 {
		n := min(len(units), layout.MaxChunkUnits)
		j.add(&layout.Chunk{Kind: layout.ChunkUnits, Topic: []byte(q.topic), Queue: q.id, From: from, Log: q.maxLog, Units: units[:n]})
		units, from = units[n:], from+int64(n/layout.UnitSize)
	}
	return from
}

// addEnd notes how far the files of q go. Of a queue without files there is nothing to note.
func (j *queueJournal) addEnd(q *Queue) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.shelf == nil || q.batch {
		return
	}
	begin, _ := q.shelf.bounds()
	least := q.min.Load()
	if q.expired.Load() {
		least = -1 // to be found again
	}
	j.add(&layout.Chunk{Kind: layout.ChunkEnd, Topic: []byte(q.topic), Queue: q.id, From: q.flushed, First: begin, Min: least, Log: q.maxLog})
}

// tell writes the state of all queues. With a session what was before counts no more, and entries in memory are noted, too.
func (s *Store) tellQueues(session *layout.Session) error {
	j := s.journal
	if session != nil {
		j.add(&layout.Chunk{Kind: layout.ChunkReset, Topic: session[:]})
	}
	at := j.end + int64(len(j.buf))
	begin, _ := s.log.run.Bounds()
	j.add(&layout.Chunk{Kind: layout.ChunkBegin, Log: begin})
	for q := range s.queues.all() {
		j.addEnd(q)
		if session != nil {
			j.addUnits(q, 0)
		}
		if len(j.buf) > journalBuf {
			if err := j.commit(); err != nil {
				return err
			}
		}
	}
	j.add(&layout.Chunk{Kind: layout.ChunkWhole})
	if err := j.commit(); err != nil {
		return err
	}
	j.state, j.size, j.logBegin = at, j.end-at, begin
	return nil
}

// beginJournal tells the state of the queues at the begin of a session; what was in the journal is of no use any more.
// Without space for it, or with extensions of which it knows nothing, the store goes on without a journal; so it does with
// the shared log, which is one.
func (s *Store) beginJournal() error {
	if s.extended || s.o.Extend || s.shared != nil {
		return s.dropJournal()
	}
	if s.journal == nil {
		j, err := s.findJournal()
		if err != nil { // damaged
			if err := os.RemoveAll(s.own(layout.JournalDir)); err != nil {
				return err
			}
			if j, err = s.findJournal(); err != nil {
				return err
			}
		}
		s.journal = j
	}
	j := s.journal
	start := j.end
	if err := j.run.Truncate(start); err != nil {
		return err
	}
	if err := s.tellQueues(&s.session); err != nil {
		s.o.Log.Warn("journal of queues cannot be written; the next start may take longer", "err", err)
		return s.dropJournal()
	}
	_, err := j.run.DropBefore(start)
	return err
}

// dropJournal goes on without a journal. All entries must be in files, or be made again at the next start.
func (s *Store) dropJournal() error {
	j := s.journal
	if s.journal = nil; j != nil {
		return j.run.Remove()
	}
	return os.RemoveAll(s.own(layout.JournalDir))
}

// closeJournal marks the clean stop.
func (s *Store) closeJournal() error {
	if s.journal == nil {
		return nil
	}
	at, err := changed(s.o.Dir)
	if err != nil {
		return err
	}
	s.journal.add(&layout.Chunk{Kind: layout.ChunkClean, From: at})
	return s.journal.commit()
}

// changed is when something was made in or removed from a directory last, ns. Any broker that starts changes that.
func changed(dir string) (int64, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return 0, err
	}
	return info.ModTime().UnixNano(), nil
}

// journalReader makes queues from a journal.
type journalReader struct {
	s       *Store
	session layout.Session
	whole   bool  // the state is complete
	clean   int64 // of the last chunk if it is ChunkClean
	begin   int64 // log begin
	bad     bool  // it contradicts itself
}

// readJournal makes the queues from the journal of the last run, if nobody has changed their files since, and reports
// whether it could.
func (r *recovery) readJournal(root int64) bool {
	s := r.s
	if s.o.Extend {
		return false
	}
	j, err := s.findJournal()
	if err != nil {
		s.o.Log.Warn("journal of queues cannot be used; the start looks at the files of all queues", "err", err)
		return false
	}
	in := &journalReader{s: s}
	err = j.replay(in.takeAll)
	sameRun := in.clean == root
	if r.crashed {
		boot := bootID()
		sameRun = in.session == r.last && r.ownOK && r.own.Boot == boot && boot != layout.Session{}
	}
	if _, gone := os.Stat(filepath.Join(s.o.Dir, layout.QueueDir)); gone != nil && !s.queues.empty() {
		sameRun = false
	}
	if err != nil || in.bad || !in.whole || !sameRun {
		s.o.Log.Debug("journal of queues is not used", "err", err, "contradictory", in.bad, "whole", in.whole, "of the last run", sameRun, "end", j.end)
		s.queues.clear()
		return false
	}
	if s.loadFolder(layout.BatchQueueDir) != nil {
		s.queues.clear()
		return false
	}
	s.journal = j // and so what the checkpoint says of written entries is true
	if late, n := s.lateQueues(); late == 0 && n <= checkedQueues {
		s.queues.clear()
		return false // the files of so few can be looked at, and may have been damaged
	}
	r.told, r.logBegin = true, in.begin
	for q := range s.queues.all() {
		q.visible.Store(q.next)
	}
	return true
}

func (in *journalReader) take(c *layout.Chunk) bool {
	in.clean = 0
	switch c.Kind {
	case layout.ChunkReset:
		if len(c.Topic) != len(in.session) {
			in.bad = true
			return false
		}
		in.session = layout.Session(c.Topic)
		in.s.queues.clear()
	case layout.ChunkBegin:
		in.begin = c.Log
	case layout.ChunkWhole:
		in.whole = true
	case layout.ChunkClean:
		in.clean = c.From
	case layout.ChunkGone:
		in.s.queues.drop(string(c.Topic))
	case layout.ChunkEnd, layout.ChunkUnits:
		in.bad = !in.takeQueue(c)
	}
	return !in.bad
}

// replayEnd notes that the entries before c.From are in files.
func (q *Queue) replayEnd(c *layout.Chunk) {
	if c.From < q.flushed || c.From >= q.next {
		q.tail, q.next, q.maxLog = nil, c.From, c.Log
	} else {
		q.tail = append([]byte(nil), q.tail[(c.From-q.tailFrom)*layout.UnitSize:]...)
	}
	q.tailFrom, q.flushed, q.synced = c.From, c.From, c.From
	q.min.Store(max(c.Min, 0))
	q.expired.Store(c.Min < 0)
	size := q.store.o.QueueFileSize
	first, end := c.First*layout.UnitSize/size*size, c.From*layout.UnitSize
	if end > first {
		q.shelf = queueFiles{segment.Known(q.store.queueDisk, size, (*queueFolder)(q), first, (end-first+size-1)/size)}
	}
}

// replayUnits adds the entries of c that are not in files; they replace those from the same offset on. It reports false
// when there is a gap.
func (q *Queue) replayUnits(c *layout.Chunk) bool {
	from, units := c.From, c.Units
	if from > q.next {
		return false
	}
	if skip := q.flushed - from; skip > 0 {
		if skip*layout.UnitSize >= int64(len(units)) {
			return true
		}
		from, units = q.flushed, units[skip*layout.UnitSize:]
	}
	q.tail = append(q.tail[:(from-q.tailFrom)*layout.UnitSize], units...)
	q.next, q.maxLog = from+int64(len(units)/layout.UnitSize), c.Log
	return true
}
