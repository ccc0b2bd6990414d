package broker

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/skuamq/skua"
)

// A lock lives this long after its holder renewed it; clients renew every 20 s.
const lockLife = 60 * time.Second

// No group holds more locks than this; further queues are refused until some expire.
const maxGroupLocks = 100_000

// No more groups than this hold locks; those of others are refused until some expire.
const maxLockGroups = 10_000

// locks tells which client of a consumer group may consume a queue in order. Methods take the time, so that the table
// has no clock. The zero value is empty and ready; it is safe for concurrent use.
//
// A lock that its holder does not renew expires. A client that unregisters gives its locks back at once (Java lets them
// expire, which delays the next owner of the queue by up to a minute). One whose connection breaks keeps them: it may
// still be busy with a message, and comes back.
//
// Who holds what survives a restart, see lockFile: clients that were connected before would otherwise find their queues
// locked by whoever comes back first, while they still handle messages of these.
type locks struct {
	mu     sync.Mutex
	groups map[string]map[skua.Queue]lock // guarded by mu; no empty inner map
	file   *lockFile                      // guarded by mu; nil: nothing is saved
}

// lock is who holds a queue and since when.
type lock struct {
	client  string
	renewed time.Time
}

func (l lock) expired(now time.Time) bool { return now.Sub(l.renewed) > lockLife }

// acquire locks queues for a client of group, or renews its locks, and returns those that it holds now, in the order of
// queues. A queue that another client holds is left out.
func (l *locks) acquire(group, client string, queues []skua.Queue, now time.Time) []skua.Queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.groups == nil {
		l.groups = map[string]map[skua.Queue]lock{}
	}
	held := l.groups[group]
	if held == nil && len(l.groups) >= maxLockGroups {
		return nil
	}
	if held == nil {
		held = map[skua.Queue]lock{}
	}
	got := make([]skua.Queue, 0, len(queues))
	var fresh []skua.Queue
	for _, q := range queues {
		old, taken := held[q]
		if taken && old.client != client && !old.expired(now) {
			continue
		}
		if !taken && len(held) >= maxGroupLocks {
			continue
		}
		if old.client != client {
			fresh = append(fresh, q)
		}
		held[q] = lock{client, now}
		got = append(got, q)
	}
	if len(held) > 0 {
		l.groups[group] = held
	}
	l.file.note(group, client, fresh)
	return got
}

// release gives back those of queues that the client holds.
func (l *locks) release(group, client string, queues []skua.Queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.groups[group]
	var mine []skua.Queue
	for _, q := range queues {
		if k, taken := held[q]; taken && k.client == client {
			mine = append(mine, q)
		}
	}
	l.freeLocked(group, mine)
}

// releaseClient gives back all locks of a client in group.
func (l *locks) releaseClient(group, client string) {
	l.freeWhere(group, func(k lock) bool { return k.client == client })
}

// held reports whether any client of group holds a lock: the group consumes in order.
func (l *locks) held(group string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.groups[group] {
		if !k.expired(now) {
			return true
		}
	}
	return false
}

// expire forgets locks that have expired, and saves what is left if that is due.
func (l *locks) expire(now time.Time) {
	l.mu.Lock()
	groups := slices.Collect(maps.Keys(l.groups))
	l.mu.Unlock()
	for _, group := range groups {
		l.freeWhere(group, func(k lock) bool { return k.expired(now) })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.tick(l.groups)
}

// freeWhere forgets those locks of a group that which names.
func (l *locks) freeWhere(group string, which func(lock) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var some []skua.Queue
	for q, k := range l.groups[group] {
		if which(k) {
			some = append(some, q)
		}
	}
	l.freeLocked(group, some)
}

// freeLocked forgets locks of a group, which are held.
func (l *locks) freeLocked(group string, queues []skua.Queue) {
	held := l.groups[group]
	for _, q := range queues {
		delete(held, q)
	}
	if len(held) == 0 {
		delete(l.groups, group)
	}
	l.file.note(group, "", queues)
}

// heldLock is a lock that somebody holds.
type heldLock struct {
	group, client string
	queue         skua.Queue
}

// all returns the locks that are held.
func (l *locks) all(now time.Time) []heldLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []heldLock
	for group, held := range l.groups {
		for q, k := range held {
			if !k.expired(now) {
				all = append(all, heldLock{group, k.client, q})
			}
		}
	}
	return all
}
