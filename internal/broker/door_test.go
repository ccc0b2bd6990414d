package broker_test

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// door is a broker and the way in by its front door.
type door struct {
	t    testing.TB
	o    broker.Options
	b    *broker.Broker
	done chan error
	peer *peer // the usual client
	log  *logBuffer
}

// logBuffer keeps what the broker logs.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// openDoor starts a broker on free ports in a directory of its own, with Java's defaults but small files.
func openDoor(t testing.TB, set ...string) *door {
	t.Helper()
	d := &door{t: t, log: new(logBuffer)}
	conf.Defaults(&d.o)
	d.o.BrokerName, d.o.BindAddress, d.o.StorePathRootDir, d.o.ListenPort = "b", "127.0.0.1", t.TempDir(), 0
	d.o.MappedFileSizeCommitLog, d.o.MaxHashSlotNum, d.o.MaxIndexNum = 1<<20, 100, 1000
	for i := 0; i < len(set); i += 2 {
		if err := conf.Set(&d.o, set[i], set[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	t.Cleanup(d.close)
	return d
}

func (d *door) start() {
	d.t.Helper()
	b, err := broker.New(d.o, slog.New(slog.NewTextHandler(d.log, nil)))
	if err != nil {
		d.t.Fatal(err)
	}
	d.b, d.done = b, make(chan error, 1)
	go func() { d.done <- b.Serve(context.Background()) }()
	d.peer = d.connect(nil)
}

// close stops the broker, if it runs.
func (d *door) close() {
	if d.done == nil {
		return // a restart failed
	}
	d.peer.pool.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := d.b.Shutdown(ctx); err != nil {
		d.t.Errorf("shutdown: %v", err)
	}
	if err := <-d.done; err != nil {
		d.t.Errorf("serve: %v", err)
	}
	d.done = nil
}

func (d *door) restart() {
	d.close()
	d.start()
}

// peer is a client with one connection.
type peer struct {
	t    testing.TB
	pool *wire.Pool
	addr string
}

// connect makes a client; handler serves what the broker asks it.
func (d *door) connect(handler wire.Handler) *peer {
	p := &peer{t: d.t, pool: wire.NewPool(wire.Options{Handler: handler}), addr: d.b.Addr()}
	d.t.Cleanup(func() { p.pool.Close() })
	return p
}

// call sends a request; body is nil, bytes, or a value to be written as JSON.
func (p *peer) call(code command.Code, header, body any) *wire.Frame {
	p.t.Helper()
	data, raw := body.([]byte)
	if body != nil && !raw {
		var err error
		if data, err = fastjson.Marshal(body); err != nil {
			p.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := p.pool.Call(ctx, p.addr, &wire.Request{Code: code, Header: header, Body: data})
	if err != nil {
		p.t.Fatalf("%s: %v", code, err)
	}
	return answer
}

// must is call for a request that has to succeed.
func (p *peer) must(code command.Code, header, body any) *wire.Frame {
	p.t.Helper()
	answer := p.call(code, header, body)
	if answer.Code != 0 {
		p.t.Fatalf("%s: %s: %s", code, command.Status(answer.Code), answer.Remark)
	}
	return answer
}

// refused is call for a request that has to be refused with a status and a remark that begins with text.
func (p *peer) refused(status command.Status, text string, code command.Code, header, body any) {
	p.t.Helper()
	answer := p.call(code, header, body)
	if command.Status(answer.Code) != status || !strings.HasPrefix(string(answer.Remark), text) {
		p.t.Errorf("%s: got %s %q, want %s %q", code, command.Status(answer.Code), answer.Remark, status, text)
	}
}

// ask is must with an answer in JSON.
func ask[T any](p *peer, code command.Code, header, body any) T {
	p.t.Helper()
	var v T
	if err := fastjson.Unmarshal(p.must(code, header, body).Body, &v); err != nil {
		p.t.Fatalf("%s: %v", code, err)
	}
	return v
}

// send stores a message in queue 0 of a topic, which is created if need be.
func (p *peer) send(topic, body string, properties ...string) (id string, off skua.QueueOffset) {
	p.t.Helper()
	var text []byte
	for i := 0; i < len(properties); i += 2 {
		text = record.AppendProperty(text, properties[i], properties[i+1])
	}
	answer := p.must(command.SendMessageV2, &command.SendHeader{ProducerGroup: []byte("P"), Topic: []byte(topic),
		DefaultTopic: []byte(skua.TemplateTopic), DefaultQueues: 1, BornTimestamp: 1, Properties: text}, []byte(body))
	var r command.SendResponse
	if err := command.Decode(answer.Ext, &r); err != nil {
		p.t.Fatal(err)
	}
	return string(r.MsgID), skua.QueueOffset(r.QueueOffset)
}

// stored returns the messages of queue 0 of a topic, found by way of its consume queue.
func (p *peer) stored(topic string) []record.Message {
	p.t.Helper()
	answer := p.call(command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: topic, Count: 100}, nil)
	if answer.Code != 0 {
		return nil
	}
	var queue command.ConsumeQueueSlice
	if err := fastjson.Unmarshal(answer.Body, &queue); err != nil {
		p.t.Fatal(err)
	}
	var ms []record.Message
	for _, u := range queue.Entries {
		m, _, err := record.Decode(p.must(command.ViewMessageByID, &command.ViewMessageHeader{Offset: u.Offset}, nil).Body)
		if err != nil {
			p.t.Fatal(err)
		}
		ms = append(ms, m)
	}
	return ms
}

// until waits for a condition that something in the background brings about.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
	}
}

// oneway sends a request that is not answered.
func (p *peer) oneway(code command.Code, header any, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := p.pool.Conn(ctx, p.addr)
	if err != nil {
		return err
	}
	return conn.Send(&wire.Request{Code: code, Header: header, Body: body})
}

// fastAddr is the address of the port that serves no pulls.
func (d *door) fastAddr() string {
	addr := netip.MustParseAddrPort(d.b.Addr())
	return netip.AddrPortFrom(addr.Addr(), addr.Port()-2).String()
}

// failsToStart is what keeps the broker from starting.
func (d *door) failsToStart() error {
	d.t.Helper()
	b, err := broker.New(d.o, slog.New(slog.NewTextHandler(d.log, nil)))
	if err == nil {
		d.t.Error("broker started")
		if err := b.Shutdown(context.Background()); err != nil {
			d.t.Error(err)
		}
		d.t.FailNow()
	}
	return err
}
