package broker

import (
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
// expire, which delays the next owner of the queue by up to a minute).
type locks struct {
	mu     sync.Mutex
	groups map[string]map[skua.Queue]lock // guarded by mu; no empty inner map
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
	for _, q := range queues {
		old, taken := held[q]
		if taken && old.client != client && !old.expired(now) {
			continue
		}
		if !taken && len(held) >= maxGroupLocks {
			continue
		}
		held[q] = lock{client, now}
		got = append(got, q)
	}
	if len(held) > 0 {
		l.groups[group] = held
	}
	return got
}

// release gives back those of queues that the client holds.
func (l *locks) release(group, client string, queues []skua.Queue) {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.groups[group]
	for _, q := range queues {
		if held[q].client == client {
			delete(held, q)
		}
	}
	l.dropEmptyLocked(group)
}

// releaseClient gives back all locks of a client in group.
func (l *locks) releaseClient(group, client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for q, k := range l.groups[group] {
		if k.client == client {
			delete(l.groups[group], q)
		}
	}
	l.dropEmptyLocked(group)
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

// expire forgets locks that have expired.
func (l *locks) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for group, held := range l.groups {
		for q, k := range held {
			if k.expired(now) {
				delete(held, q)
			}
		}
		l.dropEmptyLocked(group)
	}
}

func (l *locks) dropEmptyLocked(group string) {
	if len(l.groups[group]) == 0 {
		delete(l.groups, group)
	}
}
