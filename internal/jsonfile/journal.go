package jsonfile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"

	"github.com/skuamq/skua/internal/fastjson"
)

// Journal is a file to which changes are appended, so that a change does not cost what writing all that was changed costs. Each is
// a line:
//
//	CRC-32 (IEEE) of the JSON, 8 hexadecimal digits | space | JSON | line feed
//
// It is not safe for concurrent use.
//
// Crash argument: a change is acknowledged when Append has taken its line; the start makes all changes again of which the
// lines are whole. A line that is not whole was not acknowledged.
type Journal struct {
	path string
	file *os.File // nil until there is something in it
	size int64    // bytes of whole lines
}

// NewJournal returns a journal at path, to which nothing has been appended. What an earlier run has left there is for Read; the
// first Append replaces it.
func NewJournal(path string) Journal { return Journal{path: path} }

// Path is where it is.
func (j *Journal) Path() string { return j.path }

// Size is how many bytes have been appended.
func (j *Journal) Size() int64 { return j.size }

// Read calls change for each line that an earlier run has left, up to the first that is not whole, and returns how many there are.
// It stops at an error of change, which it returns with the place.
func (j *Journal) Read(change func(line []byte) error) (lines int, err error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range wholeLines(data) {
		if err := change(line); err != nil {
			return lines, fmt.Errorf("%s, line %d: %w", j.path, lines+1, err)
		}
		lines++
	}
	return lines, nil
}

// wholeLines yields the JSON of the lines in front of the first that is not whole.
func wholeLines(data []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.Lines(data) {
			sum, rest, found := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
			want, err := strconv.ParseUint(string(sum), 16, 32)
			if err != nil || !found || len(sum) != 8 || uint32(want) != crc32.ChecksumIEEE(rest) || !yield(rest) {
				return
			}
		}
	}
}

// Append adds a change. When it returns without error the change survives the process, and, if synced is true, the
// machine.
func (j *Journal) Append(change any, synced bool) error {
	data, err := fastjson.Marshal(change)
	if err != nil {
		return err
	}
	if j.file == nil {
		if err := j.create(); err != nil {
			return err
		}
	}
	line := fmt.Appendf(nil, "%08x %s\n", crc32.ChecksumIEEE(data), data)
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		return errors.Join(err, j.file.Truncate(j.size))
	}
	if synced {
		if err := j.file.Sync(); err != nil {
			return err
		}
	}
	j.size += int64(len(line))
	return nil
}

func (j *Journal) create() (err error) {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o755); err != nil {
		return err
	}
	if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		return err
	}
	j.size = 0
	return SyncDir(filepath.Dir(j.path))
}

// Move gives the journal another path, at which it takes the place of what is there.
func (j *Journal) Move(path string) error {
	if err := os.Rename(j.path, path); err != nil {
		return err
	}
	j.path = path
	return nil
}

// Close ends its use. What is in it stays.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file, j.size = nil, 0
	return err
}

// Drop removes the journal and what is in it.
func (j *Journal) Drop() error {
	j.Close()
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
