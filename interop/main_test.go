// Package interop tests Skua against everything that speaks RocketMQ already: Apache's Go client, Apache's Java clients,
// example programs and mqadmin, Java name servers and Java brokers, and directories that a Java broker wrote. All servers
// are real processes. It needs Go, Java 11 or later and Maven; the Java parts are fetched once.
//
// The same tests run on any mixture of servers, e.g. Java against Java to learn what is right:
//
//	go test ./... -args -names java -broker java
package interop

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
	"github.com/skuamq/skua/interop/remoting"
)

var (
	namesSide  = flag.String("names", "skua", "whose name server the tests run on: skua or java")
	brokerSide = flag.String("broker", "skua", "whose broker the tests run on: skua or java")
	binary     = flag.String("skua", "", "skua program to test (default: built from the sources)")
)

// scratch is the folder of this run.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "skua-interop-"); err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	if *binary == "" && needSkua() {
		*binary = filepath.Join(scratch, "skua")
		out, err := process.Run(context.Background(), []string{"CGO_ENABLED=0"}, "..", "go", "build", "-o", *binary, "./cmd/skua")
		if err != nil {
			log.Print("build skua: ", err, out)
			return 1
		}
	}
	rlog.SetLogLevel("fatal")
	defer stopShared()
	return m.Run()
}

func needSkua() bool { return *namesSide == "skua" || *brokerSide == "skua" }

// shared is what most tests run on: one name server, one broker with small default settings, one JVM for mqadmin.
var shared struct {
	once   sync.Once
	err    error
	names  *cluster.Server
	broker *cluster.Server

	adminOnce sync.Once
	admin     *java.Admin
}

// servers returns the shared name server and broker, starting them at the first call.
func servers(t testing.TB) (names, broker *cluster.Server) {
	t.Helper()
	shared.once.Do(func() {
		h := cluster.Host{Dir: filepath.Join(scratch, "shared"), Binary: *binary}
		shared.names, shared.broker, shared.err = pair(h, cluster.Side(*namesSide), cluster.Side(*brokerSide))
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.names, shared.broker
}

// pair starts a name server and a broker that is registered there.
func pair(h cluster.Host, names, broker cluster.Side, settings ...string) (n, b *cluster.Server, err error) {
	ctx := context.Background()
	if n, err = h.NameServer(ctx, names); err != nil {
		return nil, nil, err
	}
	if b, err = h.Broker(ctx, broker, "broker-a", n.Addr, settings...); err != nil {
		n.Kill()
		return nil, nil, err
	}
	return n, b, nil
}

// private starts a pair that belongs to one test.
func private(t *testing.T, names, broker cluster.Side, settings ...string) (n, b *cluster.Server) {
	t.Helper()
	n, b, err := pair(cluster.Host{Dir: t.TempDir(), Binary: *binary}, names, broker, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Kill()
		n.Kill()
	})
	return n, b
}

// handOver stops a broker and starts one of a side with its files, which lives as long as the test.
func handOver(t testing.TB, broker *cluster.Server, side cluster.Side) *cluster.Server {
	t.Helper()
	if err := broker.Stop(); err != nil {
		t.Error(err)
	}
	next := broker.With(side)
	t.Cleanup(func() {
		if next.Process != nil { // it was started
			next.Kill()
		}
	})
	if err := next.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return next
}

func stopShared() {
	if shared.admin != nil {
		shared.admin.Close()
	}
	for _, s := range []*cluster.Server{shared.broker, shared.names} {
		if s != nil {
			if err := s.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
}

// mqadmin runs one mqadmin command and returns what it printed.
func mqadmin(t testing.TB, args ...string) string {
	t.Helper()
	shared.adminOnce.Do(func() {
		var err error
		if shared.admin, err = java.StartAdmin(filepath.Join(scratch, "admin")); err != nil {
			t.Error(err)
		}
	})
	if shared.admin == nil {
		t.Fatal("mqadmin did not start")
	}
	out, err := shared.admin.Run(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("mqadmin %v\n%s", args, out)
	return out
}

// dial connects to a server for the duration of a test.
func dial(t testing.TB, addr string) *remoting.Conn {
	t.Helper()
	c, err := remoting.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// javaProgram starts the program name.java of folder java as a client of a name server, with options for its JVM. It lives as long
// as the test.
func javaProgram(t testing.TB, names *cluster.Server, name string, options []string, args ...string) *process.Process {
	t.Helper()
	source, err := filepath.Abs(filepath.Join("java", name+".java"))
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "home")
	vm := java.JVM{Heap: "256m", Home: home, Options: append([]string{"-Drocketmq.namesrv.addr=" + names.Addr}, options...)}
	argv, err := vm.Command(source, args...)
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(name, home, nil, argv...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// topic creates a topic of the test's own at the broker and waits until the name server routes it.
func topic(t testing.TB, names, broker *cluster.Server, name string, queues int) string {
	t.Helper()
	if err := dial(t, broker.Addr).CreateTopic(name, queues); err != nil {
		t.Fatalf("create topic %s: %v", name, err)
	}
	c := dial(t, names.Addr)
	eventually(t, 20*time.Second, "route of "+name, func() bool {
		route, err := c.TopicRoute(name)
		return err == nil && len(route) > 0
	})
	return name
}

// eventually polls until ok says true.
func eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}
