package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// Options tell what cannot be found out from the files, or should not be. Zero values are found out.
type Options struct {
	LogDirs     []string // directories of the commit log (storePathCommitLog); <dir>/commitlog
	SegmentSize int64    // mappedFileSizeCommitLog, bytes
	IndexSlots  int32    // maxHashSlotNum
	IndexItems  int32    // maxIndexNum
	DelayLevels string   // messageDelayLevel; Java's 18 levels
}

// Dir is a store directory as it was found. Its methods may be called one at a time.
type Dir struct {
	Path    string
	Running bool // a broker holds the lock

	o         Options
	log       chain
	abort     *layout.Abort // nil after a clean stop
	own       layout.Checkpoint
	ownOK     bool
	java      layout.JavaCheckpoint
	staged    []byte // bytes of the log that only the ring has, see stagedAt
	stagedAt  int64
	ringCut   bool                          // the ring counts, but is not as long as its head says
	end       int64                         // where the log ends by the ring's word, -1 if it does not say
	pending   map[string]map[int32]*pending // entries that Skua's journal of queues has, by topic and queue
	shared    bool                          // they are all entries of queues, from the shared queue log
	lastStart int64                         // start of the last file of the log that has something
	topics    topics
	delays    []int64 // ms by level, from 0
}

// Open looks at the store in path. The error tells why it is none.
func Open(path string, o Options) (*Dir, error) {
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("store: %s is a file; name the directory that storePathRootDir names", path)
	}
	d := &Dir{Path: path, o: o, end: -1}
	if len(o.LogDirs) == 0 {
		d.o.LogDirs = []string{filepath.Join(path, layout.LogDir)}
	}
	var err error
	if d.delays, err = parseLevels(o.DelayLevels); err != nil {
		return nil, err
	}
	if d.Running, err = segment.Locked(filepath.Join(path, layout.LockFile)); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := d.readMarks(); err != nil {
		return nil, err
	}
	if err := d.readStaged(); err != nil {
		return nil, err
	}
	if err := d.readPending(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if d.log, err = findChain(o.SegmentSize, d.o.LogDirs...); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if len(d.log.files) == 0 && d.abort == nil && !exists(filepath.Join(path, layout.QueueDir)) &&
		!exists(filepath.Join(path, layout.JavaCheckpointFile)) {
		return nil, fmt.Errorf("store: %s holds no store: neither a commit log in %s, nor queues, nor a checkpoint; "+
			"name the directory that storePathRootDir names", path, strings.Join(d.o.LogDirs, ", "))
	}
	if err := d.findLast(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := d.readTopics(); err != nil {
		return nil, err
	}
	return d, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// readMarks reads abort file and checkpoints.
func (d *Dir) readMarks() error {
	b, err := d.readFile(layout.AbortFile)
	if err != nil {
		return err
	}
	if b != nil {
		a := layout.DecodeAbort(b)
		d.abort = &a
	}
	if b, err = d.readFile(layout.OwnDir, layout.CheckpointFile); err != nil {
		return err
	}
	d.own, d.ownOK = layout.DecodeCheckpoint(b)
	if b, err = d.readFile(layout.JavaCheckpointFile); err != nil {
		return err
	}
	d.java = layout.DecodeJavaCheckpoint(b)
	return nil
}

// readFile reads a small file of the store, nil if it is missing.
func (d *Dir) readFile(names ...string) ([]byte, error) {
	path := filepath.Join(append([]string{d.Path}, names...)...)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return append([]byte{}, b...), nil
}

// crashed reports whether the last user of the directory did not stop cleanly, or has not stopped.
func (d *Dir) crashed() bool { return d.abort != nil }

// limit is the offset behind which the log has no records, as far as is known.
func (d *Dir) limit() int64 {
	if d.end >= 0 {
		return d.end
	}
	return d.log.end()
}
