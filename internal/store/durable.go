package store

import (
	"sync"
	"time"

	"github.com/skuamq/skua"
)

// pendingEntry is a queue entry that is not durable, and so not visible, yet.
type pendingEntry struct {
	queue  *Queue
	offset skua.QueueOffset
	tags   int64
	end    int64 // log offset behind the record
}

// pendingList holds entries in the order of the log. It is filled under the log's lock; only the writer empties it.
type pendingList struct {
	mu   sync.Mutex
	list []pendingEntry
	free []pendingEntry // storage for the next list
}

func (p *pendingList) push(e pendingEntry) {
	p.mu.Lock()
	p.list = append(p.list, e)
	p.mu.Unlock()
}

// take returns the entries before durable; they are valid until the next take.
func (p *pendingList) take(durable int64) []pendingEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for n < len(p.list) && p.list[n].end <= durable {
		n++
	}
	taken := p.list[:n:n]
	p.list, p.free = append(p.free[:0], p.list[n:]...), p.list[:0]
	return taken
}

// publish makes visible what has become durable.
func (s *Store) publish(durable int64) {
	for _, e := range s.pending.take(durable) {
		e.queue.visible.Store(int64(e.offset) + 1)
		if s.o.Arrived != nil {
			s.o.Arrived(Arrival{Queue: e.queue, Offset: e.offset, TagsCode: e.tags})
		}
	}
	s.published.Store(durable)
	s.waiters.finish(durable, nil)
	if s.o.SyncFlush {
		s.index.wake() // it was woken by the append, and could not see the message yet
	}
}

// waiter waits until the log is durable up to end.
type waiter struct {
	end      int64
	begin    time.Time
	deadline time.Time
	done     func(error)
}

// waiterList holds those who wait for durability.
type waiterList struct {
	mu    sync.Mutex
	list  []waiter
	puts  PutTimes
	timer *time.Timer // fires at or before the first deadline; nil if never used
	next  time.Time   // when it fires; zero if it does not

	answers []answer // memory for the next ones; nil while in use
	settled func()   // Options.Settled
}

// WhenDurable calls done once: with nil when everything before end is on disk and readers see it, with ErrFlushTimeout when
// wait has passed, or with the error that stopped the store. It does not block; done must not either. In asynchronous flush
// it calls done before it returns. In SyncFlush, Options.Settled is called after a run of such calls.
func (s *Store) WhenDurable(end skua.LogOffset, wait time.Duration, done func(error)) {
	l := s.log
	if !s.o.SyncFlush {
		done(nil)
		return
	}
	if int64(end) <= s.published.Load() {
		done(nil)
		s.waiters.settled()
		return
	}
	w := &s.waiters
	w.mu.Lock()
	begin := time.Now()
	deadline := begin.Add(wait)
	w.list = append(w.list, waiter{int64(end), begin, deadline, done})
	if w.next.IsZero() || deadline.Before(w.next) {
		w.armLocked(deadline)
	}
	w.mu.Unlock()
	if published := s.published.Load(); int64(end) <= published {
		w.finish(published, nil) // that was before the waiter was in the list
	}
	if r := l.ioFail.Load(); r != nil {
		w.finish(l.durable.Load(), r)
		return
	}
	l.writer.ring()
}

// finish answers those who wait for offsets up to durable, and all others too if err is not nil.
func (w *waiterList) finish(durable int64, err error) {
	w.remove(func(x waiter) (error, bool) {
		if x.end <= durable {
			return nil, true
		}
		return err, err != nil
	})
}

// expire answers those whose time has passed.
func (w *waiterList) expire() {
	now := time.Now()
	w.remove(func(x waiter) (error, bool) { return ErrFlushTimeout, !x.deadline.After(now) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = time.Time{}
	if len(w.list) == 0 {
		return
	}
	first := w.list[0].deadline
	for _, x := range w.list[1:] {
		if x.deadline.Before(first) {
			first = x.deadline
		}
	}
	w.armLocked(first)
}

// armLocked makes the timer fire at or soon after t.
func (w *waiterList) armLocked(t time.Time) {
	w.next = t
	wait := max(time.Until(t), time.Millisecond)
	if w.timer == nil {
		w.timer = time.AfterFunc(wait, w.expire)
		return
	}
	w.timer.Reset(wait)
}

// remove takes the waiters out of the list for which over says so, and answers them with its error, in order.
func (w *waiterList) remove(over func(waiter) (error, bool)) {
	w.mu.Lock()
	answers := w.answers[:0]
	w.answers = nil
	kept, now := w.list[:0], time.Now()
	for _, x := range w.list {
		if err, yes := over(x); yes {
			w.puts.add(now.Sub(x.begin))
			answers = append(answers, answer{x.done, err})
		} else {
			kept = append(kept, x)
		}
	}
	clear(w.list[len(kept):])
	w.list = kept
	w.mu.Unlock()
	for _, a := range answers {
		a.done(a.err)
	}
	if len(answers) > 0 {
		w.settled()
	}
	clear(answers)
	w.mu.Lock()
	w.answers = answers
	w.mu.Unlock()
}

// answer is the end of a wait.
type answer struct {
	done func(error)
	err  error
}
