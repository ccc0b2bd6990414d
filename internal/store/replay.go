package store

import (
	"hash/maphash"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/skuamq/skua/internal/layout"
)

// manyChunks is how many chunks in a row must be about queues to be taken by several goroutines.
const manyChunks = 1024

// takeAll takes chunks in their order. It may take those of different topics at the same time: that is mostly waiting for
// memory, since each is about another queue.
func (in *journalReader) takeAll(chunks []layout.Chunk) bool {
	for len(chunks) > 0 {
		n := 0
		for n < len(chunks) && (chunks[n].Kind == layout.ChunkEnd || chunks[n].Kind == layout.ChunkUnits) {
			n++
		}
		if n == 0 {
			if !in.take(&chunks[0]) {
				return false
			}
			chunks = chunks[1:]
			continue
		}
		in.clean = 0
		if in.bad = !in.takeQueues(chunks[:n]); in.bad {
			return false
		}
		chunks = chunks[n:]
	}
	return true
}

// takeQueues takes chunks that are about queues, and reports whether all make sense.
func (in *journalReader) takeQueues(chunks []layout.Chunk) bool {
	parts := uint64(runtime.GOMAXPROCS(0))
	if parts == 1 || len(chunks) < manyChunks {
		for i := range chunks {
			if !in.takeQueue(&chunks[i]) {
				return false
			}
		}
		return true
	}
	seed := maphash.MakeSeed()
	var all sync.WaitGroup
	var bad atomic.Bool
	for part := range parts {
		all.Go(func() {
			for i := range chunks {
				if c := &chunks[i]; maphash.Bytes(seed, c.Topic)%parts == part && !in.takeQueue(c) {
					bad.Store(true)
					return
				}
			}
		})
	}
	all.Wait()
	return !bad.Load()
}

// takeQueue takes a chunk that is about a queue, and reports whether it makes sense. Those of one topic must come one after
// the other.
func (in *journalReader) takeQueue(c *layout.Chunk) bool {
	s := in.s
	q := s.queues.find(c.Topic, c.Queue)
	if q == nil {
		topic := string(c.Topic)
		if !layout.Storable(topic) || c.Queue < 0 {
			return false
		}
		if s.o.Batched != nil && s.o.Batched(topic) {
			return true // as when the files are looked at
		}
		q = s.Queue(topic, c.Queue)
		q.tailFrom, q.flushed, q.synced, q.next = c.From, c.From, c.From, c.From
		q.min.Store(c.From)
	}
	if c.From < 0 || c.First < 0 {
		return false
	}
	if c.Kind == layout.ChunkUnits {
		return q.replayUnits(c)
	}
	q.replayEnd(c)
	return true
}
