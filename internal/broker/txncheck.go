package broker

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/txn"
	"github.com/skuamq/skua/internal/wire"
)

// Questions to producers are sent by so many goroutines, and so many wait at most. Package txn bounds them for each group.
const (
	checkWorkers     = 16
	maxChecksWaiting = 100_000
)

// halfRecord is a half message that was read.
type halfRecord struct {
	raw     []byte
	message record.Message
	half    txn.Half
	out     []byte // memory for properties
}

// errHalfGone tells that there is no half message any more at a place.
var errHalfGone = errors.New("the half message is no longer in the store")

// read reads the half message at a place, which may block. Errors: errHalfGone, and what the disk fails with.
func (t *transactions) read(at skua.QueueOffset, r *halfRecord) error {
	entry, ok := t.halves.Entry(at)
	if !ok {
		if at < t.halves.Min() {
			return errHalfGone
		}
		return errors.New("the entry in the queue of half messages cannot be read")
	}
	var err error
	if r.raw, err = t.store.AppendRecord(kept(r.raw), entry.LogOffset, true); err != nil {
		if entry.LogOffset < t.store.Min() {
			return errHalfGone
		}
		return err
	}
	if r.message, _, err = record.Decode(r.raw); err != nil {
		return err
	}
	if r.half = txn.ReadHalf(&r.message); r.half.Offset != at {
		return fmt.Errorf("the entry in the queue of half messages leads to the one at %d", r.half.Offset)
	}
	return nil
}

// placeOf is the place in the log of a half message in the queue. With wait it may block: until the message can be read, if
// it has just been stored.
func (t *transactions) placeOf(at skua.QueueOffset, wait bool) (skua.LogOffset, bool) {
	if at >= t.halves.Max() && wait {
		durable := make(chan error, 1)
		t.b.settle(store.Receipt{End: t.store.End()}, true, func(err error) { durable <- err })
		<-durable // if it is an error, there is no entry either
	}
	entry, ok := t.halves.Entry(at)
	return entry.LogOffset, ok
}

// look looks after half messages for which it is time, and returns when it is for the next one.
func (t *transactions) look(stop <-chan struct{}, now int64) (next int64) {
	rules, end := t.rules(), t.halves.Max()
	for range lookAtOnce {
		select {
		case <-stop:
			return never
		default:
		}
		t.mu.Lock()
		t.asked.Interval = rules.Interval
		at, ok := t.book.Look(now, end)
		t.mu.Unlock()
		if !ok {
			break
		}
		t.lookAt(at, rules, now)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.book.Due(end)
}

// lookAt looks after the half message at a place, which waits.
func (t *transactions) lookAt(at skua.QueueOffset, rules txn.Rules, now int64) {
	r := &t.scratch
	switch err := t.read(at, r); {
	case errors.Is(err, errHalfGone):
		t.drop(at)
		return
	case err != nil:
		t.lost.tell(now, "half message cannot be read", "halfOffset", at, "error", err)
		t.later(at, now+rules.Interval.Milliseconds(), 0)
		return
	}
	group := txn.GroupOf(r.half.Group)
	producer := t.b.clients.producer(r.half.Group, r.message.BornHost)
	t.mu.Lock()
	if r.half.Stored > now { // the clock was set back while the broker was down
		t.clock.NotBefore(r.half.Stored)
		now = r.half.Stored
	}
	verdict, when := rules.Judge(&r.half, producer != nil, t.asked.Room(r.half.Group, now), now)
	when = txn.Grain(when, rules.Interval)
	switch verdict {
	case txn.Wait:
		t.book.Later(at, when, 0)
	case txn.Fresh:
		t.book.Stop(at, when)
	case txn.Alone, txn.Crowd:
		t.book.Later(at, when, group)
	}
	t.mu.Unlock()
	switch verdict {
	case txn.Alone:
		t.noteAlone(r.half.Group, group)
	case txn.Ask:
		t.ask(r, producer, now)
	case txn.GiveUp:
		t.giveUp(r, now)
	}
}

func (t *transactions) later(at skua.QueueOffset, when int64, until txn.Groups) {
	t.mu.Lock()
	t.book.Later(at, when, until)
	t.mu.Unlock()
}

// noteAlone notes that a group has half messages to be asked about, and no producer.
func (t *transactions) noteAlone(group []byte, set txn.Groups) {
	t.mu.Lock()
	fresh := !t.alone[string(group)] && len(t.alone) < maxAlone
	if fresh {
		t.alone[string(group)] = true
	}
	t.mu.Unlock()
	if fresh {
		t.log.Warn("half messages wait for their end, but no producer of their group is connected; they wait on until one is",
			"producerGroup", string(group))
	}
	if t.b.clients.producerCount(group) > 0 { // one came after it was looked for
		t.producersCame([]string{string(group)})
	}
}

// hold claims the half message that was read, and stores what store makes of it. It reports whether that succeeded: then
// the claim is still held. If not, it will be looked at again.
func (t *transactions) hold(r *halfRecord, now int64, put func() error) bool {
	at := r.half.Offset
	if _, outcome := t.claim(at, at, false); outcome != txn.Claimed {
		if outcome == txn.Busy {
			t.later(at, now+retryTxn, 0)
		}
		return false
	}
	err := put()
	t.noteFailure(err)
	if err != nil {
		t.release(at)
		t.later(at, now+retryTxn, 0)
		return false
	}
	return true
}

// again stores a half message anew, after checks checks.
func (t *transactions) again(r *halfRecord, checks int, now int64) (store.Receipt, bool) {
	var receipt store.Receipt
	at, was := r.half.Offset, r.message.LogOffset
	m := &r.message
	ok := t.hold(r, now, func() (err error) {
		r.out = r.half.AppendAgain(kept(r.out), m.Properties, checks)
		m.Properties, m.PreparedOffset = r.out, int64(was)
		receipt, err = t.b.put(t.b.topics.find(skua.HalfTopic), []*record.Message{m}, delay{}, nil)
		return err
	})
	if !ok {
		return receipt, false
	}
	t.mu.Lock()
	t.book.Move(at, r.half.First, receipt.QueueOffset)
	more := t.doneLocked(at)
	t.free.Broadcast()
	t.mu.Unlock()
	if more {
		t.rouse()
	}
	return receipt, true
}

// ask asks a producer about a half message. The question names the copy that is stored for it.
func (t *transactions) ask(r *halfRecord, producer *wire.Conn, now int64) {
	checks := r.half.Checks + 1
	receipt, ok := t.again(r, checks, now)
	if !ok {
		return
	}
	t.mu.Lock()
	t.asked.Ask(r.half.Group, receipt.QueueOffset, now)
	t.mu.Unlock()
	c := t.question(r, producer)
	t.b.settle(receipt, true, func(err error) { // before that the copy cannot be read
		if err == nil {
			t.checks.add(c)
		}
	})
}

// check is a question to a producer.
type check struct {
	to     *wire.Conn
	header command.CheckTransactionHeader
	body   []byte
}

// question makes the question about a half message that was stored anew.
func (t *transactions) question(r *halfRecord, producer *wire.Conn) *check {
	m := r.message
	key := string(r.half.UniqueKey)
	c := &check{to: producer, header: command.CheckTransactionHeader{
		Topic: skua.HalfTopic, HalfOffset: m.QueueOffset, CommitLogOffset: m.LogOffset, MsgID: key, TransactionID: key,
		OffsetMsgID: string(record.AppendOffsetID(nil, m.StoreHost, m.LogOffset)), BrokerName: t.b.Name(),
	}}
	if topic, queue, err := realPlace(&m); err == nil {
		m.Topic, m.QueueID = topic, queue
	}
	c.body = record.Append(make([]byte, 0, record.Size(&m)), &m)
	return c
}

// send sends a question. It may block on a producer that does not read. One that fails is asked again.
func (t *transactions) send(c *check) {
	if err := c.to.Send(&wire.Request{Code: command.CheckTransactionState, Header: &c.header, Body: c.body}); err != nil {
		t.log.Debug("producer could not be asked about a half message", "producer", c.to.RemoteAddr(), "error", err)
	}
}

// giveUp moves a half message to where administrators find those of which nothing came.
func (t *transactions) giveUp(r *halfRecord, now int64) {
	at, was := r.half.Offset, r.message.LogOffset
	topic, _, _ := realPlace(&r.message)
	ok := t.hold(r, now, func() error {
		to := t.b.ensureTopic(skua.TransMaxTimeTopic, 1, 0)
		if to == nil {
			return errors.New("topic " + skua.TransMaxTimeTopic + " cannot be created")
		}
		m := r.message
		r.out = r.half.AppendAgain(kept(r.out), m.Properties, r.half.Checks)
		m.Topic, m.QueueID, m.Properties, m.PreparedOffset = to.bytes, 0, r.out, int64(was)
		_, err := t.b.put(to, []*record.Message{&m}, delay{}, nil)
		return err
	})
	if !ok {
		return
	}
	t.givenUp.tell(now, "half message is given up and moved to "+skua.TransMaxTimeTopic, "topic", string(topic), "producerGroup", string(r.half.Group),
		"uniqueKey", string(r.half.UniqueKey), "checks", r.half.Checks, "age", strconv.FormatInt((now-r.half.FirstStored)/1000, 10)+" s",
		"cure", "see that the producers' checks answer; "+command.ResumeCheckHalfMessage.String()+" puts it back")
	t.finished(at, &r.half, topic, at)
}

// drop forgets a half message that retention took before it was ended.
func (t *transactions) drop(at skua.QueueOffset) {
	if _, outcome := t.claim(at, at, false); outcome != txn.Claimed {
		return
	}
	t.lost.tell(t.now(), "half message is gone before it was ended: the log was cut", "halfOffset", at)
	t.mu.Lock()
	t.book.Finish(at, at)
	t.doneLocked(at)
	t.free.Broadcast()
	t.mu.Unlock()
}

// thin stores the first half messages that wait anew, behind, when there are many in between that do not: a start has to
// go through all of them. It returns when to do so next.
func (t *transactions) thin(now int64) (next int64) {
	for range lookAtOnce {
		end := t.halves.Max()
		t.mu.Lock()
		at := t.book.First()
		sparse := t.book.Sparse(end, sparseSlack)
		t.mu.Unlock()
		if !sparse {
			return never
		}
		r := &t.scratch
		switch err := t.read(at, r); {
		case errors.Is(err, errHalfGone):
			t.drop(at)
		case err != nil:
			return now + retryTxn
		default:
			if _, ok := t.again(r, r.half.Checks, now); !ok {
				return now + retryTxn
			}
		}
	}
	return now
}
