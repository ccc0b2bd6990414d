package broker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// half is a half message as its producer knows it.
type half struct {
	group string
	key   string
	at    skua.QueueOffset
	log   skua.LogOffset
}

// half sends a half message of group P to queue 1 of a topic.
func (p *peer) half(topic, body string, kv ...string) half {
	p.t.Helper()
	h := sendHeader(topic, append([]string{"TRAN_MSG", "true", "PGROUP", "P"}, kv...)...)
	h.QueueID, h.SysFlag, h.BornTimestamp = 1, record.FlagTransactionPrepared, time.Now().UnixMilli()
	r := sendResponse(p.t, p.must(command.SendMessageV2, h, []byte(body)))
	_, log, err := record.ParseOffsetID(string(r.MsgID))
	if err != nil || r.QueueID != 1 {
		p.t.Fatalf("answer %+v: %v", r, err)
	}
	return half{"P", string(r.TransactionID), skua.QueueOffset(r.QueueOffset), log}
}

// ending is the header that ends a half message.
func (h half) ending(outcome command.Outcome) *command.EndTransactionHeader {
	return &command.EndTransactionHeader{ProducerGroup: []byte(h.group), HalfOffset: h.at, CommitLogOffset: h.log, Outcome: outcome,
		MsgID: []byte(h.key), TransactionID: []byte(h.key)}
}

func (p *peer) commitHalf(h half) {
	p.must(command.EndTransaction, h.ending(command.OutcomeCommit), nil)
}

func (p *peer) rollBackHalf(h half) {
	p.must(command.EndTransaction, h.ending(command.OutcomeRollback), nil)
}

// queued returns the messages of a queue, found by way of its entries.
func (p *peer) queued(topic string, queue int32) []record.Message {
	p.t.Helper()
	answer := p.call(command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: topic, QueueID: queue, Count: 1000}, nil)
	if answer.Code != 0 {
		return nil
	}
	var slice command.ConsumeQueueSlice
	if err := json.Unmarshal(answer.Body, &slice); err != nil {
		p.t.Fatal(err)
	}
	var ms []record.Message
	for _, u := range slice.Entries {
		m, _, err := record.Decode(p.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: u.Offset}, nil).Body)
		if err != nil {
			p.t.Fatal(err)
		}
		ms = append(ms, m)
	}
	return ms
}

// bodiesOf are the bodies of messages.
func bodiesOf(ms []record.Message) []string {
	var all []string
	for _, m := range ms {
		all = append(all, string(m.Body))
	}
	return all
}

// openQuick starts a broker that does in milliseconds what takes seconds by default.
func openQuick(t testing.TB, set ...string) *door {
	d := openDoor(t, append([]string{"transactionTimeOut", "50", "transactionCheckInterval", "100", "transactionOpBatchInterval", "20"}, set...)...)
	d.peer.createTopic("T", 4)
	return d
}

// What is stored of a transaction is what a Java broker stores; the properties are those that one wrote.
func TestTransactionStoresWhatJavaStores(t *testing.T) {
	d := openQuick(t)
	h := d.peer.half("T", "number 0", "KEYS", "key-0", "UNIQ_KEY", "FD00", "WAIT", "true", "TAGS", "TagA", "SKUA_HALF", "9,9")
	if h.at != 0 || h.key != "FD00" {
		t.Errorf("answer %+v", h)
	}
	common := map[string]string{"CLUSTER": "DefaultCluster", "KEYS": "key-0", "MSG_REGION": "DefaultRegion", "PGROUP": "P", "TAGS": "TagA",
		"TRACE_ON": "true", "TRAN_MSG": "true", "UNIQ_KEY": "FD00", "WAIT": "true", "__transactionId__": "FD00"}
	hidden := maps.Clone(common)
	hidden["REAL_QID"], hidden["REAL_TOPIC"] = "1", "T"
	m := d.peer.queued(skua.HalfTopic, 0)[0]
	if got := record.ParseProperties(m.Properties); !maps.Equal(got, hidden) {
		t.Errorf("half message has %v, want %v", got, hidden)
	}
	if m.SysFlag != 0 || m.LogOffset != h.log || m.PreparedOffset != 0 || string(m.Body) != "number 0" || m.QueueID != 0 {
		t.Errorf("half message %+v", m)
	}
	if got := d.peer.queued("T", 1); len(got) != 0 {
		t.Errorf("it can be seen: %v", got)
	}
	answer := d.peer.must(command.EndTransaction, h.ending(command.OutcomeCommit), nil)
	if len(answer.Ext) != 0 || len(answer.Body) != 0 {
		t.Errorf("answer has %v %q", answer.Ext, answer.Body)
	}
	got := d.peer.queued("T", 1)
	if len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	}
	c := got[0]
	if got := record.ParseProperties(c.Properties); !maps.Equal(got, common) {
		t.Errorf("message has %v, want %v", got, common)
	}
	if c.SysFlag != 8 || c.PreparedOffset != int64(h.log) || string(c.Body) != "number 0" || c.BornTime != m.BornTime || c.BornHost != m.BornHost || c.StoreHost != m.StoreHost || c.QueueOffset != 0 {
		t.Errorf("message %+v", c)
	}
	until(t, "op message", func() bool { return len(d.peer.queued(skua.OpHalfTopic, 0)) == 1 })
	op := d.peer.queued(skua.OpHalfTopic, 0)[0]
	if string(op.Body) != "0," || string(op.Properties) != "TAGS\x01d\x02WAIT\x01true\x02" || op.SysFlag != 0 || op.QueueID != 0 || op.BornHost != op.StoreHost {
		t.Errorf("op message %+v", op)
	}
}

func TestRollback(t *testing.T) {
	d := openQuick(t)
	h := d.peer.half("T", "never")
	d.peer.rollBackHalf(h) // is answered when its op message is stored
	if ops := bodiesOf(d.peer.queued(skua.OpHalfTopic, 0)); !slices.Equal(ops, []string{"0,"}) {
		t.Errorf("op messages %q", ops)
	}
	d.peer.commitHalf(h) // too late
	d.restart()
	d.peer.commitHalf(h)
	if got := d.peer.queued("T", 1); len(got) != 0 {
		t.Errorf("a message that was rolled back: %q", bodiesOf(got))
	}
}

func TestEndChecks(t *testing.T) {
	d := openQuick(t)
	h := d.peer.half("T", "x")
	id, _ := d.peer.send("T", "no half message", "PGROUP", "P")
	_, plain, err := record.ParseOffsetID(id)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		status command.Status
		remark string
		alter  func(*command.EndTransactionHeader)
	}{
		{"beyond the log", 1, "Find prepared transaction message failed", func(h *command.EndTransactionHeader) { h.CommitLogOffset = 99999999 }},
		{"below the log", 1, "Find prepared transaction message failed", func(h *command.EndTransactionHeader) { h.CommitLogOffset = -5 }},
		{"middle of a record", 1, "Find prepared transaction message failed", func(h *command.EndTransactionHeader) { h.CommitLogOffset++ }},
		{"no half message", 1, "Find prepared transaction message failed: the message at commitLogOffset", func(h *command.EndTransactionHeader) { h.CommitLogOffset = plain }},
		{"another group", 1, "The producer group wrong", func(h *command.EndTransactionHeader) { h.ProducerGroup = []byte("Q") }},
		{"another place", 1, "The transaction state table offset wrong", func(h *command.EndTransactionHeader) { h.HalfOffset = 7 }},
		{"another word", 1, "commitOrRollback field wrong: 4;", func(h *command.EndTransactionHeader) { h.Outcome = 4 }},
	} {
		e := h.ending(command.OutcomeCommit)
		c.alter(e)
		t.Run(c.name, func(t *testing.T) { d.peer.refused(c.status, c.remark, command.EndTransaction, e, nil) })
		e.Outcome = command.OutcomeRollback
	}
	if answer := d.answerTo(rawFrame(command.EndTransaction, map[string]string{"commitLogOffset": "x"}, nil)); answer.Code != 1 || !strings.Contains(answer.Remark, "commitLogOffset") {
		t.Errorf("malformed number: %+v", answer)
	}
	if got := d.peer.queued("T", 1); len(got) != 0 {
		t.Errorf("refused ends delivered %q", bodiesOf(got))
	}
	d.peer.commitHalf(h)
	if got := d.peer.queued("T", 1); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
	// One-way ends are not answered; that they are refused is in the log.
	e := h.ending(command.OutcomeCommit)
	e.CommitLogOffset = plain
	if err := d.peer.oneway(command.EndTransaction, e, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "a line in the log", func() bool { return d.log.count("ends of half messages are refused") == 1 })
}

// A half message is delivered once, however often it is committed, by whom and over which connection, and after a restart.
func TestCommittedOnce(t *testing.T) {
	d := openQuick(t)
	var halves []half
	for i := range 50 {
		halves = append(halves, d.peer.half("T", fmt.Sprint(i)))
	}
	var all sync.WaitGroup
	for range 4 {
		p := d.connect(nil)
		all.Go(func() {
			for _, h := range halves {
				answer := p.call(command.EndTransaction, h.ending(command.OutcomeCommit), nil)
				if answer.Code != 0 && command.Status(answer.Code) != command.StatusSystemBusy {
					t.Errorf("%d: %s", answer.Code, answer.Remark)
				}
			}
		})
	}
	all.Wait()
	d.restart()
	for _, h := range halves {
		answer := d.peer.must(command.EndTransaction, h.ending(command.OutcomeCommit), nil)
		if !strings.HasPrefix(string(answer.Remark), "the half message was ended before") {
			t.Errorf("remark %q", answer.Remark)
		}
	}
	got := bodiesOf(d.peer.queued("T", 1))
	slices.Sort(got)
	if len(got) != 50 || len(slices.Compact(got)) != 50 {
		t.Errorf("%d messages: %v", len(got), got)
	}
}

// What waits at a stop waits after it, the rest does not come back, and the saved offsets are where a Java broker would go on.
func TestTransactionsSurviveRestart(t *testing.T) {
	d := openDoor(t)
	d.peer.createTopic("T", 4)
	var halves []half
	for i := range 6 {
		halves = append(halves, d.peer.half("T", fmt.Sprint(i)))
	}
	d.peer.commitHalf(halves[0])
	d.peer.rollBackHalf(halves[1])
	d.peer.commitHalf(halves[3])
	d.restart()
	offsets := ask[command.ConsumerOffsets](d.peer, command.GetAllConsumerOffset, nil, nil)
	if half, op := offsets.Offsets[skua.HalfTopic+"@"+skua.TransactionGroup][0], offsets.Offsets[skua.OpHalfTopic+"@"+skua.TransactionGroup][0]; half != 2 || op != 1 {
		t.Errorf("saved offsets are %d and %d, want 2 and 1 (%q)", half, op, bodiesOf(d.peer.queued(skua.OpHalfTopic, 0)))
	}
	if table := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table; table["halfMessages"] != "3" {
		t.Errorf("%s half messages wait", table["halfMessages"])
	}
	for _, h := range halves {
		d.peer.commitHalf(h)
	}
	if got := bodiesOf(d.peer.queued("T", 1)); !slices.Equal(got, []string{"0", "3", "2", "4", "5"}) {
		t.Errorf("delivered %v", got)
	}
	d.restart()
	offsets = ask[command.ConsumerOffsets](d.peer, command.GetAllConsumerOffset, nil, nil)
	if half, op := offsets.Offsets[skua.HalfTopic+"@"+skua.TransactionGroup][0], offsets.Offsets[skua.OpHalfTopic+"@"+skua.TransactionGroup][0]; half != 6 || int(op) != len(d.peer.queued(skua.OpHalfTopic, 0)) {
		t.Errorf("saved offsets are %d and %d", half, op)
	}
}

// checker is a producer of group P that is asked about half messages.
type checker struct {
	*peer
	asked  chan *wire.Frame
	answer func(h half) command.Outcome // nil: it does not answer
}

func (d *door) checker(group string, answer func(h half) command.Outcome) *checker {
	c := &checker{asked: make(chan *wire.Frame, 1000), answer: answer}
	c.peer = d.connect(func(f *wire.Frame) {
		if command.Code(f.Code) != command.CheckTransactionState {
			return
		}
		own := f.Clone()
		select {
		case c.asked <- own:
		default:
		}
		if c.answer == nil {
			return
		}
		h, _ := question(d.t, own)
		e := h.ending(c.answer(h))
		e.FromCheck, e.ProducerGroup = true, []byte(group)
		if err := own.Conn().Send(&wire.Request{Code: command.EndTransaction, Header: e}); err != nil {
			d.t.Log(err)
		}
	})
	c.beat(group)
	return c
}

func (c *checker) beat(group string) {
	c.must(command.HeartBeat, nil, command.HeartbeatData{ClientID: fmt.Sprintf("%p", c), Producers: []command.ProducerData{{Group: group}}})
}

// question reads a question about a half message.
func question(t testing.TB, f *wire.Frame) (half, record.Message) {
	var h command.CheckTransactionHeader
	if err := command.Decode(f.Ext, &h); err != nil {
		t.Error(err)
	}
	m, _, err := record.Decode(f.Body)
	if err != nil {
		t.Error(err)
	}
	group, _ := record.Property(m.Properties, "PGROUP")
	return half{string(group), h.TransactionID, h.HalfOffset, h.CommitLogOffset}, m
}

func (c *checker) next() (half, record.Message) {
	c.t.Helper()
	select {
	case f := <-c.asked:
		return question(c.t, f)
	case <-time.After(15 * time.Second):
		c.t.Fatal("no question within 15 s")
		panic("unreachable")
	}
}

// A producer is asked about a half message that waits, in Java's words, and its answer counts under each of its names.
func TestCheckBack(t *testing.T) {
	d := openQuick(t)
	c := d.checker("P", nil)
	h := c.half("T", "slow", "UNIQ_KEY", "FD01")
	frame := <-c.asked
	if !frame.Oneway() {
		t.Error("the question wants an answer")
	}
	want := map[string]string{"topic": skua.HalfTopic, "tranStateTableOffset": "1", "msgId": "FD01", "transactionId": "FD01", "bname": "b"}
	for key, value := range want {
		if got := frame.Ext.String(key); got != value {
			t.Errorf("question: %s is %q, want %q", key, got, value)
		}
	}
	again, m := question(t, frame)
	p := record.ParseProperties(m.Properties)
	if string(m.Topic) != "T" || m.QueueID != 1 || string(m.Body) != "slow" || p["TRANSACTION_CHECK_TIMES"] != "1" || p["REAL_TOPIC"] != "T" || m.LogOffset != again.log || m.QueueOffset != 1 {
		t.Errorf("question about %+v, %v", m, p)
	}
	copied := d.peer.queued(skua.HalfTopic, 0)[1]
	if copied.LogOffset != again.log || copied.PreparedOffset != int64(h.log) || record.ParseProperties(copied.Properties)["TRANSACTION_CHECK_TIMES"] != "1" {
		t.Errorf("stored again as %+v", copied)
	}
	second, m := c.next()
	if p := record.ParseProperties(m.Properties); second.at != 2 || p["TRANSACTION_CHECK_TIMES"] != "2" {
		t.Errorf("asked again about %d, %v", second.at, p)
	}
	if err := c.oneway(command.EndTransaction, second.ending(command.OutcomeUnknown), nil); err != nil {
		t.Fatal(err)
	}
	third, _ := c.next()
	c.commitHalf(h) // the late word of who sent it
	for _, name := range []half{again, second, third, h} {
		c.commitHalf(name)
		c.rollBackHalf(name)
	}
	got := d.peer.queued("T", 1)
	if len(got) != 1 || got[0].SysFlag != 8 {
		t.Fatalf("delivered %q", bodiesOf(got))
	}
	p = record.ParseProperties(got[0].Properties)
	if p["TRANSACTION_CHECK_TIMES"] == "" || p["SKUA_HALF"] != "" || p["REAL_TOPIC"] != "" {
		t.Errorf("delivered with %v", p)
	}
}

// Who sent a half message is asked first, others of its group when it has gone, and nobody else.
func TestWhoIsAsked(t *testing.T) {
	d := openQuick(t, "transactionCheckInterval", "60")
	d.checker("Q", func(half) command.Outcome {
		t.Error("a producer of another group is asked")
		return command.OutcomeRollback
	})
	var others atomicCount
	for range 5 {
		d.checker("P", func(half) command.Outcome { others.add(); return command.OutcomeUnknown })
	}
	c := d.checker("P", nil)
	c.half("T", "x")
	for range 4 {
		c.next()
	}
	if n := others.load(); n > 0 {
		t.Errorf("others were asked %d times", n)
	}
	c.pool.Close()
	until(t, "others are asked", func() bool { return others.load() > 0 })
}

type atomicCount struct {
	mu sync.Mutex
	n  int
}

func (c *atomicCount) add() { c.mu.Lock(); c.n++; c.mu.Unlock() }

func (c *atomicCount) load() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// Half messages whose producers are all gone wait where they are, which is told once; when a producer comes, it is asked.
func TestGroupWithoutProducer(t *testing.T) {
	d := openQuick(t)
	for i := range 10 {
		d.peer.half("T", fmt.Sprint(i))
	}
	until(t, "a line in the log", func() bool { return d.log.count("no producer of their group is connected") == 1 })
	table := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
	if table["transactionGroupsWithoutProducer"] != "P" || table["halfMessages"] != "10" {
		t.Errorf("runtime information: %q, %q", table["transactionGroupsWithoutProducer"], table["halfMessages"])
	}
	d.restart()
	until(t, "a line in the log", func() bool { return d.log.count("no producer of their group is connected") == 2 })
	// While another group is asked again and again nothing is done about these.
	other := d.checker("Q", nil)
	other.must(command.SendMessageV2, sendHeader("T", "TRAN_MSG", "true", "PGROUP", "Q"), []byte("other"))
	for range 3 {
		other.next()
	}
	if got := bodiesOf(d.peer.queued(skua.HalfTopic, 0)); slices.Index(got, "other") != 10 || slices.Contains(got[11:], "0") {
		t.Errorf("they were stored again: there are %v", got)
	}
	d.checker("P", func(half) command.Outcome { return command.OutcomeCommit })
	until(t, "all delivered", func() bool { return len(d.peer.queued("T", 1)) == 10 })
	until(t, "all ended", func() bool {
		table := ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table
		return table["transactionGroupsWithoutProducer"] == "" && table["halfMessages"] == "1"
	})
	if n := d.log.count("no producer of their group is connected"); n != 2 {
		t.Errorf("it was told %d times", n)
	}
}

// A half message of which nothing comes ends in TRANS_CHECK_MAX_TIME_TOPIC, from where it can be put back.
func TestGivenUpAndResumed(t *testing.T) {
	d := openQuick(t, "transactionCheckMax", "2")
	outcome := command.OutcomeUnknown
	var mu sync.Mutex
	c := d.checker("P", func(half) command.Outcome {
		mu.Lock()
		defer mu.Unlock()
		return outcome
	})
	h := c.half("T", "lost", "KEYS", "k")
	until(t, "given up", func() bool { return len(d.peer.queued(skua.TransMaxTimeTopic, 0)) == 1 })
	if n := len(c.asked); n != 2 {
		t.Errorf("asked %d times", n)
	}
	m := d.peer.queued(skua.TransMaxTimeTopic, 0)[0]
	p := record.ParseProperties(m.Properties)
	if string(m.Body) != "lost" || p["TRANSACTION_CHECK_TIMES"] != "2" || p["REAL_TOPIC"] != "T" || p["KEYS"] != "k" {
		t.Errorf("given up: %+v, %v", m, p)
	}
	until(t, "its end is counted", func() bool {
		return ask[command.KVTable](d.peer, command.GetBrokerRuntimeInfo, nil, nil).Table["halfMessages"] == "0"
	})
	c.commitHalf(h) // too late
	if got := d.peer.queued("T", 1); len(got) != 0 {
		t.Errorf("delivered although given up")
	}
	id := string(record.AppendOffsetID(nil, m.StoreHost, m.LogOffset))
	resume := &command.ResumeHalfHeader{Topic: skua.TransMaxTimeTopic, MsgID: id}
	mu.Lock()
	outcome = command.OutcomeCommit
	mu.Unlock()
	d.peer.must(command.ResumeCheckHalfMessage, resume, nil)
	until(t, "delivered", func() bool { return len(d.peer.queued("T", 1)) == 1 })
	for _, c := range []struct{ id, remark string }{
		{string(record.AppendOffsetID(nil, m.StoreHost, h.log)), "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. The half message was committed"},
		{string(record.AppendOffsetID(nil, m.StoreHost, 1<<40)), "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC."},
		{"nonsense", "Exception was thrown when putting message back to RMQ_SYS_TRANS_HALF_TOPIC."},
		{string(record.AppendOffsetID(nil, m.StoreHost, d.peer.queued("T", 1)[0].LogOffset)), "Put message back to RMQ_SYS_TRANS_HALF_TOPIC failed. The message at"},
	} {
		d.peer.refused(1, c.remark, command.ResumeCheckHalfMessage, &command.ResumeHalfHeader{MsgID: c.id}, nil)
	}
}

// One that waits is asked about anew when it is resumed, under its old name too, and cannot be there twice.
func TestResumeOfOneThatWaits(t *testing.T) {
	d := openQuick(t, "transactionCheckInterval", "5000")
	c := d.checker("P", nil)
	h := c.half("T", "x")
	asked, _ := c.next()
	id := string(record.AppendOffsetID(nil, d.peer.queued(skua.HalfTopic, 0)[0].StoreHost, h.log))
	d.peer.must(command.ResumeCheckHalfMessage, &command.ResumeHalfHeader{MsgID: id}, nil)
	again, m := c.next()
	if p := record.ParseProperties(m.Properties); p["TRANSACTION_CHECK_TIMES"] != "1" || again.at <= asked.at {
		t.Errorf("asked about %d with %v", again.at, p)
	}
	c.commitHalf(asked)
	c.commitHalf(again)
	c.commitHalf(h)
	if got := d.peer.queued("T", 1); len(got) != 1 {
		t.Errorf("delivered %d times", len(got))
	}
}

// A half message may ask to be left alone for longer; the word of its sender does not count any more after that time.
func TestCheckImmunity(t *testing.T) {
	d := openQuick(t)
	c := d.checker("P", nil)
	h := c.half("T", "slow", "CHECK_IMMUNITY_TIME_IN_SECONDS", "1")
	stored := time.Now()
	quick := c.half("T", "quick")
	if first, _ := c.next(); first.key != quick.key {
		t.Error("the one that asked to be left alone was asked about first")
	}
	c.commitHalf(quick)
	for {
		asked, _ := c.next()
		if asked.key != h.key {
			continue
		}
		if age := time.Since(stored); age < 900*time.Millisecond {
			t.Errorf("asked after %v", age)
		}
		break
	}
	c.refused(command.StatusIllegalOperation, "the half message is", command.EndTransaction, h.ending(command.OutcomeCommit), nil)
	e := h.ending(command.OutcomeCommit)
	e.FromCheck = true
	c.must(command.EndTransaction, e, nil)
	if got := bodiesOf(d.peer.queued("T", 1)); !slices.Equal(got, []string{"quick", "slow"}) {
		t.Errorf("delivered %v", got)
	}
}

// A delay begins with the commit.
func TestDelayedTransaction(t *testing.T) {
	d := openQuick(t, "messageDelayLevel", "1s 2s")
	h := d.peer.half("T", "later", "DELAY", "1")
	d.peer.commitHalf(h)
	d.peer.commitHalf(h)
	if got := d.peer.queued("T", 1); len(got) != 0 {
		t.Error("not delayed")
	}
	m := d.peer.queued(skua.ScheduleTopic, 0)
	if len(m) != 1 || m[0].PreparedOffset != int64(h.log) {
		t.Fatalf("parked: %+v", m)
	}
	until(t, "delivered", func() bool { return len(d.peer.queued("T", 1)) == 1 })
	if got := d.peer.queued("T", 1)[0]; got.PreparedOffset != 0 || got.SysFlag != 8 {
		t.Errorf("delivered %+v", got)
	}
}

// A half message that asks for a time of delivery waits from its commit on; what cannot be asked for is refused before.
func TestTimedTransaction(t *testing.T) {
	d := openQuick(t, "timerPrecisionMs", "100", "timerFlushIntervalMs", "20")
	h := d.peer.half("T", "later", skua.PropTimerDelayMs, "300")
	if parked := d.peer.stored(skua.TimerTopic); len(parked) != 0 {
		t.Errorf("%d messages wait for a time before the commit", len(parked))
	}
	d.peer.commitHalf(h)
	d.peer.commitHalf(h)
	if parked := d.peer.stored(skua.TimerTopic); len(parked) != 1 || parked[0].PreparedOffset != int64(h.log) {
		t.Fatalf("parked: %+v", parked)
	}
	if got := d.peer.queued("T", 1); len(got) != 0 {
		t.Error("not delayed")
	}
	until(t, "delivered", func() bool { return len(d.peer.queued("T", 1)) == 1 })
	refused := sendHeader("T", skua.PropTransactionPrepared, "true", skua.PropProducerGroup, "P", skua.PropTimerDelayMs, "soon")
	d.peer.refused(command.StatusMessageIllegal, "timer message illegal, ", command.SendMessageV2, refused, []byte("x"))
}

func TestRejectTransactionMessage(t *testing.T) {
	d := openQuick(t, "rejectTransactionMessage", "true")
	d.peer.refused(16, "the broker[127.0.0.1] sending transaction message is forbidden", command.SendMessageV2, sendHeader("T", "TRAN_MSG", "TRUE"), []byte("x"))
	// What a consumer sends back by way of an ordinary send is not half of a transaction, whatever it was before.
	h := sendHeader("T", "TRAN_MSG", "true", "DELAY", "1")
	h.ReconsumeTimes = 1
	d.peer.must(command.SendMessageV2, h, []byte("x"))
	if n := len(d.peer.queued(skua.ScheduleTopic, 0)); n != 1 {
		t.Errorf("%d delayed messages", n)
	}
}

// The topic that a half message is for may be gone when it is committed.
func TestCommitToDeletedTopic(t *testing.T) {
	d := openQuick(t)
	h := d.peer.half("T", "x")
	d.peer.must(command.DeleteTopicInBroker, &command.DeleteTopicHeader{Topic: "T"}, nil)
	d.peer.commitHalf(h)
	d.peer.createTopic("T", 4)
	if got := bodiesOf(d.peer.queued("T", 1)); !slices.Equal(got, []string{"x"}) {
		t.Errorf("delivered %v", got)
	}
}

func TestTransactionMetricsFile(t *testing.T) {
	d := openQuick(t, "transactionMetricFlushInterval", "30")
	d.peer.createTopic("U", 4)
	a := d.peer.half("T", "a")
	d.peer.half("T", "b")
	d.peer.rollBackHalf(d.peer.half("U", "c"))
	path := filepath.Join(d.o.StorePathRootDir, "config", "transactionMetrics")
	read := func() (m struct {
		DataVersion      struct{ Counter int64 }
		TransactionCount map[string]struct{ Count, TimeStamp int64 }
	}) {
		data, err := os.ReadFile(path)
		if err == nil && json.Unmarshal(data, &m) != nil {
			t.Errorf("%s", data)
		}
		if bytes.ContainsAny(data, "\n\t") || len(data) > 0 && !bytes.HasPrefix(data, []byte(`{"dataVersion":{"counter":`)) {
			t.Errorf("not as Java writes it: %s", data)
		}
		return m
	}
	counts := func(t, u int64) func() bool {
		return func() bool {
			m := read()
			return len(m.TransactionCount) == 2 && m.TransactionCount["T"].Count == t && m.TransactionCount["U"].Count == u
		}
	}
	until(t, "numbers", counts(2, 0))
	if m := read(); m.DataVersion.Counter != 4 || m.TransactionCount["T"].TimeStamp < time.Now().UnixMilli()-60_000 {
		t.Errorf("%+v", m)
	}
	d.restart()
	d.peer.half("T", "d")
	until(t, "numbers after a restart", counts(3, 0))
	d.peer.commitHalf(a)
	until(t, "numbers after a commit", counts(2, 0))
}

// In SYNC_FLUSH an end is answered when it is on disk.
func TestEndsAreDurable(t *testing.T) {
	for _, outcome := range []command.Outcome{command.OutcomeCommit, command.OutcomeRollback} {
		d, disk := openFaulty(t)
		d.peer.createTopic("T", 4)
		h := d.peer.half("T", "x")
		hold := make(chan struct{})
		disk.set(hold, nil)
		answer := d.peer.call(command.EndTransaction, h.ending(outcome), nil)
		if command.Status(answer.Code) != command.StatusFlushDiskTimeout {
			t.Errorf("%d: answer %d %q before it is on disk", outcome, answer.Code, answer.Remark)
		}
		if got := d.peer.queued("T", 1); len(got) != 0 {
			t.Error("it can be seen before it is on disk")
		}
		disk.set(nil, nil)
		close(hold)
		d.peer.must(command.EndTransaction, h.ending(outcome), nil)
		if got := d.peer.queued("T", 1); len(got) != map[command.Outcome]int{command.OutcomeCommit: 1}[outcome] {
			t.Errorf("%d: delivered %d times", outcome, len(got))
		}
	}
}
