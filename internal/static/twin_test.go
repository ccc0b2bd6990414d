package static

import (
	"math/rand/v2"
	"testing"

	"github.com/skuamq/skua/internal/command"
)

// cluster is a logical queue as an administrator and producers see it, without any arithmetic: what was written, in order.
type cluster struct {
	items  []command.MappingItem
	queues []*heap // of the brokers, by queue number
	rand   *rand.Rand
}

// heap is a queue of some broker.
type heap struct {
	min      int64
	messages []int // numbers, in the order of all writes
}

func (h *heap) max() int64 { return int64(len(h.messages)) }

// pull is what a broker answers to a pull of a queue of its own.
func (h *heap) pull(off int64, most int32) (Answer, []int) {
	a := Answer{Next: off, Min: h.min, Max: h.max()}
	switch {
	case h.max() == 0:
		a.Status, a.Next = command.StatusPullNotFound, 0
		if off != 0 {
			a.Status = command.StatusPullOffsetMoved
		}
	case off < h.min:
		a.Status, a.Next = command.StatusPullOffsetMoved, h.min
	case off == h.max():
		a.Status = command.StatusPullNotFound
	case off > h.max():
		a.Status, a.Next = command.StatusPullOffsetMoved, h.max()
	default:
		end := min(off+int64(most), h.max())
		a.Next = end
		return a, h.messages[off:end]
	}
	return a, nil
}

func (c *cluster) queue() *Queue {
	d := detail(1, 1, c.items)
	d.Broker = c.items[len(c.items)-1].Broker
	return New(d).Queue(0)
}

// move begins a new stretch; decide gives it its place, as Java's tool does.
func (c *cluster) move() {
	last := c.items[len(c.items)-1]
	c.queues = append(c.queues, new(heap))
	c.items = append(append([]command.MappingItem{}, c.items...), item(last.Gen+1, string(rune('a'+c.rand.IntN(3))), int32(len(c.queues)-1), -1))
}

func (c *cluster) undecided() bool { return c.items[len(c.items)-1].LogicOffset < 0 }

func (c *cluster) decide(writeEnd bool) {
	items := append([]command.MappingItem{}, c.items...)
	old, last := &items[len(items)-2], &items[len(items)-1]
	end := old.LogicOffset + c.queues[old.QueueID].max()
	last.LogicOffset = end + 5 + c.rand.Int64N(10)
	if writeEnd {
		old.EndOffset = c.queues[old.QueueID].max()
	}
	c.items = items
}

// A reader that follows what it is told sees everything that was written and still exists, once and in order, whatever is
// moved, deleted and written in between; and each message has the offset that its producer was told.
func TestReadersFollowTheQueue(t *testing.T) {
	for round := range 300 {
		r := rand.New(rand.NewPCG(uint64(round), 1))
		c := &cluster{items: []command.MappingItem{item(0, "a", 0, 0)}, queues: []*heap{new(heap)}, rand: r}
		given := map[int]int64{} // offset by number
		written, seen, off := 0, -1, int64(0)
		for range 200 {
			switch n := r.IntN(10); {
			case n < 4:
				it := Item(c.items[len(c.items)-1])
				h := c.queues[it.QueueID]
				given[written] = it.Given(h.max())
				h.messages = append(h.messages, written)
				written++
			case n == 4 && !c.undecided() && len(c.items) < 8:
				c.move()
			case n == 5 && c.undecided():
				c.decide(r.IntN(2) == 0)
			case n == 6:
				h := c.queues[r.IntN(len(c.queues))]
				h.min += r.Int64N(h.max() - h.min + 1)
			case n == 7 && len(c.items) > 2: // the sweep
				if h := c.queues[c.items[0].QueueID]; h.min == h.max() {
					c.items = c.items[1:]
				}
			default:
				seen, off = read(t, c, given, seen, off, int32(1+r.IntN(3)))
			}
		}
		if c.undecided() {
			c.decide(false)
		}
		for range 2 * (written + len(c.items)) {
			seen, off = read(t, c, given, seen, off, 3)
		}
		if left := c.left(seen); left >= 0 {
			t.Fatalf("round %d: message %d was never seen, the last one was %d", round, left, seen)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
}

// read pulls once.
func read(t *testing.T, c *cluster, given map[int]int64, seen int, off int64, most int32) (int, int64) {
	t.Helper()
	q := c.queue()
	it := q.At(off)
	physical := it.Physical(off)
	raw, messages := c.queues[it.QueueID].pull(physical, it.Room(physical, most))
	a := q.Translate(it, physical, raw)
	for i, m := range messages {
		if m <= seen {
			t.Errorf("message %d came after %d", m, seen)
		}
		if skipped := c.between(seen, m); skipped >= 0 {
			t.Errorf("message %d was passed over, %d came", skipped, m)
		}
		seen = m
		if at := physical + int64(i) + a.Delta; given[m] >= 0 && at != given[m] {
			t.Errorf("message %d came at %d, its producer was told %d", m, at, given[m])
		}
	}
	if a.Next < off && a.Status != command.StatusPullOffsetMoved {
		t.Errorf("from %d back to %d with status %v", off, a.Next, a.Status)
	}
	if a.Max < a.Min && a.Status == command.StatusSuccess {
		t.Errorf("max %d below min %d", a.Max, a.Min)
	}
	return seen, a.Next
}

// between is a message that exists, with a number between two; -1 if there is none.
func (c *cluster) between(from, to int) int {
	for _, h := range c.queues {
		for _, m := range h.messages[h.min:] {
			if m > from && m < to {
				return m
			}
		}
	}
	return -1
}

// left is a message that exists behind one; -1 if there is none.
func (c *cluster) left(from int) int { return c.between(from, 1<<30) }
