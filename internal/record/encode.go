package record

import (
	"encoding/binary"
	"net/netip"

	"github.com/skuamq/skua"
)

// Where the fields stand that are known only when the record gets its place.
const (
	queueOffsetAt = 20
	logOffsetAt   = 28
	sysFlagAt     = 36
	bornHostAt    = 48
)

// Size is the number of bytes that Append writes for m.
func Size(m *Message) int {
	flag := m.encodedFlag()
	n := minSize + len(m.Body) + len(m.Topic) + len(m.Properties)
	if flag&FlagBornHostV6 != 0 {
		n += 12
	}
	if flag&FlagStoreHostV6 != 0 {
		n += 12
	}
	if len(m.Topic) > maxTopicV1 {
		n++
	}
	return n
}

// Append appends the record of m to dst. It computes the checksum of the body, chooses the version by the length of the
// topic and sets the host bits of SysFlag by the addresses; m stays as it is. The lengths of topic and properties must
// not exceed MaxProperties. An invalid host is written as 0.0.0.0:0.
func Append(dst []byte, m *Message) []byte {
	magic, flag := MagicV1, m.encodedFlag()
	if len(m.Topic) > maxTopicV1 {
		magic = MagicV2
	}
	e := binary.BigEndian
	dst = e.AppendUint32(dst, uint32(Size(m)))
	dst = e.AppendUint32(dst, magic)
	dst = e.AppendUint32(dst, CRC(m.Body))
	dst = e.AppendUint32(dst, uint32(m.QueueID))
	dst = e.AppendUint32(dst, uint32(m.Flag))
	dst = e.AppendUint64(dst, uint64(m.QueueOffset))
	dst = e.AppendUint64(dst, uint64(m.LogOffset))
	dst = e.AppendUint32(dst, uint32(flag))
	dst = e.AppendUint64(dst, uint64(m.BornTime))
	dst = appendHost(dst, m.BornHost, flag&FlagBornHostV6 != 0)
	dst = e.AppendUint64(dst, uint64(m.StoreTime))
	dst = appendHost(dst, m.StoreHost, flag&FlagStoreHostV6 != 0)
	dst = e.AppendUint32(dst, uint32(m.ReconsumeTimes))
	dst = e.AppendUint64(dst, uint64(m.PreparedOffset))
	dst = e.AppendUint32(dst, uint32(len(m.Body)))
	dst = append(dst, m.Body...)
	if magic == MagicV1 {
		dst = append(dst, byte(len(m.Topic)))
	} else {
		dst = e.AppendUint16(dst, uint16(len(m.Topic)))
	}
	dst = append(dst, m.Topic...)
	dst = e.AppendUint16(dst, uint16(len(m.Properties)))
	return append(dst, m.Properties...)
}

// Place writes into an encoded record what is known only when it gets its place: the offset in its queue, the offset in
// the log, and the time in ms.
func Place(rec []byte, q skua.QueueOffset, log skua.LogOffset, storeTime int64) {
	binary.BigEndian.PutUint64(rec[queueOffsetAt:], uint64(q))
	binary.BigEndian.PutUint64(rec[logOffsetAt:], uint64(log))
	at := bornHostAt + 8
	if rec[sysFlagAt+3]&byte(FlagBornHostV6) != 0 {
		at += 12
	}
	binary.BigEndian.PutUint64(rec[at:], uint64(storeTime))
}

// QueueOffsetOf is the queue offset of a record.
func QueueOffsetOf(rec []byte) skua.QueueOffset {
	return skua.QueueOffset(binary.BigEndian.Uint64(rec[queueOffsetAt:]))
}

// Move gives a record, of which nothing else changes, another place in a log.
func Move(rec []byte, log skua.LogOffset) { binary.BigEndian.PutUint64(rec[logOffsetAt:], uint64(log)) }

// StoreTimeOf reads the store time, ms, of an encoded record of at least 88 bytes; only its beginning needs to be there.
func StoreTimeOf(rec []byte) int64 {
	at := bornHostAt + 8
	if rec[sysFlagAt+3]&byte(FlagBornHostV6) != 0 {
		at += 12
	}
	return int64(binary.BigEndian.Uint64(rec[at:]))
}

// AppendBlank appends the mark that the rest of a file, left bytes, is blank.
func AppendBlank(dst []byte, left int64) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(left))
	return binary.BigEndian.AppendUint32(dst, MagicBlank)
}

// encodedFlag is SysFlag with the host bits as they will be written.
func (m *Message) encodedFlag() int32 {
	flag := m.SysFlag
	setV6(&flag, FlagBornHostV6, m.BornHost.Addr())
	setV6(&flag, FlagStoreHostV6, m.StoreHost.Addr())
	return flag
}

// setV6 sets bit if a needs the long form. An IPv4 address in IPv6 clothes keeps the form that the bit asks for.
func setV6(flag *int32, bit int32, a netip.Addr) {
	switch {
	case a.Is4(), !a.IsValid():
		*flag &^= bit
	case !a.Is4In6():
		*flag |= bit
	}
}

func appendHost(dst []byte, h netip.AddrPort, v6 bool) []byte {
	a := h.Addr()
	switch {
	case v6:
		b := a.As16()
		dst = append(dst, b[:]...)
	case a.IsValid():
		b := a.Unmap().As4()
		dst = append(dst, b[:]...)
	default:
		dst = append(dst, 0, 0, 0, 0)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(h.Port()))
}
