package store

import (
	"encoding/binary"
	"math"
	"slices"
	"sort"
	"sync"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// chain is the shelf of a queue in the shared log. Each chunk names the place of the queue's chunk before it, and has the
// entries from its offset on up to where the next one begins:
//
//	place:     100            700                 900
//	         [ 0: a b c d ] ◄─[ 4: e f g h i ] ◄─ [ 7: x ]        entries a b c d e f g x; h and i were cut off
//
// Small chunks of a queue that have gathered are written again as one: entries in chunks of less than 8, 64 and 512
// at a time, so that each is written four times at most and reading finds hundreds together. The places of chunks are
// kept in memory (links) from the oldest that was read on, until the queue is idle.
type chain struct {
	log *sharedLog
	q   *Queue

	mu         sync.Mutex
	begin, end int64 // offsets
	last       int64 // place of the last chunk, -1 if there is none
	top        int64 // behind the record of the last entry
	links      []link
	fine       [len(merges)]uint16 // entries at the end that are in chunks smaller than merges[i]
}

// link is a chunk of a queue.
type link struct {
	from int64 // its first offset
	at   int64 // its place
	prev int64 // that of the one before it
}

// merges are the numbers of entries of which chunks are made from smaller ones.
var merges = [...]int64{512, 64, 8}

// chunkHead is the length of a chunk before its topic, bytes.
const chunkHead = 52

// findChain makes the shelf of a queue that has nothing in the shared log.
func findChain(q *Queue) *chain { return &chain{log: q.store.shared, q: q, last: -1} }

func (c *chain) bounds() (begin, end int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begin, c.end
}

func (c *chain) read(b []byte, from int64) error { return c.readBy(c.log.get, b, from) }

func (c *chain) readNow(b []byte, from int64) bool { return c.readBy(c.log.getNow, b, from) == nil }

func (c *chain) readBy(get reading, b []byte, from int64) error {
	for len(b) > 0 {
		links, end, err := c.find(get, from)
		if err != nil {
			return err
		}
		for i, k := range links {
			stop := end
			if i+1 < len(links) {
				stop = links[i+1].from
			}
			n := min(int(stop-from)*layout.UnitSize, len(b))
			if n <= 0 {
				continue
			}
			if err := get(b[:n], c.entryPlace(k, from)); err != nil {
				return err
			}
			b, from = b[n:], from+int64(n/layout.UnitSize)
		}
		if from >= end {
			break
		}
	}
	clear(b)
	return nil
}

// entryPlace is where the entry at off of chunk k is.
func (c *chain) entryPlace(k link, off int64) int64 {
	return k.at + chunkHead + int64(len(c.q.topic)) + (off-k.from)*layout.UnitSize
}

// find returns the links from the chunk with offset off on, and the end of the queue. They are only read.
func (c *chain) find(get reading, off int64) ([]link, int64, error) {
	c.mu.Lock()
	links, begin, end, last := c.links, c.begin, c.end, c.last
	c.mu.Unlock()
	if off < begin || off >= end {
		return nil, end, segment.ErrOutside
	}
	if i := sort.Search(len(links), func(i int) bool { return links[i].from > off }); i > 0 {
		return links[i-1:], end, nil
	}
	at := last
	if len(links) > 0 {
		at = links[0].prev
	}
	var older []link
	for {
		k, err := c.link(get, at)
		if err != nil {
			return nil, end, err
		}
		if older = append(older, k); k.from <= off {
			break
		}
		at = k.prev
	}
	slices.Reverse(older)
	all := slices.Concat(older, links)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == last && len(c.links) == len(links) && c.end == end {
		c.log.held.Add(int64(len(older)))
		c.links = all
	}
	return all, end, nil
}

// link reads the head of the queue's chunk at a place.
func (c *chain) link(get reading, at int64) (link, error) {
	if at < 0 {
		return link{}, segment.ErrOutside
	}
	b := oneHead.Get().(*[chunkHead]byte)
	defer oneHead.Put(b)
	if err := get(b[:], at); err != nil {
		return link{}, err
	}
	k := link{from: int64(binary.BigEndian.Uint64(b[20:])), at: at, prev: int64(binary.BigEndian.Uint64(b[28:]))}
	if layout.ChunkKind(b[12]) != layout.ChunkUnits || int(b[13]) != len(c.q.topic) || int32(binary.BigEndian.Uint32(b[16:])) != c.q.id || k.prev >= at {
		return link{}, segment.ErrOutside // damaged
	}
	return k, nil
}

var oneHead = sync.Pool{New: func() any { return new([chunkHead]byte) }}

func (c *chain) write(b []byte, from int64) error {
	most := c.log.mostUnits()
	for len(b) > 0 {
		n := min(len(b), most)
		if err := c.put(b[:n], from); err != nil {
			return err
		}
		b, from = b[n:], from+int64(n/layout.UnitSize)
	}
	return nil
}

// put appends a chunk with units, which replace those from offset from on, and small ones before it.
func (c *chain) put(units []byte, from int64) error {
	if c.begin == c.end {
		return c.append(units, from, -1)
	}
	end := from + int64(len(units)/layout.UnitSize)
	for i, n := range merges {
		start := c.end - int64(c.fine[i])
		if start >= from || end-start < n || int(end-start)*layout.UnitSize > c.log.mostUnits() {
			continue
		}
		links, _, err := c.find(c.log.get, start)
		if err != nil || links[0].from != start {
			break
		}
		all := make([]byte, (from-start)*layout.UnitSize, (end-start)*layout.UnitSize)
		if err := c.read(all, start); err != nil {
			break // what is damaged stays where it is
		}
		return c.append(append(all, units...), start, links[0].prev)
	}
	return c.append(units, from, c.last)
}

// append appends a chunk that follows the one at prev.
func (c *chain) append(units []byte, from, prev int64) error {
	begin, top := c.begin, c.top
	if c.begin == c.end {
		begin = from
	}
	if n := len(units) - layout.UnitSize; n >= 0 {
		if u, ok := layout.DecodeUnit(units[n:]); ok && !u.Filler() {
			top = u.Log + int64(u.Size)
		}
	}
	k := layout.Chunk{Kind: layout.ChunkUnits, Topic: []byte(c.q.topic), Queue: c.q.id, From: from, First: prev, Min: begin, Log: top, Units: units}
	at, err := c.log.add(&k)
	if err != nil {
		return err
	}
	c.take(&k, at)
	return nil
}

// take notes a chunk of the queue at a place.
func (c *chain) take(k *layout.Chunk, at int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := k.From + int64(len(k.Units)/layout.UnitSize)
	for i, n := range merges {
		switch start := c.end - int64(c.fine[i]); {
		case end-k.From >= n:
			c.fine[i] = 0
		case k.From < start || c.begin == c.end || end-start > math.MaxUint16:
			c.fine[i] = uint16(end - k.From)
		default:
			c.fine[i] = uint16(end - start)
		}
	}
	old := len(c.links)
	whole := old > 0 || c.last == k.First
	for len(c.links) > 0 && c.links[len(c.links)-1].from >= k.From && c.links[len(c.links)-1].at != k.First {
		c.links = slices.Clip(c.links[:len(c.links)-1])
	}
	if whole && (len(c.links) == 0 || c.links[len(c.links)-1].at == k.First) {
		c.links = append(c.links, link{k.From, at, k.First})
	} else {
		c.links = nil
	}
	c.log.held.Add(int64(len(c.links) - old))
	c.begin, c.end, c.last, c.top = k.Min, end, at, k.Log
}

func (c *chain) truncate(end int64) error {
	prev, top := int64(-1), int64(0)
	end = min(end, c.end)
	if end > c.begin {
		links, _, err := c.find(c.log.get, end-1)
		b := make([]byte, layout.UnitSize)
		if err == nil {
			err = c.read(b, end-1)
		}
		if u, ok := layout.DecodeUnit(b); err == nil && ok {
			prev = links[0].at
			if !u.Filler() {
				top = u.Log + int64(u.Size)
			}
		}
	}
	c.top = top
	if prev < 0 {
		c.mu.Lock()
		c.begin = end
		c.end = end
		c.mu.Unlock()
	}
	return c.append(nil, end, prev)
}

func (c *chain) dropBefore(off int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin = max(c.begin, min(off, c.end))
	return nil
}

func (c *chain) sync(_, _ int64) error { return c.log.sync() }

// remove forgets everything. What is written next says so.
func (c *chain) remove() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.held.Add(-int64(len(c.links)))
	c.begin, c.end, c.last, c.top, c.links = 0, 0, -1, 0, nil
	clear(c.fine[:])
	return nil
}

// forget gives the memory of links back.
func (c *chain) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.held.Add(-int64(len(c.links)))
	c.links = nil
}
