package timer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
)

// Flush puts on disk how far the timer has come, at a time, ms; it does nothing if that is there. It may run beside Step,
// and waits until the store has on disk what is then counted on. After a sync that failed it fails until the next start.
func (t *Timer) Flush(now int64) error {
	t.flushing.Lock()
	defer t.flushing.Unlock()
	return t.flushLocked(now)
}

func (t *Timer) flushLocked(now int64) error {
	t.mu.Lock()
	p, saved, failed := t.progress, t.saved, t.failed
	t.mu.Unlock()
	if failed != nil {
		return failed
	}
	if p == saved && !t.wheel.changed() {
		return nil
	}
	if err := t.o.Durable(p.needs); err != nil {
		return err
	}
	if err := t.wheel.write(&t.parking, t.syncLog); err != nil {
		return t.fail(err)
	}
	if err := t.syncLog(); err != nil {
		return t.fail(err)
	}
	return t.writeCheckpoint(p, now)
}

// syncLog syncs the timer log.
func (t *Timer) syncLog() error {
	t.mu.Lock()
	from, to := t.synced, t.progress.log
	t.mu.Unlock()
	if from == to {
		return nil
	}
	if err := t.units.run.Sync(from, to); err != nil {
		return syncError{err}
	}
	t.mu.Lock()
	t.synced = to
	t.mu.Unlock()
	return nil
}

// syncError marks an error after which nobody knows what is on disk.
type syncError struct{ error }

func (e syncError) Unwrap() error { return e.error }

// fail keeps an error of a sync.
func (t *Timer) fail(err error) error {
	if !errors.As(err, new(syncError)) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = fmt.Errorf("timer files could not be synced; nothing more is noted as delivered until the broker is restarted: %w", err)
	return t.failed
}

// writeCheckpoint writes that p is on disk. The mark names the new checkpoint before it is there, and the old one until
// then.
func (t *Timer) writeCheckpoint(p progress, now int64) error {
	t.mu.Lock()
	old := t.check
	c := layout.TimerCheckpoint{Read: p.read * t.o.Precision, LogFlushed: p.log, Queue: int64(p.queue), MasterQueue: int64(p.queue),
		StateVersion: old.StateVersion, Timestamp: now, Counter: old.Counter + 1}
	m := t.markLocked(false)
	m.Next = c
	t.mark.write(m)
	t.mu.Unlock()
	err := overwrite(t, t.path(layout.ConfigDir, layout.TimerCheckFile), c.Append(make([]byte, 0, layout.TimerCheckpointSize)))
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		return err // the mark names both
	}
	t.check, t.saved = c, p
	t.mark.write(t.markLocked(false))
	return nil
}

// overwrite writes the checkpoint in place: the part that is used is shorter than a disk sector.
func overwrite(t *Timer, path string, b []byte) error {
	faults := t.o.Faults
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := faults.Changing("create", path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fresh := info.Size() != layout.TimerCheckpointSize
	if fresh {
		if err := f.Truncate(layout.TimerCheckpointSize); err != nil {
			return err
		}
	}
	if err := faults.WriteAt(f, b, 0); err != nil {
		return err
	}
	if err := faults.Changing("sync", path); err != nil {
		return t.fail(syncError{err})
	}
	if err := f.Sync(); err != nil {
		return t.fail(syncError{err})
	}
	if fresh {
		return faults.SyncDir(filepath.Dir(path))
	}
	return nil
}

// Retain removes files of the timer log that speak only of messages before offset least of the log of messages. It may
// run beside Step, but not beside Flush.
func (t *Timer) Retain(least skua.LogOffset) error {
	_, err := t.units.drop(int64(least))
	return err
}

// Close puts everything on disk, at a time, ms, and gives the files back. Nothing else may run. The store must still be
// there for Options.Durable.
func (t *Timer) Close(now int64) error {
	t.onTurn(now)
	t.publish()
	err := t.Flush(now)
	if err == nil {
		t.mu.Lock()
		t.mark.write(t.markLocked(true))
		t.mu.Unlock()
		err = t.mark.close()
	}
	t.release()
	return err
}
