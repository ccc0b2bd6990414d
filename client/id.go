package client

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// newClientID makes the name under which brokers know a client, ip@pid#random. Address and process alone would do on
// hosts, but in containers all processes tend to have the same ones, and two clients with one id starve each other.
func newClientID(ip netip.Addr) string {
	return ip.String() + "@" + strconv.Itoa(os.Getpid()) + "#" + strconv.FormatUint(rand.Uint64(), 36)
}

// localIP is the address from which this machine would speak to addr; loopback if that cannot be told. Nothing is sent.
func localIP(ctx context.Context, addr string) netip.Addr {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", addr)
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// uniqueIDs makes the ids that clients give their messages, as Java does, in upper-case hex:
//
//	+-----------------+---------+------------+-----------------------------+-------------+
//	| ip 4 or 16 bytes| pid u16 | random u32 | ms since the month began u32| counter u16 |
//	+-----------------+---------+------------+-----------------------------+-------------+
type uniqueIDs struct {
	prefix  [22]byte // ip, pid, random
	length  int      // bytes of prefix in use
	counter atomic.Uint32
}

func newUniqueIDs(ip netip.Addr) *uniqueIDs {
	u := new(uniqueIDs)
	pid, random := os.Getpid(), rand.Uint32()
	b := append(u.prefix[:0], ip.AsSlice()...)
	b = append(b, byte(pid>>8), byte(pid), byte(random>>24), byte(random>>16), byte(random>>8), byte(random))
	u.length = len(b)
	return u
}

// next makes the id of a message that is born now.
func (u *uniqueIDs) next(now time.Time) string {
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location())
	ms, n := uint32(now.Sub(month).Milliseconds()), u.counter.Add(1)
	var id [28]byte
	b := append(id[:0], u.prefix[:u.length]...)
	b = append(b, byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms), byte(n>>8), byte(n))
	const digits = "0123456789ABCDEF"
	var text [2 * len(id)]byte
	for i, v := range b {
		text[2*i], text[2*i+1] = digits[v>>4], digits[v&15]
	}
	return string(text[:2*len(b)])
}
