package broker

import (
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/compact"
	"github.com/skuamq/skua/internal/jsonfile"
)

// position is up to which offset a queue was compacted, -1 if it was not.
func (c *compaction) position(x *compacted) int64 {
	c.saving.Lock()
	defer c.saving.Unlock()
	at, ok := c.positions.Offsets[x.key]
	if !ok {
		return -1
	}
	return at
}

// forgetPosition makes the queue one that was not compacted. It is saved with the next position.
func (c *compaction) forgetPosition(x *compacted) {
	c.saving.Lock()
	defer c.saving.Unlock()
	delete(c.positions.Offsets, x.key)
}

// savePosition notes up to which offset a queue was compacted.
func (c *compaction) savePosition(x *compacted, at skua.QueueOffset) error {
	c.saving.Lock()
	defer c.saving.Unlock()
	next := maps.Clone(c.positions.Offsets)
	next[x.key] = int64(at)
	c.positions = positions{Offsets: next}
	return jsonfile.Write(c.path, &c.positions)
}

// passAll has superseded messages removed from all queues, of some at a time.
func (c *compaction) passAll(stop <-chan struct{}) {
	c.passing.Lock()
	defer c.passing.Unlock()
	work := make(chan *compacted)
	var wait sync.WaitGroup
	for range c.threads {
		wait.Go(func() {
			for x := range work {
				c.pass(x, stop)
			}
		})
	}
	c.queues.Range(func(_, x any) bool {
		select {
		case work <- x.(*compacted):
			return true
		case <-stop:
			return false
		}
	})
	close(work)
	wait.Wait()
}

// pass removes what was superseded from a queue, and logs what that came to.
func (c *compaction) pass(x *compacted, stop <-chan struct{}) {
	over := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	for more := true; more && !over(); {
		begun := time.Now()
		position := c.position(x)
		r, err := x.Pass(skua.QueueOffset(position), over)
		if err == nil && int64(r.Position) > position {
			err = c.savePosition(x, r.Position)
		}
		if r.Changed && err == nil {
			c.log.Info("topic compacted", "topic", x.queue.Topic(), "queue", x.queue.ID(), "messages", r.Before.Messages, "left", r.After.Messages,
				"bytes", r.Before.Bytes, "bytesLeft", r.After.Bytes, "upTo", r.Position, "took", time.Since(begun).Round(time.Millisecond))
		}
		more = r.More && err == nil && int64(r.Position) > position
		if errors.Is(err, fs.ErrClosed) {
			return // it was given up
		}
		if x.passing.is(err) {
			x.tell(c.log, err, "topic cannot be compacted; trying again at intervals", "topic can be compacted again")
		}
	}
}

// complaint is what something fails with that is tried at intervals.
type complaint struct{ text string }

// is notes the outcome of another try, and reports whether it is another one than before.
func (c *complaint) is(err error) (changed bool) {
	text := ""
	var full *compact.NoSpaceError
	switch {
	case errors.As(err, &full):
		text = "space" // how much there is may change
	case err != nil:
		text = err.Error()
	}
	changed = text != c.text
	c.text = text
	return changed
}

// tell logs that something fails with err, or does no longer.
func (x *compacted) tell(log *slog.Logger, err error, failing, again string) {
	if err != nil {
		log.Warn(failing, "topic", x.queue.Topic(), "queue", x.queue.ID(), "error", err)
	} else {
		log.Info(again, "topic", x.queue.Topic(), "queue", x.queue.ID())
	}
}
