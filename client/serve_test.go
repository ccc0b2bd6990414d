package client

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// openFake returns a push consumer of group "g" that pulls from a fake, and never gets an answer.
func openFake(t *testing.T, handler Handler) (*fake, *Client) {
	f := newFake(t)
	o := quickOptions(t, f.addr)
	o.rebalance = time.Hour // only kicks divide queues, once they are
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	newPush(t, c, PushOptions{Group: "g", Subscriptions: []Subscription{{Topic: "t", Tags: "a || b"}}, Handler: handler})
	f.pulled(5)
	return f, c
}

func TestServeMembersChanged(t *testing.T) {
	f, c := openFake(t, func(context.Context, *Received) error { return nil })
	before := f.requests(command.GetConsumerListByGroup)
	f.mu.Lock()
	conn := f.clients[c.ID()]
	f.mu.Unlock()
	if err := conn.Send(&wire.Request{Code: command.NotifyConsumerIDsChanged, Header: &command.ConsumerGroupHeader{Group: "g"}}); err != nil {
		t.Fatal(err)
	}
	f.await("another division of queues", func() bool { return f.count(command.GetConsumerListByGroup) > before })
}

func TestServeResetOffset(t *testing.T) {
	f, c := openFake(t, func(context.Context, *Received) error { return nil })
	body := f.marshal(command.ResetOffset{Offsets: map[command.MessageQueue]skua.QueueOffset{{Topic: "t", Broker: "b"}: 2, {Topic: "t", Broker: "x"}: 3}})
	f.mu.Lock()
	conn := f.clients[c.ID()]
	f.mu.Unlock()
	if err := conn.Send(&wire.Request{Code: command.ResetConsumerClientOffset, Header: &command.ResetOffsetHeader{Group: "g", Topic: "t"}, Body: body}); err != nil {
		t.Fatal(err)
	}
	f.pulled(2)
	f.await("the commit", func() bool { return f.count(command.UpdateConsumerOffset) > 0 })
}

func TestServePositionsAndRunningInfo(t *testing.T) {
	f, c := openFake(t, func(context.Context, *Received) error { return nil })
	mq := command.MessageQueue{Topic: "t", Broker: "b"}
	answer := f.ask(c, &wire.Request{Code: command.GetConsumerStatusFromClient, Header: &command.ConsumerStatusHeader{Topic: "t", Group: "g"}})
	var positions command.ConsumerPositions
	if err := fastjson.Unmarshal(answer.Body, &positions); err != nil || positions.Queues[mq] != 5 {
		t.Errorf("positions %s, %v", answer.Body, err)
	}
	answer = f.ask(c, &wire.Request{Code: command.GetConsumerRunningInfo, Header: &command.RunningInfoHeader{Group: "g", ClientID: c.ID(), Jstack: true}})
	var info command.ConsumerRunningInfo
	if err := fastjson.Unmarshal(answer.Body, &info); err != nil {
		t.Fatal(err)
	}
	if info.Queues[mq].CommitOffset != 5 || info.Properties[command.PropConsumeType] != "CONSUME_PASSIVELY" || len(info.Subscriptions) != 2 || !strings.Contains(info.Jstack, "goroutine") {
		t.Errorf("running info %+v", info)
	}
	answer = f.ask(c, &wire.Request{Code: command.GetConsumerRunningInfo, Header: &command.RunningInfoHeader{Group: "other"}})
	if command.Status(answer.Code) != command.StatusSystemError || !strings.Contains(string(answer.Remark), "not exist in this consumer") {
		t.Errorf("a group that is not here: %d %s", answer.Code, answer.Remark)
	}
	answer = f.ask(c, &wire.Request{Code: command.PushReplyMessageToClient})
	if command.Status(answer.Code) != command.StatusSystemError || string(answer.Remark) != "process reply message fail: the reply has no property CORRELATION_ID" {
		t.Errorf("a reply to nothing: %d %s", answer.Code, answer.Remark)
	}
	answer = f.ask(c, &wire.Request{Code: command.GetBrokerRuntimeInfo})
	if command.Status(answer.Code) != command.StatusRequestCodeNotSupported {
		t.Errorf("an unknown request: %d %s", answer.Code, answer.Remark)
	}
}

func TestServeConsumeDirectly(t *testing.T) {
	got := make(chan *Received, 1)
	f, c := openFake(t, func(_ context.Context, m *Received) error {
		got <- m
		return errors.New("not this one")
	})
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	stored := record.Message{Topic: []byte("t"), Body: []byte("again"), BornHost: host, StoreHost: host, QueueOffset: 9, Properties: []byte("TAGS\x01a\x02")}
	body := record.Append(nil, &stored)
	answer := f.ask(c, &wire.Request{Code: command.ConsumeMessageDirectly, Header: &command.ConsumeDirectlyHeader{Group: "g", BrokerName: "b"}, Body: body})
	var result command.ConsumeMessageDirectlyResult
	if err := fastjson.Unmarshal(answer.Body, &result); err != nil || result.Result != command.ConsumeLater || result.Remark != "not this one" {
		t.Errorf("result %s, %v", answer.Body, err)
	}
	if m := <-got; string(m.Body) != "again" || m.Tag() != "a" || m.Offset != 9 || m.Queue.Broker != "b" {
		t.Errorf("the handler saw %+v", m)
	}
	answer = f.ask(c, &wire.Request{Code: command.ConsumeMessageDirectly, Header: &command.ConsumeDirectlyHeader{Group: "g"}, Body: []byte("no record")})
	if command.Status(answer.Code) != command.StatusSystemError {
		t.Errorf("what is no record: %d %s", answer.Code, answer.Remark)
	}
}

func TestSendStatuses(t *testing.T) {
	for _, test := range []struct {
		answers  []command.Status
		attempts int
		want     string // part of the error
		stored   bool
	}{
		{[]command.Status{command.StatusSystemBusy, command.StatusServiceNotAvailable}, 3, "", true},
		{[]command.Status{command.StatusMessageIllegal}, 1, "MESSAGE_ILLEGAL (13): as the test wants", false},
		{[]command.Status{command.StatusFlushDiskTimeout}, 1, "FLUSH_DISK_TIMEOUT (10)", true},
		{[]command.Status{command.StatusSystemError, command.StatusSystemError, command.StatusNoPermission}, 3, "NO_PERMISSION (16)", false},
	} {
		f := newFake(t)
		c := open(t, f.addr)
		p := newProducer(t, c, ProducerOptions{})
		for _, async := range []bool{false, true} {
			f.set(func() { f.sends, f.seen = test.answers, nil })
			var sent Sent
			var err error
			m := &Message{Topic: "t", Body: []byte("x")}
			if async {
				done := make(chan struct{})
				if e := p.SendAsync(deadline(t), m, func(s Sent, e error) { sent, err = s, e; close(done) }); e != nil {
					t.Fatal(e)
				}
				<-done
			} else {
				sent, err = p.Send(deadline(t), m)
			}
			if n := f.requests(command.SendMessageV2); n != test.attempts {
				t.Errorf("%v, async %v: %d attempts, want %d", test.answers, async, n, test.attempts)
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, async %v: %v", test.answers, async, err)
			}
			if stored := sent.OffsetID != ""; stored != test.stored || stored && (sent.Offset != 3 || sent.Queue.Broker != "b") {
				t.Errorf("%v, async %v: sent %+v", test.answers, async, sent)
			}
			var refused *Error
			if err != nil && (!errors.As(err, &refused) || refused.Stored != test.stored) {
				t.Errorf("%v, async %v: Stored of %v", test.answers, async, err)
			}
		}
	}
}

// TestLockLost: a queue that another member locked is given up without a commit, and locked again when that is possible.
func TestLockLost(t *testing.T) {
	f := newFake(t)
	o := quickOptions(t, f.addr)
	o.rebalance, o.commit, o.lockRenew = 50*time.Millisecond, time.Hour, 20*time.Millisecond
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f.set(func() { f.refuse = true })
	newPush(t, c, PushOptions{Group: "g", Subscriptions: []Subscription{{Topic: "t"}}, Orderly: true, Handler: newInbox().handle})
	refusals := func() { f.await("refusals", func() bool { return f.count(command.LockBatchMQ) > 3 }) }
	refusals()
	lock := func(ok bool) {
		f.set(func() { f.refuse, f.seen, f.pulls = !ok, nil, nil })
	}
	if n := f.requests(command.PullMessage); n != 0 {
		t.Errorf("%d pulls without a lock", n)
	}
	for range 2 {
		lock(true)
		f.pulled(5)
		lock(false)
		refusals()
		if n := f.requests(command.UpdateConsumerOffset) + f.requests(command.UnlockBatchMQ); n != 0 {
			t.Errorf("%d commits and unlocks of a lost queue", n)
		}
	}
}
