package client

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// fake is a name server and broker of one topic "t" with one queue, which plays what a test wants of it.
type fake struct {
	t     testing.TB
	addr  string
	quiet bool // requests are not remembered

	mu      sync.Mutex // guards the following
	seen    []command.Code
	pulls   []skua.QueueOffset // offsets that were asked for
	onPull  []wire.Response    // answers to the next pulls; then none
	onBack  []command.Status   // answers to the next messages sent back; then success
	commits []skua.QueueOffset
	carried []skua.QueueOffset // commits by way of pulls
	clients map[string]*wire.Conn
	sends   []command.Status // answers to the next sends; then success
	refuse  bool             // no lock is given

	properties []byte                       // of the last message that was sent
	ended      []command.Outcome            // of transactions
	end        command.EndTransactionHeader // the last one

	news chan struct{}
}

// noAnswer among the answers of a fake is none.
const noAnswer command.Status = -1

func newFake(t testing.TB) *fake {
	f := &fake{t: t, clients: map[string]*wire.Conn{}, news: make(chan struct{}, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	s := wire.NewServer(wire.Options{Handler: f.handle})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fake) handle(req *wire.Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	code := command.Code(req.Code)
	if !f.quiet {
		f.seen = append(f.seen, code)
	}
	r := wire.Response{}
	switch code {
	case command.GetRouteinfoByTopic:
		r = f.route(req.Ext.String("topic"))
	case command.HeartBeat:
		var h command.HeartbeatData
		if err := fastjson.Unmarshal(req.Body, &h); err != nil {
			f.t.Error(err)
		}
		f.clients[h.ClientID] = req.Conn()
	case command.GetConsumerListByGroup:
		var list command.ConsumerList
		for id := range f.clients {
			list.ClientIDs = append(list.ClientIDs, id)
		}
		r.Body = f.marshal(list)
	case command.QueryConsumerOffset:
		r.Header = &command.OffsetResponse{Offset: 5}
	case command.LockBatchMQ:
		var body command.LockBatch
		if err := fastjson.Unmarshal(req.Body, &body); err != nil {
			f.t.Error(err)
		}
		if f.refuse {
			body.Queues = nil
		}
		r.Body = f.marshal(command.LockBatchResponse{Locked: body.Queues})
	case command.PullMessage:
		var h command.PullHeader
		if err := h.Decode(req.Ext); err != nil {
			f.t.Error(err)
		}
		f.pulls = append(f.pulls, skua.QueueOffset(h.QueueOffset))
		if h.SysFlag&command.PullCommit != 0 {
			f.carried = append(f.carried, skua.QueueOffset(h.CommitOffset))
		}
		if len(f.onPull) == 0 {
			f.tell()
			return
		}
		r, f.onPull = f.onPull[0], f.onPull[1:]
	case command.ConsumerSendMsgBack:
		if len(f.onBack) > 0 {
			r.Status, r.Remark = f.onBack[0], "as the test wants"
			f.onBack = f.onBack[1:]
		}
	case command.UpdateConsumerOffset:
		var h command.OffsetHeader
		if err := h.Decode(req.Ext); err != nil {
			f.t.Error(err)
		}
		f.commits = append(f.commits, skua.QueueOffset(h.CommitOffset))
	case command.EndTransaction:
		if err := f.end.Decode(req.Clone().Ext); err != nil {
			f.t.Error(err)
		}
		f.ended = append(f.ended, f.end.Outcome)
	case command.SendMessageV2, command.SendBatchMessage:
		var h command.SendHeader
		if err := h.Decode(req.Clone().Ext); err != nil {
			f.t.Error(err)
		}
		f.properties = h.Properties
		r.Header = &command.SendResponse{MsgID: []byte("7F00000100002A9F0000000000000046"), QueueOffset: 3}
		if len(f.sends) > 0 && f.sends[0] == noAnswer {
			f.sends = f.sends[1:]
			f.tell()
			return
		}
		if len(f.sends) > 0 {
			r.Status, r.Remark = f.sends[0], "as the test wants"
			f.sends = f.sends[1:]
		}
	}
	f.tell()
	if err := req.Call().Reply(&r); err != nil {
		f.t.Log(err)
	}
}

// set changes what the fake answers. Its connections do not order what they see with what the test did before, so that
// no field is touched without the lock.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) tell() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

func (f *fake) marshal(v any) []byte {
	b, err := fastjson.Marshal(v)
	if err != nil {
		f.t.Error(err)
	}
	return b
}

func (f *fake) route(topic string) wire.Response {
	if topic != "t" {
		return wire.Response{Status: command.StatusTopicNotExist, Remark: "No topic route info"}
	}
	return wire.Response{Body: f.marshal(command.TopicRoute{
		Brokers: []command.BrokerData{{Name: "b", Cluster: "c", Addrs: map[skua.BrokerID]string{0: f.addr}}},
		Queues:  []command.QueueData{{BrokerName: "b", Perm: 6, ReadQueues: 1, WriteQueues: 1}},
	})}
}

// await waits until cond, called under the lock, is true.
func (f *fake) await(what string, cond func() bool) {
	f.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		f.mu.Lock()
		ok := cond()
		f.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-f.news:
		case <-timeout:
			f.t.Fatalf("gave up waiting for %s", what)
		}
	}
}

// count returns how many requests with code have come; the lock is held.
func (f *fake) count(code command.Code) int {
	n := 0
	for _, c := range f.seen {
		if c == code {
			n++
		}
	}
	return n
}

// ask sends a request to the client and returns its answer.
func (f *fake) ask(c *Client, r *wire.Request) *wire.Frame {
	f.t.Helper()
	f.mu.Lock()
	conn := f.clients[c.ID()]
	f.mu.Unlock()
	answer, err := conn.Call(deadline(f.t), r)
	if err != nil {
		f.t.Fatal(err)
	}
	return answer
}

// pulled waits until the last pull asked for offset.
func (f *fake) pulled(offset skua.QueueOffset) {
	f.t.Helper()
	f.await("a pull", func() bool { return len(f.pulls) > 0 && f.pulls[len(f.pulls)-1] == offset })
}

// committed waits until the last commit is of offset.
func (f *fake) committed(offset skua.QueueOffset) {
	f.t.Helper()
	f.await("a commit", func() bool { return len(f.commits) > 0 && f.commits[len(f.commits)-1] == offset })
}

// offsets returns from where messages were pulled, and what was committed.
func (f *fake) offsets() (pulls, commits []skua.QueueOffset) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.pulls), slices.Clone(f.commits)
}

// found is an answer to a pull with one message for each body, the first one at offset.
func found(offset skua.QueueOffset, bodies ...string) wire.Response {
	host := netip.MustParseAddrPort("127.0.0.1:10911")
	var records []byte
	for i, body := range bodies {
		records = record.Append(records, &record.Message{
			Topic: []byte("t"), Body: []byte(body), BornHost: host, StoreHost: host, QueueOffset: offset + skua.QueueOffset(i), LogOffset: 77,
		})
	}
	return wire.Response{Header: &command.PullResponse{NextOffset: int64(offset) + int64(len(bodies))}, Body: records}
}

// requests returns how many requests with code have come.
func (f *fake) requests(code command.Code) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count(code)
}
