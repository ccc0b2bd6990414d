package client

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestUniqueIDs(t *testing.T) {
	u := newUniqueIDs(netip.MustParseAddr("10.0.0.1"))
	now := time.Date(2026, 11, 2, 0, 0, 1, 5e6, time.Local)
	a, b := u.next(now), u.next(now)
	if len(a) != 32 || a == b || a != strings.ToUpper(a) {
		t.Errorf("ids %s %s", a, b)
	}
	pid := strings.ToUpper(strconv.FormatUint(uint64(os.Getpid()&0xffff)|1<<16, 16)[1:])
	if !strings.HasPrefix(a, "0A000001"+pid) {
		t.Errorf("id %s does not begin with address and process %s", a, pid)
	}
	ms := strconv.FormatInt(24*3600*1000+1005, 16)
	if got := strings.ToLower(a[20:28]); strings.TrimLeft(got, "0") != ms {
		t.Errorf("time %s, want %s", got, ms)
	}
	if a[28:] != "0001" || b[28:] != "0002" {
		t.Errorf("counters %s %s", a[28:], b[28:])
	}
	if six := newUniqueIDs(netip.MustParseAddr("::1")).next(now); len(six) != 56 {
		t.Errorf("IPv6 id %s", six)
	}
}

func TestClientIDsDiffer(t *testing.T) {
	ip := netip.MustParseAddr("10.0.0.1")
	if a, b := newClientID(ip), newClientID(ip); a == b || !strings.HasPrefix(a, "10.0.0.1@"+strconv.Itoa(os.Getpid())+"#") {
		t.Errorf("ids %s %s", a, b)
	}
}

func TestParseServers(t *testing.T) {
	for in, want := range map[string]string{
		"a:1;b:2": "a:1 b:2", "a": "a:9876", "http://ns.example:9876": "ns.example:9876", "[::1]:7;::1": "[::1]:7 [::1]:9876", "10.0.0.1, b": "10.0.0.1:9876 b:9876",
	} {
		got, err := parseServers([]string{in})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q: %v, %v, want %s", in, got, err, want)
		}
	}
	if _, err := Open(t.Context(), Options{}); err == nil {
		t.Error("a client without name servers opened")
	}
}
