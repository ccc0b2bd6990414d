package record

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/skuamq/skua"
)

// Bytes of an offset id: address, i32 port, i64 log offset.
const (
	offsetIDv4 = 4 + 4 + 8
	offsetIDv6 = 16 + 4 + 8
)

const upperHex = "0123456789ABCDEF"

// AppendOffsetID appends the offset id, 32 or 56 upper-case hex digits, of the record at off stored by host.
func AppendOffsetID(dst []byte, host netip.AddrPort, off skua.LogOffset) []byte {
	var id [offsetIDv6]byte
	a := host.Addr().Unmap()
	b := appendHost(id[:0], netip.AddrPortFrom(a, host.Port()), a.Is6())
	b = binary.BigEndian.AppendUint64(b, uint64(off))
	for _, c := range b {
		dst = append(dst, upperHex[c>>4], upperHex[c&15])
	}
	return dst
}

// ParseOffsetID reads an offset id; digits may be of either case.
func ParseOffsetID(s string) (host netip.AddrPort, off skua.LogOffset, err error) {
	if len(s) != 2*offsetIDv4 && len(s) != 2*offsetIDv6 {
		return host, 0, fmt.Errorf("record: offset id %.64q has %d characters, not 32 or 56", s, len(s))
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return host, 0, fmt.Errorf("record: offset id %q: %w", s, err)
	}
	n := len(b) - 12
	a, _ := netip.AddrFromSlice(b[:n])
	port := binary.BigEndian.Uint32(b[n:])
	if port > 0xFFFF {
		return host, 0, fmt.Errorf("record: offset id %q: port %d is above 65535", s, port)
	}
	return netip.AddrPortFrom(a, uint16(port)), skua.LogOffset(binary.BigEndian.Uint64(b[n+4:])), nil
}
