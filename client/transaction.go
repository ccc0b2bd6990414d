package client

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// Outcome is what a local transaction came to, and what becomes of the message that goes with it.
type Outcome int

// The outcomes.
const (
	Unknown  Outcome = iota // not known yet: the broker asks later
	Commit                  // consumers get the message
	Rollback                // nobody ever sees it
)

// String is the outcome as a word.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "unknown"
	case Commit:
		return "commit"
	case Rollback:
		return "rollback"
	}
	return fmt.Sprintf("outcome %d", int(o))
}

// wire is the outcome as brokers know it; everything but a commit or rollback is not known.
func (o Outcome) wire() command.Outcome {
	switch o {
	case Commit:
		return command.OutcomeCommit
	case Rollback:
		return command.OutcomeRollback
	}
	return command.OutcomeUnknown
}

// TransactionOptions configure a TransactionProducer. Check and Group are needed, zero values of all else are defaults.
type TransactionOptions struct {
	// ProducerOptions are those of all producers. Brokers ask any producer of Group, in whichever process, about messages
	// of which they were not told the outcome: each must be able to tell that of all the group's transactions.
	ProducerOptions
	// Check tells what the local transaction of a message came to, as a rule by looking where it left its traces, such as
	// a table in a database. It is called when a broker was not told, because the process died or the network failed or
	// the transaction took long, perhaps several times. Unknown has the broker ask again later, some times, and then give
	// the message up. ctx ends when the producer is closed. A Check that panics counts as Unknown.
	Check func(ctx context.Context, m *Received) Outcome
	// Checks is how many calls of Check may run at a time; 1.
	Checks int
	// Topics are those of the transactions. The producer makes itself known to their brokers, and to those that create topics,
	// before it sends anything, so that it is asked about what others of its group have left when they died. Topics to which it
	// has sent need not be named.
	Topics []string
	// CheckAfter is how long brokers wait before they first ask, rounded up to seconds, for transactions that take long. What
	// comes to an end later than that is asked about in any case. 0: as long as the broker's setting transactionTimeOut says.
	CheckAfter time.Duration
}

// checkQueue is how many questions of brokers wait for a call of Check. More are dropped, and asked again.
const checkQueue = 2000

// TransactionProducer sends messages that consumers get if, and only if, a local transaction succeeds, such as a change of
// a database: the broker stores the message first and shows it to nobody, then the transaction runs, then the broker is told
// what came of it. If it is not told, it asks; see TransactionOptions.Check. All methods may be called from any goroutine.
type TransactionProducer struct {
	p         *Producer
	o         TransactionOptions
	immunity  string // of messages, in seconds; "" for none
	questions chan *wire.Frame
	checks    tasks
}

// TransactionProducer returns a new producer of transactions. A client has one for each group.
func (c *Client) TransactionProducer(o TransactionOptions) (*TransactionProducer, error) {
	switch {
	case o.Check == nil:
		return nil, errors.New("client: transaction producer: Check is missing: a broker that was not told of an outcome could ask nobody")
	case o.Group == "":
		return nil, errors.New("client: transaction producer: Group is missing: brokers ask any producer of a group about the transactions of all")
	}
	p := &TransactionProducer{o: o, questions: make(chan *wire.Frame, checkQueue)}
	if o.CheckAfter > 0 {
		p.immunity = strconv.FormatInt(int64((o.CheckAfter+time.Second-1)/time.Second), 10)
	}
	var err error
	if p.p, err = c.Producer(o.ProducerOptions); err != nil {
		return nil, err
	}
	if err := p.serve(); err != nil {
		return nil, errors.Join(err, p.p.Close())
	}
	return p, nil
}

// serve begins to answer questions.
func (p *TransactionProducer) serve() error {
	c := p.p.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.checkers[p.o.Group] != nil {
		return fmt.Errorf("client: transaction producer: this client has one of group %s already", p.o.Group)
	}
	p.p.mu.Lock()
	defer p.p.mu.Unlock()
	if p.p.closed {
		return ErrClosed // with the client
	}
	p.p.closing = p.closeChecks
	c.checkers[p.o.Group] = p
	for range max(p.o.Checks, 1) {
		p.checks.start(p.runChecks)
	}
	p.checks.start(p.announce)
	return nil
}

// announce makes the producer known to the brokers that may have questions.
func (p *TransactionProducer) announce() {
	c, pause := p.p.c, 50*time.Millisecond
	for topics := append([]string{skua.TemplateTopic}, p.o.Topics...); len(topics) > 0; {
		_, err := c.fetchRoute(p.p.ctx, topics[0])
		if err == nil || codeOf(err) != 0 { // there are no brokers of a topic that does not exist
			topics = topics[1:]
			continue
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, c.o.tick)
		case <-p.p.ctx.Done():
			return
		}
	}
	c.beatAll(p.p.ctx)
}

// Close lets no more sends begin, waits for those in flight and for calls of Check, and tells the brokers, which then ask
// other producers of the group.
func (p *TransactionProducer) Close() error { return p.p.Close() }

// closeChecks ends the answers to questions. It is called once, when the producer has let go of everything else.
func (p *TransactionProducer) closeChecks() {
	c := p.p.c
	c.mu.Lock()
	delete(c.checkers, p.o.Group)
	close(p.questions) // under mu, under which they come in
	c.mu.Unlock()
	p.checks.join()
}

// Send stores m at a broker without showing it to anybody, calls local, and tells the broker of the outcome. local gets where
// the message is stored; its ID identifies the transaction, as Received.ID does in Check. local is not called if the message
// cannot be stored, which is then the error. An error of local is returned, together with its outcome, which counts all
// the same.
//
// If local was called and returned no error, an error means that the broker did not confirm the outcome. It may know it
// nevertheless, or else asks, and Check must tell the same outcome. A message that was refused for its outcome is not delayed
// by that: it was ended before.
//
// A message of a transaction can neither be delayed nor have a priority. Unlike Producer.Send, Send does not repeat a send of which it does not know
// whether it succeeded: of two messages one would belong to no transaction.
func (p *TransactionProducer) Send(ctx context.Context, m *Message, local func(ctx context.Context, half Sent) (Outcome, error)) (Sent, Outcome, error) {
	if err := p.p.begin(); err != nil {
		return Sent{}, Unknown, err
	}
	defer p.p.sends.Done()
	x, err := p.pack(ctx, m)
	if err != nil {
		return Sent{}, Unknown, fmt.Errorf("client: %w", err)
	}
	sent, addr, err := p.sendHalf(ctx, x)
	x.end(stored(sent), err)
	if err != nil {
		if sent.ID != "" { // it is stored, but not as safely as it should be: nothing may depend on it
			return sent, Rollback, errors.Join(err, p.end(ctx, x, sent, addr, Rollback))
		}
		return sent, Unknown, err
	}
	outcome, told := Unknown, false
	defer func() {
		if !told { // local panics: the broker will ask
			_ = p.end(ctx, x, sent, addr, Unknown)
		}
	}()
	outcome, err = local(ctx, sent)
	told = true
	if err != nil {
		err = fmt.Errorf("client: local transaction %s: %w", sent.ID, err)
	}
	return sent, outcome, errors.Join(err, p.end(ctx, x, sent, addr, outcome))
}

// stored is a list of sent, empty if it was not stored.
func stored(sent Sent) []Sent {
	if sent.ID == "" {
		return nil
	}
	return []Sent{sent}
}

// pack encodes a message as one that waits for an outcome.
func (p *TransactionProducer) pack(ctx context.Context, m *Message) (*parcel, error) {
	if m.delayed() {
		return nil, errors.New("a message of a transaction cannot be delayed")
	}
	if m.Priority != nil {
		return nil, errors.New("a message of a transaction cannot have a priority: it would lose it")
	}
	x, err := p.p.pack(ctx, m)
	if err != nil {
		return nil, err
	}
	properties := x.header.Properties
	properties = record.AppendProperty(properties, skua.PropTransactionPrepared, "true")
	properties = record.AppendProperty(properties, skua.PropProducerGroup, p.o.Group)
	if p.immunity != "" {
		properties = record.AppendProperty(properties, skua.PropCheckImmunity, p.immunity)
	}
	if n := len(properties); n > record.MaxProperties {
		err := fmt.Errorf("the properties take %d bytes, the limit is %d", n, record.MaxProperties)
		x.end(nil, err)
		return nil, err
	}
	x.header.Properties = properties
	x.header.SysFlag |= record.FlagTransactionPrepared
	return x, nil
}

// sendHalf sends a message until a broker has stored it or the attempts are used up, and returns which one has.
func (p *TransactionProducer) sendHalf(ctx context.Context, x *parcel) (Sent, string, error) {
	failed := &FailedError{Op: "sending to topic " + x.topic}
	for avoid := ""; ; {
		queue, addr, err := p.p.destination(ctx, x, avoid)
		if err != nil {
			if failed.count == 0 {
				return Sent{}, "", err
			}
			return Sent{}, "", errors.Join(failed, err)
		}
		start := time.Now()
		all, err := p.p.attempt(ctx, x, queue, addr)
		home := p.p.c.homeOf(queue)
		p.p.faults.note(home, time.Since(start), err != nil)
		p.p.noteSent(x, all, addr, start, err)
		var sent Sent
		if len(all) > 0 {
			sent = all[0]
		}
		var refused *Error
		if err == nil || errors.As(err, &refused) && !retryable(err) {
			return sent, addr, err
		}
		failed.add(addr, start, err)
		failed.Hint = hint(err)
		if refused == nil || failed.count > p.p.o.Retries || ctx.Err() != nil {
			return sent, addr, failed
		}
		p.p.reroute(ctx, x, addr, err)
		avoid = home
	}
}

// end tells the broker that has stored a message of the outcome. That it is not known the broker need not confirm.
func (p *TransactionProducer) end(ctx context.Context, x *parcel, sent Sent, addr string, outcome Outcome) error {
	_, log, err := record.ParseOffsetID(sent.OffsetID)
	if err != nil {
		return fmt.Errorf("client: the broker at %s gave the message an id that cannot be read, %q: %w", addr, sent.OffsetID, err)
	}
	r := &wire.Request{Code: command.EndTransaction, Header: &command.EndTransactionHeader{
		Topic: []byte(x.topic), ProducerGroup: p.p.group, HalfOffset: sent.Offset, CommitLogOffset: log, Outcome: outcome.wire(),
		MsgID: []byte(sent.ID), TransactionID: []byte(sent.ID), BrokerName: []byte(sent.Queue.Broker),
	}}
	p.noteEnd(x, sent, addr, outcome)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.p.o.SendTimeout) // the broker is told even if the caller has lost patience
	defer cancel()
	if outcome.wire() == command.OutcomeUnknown {
		conn, err := p.p.c.conn(ctx, addr)
		if err == nil {
			err = conn.Send(r)
		}
		return err
	}
	_, err = p.p.c.call(ctx, "ending transaction "+sent.ID+" ("+outcome.String()+")", addr, r)
	return err
}

// checkTransaction: a broker asks what a transaction came to.
func (c *Client) checkTransaction(req *wire.Frame) error {
	r, _, err := record.Decode(req.Body)
	if err != nil {
		return err
	}
	group, _ := record.Property(r.Properties, skua.PropProducerGroup)
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.checkers[string(group)]
	if p == nil {
		if !c.unchecked[string(group)] && len(c.unchecked) < 100 {
			c.unchecked[string(group)] = true
			c.log.Warn("a broker asks about a transaction, but the producers of its group are no transaction producers here; give these a group of their own",
				"group", string(group), "broker", req.Conn().RemoteAddr())
		}
		return nil
	}
	select {
	case p.questions <- req.Clone():
	default: // it is asked again, here or elsewhere
	}
	return nil
}

// runChecks answers questions until Close.
func (p *TransactionProducer) runChecks() {
	for q := range p.questions {
		if p.p.ctx.Err() != nil {
			continue // others are asked
		}
		if err := p.check(q); err != nil {
			p.p.c.log.Warn("question about a transaction cannot be answered", "group", p.o.Group, "broker", q.Conn().RemoteAddr(), "error", err)
		}
	}
}

// check answers a question.
func (p *TransactionProducer) check(q *wire.Frame) error {
	var h command.CheckTransactionHeader
	if err := command.Decode(q.Ext, &h); err != nil {
		return err
	}
	r, _, err := record.Decode(q.Body)
	if err != nil {
		return err
	}
	m := newReceived(&r, skua.Queue{Topic: string(r.Topic), Broker: h.BrokerName, ID: r.QueueID})
	if m.SysFlag&compressedFlag != 0 {
		inflate(p.p.c.log, m)
	}
	outcome := p.ask(m)
	p.noteChecked(m, q.Conn().RemoteAddr(), outcome)
	return q.Conn().Send(&wire.Request{Code: command.EndTransaction, Header: &command.EndTransactionHeader{
		Topic: []byte(m.Topic), ProducerGroup: p.p.group, HalfOffset: h.HalfOffset, CommitLogOffset: h.CommitLogOffset, Outcome: outcome.wire(),
		FromCheck: true, MsgID: []byte(m.ID()), TransactionID: []byte(h.TransactionID), BrokerName: []byte(h.BrokerName),
	}})
}

// ask calls Check.
func (p *TransactionProducer) ask(m *Received) (outcome Outcome) {
	defer func() {
		if v := recover(); v != nil {
			p.p.c.log.Error("Check panicked", "group", p.o.Group, "id", m.ID(), "panic", v)
			outcome = Unknown
		}
	}()
	return p.o.Check(p.p.ctx, m)
}
