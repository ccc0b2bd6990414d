package broker

import (
	"errors"
	"fmt"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/txn"
)

// slowRestore is how long a start may look for half messages without telling of it.
const slowRestore = time.Second

// restore finds out which half messages wait, from what is stored; see the crash argument at transactions. mark is where
// records have to be read from; below 0 it is not known, and what is stored behind the first half message that waits is read.
func (t *transactions) restore(mark skua.LogOffset) error {
	err := t.restoreWith(mark, false)
	if err == errForeign {
		// A Java broker has stored half messages anew, and perhaps not saved how far it had come.
		err = t.restoreWith(mark, true)
	}
	if n := t.book.Waiting(t.halves.Max()); n > 0 || time.Since(t.opening) > slowRestore {
		t.log.Info("half messages wait for their end", "messages", n, "from", t.book.First(), "took", time.Since(t.opening).Round(time.Millisecond))
	}
	return err
}

// errForeign tells that half messages have to be compared by their unique keys, too.
var errForeign = errors.New("half messages that were stored anew do not say where they had been")

func (t *transactions) restoreWith(mark skua.LogOffset, keys bool) error {
	first, op := t.begins(t.halves), t.begins(t.ops)
	t.book, t.opQueue, t.batch = txn.NewBook(first), txn.NewOpQueue(op), opBatch{}
	w := t.book.NewWalk(keys)
	if err := t.readOps(op, w); err != nil {
		return err
	}
	end := t.halves.Max()
	at := t.book.Next(first, end)
	if at == end {
		t.batch.settled = t.store.End()
		return nil // nothing waits
	}
	var r halfRecord
	known := mark >= 0
	if known {
		err := t.readEnds(mark)
		if err != nil { // as when the log was cut by hand
			t.log.Warn("ends of half messages are looked for from the first half message that waits, which may take longer", "error", err)
		}
		known = err == nil
	}
	if !known {
		mark = t.store.Min()
		if err := t.read(at, &r); err == nil {
			mark = r.message.LogOffset
		}
		if err := t.readEnds(mark); err != nil {
			return err
		}
	}
	t.batch.settled = mark
	for topic := range t.counts.topics {
		t.counts.of([]byte(topic)).waiting.Store(0)
	}
	for at := t.book.Next(first, end); at < end; at = t.book.Next(at+1, end) {
		if err := t.walk(w, at, &r); err != nil {
			return err
		}
	}
	if w.Foreign() {
		return errForeign
	}
	return nil
}

// begins is from where on a queue has to be read.
func (t *transactions) begins(q *store.Queue) skua.QueueOffset {
	return min(max(t.b.offsets.committed([]byte(q.Topic()), transactionGroup, 0), q.Min()), q.Max())
}

// readOps takes the op messages from a place on.
func (t *transactions) readOps(from skua.QueueOffset, w *txn.Walk) error {
	var raw []byte
	for at := from; at < t.ops.Max(); at++ {
		entry, ok := t.ops.Entry(at)
		if !ok {
			return fmt.Errorf("the entry at %d of the queue of %s cannot be read; see skua store verify", at, skua.OpHalfTopic)
		}
		var err error
		if raw, err = t.store.AppendRecord(raw[:0], entry.LogOffset, true); err != nil {
			if entry.LogOffset < t.store.Min() {
				t.opQueue.Add(at, nil)
				continue
			}
			return err
		}
		m, _, err := record.Decode(raw)
		if err != nil {
			return err
		}
		t.opQueue.Add(at, m.Body)
		txn.EachOp(m.Body, func(place skua.QueueOffset) {
			if place < t.halves.Max() {
				w.Op(place)
			}
		})
	}
	return nil
}

// readEnds takes the records from a place on that make half messages done, and have no op message yet, perhaps.
func (t *transactions) readEnds(from skua.LogOffset) error {
	var raw []byte
	begin := time.Now()
	err := t.store.Scan(from, func(m *record.Message) bool {
		t.clock.NotBefore(m.StoreTime)
		if !mayEnd(m) {
			return true
		}
		var err error
		if raw, err = t.store.AppendRecord(raw[:0], skua.LogOffset(m.PreparedOffset), true); err != nil {
			return true // it is older than the log
		}
		half, _, err := record.Decode(raw)
		if err == nil && ends(m, &half) && half.QueueOffset < t.halves.Max() && t.book.Mark(half.QueueOffset) {
			t.doneLocked(half.QueueOffset)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("the log from %d on: %w", from, err)
	}
	if took := time.Since(begin); took > slowRestore {
		t.log.Info("ends of half messages were looked for", "bytes", t.store.End()-from, "took", took.Round(time.Millisecond))
	}
	return nil
}

// mayEnd reports whether a record may be what came of a half message. Those of which the place in the log is 0 are hard to
// tell.
func mayEnd(m *record.Message) bool {
	switch string(m.Topic) {
	case skua.HalfTopic, skua.TransMaxTimeTopic:
		return true
	}
	return m.PreparedOffset > 0 || m.Transaction() == record.FlagTransactionCommit
}

// ends reports whether m is what came of the half message at its prepared offset.
func ends(m, half *record.Message) bool {
	if string(half.Topic) != skua.HalfTopic || half.LogOffset == m.LogOffset {
		return false
	}
	if m.PreparedOffset > 0 {
		return true
	}
	key, _ := record.Property(m.Properties, skua.PropUniqueKey)
	was, _ := record.Property(half.Properties, skua.PropUniqueKey)
	return len(key) > 0 && string(key) == string(was)
}

// walk shows the half message at a place to w.
func (t *transactions) walk(w *txn.Walk, at skua.QueueOffset, r *halfRecord) error {
	err := t.read(at, r)
	if errors.Is(err, errHalfGone) {
		return nil // it is told of when it is looked at
	}
	if err != nil {
		return fmt.Errorf("the one at %d: %w", at, err)
	}
	t.clock.NotBefore(r.message.StoreTime)
	before := t.book.Waiting(t.halves.Max())
	for _, place := range w.Half(&r.half) {
		t.doneLocked(place)
	}
	topic, _, _ := realPlace(&r.message)
	t.counts.of(topic).waiting.Add(1 - (before - t.book.Waiting(t.halves.Max())))
	return nil
}
