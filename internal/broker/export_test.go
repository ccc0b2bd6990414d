package broker

import (
	"time"

	"github.com/skuamq/skua/internal/store"
)

// EditStore makes f the last to set options of the store.
func (o *Options) EditStore(f func(*store.Options)) { o.edit = f }

// HeldPulls is the number of pulls that wait for a message.
func (b *Broker) HeldPulls() int { return int(b.polls.count.Load()) }

// SweepFilters looks for filters that nobody has any more, as if it were now.
func (b *Broker) SweepFilters(now time.Time) { b.sweepFilters(now) }

// Scan looks after clients and locks, as the broker does at intervals.
func (b *Broker) Scan(now time.Time) { b.scanClients(now) }

// GatherBroadcasts looks after offsets of broadcasting groups, as the broker does at intervals.
func (b *Broker) GatherBroadcasts(now time.Time) { b.gatherBroadcasts(now) }

// SweepMappings looks for what is of no use in mappings of static topics, as the broker does at intervals.
func (b *Broker) SweepMappings(now time.Time) { b.sweepMappings(now) }

// LimitOffsets bounds the pairs of topic and group whose offsets are kept.
func (b *Broker) LimitOffsets(n int) {
	b.offsets.mu.Lock()
	defer b.offsets.mu.Unlock()
	b.offsets.most = n
}

// SweepLight forgets light queues that nobody uses, as each minute.
func (b *Broker) SweepLight() { b.sweepLight(time.Time{}) }

// Compact copies what has come to compacted topics and is on disk, and has superseded messages removed, as the broker does at intervals.
func (b *Broker) Compact() {
	c := b.compaction.Load()
	c.copying.Lock()
	c.synced = time.Time{} // at once
	c.copying.Unlock()
	c.copyAll(time.Now())
	c.passAll(b.stop)
}
