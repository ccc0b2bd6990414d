package broker

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/txn"
	"github.com/skuamq/skua/internal/wire"
)

// ending is a request to end a half message on its way through the broker. Its memory is used again: ending one allocates
// nothing.
type ending struct {
	t        *transactions
	call     wire.Call
	h        command.EndTransactionHeader
	raw      []byte // the record of the half message
	message  record.Message
	half     txn.Half
	present  skua.QueueOffset // where the half message is now
	out      []byte           // properties of what is delivered
	parked   []byte           // memory for the properties of a delayed message
	list     []*record.Message
	response wire.Response
	settled  func(error)
	gathered bool // the answer leaves with others
}

var endings = sync.Pool{New: func() any { return new(ending) }}

// endTransaction serves END_TRANSACTION: a producer says what becomes of a half message.
func (b *Broker) endTransaction(f *wire.Frame) {
	e := endings.Get().(*ending)
	if e.settled == nil {
		e.settled = e.reply
	}
	e.t, e.call = b.transactions, f.Call()
	if err := e.h.Decode(f.Ext); err != nil {
		e.refuse(refusalf(command.StatusSystemError, "%v", err))
		return
	}
	switch e.h.Outcome {
	case command.OutcomeCommit, command.OutcomeRollback:
	case command.OutcomeUnknown:
		e.t.answered(e.h.ProducerGroup, e.h.HalfOffset)
		e.call.Reply(&wire.Response{Remark: "the half message waits on"})
		e.release()
		return
	default:
		e.refuse(refusalf(command.StatusSystemError, "commitOrRollback field wrong: %d; want %d to commit, %d to roll back, %d if that is not known yet",
			e.h.Outcome, command.OutcomeCommit, command.OutcomeRollback, command.OutcomeUnknown))
		return
	}
	if e.end(false) {
		return
	}
	own := f.Clone()
	if err := e.h.Decode(own.Ext); err != nil { // never: it could be read before
		e.refuse(refusalf(command.StatusSystemError, "%v", err))
		return
	}
	b.cold.run(e.call, func() { e.end(true) })
}

// end ends the half message. It reports false if it would have to wait and must not.
func (e *ending) end(wait bool) bool {
	err := e.take(wait)
	if err == nil {
		err = e.finish()
	}
	switch {
	case err == nil:
	case errors.Is(err, errMustWait):
		return false
	case errors.Is(err, errOver):
		e.t.answered(e.h.ProducerGroup, e.h.HalfOffset)
		e.response.Remark = "the half message was ended before, nothing was done now"
		e.t.afterOps(e.call.Oneway, e.settled)
	default:
		e.refuse(err)
	}
	return true
}

// Outcomes of ending.take that are no refusals.
var (
	errMustWait = errors.New("must wait")
	errOver     = errors.New("ended before")
)

// take finds the half message, makes sure that it is what the request is about, and takes hold of it.
func (e *ending) take(wait bool) error {
	if err := e.read(e.h.CommitLogOffset, wait); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	present, outcome := e.t.claim(e.half.Offset, e.half.First, wait)
	switch {
	case outcome == txn.Over:
		return errOver
	case outcome == txn.Busy:
		return errMustWait
	}
	e.present = present
	if present == e.half.Offset {
		return nil
	}
	// It was stored again. What is delivered is made of the present record, and tells of that.
	err := e.readPresent(wait)
	if err != nil {
		e.t.release(present)
	}
	return err
}

// read reads the half message at a place in the log.
func (e *ending) read(off skua.LogOffset, wait bool) (err error) {
	e.raw, err = e.t.store.AppendRecord(e.raw[:0], off, wait)
	if errors.Is(err, store.ErrWouldWait) {
		return errMustWait
	}
	if err != nil {
		return refusalf(command.StatusSystemError, "Find prepared transaction message failed: %v", err)
	}
	if e.message, _, err = record.Decode(e.raw); err != nil {
		return refusalf(command.StatusSystemError, "Find prepared transaction message failed: %v", err)
	}
	if string(e.message.Topic) != skua.HalfTopic || e.message.QueueID != 0 {
		return refusalf(command.StatusSystemError, "Find prepared transaction message failed: the message at commitLogOffset %d is no half message, it is one of topic %s",
			off, e.message.Topic)
	}
	e.half = txn.ReadHalf(&e.message)
	return nil
}

// readPresent reads the present record of the half message.
func (e *ending) readPresent(wait bool) error {
	off, ok := e.t.placeOf(e.present, wait)
	switch {
	case ok:
		return e.read(off, wait)
	case !wait:
		return errMustWait
	}
	return refusalf(command.StatusSystemError, "Find prepared transaction message failed: the queue of half messages has none at %d that can be read", e.present)
}

// check makes sure that the half message is the one that the request is about, and may be ended by it.
func (e *ending) check() error {
	h, half := &e.h, &e.half
	if !h.FromCheck && half.Immunity > 0 {
		if age := e.t.now() - half.FirstStored; age > e.t.rules().ImmuneFor(half).Milliseconds() {
			return refusalf(command.StatusIllegalOperation, "the half message is %d ms old and was to be ended within %v (%s): the broker asks its producers now, their answers count",
				age, half.Immunity, skua.PropCheckImmunity)
		}
	}
	switch {
	case string(half.Group) != string(h.ProducerGroup):
		return refusalf(command.StatusSystemError, "The producer group wrong: the half message is one of group %s, the request of %s", half.Group, h.ProducerGroup)
	case half.Offset != h.HalfOffset:
		return refusalf(command.StatusSystemError, "The transaction state table offset wrong: the half message is at %d, the request says %d", half.Offset, h.HalfOffset)
	case e.message.LogOffset != h.CommitLogOffset:
		return refusalf(command.StatusSystemError, "The commit log offset wrong: the half message is at %d, the request says %d", e.message.LogOffset, h.CommitLogOffset)
	}
	return nil
}

// finish commits or rolls back the half message that was taken. The answer leaves when that is safe.
func (e *ending) finish() error {
	topic, queue, err := realPlace(&e.message)
	if err != nil {
		e.t.release(e.present)
		return refusalf(command.StatusSystemError, "the half message at %d %v", e.present, err)
	}
	if e.h.Outcome == command.OutcomeRollback {
		if r := e.t.store.Refused(); r != nil {
			e.t.release(e.present)
			return storeRefusal(r)
		}
		e.t.finished(e.present, &e.half, topic, e.h.HalfOffset)
		e.t.afterOps(e.call.Oneway, e.settled)
		return nil
	}
	r, err := e.deliver(topic, queue)
	if err != nil {
		e.t.release(e.present)
		return storeRefusal(err)
	}
	e.t.finished(e.present, &e.half, topic, e.h.HalfOffset)
	e.gathered = e.t.b.syncFlush && !e.call.Oneway
	e.t.b.settle(r, !e.call.Oneway, e.settled)
	return nil
}

// realPlace is the topic and queue that a half message is meant for.
func realPlace(m *record.Message) (topic []byte, queue int32, err error) {
	topic, _ = record.Property(m.Properties, skua.PropRealTopic)
	text, _ := record.Property(m.Properties, skua.PropRealQueueID)
	n, ok := parseQueue(text)
	if len(topic) == 0 || !ok {
		return nil, 0, fmt.Errorf("does not say where it belongs: %s is %q, %s is %q", skua.PropRealTopic, topic, skua.PropRealQueueID, text)
	}
	return topic, n, nil
}

// parseQueue reads the number of a queue.
func parseQueue(text []byte) (int32, bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	n := int32(0)
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int32(c-'0')
	}
	return n, true
}

// deliver stores the message where it belongs.
func (e *ending) deliver(topic []byte, queue int32) (store.Receipt, error) {
	m := &e.message
	e.out = txn.AppendReal(e.out[:0], m.Properties)
	m.PreparedOffset = int64(m.LogOffset)
	m.Topic, m.QueueID, m.Properties = topic, queue, e.out
	m.SysFlag = m.SysFlag&^record.FlagTransactionMask | record.FlagTransactionCommit
	d, err := e.t.b.delayOf(e.out)
	if err != nil {
		return store.Receipt{}, err
	}
	m.Light = true
	e.list = append(e.list[:0], m)
	t, queue, leave := e.t.b.topics.home(e.t.b.topics.get(topic), queue)
	defer leave()
	m.QueueID = queue
	if t != nil && int(queue) < len(t.queues) || d != (delay{}) {
		return e.t.b.put(t, e.list, d, &e.parked)
	}
	// The topic was deleted meanwhile, or has fewer queues.
	r, err := e.t.store.Append(e.t.store.Queue(string(topic), queue), m)
	if err != nil {
		e.t.b.stats.refused(1)
		return r, err
	}
	e.t.b.stats.stored(e.t.b.stats.topic(topic), 1, int64(m.Size))
	return r, nil
}

// reply answers when the end of the message is safe, or cannot be made so; err tells. It gives e back.
func (e *ending) reply(err error) {
	e.t.b.replySettled(e.call, &e.response, err, e.gathered)
	e.release()
}

// refuse answers with an error, and tells of it in the log if the producer does not hear it.
func (e *ending) refuse(err error) {
	var r *refusal
	if errors.As(err, &r) {
		e.response.Status, e.response.Remark = r.status, r.remark
	} else {
		e.response.Status, e.response.Remark = command.StatusSystemError, err.Error()
	}
	if e.call.Oneway {
		e.t.refusals.tell(e.t.now(), "ends of half messages are refused", "producerGroup", string(e.h.ProducerGroup), "producer", e.call.Conn.RemoteAddr(),
			"such as", e.response.Remark, "halfOffset", strconv.FormatInt(int64(e.h.HalfOffset), 10))
	}
	e.call.Reply(&e.response)
	e.release()
}

func (e *ending) release() {
	e.t, e.call, e.h, e.gathered = nil, wire.Call{}, command.EndTransactionHeader{}, false
	e.message, e.half, e.response = record.Message{}, txn.Half{}, wire.Response{}
	clear(e.list)
	e.list, e.raw, e.out, e.parked = kept(e.list), kept(e.raw), kept(e.out), kept(e.parked)
	endings.Put(e)
}
