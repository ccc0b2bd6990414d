package node

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	const up = net.FlagUp
	at := func(name, ip string, flags net.Flags) candidate {
		return candidate{ip: netip.MustParseAddr(ip), name: name, flags: flags}
	}
	lo := at("lo", "127.0.0.1", up|net.FlagLoopback)
	docker := candidate{ip: netip.MustParseAddr("172.17.0.1"), name: "docker0", flags: up, bridge: true}
	for _, tt := range []struct {
		name      string
		all       []candidate
		container bool
		want      string
		doubts    []string
	}{
		{"one", []candidate{lo, docker, at("eth0", "10.0.0.5", up)}, false, "10.0.0.5 eth0", nil},
		{"not 192.168 if there is another", []candidate{at("wlan0", "192.168.1.2", up), at("eth0", "10.0.0.5", up)}, false, "10.0.0.5 eth0", []string{"192.168.1.2 (wlan0)"}},
		{"192.168 else", []candidate{lo, at("wlan0", "192.168.1.2", up)}, false, "192.168.1.2 wlan0", nil},
		{"interfaces that are down or links", []candidate{at("eth0", "10.0.0.5", 0), at("tun0", "10.8.0.2", up|net.FlagPointToPoint), at("eth1", "10.0.0.6", up)}, false, "10.0.0.6 eth1", nil},
		{"IPv4 before IPv6", []candidate{at("eth0", "2001:db8::1", up), at("eth0", "10.0.0.5", up)}, false, "10.0.0.5 eth0", nil},
		{"IPv6", []candidate{lo, at("eth0", "fe80::1", up), at("eth0", "2001:db8::1", up)}, false, "2001:db8::1 eth0", nil},
		{"link-local", []candidate{at("eth0", "169.254.3.4", up)}, false, "169.254.3.4 eth0", []string{"link-local"}},
		{"container", []candidate{at("eth0", "172.17.0.2", up)}, true, "172.17.0.2 eth0", []string{"container"}},
		{"none", []candidate{lo, docker}, false, "127.0.0.1 lo", []string{"loopback"}},
	} {
		got := choose(tt.all, tt.container)
		if s := got.IP.String() + " " + got.Interface; s != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, s, tt.want)
		}
		if len(got.Doubts) != len(tt.doubts) {
			t.Errorf("%s: doubts %q, want %q", tt.name, got.Doubts, tt.doubts)
			continue
		}
		for i, want := range tt.doubts {
			if !strings.Contains(got.Doubts[i], want) {
				t.Errorf("%s: doubt %q, want %q in it", tt.name, got.Doubts[i], want)
			}
		}
	}
}
