package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// QueryResult is what a query by key found. Release gives the records back.
type QueryResult struct {
	Records    [][]byte       // the newest matching ones, oldest first
	LastTime   int64          // store time of the last message that is indexed, ms; 0 if none is
	LastOffset skua.LogOffset // its offset
}

// QueryTag finds messages of topic with a tag, as Query does those with a key.
func (s *Store) QueryTag(topic, tag string, maxMessages int, begin, end int64) (QueryResult, error) {
	return s.Query(topic, layout.TagKey+tag, maxMessages, begin, end)
}

// Query finds messages of topic stored from begin to end, ms, both included, with key among their KEYS or as their unique
// key: the newest maxMessages ones. The records are copies and belong to the caller.
func (s *Store) Query(topic, key string, maxMessages int, begin, end int64) (QueryResult, error) {
	var out QueryResult
	x := s.index
	if x == nil {
		return out, nil
	}
	x.catchUp(int64(s.Max())) // what was just sent is found, too
	x.mu.RLock()
	defer x.mu.RUnlock()
	if n := len(x.files); n > 0 {
		out.LastTime, out.LastOffset = x.files[n-1].EndTime(), skua.LogOffset(x.files[n-1].EndOffset())
	}
	seen := map[int64]bool{}
	var found []int64
	hash := layout.KeyHash([]byte(topic), []byte(key))
	for i := len(x.files) - 1; i >= 0 && len(found) < maxMessages; i-- {
		f := x.files[i]
		if !f.Covers(begin, end) {
			continue
		}
		f.Find(hash, begin, end, func(log int64) bool {
			if !seen[log] && s.matches(log, topic, key, begin, end) {
				found = append(found, log)
			}
			seen[log] = true
			return len(found) < maxMessages
		})
	}
	slices.Sort(found)
	for _, log := range found {
		rec, err := s.Record(skua.LogOffset(log))
		if errors.Is(err, segment.ErrOutside) {
			continue
		}
		if err != nil {
			return out, err
		}
		out.Records = append(out.Records, rec)
	}
	return out, nil
}

// matches reports whether the record at log is what a query looks for: hashes collide, and files get old.
func (s *Store) matches(log int64, topic, key string, begin, end int64) bool {
	rec, err := s.Record(skua.LogOffset(log))
	if err != nil {
		return false
	}
	m, _, err := record.Decode(rec)
	if err != nil || string(m.Topic) != topic || m.StoreTime < begin || m.StoreTime > end {
		return false
	}
	found := false
	namesOf(m.Properties).each(func(k []byte, tag bool) bool {
		own := string(k)
		if tag {
			own = layout.TagKey + own
		}
		found = own == key
		return !found
	})
	return found
}

// Record returns a copy of the stored record at off. It may block on the disk. Errors: ErrNoRecord when there is none,
// or none that readers may see.
func (s *Store) Record(off skua.LogOffset) ([]byte, error) {
	var head [record.BlankSize]byte
	if off < s.Min() || off >= s.Max() {
		return nil, fmt.Errorf("%w at %d: the log goes from %d to %d", ErrNoRecord, off, s.Min(), s.Max())
	}
	if err := s.log.read(head[:], int64(off)); err != nil {
		return nil, fmt.Errorf("%w at %d: %w", ErrNoRecord, off, err)
	}
	_, n, err := record.Decode(head[:])
	left := s.o.SegmentSize - int64(off)%s.o.SegmentSize
	if !errors.Is(err, record.ErrShort) || int64(n) > left {
		return nil, fmt.Errorf("%w at %d", ErrNoRecord, off)
	}
	b := make([]byte, n)
	if err := s.log.read(b, int64(off)); err != nil {
		return nil, fmt.Errorf("%w at %d: %w", ErrNoRecord, off, err)
	}
	if m, _, err := record.Decode(b); err != nil || m.LogOffset != off {
		return nil, fmt.Errorf("%w at %d", ErrNoRecord, off)
	}
	return b, nil
}

// ErrNoRecord tells that no record begins at a log offset.
var ErrNoRecord = errors.New("store: no record")
