package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/skuamq/skua/internal/layout"
)

// tellShared writes where all queues end, so that a start need not read the chunks before.
func (s *Store) tellShared() error {
	l := s.shared
	if err := l.commit(); err != nil {
		return err
	}
	if err := l.sync(); err != nil { // what the state speaks of survives with it
		return err
	}
	turn, at := l.state.turn+1, l.end.Load()
	b := (&layout.Chunk{Kind: layout.ChunkBegin, From: at, First: turn, Log: l.logBegin}).Append(nil)
	b = l.markChunk().Append(b)
	for q := range s.queues.all() {
		c, ok := q.shelf.(*chain)
		if !ok {
			continue
		}
		b = (&layout.Chunk{Kind: layout.ChunkEnd, Topic: []byte(q.topic), Queue: q.id, From: c.end, First: c.begin, Min: c.last, Log: c.top}).Append(b)
	}
	b = (&layout.Chunk{Kind: layout.ChunkWhole, First: turn}).Append(b)
	path := s.own(layout.SharedStates()[turn%2])
	if err := overwrite(s.o.Faults, path, b, 0, true); err != nil {
		return err
	}
	if err := s.o.Faults.SyncDir(s.own("")); err != nil {
		return err
	}
	l.state = sharedState{turn, at, int64(len(b))}
	return nil
}

// tendShared tells the state anew when much was added since, and gives the memory of links back when they are many.
func (s *Store) tendShared() error {
	l, f := s.shared, &s.flusher
	if l.held.Load() > sharedLinks {
		for q := range s.queues.all() {
			if c, ok := q.shelf.(*chain); ok {
				c.forget()
			}
		}
	}
	if !f.retell && l.end.Load()-l.state.at <= max(sharedStep, 8*l.state.size) {
		return nil
	}
	if err := s.tellShared(); err != nil {
		s.o.Log.Warn("state of the shared queue log cannot be written; trying again", "err", err)
		return nil
	}
	f.retell = false
	return nil
}

// forget notes that a topic was deleted.
func (l *sharedLog) forget(topic string) error {
	if _, err := l.add(&layout.Chunk{Kind: layout.ChunkGone, Topic: []byte(topic)}); err != nil {
		return err
	}
	return l.commit()
}

// dropShared removes files of which no record is in the log any more, which begins at begin. Queues whose last entry was
// in one of them keep their number.
func (s *Store) dropShared(begin int64) error {
	l := s.shared
	l.logBegin = begin
	from, stop := l.run.Bounds()
	for next := from + l.file; next < stop && next < l.end.Load(); next += l.file {
		if c, ok := l.firstOf(next); !ok || c.Log > begin {
			break
		}
		from = next
	}
	if first, _ := l.run.Bounds(); from == first {
		return nil
	}
	for q := range s.queues.all() {
		c, ok := q.shelf.(*chain)
		if !ok || c.last < 0 || c.last >= from {
			continue
		}
		if err := c.dropBefore(c.end); err != nil {
			return err
		}
		if err := c.append(nil, c.end, -1); err != nil {
			return err
		}
	}
	if err := s.tellShared(); err != nil { // nothing that is needed speaks of what goes
		return err
	}
	_, err := l.run.DropBefore(from)
	return err
}

// readShared makes the queues from the shared log, if the last run had one.
func (r *recovery) readShared() error {
	s := r.s
	l, err := s.findShared()
	if err != nil {
		s.o.Log.Warn("shared queue log cannot be used; queues are made again from the commit log", "err", err)
		return s.removeShared()
	}
	_, extended := os.Stat(filepath.Join(s.o.Dir, layout.ExtDir))
	s.shared, s.extended = l, extended == nil
	s.readSharedState()
	err = l.scan(func(c *layout.Chunk, place int64) error { s.replay(c, place); return nil })
	if err == nil && l.marked {
		err = l.cutTail()
	}
	if err == nil && l.marked {
		return r.openShared()
	}
	s.queues.clear()
	s.shared = nil
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return s.removeShared()
}

// beginShared begins with a shared log if there are no queues in files, so that they need not be moved to it.
func (s *Store) beginShared() (err error) {
	if !s.o.Shared || s.shared != nil {
		return nil
	}
	for q := range s.queues.all() {
		if !q.batch {
			return nil
		}
	}
	if !s.queues.empty() { // batch queues alone do not tell how far the others were
		s.doubt = errors.New("there is no shared queue log")
	}
	s.shared, err = s.findShared()
	return err
}

// openShared completes the queues that were found in the shared log.
func (r *recovery) openShared() error {
	s, l := r.s, r.s.shared
	for q := range s.queues.all() {
		c := q.shelf.(*chain)
		c.forget()
		q.tailFrom, q.flushed, q.synced, q.next, q.maxLog = c.end, c.end, c.end, c.end, c.top
		q.visible.Store(c.end)
		q.min.Store(c.begin)
	}
	r.told, r.logBegin = true, l.logBegin
	if s.extended {
		if err := inParallel(s.queues.all(), (*Queue).loadExtension); err != nil {
			return err
		}
	}
	if err := s.clearQueueFolders(); err != nil { // another broker has made them
		return err
	}
	return s.loadFolder(layout.BatchQueueDir)
}

// readSharedState takes over the newest state that is whole. Without one all chunks are read.
func (s *Store) readSharedState() {
	l := s.shared
	begin, stop := l.run.Bounds()
	var best []byte
	turn := int64(-1)
	for _, name := range layout.SharedStates() {
		b, err := os.ReadFile(s.own(name))
		if err != nil {
			continue
		}
		c, n := layout.DecodeChunk(b)
		if n > 0 && n <= len(b) && c.Kind == layout.ChunkBegin && c.From >= begin && c.From <= stop && c.First > turn && wholeState(b) {
			best, turn = b, c.First
			l.state = sharedState{c.First, c.From, int64(len(b))}
			l.logBegin = c.Log
		}
	}
	if best == nil {
		return
	}
	l.end.Store(l.state.at)
	eachChunk(best, func(c *layout.Chunk) bool {
		s.replay(c, 0)
		return c.Kind != layout.ChunkWhole
	})
}

// wholeState reports whether b is a state to its end.
func wholeState(b []byte) bool {
	turn, whole := int64(-1), false
	eachChunk(b, func(c *layout.Chunk) bool {
		if c.Kind == layout.ChunkBegin {
			turn = c.First
		}
		whole = c.Kind == layout.ChunkWhole && c.First == turn
		return !whole
	})
	return whole
}

// eachChunk calls f for the chunks of b until it says false.
func eachChunk(b []byte, f func(c *layout.Chunk) bool) {
	for {
		c, n := layout.DecodeChunk(b)
		if n == 0 || n > len(b) || !f(&c) {
			return
		}
		b = b[n:]
	}
}

// replay does what a chunk at a place says.
func (s *Store) replay(k *layout.Chunk, place int64) {
	l := s.shared
	switch k.Kind {
	case layout.ChunkGone:
		s.queues.drop(string(k.Topic))
	case layout.ChunkMark:
		l.top = max(l.top, k.Log)
		if k.Queue == 1 {
			l.marked, l.mark = true, layout.Position{End: k.From, Last: k.First, Time: k.Min}
		}
	case layout.ChunkUnits, layout.ChunkEnd:
		if !layout.Storable(string(k.Topic)) || k.Queue < 0 || k.From < 0 {
			return
		}
		q := s.queues.find(k.Topic, k.Queue)
		if q == nil && s.o.Batched != nil && s.o.Batched(string(k.Topic)) {
			return // as when the files are looked at
		}
		if q == nil {
			q = s.Queue(string(k.Topic), k.Queue)
		}
		c, ok := q.shelf.(*chain)
		if !ok {
			c = findChain(q)
			q.shelf = c
		}
		if k.Kind == layout.ChunkUnits {
			c.take(k, place)
			l.top = max(l.top, k.Log)
			return
		}
		c.begin, c.end, c.last, c.top = k.First, k.From, k.Min, k.Log
	}
}

// startShared is where the scan begins: at the last mark.
func (r *recovery) startShared(first layout.Position) layout.Position {
	p := r.s.shared.mark
	if r.crashed && r.own.Boot != bootID() && (!r.ownOK || r.own.Synced.End < p.End) {
		p = r.own.Synced // of batch queues and extensions later entries may be lost
	}
	if p.End > first.End && r.endsRecord(p) {
		return p
	}
	return first
}

// moveQueues moves the entries of all queues to where the options want them, so that nothing has to be made again, and no
// queue forgets its end.
func (r *recovery) moveQueues() error {
	s := r.s
	var err error
	switch {
	case s.o.Shared && s.shared == nil:
		err = s.shareQueues()
	case s.o.Shared:
		err = r.agree()
	case s.shared != nil:
		err = s.unshareQueues()
	}
	if err != nil {
		return fmt.Errorf("store: queue entries cannot be written to where storeType wants them: %w", err)
	}
	return nil
}

// agree notes in the shared log what the start has found.
func (r *recovery) agree() error {
	s, l := r.s, r.s.shared
	if begin, _ := s.log.run.Bounds(); !r.told || l.logBegin != begin {
		for q := range s.queues.all() {
			if c, ok := q.shelf.(*chain); ok {
				_ = c.dropBefore(q.min.Load()) // never fails
			}
		}
		l.logBegin = begin
	}
	if err := l.note(s.flusher.written); !full(err) {
		return err
	}
	return nil // the flusher tries again
}

// shareQueues moves the entries from files to the shared log. Until its first mark the files count.
func (s *Store) shareQueues() error {
	l, err := s.findShared()
	if err != nil {
		return err
	}
	l.logBegin, _ = s.log.run.Bounds()
	s.shared = l
	for q := range s.queues.all() {
		if q.batch {
			continue
		}
		if files := q.shelf; files != nil {
			c := findChain(q)
			if err := c.copyFrom(files, max(q.begin(), min(q.min.Load(), q.flushed)), q.flushed); err != nil {
				return err
			}
			q.shelf = c
		}
		if err := q.flush(keepUnits); err != nil {
			return err
		}
		q.cool()
	}
	if err := l.sync(); err != nil {
		return err
	}
	if err := l.note(s.flusher.written); err != nil {
		return err
	}
	if err := s.tellShared(); err != nil {
		return err
	}
	if err := s.dropJournal(); err != nil {
		return err
	}
	s.o.Log.Info("queue entries are in the shared queue log now", "bytes", l.end.Load())
	return s.clearQueueFolders()
}

// copyFrom takes over the entries of another shelf.
func (c *chain) copyFrom(from shelf, begin, end int64) error {
	if begin == end {
		return c.append(nil, end, -1)
	}
	return copyEntries(c, from, begin, end)
}

func copyEntries(to, from shelf, begin, end int64) error {
	b := make([]byte, min((end-begin)*layout.UnitSize, layout.MaxChunkUnits))
	for begin < end {
		n := min(int64(len(b)), (end-begin)*layout.UnitSize)
		if err := from.read(b[:n], begin); err != nil {
			return err
		}
		if err := to.write(b[:n], begin); err != nil {
			return err
		}
		begin += n / layout.UnitSize
	}
	return nil
}

// unshareQueues moves the entries from the shared log to Java's files. Until that is removed it counts.
func (s *Store) unshareQueues() error {
	if err := s.clearQueueFolders(); err != nil {
		return err
	}
	s.shared = nil
	err := inParallel(s.queues.all(), func(q *Queue) error {
		c, ok := q.shelf.(*chain)
		if !ok || q.batch {
			return nil
		}
		files, err := findQueueFiles(q)
		if err != nil {
			return err
		}
		if c.begin < c.end {
			err = copyEntries(files, c, c.begin, c.end)
		} else if c.end > 0 { // a filler keeps the number
			err = files.write(layout.AppendUnit(nil, 0, math.MaxInt32, 0), c.end-1)
		}
		q.shelf = files
		return err
	})
	if err == nil {
		err = syncFileSystem(s.o.Faults, s.o.Dir)
	}
	if err == nil {
		err = s.removeShared()
	}
	if err == nil {
		s.o.Log.Info("queue entries are in files of their queues now")
	}
	return err
}

// clearQueueFolders removes the folders of queues, and leaves everything else where they are.
func (s *Store) clearQueueFolders() error {
	root := filepath.Join(s.o.Dir, layout.QueueDir)
	topics, err := readDirs(root)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		ids, err := readDirs(filepath.Join(root, topic))
		if err != nil {
			return err
		}
		for _, id := range ids {
			if _, ok := queueNumber(id); !ok {
				continue
			}
			if err := os.RemoveAll(filepath.Join(root, topic, id)); err != nil {
				return err
			}
		}
		err = os.Remove(filepath.Join(root, topic))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.o.Log.Debug("folder of a topic is left", "err", err)
		}
	}
	return nil
}
