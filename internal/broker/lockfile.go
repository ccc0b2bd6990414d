package broker

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/jsonfile"
)

// lockFile remembers, across restarts of the broker, which client holds which queue lock. It is a journal (see there) in
// Skua's own folder, of which the lines are lockNotes; it is made anew when much of it is out of date. Losing it costs what
// Java always does: after a restart a queue belongs to whoever locks it first.
//
// Crash argument: a client hears that it got or lost a lock only when the line about it has been written, so a killed
// process forgets none. Lines are not synced: a machine that starts again does not do so within the life of a lock. Renewals
// are not written. A lock that is found in the file counts as renewed at the start, unless the last line is older than a lock
// lives, when nobody relies on any; so no lock ends earlier than its holder expects, if the clock does not leap forward
// while the broker is down.
type lockFile struct {
	journal jsonfile.Journal
	broker  string // name of this broker, which has all the queues
	log     *slog.Logger
	clock   func() time.Time // for what has to be compared with other runs
	made    int64            // bytes when it was made anew
	failing bool             // the last write failed: what it says is out of date
}

// lockNote is a line of a lockFile: a client got locks or, if Client is empty, locks were given back; or just a sign of life.
type lockNote struct {
	At     int64   `json:"at"` // ms
	Group  string  `json:"group,omitzero"`
	Client string  `json:"client,omitzero"`
	Topic  string  `json:"topic,omitzero"`
	Queues []int32 `json:"queues,omitzero"`
}

// A lockFile that is smaller than this is not made anew.
const smallLockFile = 256 << 10

// openLocks returns the locks that a file holds, which need not exist. One that cannot be read is as good as none.
func openLocks(path, broker string, log *slog.Logger, clock func() time.Time, now time.Time) *locks {
	f := &lockFile{journal: jsonfile.NewJournal(path), broker: broker, log: log, clock: clock}
	l := &locks{groups: map[string]map[skua.Queue]lock{}, file: f}
	last := int64(0)
	_, err := f.journal.Read(func(line []byte) error {
		var n lockNote
		if err := fastjson.Unmarshal(line, &n); err != nil {
			return err
		}
		last = n.At
		n.apply(l.groups, broker, now)
		return nil
	})
	if err != nil {
		log.Warn("locks of queues cannot be read; after this restart a queue belongs to who locks it first", "file", path, "error", err)
	}
	if clock().UnixMilli()-last > lockLife.Milliseconds() {
		clear(l.groups)
	}
	f.renew(l.groups)
	return l
}

func (n *lockNote) apply(groups map[string]map[skua.Queue]lock, broker string, now time.Time) {
	if n.Group == "" {
		return
	}
	held := groups[n.Group]
	if held == nil {
		held = map[skua.Queue]lock{}
		groups[n.Group] = held
	}
	for _, id := range n.Queues {
		q := skua.Queue{Topic: n.Topic, Broker: broker, ID: id}
		if n.Client != "" {
			held[q] = lock{n.Client, now}
		} else {
			delete(held, q)
		}
	}
	if len(held) == 0 {
		delete(groups, n.Group)
	}
}

// note writes that a client got locks or, if client is empty, that locks were given back. It does nothing for no queues,
// and on a nil file. It blocks for microseconds.
func (f *lockFile) note(group, client string, queues []skua.Queue) {
	if f == nil || f.failing || len(queues) == 0 {
		return
	}
	f.result(f.write(&f.journal, group, client, queues))
}

// write appends the lines about locks of a client.
func (f *lockFile) write(to *jsonfile.Journal, group, client string, queues []skua.Queue) error {
	byTopic := map[string][]int32{}
	for _, q := range queues {
		byTopic[q.Topic] = append(byTopic[q.Topic], q.ID)
	}
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		n := lockNote{At: f.clock().UnixMilli(), Group: group, Client: client, Topic: topic, Queues: byTopic[topic]}
		if err := to.Append(&n, false); err != nil {
			return err
		}
	}
	return nil
}

// tick gives a sign of life, or makes the file anew if that is worth while or the last write failed. It is to be called more
// often than a lock lives.
func (f *lockFile) tick(groups map[string]map[skua.Queue]lock) {
	switch {
	case f == nil || len(groups) == 0 && f.journal.Size() == 0 && !f.failing:
	case f.failing || len(groups) == 0 || f.journal.Size() > max(smallLockFile, 2*f.made):
		f.renew(groups)
	default:
		f.result(f.journal.Append(&lockNote{At: f.clock().UnixMilli()}, false))
	}
}

// renew makes the file anew. The old one is there until the new one is.
func (f *lockFile) renew(groups map[string]map[skua.Queue]lock) {
	if len(groups) == 0 {
		f.made = 0
		f.result(f.journal.Drop())
		return
	}
	next := jsonfile.NewJournal(f.journal.Path() + ".tmp")
	err := f.writeAll(&next, groups)
	if err == nil {
		err = next.Move(f.journal.Path())
	}
	if err != nil {
		next.Close()
		f.result(err)
		return
	}
	f.journal.Close()
	f.journal, f.made = next, next.Size()
	f.result(nil)
}

func (f *lockFile) writeAll(to *jsonfile.Journal, groups map[string]map[skua.Queue]lock) error {
	for group, held := range groups {
		byClient := map[string][]skua.Queue{}
		for q, k := range held {
			byClient[k.client] = append(byClient[k.client], q)
		}
		for client, queues := range byClient {
			if err := f.write(to, group, client, queues); err != nil {
				return err
			}
		}
	}
	return nil
}

// result notes how a write went, and logs when that changes.
func (f *lockFile) result(err error) {
	if failed := err != nil; failed != f.failing {
		f.failing = failed
		if failed {
			f.log.Warn("locks of queues cannot be saved; trying again at intervals", "error", fmt.Errorf("%s: %w", f.journal.Path(), err))
		} else {
			f.log.Info("locks of queues are saved again", "file", f.journal.Path())
		}
	}
}

// close saves the locks for the next run.
func (l *locks) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.tick(l.groups)
	return l.file.journal.Close()
}
