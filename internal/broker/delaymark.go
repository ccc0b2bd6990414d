package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skuamq/skua"
)

// delayMark keeps, in a file of Skua's own beside Java's delayOffset.json, how far delayed messages were delivered, so
// that a killed process delivers almost nothing again. It is written after each batch without being synced: what it says
// outlives the process but may be ahead of the log after a power cut. So it names the boot of the machine that it was
// written in and counts in no other. It is removed at a clean stop, when delayOffset.json says the same.
//
//	+--------------------+-----------------+-----------------+---
//	| boot id, 36 bytes  | level 1, i64 BE | level 2, i64 BE | ...     offsets of the next messages to deliver
//	+--------------------+-----------------+-----------------+---
type delayMark struct {
	file *os.File
	path string
}

const bootIDSize = 36

// bootID is the machine's name of its present run, nil if the system does not tell.
func bootID() []byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id = bytes.TrimSpace(id); err != nil || len(id) != bootIDSize {
		return nil
	}
	return id
}

// openDelayMark opens or makes the file at path and returns what a process that was killed left in it, by level. Without
// a boot id the mark is nil and does nothing.
func openDelayMark(path string, boot []byte, levels int) (*delayMark, map[int32]skua.QueueOffset, error) {
	if boot == nil {
		return nil, nil, nil
	}
	left := map[int32]skua.QueueOffset{}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	if bytes.HasPrefix(old, boot) {
		for i, b := 0, old[bootIDSize:]; len(b) >= 8 && i < maxDelayLevels; i, b = i+1, b[8:] {
			left[int32(i+1)] = skua.QueueOffset(binary.BigEndian.Uint64(b))
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, nil, err
	}
	// The new content takes the old one's place in one step, before anything is delivered.
	levels = max(levels, len(left))
	data := append(bytes.Clone(boot), make([]byte, 8*levels)...)
	for i := range levels {
		binary.BigEndian.PutUint64(data[bootIDSize+8*i:], uint64(left[int32(i+1)]))
	}
	temporary := path + ".tmp"
	if err := os.WriteFile(temporary, data, 0o644); err != nil {
		return nil, nil, err
	}
	if err := os.Rename(temporary, path); err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	return &delayMark{file, path}, left, nil
}

// set notes how far a level has come.
func (m *delayMark) set(level int, next skua.QueueOffset) error {
	if m == nil {
		return nil
	}
	if _, err := m.file.WriteAt(binary.BigEndian.AppendUint64(nil, uint64(next)), int64(bootIDSize+8*(level-1))); err != nil {
		return fmt.Errorf("%s: %w", m.path, err)
	}
	return nil
}

// close ends its use; remove tells whether delayOffset.json is up to date, so that it is no longer needed.
func (m *delayMark) close(remove bool) error {
	if m == nil {
		return nil
	}
	err := m.file.Close()
	if remove {
		err = errors.Join(err, os.Remove(m.path))
	}
	return err
}
