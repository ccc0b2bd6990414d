package segment

import (
	"io/fs"
	"os"
)

// Faults lets tests make the disk fail. Every function may be nil; the zero value is a disk that the system alone makes
// fail. The functions are called by many goroutines.
type Faults struct {
	// Write is asked before n bytes are written at off of a file; it returns how many of them really are, and the error
	// that the writer then sees.
	Write func(path string, off int64, n int) (int, error)
	// Sync is asked before a file of a run, or one that is mapped, is synced.
	Sync func(path string) error
	// Reserve is asked before space is reserved.
	Reserve func(path string) error
	// Change is asked before anything else that changes what is on the disk. The operations: "create" and "remove" a file,
	// "cut" it, "sync" a directory or a small file, "syncfs" the file system of a directory.
	Change func(op, path string) error
}

// WriteAt writes p at off of f.
func (f Faults) WriteAt(file *os.File, p []byte, off int64) error {
	if f.Write != nil {
		n, err := f.Write(file.Name(), off, len(p))
		if err != nil {
			file.WriteAt(p[:n], off)
			return &fs.PathError{Op: "write", Path: file.Name(), Err: err}
		}
		p = p[:n]
	}
	_, err := file.WriteAt(p, off)
	return err
}

// Syncing is to be called before a file is synced; the sync has failed if it returns an error.
func (f Faults) Syncing(path string) error {
	if f.Sync == nil {
		return nil
	}
	return pathError("sync", path, f.Sync(path))
}

// Reserving is to be called before space is reserved in a file, like Syncing.
func (f Faults) Reserving(path string) error {
	if f.Reserve == nil {
		return nil
	}
	return pathError("reserve", path, f.Reserve(path))
}

// Changing is to be called before op is done to path, like Syncing.
func (f Faults) Changing(op, path string) error {
	if f.Change == nil {
		return nil
	}
	return pathError(op, path, f.Change(op, path))
}

// Remove removes a file.
func (f Faults) Remove(path string) error {
	if err := f.Changing("remove", path); err != nil {
		return err
	}
	return os.Remove(path)
}

// SyncDir makes the names in a directory durable.
func (f Faults) SyncDir(dir string) error {
	if err := f.Changing("sync", dir); err != nil {
		return err
	}
	return syncDir(dir)
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}
