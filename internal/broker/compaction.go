package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/compact"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// compaction keeps the compacted topics: it copies their messages from the commit log, some time after they have come, and has those removed that
// were superseded. The commit log keeps what was not copied yet.
//
// Where a consumer reads: what was copied here, what was not in the commit log. The offsets of a queue are the same in both.
type compaction struct {
	b       *Broker
	log     *slog.Logger
	store   *store.Store
	logs    *compact.Logs
	threads int

	queues  sync.Map   // *compacted by *store.Queue
	mu      sync.Mutex // held while a queue is added or topics are forgotten
	copying sync.Mutex // held by copyAll
	synced  time.Time  // when copies were put on disk last; guarded by copying
	passing sync.Mutex // held by passAll

	path      string // of position-checkpoint
	positions positions
	saving    sync.Mutex // guards positions, and is held while they are saved
}

// positions is compaction/position-checkpoint: up to which offset each queue, "topic_number", was compacted.
type positions struct {
	Empty   bool             `json:"empty"`
	Offsets map[string]int64 `json:"queueOffsetMap"`
}

// compacted is a queue of a compacted topic.
type compacted struct {
	*compact.Log
	queue   *store.Queue
	key     string    // in positions
	copying complaint // of copyAll
	passing complaint // of passAll
}

// Pace of copying.
const (
	copyEvery    = 200 * time.Millisecond
	syncCopies   = 10 * time.Second // retention waits for it
	copyMessages = 1024             // at a time
	copyBytes    = 1 << 20
)

// openCompaction opens the logs of compacted topics, unless they are not enabled.
func (b *Broker) openCompaction(o *Options, so *store.Options) error {
	if !o.EnableCompaction {
		b.compaction.Store(&compaction{b: b})
		return nil
	}
	c := &compaction{b: b, log: b.log, store: b.store, threads: max(min(int(o.CompactionThreadNum), runtime.GOMAXPROCS(0)), 1),
		path: filepath.Join(o.StorePathRootDir, layout.CompactionDir, layout.CompactionPositions)}
	lo := compact.Options{Dir: o.StorePathRootDir, MapBytes: int64(o.MaxOffsetMapSize) / int64(c.threads), Faults: so.Faults, Log: b.log}
	lo.LogSize, lo.UnitsSize = compact.Sizes(o.CompactionMappedFileSize, o.CompactionCqMappedFileSize)
	if usage := so.Usage; usage != nil {
		lo.Free = func(dir string) (int64, error) {
			u, err := usage(dir)
			return u.Free(), err
		}
	}
	c.logs = compact.New(lo)
	saved, err := readConfig[positions](c.path, b.log)
	if err != nil {
		return err
	}
	if saved != nil {
		c.positions = *saved
	}
	if c.positions.Offsets == nil {
		c.positions.Offsets = map[string]int64{}
	}
	for _, t := range b.topics.compacted() {
		stored, err := c.logs.Stored(t.Name)
		if err != nil {
			return err
		}
		for id := range int32(len(t.queues)) {
			if q := t.queue(id); q.Max() > 0 || slices.Contains(stored, id) {
				if _, err := c.open(q, compact.Trust{Doubt: b.store.Killed(), Again: q.Min()}); err != nil {
					c.logs.Close()
					return err
				}
			}
		}
	}
	b.compaction.Store(c)
	return nil
}

// enabled reports whether topics are compacted at all. A nil compaction is not, as before the broker is open.
func (c *compaction) enabled() bool { return c != nil && c.logs != nil }

// of returns the compacted side of a queue, nil if it has none.
func (c *compaction) of(q *store.Queue) *compacted {
	if !c.enabled() {
		return nil
	}
	x, ok := c.queues.Load(q)
	if !ok {
		return nil
	}
	return x.(*compacted)
}

// open opens the log of a queue.
func (c *compaction) open(q *store.Queue, trust compact.Trust) (*compacted, error) {
	x := &compacted{queue: q, key: fmt.Sprintf("%s_%d", q.Topic(), q.ID())}
	if err := c.prepare(); err != nil {
		return nil, err
	}
	var err error
	if x.Log, err = c.logs.Open(q.Topic(), q.ID(), trust); err != nil {
		return nil, err
	}
	if err := c.compare(x); err != nil {
		return nil, err
	}
	if next := int64(x.Next()); c.position(x) >= next {
		c.forgetPosition(x)
	}
	c.queues.Store(q, x)
	return x, nil
}

// prepare makes the directory durable in which there are the others.
func (c *compaction) prepare() error {
	dir := filepath.Dir(c.path)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// compare removes what was copied of messages that the queue does not have, or has others instead of: the topic was deleted
// meanwhile and made again, or the commit log lost its end with the machine under a Java broker, which copies what is not on disk.
func (c *compaction) compare(x *compacted) error {
	last, ok := x.Last()
	if !ok {
		return nil
	}
	at, known := x.queue.StoreTime(skua.QueueOffset(last.Base))
	switch {
	case known && at != last.Time:
		c.log.Warn("messages that were copied of a compacted topic are not those of its queue, and are removed", "topic", x.queue.Topic(), "queue", x.queue.ID())
		return x.Truncate(0)
	case last.Base >= int64(x.queue.Max()):
		c.log.Warn("messages that were copied of a compacted topic are not in its queue, and are removed", "topic", x.queue.Topic(), "queue", x.queue.ID(),
			"from", x.queue.Max(), "to", last.Base)
		return x.Truncate(x.queue.Max())
	}
	return nil
}

// get returns the compacted side of a queue, which is opened if need be; nil if its topic is not there any more.
func (c *compaction) get(t *topic, q *store.Queue) (*compacted, error) {
	if x := c.of(q); x != nil {
		return x, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.b.topics.find(t.Name); now == nil || !now.compacted {
		return nil, nil
	}
	return c.open(q, compact.Trust{})
}

// forget removes what there is of a topic that is deleted. It does so before its queues go, so that a start that finds a rest of it sees
// that it does not belong to them.
func (c *compaction) forget(topic string) error {
	if !c.enabled() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	c.queues.Range(func(q, v any) bool {
		if x := v.(*compacted); q.(*store.Queue).Topic() == topic {
			c.queues.Delete(q)
			c.forgetPosition(x)
			errs = append(errs, x.Remove())
		}
		return true
	})
	if !layout.Storable(topic) {
		return errors.Join(errs...)
	}
	rest, err := c.logs.Stored(topic)
	errs = append(errs, err)
	for _, id := range rest {
		errs = append(errs, c.logs.Remove(topic, id))
	}
	return errors.Join(errs...)
}

// hold is from where on the commit log is needed: there is the first message that was not copied, or of which the copy is not on disk.
func (c *compaction) hold() skua.LogOffset {
	if c == nil {
		return 0
	}
	least := skua.LogOffset(math.MaxInt64)
	if !c.enabled() {
		return least
	}
	for _, t := range c.b.topics.compacted() {
		for id := range int32(len(t.queues)) {
			q := t.queue(id)
			from := q.Min()
			if x := c.of(q); x != nil {
				from = max(from, x.Synced())
			}
			for ; from < q.Max(); from++ {
				if e, ok := q.Entry(from); ok {
					least = min(least, e.LogOffset)
					break
				}
			}
		}
	}
	return least
}

// copyAll copies what has come to all queues.
func (c *compaction) copyAll(now time.Time) {
	c.copying.Lock()
	defer c.copying.Unlock()
	sync := now.Sub(c.synced) >= syncCopies
	if sync {
		c.synced = now
	}
	var out store.ReadResult
	for _, t := range c.b.topics.compacted() {
		for id := range int32(len(t.queues)) {
			q := t.queue(id)
			if q.Max() == 0 {
				continue
			}
			x, err := c.get(t, q)
			if x == nil {
				if err != nil {
					c.log.Error("messages of a compacted topic cannot be copied", "topic", t.Name, "queue", id, "error", err)
				}
				continue
			}
			if err = c.copy(x, &out); err == nil && sync && x.Synced() < x.Next() {
				err = x.Sync()
			}
			if x.copying.is(err) {
				x.tell(c.log, err, "messages of a compacted topic stay in the commit log; copying them is tried again at intervals",
					"messages of a compacted topic are copied again")
			}
		}
	}
}

// copy copies what has come to a queue, as far as it is on disk in the commit log.
func (c *compaction) copy(x *compacted, out *store.ReadResult) error {
	defer out.Release()
	if err := x.Mend(); err != nil {
		return err
	}
	durable := c.store.Durable()
	for from := x.Next(); from < x.queue.Max(); from = x.Next() {
		c.store.Read(x.queue, store.ReadRequest{Offset: from, MaxMessages: copyMessages, MaxBytes: copyBytes}, out)
		next := out.Next
		switch {
		case out.Status == store.Found:
			records, stop := c.copyable(x, out, durable)
			if err := x.Append(records); err != nil {
				return err
			}
			if stop >= 0 {
				x.Skip(stop)
				return nil
			}
		case out.Err != nil:
			return out.Err
		case out.Status == store.OffsetTooSmall && from > 0:
			c.log.Error("messages of a compacted topic are gone before they were copied", "topic", x.queue.Topic(), "queue", x.queue.ID(), "from", from, "to", next)
		}
		if next <= from {
			return nil
		}
		x.Skip(next)
	}
	return nil
}

// copyable are the records of out that are to be copied. stop is the offset of the first one that is not on disk yet, -1 if
// all are. Records without a key, which nothing would ever replace, do not belong there, as in Java.
func (c *compaction) copyable(x *compacted, out *store.ReadResult, durable skua.LogOffset) (records [][]byte, stop skua.QueueOffset) {
	records = out.Records[:0]
	for _, b := range out.Records {
		m, _, err := record.Decode(b)
		switch {
		case err != nil:
			c.log.Error("message of a compacted topic is malformed and not copied", "topic", x.queue.Topic(), "queue", x.queue.ID(), "error", err)
			continue
		case m.LogOffset+skua.LogOffset(m.Size) > durable:
			return records, m.QueueOffset
		case m.QueueOffset < x.Next():
			continue
		case !c.logs.Fits(len(b)):
			c.log.Error("message of a compacted topic is larger than compactionMappedFileSize and not copied", "topic", x.queue.Topic(), "queue", x.queue.ID(),
				"offset", m.QueueOffset, "size", m.Size)
			continue
		case compact.Key(&m) == nil:
			continue
		}
		records = append(records, b)
	}
	return records, -1
}

// close copies and syncs what is left, so that a Java broker finds all messages where it looks for them. The store has put everything on
// disk before.
func (c *compaction) close() error {
	if !c.enabled() {
		return nil
	}
	var errs []error
	var out store.ReadResult
	for _, t := range c.b.topics.compacted() {
		for id := range int32(len(t.queues)) {
			q := t.queue(id)
			if q.Max() == 0 {
				continue
			}
			x, err := c.get(t, q)
			if x == nil {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, c.copy(x, &out), x.Sync())
		}
	}
	c.logs.Close()
	return errors.Join(errs...)
}
