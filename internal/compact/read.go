package compact

import (
	"slices"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
)

// Read calls take with the records from queue offset off on, in their order, until it returns false. A record is valid during
// the call; its log offset is its place here. What is damaged is passed over, with an error in the log. It reads the disk.
func (l *Log) Read(off skua.QueueOffset, most int, take func(u layout.BatchUnit, rec []byte) bool) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.broken != nil {
		return l.broken
	}
	passOver := func(err error) error {
		l.o.Log.Error("message of a compacted topic is damaged and passed over", "topic", l.topic, "queue", l.queue, "error", err)
		return nil
	}
	for _, p := range l.parts {
		if p.count == 0 || p.last < int64(off) {
			continue
		}
		i := p.find(func(u layout.BatchUnit) bool { return u.Base >= int64(off) })
		if more, err := p.each(i, most, take, passOver); err != nil || !more {
			return err
		}
	}
	return nil
}

// ByTime is the queue offset of the first record that was stored at or after ms; ok is false if there is none.
func (l *Log) ByTime(ms int64) (off skua.QueueOffset, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.parts {
		i := p.find(func(u layout.BatchUnit) bool { return u.Time >= ms })
		if i == p.count {
			continue
		}
		u, err := p.unit(i)
		return skua.QueueOffset(u.Base), err == nil
	}
	return 0, false
}

// Before is the queue offset of the last record that was stored at or before ms; ok is false if there is none.
func (l *Log) Before(ms int64) (off skua.QueueOffset, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range slices.Backward(l.parts) {
		i := p.find(func(u layout.BatchUnit) bool { return u.Time > ms })
		if i == 0 {
			continue
		}
		u, err := p.unit(i - 1)
		return skua.QueueOffset(u.Base), err == nil
	}
	return 0, false
}

// At is the entry of the first record from off on; ok is false if there is none.
func (l *Log) At(off skua.QueueOffset) (u layout.BatchUnit, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range l.parts {
		if p.count == 0 || p.last < int64(off) {
			continue
		}
		u, err := p.unit(p.find(func(u layout.BatchUnit) bool { return u.Base >= int64(off) }))
		return u, err == nil
	}
	return u, false
}

// Last is the entry of the last record; ok is false if there is none.
func (l *Log) Last() (u layout.BatchUnit, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, p := range slices.Backward(l.parts) {
		if p.count > 0 {
			u, err := p.unit(p.count - 1)
			return u, err == nil
		}
	}
	return u, false
}
