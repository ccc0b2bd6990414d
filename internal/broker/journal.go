package broker

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/skuamq/skua/internal/fastjson"
)

// journal holds the changes of a config file that are not in the file yet, so that a change does not cost what writing the
// whole file costs. Each is a line: the CRC-32 of the rest in eight hexadecimal digits, a space, JSON.
//
// Crash argument: a change is acknowledged when write has taken its line; the start makes all changes again of which the
// lines are whole, and then writes the file. A line that is not whole was not acknowledged. That some of the changes are in
// the file already does no harm: each names what it changes, and the last one counts.
type journal struct {
	path string
	file *os.File // nil until there is something in it
	size int64    // bytes of whole lines
}

// read calls change for each line of the journal that an earlier run has left.
func (j *journal) read(change func(line []byte) error) (lines int, err error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	in := bufio.NewScanner(bytes.NewReader(data))
	in.Buffer(nil, len(data)+1)
	for in.Scan() {
		sum, rest, _ := bytes.Cut(in.Bytes(), []byte(" "))
		want, err := strconv.ParseUint(string(sum), 16, 32)
		if err != nil || len(sum) != 8 || uint32(want) != crc32.ChecksumIEEE(rest) {
			return lines, nil
		}
		if err := change(rest); err != nil {
			return lines, fmt.Errorf("%s, line %d: %w", j.path, lines+1, err)
		}
		lines++
	}
	return lines, nil
}

// append adds a change. When it returns without error the change survives the process, and, if synced is true, the
// machine.
func (j *journal) append(change any, synced bool) error {
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

func (j *journal) create() (err error) {
	if err := os.MkdirAll(filepath.Dir(j.path), 0o755); err != nil {
		return err
	}
	if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		return err
	}
	j.size = 0
	return syncDir(filepath.Dir(j.path))
}

// close ends its use. What is in it stays.
func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file, j.size = nil, 0
	return err
}

// drop removes the journal: the file has everything.
func (j *journal) drop() error {
	j.close()
	if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
