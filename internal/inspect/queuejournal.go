package inspect

import (
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/skuamq/skua/internal/layout"
)

// pending are entries of a queue that a running or killed Skua has in its journal of queues, and perhaps not in the
// queue's files yet, or all entries of a queue in the shared queue log.
type pending struct {
	from  int64 // offset of the first one
	units []byte
}

// end is the offset behind the last one.
func (p *pending) end() int64 { return p.from + int64(len(p.units)/layout.UnitSize) }

// unit returns entry n, if it is one of them.
func (p *pending) unit(n int64) (unit, bool) {
	if p == nil || n < p.from || n >= p.end() {
		return unit{}, false
	}
	return (&queue{}).decode(p.units[(n-p.from)*layout.UnitSize:], n)
}

// readPending reads the shared queue log, or else the journal of the session that the abort file names. One of another
// session counts for nothing. Chunks do not cross the borders of their files.
func (d *Dir) readPending() error {
	if ok, err := d.readShared(); ok || err != nil {
		return err
	}
	if d.abort == nil || d.abort.Session == (layout.Session{}) {
		return nil
	}
	for range stagedTries {
		err := d.replayJournal()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		// The broker has begun a new file and dropped the old ones.
	}
	return nil
}

func (d *Dir) replayJournal() error {
	d.pending = map[string]map[int32]*pending{}
	ours := false
	return d.eachChunk(layout.JournalDir, func(k *layout.Chunk) {
		if k.Kind == layout.ChunkReset {
			ours = string(k.Topic) == string(d.abort.Session[:])
			clear(d.pending)
		}
		if ours {
			d.applyChunk(k)
		}
	})
}

// readShared reads the shared queue log, which has all entries, and reports whether there is one. Without a mark there is
// not: it was not complete when the process died that made it.
func (d *Dir) readShared() (marked bool, err error) {
	for range stagedTries {
		marked, d.pending = false, map[string]map[int32]*pending{}
		err = d.eachChunk(layout.SharedDir, func(k *layout.Chunk) {
			if k.Kind == layout.ChunkMark {
				marked = marked || k.Queue == 1
				return
			}
			if ps := d.pending[string(k.Topic)]; k.Kind == layout.ChunkUnits && k.First < 0 {
				delete(ps, k.Queue) // the queue begins anew
			}
			d.applyChunk(k)
		})
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil || !marked {
		d.pending = nil
	}
	d.shared = marked
	return marked, err
}

// eachChunk calls yield with the chunks in a folder of Skua's own.
func (d *Dir) eachChunk(folder string, yield func(k *layout.Chunk)) error {
	c, err := findChain(0, filepath.Join(d.Path, layout.OwnDir, folder))
	if err != nil || len(c.files) == 0 {
		return err
	}
	var p pool
	defer p.close()
	b := make([]byte, 2*layout.MaxChunk)
	for _, f := range c.files {
		for at := int64(0); at < f.size; {
			n, err := p.readAt(f.path, b[:min(int64(len(b)), f.size-at)], at)
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			rest := b[:n]
			for {
				k, size := layout.DecodeChunk(rest)
				if size == 0 || size > len(rest) {
					break
				}
				yield(&k)
				rest = rest[size:]
			}
			if len(rest) == n {
				break // there is no more in this file
			}
			at += int64(n - len(rest))
		}
	}
	return nil
}

// applyChunk does to the pending entries what a chunk says.
func (d *Dir) applyChunk(k *layout.Chunk) {
	topic := string(k.Topic)
	switch k.Kind {
	case layout.ChunkGone:
		delete(d.pending, topic)
	case layout.ChunkUnits:
		if d.pending[topic] == nil {
			d.pending[topic] = map[int32]*pending{}
		}
		p := d.pending[topic][k.Queue]
		if p == nil || k.From < p.from || k.From > p.end() {
			p = &pending{from: k.From}
			d.pending[topic][k.Queue] = p
		}
		p.units = append(p.units[:(k.From-p.from)*layout.UnitSize], k.Units...)
	case layout.ChunkEnd:
		p := d.pending[topic][k.Queue]
		switch {
		case p == nil:
		case k.From >= p.end():
			delete(d.pending[topic], k.Queue)
		case k.From > p.from:
			p.units = p.units[(k.From-p.from)*layout.UnitSize:]
			p.from = k.From
		}
	}
}
