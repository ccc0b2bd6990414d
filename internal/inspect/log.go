package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// stretchKind says what a stretch of the log is.
type stretchKind int

const (
	stretchRecord stretchKind = iota // a record
	stretchBlank                     // a blank: the rest of its file
	stretchGap                       // damage: good records, or another file with some, lie behind it
	stretchTail                      // nothing good up to the end of the file, or of the log
)

// stretch is a part of a file of the log.
type stretch struct {
	kind stretchKind
	off  int64          // in the log
	n    int64          // bytes
	raw  []byte         // the record; valid until the next one
	msg  record.Message // views of raw
	why  error          // what is wrong with a gap or tail; nil for a tail of zeros
}

// logReader reads the log of a Dir. It is for one goroutine.
type logReader struct {
	d    *Dir
	pool pool
	buf  []byte
	at   int64 // of buf in the log
	time int64 // greatest store time of the walk, ms
}

const (
	readStep  = 1 << 20
	maxRecord = 64 << 20 // larger sizes are damage; the largest body that can be configured makes less
)

func (d *Dir) reader() *logReader { return &logReader{d: d} }

func (r *logReader) close() { r.pool.close() }

// read fills b with the bytes of the log at off, which must lie in one file: from the files and, where these lack them,
// from what was staged.
func (r *logReader) read(b []byte, off int64) error {
	f, ok := r.d.log.at(off)
	var err error
	switch {
	case ok:
		var n int
		if n, err = r.pool.readAt(f.path, b, off-f.start); errors.Is(err, io.EOF) {
			clear(b[n:]) // of a file of the wrong size
			err = nil
		}
	case off >= r.d.log.end() && len(r.d.staged) > 0:
		clear(b)
	default:
		err = fmt.Errorf("no file of the log has offset %d", off)
	}
	if err != nil {
		return err
	}
	if at := off - r.d.stagedAt; at+int64(len(b)) > 0 && at < int64(len(r.d.staged)) {
		copy(b[max(-at, 0):], r.d.staged[max(at, 0):])
	}
	return nil
}

// bytes returns at least n bytes of the log at off, if there are as many before end, and more if they are at hand.
func (r *logReader) bytes(off, n, end int64) ([]byte, error) {
	n = min(n, end-off)
	if off >= r.at && off+n <= r.at+int64(len(r.buf)) {
		return r.buf[off-r.at : min(int64(len(r.buf)), end-r.at)], nil
	}
	want := min(max(n, readStep), end-off)
	if int64(cap(r.buf)) < want {
		r.buf = make([]byte, want)
	}
	r.buf, r.at = r.buf[:want], off
	if err := r.read(r.buf, off); err != nil {
		r.buf = r.buf[:0]
		return nil, err
	}
	return r.buf, nil
}

// walk calls yield with each stretch of the log from off to end, which lie in one file, until it returns false.
func (r *logReader) walk(off, end, fileEnd int64, yield func(stretch) bool) error {
	for r.time = 0; off < end; {
		s, err := r.stretch(off, end, fileEnd)
		if err != nil {
			return err
		}
		if s.kind == stretchRecord {
			r.time = max(r.time, s.msg.StoreTime)
		}
		if !yield(s) || s.kind == stretchBlank {
			return nil
		}
		off = s.off + s.n
	}
	return nil
}

// stretch returns the next stretch.
func (r *logReader) stretch(off, end, fileEnd int64) (stretch, error) {
	s, err := r.record(off, end)
	if err != nil || s.why == nil {
		return s, err
	}
	if s.kind == stretchBlank {
		s.n = fileEnd - off
		s.why = nil
		return s, nil
	}
	next, err := r.nextGood(off+1, end, fileEnd)
	if err == nil && next < end && off >= r.d.lastStart {
		next, err = r.notStale(next, end)
	}
	if err != nil {
		return s, err
	}
	s.kind, s.n = stretchGap, next-off
	if next == end {
		s.kind = stretchTail
		if err := r.empty(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// notStale is next, or end if the good record at next is older than what lies in front of it: a recovery of Java's has
// cut it off once, which leaves the bytes where they are, and the log has not come so far again.
func (r *logReader) notStale(next, end int64) (int64, error) {
	s, err := r.record(next, end)
	if err == nil && s.why == nil && s.msg.StoreTime < r.time {
		return end, nil
	}
	return next, err
}

// findLast finds the last file that has a record, or a blank, at its beginning.
func (d *Dir) findLast() error {
	r := d.reader()
	defer r.close()
	for _, p := range slices.Backward(d.parts()) {
		s, err := r.record(p.from, p.to)
		if err != nil {
			return err
		}
		if s.why == nil || s.kind == stretchBlank {
			d.lastStart = p.from
			return nil
		}
	}
	return nil
}

// record reads the record at off. Where there is none the stretch has a reason, which a blank has, too.
func (r *logReader) record(off, end int64) (stretch, error) {
	s := stretch{off: off}
	b, err := r.bytes(off, record.BlankSize, end)
	if err != nil {
		return s, err
	}
	if len(b) >= record.BlankSize {
		size := int64(int32(binary.BigEndian.Uint32(b)))
		if magic := binary.BigEndian.Uint32(b[4:]); magic != record.MagicBlank && size > int64(len(b)) && size <= min(end-off, maxRecord) {
			if b, err = r.bytes(off, size, end); err != nil {
				return s, err
			}
		}
	}
	m, n, err := record.Decode(b)
	switch {
	case errors.Is(err, record.ErrBlank):
		s.kind, s.why = stretchBlank, err
	case err != nil:
		s.why = err
	case m.LogOffset != skua.LogOffset(off):
		s.why = fmt.Errorf("%w: it says that it belongs at %d", record.ErrCorrupt, m.LogOffset)
	case !m.BodyIntact():
		s.why = fmt.Errorf("%w: the checksum of its body is %d, not %d", record.ErrCorrupt, record.CRC(m.Body), m.BodyCRC)
	default:
		s.n, s.raw, s.msg = int64(n), b[:n:n], m
	}
	return s, nil
}

// nextGood is the offset of the first good record at or behind off, end if there is none.
func (r *logReader) nextGood(off, end, fileEnd int64) (int64, error) {
	for want := int64(readStep); off < end; {
		n := min(want, end-off)
		b := make([]byte, n)
		if err := r.read(b, off); err != nil {
			return 0, err
		}
		at, err := record.Next(b, skua.LogOffset(off), fileEnd-off)
		if err == nil {
			return off + int64(at), nil
		}
		if n == end-off {
			return end, nil
		}
		off += int64(at)
		want = max(readStep, 2*(n-int64(at)))
	}
	return end, nil
}

// empty forgets what is wrong with a tail that begins with zeros only: nothing was written there.
func (r *logReader) empty(s *stretch) error {
	b, err := r.bytes(s.off, record.BlankSize, s.off+s.n)
	if err != nil {
		return err
	}
	for _, c := range b[:min(len(b), record.BlankSize)] {
		if c != 0 {
			return nil
		}
	}
	s.why = nil
	return nil
}

// part is what lies in one file of the log.
type part struct {
	file     file
	from, to int64 // to is at most where the log ends
}

// parts cuts the log into its files, without those in which nothing can be.
func (d *Dir) parts() []part {
	var ps []part
	limit := d.limit()
	for _, f := range d.log.files {
		if to := min(f.start+d.log.size, limit); f.start < to {
			ps = append(ps, part{f, f.start, to})
		}
	}
	if end := d.log.end(); len(d.log.files) > 0 && limit > end { // killed before the next file was there
		ps = append(ps, part{file{start: end, size: d.log.size}, end, limit})
	}
	return ps
}
