// Package record encodes messages as the commit log stores them.
package record

import (
	"net/netip"

	"github.com/skuamq/skua"
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
}

// Decode reads the record at the start of b. The message's slices are views of b. n is the record's size.
func Decode(b []byte) (m Message, n int, err error) { panic("skeleton") }

// Property returns the value of key in a property string, a view of it, and whether the key is there. Of equal keys the
// last one counts.
func Property(properties []byte, key string) ([]byte, bool) { panic("skeleton") }

// AppendProperty appends key and value to a property string.
func AppendProperty(dst []byte, key, value string) []byte { panic("skeleton") }

// ParseProperties reads a property string. Segments that Java would drop are dropped.
func ParseProperties(properties []byte) map[string]string { panic("skeleton") }

// AppendProperties writes a property string, keys in sorted order, empty keys or values left out.
func AppendProperties(dst []byte, m map[string]string) []byte { panic("skeleton") }

// BatchItem is one message of the body of a batch send.
type BatchItem struct {
	Flag             int32
	Body, Properties []byte // views
}

// EachBatchItem calls yield for each message in the body of a batch send, until yield returns false. The error tells at
// which byte the body is malformed.
func EachBatchItem(body []byte, yield func(BatchItem) bool) error { panic("skeleton") }

// AppendBatchItem appends one message to the body of a batch send.
func AppendBatchItem(dst []byte, item BatchItem) []byte { panic("skeleton") }

// AppendOffsetID appends the offset id, 32 or 56 upper-case hex digits, of the record at off stored by host.
func AppendOffsetID(dst []byte, host netip.AddrPort, off skua.LogOffset) []byte { panic("skeleton") }

// ParseOffsetID reads an offset id.
func ParseOffsetID(s string) (host netip.AddrPort, off skua.LogOffset, err error) { panic("skeleton") }

// HashString is Java's String.hashCode of UTF-8 text.
func HashString(s []byte) int32 { panic("skeleton") }

// TagsCode is the tags code that the consume queue stores for a property string: the hash of TAGS, 0 if none.
func TagsCode(properties []byte) int64 { panic("skeleton") }
