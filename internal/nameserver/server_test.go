package nameserver

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged is a log that tests look into.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// testServer is a server with the log that it writes.
type testServer struct {
	*Server
	logs *logged
}

// options are those of a server in a test: defaults, with a port that is free and files in a folder of their own.
func options(t *testing.T, changes ...func(*Options)) Options {
	t.Helper()
	var o Options
	conf.Defaults(&o)
	dir := t.TempDir()
	o.BindAddress, o.ListenPort = "127.0.0.1", 0
	o.KVConfigPath, o.ConfigStorePath = filepath.Join(dir, "kvConfig.json"), filepath.Join(dir, "namesrv.properties")
	for _, change := range changes {
		change(&o)
	}
	return o
}

// start runs a server until the test ends.
func start(t *testing.T, changes ...func(*Options)) *testServer {
	t.Helper()
	logs := new(logged)
	s, err := New(options(t, changes...), slog.New(slog.NewTextHandler(logs, nil)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(context.Background()) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &testServer{s, logs}
}

// dial connects a client.
func dial(t *testing.T, s *testServer, handler wire.Handler) *wire.Conn {
	t.Helper()
	p := wire.NewPool(wire.Options{Handler: handler, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { p.Close() })
	c, err := p.Conn(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// call sends a request and returns the answer.
func call(t *testing.T, c *wire.Conn, code command.Code, header any, body any) *wire.Frame {
	t.Helper()
	r := &wire.Request{Code: code, Header: header}
	switch b := body.(type) {
	case nil:
	case []byte:
		r.Body = b
	default:
		text, err := fastjson.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r.Body = text
	}
	f, err := c.Call(t.Context(), r)
	if err != nil {
		t.Fatalf("%v: %v", code, err)
	}
	return f
}

// ok is call for a request that must succeed.
func ok(t *testing.T, c *wire.Conn, code command.Code, header any, body any) *wire.Frame {
	t.Helper()
	f := call(t, c, code, header, body)
	if f.Code != int32(command.StatusSuccess) {
		t.Fatalf("%v: %v %s", code, command.Status(f.Code), f.Remark)
	}
	return f
}

// join registers a broker with topics.
func join(t *testing.T, c *wire.Conn, id command.BrokerIdentity, topics ...string) *wire.Frame {
	t.Helper()
	body := &command.RegisterBrokerBody{Topics: command.TopicConfigWrapper{
		DataVersion: command.DataVersion{Counter: int64(len(topics)), Timestamp: 1}, Topics: make(map[string]command.TopicConfig)}}
	for _, name := range topics {
		body.Topics.Topics[name] = command.DefaultTopicConfig(name)
	}
	acting := true
	return ok(t, c, command.RegisterBroker, &command.RegisterBrokerHeader{BrokerIdentity: id, HAServerAddr: "127.0.0.1:2", EnableActingMaster: &acting}, body)
}

func brokerA(addr string) command.BrokerIdentity {
	return command.BrokerIdentity{BrokerName: "broker-a", BrokerAddr: addr, ClusterName: "DefaultCluster"}
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestRouteDialects(t *testing.T) {
	s := start(t)
	broker := dial(t, s, nil)
	join(t, broker, brokerA("127.0.0.1:1"), "T", "TBW102")
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const dialect, standardForm = `{"brokerAddrs":{0:"127.0.0.1:1"}`, `{"brokerAddrs":{"0":"127.0.0.1:1"}`
	tests := []struct {
		version int
		ext     string
		want    string
	}{
		{317, `"topic":"T"`, dialect},
		{399, `"topic":"T"`, dialect},
		{401, `"topic":"T"`, standardForm},
		{317, `"topic":"T","acceptStandardJsonOnly":"true"`, standardForm},
		{317, `"topic":"T","acceptStandardJsonOnly":"true","__ZONE_MODE":"true","__ZONE_NAME":"z"`, `{"brokerDatas":[],`},
		{513, `"topic":"T","__ZONE_MODE":"true","__ZONE_NAME":" "`, standardForm},
	}
	for range 2 { // the second time from the cache
		for _, tt := range tests {
			h, body := socket{conn}.exchange(t, jsonFrame(fmt.Sprintf(`{"code":105,"extFields":{%s},"flag":0,"language":"GO","opaque":1,"version":%d}`, tt.ext, tt.version)))
			if h.Code != 0 || !strings.Contains(string(body), tt.want) {
				t.Errorf("version %d, %s: %+v %s", tt.version, tt.ext, h, body)
			}
			if tt.want != dialect && !json.Valid(body) {
				t.Errorf("no JSON: %s", body)
			}
		}
	}
}

func jsonFrame(header string) []byte {
	n := len(header)
	return append([]byte{0, 0, byte((n + 4) >> 8), byte(n + 4), 0, 0, byte(n >> 8), byte(n)}, header...)
}

func TestNoRoute(t *testing.T) {
	s := start(t)
	client := dial(t, s, nil)
	ask := func(topic string) string {
		t.Helper()
		f := call(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: topic}, nil)
		if f.Code != int32(command.StatusTopicNotExist) {
			t.Errorf("status %v", command.Status(f.Code))
		}
		if first := "No topic route info in name server for the topic: " + topic; !strings.HasPrefix(string(f.Remark), first) {
			t.Errorf("remark %q", f.Remark)
		}
		return string(f.Remark)
	}
	if r := ask("X"); !strings.Contains(r, "0 brokers are registered at this name server. Start one with: skua broker -n "+s.Addr()) {
		t.Errorf("remark %q", r)
	}
	join(t, client, brokerA("127.0.0.1:1"), "T", "U")
	if r := ask("X"); !strings.Contains(r, "1 broker is up (broker-a), none has the topic. autoCreateTopicEnable=false on all. Create it with: mqadmin updateTopic -n "+s.Addr()+" -c DefaultCluster -t X") {
		t.Errorf("remark %q", r)
	}
	join(t, client, brokerA("127.0.0.1:1"), "T", "U", "TBW102")
	if r := ask("X"); !strings.Contains(r, "autoCreateTopicEnable=true on broker-a: the first message sent creates it.") {
		t.Errorf("remark %q", r)
	}
	if r := ask("%RETRY%g"); !strings.Contains(r, "when a consumer of the group connects") {
		t.Errorf("remark %q", r)
	}
	f := call(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: strings.Repeat("x", 1<<20)}, nil)
	if len(f.Remark) > 1000 {
		t.Errorf("a remark of %d bytes", len(f.Remark))
	}
}

func TestRouteFollowsChanges(t *testing.T) {
	s := start(t)
	client := dial(t, s, nil)
	join(t, client, brokerA("127.0.0.1:1"), "T", "U")
	route := func() (r command.TopicRoute) {
		t.Helper()
		f := ok(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil)
		if err := fastjson.Unmarshal(f.Body, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := route(); r.Queues[0].Perm != 6 || r.OrderConf != "" {
		t.Errorf("route %+v", r)
	}
	ok(t, client, command.WipeWritePermOfBroker, &command.BrokerNameHeader{BrokerName: "broker-a"}, nil)
	if r := route(); r.Queues[0].Perm != 4 {
		t.Errorf("route %+v", r)
	}
	name, topic, value := "ORDER_TOPIC_CONFIG", "T", "broker-a:4"
	ok(t, client, command.PutKVConfig, &command.KVHeader{Namespace: &name, Key: &topic, Value: &value}, nil)
	if r := route(); r.OrderConf != "" {
		t.Errorf("route %+v", r)
	}
	ok(t, client, command.UpdateNamesrvConfig, nil, []byte("orderMessageEnable=true\n"))
	if r := route(); r.OrderConf != value {
		t.Errorf("route %+v", r)
	}
	if f := join(t, client, brokerA("127.0.0.1:1"), "T", "U"); string(f.Body) != `{"table":{"T":"broker-a:4"}}` {
		t.Errorf("answer to a registration: %s", f.Body)
	}
	join(t, client, brokerA("127.0.0.1:3"), "T", "U")
	if r := route(); r.Brokers[0].Addrs[0] != "127.0.0.1:3" {
		t.Errorf("route %+v", r)
	}
	ok(t, client, command.UnregisterBroker, &command.UnregisterBrokerHeader{BrokerIdentity: brokerA("127.0.0.1:3")}, nil)
	if f := call(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil); f.Code != int32(command.StatusTopicNotExist) {
		t.Errorf("a broker that left is still routed to: %s", f.Body)
	}
}

func TestClosedConnectionRemovesBroker(t *testing.T) {
	s := start(t)
	client, broker := dial(t, s, nil), dial(t, s, nil)
	join(t, broker, brokerA("127.0.0.1:1"), "T", "U")
	ok(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil)
	broker.Close()
	eventually(t, "the broker is removed", func() bool {
		return call(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil).Code != 0
	})
	eventually(t, "that is logged", func() bool { return strings.Contains(s.logs.String(), "its connection was closed") })
}

func TestSilentBrokerIsRemoved(t *testing.T) {
	s := start(t)
	client, broker := dial(t, s, nil), dial(t, s, nil)
	timeout := int64(10_000)
	body := &command.RegisterBrokerBody{Topics: command.TopicConfigWrapper{Topics: map[string]command.TopicConfig{
		"T": command.DefaultTopicConfig("T"), "U": command.DefaultTopicConfig("U")}}}
	ok(t, broker, command.RegisterBroker, &command.RegisterBrokerHeader{BrokerIdentity: brokerA("127.0.0.1:1"), HeartbeatTimeout: &timeout}, body)
	s.expire(s.now() + 9_000)
	ok(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil)
	s.expire(s.now() + 11_000)
	if f := call(t, client, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil); f.Code == 0 {
		t.Error("a silent broker is still routed to")
	}
	<-broker.Done()
}

func TestMinBrokerIDNotice(t *testing.T) {
	s := start(t, func(o *Options) { o.NotifyMinBrokerIDChanged = true })
	notices := make(chan command.MinBrokerIDHeader, 4)
	peer := wire.NewServer(wire.Options{Log: slog.New(slog.DiscardHandler), Handler: func(f *wire.Frame) {
		var h command.MinBrokerIDHeader
		if f.Code == int32(command.NotifyMinBrokerIDChange) && f.Oneway() && command.Decode(f.Ext, &h) == nil {
			notices <- h
		}
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- peer.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		peer.Shutdown(ctx)
		<-served
	})
	master, slave := brokerA("127.0.0.1:1"), brokerA(l.Addr().String())
	slave.BrokerID = 1
	a, b := dial(t, s, nil), dial(t, s, nil)
	join(t, b, slave, "T", "U")
	join(t, a, master, "T", "U")
	if h := <-notices; h.MinBrokerID != 0 || h.MinBrokerAddr != "127.0.0.1:1" || h.HABrokerAddr != "127.0.0.1:2" || h.OfflineBrokerAddr != "" {
		t.Errorf("notice of a new master %+v", h)
	}
	a.Close()
	if h := <-notices; h.MinBrokerID != 1 || h.MinBrokerAddr != slave.BrokerAddr || h.OfflineBrokerAddr != "127.0.0.1:1" {
		t.Errorf("notice of a lost master %+v", h)
	}
}

func TestUnreachableBrokerIsLogged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	s := start(t)
	broker := dial(t, s, nil)
	join(t, broker, brokerA(addr), "T", "U")
	text := "broker-a registered " + addr + " but this name server cannot connect: "
	eventually(t, "the warning", func() bool { return strings.Contains(s.logs.String(), text) })
	join(t, broker, brokerA(addr), "T", "U")
	if n := strings.Count(s.logs.String(), text); n != 1 {
		t.Errorf("%d warnings", n)
	}
}

func TestConfig(t *testing.T) {
	s := start(t)
	client := dial(t, s, nil)
	tests := []struct {
		change string
		status command.Status
		remark string
	}{
		{"enableAllTopicList=false\n", command.StatusSuccess, ""},
		{"kvConfigPath=/etc/passwd\n", command.StatusNoPermission, "Can not update config in black list."},
		{"enableTopicList=false\nconfigBlackList=x\n", command.StatusNoPermission, "Can not update config in black list."},
		{"listenPort=1\n", command.StatusNoPermission, "listenPort cannot be changed while the server runs"},
		{"enableAllTopicLists=true\n", command.StatusNoPermission, "enableAllTopicLists is no option"},
		{"supportActingMaster=perhaps\n", command.StatusSystemError, "want true or false"},
		{"waitSecondsForService=-1\n", command.StatusSystemError, "waitSecondsForService=-1: want a whole number from 0 to 2147483647 s"},
	}
	for _, tt := range tests {
		f := call(t, client, command.UpdateNamesrvConfig, nil, []byte(tt.change))
		if command.Status(f.Code) != tt.status || !strings.Contains(string(f.Remark), tt.remark) {
			t.Errorf("%q: %v %s", tt.change, command.Status(f.Code), f.Remark)
		}
	}
	text := "\n" + string(ok(t, client, command.GetNamesrvConfig, nil, nil).Body)
	for _, want := range []string{"enableAllTopicList=false", "enableTopicList=true", "supportActingMaster=false", "clusterTest=false"} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s in %s", want, text)
		}
	}
	if f := call(t, client, command.GetAllTopicListFromNameserver, nil, nil); f.Code != 1 || !strings.HasPrefix(string(f.Remark), "disable") {
		t.Errorf("a list that is switched off: %v %s", f.Code, f.Remark)
	}
	saved, err := os.ReadFile(s.options.Load().ConfigStorePath)
	if err != nil || string(saved) != "enableAllTopicList=false\n" {
		t.Errorf("saved %q, %v", saved, err)
	}
}

// Options that cannot be saved hold all the same, and the answer tells.
func TestConfigThatCannotBeSaved(t *testing.T) {
	s := start(t, func(o *Options) {
		if err := os.MkdirAll(filepath.Dir(o.ConfigStorePath), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(o.ConfigStorePath, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		o.ConfigStorePath = filepath.Join(o.ConfigStorePath, "below a file")
	})
	client := dial(t, s, nil)
	f := call(t, client, command.UpdateNamesrvConfig, nil, []byte("enableAllTopicList=false\n"))
	if f.Code != 0 || !strings.HasPrefix(string(f.Remark), "the settings are changed, but only until the next start") {
		t.Errorf("%v %s", f.Code, f.Remark)
	}
	if f := call(t, client, command.GetAllTopicListFromNameserver, nil, nil); f.Code != 1 {
		t.Errorf("a list that is switched off: %v %s", f.Code, f.Remark)
	}
}

func TestNeedWaitForService(t *testing.T) {
	s := start(t, func(o *Options) { o.NeedWaitForService = true })
	f := call(t, dial(t, s, nil), command.GetRouteinfoByTopic, &command.RouteHeader{Topic: "T"}, nil)
	if f.Code != 1 || string(f.Remark) != "name server not ready" {
		t.Errorf("%v %s", f.Code, f.Remark)
	}
}

func TestBadRequests(t *testing.T) {
	s := start(t)
	c := dial(t, s, nil)
	id := brokerA("127.0.0.1:1")
	tests := []struct {
		name   string
		code   command.Code
		header any
		body   any
		status command.Status
		remark string
	}{
		{"no names", command.RegisterBroker, nil, nil, command.StatusSystemError, "brokerName is missing"},
		{"bad id", command.RegisterBroker, &command.KVHeader{}, nil, command.StatusSystemError, "register broker failed"},
		{"one topic of an unknown broker", command.RegisterBroker, &command.RegisterBrokerHeader{BrokerIdentity: id},
			&command.RegisterBrokerBody{Topics: command.TopicConfigWrapper{Topics: map[string]command.TopicConfig{"T": {}}}}, command.StatusSystemError, "register broker failed"},
		{"body that is no JSON", command.RegisterBroker, &command.RegisterBrokerHeader{BrokerIdentity: id}, []byte(`{"x`), command.StatusSystemError, "register broker failed"},
		{"version that is no JSON", command.QueryDataVersion, &command.QueryDataVersionHeader{BrokerIdentity: id}, []byte(`[`), command.StatusSystemError, "fastjson"},
		{"no namespace", command.DeleteKVConfig, nil, nil, command.StatusSystemError, "namespace or key is null"},
		{"no topic", command.RegisterTopicInNamesrv, nil, nil, command.StatusSystemError, "topic is missing"},
		{"code of a broker", command.SendMessageV2, nil, nil, command.StatusRequestCodeNotSupported, " request type 310 not supported"},
		{"heartbeat of nobody", command.BrokerHeartbeat, nil, nil, command.StatusSuccess, ""},
		{"unregister of nobody", command.UnregisterBroker, nil, nil, command.StatusSuccess, ""},
		{"members of nobody", command.GetBrokerMemberGroup, nil, nil, command.StatusSuccess, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := call(t, c, tt.code, tt.header, tt.body)
			if command.Status(f.Code) != tt.status || !strings.Contains(string(f.Remark), tt.remark) {
				t.Errorf("%v %q", command.Status(f.Code), f.Remark)
			}
		})
	}
}

func TestServeEndsWithContext(t *testing.T) {
	s, err := New(options(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	c := dial(t, &testServer{Server: s}, nil)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-c.Done()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseWithoutServe(t *testing.T) {
	s, err := New(options(t), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", s.Addr()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
	if err := s.Serve(t.Context()); err != nil {
		t.Error("Serve after Close:", err)
	}
}

// Under the race detector it fails if Serve starts goroutines that Shutdown does not wait for.
func TestCloseAsServeBegins(t *testing.T) {
	for range 20 {
		s, err := New(options(t), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(context.Background()) }()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	tests := []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.ListenPort = 70000 }, "listenPort=70000: want a whole number from 0 to 65535"},
		{func(o *Options) { o.ScanNotActiveBrokerInterval = 0 }, "scanNotActiveBrokerInterval=0: want a whole number from 1 to 2147483647 ms"},
		{func(o *Options) { o.ServerChannelMaxIdleTimeSeconds = -1 }, "serverChannelMaxIdleTimeSeconds=-1"},
		{func(o *Options) { o.ListenPort = int32(port) }, fmt.Sprintf("port %d is in use by another program", port)},
		{func(o *Options) { o.BindAddress = "no such host" }, "no such host"},
	}
	for _, tt := range tests {
		if _, err := New(options(t, tt.change), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want one with %q", err, tt.want)
		}
	}
}

// TestManyTopics registers a thousand topics on each of many brokers and asks for all routes.
func TestManyTopics(t *testing.T) {
	s := start(t)
	c := dial(t, s, nil)
	topics := make([]string, 1000)
	for i := range topics {
		topics[i] = fmt.Sprintf("topic-%03d", i)
	}
	const brokers = 10
	for i := range brokers {
		id := command.BrokerIdentity{BrokerName: fmt.Sprintf("broker-%02d", i), BrokerAddr: fmt.Sprintf("127.0.0.1:%d", i+1), ClusterName: "c"}
		join(t, c, id, topics...)
	}
	for _, topic := range topics {
		var r command.TopicRoute
		f := ok(t, c, command.GetRouteinfoByTopic, &command.RouteHeader{Topic: topic}, nil)
		if err := fastjson.Unmarshal(f.Body, &r); err != nil || len(r.Queues) != brokers {
			t.Fatalf("%s: %d queues, %v", topic, len(r.Queues), err)
		}
	}
}

// BenchmarkRoute is a route that has been asked for before.
func BenchmarkRoute(b *testing.B) {
	table := NewTable(Rules{})
	var o Options
	conf.Defaults(&o)
	s := &Server{table: table, kv: new(kv), start: time.Now()}
	s.options.Store(&o)
	body := &command.RegisterBrokerBody{Topics: command.TopicConfigWrapper{Topics: map[string]command.TopicConfig{
		"T": command.DefaultTopicConfig("T"), "U": command.DefaultTopicConfig("U")}}}
	if _, err := table.Register(0, &Registration{BrokerIdentity: brokerA("127.0.0.1:1"), Body: body}); err != nil {
		b.Fatal(err)
	}
	f := &wire.Frame{Version: command.V5_5_0, Ext: command.Fields{{Key: []byte("topic"), Value: []byte("T")}}}
	b.ReportAllocs()
	for b.Loop() {
		if r := s.route(f); r.Status != 0 {
			b.Fatal(r.Remark)
		}
	}
}
