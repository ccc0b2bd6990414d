package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
)

// transactionSettings have brokers ask soon about transactions, and not give up while a producer starts: Java counts the checks
// that no producer is there for, too, and at one a second has used up its 15 before a JVM on a busy machine is there.
var transactionSettings = []string{"transactionTimeOut=500", "transactionCheckInterval=1000", "transactionCheckMax=1000", "transactionOpBatchInterval=100"}

// transactions starts a Java producer of transactions and returns when it has sent everything.
func transactions(t *testing.T, names *cluster.Server, args ...string) *process.Process {
	t.Helper()
	dir := t.TempDir()
	argv, err := java.Transactions(dir, names.Addr, args...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start("transactions", dir, nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	if err := p.WaitFor(within(t), "READY"); err != nil {
		t.Fatal(err)
	}
	return p
}

// bodiesOf are the bodies of all messages of a topic, sorted.
func bodiesOf(t *testing.T, broker *cluster.Server, topic string, queues int) []string {
	t.Helper()
	c := dial(t, broker.Addr)
	var all []string
	for q := range queues {
		records, err := c.Read(topic, q, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			all = append(all, string(r.Body))
		}
	}
	slices.Sort(all)
	return all
}

// delivered waits until the bodies of a topic are those wanted.
func delivered(t *testing.T, broker *cluster.Server, topic string, queues int, want []string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for end := time.Now().Add(time.Minute); len(got) < len(want) && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		got = bodiesOf(t, broker, topic, queues)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("delivered %q\nwant %q", got, want)
	}
}

// Java's producer commits, rolls back, and answers questions.
func TestJavaTransactions(t *testing.T) {
	t.Parallel()
	names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide), transactionSettings...)
	name := topic(t, names, broker, "JavaTransactions", 4)
	p := transactions(t, names, "JavaTransactionGroup", name, "one", "5", "commit", "rollback", "asked-commit", "asked-rollback", "late-commit", "late-rollback")
	if n := strings.Count(p.Output(), "SENT SEND_OK"); n != 30 {
		t.Errorf("%d of 30 half messages were taken\n%s", n, p.Tail())
	}
	var want []string
	for i := range 5 {
		for _, kind := range []string{"commit", "asked-commit", "late-commit"} {
			want = append(want, fmt.Sprintf("one %s %d", kind, i))
		}
	}
	delivered(t, broker, name, 4, want)
	err := p.Until(within(t), "all are asked about", func() bool {
		return strings.Count(p.Output(), "ASKED 2 ") >= 10 && strings.Count(p.Output(), "ASKED 1 ") >= 20
	})
	if err != nil {
		t.Error(err)
	}
	// Nothing is asked about that is ended, and nothing ended comes back, for some rounds.
	before := strings.Count(p.Output(), "ASKED")
	other := transactions(t, names, "OtherTransactionGroup", name, "two", "1", "late-commit")
	if err := other.WaitFor(within(t), "ASKED 2 "); err != nil {
		t.Error(err)
	}
	delivered(t, broker, name, 4, append(want, "two late-commit 0"))
	if after := strings.Count(p.Output(), "ASKED"); after != before && broker.Side == cluster.Skua {
		t.Errorf("%d more questions about what was ended\n%s", after-before, p.Tail())
	}
	for _, line := range strings.Split(p.Output(), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[0] == "ASKED" && (f[2] != name || len(f[3]) < 32) {
			t.Errorf("asked in a way that the producer does not understand: %s", line)
		}
	}
}

// Half messages that one side has left are finished by the other, each once; and both ways round.
func TestTransactionsFromSideToSide(t *testing.T) {
	t.Parallel()
	if !needSkua() {
		t.Skip("asked for Java alone")
	}
	names, broker := private(t, cluster.Skua, cluster.Skua, transactionSettings...)
	name := topic(t, names, broker, "SideToSide", 4)
	var want []string
	for round := range 4 {
		prefix := fmt.Sprint(broker.Side, round)
		group := fmt.Sprint("SideToSideGroup", round)
		// Two of each kind are ended at once, two wait; of these one was asked about before the broker stops.
		p := transactions(t, names, group, name, prefix, "2", "commit", "rollback", "late-commit", "late-rollback")
		if err := p.Until(within(t), "questions", func() bool { return strings.Count(p.Output(), "ASKED 1 ") >= 4 }); err != nil {
			t.Fatal(err)
		}
		p.Kill()
		late := transactions(t, names, group+"Late", name, prefix, "1", "asked-commit", "asked-rollback")
		late.Kill()
		for i := range 2 {
			want = append(want, fmt.Sprintf("%s commit %d", prefix, i))
		}
		if err := broker.Stop(); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(filepath.Join(broker.Store, "skua")); err != nil && round%2 == 1 {
			t.Fatal(err)
		}
		next := cluster.Java
		if broker.Side == cluster.Java {
			next = cluster.Skua
		}
		broker = broker.With(next)
		t.Cleanup(func() { broker.Kill() })
		if err := broker.Start(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, g := range []string{group, group + "Late"} {
			answers := transactions(t, names, g, name, prefix, "0")
			t.Cleanup(answers.Kill)
		}
		want = append(want, prefix+" late-commit 0", prefix+" late-commit 1", prefix+" asked-commit 0")
		delivered(t, broker, name, 4, want)
	}
}

// The half messages in the directory that a Java broker left, with light queues on, so that what it had done is not where
// brokers without these look for it: each is delivered once.
func TestHalfMessagesOfTheFixture(t *testing.T) {
	t.Parallel()
	if !needSkua() {
		t.Skip("asked for Java alone")
	}
	h := cluster.Host{Dir: t.TempDir(), Binary: *binary}
	if err := unpack(filepath.Join("testdata", "kinds", "store.tar.gz"), filepath.Join(h.Dir, "store-broker-a")); err != nil {
		t.Fatal(err)
	}
	m := readManifest(t, "kinds")
	settings := []string{"fileReservedTime=876000"}
	for name, value := range m.Properties {
		if name != "listenPort" && name != "haListenPort" {
			settings = append(settings, name+"="+value)
		}
	}
	names, broker, err := pair(h, cluster.Skua, cluster.Skua, append(settings, "transactionCheckInterval=1000")...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		broker.Kill()
		names.Kill()
	})
	var want []string
	seen := map[string]bool{}
	ended := map[int64]bool{0: true, 1: true, 3: true, 4: true, 6: true, 7: true} // as the op message says
	queues := 0
	for _, r := range m.Records {
		switch {
		case r.Topic == "Tran":
			want = append(want, r.UniqKey)
			queues = max(queues, r.QueueID+1)
		case r.Topic == "RMQ_SYS_TRANS_HALF_TOPIC" && !ended[r.QueueOffset] && !seen[r.UniqKey]:
			seen[r.UniqKey] = true
			want = append(want, r.UniqKey)
		}
	}
	if len(seen) != 4 {
		t.Fatalf("%d half messages wait in the fixture", len(seen))
	}
	transactions(t, names, "P_tran", "Tran", "none", "0")
	keys := func() (all []string) {
		c := dial(t, broker.Addr)
		for q := range queues {
			records, err := c.Read("Tran", q, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				all = append(all, r.Properties["UNIQ_KEY"])
			}
		}
		slices.Sort(all)
		return all
	}
	eventually(t, time.Minute, "all half messages delivered", func() bool { return len(keys()) >= len(want) })
	slices.Sort(want)
	if got := keys(); !slices.Equal(got, want) {
		t.Errorf("delivered %v\nwant %v", got, want)
	}
}

// The transaction producer of package client works with a Java broker as with Skua's.
func TestSkuasTransactionsWithJava(t *testing.T) {
	t.Parallel()
	names, _ := private(t, cluster.Java, cluster.Java, transactionSettings...)
	out, err := process.Run(within(t), []string{"SKUA_TEST_NAMESERVER=" + names.Addr}, "..", "go", "test", "-count=1", "-run", "^TestTransactions$|^TestTransactionErrors$", "./client")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
