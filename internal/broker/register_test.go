package broker_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

// nameServer notes what a broker tells it, and takes of it what name servers take.
type nameServer struct {
	t      testing.TB
	addr   string
	server *wire.Server
	done   chan error

	mu      sync.Mutex
	fresh   bool // it answers QUERY_DATA_VERSION as if it knew everything
	deaf    bool // it refuses registrations
	version command.DataVersion
	topics  map[string]command.TopicConfig
	asked   int
	order   string // a topic that is ordered
	seen    []registered
	gone    []command.BrokerIdentity
	beats   int
	routes  map[string]command.TopicRoute
	looked  int // questions for routes
}

// registered is a registration.
type registered struct {
	header command.RegisterBrokerHeader
	topics map[string]command.TopicConfig
	data   command.DataVersion
}

// openNameServer listens at addr, "" for any.
func openNameServer(t testing.TB, addr string) *nameServer {
	t.Helper()
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	n := &nameServer{t: t, addr: l.Addr().String(), done: make(chan error, 1), topics: map[string]command.TopicConfig{}}
	n.server = wire.NewServer(wire.Options{Handler: n.serve})
	go func() { n.done <- n.server.Serve(l) }()
	t.Cleanup(n.close)
	return n
}

func (n *nameServer) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	n.server.Shutdown(ctx)
}

func (n *nameServer) serve(req *wire.Frame) {
	n.mu.Lock()
	defer n.mu.Unlock()
	answer := wire.Response{}
	switch command.Code(req.Code) {
	case command.RegisterBroker:
		var r registered
		if err := command.Decode(req.Ext, &r.header); err != nil {
			n.t.Error(err)
		}
		if crc := command.CRC32(req.Body); crc != r.header.BodyCRC32 {
			n.t.Errorf("checksum %d, body has %d", r.header.BodyCRC32, crc)
		}
		body, err := command.DecodeRegistration(req.Body, req.Version)
		if err != nil {
			n.t.Error(err)
		}
		if n.deaf {
			answer.Status = command.StatusSystemError
			break
		}
		r.topics, r.data = body.Topics.Topics, body.Topics.DataVersion
		n.seen = append(n.seen, r)
		for name, c := range r.topics {
			if _, known := n.topics[name]; !known || n.version != r.data {
				n.topics[name] = c
			}
		}
		n.version = r.data
		if n.order != "" {
			answer.Body, _ = fastjson.Marshal(command.KVTable{Table: map[string]string{n.order: "b:4"}})
		}
	case command.UnregisterBroker:
		var h command.UnregisterBrokerHeader
		if err := command.Decode(req.Ext, &h); err != nil {
			n.t.Error(err)
		}
		n.gone = append(n.gone, h.BrokerIdentity)
	case command.QueryDataVersion:
		n.asked++
		var version command.DataVersion
		if err := fastjson.Unmarshal(req.Body, &version); err != nil {
			n.t.Error(err)
		}
		answer.Header = &command.QueryDataVersionResponse{Changed: version != n.version && !n.fresh}
	case command.BrokerHeartbeat:
		n.beats++
	case command.GetRouteinfoByTopic:
		n.looked++
		if route, ok := n.routes[req.Ext.String("topic")]; ok {
			answer.Body, _ = fastjson.Marshal(route)
		} else {
			answer.Status = command.StatusTopicNotExist
		}
	}
	req.Call().Reply(&answer)
}

// registrations are those that have come so far.
func (n *nameServer) registrations() []registered {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen)
}

func TestRegistration(t *testing.T) {
	one, two := openNameServer(t, ""), openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", one.addr+";"+two.addr, "brokerClusterName", "C")
	<-d.b.Registered()
	for _, n := range []*nameServer{one, two} {
		all := n.registrations()
		if len(all) != 1 {
			t.Fatalf("%d registrations", len(all))
		}
		h := all[0].header
		if h.BrokerName != "b" || h.ClusterName != "C" || h.BrokerAddr != d.b.Advertised() || h.BrokerID != 0 || h.EnableActingMaster == nil || !strings.HasPrefix(h.HAServerAddr, "127.0.0.1:") {
			t.Errorf("header %+v", h)
		}
		if len(all[0].topics) != 15 || all[0].topics["TBW102"].Perm != 7 {
			t.Errorf("topics %v", slices.Sorted(maps.Keys(all[0].topics)))
		}
	}
	d.peer.createTopic("T", 3)
	for _, n := range []*nameServer{one, two} {
		last := n.registrations()[1]
		if len(last.topics) != 1 || last.topics["T"].WriteQueues != 3 || last.data.Counter <= n.registrations()[0].data.Counter {
			t.Errorf("registration of a change: %+v", last)
		}
	}
	d.peer.send("ByASend", "x")
	until(t, "the topic that a send made is registered", func() bool {
		all := one.registrations()
		_, ok := all[len(all)-1].topics["ByASend"]
		return ok
	})
	if err := d.b.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for _, n := range []*nameServer{one, two} {
		n.mu.Lock()
		if len(n.gone) != 1 || n.gone[0].BrokerAddr != d.b.Advertised() || n.gone[0].BrokerName != "b" || n.gone[0].ClusterName != "C" {
			t.Errorf("unregistered %+v", n.gone)
		}
		n.mu.Unlock()
	}
}

func TestRegistrationWithNameServerThatIsDown(t *testing.T) {
	up, down := openNameServer(t, ""), openNameServer(t, "")
	down.close()
	d := openDoor(t, "namesrvAddr", up.addr+";"+down.addr)
	<-d.b.Registered()
	d.peer.createTopic("T", 1)
	d.peer.createTopic("U", 1)
	if n := len(up.registrations()); n != 3 {
		t.Errorf("%d registrations with the one that is up", n)
	}
	if n := d.log.count("name server does not take the registration"); n != 1 {
		t.Errorf("that a name server is down was logged %d times", n)
	}
	again := openNameServer(t, down.addr)
	d.peer.createTopic("V", 1)
	if len(again.registrations()) == 0 || d.log.count("registered with name server") != 2 {
		t.Errorf("%d registrations with the one that is up again; log:\n%s", len(again.registrations()), d.log.text.String())
	}
}

func TestRegistrationOnlyOfChanges(t *testing.T) {
	n := openNameServer(t, "")
	n.mu.Lock()
	n.fresh = true
	n.mu.Unlock()
	d := openDoor(t, "namesrvAddr", n.addr, "forceRegister", "false")
	<-d.b.Registered()
	n.mu.Lock()
	if n.asked != 1 || len(n.seen) != 0 {
		t.Errorf("asked %d times, registered %d", n.asked, len(n.seen))
	}
	n.fresh = false
	n.mu.Unlock()
	d.peer.send("ByASend", "x")
	until(t, "registration after a change", func() bool { return len(n.registrations()) > 0 })
}

// A name server that has missed a change gets it with the next one.
func TestRegistrationAfterAMissedChange(t *testing.T) {
	n := openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", n.addr)
	<-d.b.Registered()
	d.peer.createTopic("T", 1)
	for _, deaf := range []bool{true, false} {
		n.mu.Lock()
		n.deaf = deaf
		n.mu.Unlock()
		if deaf {
			d.peer.createTopic("T", 2)
		} else {
			d.peer.createTopic("U", 1)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.topics["T"].WriteQueues != 2 || n.topics["U"].WriteQueues != 1 {
		t.Errorf("T %+v, U %+v", n.topics["T"], n.topics["U"])
	}
}

// Of topics that are changed at the same time, by administrators or by sends that create others, a name server has all changes when
// they are answered: none comes under a version that it has already.
func TestRegistrationOfChangesAtTheSameTime(t *testing.T) {
	n := openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", n.addr)
	<-d.b.Registered()
	peers := make([]*peer, 8)
	for i := range peers {
		peers[i] = d.connect(nil)
	}
	for round := range int32(20) {
		var wait sync.WaitGroup
		for i, p := range peers {
			wait.Go(func() {
				p.send(fmt.Sprint("Made", round, "-", i), "x")
				p.createTopic(fmt.Sprint("T", i), round+1)
			})
		}
		wait.Wait()
		n.mu.Lock()
		for i := range peers {
			if got := n.topics[fmt.Sprint("T", i)].WriteQueues; got != round+1 {
				t.Errorf("T%d has %d queues, want %d", i, got, round+1)
			}
		}
		n.mu.Unlock()
	}
}

// Who takes the permission to write from a broker wants producers to go to others.
func TestRegistrationOfBrokerPermission(t *testing.T) {
	n := openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", n.addr)
	<-d.b.Registered()
	d.peer.createTopic("T", 1)
	for _, perm := range []skua.Perm{skua.PermRead, skua.PermRead | skua.PermWrite} {
		d.peer.must(command.UpdateBrokerConfig, nil, fmt.Appendf(nil, "brokerPermission=%d\n", perm))
		until(t, fmt.Sprintf("T has permission %v", perm), func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			return n.topics["T"].Perm == perm
		})
	}
}

func TestRegistrationForms(t *testing.T) {
	n := openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", n.addr, "compressedRegister", "true", "brokerPermission", "4", "enableSlaveActingMaster", "true", "brokerHeartbeatInterval", "10")
	<-d.b.Registered()
	r := n.registrations()[0]
	if !r.header.Compressed || r.topics["BenchmarkTest"].Perm != 4 || r.topics["TBW102"].Perm != 4 {
		t.Errorf("compressed %v, topics %v", r.header.Compressed, r.topics)
	}
	if r.header.HeartbeatTimeout == nil || *r.header.HeartbeatTimeout != 10000 || !*r.header.EnableActingMaster {
		t.Errorf("header %+v", r.header)
	}
	until(t, "heartbeats", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.beats > 2
	})
}

func TestRegistrationLearnsOrderedTopics(t *testing.T) {
	n := openNameServer(t, "")
	d := openDoor(t, "namesrvAddr", n.addr)
	<-d.b.Registered()
	n.mu.Lock()
	n.order = "T"
	n.mu.Unlock()
	d.peer.createTopic("T", 1)
	if got := ask[command.TopicConfigDetail](d.peer, command.GetTopicConfig, &command.TopicHeader{Topic: "T"}, nil); !got.Order {
		t.Error("topic is not marked as ordered")
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := openDoor(t)
	d.close()
	d.o.ListenPort = int32(l.Addr().(*net.TCPAddr).Port)
	if err := d.failsToStart(); !strings.Contains(err.Error(), "listenPort") {
		t.Errorf("error does not name the key: %v", err)
	}
	d.o.ListenPort = 0
	d.start()
}
