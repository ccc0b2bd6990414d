package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"strings"
)

// lookBack is the third pass: the entries of queues of which fewer were met than counted.
func (v *verifier) lookBack(ctx context.Context) error {
	var doubtful []*queue
	total := int64(0)
	for _, q := range v.queues {
		if q.matched.Load() < q.live {
			doubtful = append(doubtful, q)
			total += q.live
		}
	}
	v.begin("entries", total)
	return each(ctx, v.o.Workers, doubtful, v.newWorker, func(w *worker, q *queue) error {
		behind := 0
		for n := q.first; n < q.end; n++ {
			u, ok, err := w.unit(q, n)
			if err != nil {
				return err
			}
			if !ok || u.skip || u.log < v.d.log.begin() {
				continue
			}
			v.done.Add(1)
			if u.log >= v.end {
				if behind++; behind > 1 || v.d.Running {
					continue // all in one
				}
			}
			if f, bad := w.pointsNowhere(q, n, u); bad {
				f.Kind = "entry"
				f.File, f.Offset = q.place(n)
				f.Log = u.log
				if !f.Note {
					q.bad.Store(true)
				}
				v.found.add(f)
			}
		}
		return nil
	})
}

// pointsNowhere tells what is wrong with an entry whose record was not met.
func (w *worker) pointsNowhere(q *queue, n int64, u unit) (f Finding, bad bool) {
	v := w.v
	what := fmt.Sprintf("entry %d of queue %s points to log offset %d, ", u.off, q.name(), u.log)
	if u.log >= v.end {
		f.Note = v.d.crashed()
		f.Detail = what + fmt.Sprintf("behind the end of the log at %d, as may others behind it; a start cuts them off", v.end)
		return f, true
	}
	s, err := w.log.record(u.log, min(v.d.log.startOf(u.log)+v.d.log.size, v.end))
	if err == nil && s.why != nil {
		err = s.why
	}
	m := &s.msg
	switch {
	case err != nil:
		f.Detail = what + fmt.Sprintf("where no good record is: %v", err)
	case string(m.Topic) == LostTopic:
		f.Detail = what + "where a lost message was"
	case !q.holds(m, u):
		f.Detail = what + fmt.Sprintf("where the record of queue %s/%d at %d is", m.Topic, m.QueueID, m.QueueOffset)
	case s.n != int64(u.size):
		f.Detail = what + fmt.Sprintf("and says that the record has %d bytes, it has %d", u.size, s.n)
	default:
		return f, false
	}
	return f, true
}

// holds reports whether u is the entry of m in q.
func (q *queue) holds(m *record.Message, u unit) bool {
	if string(m.Topic) == q.topic && m.QueueID == q.id {
		return int64(m.QueueOffset) == u.off && m.Queued()
	}
	names, _ := record.Property(m.Properties, skua.PropMultiDispatch)
	for name := range strings.SplitSeq(string(names), ",") {
		if name == q.topic {
			return true
		}
	}
	return false
}

// ext reads the extension of an entry.
func (d *Dir) ext(p *pool, q *queue, off int64) (layout.ExtUnit, error) {
	c, err := d.extFiles(q)
	if err != nil {
		return layout.ExtUnit{}, err
	}
	f, ok := c.at(off)
	if !ok {
		return layout.ExtUnit{}, fmt.Errorf("no file has offset %d", off)
	}
	b := make([]byte, min(int64(layout.ExtHeadSize+256), f.start+f.size-off))
	for {
		n, err := p.readAt(f.path, b, off-f.start)
		if err != nil && !errors.Is(err, io.EOF) {
			return layout.ExtUnit{}, err
		}
		if u, size := layout.DecodeExtUnit(b[:n]); size > 0 {
			return u, nil
		}
		want := min(int64(layout.ExtMaxSize), f.start+f.size-off)
		if int64(len(b)) >= want {
			return layout.ExtUnit{}, fmt.Errorf("there is none at byte %d of %s", off-f.start, f.path)
		}
		b = make([]byte, want)
	}
}
