// Package cluster starts name servers and brokers of either side, Skua's or Apache's, from the same configuration files,
// and in any mixture. It hides ports, files, and how one knows that a server serves.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
	"github.com/skuamq/skua/interop/remoting"
)

// Side says whose program a server is.
type Side string

// The two sides.
const (
	Java Side = "java"
	Skua Side = "skua"
)

// startLimit bounds the start of a server; a JVM on a busy machine of two cores takes up to half a minute.
const startLimit = 90 * time.Second

// stopLimit bounds a clean stop: Skua promises 10 s, Java takes up to 15.
const stopLimit = time.Minute

// Host starts servers below one folder.
type Host struct {
	// Dir holds configurations, outputs and stores.
	Dir string
	// Binary is the path of the skua program.
	Binary string
	// Measured gives Java's brokers what they need to be fast: 2 GiB of heap, touched in advance, the optimising compiler
	// and G1. Otherwise they get what starts soonest.
	Measured bool
}

// Server is a name server or a broker. Stop or Kill ends it, Start starts it again on the same port and files.
type Server struct {
	Side Side
	Addr string // host:port
	Name string // the broker's name, "namesrv" for a name server
	// Store is the broker's store directory.
	Store string

	*process.Process
	host  Host
	role  string // the subcommand of skua
	names string // what a broker registers with
}

// NameServer starts a name server. settings are further lines of its configuration.
func (h Host) NameServer(ctx context.Context, side Side, settings ...string) (*Server, error) {
	port := FreePort()
	s := &Server{Side: side, Addr: fmt.Sprintf("127.0.0.1:%d", port), Name: "namesrv", host: h, role: "namesrv"}
	lines := append([]string{fmt.Sprintf("listenPort=%d", port), "bindAddress=127.0.0.1"}, settings...)
	if err := s.configure(lines); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// Broker starts a master broker of the cluster DefaultCluster that registers with the name server at names ("" for none).
// settings are further lines of its configuration; later lines win.
func (h Host) Broker(ctx context.Context, side Side, name, names string, settings ...string) (*Server, error) {
	port := FreePort()
	s := &Server{Side: side, Addr: fmt.Sprintf("127.0.0.1:%d", port), Name: name, Store: filepath.Join(h.Dir, "store-"+name),
		host: h, role: "broker", names: names}
	lines := append([]string{
		"brokerClusterName=DefaultCluster", "brokerName=" + name, "brokerId=0", "brokerRole=ASYNC_MASTER",
		"flushDiskType=ASYNC_FLUSH", "namesrvAddr=" + names, fmt.Sprintf("listenPort=%d", port), "bindAddress=127.0.0.1",
		"brokerIP1=127.0.0.1", "brokerIP2=127.0.0.1", fmt.Sprintf("haListenPort=%d", port+1),
		"storePathRootDir=" + s.Store, "storePathCommitLog=" + filepath.Join(s.Store, "commitlog"),
		// A disk that is rather full must not fail the tests.
		"diskMaxUsedSpaceRatio=95",
	}, settings...)
	if !h.Measured {
		// Nor must a busy machine, on which Java's broker sheds load after 200 ms.
		lines = append(lines, "waitTimeMillsInSendQueue=20000", "osPageCacheBusyTimeOutMills=20000")
	}
	if err := s.configure(lines); err != nil {
		return nil, err
	}
	return s, s.Start(ctx)
}

// With returns the same stopped broker as a server of the given side: same port, same store, same configuration.
func (s *Server) With(side Side) *Server {
	other := *s
	other.Side = side
	other.Process = nil
	return &other
}

func (s *Server) config() string { return filepath.Join(s.host.Dir, s.Name+".conf") }

func (s *Server) configure(lines []string) error {
	// Properties.load reads a backslash as an escape; the paths here hold none.
	return errors.Join(os.MkdirAll(s.host.Dir, 0o755),
		os.WriteFile(s.config(), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
}

// Start starts the server and returns when it serves: a name server answers, a broker listens and is known to the name
// server.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.Launch(); err != nil {
		return err
	}
	if err := s.Until(ctx, "service at "+s.Addr, s.serves); err != nil {
		s.Kill()
		return fmt.Errorf("%s %s: %w%s", s.Side, s.role, err, s.logs())
	}
	return nil
}

// Launch starts the process and does not wait until it serves.
func (s *Server) Launch() error {
	argv, err := s.command()
	if err != nil {
		return err
	}
	s.Process, err = process.Start(s.Name, s.host.Dir, []string{"ROCKETMQ_HOME=" + s.home()}, argv...)
	return err
}

// Erase removes the store of a stopped broker.
func (s *Server) Erase() error { return os.RemoveAll(s.Store) }

func (s *Server) home() string { return filepath.Join(s.host.Dir, "home-"+s.Name) }

func (s *Server) command() ([]string, error) {
	if s.Side == Skua {
		return []string{s.host.Binary, s.role, "-c", s.config()}, nil
	}
	vm := java.JVM{Heap: "128m", Home: s.home()}
	if s.role == "namesrv" {
		return vm.Command(java.NameServer, "-c", s.config())
	}
	if s.host.Measured {
		vm.Heap, vm.Fast = "2g", true
		vm.Options = []string{"-XX:MaxDirectMemorySize=2g", "-XX:+AlwaysPreTouch", "-XX:G1HeapRegionSize=16m",
			"-XX:G1ReservePercent=25", "-XX:InitiatingHeapOccupancyPercent=30"}
	} else {
		vm.Heap = "512m"
		vm.Options = []string{"-XX:MaxDirectMemorySize=512m"}
	}
	return vm.Command(java.Broker, "-c", s.config())
}

func (s *Server) serves() bool {
	if s.role == "namesrv" {
		return Knows(s.Addr, "")
	}
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return false
	}
	c.Close()
	for names := range strings.SplitSeq(s.names, ";") {
		if names != "" && !Knows(names, s.Addr) {
			return false
		}
	}
	return true
}

// logs returns the ends of Java's log files: its servers say on stdout only that they failed.
func (s *Server) logs() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(s.home(), "logs", "rocketmqlogs", "*.log"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if len(b) > 2000 {
			b = b[len(b)-2000:]
		}
		if len(b) > 0 {
			fmt.Fprintf(&all, "\n--- %s\n%s", f, b)
		}
	}
	return all.String()
}

// Stop ends the server cleanly.
func (s *Server) Stop() error { return s.Process.Stop(stopLimit) }

// Knows reports whether the name server at addr has a broker with this address in its tables; "" asks only for an answer.
func Knows(addr, broker string) bool {
	c, err := remoting.Dial(addr)
	if err != nil {
		return false
	}
	defer c.Close()
	f, err := c.Call(remoting.ClusterInfo, nil, nil)
	if err != nil {
		return false
	}
	return broker == "" || bytes.Contains(f.Body, []byte(`"`+broker+`"`))
}

// Ports are handed out from here on, ten for each server, below the range that the kernel picks from.
const (
	firstPort = 22000
	lastPort  = 22989
)

var ports struct {
	sync.Mutex
	next int
}

// FreePort returns a port P such that P, P-2 (a broker's fast port) and P+1 (its replication port) are free. No two calls
// in one process return the same.
func FreePort() int {
	ports.Lock()
	defer ports.Unlock()
	if ports.next == 0 {
		ports.next = firstPort + os.Getpid()%((lastPort-firstPort)/10)*10
	}
	for range (lastPort - firstPort) / 10 {
		port := ports.next + 5
		if ports.next += 10; ports.next >= lastPort {
			ports.next = firstPort
		}
		if free(port) && free(port-2) && free(port+1) {
			return port
		}
	}
	panic(fmt.Sprintf("no free ports between %d and %d", firstPort, lastPort))
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
