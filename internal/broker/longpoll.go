package broker

import (
	"container/heap"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

const (
	pollShards  = 64
	wakeWorkers = 8
)

// held is polls' part of a pull.
type held struct {
	until time.Time // zero if the pull was never held
	index int       // in the heap of deadlines; -1: not there
}

// polls holds pulls that found nothing, until a message arrives that they want, their time has passed, or their
// connection closes. A held pull costs its memory only: there is one goroutine for all deadlines, and those that answer
// exist only while there is something to answer.
//
// A pull belongs to whoever takes it out of its shard, and is answered by it alone.
type polls struct {
	limit int64
	count atomic.Int64                                           // of held pulls
	wake  *crew[*pull]                                           // answers pulls
	test  func(store.Arrival, func(properties []byte) bool) bool // of the properties of a message, if they are not at hand

	seed   maphash.Seed
	shards [pollShards]pollShard

	mu        sync.Mutex
	deadlines deadlines                         // guarded by mu
	conns     map[*wire.Conn]map[*pull]struct{} // guarded by mu
	closed    bool                              // guarded by mu
	sooner    chan struct{}                     // capacity 1: the first deadline has changed
}

// pollShard holds the pulls of some queues.
type pollShard struct {
	mu     sync.Mutex
	queues map[*store.Queue][]*pull // guarded by mu; no empty slices
}

func newPolls(limit int, test func(store.Arrival, func(properties []byte) bool) bool) *polls {
	ps := &polls{limit: int64(limit), test: test, seed: maphash.MakeSeed(), conns: map[*wire.Conn]map[*pull]struct{}{}, sooner: make(chan struct{}, 1)}
	ps.wake = newCrew(wakeWorkers, 1<<31-1, (*pull).resume)
	for i := range ps.shards {
		ps.shards[i].queues = map[*store.Queue][]*pull{}
	}
	return ps
}

func (ps *polls) shard(q *store.Queue) *pollShard {
	return &ps.shards[maphash.Comparable(ps.seed, q)%pollShards]
}

// hold takes a pull over. It reports false if there are too many already or the broker stops.
func (ps *polls) hold(p *pull) bool {
	if ps.count.Add(1) > ps.limit {
		ps.count.Add(-1)
		return false
	}
	p.held.until = time.Now().Add(p.hold)
	ps.mu.Lock()
	if ps.closed {
		ps.mu.Unlock()
		ps.count.Add(-1)
		return false
	}
	heap.Push(&ps.deadlines, p)
	first := p.held.index == 0
	of := ps.conns[p.call.Conn]
	if of == nil {
		of = map[*pull]struct{}{}
		ps.conns[p.call.Conn] = of
	}
	of[p] = struct{}{}
	ps.mu.Unlock()
	if first {
		select {
		case ps.sooner <- struct{}{}:
		default:
		}
	}
	q, off := p.queue, p.request.Offset
	s := ps.shard(q)
	s.mu.Lock()
	s.queues[q] = append(s.queues[q], p)
	s.mu.Unlock()
	// What came between the read and now, a message, the deadline, the end of the connection or that of the broker, a queue
	// that was moved, told nobody.
	if q.Max() > off || p.topic.light && q.Deleted() || !time.Now().Before(p.held.until) || ps.ended() || p.outdated() {
		ps.wakeOne(p)
	}
	select {
	case <-p.call.Conn.Done():
		ps.forget(p.call.Conn)
	default:
	}
	return true
}

// arrived wakes the pulls that want a message. It neither blocks nor allocates if there are none.
func (ps *polls) arrived(a store.Arrival) {
	if ps.count.Load() == 0 {
		return
	}
	ps.take(a.Queue, func(p *pull) bool {
		r := &p.request
		if a.Offset < r.Offset || r.Match != nil && !r.Match(a.TagsCode) {
			return false
		}
		switch {
		case r.MatchProperties == nil:
			return true
		case a.Properties == nil:
			return ps.test(a, r.MatchProperties)
		}
		return r.MatchProperties(a.Properties)
	})
}

// wakeQueue wakes all pulls of a queue.
func (ps *polls) wakeQueue(q *store.Queue) { ps.take(q, func(*pull) bool { return true }) }

// take wakes those pulls of a queue that are wanted.
func (ps *polls) take(q *store.Queue, wanted func(*pull) bool) {
	s := ps.shard(q)
	s.mu.Lock()
	waiting := s.queues[q]
	if waiting == nil {
		s.mu.Unlock()
		return
	}
	var taken []*pull
	kept := waiting[:0]
	for _, p := range waiting {
		if wanted(p) {
			taken = append(taken, p)
		} else {
			kept = append(kept, p)
		}
	}
	clear(waiting[len(kept):])
	if s.queues[q] = kept; len(kept) == 0 {
		delete(s.queues, q)
	}
	s.mu.Unlock()
	for _, p := range taken {
		ps.release(p)
		ps.answer(p)
	}
}

// claim takes a pull out of its shard, and reports false if another has done so.
func (ps *polls) claim(p *pull) bool {
	s := ps.shard(p.queue)
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.queues[p.queue]
	i := slices.Index(waiting, p)
	if i < 0 {
		return false
	}
	if waiting = slices.Delete(waiting, i, i+1); len(waiting) == 0 {
		delete(s.queues, p.queue)
	} else {
		s.queues[p.queue] = waiting
	}
	return true
}

// wakeOne wakes a pull unless another has done so.
func (ps *polls) wakeOne(p *pull) {
	if ps.claim(p) {
		ps.release(p)
		ps.answer(p)
	}
}

// answer has a released pull answered, by the caller if the broker stops.
func (ps *polls) answer(p *pull) {
	if !ps.wake.add(p) {
		p.resume()
	}
}

// ended reports whether no pulls are held any more.
func (ps *polls) ended() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.closed
}

// release forgets a pull that the caller has claimed.
func (ps *polls) release(p *pull) {
	ps.count.Add(-1)
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p.held.index >= 0 {
		heap.Remove(&ps.deadlines, p.held.index)
	}
	of := ps.conns[p.call.Conn]
	if delete(of, p); len(of) == 0 {
		delete(ps.conns, p.call.Conn)
	}
}

// forget drops the pulls of a connection that has closed.
func (ps *polls) forget(c *wire.Conn) {
	for _, p := range ps.ofConn(c) {
		if ps.claim(p) {
			ps.release(p)
		}
	}
}

func (ps *polls) ofConn(c *wire.Conn) []*pull {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	all := make([]*pull, 0, len(ps.conns[c]))
	for p := range ps.conns[c] {
		all = append(all, p)
	}
	return all
}

// topicChanged wakes all pulls of a topic.
func (ps *polls) topicChanged(name string) {
	ps.wakeTopics(func(topic string) bool { return topic == name })
}

// wakeTopics wakes all pulls of topics.
func (ps *polls) wakeTopics(which func(topic string) bool) {
	for i := range ps.shards {
		s := &ps.shards[i]
		var queues []*store.Queue
		s.mu.Lock()
		for q := range s.queues {
			if which(q.Topic()) {
				queues = append(queues, q)
			}
		}
		s.mu.Unlock()
		for _, q := range queues {
			ps.wakeQueue(q)
		}
	}
}

// run wakes pulls whose time has passed, until stop is closed.
func (ps *polls) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ps.sooner:
		case <-timer.C:
		}
		due, next := ps.expired(time.Now())
		for _, p := range due {
			ps.wakeOne(p)
		}
		timer.Reset(next)
	}
}

// expired takes the pulls whose time has passed out of the heap, and returns how long it takes until the next one's has.
func (ps *polls) expired(now time.Time) (due []*pull, next time.Duration) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for len(ps.deadlines) > 0 {
		p := ps.deadlines[0]
		if wait := p.held.until.Sub(now); wait > 0 {
			return due, wait
		}
		heap.Pop(&ps.deadlines)
		due = append(due, p)
	}
	return due, time.Hour
}

// close answers all pulls and holds none any more. It returns when they are answered.
func (ps *polls) close() {
	ps.mu.Lock()
	ps.closed = true
	all := slices.Clone(ps.deadlines)
	ps.mu.Unlock()
	for _, p := range all {
		ps.wakeOne(p)
	}
	ps.wake.close()
}

// deadlines is a heap of held pulls, the one to expire first on top.
type deadlines []*pull

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].held.until.Before(d[j].held.until) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].held.index, d[j].held.index = i, j
}

// Push adds a pull; see package heap.
func (d *deadlines) Push(x any) {
	p := x.(*pull)
	p.held.index = len(*d)
	*d = append(*d, p)
}

// Pop removes the last pull; see package heap.
func (d *deadlines) Pop() any {
	old := *d
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	p.held.index = -1
	return p
}
