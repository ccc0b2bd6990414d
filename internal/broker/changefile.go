package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
)

// Pace at which a config file is written when there are many changes.
const (
	fileShare  = 50          // writing takes one part in so many of the time
	foldAfter  = time.Second // without a change
	maxJournal = 64 << 20    // bytes
)

// savedIn is where something is saved.
type savedIn struct {
	path    string // of the config file
	journal string
	synced  bool // a change is on disk when it is acknowledged
}

// changeFile is a config file of which the writing takes the longer the more there is in it. Of many changes in a row it is
// written now and then, and the changes since are in a journal in the store's own folder. After a clean stop everything is
// in the file.
//
// Crash argument: a change is shown to others only when it is in the file or the journal, so nothing is acknowledged on the
// strength of one that a restart forgets. A journal is synced behind its changes, sooner than the log of messages; in
// SYNC_FLUSH before them.
type changeFile struct {
	path   string
	log    *slog.Logger
	synced bool // changes are on disk when they are acknowledged

	change  sync.Mutex    // held while a change is made and saved
	journal journal       // guarded by change
	written time.Time     // when the file was written
	cost    time.Duration // what that took
	soon    chan struct{} // capacity 1: the journal has something
	whole   func() any    // returns what is saved; called with change held
}

func (at savedIn) file(log *slog.Logger, whole func() any) changeFile {
	return changeFile{path: at.path, log: log, synced: at.synced, journal: journal{path: at.journal}, soon: make(chan struct{}, 1), whole: whole}
}

// readChanged returns what is saved: the file, nil if there is none, and the changes that a run which was killed has left in
// the journal. Some of them may be in the file, too, or were overtaken by a Java broker. The files stay as they are.
func readChanged[T, C any](at savedIn, log *slog.Logger) (file *T, changes []C, err error) {
	if file, err = readConfig[T](at.path, log); err != nil {
		return nil, nil, err
	}
	j := journal{path: at.journal}
	_, err = j.read(func(line []byte) error {
		var c C
		if err := fastjson.Unmarshal(line, &c); err != nil {
			return err
		}
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("%w; move the file away to begin without the changes that it holds", err)
	}
	return file, changes, err
}

// replayed brings n changes that were found in the journal into the file.
func (f *changeFile) replayed(n int) error {
	if n == 0 {
		return f.journal.drop()
	}
	f.log.Info("changes that were not in the file are made again", "file", f.path, "journal", f.journal.path, "changes", n)
	return f.write(f.whole())
}

// save saves a change, in the journal or in the file; next returns what is saved with it. change must be held.
func (f *changeFile) save(change any, next func() any) error {
	if time.Since(f.written) >= fileShare*f.cost || f.journal.size >= maxJournal {
		return f.write(next())
	}
	if err := f.journal.append(change, f.synced); err != nil {
		return err
	}
	select {
	case f.soon <- struct{}{}:
	default:
	}
	return nil
}

// write writes the file, after which the journal is of no use.
func (f *changeFile) write(all any) error {
	start := time.Now()
	if err := writeConfig(f.path, all); err != nil {
		return err
	}
	f.written, f.cost = time.Now(), time.Since(start)
	if err := f.journal.drop(); err != nil { // the next start sees that it is older
		f.log.Warn("journal of a config file cannot be removed", "file", f.journal.path, "error", err)
	}
	return nil
}

// keep syncs the journal soon after changes, and puts them into the file when there were none for a while, until stop.
func (f *changeFile) keep(stop <-chan struct{}) {
	quiet := time.NewTimer(foldAfter)
	defer quiet.Stop()
	for {
		select {
		case <-stop:
			return
		case <-f.soon:
			f.syncJournal()
			quiet.Reset(foldAfter)
		case <-quiet.C:
			if err := f.fold(); err != nil {
				f.log.Warn("changes cannot be written to their file; they are in the journal", "file", f.path, "error", err)
			}
		}
	}
}

// syncJournal puts the journal on disk. Changes go on meanwhile.
func (f *changeFile) syncJournal() {
	f.change.Lock()
	file := f.journal.file
	f.change.Unlock()
	if file == nil || f.synced {
		return
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // it is closed when the file has been written
		f.log.Warn("journal of a config file cannot be synced", "file", f.journal.path, "error", err)
	}
}

// fold puts what is in the journal into the file.
func (f *changeFile) fold() error {
	f.change.Lock()
	defer f.change.Unlock()
	if f.journal.size == 0 {
		return nil
	}
	return f.write(f.whole())
}

// newer reports whether a change that led to version v is to be made again in what has version has.
func newer(v, has command.DataVersion) bool { return v.Counter > has.Counter }
