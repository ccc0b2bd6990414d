package jsonfile

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/fastjson"
)

// Pace at which a file is written when there are many changes.
const (
	fileShare  = 50          // writing takes one part in so many of the time
	foldAfter  = time.Second // without a change
	maxJournal = 64 << 20    // bytes
)

// Place is where something is saved.
type Place struct {
	Path    string // of the file
	Journal string // of the changes since
	Synced  bool   // a change is on disk when it is acknowledged, else a little later
}

// File is a file of which the writing takes the longer the more there is in it. Of many changes in a row it is written now and
// then, and the changes since are in a journal. After Fold everything is in the file. It is safe for concurrent use.
//
// Crash argument: a change is shown to others only when it is in the file or the journal, so nothing is acknowledged on the
// strength of one that a restart forgets; and a file that is written instead of the journal has all that was shown before. That
// some changes of a journal are in the file already must do no harm: each names what it changes, and the last one counts. A
// journal is synced behind its changes, sooner than the log of messages; with Place.Synced before them.
type File struct {
	path   string
	log    *slog.Logger
	synced bool
	whole  func() any
	soon   chan struct{} // capacity 1: the journal has something

	mu      sync.Mutex // held while a change is saved and shown
	journal Journal
	written time.Time     // when the file was written
	cost    time.Duration // what that took
}

// NewFile returns a File at a place. whole returns all that has been shown, for the file; it is called while nothing is saved or
// shown by way of the File.
func NewFile(at Place, log *slog.Logger, whole func() any) *File {
	return &File{path: at.Path, log: log, synced: at.Synced, whole: whole, journal: NewJournal(at.Journal), soon: make(chan struct{}, 1)}
}

// ReadChanged returns what is saved: the file, nil if there is none, and the changes that a run which was killed has left in
// the journal. Some of them may be in the file, too, or were overtaken by a Java server. The files stay as they are.
func ReadChanged[T, C any](at Place, log *slog.Logger) (file *T, changes []C, err error) {
	if file, err = Read[T](at.Path, log); err != nil {
		return nil, nil, err
	}
	j := NewJournal(at.Journal)
	_, err = j.Read(func(line []byte) error {
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

// Path is where the file is.
func (f *File) Path() string { return f.path }

// Replayed brings n changes that were found in the journal, and have been made, into the file. It is to be called before others use
// f.
func (f *File) Replayed(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == 0 {
		return f.journal.Drop()
	}
	f.log.Info("changes that were not in the file are made again", "file", f.path, "journal", f.journal.Path(), "changes", n)
	return f.write(f.whole())
}

// Save saves a change, in the journal or in the file, and then calls show, which is to show it. next returns what the file is to have
// with the change. It may block, as long as writing the file takes. If there is an error nothing is shown.
func (f *File) Save(change any, next func() any, show func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.save(change, next, show)
}

func (f *File) save(change any, next func() any, show func()) error {
	if f.idle() || f.journal.Size() >= maxJournal {
		if err := f.write(next()); err != nil {
			return err
		}
	} else {
		if err := f.journal.Append(change, f.synced); err != nil {
			return err
		}
		select {
		case f.soon <- struct{}{}:
		default:
		}
	}
	show()
	return nil
}

// Rewrite writes the file, with what next returns, and then calls show. If there is an error nothing is shown.
func (f *File) Rewrite(next func() any, show func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.write(next()); err != nil {
		return err
	}
	show()
	return nil
}

// Idle reports whether the file was not written for so long that it may be written for a trifle.
func (f *File) Idle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.idle()
}

func (f *File) idle() bool { return time.Since(f.written) >= fileShare*f.cost }

// write writes the file, after which the journal is of no use.
func (f *File) write(all any) error {
	start := time.Now()
	if err := Write(f.path, all); err != nil {
		return err
	}
	f.written, f.cost = time.Now(), time.Since(start)
	if err := f.journal.Drop(); err != nil { // the next start sees that it is older
		f.log.Warn("journal of a config file cannot be removed", "file", f.journal.Path(), "error", err)
	}
	return nil
}

// Keep syncs the journal soon after changes, and puts them into the file when there were none for a while, until stop is closed.
func (f *File) Keep(stop <-chan struct{}) {
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
			if err := f.Fold(); err != nil {
				f.log.Warn("changes cannot be written to their file; they are in the journal", "file", f.path, "error", err)
			}
		}
	}
}

// syncJournal puts the journal on disk. Changes go on meanwhile.
func (f *File) syncJournal() {
	f.mu.Lock()
	file := f.journal.file
	f.mu.Unlock()
	if file == nil || f.synced {
		return
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // it is closed when the file has been written
		f.log.Warn("journal of a config file cannot be synced", "file", f.journal.Path(), "error", err)
	}
}

// Fold puts what is in the journal into the file. It may block.
func (f *File) Fold() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.journal.Size() == 0 {
		return nil
	}
	return f.write(f.whole())
}
