package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
)

// A broker of either side works under a name server of the other: it registers, its clients are routed to it, and its
// departure is noticed.
func TestMixedSides(t *testing.T) {
	for _, sides := range [][2]cluster.Side{{cluster.Java, cluster.Skua}, {cluster.Skua, cluster.Java}} {
		t.Run(fmt.Sprintf("broker of %s under name server of %s", sides[1], sides[0]), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				t.Skip("asked for Java alone")
			}
			mixed(t, sides[0], sides[1])
		})
	}
}

func mixed(t *testing.T, namesSide, brokerSide cluster.Side) {
	names, broker := private(t, namesSide, brokerSide)
	a := admin{t, names.Addr}
	a.until("clusterList", `DefaultCluster +broker-a +0 +`+broker.Addr+` +V`) // a broker of Java first fails for want of a sample
	a.expect("topicRoute -t TBW102", `"brokerName":"broker-a"`, `0:"`+broker.Addr+`"`)
	a.expect("updateTopic -c DefaultCluster -t MixedTopic -r 4 -w 4", "success")
	a.until("topicRoute -t MixedTopic", `"writeQueueNums":4`)

	p := newProducer(t, names)
	sent := sendAll(t, p, "MixedTopic", 40, nil)
	var got received
	newConsumer(t, names, "MixedGroup", "MixedTopic", "*", got.keep)
	eventually(t, 30*time.Second, "all messages", func() bool { return got.count() >= len(sent) })
	got.onceEach(t, sent)

	// The Java client creates a topic by its first send, and finds it.
	java := program(t, names, "quickstart.Producer")
	if err := java.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if ok := strings.Count(java.Output(), "sendStatus=SEND_OK"); ok != 1000 {
		t.Errorf("%d of 1000 sends of the Java client succeeded\n%s", ok, java.Tail())
	}
	reader := program(t, names, "quickstart.Consumer")
	if err := reader.Until(within(t), "a thousand messages received", func() bool { return len(ids(reader.Output())) >= 1000 }); err != nil {
		t.Error(err)
	}

	// A name server that comes back learns the broker again, from its next registration.
	names.Kill()
	if err := names.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 45*time.Second, "the broker at the restarted name server", func() bool { return cluster.Knows(names.Addr, broker.Addr) })
	a.until("topicRoute -t MixedTopic", `"writeQueueNums":4`)

	// A killed broker is gone at once, since its connection breaks; one that stops says so.
	broker.Kill()
	eventually(t, 5*time.Second, "departure of the killed broker", func() bool { return !cluster.Knows(names.Addr, broker.Addr) })
	if err := broker.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := broker.Stop(); err != nil {
		t.Error(err)
	}
	if cluster.Knows(names.Addr, broker.Addr) {
		t.Error("the stopped broker is still listed")
	}
}

// One broker registers with name servers of both sides, and both route to it.
func TestNameServersOfBothSides(t *testing.T) {
	t.Parallel()
	if !needSkua() {
		t.Skip("asked for Java alone")
	}
	ctx := context.Background()
	h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
	first, err := h.NameServer(ctx, cluster.Skua)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { first.Kill() })
	second, err := cluster.Host{Dir: t.TempDir(), Binary: *binary}.NameServer(ctx, cluster.Java)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Kill() })
	broker, err := h.Broker(ctx, cluster.Side(*brokerSide), "broker-a", first.Addr+";"+second.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Kill() })
	name := topic(t, first, broker, "TwoNameServers", 2)
	topic(t, second, broker, name, 2)
	route := func(n *cluster.Server) string {
		q, err := dial(t, n.Addr).TopicRoute(name)
		return fmt.Sprint(q, err)
	}
	if a, b := route(first), route(second); a != b {
		t.Errorf("routes differ: %s and %s", a, b)
	}
	// With one name server gone, broker and clients go on.
	first.Kill()
	sent := sendAll(t, newProducer(t, second), name, 10, nil)
	var got received
	newConsumer(t, second, "TwoNameServersGroup", name, "*", got.keep)
	eventually(t, 30*time.Second, "all messages", func() bool { return got.count() >= len(sent) })
}
