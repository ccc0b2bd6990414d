package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// How many files stay open.
const (
	openSegments   = 1024
	openQueueFiles = 512
)

// Store is an open store. All methods may be called concurrently.
type Store struct {
	o         Options
	lock      *os.File
	logDisk   *segment.Disk
	queueDisk *segment.Disk
	log       *commitLog
	session   layout.Session
	java      layout.JavaCheckpoint // as found at the start

	queues    queueTable
	deletions deletions
	dirty     []*Queue // queues with entries that are not in files; guarded by log.mu
	pending   pendingList
	waiters   waiterList
	busy      bell         // rung when anything was appended
	published atomic.Int64 // in SyncFlush readers see what is before it; 0 until the first sync
	readers   bell         // rung when somebody reads the files of the log

	extended bool // queues that are found may have extensions
	killed   bool // see Killed

	far     int64       // see behind
	crowded atomic.Bool // see Crowded

	flusher   flusher
	doubt     error         // at the start: why queue files are not to be trusted
	scanned   int64         // by the start: bytes of the log whose records were read
	rebuild   bool          // at the start: all queue entries are held against the log
	journal   *queueJournal // nil if there is none; of the flusher
	shared    *sharedLog    // where entries are, nil if they are in files; of the flusher
	index     *indexer
	diskCheck chan chan struct{}

	retention  atomic.Pointer[Retention]
	retainMu   sync.Mutex   // held while files are removed
	holding    bool         // see held; guarded by retainMu
	manualRuns atomic.Int32 // runs of retention that were asked for
	limits     topicLimits
	maxLight   atomic.Int64 // Options.MaxLight, see SetMaxLight

	stop     context.CancelFunc
	done     context.Context
	closing  sync.Once
	closeErr error
	work     sync.WaitGroup
}

// Open opens or creates the store in o.Dir, recovers it and starts its goroutines. The error names file, offset and
// cure.
func Open(o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, logDisk: segment.NewDisk(openSegments, o.Faults), queueDisk: segment.NewDisk(openQueueFiles, o.Faults),
		queues: queueTable{topics: map[string][]*Queue{}}, busy: newBell(), readers: newBell(), far: farBehind, diskCheck: make(chan chan struct{}),
	}
	s.retention.Store(&o.Retention)
	s.SetMaxLight(o.MaxLight)
	s.waiters.settled = s.o.Settled
	if err := s.open(); err != nil {
		s.release()
		return nil, err
	}
	s.done, s.stop = context.WithCancel(context.Background())
	s.start(s.drainLoop)
	s.start(s.reserveLoop)
	s.start(s.flushLoop)
	s.start(s.keepLoop)
	s.start(s.readersLoop)
	if s.index != nil {
		s.start(s.indexLoop)
	}
	s.log.reserver.ring()
	s.busy.ring() // what recovery found gets flushed, too
	return s, nil
}

func (s *Store) start(f func()) {
	s.work.Go(f)
}

func (s *Store) open() error {
	for _, dir := range []string{layout.OwnDir, layout.QueueDir, layout.IndexDir} { // the abort file makes them durable, too
		if err := os.MkdirAll(filepath.Join(s.o.Dir, dir), 0o755); err != nil {
			return fmt.Errorf("store: %w; storePathRootDir must be a directory that the broker may write", err)
		}
	}
	var err error
	if s.lock, err = lockDir(s.o.Dir); err != nil {
		return err
	}
	run, err := segment.OpenDirs(s.logDisk, s.o.SegmentSize, segment.Dirs{Write: s.o.CommitLogDirs, Read: s.o.ReadOnlyDirs, Full: s.fullDir})
	if err != nil {
		return err
	}
	s.log = &commitLog{run: run, log: s.o.Log, space: s.describeSpace, maxWait: s.o.MaxWait, direct: directness{mode: s.o.DirectIO},
		prewrite: s.o.SyncFlush, writer: newBell(), reserver: newBell()}
	s.log.mu.space.L = &s.log.mu
	s.log.mu.last = -1
	return s.recover()
}

// own is a path below the directory that Java does not know.
func (s *Store) own(name string) string { return filepath.Join(s.o.Dir, layout.OwnDir, name) }

// newSession draws the name of this run.
func newSession() (s layout.Session) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// Close flushes, marks a clean stop, and joins all goroutines. Appends fail from its beginning on. The error tells what
// is not on disk; the next Open then recovers.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	s.log.refuse(refusef(Closed, "the broker is stopping"), true)
	s.stop()
	s.work.Wait()
	err := s.flushAll()
	s.waiters.finish(s.log.durable.Load(), &RefusedError{Reason: Closed, Err: err})
	if err == nil && s.o.Flushed != nil {
		err = s.o.Flushed()
	}
	if err == nil {
		err = s.closeClean()
	}
	s.release()
	return err
}

// closeClean leaves everything in Java's files and marks the clean stop.
func (s *Store) closeClean() error {
	if err := s.index.close(); err != nil {
		return err
	}
	if err := s.log.run.DropEmpty(s.log.end.Load()); err != nil {
		return err
	}
	s.retally(1)
	if err := s.writeCheckpoints(true); err != nil {
		return err
	}
	if err := s.o.Faults.Remove(filepath.Join(s.o.Dir, layout.AbortFile)); err != nil {
		return err
	}
	if err := s.o.Faults.Remove(s.own(layout.StagingFile)); err != nil {
		return err
	}
	if s.shared != nil {
		if err := s.tellShared(); err != nil {
			s.o.Log.Warn("state of the shared queue log cannot be written; the next start may take longer", "err", err)
		}
	}
	return s.closeJournal()
}

// release gives back what open took.
func (s *Store) release() {
	if s.log != nil {
		s.log.unmap()
	}
	s.index.unmap()
	s.logDisk.Close()
	s.queueDisk.Close()
	if s.lock != nil {
		s.lock.Close()
	}
}

func (s *Store) nowMs() int64 { return s.o.Now().UnixMilli() }

// Queue returns the queue of a topic, which need not hold messages yet. The handle stays valid until DeleteTopic.
func (s *Store) Queue(topic string, id int32) *Queue { return s.queues.get(topic, id, s.newQueue) }

func (s *Store) newQueue(topic string, id int32) *Queue {
	q := &Queue{store: s, topic: topic, id: id, batch: s.o.Batched != nil && s.o.Batched(topic)}
	if q.extends() {
		q.ext = &extension{}
	}
	return q
}

// queueOf is Queue or BatchQueue.
func (s *Store) queueOf(topic string, id int32, batch bool) *Queue {
	if batch {
		return s.BatchQueue(topic, id)
	}
	return s.Queue(topic, id)
}

// Topics returns the topics of which the store has queues, in no order.
func (s *Store) Topics() []string { return s.queues.names() }

// Queues returns the queues of a topic that the store knows, by number. The slice belongs to the caller.
func (s *Store) Queues(topic string) []*Queue { return s.queues.of(topic) }

// DeleteTopic forgets the queues of a topic and removes their files. Their messages stay in the log until it is cut, but
// cannot be read by queue any more. Handles of the queues become useless: appends fail, reads find nothing.
func (s *Store) DeleteTopic(topic string) error {
	s.KeepFor(topic, 0)
	if len(s.queues.of(topic)) == 0 {
		return nil
	}
	s.forgetTally()
	s.flusher.mu.Lock() // nothing is being flushed, of queues that are made again neither
	defer s.flusher.mu.Unlock()
	s.log.mu.Lock()
	qs := s.queues.drop(topic)
	note := layout.Deletion{End: s.log.end.Load(), Time: s.log.mu.lastTime}
	for _, q := range qs {
		q.deleted = true
		q.visible.Store(0)
		q.min.Store(0)
	}
	s.log.mu.Unlock()
	if err := s.noteDeletion(topic, note); err != nil {
		s.o.Log.Warn("deletion of a topic cannot be noted; should its queues ever be made again from the log, its messages come back", "topic",
			topic, "err", err)
	}
	var errs []error
	for _, q := range qs {
		errs = append(errs, q.remove())
	}
	if s.journal != nil {
		s.journal.add(&layout.Chunk{Kind: layout.ChunkGone, Topic: []byte(topic)})
		errs = append(errs, s.commitJournal())
	}
	if s.shared != nil {
		errs = append(errs, s.shared.forget(topic))
	}
	// A checkpoint behind the deletion keeps a start from making the queues again.
	s.flusher.syncAll, s.flusher.lastSync = true, time.Time{}
	s.busy.ring()
	if layout.Storable(topic) {
		for _, dir := range []string{layout.QueueDir, layout.ExtDir, layout.BatchQueueDir} {
			_ = os.Remove(filepath.Join(s.o.Dir, dir, topic)) // stays if there is something else in it
		}
	}
	return errors.Join(errs...)
}

// remove removes the entries of a deleted queue.
func (q *Queue) remove() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tail, q.tailFrom, q.flushed = nil, 0, 0
	err := q.removeExtensionLocked()
	if q.shelf == nil {
		return err
	}
	shelf := q.shelf
	q.shelf = nil
	return errors.Join(err, shelf.remove())
}

// Min is the offset of the first record in the log.
func (s *Store) Min() skua.LogOffset {
	begin, _ := s.log.run.Bounds()
	return skua.LogOffset(begin)
}

// Max is the offset behind the last record that readers may see.
func (s *Store) Max() skua.LogOffset {
	if s.o.SyncFlush {
		return skua.LogOffset(s.log.durable.Load())
	}
	return skua.LogOffset(s.log.end.Load())
}

// Durable is the offset before which everything is on disk.
func (s *Store) Durable() skua.LogOffset { return skua.LogOffset(s.log.durable.Load()) }

// LastTime is the newest store time of a message, ms; 0 if there never was one. The next message gets this one at least.
func (s *Store) LastTime() int64 {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.mu.lastTime
}

// Killed reports whether the last user of the directory did not close it.
func (s *Store) Killed() bool { return s.killed }

// Refused tells why appends fail at the moment; nil if they do not.
func (s *Store) Refused() *RefusedError { return s.log.refused.Load() }
