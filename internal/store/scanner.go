package store

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// scanner reads records one behind the other with large reads.
type scanner struct {
	run *segment.Run
	buf []byte
	at  int64 // of buf in the log
}

const scanSize = 1 << 20

// record reads the record at at. It is good when it decodes and tells its own offset. The message's slices are valid
// until the next call.
func (r *scanner) record(at int64) (m record.Message, n int, err error) {
	b, err := r.bytes(at, record.BlankSize)
	if err != nil {
		return m, 0, err
	}
	size := int64(int32(binary.BigEndian.Uint32(b)))
	left := r.run.FileSize() - at%r.run.FileSize()
	if size > record.BlankSize && size <= left && binary.BigEndian.Uint32(b[4:]) != record.MagicBlank {
		if b, err = r.bytes(at, size); err != nil {
			return m, 0, err
		}
	}
	m, n, err = record.Decode(b)
	if err == nil && int64(m.LogOffset) != at {
		err = fmt.Errorf("%w: it says that it belongs at %d", record.ErrCorrupt, m.LogOffset)
	}
	return m, n, err
}

// bytes returns at least n bytes of the log from at on, all in one file.
func (r *scanner) bytes(at, n int64) ([]byte, error) {
	if at >= r.at && at+n <= r.at+int64(len(r.buf)) {
		return r.buf[at-r.at:], nil
	}
	left := r.run.FileSize() - at%r.run.FileSize()
	if n > left {
		return nil, record.ErrShort
	}
	want := min(max(n, scanSize), left)
	if int64(cap(r.buf)) < want {
		r.buf = make([]byte, want)
	}
	r.buf, r.at = r.buf[:want], at
	if err := r.run.ReadAt(r.buf, at); err != nil {
		r.forget()
		return nil, err
	}
	return r.buf, nil
}

func (r *scanner) forget() { r.buf, r.at = r.buf[:0], math.MinInt64 }
