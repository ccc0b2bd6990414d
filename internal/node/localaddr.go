package node

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// LocalAddress is an address of this machine that clients may be told.
type LocalAddress struct {
	IP        netip.Addr
	Interface string   // "eth0"
	Doubts    []string // why clients may not reach it; empty if nothing speaks against it
}

// FindLocalAddress picks the address that a broker advertises if none is configured: as RocketMQ does, the first IPv4
// address of an interface that is up and no loopback, point-to-point link or bridge, and preferably not in 192.168,
// which is often a home or a virtual network; an IPv6 address if there is no other; the loopback address if there is
// none at all.
func FindLocalAddress() (LocalAddress, error) {
	all, err := net.Interfaces()
	if err != nil {
		return LocalAddress{}, fmt.Errorf("the addresses of this machine cannot be listed, set brokerIP1: %w", err)
	}
	var found []candidate
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				found = append(found, candidate{ip: p.Addr().Unmap(), name: i.Name, flags: i.Flags, bridge: isBridge(i.Name)})
			}
		}
	}
	_, err = os.Stat("/.dockerenv")
	return choose(found, err == nil), nil
}

// isBridge reports whether an interface is a bridge of this machine, such as docker0: what is behind it can reach it,
// others cannot.
func isBridge(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name, "bridge"))
	return err == nil || slices.ContainsFunc([]string{"docker", "br-", "virbr", "cni", "veth"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// candidate is an address of an interface.
type candidate struct {
	ip     netip.Addr
	name   string
	flags  net.Flags
	bridge bool
}

func (c candidate) usable() bool {
	return c.flags&net.FlagUp != 0 && c.flags&(net.FlagLoopback|net.FlagPointToPoint) == 0 && !c.bridge &&
		!c.ip.IsLoopback() && !c.ip.IsUnspecified() && !(c.ip.Is6() && c.ip.IsLinkLocalUnicast())
}

// rank orders usable addresses, the best lowest.
func (c candidate) rank() int {
	switch {
	case c.ip.IsLinkLocalUnicast():
		return 3
	case c.ip.Is6():
		return 2
	case strings.HasPrefix(c.ip.String(), "192.168."):
		return 1
	}
	return 0
}

func choose(all []candidate, container bool) LocalAddress {
	var usable []candidate
	for _, c := range all {
		if c.usable() {
			usable = append(usable, c)
		}
	}
	if len(usable) == 0 {
		return LocalAddress{IP: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Interface: "lo",
			Doubts: []string{"it is the loopback address, because this machine has no other: only programs on this machine reach it"}}
	}
	slices.SortStableFunc(usable, func(a, b candidate) int { return cmp.Compare(a.rank(), b.rank()) })
	best := usable[0]
	l := LocalAddress{IP: best.ip, Interface: best.name}
	if best.ip.IsLinkLocalUnicast() {
		l.Doubts = append(l.Doubts, "it is a link-local address")
	}
	if container {
		l.Doubts = append(l.Doubts, "it belongs to a container: clients outside of the container's network do not reach it")
	}
	var others []string
	for _, c := range usable[1:] {
		if c.ip.Is4() == best.ip.Is4() {
			others = append(others, fmt.Sprintf("%s (%s)", c.ip, c.name))
		}
	}
	if len(others) > 0 {
		l.Doubts = append(l.Doubts, "this machine has others: "+strings.Join(others, ", "))
	}
	return l
}
