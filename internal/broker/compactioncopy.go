package broker

import (
	"errors"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/compact"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// Pace of copying.
const (
	copyEvery    = 200 * time.Millisecond
	syncCopies   = 10 * time.Second // retention waits for it
	copyMessages = 1024             // at a time
	copyBytes    = 1 << 20
)

// copyAll copies what has come to all queues.
func (c *compaction) copyAll(now time.Time) {
	c.copying.Lock()
	defer c.copying.Unlock()
	sync := now.Sub(c.synced) >= syncCopies
	if sync {
		c.synced = now
	}
	var out store.ReadResult
	c.each(func(q *store.Queue, x *compacted, err error) {
		if x == nil {
			if err != nil {
				c.log.Error("messages of a compacted topic cannot be copied", "topic", q.Topic(), "queue", q.ID(), "error", err)
			}
			return
		}
		if err = c.copy(x, &out); err == nil && sync && x.Synced() < x.Next() {
			err = x.Sync()
		}
		if x.copying.is(err) {
			x.tell(c.log, err, "messages of a compacted topic stay in the commit log; copying them is tried again at intervals",
				"messages of a compacted topic are copied again")
		}
	})
}

// each calls do for the queues of compacted topics that ever had a message, with what get returns.
func (c *compaction) each(do func(q *store.Queue, x *compacted, err error)) {
	for _, t := range c.b.topics.compacted() {
		for id := range int32(len(t.queues)) {
			if q := t.queue(id); q.Max() > 0 {
				x, err := c.get(t, q)
				do(q, x, err)
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

// close copies and syncs what is left, so that a Java broker finds all messages where it looks for them. The store has put
// everything on disk before.
func (c *compaction) close() error {
	if !c.enabled() {
		return nil
	}
	var errs []error
	var out store.ReadResult
	c.each(func(_ *store.Queue, x *compacted, err error) {
		if x == nil {
			errs = append(errs, err)
			return
		}
		errs = append(errs, c.copy(x, &out), x.Sync())
	})
	c.logs.Close()
	return errors.Join(errs...)
}
