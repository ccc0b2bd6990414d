package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// ErrWouldWait tells that the disk would have to be read, to a reader that must not wait for it.
var ErrWouldWait = errWouldWait

// AppendRecord appends the stored record at off to dst. Unless wait is set it does not block, and the error can be
// ErrWouldWait. It allocates only to make dst longer. Other errors: ErrNoRecord when there is no record at off, or none
// that readers may see.
func (s *Store) AppendRecord(dst []byte, off skua.LogOffset, wait bool) ([]byte, error) {
	if off < s.Min() || off >= s.Max() {
		return dst, fmt.Errorf("%w at %d: the log goes from %d to %d", ErrNoRecord, off, s.Min(), s.Max())
	}
	n := len(dst)
	dst = slices.Grow(dst, record.BlankSize)[:n+record.BlankSize]
	if err := s.log.fetch(dst[n:], int64(off), wait); err != nil {
		return dst[:n], noRecord(off, err)
	}
	size := int64(int32(binary.BigEndian.Uint32(dst[n:])))
	magic := binary.BigEndian.Uint32(dst[n+4:])
	left := s.o.SegmentSize - int64(off)%s.o.SegmentSize
	if magic != record.MagicV1 && magic != record.MagicV2 || size <= record.BlankSize || size > left || int64(off)+size > s.log.end.Load() {
		return dst[:n], fmt.Errorf("%w at %d", ErrNoRecord, off)
	}
	dst = slices.Grow(dst[:n], int(size))[:n+int(size)]
	if err := s.log.fetch(dst[n:], int64(off), wait); err != nil {
		return dst[:n], noRecord(off, err)
	}
	if !record.Begins(dst[n:], off) {
		return dst[:n], fmt.Errorf("%w at %d", ErrNoRecord, off)
	}
	return dst, nil
}

// noRecord is the error of a record that could not be read.
func noRecord(off skua.LogOffset, err error) error {
	if errors.Is(err, errWouldWait) {
		return err
	}
	return fmt.Errorf("%w at %d: %w", ErrNoRecord, off, err)
}

// End is the offset behind the last record that was appended, whether or not readers may see it: the next one begins
// there, or behind.
func (s *Store) End() skua.LogOffset { return skua.LogOffset(s.log.end.Load()) }

// Scan calls yield for each record from from on, where one must begin, up to what is the end now, until yield returns
// false. The message's slices are valid until yield returns. It reads all of that part of the log.
func (s *Store) Scan(from skua.LogOffset, yield func(m *record.Message) bool) error {
	at, end := max(int64(from), int64(s.Min())), s.log.end.Load()
	var memory, buf []byte // buf is the log from at on
	for at < end {
		m, n, err := record.Decode(buf)
		switch left := s.o.SegmentSize - at%s.o.SegmentSize; {
		case errors.Is(err, record.ErrBlank) && int64(n) == left:
			buf, at = buf[:0], at+left
		case errors.Is(err, record.ErrShort) && int64(len(buf)) < min(left, end-at):
			want := min(max(int64(n), scanSize), left, end-at)
			memory = slices.Grow(memory[:0], int(want))
			buf = memory[:want]
			if err := s.log.read(buf, at); err != nil {
				return noRecord(skua.LogOffset(at), err)
			}
		case err != nil || int64(m.LogOffset) != at:
			return fmt.Errorf("%w at %d", ErrNoRecord, at)
		default:
			if !yield(&m) {
				return nil
			}
			buf, at = buf[n:], at+int64(n)
		}
	}
	return nil
}
