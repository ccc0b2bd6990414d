package interop

import (
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// step is a program of Apache's examples, and what it prints so many times when it has done what it is for.
type step struct {
	class string // below org.apache.rocketmq.example
	print string // regular expression; "": ids of messages
	times int
	ends  bool // by itself
	args  []string
}

// example are programs that belong together, started one after the other, on servers of their own.
type example struct {
	topic string // has to be there before
	fixed bool   // some of them look for name servers at 127.0.0.1:9876 and nowhere else
	runs  []step
	check func(t *testing.T, names *cluster.Server, c *remoting.Conn)
}

const sendOK = "sendStatus=SEND_OK"

var examples = map[string]example{
	"schedule": {runs: []step{
		{class: "schedule.ScheduledMessageProducer", print: sendOK, times: 100, ends: true},
		{class: "schedule.ScheduledMessageConsumer", print: `Receive message\[msgId=[0-9A-F]{32,56} \d+  ms later\]`, times: 100},
	}},
	"timer": {runs: []step{
		{class: "schedule.TimerMessageProducer", print: sendOK, times: 10, ends: true},
		{class: "schedule.TimerMessageConsumer", print: `Receive message\[msgId=[0-9A-F]{32,56} \d{4,6}  ms later\]`, times: 10},
	}},
	"transaction": {
		// It ends no transaction itself; when it is asked, it commits three of ten, and rolls three back.
		runs: []step{{class: "transaction.TransactionProducer", print: sendOK, times: 10}},
		check: func(t *testing.T, _ *cluster.Server, c *remoting.Conn) {
			eventually(t, programLimit, "three commits", func() bool {
				all := readAll(c, "TopicTest1234", 4)
				return strings.Count(fmt.Sprint(bodies(all)), "Hello RocketMQ ") >= 3
			})
			for _, body := range bodies(readAll(c, "TopicTest1234", 4)) {
				if !strings.Contains("Hello RocketMQ 1, Hello RocketMQ 4, Hello RocketMQ 7", body) {
					t.Errorf("%q was committed", body)
				}
			}
		},
	},
	"order": {
		runs: []step{{class: "ordermessage.Producer", print: sendOK, times: 100, ends: true}},
		check: func(t *testing.T, _ *cluster.Server, c *remoting.Conn) {
			for q := range 4 {
				last := -1
				for _, body := range bodies(readAll(c, "TopicTestjjj", 4, q)) {
					var n int
					if _, err := fmt.Sscanf(body, "Hello RocketMQ %d", &n); err != nil || n <= last || n%10%4 != q {
						t.Errorf("%q behind %d in queue %d", body, last, q)
					}
					last = n
				}
			}
		},
	},
	"batch": {
		runs: []step{
			{class: "batch.SimpleBatchProducer", print: sendOK, times: 1},
			{class: "batch.SplitBatchProducer", print: sendOK, times: 2},
		},
		check: func(t *testing.T, _ *cluster.Server, c *remoting.Conn) {
			eventually(t, programLimit, "100,003 messages", func() bool {
				total := int64(0)
				for q := range 4 {
					_, end, _ := c.Bounds("BatchTest", q)
					total += end
				}
				return total == 100_003
			})
		},
	},
	"filter by tags": {runs: []step{
		{class: "filter.TagFilterProducer", print: sendOK, times: 60, ends: true},
		{class: "filter.TagFilterConsumer", times: 40},
	}},
	"filter by SQL": {runs: []step{
		{class: "filter.SqlFilterProducer", print: sendOK, times: 10, ends: true},
		{class: "filter.SqlFilterConsumer", times: 3},
	}},
	"rpc": {fixed: true, topic: "RequestTopic", runs: []step{
		{class: "rpc.ResponseConsumer", print: "Consumer Started", times: 1},
		{class: "rpc.RequestProducer", print: "request to <RequestTopic> cost: [0-9]+ replyMessage: .*", times: 1, ends: true},
		{class: "rpc.AsyncRequestProducer", print: "request to <RequestTopic> cost: [0-9]+ replyMessage: .*", times: 1},
	}},
	"broadcast": {runs: []step{
		{class: "simple.Producer", print: sendOK, times: 128, ends: true},
		{class: "broadcast.PushConsumer", times: 128},
		{class: "broadcast.PushConsumer", times: 128},
	}},
	"namespace": {fixed: true, runs: []step{
		{class: "namespace.ProducerWithNamespace", print: "Topic:NAMESPACE_TOPIC send success, misId is:[0-9A-F]{32,56}", times: 100, ends: true},
		{class: "namespace.PushConsumerWithNamespace", print: "Msg topic is:NAMESPACE_TOPIC, MsgId is:[0-9A-F]{32,56}, reconsumeTimes is:0", times: 100},
		{class: "namespace.PullConsumerWithNamespace", print: "Topic is:NAMESPACE_TOPIC, msgId is:[0-9A-F]{32,56}", times: 25}, // a queue's
	}},
	"simple": {fixed: true, runs: []step{
		{class: "simple.Producer", print: sendOK, times: 128, ends: true},
		{class: "simple.AsyncProducer", print: `OK [0-9A-F]{32,56}`, times: 100, ends: true},
		{class: "simple.OnewayProducer", ends: true},
		{class: "simple.PushConsumer", times: 228},
		{class: "simple.PullScheduleService", print: "pullStatus=FOUND", times: 4},
		{class: "simple.PullConsumer"}, // prints nothing; its group stands at the end of each queue
	}},
	"operation": {runs: []step{
		{class: "operation.Producer", print: sendOK, times: 10, ends: true, args: strings.Fields("-g OperationProducer -t OperationTopic -a TagA -k Key1 -c 10")},
		{class: "operation.Consumer", times: 10, args: strings.Fields("-g OperationConsumer -t OperationTopic -s TagA -f true")},
	}},
	"tracemessage": {
		runs: []step{
			{class: "tracemessage.TraceProducer", print: sendOK, times: 128, ends: true},
			{class: "tracemessage.TracePushConsumer", times: 128},
			{class: "tracemessage.OpenTracingProducer", print: sendOK, times: 1, ends: true},
			{class: "tracemessage.OpenTracingTransactionProducer", print: sendOK, times: 1},
			{class: "tracemessage.OpenTracingPushConsumer", times: 130},
		},
		check: func(t *testing.T, _ *cluster.Server, c *remoting.Conn) {
			eventually(t, programLimit, "traces of sends and of consumption", func() bool {
				text := strings.Join(bodies(readAll(c, traceTopic, 8)), "")
				return strings.Count(text, "Pub\x01") == 128 && strings.Count(text, "SubBefore\x01") >= 128 && strings.Count(text, "SubAfter\x01") >= 128
			})
		},
	},
}

// readAll reads queues of a topic, all of them unless some are named.
func readAll(c *remoting.Conn, topic string, queues int, some ...int) (all []remoting.Record) {
	if some == nil {
		for q := range queues {
			some = append(some, q)
		}
	}
	for _, q := range some {
		records, _ := c.Read(topic, q, 0)
		all = append(all, records...)
	}
	return all
}

func bodies(records []remoting.Record) (all []string) {
	for _, r := range records {
		all = append(all, string(r.Body))
	}
	return all
}

// Apache's example programs, unmodified. What they print and leave behind is that of Java's servers, see -names and -broker. Those of
// pop consumption and of light queues are not among them.
func TestExamplePrograms(t *testing.T) {
	for name, e := range examples {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide), append([]string{"enablePropertyFilter=true"}, transactionSettings...)...)
			if e.fixed {
				atFixedPort(t, names)
			}
			if e.topic != "" {
				topic(t, names, broker, e.topic, 4)
			}
			for _, r := range e.runs {
				r.follow(t, names)
			}
			if e.check != nil {
				e.check(t, names, dial(t, broker.Addr))
			}
		})
	}
}

// follow starts a program and waits until it has done what it is for.
func (r *step) follow(t *testing.T, names *cluster.Server) {
	t.Helper()
	p := program(t, names, r.class, r.args...)
	if r.ends {
		if err := p.Wait(within(t)); err != nil {
			t.Fatal(err)
		}
	}
	wanted := regexp.MustCompile(r.print)
	count := func() int {
		if r.print == "" {
			return len(ids(p.Output()))
		}
		return len(wanted.FindAllString(p.Output(), -1))
	}
	what := fmt.Sprintf("%s to print %d times %s", r.class, r.times, r.print)
	if err := p.Until(within(t), what, func() bool { return count() >= r.times }); err != nil {
		t.Fatal(err)
	}
	if n := count(); n > r.times && r.print == sendOK && r.ends {
		t.Errorf("%s has sent %d messages, %d are wanted", r.class, n, r.times)
	}
}

// fixedPort is held while a test stands for the name server at 127.0.0.1:9876.
var fixedPort sync.Mutex

// atFixedPort passes connections to 127.0.0.1:9876 on to a name server for the rest of a test, which is skipped if something else
// is there.
func atFixedPort(t *testing.T, names *cluster.Server) {
	t.Helper()
	fixedPort.Lock()
	t.Cleanup(fixedPort.Unlock)
	l, err := net.Listen("tcp", "127.0.0.1:9876")
	if err != nil {
		t.Skip("the programs look for name servers at 127.0.0.1:9876:", err)
	}
	var open sync.WaitGroup
	var mu sync.Mutex // guards conns
	var conns []net.Conn
	open.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", names.Addr)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			pass := func(to, from net.Conn) {
				_, _ = io.Copy(to, from)
				to.Close()
				from.Close()
			}
			open.Go(func() { pass(out, in) })
			open.Go(func() { pass(in, out) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
}
