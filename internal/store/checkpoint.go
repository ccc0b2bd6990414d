package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// writeCheckpoints notes how far everything is, for Java and for ourselves. With durably, a loss of power does not bring
// back an older one of ours.
func (s *Store) writeCheckpoints(durably bool) error {
	s.flusher.mu.Lock()
	c := s.checkpointLocked()
	s.flusher.mu.Unlock()
	j := layout.JavaCheckpoint{Log: c.Durable.Time, Queues: c.Synced.Time, Index: s.index.flushedTime(), QueuesEnd: c.Synced.End}
	if s.java.Log > j.Log {
		j.Log = s.java.Log
	}
	j.MasterFlushed, j.Confirm = s.java.MasterFlushed, s.java.Confirm
	return errors.Join(overwrite(s.o.Faults, s.own(layout.CheckpointFile), c.Encode(), 0, durably),
		overwrite(s.o.Faults, filepath.Join(s.o.Dir, layout.JavaCheckpointFile), j.Encode(), 0, false))
}

// checkpointLocked tells how far everything is, to one who holds flusher.mu.
func (s *Store) checkpointLocked() layout.Checkpoint {
	f := &s.flusher
	return layout.Checkpoint{Session: s.session, Boot: bootID(), Durable: f.durable, Written: f.written, Synced: f.synced, Tally: f.tally,
		Indexed: s.index.position()}
}

// overwrite writes a small file in place, from off on, so that a full disk cannot keep it from being updated.
func overwrite(faults segment.Faults, path string, b []byte, off int64, durably bool) error {
	if err := faults.Changing("create", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := faults.WriteAt(f, b, off); err != nil {
		f.Close()
		return err
	}
	if durably {
		if err := faults.Changing("sync", path); err != nil {
			f.Close()
			return err
		}
		if err := f.Sync(); err != nil {
			f.Close()
			return err
		}
	}
	return f.Close()
}

// readCheckpoints reads both checkpoint files; what is missing is zero.
func (s *Store) readCheckpoints() (own layout.Checkpoint, ok bool, err error) {
	b, err := os.ReadFile(s.own(layout.CheckpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, false, fmt.Errorf("store: %w", err)
	}
	if own, ok = layout.DecodeCheckpoint(b); !ok && len(b) > 0 {
		s.o.Log.Warn("checkpoint is damaged, the start reads more of the log", "file", s.own(layout.CheckpointFile))
	}
	b, err = os.ReadFile(filepath.Join(s.o.Dir, layout.JavaCheckpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, false, fmt.Errorf("store: %w", err)
	}
	s.java = layout.DecodeJavaCheckpoint(b)
	return own, ok, nil
}
