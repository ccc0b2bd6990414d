package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/nameserver"
	"github.com/skuamq/skua/internal/node"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// quickServers runs servers that ask soon about transactions, and returns the name server's address. Those of
// SKUA_TEST_NAMESERVER had better do so, too.
func quickServers(t testing.TB) string {
	if addr := os.Getenv("SKUA_TEST_NAMESERVER"); addr != "" {
		return addr
	}
	var ns nameserver.Options
	conf.Defaults(&ns)
	ns.BindAddress, ns.ListenPort = "127.0.0.1", 0
	b := brokerOptions(t, "broker-a")
	b.TransactionTimeOut, b.TransactionCheckInterval = 50, 100
	return run(t, node.Config{Nameserver: &ns, Broker: &b}).Nameserver
}

// told is what Check is to say, by body; Unknown else.
type told struct {
	mu      sync.Mutex
	outcome map[string]Outcome
	asked   map[string]int
	last    *Received
}

func (d *told) check(_ context.Context, m *Received) Outcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[string(m.Body)]++
	d.last = m
	return d.outcome[string(m.Body)]
}

func (d *told) count(body string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[body]
}

func newTold() *told { return &told{outcome: map[string]Outcome{}, asked: map[string]int{}} }

func outcomeOf(o Outcome, err error) func(context.Context, Sent) (Outcome, error) {
	return func(context.Context, Sent) (Outcome, error) { return o, err }
}

func TestTransactions(t *testing.T) {
	c := open(t, quickServers(t))
	topic, d := unique(t), newTold()
	d.outcome["asked, committed"] = Commit
	d.outcome["asked, rolled back"] = Rollback
	p, err := c.TransactionProducer(TransactionOptions{ProducerOptions: ProducerOptions{Group: "transactions", CompressAbove: 20}, Check: d.check})
	if err != nil {
		t.Fatal(err)
	}
	var first Sent
	for _, x := range []struct {
		body    string
		outcome Outcome
	}{{"committed", Commit}, {"rolled back", Rollback}, {"asked, committed", Unknown}, {"asked, rolled back", Unknown}, {"asked, never told", Unknown}} {
		sent, outcome, err := p.Send(deadline(t), &Message{Topic: topic, Tag: "t", Keys: []string{"k"}, Body: []byte(x.body)}, outcomeOf(x.outcome, nil))
		if err != nil || outcome != x.outcome || sent.ID == "" || sent.Queue.Topic != topic {
			t.Fatalf("%s: %+v, %v, %v", x.body, sent, outcome, err)
		}
		if x.outcome == Commit {
			first = sent
		}
	}
	var got []string
	for _, m := range readAll(t, c, topic, 2) {
		got = append(got, string(m.Body))
		if string(m.Body) == "committed" && (m.ID() != first.ID || m.Tag() != "t") {
			t.Errorf("received %s %v, sent %+v", m.ID(), m.Properties(), first)
		}
	}
	slices.Sort(got)
	if want := []string{"asked, committed", "committed"}; !slices.Equal(got, want) {
		t.Errorf("received %v, want %v", got, want)
	}
	for end := time.Now().Add(15 * time.Second); d.count("asked, never told") < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("asked: %v", d.asked)
		}
	}
	if d.count("asked, rolled back") != 1 || d.count("committed") != 0 || d.count("rolled back") != 0 {
		t.Errorf("asked: %v", d.asked)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if m := d.last; string(m.Body) != "asked, never told" || m.Topic != topic || m.Queue.Topic != topic || m.Tag() != "t" {
		t.Errorf("asked about %+v", m)
	}
	if _, _, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("x")}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a send after Close: %v", err)
	}
	// Another producer of the group goes on. One that panics is asked again.
	again := newTold()
	panics := atomic.Bool{}
	panics.Store(true)
	again.outcome["asked, never told"] = Commit
	_, err = open(t, c.o.NameServers[0]).TransactionProducer(TransactionOptions{ProducerOptions: ProducerOptions{Group: "transactions"}, Checks: 2, Topics: []string{topic, "none"},
		Check: func(ctx context.Context, m *Received) Outcome {
			if panics.Swap(false) {
				panic("as the test wants")
			}
			return again.check(ctx, m)
		}})
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, c, topic, 3)
}

// What goes wrong in a local transaction is told, and its outcome counts.
func TestTransactionErrors(t *testing.T) {
	c := open(t, quickServers(t))
	topic, d := unique(t), newTold()
	p, err := c.TransactionProducer(TransactionOptions{ProducerOptions: ProducerOptions{Group: "errors"}, Check: d.check})
	if err != nil {
		t.Fatal(err)
	}
	bad := errors.New("no herrings left")
	if _, outcome, err := p.Send(deadline(t), &Message{Topic: topic, Body: []byte("failed")}, outcomeOf(Rollback, bad)); !errors.Is(err, bad) || outcome != Rollback {
		t.Errorf("%v, %v", outcome, err)
	}
	func() {
		defer func() {
			if v := recover(); v != "bang" {
				t.Errorf("recovered %v", v)
			}
		}()
		d.mu.Lock()
		d.outcome["panicked"] = Commit
		d.mu.Unlock()
		_, _, _ = p.Send(deadline(t), &Message{Topic: topic, Body: []byte("panicked")}, func(context.Context, Sent) (Outcome, error) { panic("bang") })
	}()
	if m := readAll(t, c, topic, 1); string(m[0].Body) != "panicked" {
		t.Errorf("received %q", m[0].Body)
	}
	for what, m := range map[string]*Message{
		"cannot be delayed": {Topic: topic, Body: []byte("x"), DelayLevel: 1}, "body is empty": {Topic: topic},
		"property TRAN_MSG is reserved": {Topic: topic, Body: []byte("x"), Properties: map[string]string{"TRAN_MSG": "true"}},
	} {
		if _, _, err := p.Send(deadline(t), m, outcomeOf(Commit, nil)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, o := range map[string]TransactionOptions{
		"Check is missing": {ProducerOptions: ProducerOptions{Group: "g"}},
		"Group is missing": {Check: d.check},
		"this client has one of group errors already": {ProducerOptions: ProducerOptions{Group: "errors"}, Check: d.check},
		"contains illegal characters":                 {ProducerOptions: ProducerOptions{Group: "g g"}, Check: d.check},
	} {
		if _, err := c.TransactionProducer(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for o, want := range map[Outcome]string{Unknown: "unknown", Commit: "commit", Rollback: "rollback", 7: "outcome 7"} {
		if o.String() != want {
			t.Errorf("%d is %q", int(o), o)
		}
	}
}

// A half message is sent again only if the broker said that it has not stored it, and not at all depended on if it is not
// safe.
func TestHalfIsNotSentTwice(t *testing.T) {
	for _, x := range []struct {
		name    string
		answers []command.Status
		sends   int
		local   bool
		ended   string // outcomes that the broker is told
	}{
		{"refused, then taken", []command.Status{command.StatusSystemBusy}, 2, true, "[8]"},
		{"refused", []command.Status{command.StatusSystemBusy, command.StatusSystemBusy, command.StatusSystemBusy}, 3, false, "[]"},
		{"illegal", []command.Status{command.StatusMessageIllegal}, 1, false, "[]"},
		{"not on disk", []command.Status{command.StatusFlushDiskTimeout}, 1, false, "[12]"},
		{"not answered", []command.Status{noAnswer}, 1, false, "[]"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := newFake(t)
			f.set(func() { f.sends = x.answers })
			c := open(t, f.addr)
			p, err := c.TransactionProducer(TransactionOptions{ProducerOptions: ProducerOptions{Group: "g", SendTimeout: 300 * time.Millisecond}, Check: newTold().check, CheckAfter: 1500 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			ran := false
			_, outcome, err := p.Send(deadline(t), &Message{Topic: "t", Body: []byte("x")}, func(context.Context, Sent) (Outcome, error) {
				ran = true
				return Commit, nil
			})
			if ran != x.local || (err == nil) != x.local || ran != (outcome == Commit) {
				t.Errorf("local ran: %v, %v, %v", ran, outcome, err)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if n := f.count(command.SendMessageV2); n != x.sends || fmt.Sprint(f.ended) != x.ended {
				t.Errorf("%d sends, ended with %v; want %d and %s", n, f.ended, x.sends, x.ended)
			}
			for key, want := range map[string]string{"TRAN_MSG": "true", "PGROUP": "g", "CHECK_IMMUNITY_TIME_IN_SECONDS": "2"} {
				if got, _ := record.Property(f.properties, key); string(got) != want {
					t.Errorf("property %s is %q, want %q", key, got, want)
				}
			}
		})
	}
}

// Questions are answered by the group's transaction producer, as long as it is not closed; all others are let be.
func TestQuestionsOfBrokers(t *testing.T) {
	f := newFake(t)
	c := open(t, f.addr)
	begun, goOn := make(chan bool, 1), make(chan struct{})
	p, err := c.TransactionProducer(TransactionOptions{ProducerOptions: ProducerOptions{Group: "g"}, Check: func(ctx context.Context, m *Received) Outcome {
		select {
		case begun <- true:
		default:
		}
		<-goOn
		return Rollback
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Send(deadline(t), &Message{Topic: "t", Body: []byte("x")}, outcomeOf(Commit, nil)); err != nil {
		t.Fatal(err)
	}
	f.await("a heartbeat", func() bool { return f.clients[c.ID()] != nil })
	ask := func(group string) {
		body := record.Append(nil, &record.Message{Topic: []byte("t"), Body: []byte("x"), Properties: record.AppendProperty(nil, "PGROUP", group)})
		f.mu.Lock()
		conn := f.clients[c.ID()]
		f.mu.Unlock()
		if err := conn.Send(&wire.Request{Code: command.CheckTransactionState, Header: &command.CheckTransactionHeader{HalfOffset: 7, CommitLogOffset: 70, TransactionID: "id"}, Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	ask("other")
	for range checkQueue + 10 {
		ask("g")
	}
	<-begun
	close(goOn)
	f.await("an answer", func() bool { return len(f.ended) > 1 })
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	ask("g")
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended[0] != command.OutcomeCommit || f.ended[1] != command.OutcomeRollback || f.end.HalfOffset != 7 || f.end.CommitLogOffset != 70 || !f.end.FromCheck {
		t.Errorf("ended with %v, the last one %+v", f.ended[:2], f.end)
	}
}
