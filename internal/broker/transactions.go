package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/txn"
)

// transactions sees half messages through to their ends. A half message is stored in RMQ_SYS_TRANS_HALF_TOPIC with its real
// topic and queue in properties. Its producer ends it: a commit stores it anew where it belongs, a rollback does nothing.
// Either is noted in RMQ_SYS_TRANS_OP_HALF_TOPIC by its offset in the queue of half messages, many of them in one op
// message. Producers are asked about half messages that wait for too long; each time that one is asked about it is stored
// again with the number of times, and its former place noted as done. What is never ended goes to TRANS_CHECK_MAX_TIME_TOPIC.
// Package txn knows which ones wait, and decides; here it meets the store, the clients and the clock.
//
// Crash argument. A half message is ended once, and nothing that ends it is forgotten:
//
//   - Who ends one, stores it again or gives it up first claims it in the book, so there is one at a time; under whatever
//     name it comes, the book has one entry for it.
//   - What is stored of its end, the delivered message, the next copy or the message in TRANS_CHECK_MAX_TIME_TOPIC, carries
//     the place in the log of the copy that is done thereby, as its prepared transaction offset. So this one append is the
//     end: with it the half message is done, without it it waits.
//   - The op message follows within seconds. Until it is on disk the mark (see txnMark) stays in front of what it speaks
//     of. A start takes all op messages from the saved offset of the op queue on, and all records from the mark on that
//     carry a prepared offset: together they tell every place that is done. Places of which neither tells wait.
//   - The saved offset of the queue of half messages passes a place only when it is done, and everything that says so, as
//     everything before the end of the log at that time, is on disk. That of the op queue passes an op message only when all
//     its places are before the former.
//   - A rollback is stored nowhere but in an op message. One that is answered is answered when that is as durable as any
//     message; one that is not answered may be forgotten when the process is killed, and the producer is asked.
//
// So a killed process neither loses nor delivers twice what was committed, and no more does a loss of power in SYNC_FLUSH.
// In ASYNC_FLUSH that takes back the last half second of commits; these half messages wait again, and are asked about.
//
// One goroutine, run, writes op messages, saves offsets, and looks after half messages that wait. It sleeps until there is
// something to do.
type transactions struct {
	b      *Broker
	store  *store.Store
	log    *slog.Logger
	halves *store.Queue
	ops    *store.Queue
	counts *halfCounts
	mark   *txnMark
	checks *crew[*check] // questions to producers, which a slow one must not hold up

	refusals, givenUp, lost occasional

	mu      sync.Mutex // guards the following
	free    sync.Cond  // a claim ended
	book    *txn.Book
	asked   txn.Asked
	opQueue *txn.OpQueue
	clock   txn.Clock
	batch   opBatch
	alone   map[string]bool // groups without a producer that have halves to be asked about

	wake chan struct{} // capacity 1: there is something to do
	soon atomic.Int64  // ms: when run looks for halves by itself
	lead atomic.Int64  // ms by which clock is ahead of the clock on the wall

	saved   standing // is saved; owned by run
	next    standing // to be saved when the log is on disk up to its end
	waits   bool     // next is to be saved
	opening time.Time
	failed  error // that the store met last; owned by run
	full    []byte
	scratch halfRecord // of run
}

// standing is how far half messages have come.
type standing struct {
	first skua.QueueOffset // places before it are done
	op    skua.QueueOffset // op messages before it are of no use
	mark  skua.LogOffset   // see txnMark
	end   skua.LogOffset   // of the log when this was so
}

const (
	sparseSlack  = 64 << 10 // see txn.Book.Sparse
	lookAtOnce   = 1000     // half messages between looks at other work
	retryTxn     = 1000     // ms after which what failed is tried again
	durabilityMs = 500      // ms between looks whether the log is on disk
	maxAlone     = 1000     // groups whose lack of producers is remembered
)

// openTransactions finds out which half messages wait.
func (b *Broker) openTransactions() error {
	t := &transactions{b: b, store: b.store, log: b.log, wake: make(chan struct{}, 1), opening: time.Now(), alone: map[string]bool{},
		halves: b.store.Queue(skua.HalfTopic, 0), ops: b.store.Queue(skua.OpHalfTopic, 0)}
	t.free.L = &t.mu
	for _, o := range []*occasional{&t.refusals, &t.givenUp, &t.lost} {
		o.log = b.log
	}
	t.asked.Interval = t.rules().Interval
	t.checks = newCrew(checkWorkers, maxChecksWaiting, t.send)
	t.counts = openHalfCounts(b.configPath("transactionMetrics"), b.log)
	mark, at, ok, err := openTxnMark(filepath.Join(b.options.Load().StorePathRootDir, "skua", "transactions"))
	if err != nil {
		return fmt.Errorf("state of transactions: %w", err)
	}
	t.mark = mark
	if !ok || at > t.store.End() {
		at = -1
	}
	if err := t.restore(at); err != nil {
		return errors.Join(fmt.Errorf("half messages: %w", err), mark.close())
	}
	t.counts.begin()
	b.transactions = t
	return nil
}

func (t *transactions) rules() txn.Rules { return t.b.options.Load().halfRules() }

// now is the time in ms, by a clock that does not go back.
func (t *transactions) now() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nowLocked()
}

func (t *transactions) nowLocked() int64 {
	wall := t.b.now().UnixMilli()
	now := t.clock.Now(wall, time.Since(t.opening))
	t.lead.Store(now - wall)
	return now
}

// rouse makes run look for what there is to do.
func (t *transactions) rouse() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// stored counts a half message that was stored for a topic.
func (t *transactions) stored(topic []byte) { t.counts.add(topic, 1) }

// arrived is told of each half message that became visible. It neither blocks nor allocates.
func (t *transactions) arrived() {
	if t.b.now().UnixMilli()+t.lead.Load()+t.b.options.Load().TransactionTimeOut < t.soon.Load() {
		t.rouse()
	}
}

// claim takes hold of a half message under one of its names; see txn.Book.Claim. With wait it is never Busy.
func (t *transactions) claim(at, first skua.QueueOffset, wait bool) (skua.QueueOffset, txn.Claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		present, outcome := t.book.Claim(at, first, t.store.End())
		if outcome != txn.Busy || !wait {
			return present, outcome
		}
		t.free.Wait()
	}
}

// release gives a claim back.
func (t *transactions) release(present skua.QueueOffset) {
	t.mu.Lock()
	t.book.Release(present)
	t.free.Broadcast()
	t.mu.Unlock()
}

// finished notes the end of a claimed half message for a topic. askedAt is the name under which it was ended.
func (t *transactions) finished(present skua.QueueOffset, half *txn.Half, topic []byte, askedAt skua.QueueOffset) {
	t.mu.Lock()
	t.book.Finish(present, half.First)
	more := t.asked.Answer(half.Group, askedAt) && t.book.Revive(txn.GroupOf(half.Group))
	more = t.doneLocked(present) || more
	t.free.Broadcast()
	t.mu.Unlock()
	t.counts.add(topic, -1)
	if more {
		t.rouse()
	}
}

// answered notes that a producer has answered about a half message, whatever it said.
func (t *transactions) answered(group []byte, askedAt skua.QueueOffset) {
	t.mu.Lock()
	more := t.asked.Answer(group, askedAt) && t.book.Revive(txn.GroupOf(group))
	t.mu.Unlock()
	if more {
		t.rouse()
	}
}

// producersCame is told of groups that have got their first producer.
func (t *transactions) producersCame(groups []string) {
	var all txn.Groups
	for _, g := range groups {
		all |= txn.GroupOf([]byte(g))
	}
	t.mu.Lock()
	more := t.book.Revive(all)
	var back []string
	for _, g := range groups {
		if t.alone[g] {
			delete(t.alone, g)
			back = append(back, g)
		}
	}
	t.mu.Unlock()
	for _, g := range back {
		t.log.Info("half messages are asked about again: their producer group has a producer", "producerGroup", g)
	}
	if more {
		t.rouse()
	}
}

// run does what there is to do until stop is closed.
func (t *transactions) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.wake:
		case <-timer.C:
		}
		t.soon.Store(never) // half messages that arrive meanwhile must wake
		now := t.now()
		due := t.look(stop, now)
		t.soon.Store(due)
		next := min(due, t.thin(now), t.writeOps(now, false), t.keepStanding(now))
		if next == never {
			timer.Stop()
			continue
		}
		timer.Reset(min(max(time.Duration(next-now)*time.Millisecond, 0), longestSleep))
	}
}

// tick does what is done at intervals: it saves the numbers of half messages, and moves the mark on although nothing is
// ended.
func (t *transactions) tick() {
	if err := t.counts.save(); err != nil {
		t.lost.tell(t.now(), "numbers of half messages cannot be saved", "error", err)
	}
	if t.halves.Max() > 0 {
		t.rouse()
	}
}

// close writes what is to be written of transactions. The store must not be closed yet.
func (t *transactions) close() error {
	t.checks.close()
	t.writeOps(t.now(), true)
	return t.counts.save()
}

// closed saves how far half messages have come. The store must be closed, and everything in it on disk.
func (t *transactions) closed() error {
	var err error
	if t.halves.Max() > 0 {
		t.next = t.standing()
		err = t.save()
	}
	return errors.Join(err, t.mark.close())
}

// aloneGroups are the groups that have half messages to be asked about and no producer, and how many half messages wait.
func (t *transactions) waiting() (halves int64, alone []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for g := range t.alone {
		alone = append(alone, g)
	}
	return t.book.Waiting(t.halves.Max()), alone
}
