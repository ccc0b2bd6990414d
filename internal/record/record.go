// Package record encodes messages as the commit log stores them, and the small things around them: property strings,
// bodies of batches, offset ids and tags codes. It hides the byte layouts; it does no I/O and keeps nothing.
//
// A record, all integers big-endian (h and H are 8 bytes, or 20 for an IPv6 host; version 1 and IPv4 in the offsets):
//
//	 0 i32 size of the whole record      48 h   born host: address, i32 port
//	 4 i32 magic (version 1 or 2)        56 i64 store time, ms
//	 8 i32 CRC of the body               64 H   store host
//	12 i32 queue id                      72 i32 reconsume times
//	16 i32 flag                          76 i64 prepared transaction offset
//	20 i64 queue offset                  84 i32 body length, body
//	28 i64 log offset of the record         u8 (version 2: i16) topic length, topic
//	36 i32 sysFlag                          i16 properties length, properties
//	40 i64 born time, ms
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net/netip"

	"github.com/skuamq/skua"
)

// Bits of Message.SysFlag that the encoding of records depends on.
const (
	FlagTransactionMask     int32 = 0xC // what kind of transaction message it is
	FlagTransactionPrepared int32 = 0x4
	FlagTransactionCommit   int32 = 0x8
	FlagTransactionRollback int32 = 0xC
	FlagBornHostV6          int32 = 0x10 // the born host takes 20 bytes
	FlagStoreHostV6         int32 = 0x20 // the store host takes 20 bytes
)

// Magic numbers, the second word of everything in a commit log.
const (
	MagicV1    uint32 = 0xDAA320A7
	MagicV2    uint32 = 0xDAA320AB // the topic is longer than 127 bytes
	MagicBlank uint32 = 0xCBD43194 // the rest of the file is blank
)

// Limits of the encoding, bytes.
const (
	MaxProperties = math.MaxInt16 // properties of a message
	BlankSize     = 8             // a blank: i32 bytes left in the file, i32 MagicBlank
	minSize       = 91            // a version 1 record without body, topic, properties
	maxTopicV1    = 127
)

// Errors of Decode, to be matched with errors.Is.
var (
	ErrShort   = errors.New("record: bytes end before the record does")
	ErrBlank   = errors.New("record: blank, the next record is in the next file")
	ErrCorrupt = errors.New("record: corrupt")
)

// Message is a message as it is stored. Byte slices are the caller's; nothing here keeps them.
type Message struct {
	Topic          []byte
	QueueID        int32
	Flag           int32
	SysFlag        int32
	BornTime       int64 // ms
	BornHost       netip.AddrPort
	StoreTime      int64 // ms; set by the store at append
	StoreHost      netip.AddrPort
	ReconsumeTimes int32
	PreparedOffset int64
	Body           []byte
	Properties     []byte           // as in formats.md 2.2
	QueueOffset    skua.QueueOffset // set by the store at append
	LogOffset      skua.LogOffset   // set by the store at append
	BodyCRC        uint32           // set by Decode
	Size           int32            // of the record; set by Decode and by the store
	Light          bool             // the store is to enter it in the light queues that its properties name, too
}

// Transaction is the transaction kind of the message: 0 or one of the FlagTransaction values.
func (m *Message) Transaction() int32 { return m.SysFlag & FlagTransactionMask }

// Queued reports whether the message takes a place in its queue: prepared and rolled back messages do not.
func (m *Message) Queued() bool {
	t := m.Transaction()
	return t == 0 || t == FlagTransactionCommit
}

// BodyIntact reports whether the body still has the checksum that Decode found.
func (m *Message) BodyIntact() bool { return len(m.Body) == 0 || CRC(m.Body) == m.BodyCRC }

// CRC is the checksum of RocketMQ: CRC-32 (IEEE) without its highest bit.
func CRC(b []byte) uint32 { return crc32.ChecksumIEEE(b) & math.MaxInt32 }

// Decode reads the record at the start of b. The message's slices are views of b. n is the record's size. It does not
// verify the checksum of the body, see BodyIntact. Errors: ErrShort when b ends too early, ErrBlank with n the claimed
// length of the blank, and ErrCorrupt with the field that is wrong.
func Decode(b []byte) (m Message, n int, err error) {
	if len(b) < BlankSize {
		return m, 0, ErrShort
	}
	size, magic := int(int32(binary.BigEndian.Uint32(b))), binary.BigEndian.Uint32(b[4:])
	switch {
	case magic == MagicBlank:
		return m, size, ErrBlank
	case magic != MagicV1 && magic != MagicV2:
		return m, 0, fmt.Errorf("%w: magic %#08x", ErrCorrupt, magic)
	case size < minSize:
		return m, 0, fmt.Errorf("%w: size %d is below the least, %d", ErrCorrupt, size, minSize)
	case size > len(b):
		return m, size, ErrShort
	}
	if err := m.decode(b[:size:size], magic); err != nil {
		return Message{}, 0, err
	}
	return m, size, nil
}

// Begins reports whether b begins like the record of len(b) bytes that is stored at off: it looks at size, magic and offset
// only, which is much quicker than Decode.
func Begins(b []byte, off skua.LogOffset) bool {
	if len(b) < minSize || int(binary.BigEndian.Uint32(b)) != len(b) {
		return false
	}
	magic := binary.BigEndian.Uint32(b[4:])
	return (magic == MagicV1 || magic == MagicV2) && skua.LogOffset(binary.BigEndian.Uint64(b[28:])) == off
}

// decode fills m from the record b, whose size and magic are plausible.
func (m *Message) decode(b []byte, magic uint32) error {
	m.Size = int32(len(b))
	m.BodyCRC = binary.BigEndian.Uint32(b[8:])
	m.QueueID = int32(binary.BigEndian.Uint32(b[12:]))
	m.Flag = int32(binary.BigEndian.Uint32(b[16:]))
	m.QueueOffset = skua.QueueOffset(binary.BigEndian.Uint64(b[20:]))
	m.LogOffset = skua.LogOffset(binary.BigEndian.Uint64(b[28:]))
	m.SysFlag = int32(binary.BigEndian.Uint32(b[36:]))
	m.BornTime = int64(binary.BigEndian.Uint64(b[40:]))
	r := reader{b: b, at: 48}
	m.BornHost = r.host(m.SysFlag&FlagBornHostV6 != 0)
	m.StoreTime = int64(r.u64())
	m.StoreHost = r.host(m.SysFlag&FlagStoreHostV6 != 0)
	m.ReconsumeTimes = int32(r.u32())
	m.PreparedOffset = int64(r.u64())
	m.Body = r.bytes(int(int32(r.u32())))
	topic := 0
	if magic == MagicV1 {
		topic = int(int8(r.u8()))
	} else {
		topic = int(int16(r.u16()))
	}
	m.Topic = r.bytes(topic)
	m.Properties = r.bytes(int(int16(r.u16())))
	if r.bad || r.at != len(b) {
		return fmt.Errorf("%w: its fields take other than the %d bytes of its size", ErrCorrupt, len(b))
	}
	return nil
}

// reader reads fields one after the other and remembers whether one did not fit.
type reader struct {
	b   []byte
	at  int
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n < 0 || n > len(r.b)-r.at {
		r.bad = true
		return nil
	}
	v := r.b[r.at : r.at+n : r.at+n]
	r.at += n
	return v
}

func (r *reader) u8() uint8 {
	if v := r.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.bytes(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.bytes(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (r *reader) host(v6 bool) netip.AddrPort {
	var a netip.Addr
	if v6 {
		if v := r.bytes(16); v != nil {
			a = netip.AddrFrom16([16]byte(v))
		}
	} else if v := r.bytes(4); v != nil {
		a = netip.AddrFrom4([4]byte(v))
	}
	return netip.AddrPortFrom(a, uint16(r.u32()))
}
