package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
)

// program starts a main class of Apache's examples as a client of names. It is killed at the end of the test.
func program(t *testing.T, names *cluster.Server, class string, args ...string) *process.Process {
	t.Helper()
	return programWith(t, names, nil, class, args...)
}

// programWith is program with further options of the JVM.
func programWith(t *testing.T, names *cluster.Server, options []string, class string, args ...string) *process.Process {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	vm := java.JVM{Heap: "256m", Home: home, Options: append(options, "-Drocketmq.namesrv.addr="+names.Addr)}
	argv, err := vm.Command("org.apache.rocketmq.example."+class, args...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(class, home, nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// programLimit bounds a Java program: its start takes seconds, on a busy machine many.
const programLimit = 3 * time.Minute

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), programLimit)
	t.Cleanup(cancel)
	return ctx
}

// messageIDs are the unique ids in what the examples print; they are longer where the machine has an IPv6 address only.
var messageIDs = regexp.MustCompile(`(?:sendStatus=SEND_OK, msgId|UNIQ_KEY)=([0-9A-F]{32,56})\b`)

func ids(output string) map[string]bool {
	all := map[string]bool{}
	for _, m := range messageIDs.FindAllStringSubmatch(output, -1) {
		all[m[1]] = true
	}
	return all
}

// Both families of examples use the topic TopicTest; the quick start comes first, since it expects to create it.
func TestJavaExamples(t *testing.T) {
	t.Parallel()
	t.Run("quickstart", testQuickstart)
	t.Run("consumers", testExampleConsumers)
	t.Run("openmessaging", testOpenMessaging)
	t.Run("TLS", testExampleTLS)
}

// The quick start everybody runs first: a topic that nobody created, a thousand sends, a push consumer.
func testQuickstart(t *testing.T) {
	names, broker := servers(t)
	p := program(t, names, "quickstart.Producer")
	if err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	sent := ids(p.Output())
	if ok := strings.Count(p.Output(), "sendStatus=SEND_OK"); ok != 1000 || len(sent) != 1000 {
		t.Fatalf("%d of 1000 sends succeeded with %d ids\n%s", ok, len(sent), p.Tail())
	}
	c := program(t, names, "quickstart.Consumer")
	if err := c.Until(within(t), "a thousand messages received", func() bool { return len(ids(c.Output())) >= len(sent) }); err != nil {
		t.Fatal(err)
	}
	for id := range ids(c.Output()) {
		if !sent[id] {
			t.Errorf("message %s was never sent", id)
		}
	}
	route, err := dial(t, names.Addr).TopicRoute("TopicTest")
	if err != nil || len(route) != 1 || route[0].Broker != broker.Name || route[0].Write != 4 {
		t.Errorf("route of the topic that the first send created: %+v, %v", route, err)
	}
}

// Other kinds of consumers of the Java client read what the quick start has sent.
func testExampleConsumers(t *testing.T) {
	names, _ := servers(t)
	for class, want := range map[string]int{
		"simple.LitePullConsumerSubscribe": 1000,
		"simple.LitePullConsumerAssign":    400, // takes half of the queues and skips ten messages
		"broadcast.PushConsumer":           1000,
		"ordermessage.Consumer":            50, // suspends a queue for seconds, again and again
	} {
		t.Run(class, func(t *testing.T) {
			c := program(t, names, class)
			if err := c.Until(within(t), fmt.Sprint(want, " messages"), func() bool { return len(ids(c.Output())) >= want }); err != nil {
				t.Error(err)
			}
		})
	}
}

// Java's servers take TLS on the ports that take plain connections, with a certificate made on the spot.
func testExampleTLS(t *testing.T) {
	names, _ := servers(t)
	p := programWith(t, names, []string{"-Dtls.enable=true"}, "quickstart.Producer")
	if err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if ok := strings.Count(p.Output(), "sendStatus=SEND_OK"); ok != 1000 {
		t.Errorf("%d of 1000 sends over TLS succeeded\n%s", ok, p.Tail())
	}
}

// The benchmark programs use compact headers ("ROCKETMQ") where the quick start uses JSON.
func TestJavaBenchmarkPrograms(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	name := topic(t, names, broker, "JavaBenchmark", 8)
	group := "JavaBenchmarkGroup"
	consumer := program(t, names, "benchmark.Consumer", "-n", names.Addr, "-t", name, "-g", group, "-w", "4")
	producer := program(t, names, "benchmark.Producer", "-n", names.Addr, "-t", name, "-w", "8", "-s", "1024", "-q", "2000",
		"-k", "true", "-l", "3", "-m", "true")
	async := program(t, names, "benchmark.Producer", "-n", names.Addr, "-t", name, "-y", "true", "-s", "8192", "-q", "500",
		"-c", "true", "-ct", "LZ4")
	batch := program(t, names, "benchmark.BatchProducer", "-n", names.Addr, "-t", name, "-w", "2", "-s", "100", "-b", "32",
		"-l", "2", "-ri", "1000")
	for _, p := range []*process.Process{producer, async} {
		if err := p.Wait(within(t)); err != nil {
			t.Fatal(err)
		}
		if out := p.Output(); !strings.Contains(out, "[Complete]") || !strings.Contains(out, "Send Failed: 0") ||
			!strings.Contains(out, "Response Failed: 0") {
			t.Errorf("benchmark producer:\n%s", p.Tail())
		}
	}
	// The batch producer runs until it is stopped, and reports after ten seconds.
	reported := regexp.MustCompile(`Send Message Failed: \d+\D`)
	if err := batch.Until(within(t), "a report", func() bool { return reported.MatchString(batch.Output()) }); err != nil {
		t.Fatal(err)
	}
	batch.Kill()
	if out := batch.Output(); !strings.Contains(out, "Send Message Failed: 0") {
		t.Errorf("benchmark batch producer:\n%s", batch.Tail())
	}

	c := dial(t, broker.Addr)
	total := int64(0)
	eventually(t, programLimit, "all messages consumed and committed", func() bool {
		total = 0
		for q := range 8 {
			_, end, err := c.Bounds(name, q)
			if err != nil {
				t.Fatal(err)
			}
			total += end
			if committed, err := c.Committed(group, name, q); err != nil || committed != end {
				return false
			}
		}
		return total >= 2500
	})
	if err := consumer.Stop(20 * time.Second); err != nil {
		t.Error(err)
	}
	t.Logf("%d messages", total)
	// What the synchronous producer sent carries what it was told to.
	marked := 0
	for q := range 8 {
		all, err := c.Read(name, q, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if strings.HasPrefix(r.Properties["TAGS"], "tag") && r.Properties["KEYS"] != "" && len(r.Body) == 1024 {
				marked++
			}
		}
	}
	if marked != 2000 {
		t.Errorf("%d of 2000 messages carry keys, tags and 1024 bytes", marked)
	}
}

// The OpenMessaging samples name localhost:9876 in their sources, but take the client's usual property first.
func testOpenMessaging(t *testing.T) {
	names, broker := servers(t)
	topic(t, names, broker, "OMS_HELLO_TOPIC", 4)
	push := program(t, names, "openmessaging.SimplePushConsumer")
	if err := push.WaitFor(within(t), "Consumer startup OK"); err != nil {
		t.Fatal(err)
	}
	producer := program(t, names, "openmessaging.SimpleProducer")
	if err := producer.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	out := producer.Output()
	if strings.Count(out, "Send async message OK, msgId:") != 2 || !strings.Contains(out, "Send oneway message OK") {
		t.Errorf("producer:\n%s", out)
	}
	received := func() bool { return strings.Count(push.Output(), "Received one message: ") >= 3 }
	if err := push.Until(within(t), "three messages", received); err != nil {
		t.Error(err)
	}
	// Its group is also that of the pull sample, which would have to share the queues with it.
	if err := push.Stop(20 * time.Second); err != nil {
		t.Error(err)
	}
	pull := program(t, names, "openmessaging.SimplePullConsumer")
	if err := pull.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(pull.Output(), "Send Message OK. MsgId: ")
	id, _, _ = strings.Cut(id, "\n")
	if !strings.Contains(pull.Output(), fmt.Sprintf("Received one message: %s", id)) {
		t.Errorf("pull consumer:\n%s", pull.Tail())
	}
}
