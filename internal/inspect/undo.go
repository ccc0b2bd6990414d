package inspect

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// Undo puts back what a repair changed, from the folder with its copies. It refuses when something was changed since, as
// by a broker that was started: what that has written would be lost. told is called for each step.
func Undo(dir string, told func(step string)) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	store := filepath.Dir(filepath.Dir(dir))
	changes, err := readJournal(filepath.Join(dir, journalFile))
	if err != nil {
		return fmt.Errorf("store: %s is not the folder of a repair: %w", dir, err)
	}
	lock, err := segment.Lock(filepath.Join(store, layout.LockFile))
	if errors.Is(err, segment.ErrLocked) {
		return fmt.Errorf("store: %s cannot be put back: %w", store, ErrRunning)
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer lock.Close()
	if exists(filepath.Join(dir, journalUndone)) {
		return fmt.Errorf("store: the repair in %s was undone before", dir)
	}
	u := undo{store: store, dir: dir, told: told}
	for _, c := range changes {
		if err := u.check(c); err != nil {
			return fmt.Errorf("store: nothing is put back: %w", err)
		}
	}
	for _, c := range slices.Backward(changes) {
		if err := u.revert(c); err != nil {
			return fmt.Errorf("store: %w", err)
		}
	}
	return os.WriteFile(filepath.Join(dir, journalUndone), nil, 0o644)
}

func readJournal(path string) (changes []change, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	for in.Scan() {
		var c change
		if json.Unmarshal(in.Bytes(), &c) != nil {
			break // torn: what it speaks of was not done
		}
		changes = append(changes, c)
	}
	return changes, in.Err()
}

type undo struct {
	store, dir string
	told       func(string)
}

func (u *undo) path(c change) string {
	if filepath.IsAbs(c.Path) {
		return c.Path
	}
	return filepath.Join(u.store, c.Path)
}

// check looks whether a change can be undone: what it left is still there, or it was not done.
func (u *undo) check(c change) error {
	path, saved := u.path(c), filepath.Join(u.dir, c.Saved)
	switch c.Op {
	case "write", "zero":
		now, err := checksum(path, c.Offset, c.Length)
		if err != nil {
			return err
		}
		old, err := checksum(saved, 0, c.Length)
		if err != nil {
			return err
		}
		want := c.New
		if c.Op == "zero" {
			h := crc32.NewIEEE()
			_, _ = io.Copy(h, io.LimitReader(zeros{}, c.Length))
			want = h.Sum32()
		}
		if now != want && now != old {
			return fmt.Errorf("%s was changed since the repair, at byte %d", path, c.Offset)
		}
	case "move":
		if exists(saved) && exists(path) && !u.placed(c.Path) {
			return fmt.Errorf("there is a new %s since the repair; move it away if it is not wanted", path)
		}
	}
	return nil
}

// placed reports whether the repair itself put something at path.
func (u *undo) placed(path string) bool {
	changes, err := readJournal(filepath.Join(u.dir, journalFile))
	return err == nil && slices.ContainsFunc(changes, func(c change) bool { return c.Op == "place" && c.Path == path })
}

func checksum(path string, off, n int64) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	h := crc32.NewIEEE()
	_, err = io.Copy(h, io.NewSectionReader(f, off, n))
	return h.Sum32(), err
}

// revert undoes a change, if it was done.
func (u *undo) revert(c change) error {
	path, saved := u.path(c), filepath.Join(u.dir, c.Saved)
	switch c.Op {
	case "write", "zero":
		u.told(fmt.Sprintf("put %d bytes back into %s at byte %d", c.Length, path, c.Offset))
		return u.putBack(path, saved, c.Offset)
	case "move":
		if !exists(saved) {
			return nil
		}
		u.told("put back " + path)
		return rename(saved, path)
	case "place":
		if !exists(path) || exists(saved) {
			return nil
		}
		u.told("take away " + path)
		return rename(path, saved)
	case "create":
		if !exists(path) {
			return nil
		}
		u.told("take away " + path)
		return rename(path, filepath.Join(u.dir, "created", filepath.Base(path)))
	}
	return fmt.Errorf("the journal in %s has the unknown change %q", u.dir, c.Op)
}

func (u *undo) putBack(path, saved string, off int64) error {
	in, err := os.Open(saved)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(out, off), in)
	return errors.Join(err, out.Sync(), out.Close())
}
