package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
)

// journal does the changes of a repair so that they can be undone: before each it saves what is there, and writes down
// what it will do. Everything is synced before the change.
//
//	<dir>/journal      one JSON object on each line, see change
//	<dir>/bytes.<n>    bytes that were overwritten
//	<dir>/moved/..     files and folders that were moved away
//	<dir>/new/..       files on their way into the store
type journal struct {
	store string // the store directory
	dir   string
	file  *os.File
	count int
}

// change is a line of the journal.
type change struct {
	Op     string // write, zero, move, place or create
	Path   string // below the store directory if it is not absolute
	Offset int64  `json:",omitzero"` // write, zero: where
	Length int64  `json:",omitzero"` // write, zero, create: bytes
	Saved  string `json:",omitzero"` // in the folder of the journal: what was there; place: where it came from
	New    uint32 `json:",omitzero"` // write, zero: CRC-32 of the bytes that are there afterwards
}

const (
	journalPrefix = "repair-"
	journalFile   = "journal"
	journalUndone = "undone" // exists when the repair was undone
)

func newJournal(store string, now time.Time) (*journal, error) {
	dir := filepath.Join(store, layout.OwnDir, journalPrefix+now.UTC().Format("20060102T150405.000Z"))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	j := &journal{store: store, dir: dir, file: f}
	return j, errors.Join(syncPath(dir), syncPath(filepath.Dir(dir)))
}

func (j *journal) close() { j.file.Close() }

// relative is how the journal names a path.
func (j *journal) relative(path string) string {
	if r, err := filepath.Rel(j.store, path); err == nil && filepath.IsLocal(r) {
		return r
	}
	return path
}

// note writes down what comes next.
func (j *journal) note(c change) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return err
	}
	return errors.Join(j.file.Sync(), syncPath(j.dir))
}

// save copies a part of a file to the journal's folder.
func (j *journal) save(path string, off, n int64) (name string, err error) {
	j.count++
	name = "bytes." + strconv.Itoa(j.count)
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(j.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	got, err := io.Copy(out, io.NewSectionReader(in, off, n))
	if err == nil && got != n {
		err = fmt.Errorf("%s ends %d bytes too early", path, n-got)
	}
	return name, errors.Join(err, out.Sync(), out.Close())
}

// write overwrites a part of a file.
func (j *journal) write(path string, off int64, b []byte) error {
	saved, err := j.save(path, off, int64(len(b)))
	if err != nil {
		return err
	}
	c := change{Op: "write", Path: j.relative(path), Offset: off, Length: int64(len(b)), Saved: saved, New: crc32.ChecksumIEEE(b)}
	if err := j.note(c); err != nil {
		return err
	}
	return overwrite(path, off, b)
}

func overwrite(path string, off int64, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, off)
	return errors.Join(err, f.Sync(), f.Close())
}

// zero clears a part of a file.
func (j *journal) zero(path string, off, n int64) error {
	saved, err := j.save(path, off, n)
	if err != nil {
		return err
	}
	if err := j.note(change{Op: "zero", Path: j.relative(path), Offset: off, Length: n, Saved: saved}); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n); errors.Is(err, unix.EOPNOTSUPP) {
		_, err = io.Copy(io.NewOffsetWriter(f, off), io.LimitReader(zeros{}, n))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// zeros reads as zeros.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// create makes an empty file of a size.
func (j *journal) create(path string, size int64) error {
	if err := j.note(change{Op: "create", Path: j.relative(path), Length: size}); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close(), syncPath(filepath.Dir(path)))
}

// move moves a file or folder away.
func (j *journal) move(path string) error {
	saved := filepath.Join("moved", strings.TrimPrefix(j.relative(path), "/"))
	if err := j.note(change{Op: "move", Path: j.relative(path), Saved: saved}); err != nil {
		return err
	}
	return rename(path, filepath.Join(j.dir, saved))
}

// place moves a file or folder that was made in the journal's folder into the store.
func (j *journal) place(from, path string) error {
	if err := j.note(change{Op: "place", Path: j.relative(path), Saved: from}); err != nil {
		return err
	}
	return rename(filepath.Join(j.dir, from), path)
}

// rename moves a file or folder, to another file system if need be, and syncs both folders.
func rename(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err := os.Rename(from, to)
	if errors.Is(err, unix.EXDEV) {
		if err = copyTree(from, to); err == nil {
			err = os.RemoveAll(from)
		}
	}
	return errors.Join(err, syncPath(filepath.Dir(to)), syncPath(filepath.Dir(from)))
}

// copyTree copies a file or folder with its times, and syncs it.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return copyFile(path, filepath.Join(to, rel))
	})
}

// copyFile copies a file, holes as holes, and syncs it.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	err = out.Truncate(info.Size())
	for at := int64(0); at < info.Size() && err == nil; {
		data, end := extent(in, at, info.Size())
		_, err = io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, end-data))
		at = end
	}
	err = errors.Join(err, out.Sync(), out.Close())
	return errors.Join(err, os.Chtimes(to, info.ModTime(), info.ModTime()))
}

// extent is the next stretch of data at or behind at; it is empty, at size, when there is none.
func extent(f *os.File, at, size int64) (data, end int64) {
	data, err := f.Seek(at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size
	}
	if err != nil {
		return at, size
	}
	if end, err = f.Seek(data, unix.SEEK_HOLE); err != nil {
		return data, size
	}
	return data, min(end, size)
}

// syncPath syncs a file or folder.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
