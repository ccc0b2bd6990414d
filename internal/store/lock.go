package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockDir takes the lock that Java takes: an exclusive record lock on byte 0 of the file "lock". It lasts until the file
// is closed, or the process ends.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("store: %w; storePathRootDir must be a directory that the broker may write", err)
	}
	// An open-file-description lock excludes Java's and, unlike that, a second store in this process too.
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: 0, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk); err != nil {
		f.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, fmt.Errorf("store: Lock failed,MQ already started: another broker%s uses %s; stop it, or set another storePathRootDir",
				lastPID(dir), dir)
		}
		return nil, fmt.Errorf("store: cannot lock %s: %w", path, err)
	}
	if _, err := f.WriteAt([]byte("lock"), 0); err != nil {
		f.Close()
		return nil, fmt.Errorf("store: %w", err)
	}
	return f, nil
}

// lastPID is the process that the abort file names, for messages.
func lastPID(dir string) string {
	pid, _, err := readAbort(dir)
	if err != nil || pid == "" {
		return ""
	}
	return " (process " + pid + ")"
}

// The abort file exists while a broker runs. Its first line is the process id, as Java has it; Skua adds its session, so
// that it knows later whether it was the last that used the directory.

func writeAbort(dir string, s session) error {
	text := strconv.Itoa(os.Getpid()) + "\n" + hex.EncodeToString(s[:]) + "\n"
	return os.WriteFile(filepath.Join(dir, abortFile), []byte(text), 0o644)
}

// readAbort returns the content of the abort file. The error is fs.ErrNotExist after a clean stop; the session is zero
// when Java ran.
func readAbort(dir string) (pid string, s session, err error) {
	b, err := os.ReadFile(filepath.Join(dir, abortFile))
	if err != nil {
		return "", s, err
	}
	pid, rest, _ := strings.Cut(string(b), "\n")
	if id, err := hex.DecodeString(strings.TrimSpace(rest)); err == nil && len(id) == len(s) {
		s = session(id)
	}
	return strings.TrimSpace(pid), s, nil
}

// aborted tells how the last user of dir ended.
func aborted(dir string) (crashed bool, s session, err error) {
	_, s, err = readAbort(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, s, nil
	}
	return true, s, err
}

func syncFileSystem(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
