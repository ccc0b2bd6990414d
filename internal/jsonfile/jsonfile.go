package jsonfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/skuamq/skua/internal/fastjson"
)

// Read reads the file at path, or its .bak with a warning if it is missing or damaged. It returns nil if there is
// neither. If one is damaged and the other is no help, the error names the file and the place.
func Read[T any](path string, log *slog.Logger) (*T, error) {
	v, err := ReadCurrent[T](path)
	if err == nil {
		return v, nil
	}
	bak := path + ".bak"
	v, bakErr := ReadCurrent[T](bak)
	switch {
	case bakErr == nil:
		log.Warn("config file cannot be read, its previous version is used instead", "file", path, "previous", bak, "error", err)
		return v, nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(bakErr, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		err = bakErr
	}
	return nil, fmt.Errorf("%w; repair the file, or move it and its .bak away to begin without what it holds", err)
}

// ReadCurrent reads the file at path, whatever is beside it. An empty one is an error.
func ReadCurrent[T any](path string) (*T, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, fmt.Errorf("%s: is empty", path)
	}
	v := new(T)
	if err := fastjson.Unmarshal(data, v); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// Write replaces the file at path by v, and keeps the previous version as .bak. When it returns without error the new version is
// on disk. It makes the folder if need be.
func Write(path string, v any) error {
	data, err := fastjson.MarshalPretty(v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return Replace(path, data)
}

// Replace is Write of what is encoded already.
func Replace(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// Always the same name, so that processes which are killed leave no more than one.
	next := path + ".tmp"
	if err := writeSynced(next, data); err != nil {
		return err
	}
	bak := path + ".bak"
	if err := os.Remove(bak); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(path, bak); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// A file system without links: the name is free for a moment, in which there is the copy.
		if err := os.Rename(path, bak); err != nil {
			return err
		}
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return SyncDir(dir)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// SyncDir puts on disk which files a folder has.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
