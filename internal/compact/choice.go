package compact

import (
	"crypto/md5"
	"encoding/binary"
)

// slotSize is what a key takes in a Choice, bytes. Java's has as many.
const slotSize = 24

// leastKeys is how many keys a Choice has room for at least, as in Java.
const leastKeys = 100

// Choice decides which records of a queue survive a pass: of those with the same key the newest one, and none that is
// empty, as that says that its key is deleted. It is told the keys of new records first, in the order of the queue, until
// it is full; then it is asked about all records. Those behind the last that it was told of survive.
//
// A key is known by its MD5 sum, so that its length costs nothing.
type Choice struct {
	slots []slot // a hash table
	used  int
	limit int
	last  int64
}

// slot is a key and the offset of its newest record, plus one; 0 if the slot is free.
type slot struct {
	sum  [md5.Size]byte
	next int64
}

// NewChoice returns a Choice that takes so many bytes of memory at most, less if fewer records are expected. Whatever the
// limit is, some keys have room.
func NewChoice(bytes, expected int64) *Choice {
	n := max(min(bytes/slotSize, expected+expected/4), leastKeys) // a table that is nearly full is slow
	return &Choice{slots: make([]slot, n), limit: int(n - n/8), last: -1}
}

// Note tells of a record. It reports false if the key is new and there is no room for it; then Note must not be called any
// more.
func (c *Choice) Note(key []byte, off int64) bool {
	sum := md5.Sum(key)
	s := c.find(sum)
	if s.next == 0 {
		if c.used >= c.limit {
			return false
		}
		c.used++
		s.sum = sum
	}
	s.next, c.last = off+1, off
	return true
}

// Last is the offset of the last record that was noted, -1 if none was.
func (c *Choice) Last() int64 { return c.last }

// Keep reports whether a record survives.
func (c *Choice) Keep(key []byte, off int64, empty bool) bool {
	if off > c.last {
		return true
	}
	return !empty && off+1 >= c.find(md5.Sum(key)).next
}

// find returns the slot of a key, a free one if it has none.
func (c *Choice) find(sum [md5.Size]byte) *slot {
	n := uint64(len(c.slots))
	for i := binary.LittleEndian.Uint64(sum[:]) % n; ; i = (i + 1) % n {
		if s := &c.slots[i]; s.next == 0 || s.sum == sum {
			return s
		}
	}
}
