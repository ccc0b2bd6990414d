package broker

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/skuamq/skua"
)

// txnMark keeps, in a file of Skua's own, a place in the log before which every record that makes an end of a half message
// has its op message, and that on disk. A start looks behind it only. It is written without being synced: what comes back
// after the machine went down is an older place, which is right as well.
//
//	+-----------------+---------------------+
//	| place, i64 BE   | CRC of it, u32 BE   |
//	+-----------------+---------------------+
type txnMark struct {
	file *os.File
	path string
	next [txnMarkSize]byte // memory for set
}

const txnMarkSize = 12

// openTxnMark opens or makes the file at path, and returns the place that it tells; false if it tells none.
func openTxnMark(path string) (m *txnMark, at skua.LogOffset, ok bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, 0, false, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, false, err
	}
	var b [txnMarkSize]byte
	if n, _ := f.ReadAt(b[:], 0); n == len(b) && crc32.ChecksumIEEE(b[:8]) == binary.BigEndian.Uint32(b[8:]) {
		at = skua.LogOffset(binary.BigEndian.Uint64(b[:]))
		ok = at >= 0
	}
	return &txnMark{file: f, path: path}, at, ok, nil
}

// set notes a place.
func (m *txnMark) set(at skua.LogOffset) error {
	b := m.next[:]
	binary.BigEndian.PutUint64(b, uint64(at))
	binary.BigEndian.PutUint32(b[8:], crc32.ChecksumIEEE(b[:8]))
	if _, err := m.file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	return nil
}

func (m *txnMark) close() error { return m.file.Close() }
