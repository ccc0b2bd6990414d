package record

import (
	"encoding/binary"
	"fmt"
)

// batchItemSize is the size of a batch item without body and properties.
const batchItemSize = 22

// BatchItem is one message of the body of a batch send:
//
//	0 i32 size of the item   4 i32 0   8 i32 0   12 i32 flag   16 i32 body length, body   i16 properties length, properties
type BatchItem struct {
	Flag             int32
	Body, Properties []byte // views
}

// EachBatchItem calls yield for each message in the body of a batch send, until yield returns false. The error tells at
// which byte the body is malformed; items before it have been yielded.
func EachBatchItem(body []byte, yield func(BatchItem) bool) error {
	for at := 0; at < len(body); {
		left := len(body) - at
		if left < batchItemSize {
			return fmt.Errorf("record: batch is malformed at byte %d: %d bytes cannot hold an item", at, left)
		}
		size := int(int32(binary.BigEndian.Uint32(body[at:])))
		if size < batchItemSize || size > left {
			return fmt.Errorf("record: batch is malformed at byte %d: item size %d, %d bytes left", at, size, left)
		}
		r := reader{b: body[at : at+size], at: 12}
		it := BatchItem{Flag: int32(r.u32())}
		it.Body = r.bytes(int(int32(r.u32())))
		it.Properties = r.bytes(int(int16(r.u16())))
		if r.bad || r.at != size {
			return fmt.Errorf("record: batch is malformed at byte %d: fields do not fill the item size %d", at, size)
		}
		if !yield(it) {
			return nil
		}
		at += size
	}
	return nil
}

// AppendBatchItem appends one message to the body of a batch send. Its properties must not exceed MaxProperties.
func AppendBatchItem(dst []byte, item BatchItem) []byte {
	e := binary.BigEndian
	dst = e.AppendUint32(dst, uint32(batchItemSize+len(item.Body)+len(item.Properties)))
	dst = e.AppendUint64(dst, 0)
	dst = e.AppendUint32(dst, uint32(item.Flag))
	dst = e.AppendUint32(dst, uint32(len(item.Body)))
	dst = append(dst, item.Body...)
	dst = e.AppendUint16(dst, uint16(len(item.Properties)))
	return append(dst, item.Properties...)
}

// Size is how many bytes the item takes in the body of a batch send.
func (it *BatchItem) Size() int { return batchItemSize + len(it.Body) + len(it.Properties) }
