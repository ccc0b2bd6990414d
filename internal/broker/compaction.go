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
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// compaction keeps the compacted topics: it copies their messages from the commit log, some time after they have come, and has
// those removed that were superseded. The commit log keeps what was not copied yet.
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
	saved, err := jsonfile.Read[positions](c.path, b.log)
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

// addedBytes is more than what the broker adds to the properties of a message.
const addedBytes = 1 << 10

// holds reports whether a message can be copied once it is stored. What could not would be seen in the commit log only.
func (c *compaction) holds(m *record.Message) bool {
	return !c.enabled() || c.logs.Fits(record.Size(m)+addedBytes)
}

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
	return jsonfile.SyncDir(filepath.Dir(dir))
}

// compare removes what was copied of messages that the queue does not have, or has others instead of: the topic was deleted
// meanwhile and made again, or the commit log lost its end with the machine under a Java broker, which copies what is not on
// disk.
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

// forget removes what there is of a topic that is deleted. It does so before its queues go, so that a start that finds a rest
// of it sees that it does not belong to them.
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

// hold is from where on the commit log is needed: there is the first message that was not copied, or of which the copy is not
// on disk.
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
