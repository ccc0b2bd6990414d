package broker

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// uniqueKeys makes unique keys for messages whose producers set none, of the form that Java clients use, in upper-case
// hexadecimal:
//
//	address (4 or 16 bytes), u16 process id, u32 random, u32 ms of this month, u16 counter
type uniqueKeys struct {
	prefix  []byte
	month   atomic.Int64 // its begin, ms
	counter atomic.Uint32
}

// open sets what all keys have in common.
func (u *uniqueKeys) open(host netip.Addr) {
	u.prefix = host.AsSlice()
	u.prefix = binary.BigEndian.AppendUint16(u.prefix, uint16(os.Getpid()))
	u.prefix = binary.BigEndian.AppendUint32(u.prefix, rand.Uint32())
}

// append appends a new key to dst.
func (u *uniqueKeys) append(dst []byte) []byte {
	const digits = "0123456789ABCDEF"
	var raw [26]byte
	b := append(raw[:0], u.prefix...)
	b = binary.BigEndian.AppendUint32(b, uint32(time.Now().UnixMilli()-u.begin()))
	b = binary.BigEndian.AppendUint16(b, uint16(u.counter.Add(1)))
	for _, c := range b {
		dst = append(dst, digits[c>>4], digits[c&15])
	}
	return dst
}

// begin returns the begin of this month, which is computed anew about once a month.
func (u *uniqueKeys) begin() int64 {
	now := time.Now()
	begin := u.month.Load()
	if ms := now.UnixMilli(); begin == 0 || ms < begin || ms-begin > 31*24*3600*1000 {
		begin = time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, now.Location()).UnixMilli()
		u.month.Store(begin)
	}
	return begin
}
