package broker

import (
	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/txn"
)

// opBatch are the places that are done and of which no op message tells yet.
type opBatch struct {
	body    []byte // as op messages have them
	since   int64  // ms: of the oldest one
	settled skua.LogOffset
	waiting []func(error) // to be told when they are written
}

var opProperties = []byte("TAGS\x01d\x02WAIT\x01true\x02")

// doneLocked notes that a place is done. It reports whether run is to be roused.
func (t *transactions) doneLocked(at skua.QueueOffset) bool {
	o, b := t.b.options.Load(), &t.batch
	before := len(b.body)
	if before == 0 {
		b.since = t.nowLocked()
	}
	b.body = txn.AppendOp(b.body, at)
	limit := int(o.TransactionOpMsgMaxSize)
	return before == 0 || before < limit && len(b.body) >= limit
}

// afterOps calls done when all places that are done have been written, and are as safe as the broker makes messages; or at
// once, if it need not wait.
func (t *transactions) afterOps(noWait bool, done func(error)) {
	if noWait {
		done(nil)
		return
	}
	t.mu.Lock()
	if len(t.batch.body) == 0 {
		t.mu.Unlock()
		t.b.settle(store.Receipt{End: t.store.End()}, true, done)
		return
	}
	t.batch.waiting = append(t.batch.waiting, done)
	t.mu.Unlock()
	t.rouse()
}

// writeOps writes op messages if it is time to, or if all is set, and returns when it will be.
func (t *transactions) writeOps(now int64, all bool) (next int64) {
	o := t.b.options.Load()
	t.mu.Lock()
	b := &t.batch
	due := b.since + int64(o.TransactionOpBatchInterval)
	if len(b.body) == 0 || !all && len(b.waiting) == 0 && now < due && len(b.body) < int(o.TransactionOpMsgMaxSize) {
		if len(b.body) == 0 {
			due = never
		}
		t.mu.Unlock()
		return due
	}
	taken := *b
	taken.settled = t.book.Settled(t.store.End())
	*b = opBatch{body: t.full[:0], settled: b.settled}
	t.mu.Unlock()
	rest, r, err := t.appendOps(taken.body, int(min(o.TransactionOpMsgMaxSize, o.MaxMessageSize)))
	t.mu.Lock()
	if err != nil {
		if len(b.body) == 0 {
			b.since = now
		}
		b.body = append(append([]byte(nil), rest...), b.body...)
	} else {
		b.settled = taken.settled
	}
	t.full = kept(taken.body)
	t.mu.Unlock()
	t.noteFailure(err)
	for _, done := range taken.waiting {
		if err != nil {
			done(err)
			continue
		}
		t.b.settle(r, true, done)
	}
	if err != nil {
		return now + retryTxn
	}
	return never
}

// appendOps stores op messages. It returns what it could not store.
func (t *transactions) appendOps(places []byte, size int) (rest []byte, r store.Receipt, err error) {
	for rest = places; len(rest) > 0; {
		body, more := txn.CutOp(rest, size)
		m := record.Message{Topic: opTopic, BornTime: t.b.now().UnixMilli(), BornHost: t.b.host, StoreHost: t.b.host,
			Body: body, Properties: opProperties}
		if r, err = t.store.Append(t.ops, &m); err != nil {
			t.b.stats.refused(1)
			return rest, r, err
		}
		t.b.stats.stored(t.b.stats.topic(opTopic), 1, int64(m.Size))
		t.mu.Lock()
		t.opQueue.Add(m.QueueOffset, body)
		t.mu.Unlock()
		rest = more
	}
	return nil, r, nil
}

// noteFailure logs that the store does not take what run stores, once, and again when it does.
func (t *transactions) noteFailure(err error) {
	switch {
	case err != nil && (t.failed == nil || t.failed.Error() != err.Error()):
		t.log.Warn("half messages wait: the store does not take what is to be stored of them", "error", err)
	case err == nil && t.failed != nil:
		t.log.Info("half messages are looked after again")
	}
	t.failed = err
}

// standing is how far half messages have come now.
func (t *transactions) standing() standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	end := t.store.End()
	s := standing{first: t.book.First(), end: end, mark: t.batch.settled}
	s.op = t.opQueue.Of(s.first)
	if len(t.batch.body) == 0 {
		s.mark = t.book.Settled(end)
		t.batch.settled = s.mark
	}
	return s
}

// keepStanding saves how far half messages have come, as soon as the log is on disk up to there, and returns when it will
// look again.
func (t *transactions) keepStanding(now int64) (next int64) {
	if !t.waits {
		if t.halves.Max() == 0 {
			return never // there never was a transaction
		}
		t.next = t.standing()
		if t.next.first == t.saved.first && t.next.op == t.saved.op && t.next.mark == t.saved.mark {
			return never
		}
		t.waits = true
	}
	if t.store.Durable() < t.next.end {
		return now + durabilityMs
	}
	t.waits = false
	if err := t.save(); err != nil {
		t.lost.tell(now, "state of transactions cannot be saved; a start would read more", "error", err)
	}
	return never
}

// save saves t.next.
func (t *transactions) save() error {
	offsets := t.b.offsets
	offsets.commit(halfTopic, transactionGroup, 0, t.next.first)
	offsets.commit(opTopic, transactionGroup, 0, t.next.op)
	t.saved = t.next
	return t.mark.set(t.next.mark)
}

var transactionGroup = []byte(skua.TransactionGroup)
