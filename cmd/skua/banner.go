package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/skuamq/skua/internal/broker"
	"github.com/skuamq/skua/internal/node"
)

// banner tells what runs where, what an acknowledged message means here, and what to type next.
func banner(a node.Addresses, o *broker.Options, advertisedFrom string) string {
	_, port, _ := net.SplitHostPort(a.Broker)
	n, _ := strconv.Atoi(port)
	reach := "whoever reaches it can read and write"
	if loopback(o.BrokerIP1) {
		reach = "this machine only, --host ADDRESS opens it to the network"
	}
	names := a.Nameserver
	if wildcard(o.BindAddress) {
		_, namesPort, _ := net.SplitHostPort(a.Nameserver)
		names = net.JoinHostPort(o.BindAddress, namesPort) + ", from elsewhere " + net.JoinHostPort(o.BrokerIP1, namesPort)
	}
	durable := "in the page cache of this machine: survives a killed process, not a power cut; flushDiskType=SYNC_FLUSH survives both"
	if o.FlushDiskType == "SYNC_FLUSH" {
		durable = "on the disk of this machine: survives a killed process and a power cut"
	}
	program, addr := programName(), ""
	if a.Nameserver != "127.0.0.1:9876" {
		addr = " -n " + a.Nameserver
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Skua is ready.\n")
	fmt.Fprintf(&b, "  name server   %s\n", names)
	fmt.Fprintf(&b, "  broker        %s, fast port %d, %s of %s\n", net.JoinHostPort(o.BindAddress, port), n-2, o.BrokerName, o.BrokerClusterName)
	fmt.Fprintf(&b, "  advertised    %s (from %s; %s)\n", a.Broker, advertisedFrom, reach)
	fmt.Fprintf(&b, "  data          %s\n", o.StorePathRootDir)
	fmt.Fprintf(&b, "  acknowledged  %s\n", durable)
	fmt.Fprintf(&b, "Next:\n")
	fmt.Fprintf(&b, "  echo hello | %s produce%s -t greetings\n", program, addr)
	fmt.Fprintf(&b, "  %s consume%s -t greetings --from earliest\n", program, addr)
	return b.String()
}

// programName is how this program was called, as far as one can tell.
func programName() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/skua"
	}
	return os.Args[0]
}
