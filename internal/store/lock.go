package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// lockDir takes the lock that Java takes: an exclusive record lock on byte 0 of the file "lock". It lasts until the file
// is closed, or the process ends.
func lockDir(dir string) (*os.File, error) {
	f, err := segment.Lock(filepath.Join(dir, layout.LockFile))
	if errors.Is(err, segment.ErrLocked) {
		return nil, fmt.Errorf("store: Lock failed,MQ already started: another broker%s uses %s; stop it, or set another storePathRootDir",
			lastPID(dir), dir)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w; storePathRootDir must be a directory that the broker may write", err)
	}
	if _, err := f.WriteAt([]byte("lock"), 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("store: %w", err)
	}
	return f, nil
}

// lastPID is the process that the abort file names, for messages.
func lastPID(dir string) string {
	a, err := readAbort(dir)
	if err != nil || a.PID == "" {
		return ""
	}
	return " (process " + a.PID + ")"
}

// writeAbort makes the abort file that of session s in this process, durably: a start that does not find it after the
// machine went down would take the stop for a clean one, and trust files that were not.
func writeAbort(faults segment.Faults, dir string, s layout.Session) error {
	path := filepath.Join(dir, layout.AbortFile)
	if err := faults.Changing("create", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := faults.WriteAt(f, layout.AbortOf(os.Getpid(), s).Encode(), 0); err != nil {
		return err
	}
	if err := faults.Changing("sync", path); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return faults.SyncDir(dir)
}

// readAbort returns the content of the abort file. The error is fs.ErrNotExist after a clean stop.
func readAbort(dir string) (layout.Abort, error) {
	b, err := os.ReadFile(filepath.Join(dir, layout.AbortFile))
	return layout.DecodeAbort(b), err
}

// aborted tells how the last user of dir ended.
func aborted(dir string) (crashed bool, s layout.Session, err error) {
	a, err := readAbort(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, a.Session, nil
	}
	return true, a.Session, err
}

func syncFileSystem(faults segment.Faults, dir string) error {
	if err := faults.Changing("syncfs", dir); err != nil {
		return err
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
