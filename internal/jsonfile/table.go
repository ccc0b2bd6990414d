package jsonfile

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/skuamq/skua/internal/command"
)

// Kind is what tables of type T have in common.
type Kind[T any] struct {
	What    string                        // what the table holds, for errors: "topics"
	Version func(*T) *command.DataVersion // where its version is
	Loaded  func(*T)                      // completes what a file had, or nothing if there is no file: no map is nil afterwards
	Clone   func(T) T                     // a copy; changes that are made to it leave the original as it is
}

// Change is a change of a table. Its type embeds [Versioned]; its JSON is a line of the journal.
type Change[T any] interface {
	Apply(*T) // makes the change, but for the version
	version() *command.DataVersion
}

// Versioned is the part of a change that says which version of the table it leads to. Update fills it in.
type Versioned struct {
	Version command.DataVersion `json:"version"`
}

func (v *Versioned) version() *command.DataVersion { return &v.Version }

// Table is a value of type T in a File. It is safe for concurrent use.
type Table[T any] struct {
	*File
	kind  Kind[T]
	saved T // guarded by File.mu
}

// ReadTable returns a table as it is saved at a place, where nothing need be, and how many changes were in the journal. The files stay
// as they are. C is the type of the changes in the journal.
func ReadTable[T, C any, P interface {
	*C
	Change[T]
}](at Place, kind Kind[T], log *slog.Logger) (saved T, n int, err error) {
	file, changes, err := ReadChanged[T, C](at, log)
	if err != nil {
		return saved, 0, err
	}
	if file != nil {
		saved = *file
	}
	kind.Loaded(&saved)
	for i := range changes {
		if c := P(&changes[i]); c.version().Counter > kind.Version(&saved).Counter {
			kind.apply(&saved, c)
		}
	}
	return saved, len(changes), nil
}

// OpenTable opens the table that is saved at a place, where nothing need be.
func OpenTable[T, C any, P interface {
	*C
	Change[T]
}](at Place, kind Kind[T], log *slog.Logger) (*Table[T], error) {
	saved, n, err := ReadTable[T, C, P](at, kind, log)
	if err != nil {
		return nil, err
	}
	t := &Table[T]{kind: kind, saved: saved}
	t.File = NewFile(at, log, func() any { return &t.saved })
	return t, t.Replayed(n)
}

func (k *Kind[T]) apply(t *T, c Change[T]) {
	c.Apply(t)
	*k.Version(t) = *c.version()
}

// Update saves a change, gives it and the table the next version, and then calls show with the table as it is now; show must neither
// change nor keep it. It may block. If there is an error nothing was changed, and nothing is shown.
func (t *Table[T]) Update(c Change[T], show func(now *T)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	*c.version() = t.kind.Version(&t.saved).Next(time.Now().UnixMilli())
	next := func() any {
		next := t.kind.Clone(t.saved)
		t.kind.apply(&next, c)
		return &next
	}
	err := t.save(c, next, func() {
		t.kind.apply(&t.saved, c)
		show(&t.saved)
	})
	if err != nil {
		return fmt.Errorf("%s cannot be saved: %w", t.kind.What, err)
	}
	return nil
}

// Read calls look with the table as it is saved, which look must neither change nor keep. It may block while a change is saved.
func (t *Table[T]) Read(look func(now *T)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	look(&t.saved)
}
