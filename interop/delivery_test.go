package interop

import (
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
)

//go:embed java/Delivery.java
var deliverySource []byte

// What Java clients see of order, broadcasting and dead letters, and what mqadmin shows of their traces.
func TestJavaDelivery(t *testing.T) {
	t.Parallel()
	names, broker := servers(t)
	for _, name := range []string{"DeliveryOrder", "DeliveryDead", "DeliveryBroadcast", "DeliveryTrace"} {
		topic(t, names, broker, name, 4)
	}
	home := t.TempDir()
	source := filepath.Join(home, "Delivery.java")
	if err := os.WriteFile(source, deliverySource, 0o644); err != nil {
		t.Fatal(err)
	}
	// Clients of Java look for queues and locks every 20 s.
	quick := []string{"-Drocketmq.client.rebalance.waitInterval=2000", "-Drocketmq.client.rebalance.lockInterval=2000"}
	argv, err := java.JVM{Heap: "256m", Home: home, Options: quick}.Command(source, names.Addr)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start("Delivery", home, nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	out := p.Output()
	for _, name := range []string{"order", "orderly dead letters", "broadcast", "trace"} {
		if !strings.Contains(out, "ok "+name+"\n") {
			t.Errorf("%s:\n%s", name, p.Tail())
		}
	}
	id := regexp.MustCompile(`traced ([0-9A-F]{32,56})`).FindStringSubmatch(out)
	if id == nil {
		t.Fatal("nothing was traced")
	}
	a := admin{t, names.Addr}
	a.until("queryMsgTraceById -i "+id[1], `(?s)Pub +DeliveryTrace .*success.*Sub +DeliveryTraceGroup .*success`)
	a.until("queryMsgByKey -t RMQ_SYS_TRACE_TOPIC -k key-of-java", `[0-9A-F]{32} +\d +\d`) // by the message's own key, too
}

// What Skua's client writes about messages is what mqadmin shows: the client's own test leaves it behind.
func TestTracesOfSkuasClient(t *testing.T) {
	t.Parallel()
	names, _ := servers(t)
	out, err := process.Run(within(t), []string{"SKUA_TEST_NAMESERVER=" + names.Addr}, "..", "go", "test", "-count=1", "-v", "-run", "^TestTraces$", "./client")
	if err != nil {
		t.Fatal(err, out)
	}
	id := regexp.MustCompile(`traced message ([0-9A-F]{32,56})`).FindStringSubmatch(out)
	if id == nil {
		t.Fatalf("nothing was traced:\n%s", out)
	}
	admin{t, names.Addr}.until("queryMsgTraceById -i "+id[1], `(?s)Pub +traced-producer .*success.*Sub +TestTraces-[0-9a-f]+ .*success`)
}
