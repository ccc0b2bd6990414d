package store

import (
	"github.com/skuamq/skua/internal/record"
)

// keyed is a key of a record, to be indexed.
type keyed struct {
	hash int32
	log  int64 // log offset of the record; while it has none, its number in the draft
	time int64 // ms
}

// maxFed bounds the keys that wait in a feed.
const maxFed = 64 << 10

// feed are the keys of the records from from to to of the log, which the indexer then need not read again: when they were
// appended all of this was at hand. It is a shortcut and may be lost: what the indexer has done is told by its position in
// the log, and what no feed has it reads there.
type feed struct {
	from, to int64
	keys     []keyed
	done     int // of keys
}

// begin makes f one for what follows off.
func (f *feed) begin(off int64) { f.from, f.to, f.keys = off, off, f.keys[:0] }

// add puts the keys of a draft into f whose records have got their places, up to end.
func (f *feed) add(keys []keyed, ms []*record.Message, now, end int64) {
	if len(f.keys)+len(keys) > maxFed {
		f.begin(end) // the indexer is far behind
		return
	}
	for _, k := range keys {
		f.keys = append(f.keys, keyed{k.hash, int64(ms[k.log].LogOffset), now})
	}
	f.to = end
}

// take gives the indexer what was appended since the last time, and keeps old to be filled.
func (l *commitLog) take(old feed) feed {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.mu.fed
	l.mu.fed = feed{keys: old.keys}
	l.mu.fed.begin(f.to)
	return f
}

// fedStep is how many keys are indexed at a time.
const fedStep = 4096

// putFed indexes some of the keys that were fed, as far as their records are before end. The indexer's position must be
// in the feed.
func (x *indexer) putFed(end int64) error {
	end = min(end, x.fed.to)
	keys, n := x.fed.keys, x.fed.done
	for last := n + fedStep; n < len(keys) && keys[n].log < end; n++ {
		if n >= last && keys[n].log != keys[n-1].log {
			end = keys[n].log
			break
		}
		if keys[n].log < x.pos.Load() {
			continue // it was read in the log
		}
		if err := x.put(keys[n]); err != nil {
			x.pos.Store(keys[n].log)
			return err
		}
	}
	x.fed.done = n
	x.pos.Store(end)
	return nil
}
