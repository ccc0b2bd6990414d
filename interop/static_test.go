package interop

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
	"github.com/skuamq/skua/interop/remoting"
)

// The queues of a static topic move from broker to broker, back, and on, by Java's tools, while Java's client sends and
// consumes in order. Nothing is lost and the order holds. The brokers are of both sides, in all mixtures.
func TestStaticTopicMoves(t *testing.T) {
	for _, sides := range [][2]cluster.Side{{cluster.Skua, cluster.Skua}, {cluster.Java, cluster.Skua}, {cluster.Skua, cluster.Java}} {
		t.Run(fmt.Sprintf("from %s to %s", sides[0], sides[1]), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				t.Skip("asked for Java alone")
			}
			testStaticMoves(t, sides[0], sides[1])
		})
	}
}

// Java alone: what the test would like to see is what Java does.
func TestStaticTopicMovesInJava(t *testing.T) {
	t.Parallel()
	if needSkua() {
		t.Skip("asked for Skua")
	}
	testStaticMoves(t, cluster.Java, cluster.Java)
}

func testStaticMoves(t *testing.T, from, to cluster.Side) {
	ctx := context.Background()
	h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
	names, err := h.NameServer(ctx, cluster.Side(*namesSide))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { names.Kill() })
	var brokers [2]*cluster.Server
	for i, side := range []cluster.Side{from, to} {
		if brokers[i], err = h.Broker(ctx, side, fmt.Sprintf("broker-%c", 'a'+i), names.Addr); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { brokers[i].Kill() })
	}
	a := admin{t, names.Addr}
	a.until("clusterList", `(?s)broker-a +0 .*broker-b +0 `)
	a.expect("updateStaticTopic -t Moved -qn 2 -b broker-a", "The new mapping data is written to file")
	a.until("topicRoute -t Moved", `"topicQueueMappingByBroker"`)

	stop := filepath.Join(t.TempDir(), "stop")
	client := &staticClient{t: t, names: names.Addr, stop: stop}
	client.start()
	more := func(what string) {
		t.Helper()
		before := staticEnds(client.output())
		if err := client.Until(within(t), "messages "+what, func() bool {
			now := staticEnds(client.output())
			return now.got[0] >= before.got[0]+50 && now.got[1] >= before.got[1]+50
		}); err != nil {
			t.Fatal(err)
		}
	}
	move := func(to string) {
		t.Helper()
		if out := a.expect("remappingStaticTopic -t Moved -b " + to); strings.Contains(out, "xception") {
			t.Fatal(out)
		}
		more("after the move to " + to)
	}
	more("before a move")
	move("broker-b")
	move("broker-a")
	// A broker that is killed knows its queues when it is back.
	for _, b := range brokers {
		b.Kill()
		if err := b.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	more("after the brokers were killed")
	move("broker-b")
	if from == cluster.Skua && to == cluster.Skua {
		// A consumer that is killed goes on where it was; Java keeps the offsets of pulls without translating them, so this holds
		// for Skua only.
		client.restart()
		more("after the client was killed")
		// The files are those of the other side.
		for _, side := range []cluster.Side{cluster.Java, cluster.Skua} {
			brokers[1] = handOver(t, brokers[1], side)
			more("after the broker became that of " + string(side))
		}
	}
	if err := os.WriteFile(stop, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := client.WaitFor(within(t), "stopped\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, "all messages", func() bool { s := staticEnds(client.output()); return s.got == s.sent })
	checkOrder(t, client.output())
	for end := time.Now().Add(3 * time.Minute); len(lateMissing(client.output())) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			missing := slices.SortedFunc(maps.Keys(lateMissing(client.output())), func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
			tellOfMissing(t, brokers[:], missing)
			t.Fatalf("%d messages have not come to the group without order: %v", len(missing), missing)
		}
	}
	if strings.Contains(client.output(), "of a wrong queue") {
		t.Error("messages came from a wrong queue")
	}
	// Offsets leap with each move, the farther the more messages there are.
	a.expect("topicStatus -t Moved", `__syslo__global__ +0 +\d+ +[2-9]\d\d\d\d `, `__syslo__global__ +1 +\d+ +[2-9]\d\d\d\d `)
	a.expect("consumerProgress -g Movers -t Moved", `Moved +__syslo__global__ +0 +[2-9]\d\d\d\d +\d+`, `Moved +__syslo__global__ +1 `)
	a.expect("deleteTopic -c DefaultCluster -t Moved", `delete topic \[Moved\] from cluster \[DefaultCluster\] success`)
}

// staticClient is the program Static, and what it has printed before it was started again.
type staticClient struct {
	*process.Process
	t           *testing.T
	names, stop string
	before      string
}

func (c *staticClient) start() {
	c.t.Helper()
	argv, err := java.Static(c.t.TempDir(), c.names, "Moved", "Movers", c.stop, staticEnds(c.before).sent[0])
	if err != nil {
		c.t.Fatal(err)
	}
	if c.Process, err = process.Start("Static", c.t.TempDir(), nil, argv...); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.Process.Kill)
}

func (c *staticClient) restart() {
	c.t.Helper()
	c.Kill()
	c.before += c.Output()
	c.start()
}

func (c *staticClient) output() string { return c.before + c.Output() }

// lateMissing are the messages that were sent, by queue and number, and have not come to the group without order.
func lateMissing(output string) map[[2]int]bool {
	missing := map[[2]int]bool{}
	eachStatic(output, func(what string, queue, number, _ int) {
		if what == "sent" {
			missing[[2]int{queue, number}] = true
		}
	})
	eachStatic(output, func(what string, queue, number, _ int) {
		if what == "late" {
			delete(missing, [2]int{queue, number})
		}
	})
	return missing
}

// tellOfMissing logs whether messages by queue and number wait at brokers, or were delivered and not taken.
func tellOfMissing(t *testing.T, brokers []*cluster.Server, missing [][2]int) {
	t.Helper()
	bodies := map[string]bool{}
	for _, m := range missing {
		bodies[fmt.Sprint(m[0], " ", m[1])] = true
	}
	for _, b := range brokers {
		c := dial(t, b.Addr)
		for topic, queue := range map[string]int{"SCHEDULE_TOPIC_XXXX": 2, "%RETRY%MoversLate": 0} {
			records, err := c.Read(topic, queue, 0)
			all := len(records)
			records = slices.DeleteFunc(records, func(r remoting.Record) bool { return !bodies[string(r.Body)] })
			t.Logf("%s (%s), %s-%d: %d of %d messages are missing ones, %v", b.Name, b.Side, topic, queue, len(records), all, err)
		}
	}
}

// staticProgress is the number behind that of the last message of each queue that was sent, and that came.
type staticProgress struct{ sent, got [2]int }

func staticEnds(output string) (p staticProgress) {
	eachStatic(output, func(what string, queue, number, _ int) {
		switch what {
		case "sent":
			p.sent[queue] = max(p.sent[queue], number+1)
		case "got":
			p.got[queue] = max(p.got[queue], number+1)
		}
	})
	return p
}

func eachStatic(output string, f func(what string, queue, number, offset int)) {
	for line := range strings.Lines(output) {
		var what string
		var queue, number, offset int
		if n, _ := fmt.Sscanf(line, "%s %d %d %d", &what, &queue, &number, &offset); n == 4 && queue < 2 {
			f(what, queue, number, offset)
		}
	}
}

// checkOrder checks that the messages of each queue came in order and without a gap. Those that come again, as after a
// restart, come in a run that begins again earlier.
func checkOrder(t *testing.T, output string) {
	t.Helper()
	var next, again [2]int
	offsets, times := [2]map[int]int{{}, {}}, [2]map[int]int{{}, {}}
	eachStatic(output, func(what string, queue, number, offset int) {
		switch {
		case what == "sent" && offset >= 0:
			offsets[queue][number] = offset
		case what == "got":
			times[queue][number]++
		}
	})
	eachStatic(output, func(what string, queue, number, offset int) {
		if what != "got" {
			return
		}
		switch {
		case number > next[queue]:
			t.Errorf("queue %d: message %d came after %d", queue, number, next[queue]-1)
		case number < next[queue]:
			again[queue]++
		}
		next[queue] = number + 1
		if want, ok := offsets[queue][number]; ok && want != offset && times[queue][number] == 1 { // else it may have been stored twice
			t.Errorf("queue %d: message %d came at offset %d, was sent to %d", queue, number, offset, want)
		}
	})
	t.Logf("%v messages came, %v of them again", next, again)
}
