package node

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/wire"
)

// logBuffer keeps what servers log.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// runBoth runs a name server and a broker until stop is called.
func runBoth(t *testing.T, c Config) (a Addresses, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan Addresses, 1), make(chan error, 1)
	c.Ready = func(a Addresses) { ready <- a }
	go func() { done <- Run(ctx, c) }()
	select {
	case a = <-ready:
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	return a, sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Fields of request headers that hold numbers, those that hold names, and the letters of the short form of sends.
var (
	numbers = strings.Fields(`queueId queueOffset maxMsgNums maxMsgBytes sysFlag flag bornTimestamp reconsumeTimes maxReconsumeTimes
		defaultTopicQueueNums commitOffset suspendTimeoutMillis subVersion offset timestamp delayLevel readQueueNums writeQueueNums perm
		topicSysFlag beginTimestamp endTimestamp maxNum index count topicSeq maxTopicNum groupSeq maxGroupNum brokerId bodyCrc32
		heartbeatTimeoutMillis d e f g h j l`)
	names = strings.Fields(`topic consumerGroup group groupName producerGroup defaultTopic originTopic originMsgId key namespace brokerName
		clusterName brokerAddr haServerAddr clientID clientAddr msgId subscription expressionType properties attributes topicFilterType
		dataVersion srcGroup destGroup statsName statsKey a b c i n`)
	hostileNumbers  = []string{"-1", "-2147483648", "2147483647", "9223372036854775807", "-9223372036854775808"}
	hostileNames    = []string{"", "../../escaped", "a\x00b\xff", "%RETRY%../../escaped"}
	hostileAnything = []string{strings.Repeat("9", 400), strings.Repeat("x", 20_000), "/escaped", "%LMQ%../escaped", "NaN"}
)

// baseline are header fields with which requests of all codes make sense.
func baseline() map[string]string {
	m := map[string]string{}
	for _, n := range numbers {
		m[n] = "1"
	}
	for _, n := range names {
		m[n] = "T"
	}
	maps.Copy(m, map[string]string{"queueId": "0", "queueOffset": "0", "sysFlag": "0", "e": "0", "f": "0", "offset": "0", "perm": "6", "readQueueNums": "4",
		"writeQueueNums": "4", "d": "4", "defaultTopicQueueNums": "4", "c": "TBW102", "defaultTopic": "TBW102", "subscription": "*", "expressionType": "TAG",
		"topicFilterType": "SINGLE_TAG", "attributes": "", "properties": "", "i": "", "bodyCrc32": "0", "brokerAddr": "127.0.0.1:1"})
	return m
}

func hostileBodies() map[string][]byte {
	deep := strings.Repeat("[", 2_000)
	many := func(name, element string) []byte {
		return []byte(`{"clientID":"c","consumerGroup":"T","clientId":"c","` + name + `":[` + strings.Repeat(element+",", 500) + element + `]}`)
	}
	var lies bytes.Buffer
	z := zlib.NewWriter(&lies)
	z.Write([]byte("\x00\x00\x00\x02{}\x00\x3f\xff\xff\x7f\xff\xff\xff"))
	z.Close()
	return map[string][]byte{
		"nothing": nil, "text": []byte("text"), "cut": []byte(`{"clientID":"c","consumerDataSet":[{`), "null": []byte("null"), "array": []byte("[]"),
		"deep": []byte(deep), "deep objects": []byte(strings.Repeat(`{"a":`, 2_000)), "zeros": make([]byte, 2_000), "ones": bytes.Repeat([]byte{255}, 1000),
		"batch that lies": []byte("\x7f\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff\xff\xffx\x7f\xff"), "batch below zero": bytes.Repeat([]byte{0x80, 0, 0, 0}, 10),
		"zlib that lies": lies.Bytes(),
		"many consumers": many("consumerDataSet", "{}"), "many producers": many("producerDataSet", "{}"), "many queues": many("mqSet", "{}"),
		"many topics": []byte(`{"topicConfigList":[` + strings.Repeat("{},", 500) + "{}]}"), "many groups": []byte(`{"groupConfigList":[` + strings.Repeat("{},", 500) + "{}]}"),
		"many subscriptions": []byte(`{"clientID":"c","consumerDataSet":[{"groupName":"T","subscriptionDataSet":[` + strings.Repeat("{},", 500) + "{}]}]}"),
		"names":              []byte(`{"clientID":"c","topicConfigList":[{"topicName":"../../escaped"}],"groupConfigList":[{"groupName":"../../escaped"}],"groupName":"/escaped","consumerDataSet":[{"groupName":"../../escaped","subscriptionDataSet":[{"topic":"../escaped"}]}],"topicConfigSerializeWrapper":{"topicConfigTable":{"../escaped":{"topicName":"../escaped","readQueueNums":-1}}}}`),
		"numbers":            []byte(`{"clientID":"c","topicConfigList":[{"topicName":"T","readQueueNums":2147483647,"writeQueueNums":-5}],"groupName":"G","retryQueueNums":2147483647,"brokerId":9223372036854775808,"mqSet":[{"topic":"T","brokerName":"b","queueId":-2147483648}],"queueId":1e400}`),
	}
}

// TestHostileRequests sends requests of each code with numbers, names and bodies that make no sense. Each is answered,
// nothing panics, nothing is written beside the servers' directories, memory stays in bounds, and all goes on: before a
// restart and after it.
func TestHostileRequests(t *testing.T) {
	c := both(t)
	log := new(logBuffer)
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	a, stop := runBoth(t, c)
	defer func() { stop() }()
	bodies := hostileBodies()
	for _, addr := range []string{a.Nameserver, a.Broker} {
		attack(t, addr, bodies)
	}
	works(t, a, "before")
	stop()
	a, stop = runBoth(t, c)
	works(t, a, "after a restart")
	if at := strings.Index(log.String(), "panic"); at >= 0 {
		t.Errorf("a handler panicked: %.3000s", log.String()[at:])
	}
	own := filepath.Dir(c.ReadyFile)
	err := filepath.WalkDir(filepath.Dir(own), func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(path, "escaped") {
			t.Errorf("%s was written", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// attack sends requests over several connections at once.
func attack(t *testing.T, addr string, bodies map[string][]byte) {
	t.Helper()
	codes := make(chan command.Code)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			p := wire.NewPool(wire.Options{})
			defer p.Close()
			for code := range codes {
				h := hostile{t, p, addr, code}
				h.all(bodies)
			}
		})
	}
	for code := command.Code(-1); code < 1000; code++ {
		codes <- code
	}
	close(codes)
	wait.Wait()
}

type hostile struct {
	t    *testing.T
	pool *wire.Pool
	addr string
	code command.Code
}

func (h hostile) send(what string, ext map[string]string, body []byte) *wire.Frame {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f, err := h.pool.Call(ctx, h.addr, &wire.Request{Code: h.code, Ext: ext, Body: body})
	if err != nil {
		h.t.Errorf("%s with %.200s: %v", h.code, what, err)
		return new(wire.Frame)
	}
	return f
}

func (h hostile) all(bodies map[string][]byte) {
	first := h.send("nothing", nil, nil)
	if command.Status(first.Code) == command.StatusRequestCodeNotSupported {
		if !strings.Contains(string(first.Remark), fmt.Sprint(int(h.code))) {
			h.t.Errorf("%s: the remark does not name the code: %s", h.code, first.Remark)
		}
		return
	}
	base := baseline()
	for _, set := range []struct{ fields, values []string }{{numbers, hostileNumbers}, {names, hostileNames}} {
		for _, value := range set.values {
			all := map[string]string{}
			for _, field := range set.fields {
				all[field] = value
				one := maps.Clone(base)
				one[field] = value
				h.send(field+"="+value, one, []byte("body"))
			}
			h.send("all="+value, all, nil)
		}
	}
	for _, value := range hostileAnything {
		all := map[string]string{}
		for _, field := range slices.Concat(numbers, names) {
			all[field] = value[:min(len(value), 500)]
		}
		h.send("all="+value, all, nil)
		base["topic"] = value
		h.send("topic="+value, base, nil)
		base["topic"] = "T"
	}
	for name, body := range bodies {
		h.send("body: "+name, base, body)
	}
}

// works sends a message and reads it.
func works(t *testing.T, a Addresses, when string) {
	t.Helper()
	p := wire.NewPool(wire.Options{})
	defer p.Close()
	call := func(addr string, code command.Code, ext map[string]string, body string) *wire.Frame {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		f, err := p.Call(ctx, addr, &wire.Request{Code: code, Ext: ext, Body: []byte(body)})
		if err != nil {
			t.Fatalf("%s: %s: %v", when, code, err)
		}
		if f.Code != 0 {
			t.Fatalf("%s: %s: %s: %s", when, code, command.Status(f.Code), f.Remark)
		}
		return f
	}
	sent := call(a.Broker, command.SendMessage, map[string]string{"producerGroup": "P", "topic": "Works", "defaultTopic": "TBW102", "defaultTopicQueueNums": "1",
		"queueId": "0", "sysFlag": "0", "bornTimestamp": "1", "flag": "0", "properties": ""}, "hello")
	pulled := call(a.Broker, command.PullMessage, map[string]string{"consumerGroup": "C", "topic": "Works", "queueId": "0", "queueOffset": sent.Ext.String("queueOffset"),
		"maxMsgNums": "1", "sysFlag": "4", "commitOffset": "0", "suspendTimeoutMillis": "0", "subscription": "*", "subVersion": "0"}, "")
	if !bytes.Contains(pulled.Body, []byte("hello")) {
		t.Errorf("%s: pulled %q", when, pulled.Body)
	}
	call(a.Nameserver, command.GetBrokerClusterInfo, nil, "")
}

// TestBodiesThatSwell: what a request makes a server allocate is in proportion to its size.
func TestBodiesThatSwell(t *testing.T) {
	a, stop := runBoth(t, both(t))
	defer stop()
	p := wire.NewPool(wire.Options{})
	defer p.Close()
	var bomb bytes.Buffer
	z, err := zlib.NewWriterLevel(&bomb, zlib.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	for range 66 {
		z.Write(make([]byte, 1<<20))
	}
	z.Close()
	list := func(before, element string) []byte {
		return []byte(before + strings.Repeat(element+",", 1<<20/(len(element)+1)) + element + "]")
	}
	for _, tt := range []struct {
		addr string
		code command.Code
		body []byte
	}{
		{a.Broker, command.HeartBeat, list(`{"clientID":"c","consumerDataSet":[`, "{}")},
		{a.Broker, command.HeartBeat, list(`{"clientID":"c","consumerDataSet":[`, "null")},
		{a.Broker, command.HeartBeat, list(`{"clientID":"c","consumerDataSet":[{"groupName":"T","subscriptionDataSet":[`, "{}")},
		{a.Broker, command.LockBatchMQ, list(`{"clientId":"c","consumerGroup":"T","mqSet":[`, "{}")},
		{a.Broker, command.UnlockBatchMQ, list(`{"clientId":"c","consumerGroup":"T","mqSet":[`, "{}")},
		{a.Broker, command.UpdateAndCreateTopicList, list(`{"topicConfigList":[`, "{}")},
		{a.Broker, command.UpdateAndCreateSubscriptiongroupList, list(`{"groupConfigList":[`, "{}")},
		{a.Nameserver, command.RegisterTopicInNamesrv, list(`{"queueDatas":[`, "{}")},
		{a.Nameserver, command.RegisterTopicInNamesrv, list(`{"brokerDatas":[`, "null")},
		{a.Nameserver, command.RegisterBroker, list(`{"filterServerList":[`, `""`)},
		{a.Nameserver, command.RegisterBroker, bomb.Bytes()},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		hostile{t, p, tt.addr, tt.code}.send("a list", baseline(), tt.body)
		runtime.ReadMemStats(&after)
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 400 || n > 64 && len(tt.body) > 1<<20 {
			t.Errorf("%s: %.60s...: %d bytes made the server allocate %d MiB", tt.code, tt.body, len(tt.body), n)
		}
	}
	works(t, a, "afterwards")
}

// TestHostileBytes: who speaks another protocol, or breaks this one, is disconnected and logged once with its address.
func TestHostileBytes(t *testing.T) {
	c := both(t)
	log := new(logBuffer)
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	a, stop := runBoth(t, c)
	defer stop()
	for _, addr := range []string{a.Nameserver, a.Broker} {
		for name, data := range map[string]string{
			"HTTP":            "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
			"length below 0":  "\xff\xff\xff\xff\x00\x00\x00\x00",
			"length of 2 GiB": "\x7f\xff\xff\xff\x00\x00\x00\x02{}",
			"17 MiB":          "\x01\x10\x00\x00\x00\x00\x00\x02{}",
			"header too long": "\x00\x00\x00\x08\x00\xff\xff\xff{}  ",
			"no JSON":         "\x00\x00\x00\x06\x00\x00\x00\x02][",
			"deep header":     "\x00\x00\x10\x04\x00\x00\x10\x00" + strings.Repeat("[", 0x1000),
			"compact, cut":    "\x00\x00\x00\x06\x01\x00\x00\x02\x00\x0a",
			"unknown type":    "\x00\x00\x00\x06\x09\x00\x00\x02{}",
		} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			if _, err := conn.Write([]byte(data)); err != nil {
				t.Fatal(err)
			}
			if n, err := conn.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s to %s: %d bytes, %v, want a closed connection", name, addr, n, err)
			}
			conn.Close()
		}
	}
	works(t, a, "afterwards")
	if n := strings.Count(log.String(), "level=WARN"); n != 2 || !strings.Contains(log.String(), "peer=127.0.0.1") {
		t.Errorf("%d warnings, want one of each server:\n%s", n, log)
	}
}
