package broker

import (
	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/txn"
	"github.com/skuamq/skua/internal/wire"
)

// resumeHalf serves RESUME_CHECK_HALF_MESSAGE: producers are to be asked anew about a half message, as if they had never
// been. It may be one that waits, or one that was given up, by its id in TRANS_CHECK_MAX_TIME_TOPIC. It may block.
func (b *Broker) resumeHalf(f *wire.Frame) {
	var h command.ResumeHalfHeader
	if !decode(f, &h) {
		return
	}
	_, off, err := record.ParseOffsetID(h.MsgID)
	if err != nil {
		refuse(f, command.StatusSystemError, "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC. msgId %q: %v", h.MsgID, err)
		return
	}
	if err := b.transactions.resume(off, f.Call()); err != nil {
		refuseWith(f, err)
	}
}

// resume stores the half message at a place in the log anew, and answers when that is safe.
func (t *transactions) resume(off skua.LogOffset, call wire.Call) error {
	raw, err := t.store.AppendRecord(nil, off, true)
	if err != nil {
		return refusalf(command.StatusSystemError, "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC. %v", err)
	}
	m, _, err := record.Decode(raw)
	if err != nil {
		return refusalf(command.StatusSystemError, "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC. %v", err)
	}
	waits := string(m.Topic) == skua.HalfTopic
	if _, _, err := realPlace(&m); err != nil || !waits && string(m.Topic) != skua.TransMaxTimeTopic {
		return refusalf(command.StatusSystemError, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. The message at %d is of topic %s: it is neither a half message nor one that was given up",
			off, m.Topic)
	}
	half := txn.ReadHalf(&m)
	claimed, err := t.claimToResume(&half, waits)
	if err != nil {
		return err
	}
	m.PreparedOffset, half.FirstStored = 0, t.now()
	if waits {
		if claimed != half.Offset { // what it is replaced for is its present copy
			var ok bool
			if off, ok = t.placeOf(claimed, true); !ok {
				t.release(claimed)
				return refusalf(command.StatusSystemError, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. The entry at %d of its queue cannot be read", claimed)
			}
		}
		m.PreparedOffset = int64(off)
	}
	if known := waits || half.Marked; known {
		m.Properties = half.AppendAgain(nil, m.Properties, 0)
	} else { // a Java broker gave it up
		m.Properties = txn.AppendAnew(nil, m.Properties)
	}
	m.Topic = halfTopic
	r, err := t.b.put(t.b.topics.find(skua.HalfTopic), []*record.Message{&m}, delay{}, nil)
	if err != nil {
		if waits {
			t.release(claimed)
		}
		return refusalf(command.StatusSystemError, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. %v", err)
	}
	t.resumed(claimed, &half, &m, waits)
	t.b.settle(r, true, func(err error) {
		if err != nil {
			refuseCallWith(call, storeRefusal(err))
			return
		}
		call.Reply(&wire.Response{})
	})
	return nil
}

// claimToResume claims the present copy of a half message that waits. One that was given up has none: it may be resumed
// unless it was before.
func (t *transactions) claimToResume(half *txn.Half, waits bool) (skua.QueueOffset, error) {
	if waits {
		claimed, outcome := t.claim(half.Offset, half.First, true)
		if outcome == txn.Over {
			return 0, refusalf(command.StatusSystemError, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. The half message was committed, rolled back or given up; in the latter case resume the one in %s", skua.TransMaxTimeTopic)
		}
		return claimed, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if half.Marked && t.book.Known(half.First) {
		return 0, refusalf(command.StatusSystemError, "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. It is there again already")
	}
	return half.First, nil
}

// resumed notes that a half message was stored anew as m.
func (t *transactions) resumed(claimed skua.QueueOffset, half *txn.Half, m *record.Message, waits bool) {
	t.mu.Lock()
	if waits {
		t.book.Move(claimed, half.First, m.QueueOffset)
		t.doneLocked(claimed)
		t.free.Broadcast()
	} else if half.Marked {
		t.book.Adopt(half.First, m.QueueOffset)
	}
	t.mu.Unlock()
	if topic, _, err := realPlace(m); err == nil && !waits {
		t.counts.add(topic, 1)
	}
	t.log.Info("half message is asked about anew", "halfOffset", m.QueueOffset)
	t.rouse()
}
