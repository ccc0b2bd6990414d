package store

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// aheadFrom is how much of the log a start reads one record after the other, bytes, in steps of scanSize. Of more, a
// goroutine reads pieces ahead and others verify them, while the entries are restored in the order of the log.
const aheadFrom = 4 * scanSize

// piece is a part of one file of the log that begins and ends with a record.
type piece struct {
	at       int64 // of buf in the log
	buf      []byte
	messages []record.Message
	ended    bool          // messages do not reach to the end of buf: what is behind them is not good
	checked  chan struct{} // told when the two above are there
}

// ahead reads and verifies what is far in front of the end of the log. It ends before the first place where something is
// not as it should be, about which scan gets to judge.
type ahead struct {
	r      *recovery
	pieces sync.Pool // of *piece
	work   chan *piece
	order  chan *piece // the same, in the order of the log
	stop   chan struct{}
	all    sync.WaitGroup
}

// scanAhead does the part of scan that can be done by several at a time, if it is worth it.
func (r *recovery) scanAhead() error {
	_, stop := r.s.log.run.Bounds()
	if stop-r.end.End < min(aheadFrom, 2*r.s.o.SegmentSize) {
		return nil
	}
	workers := max(runtime.GOMAXPROCS(0), 2)
	a := &ahead{r: r, work: make(chan *piece, 2*workers), order: make(chan *piece, 2*workers), stop: make(chan struct{})}
	a.all.Go(func() { a.read(r.end.End, stop) })
	for range workers {
		a.all.Go(a.verify)
	}
	err := a.restore()
	close(a.stop)
	a.all.Wait()
	return err
}

// read makes pieces of the log from at on and gives them to verify and restore.
func (a *ahead) read(at, stop int64) {
	defer close(a.order)
	defer close(a.work)
	run := a.r.s.log.run
	for at < stop {
		p, next := a.next(run, at)
		if p == nil {
			return
		}
		if len(p.buf) > 0 {
			select {
			case a.order <- p:
			case <-a.stop:
				return
			}
			a.work <- p // has room for all that order has
		}
		at = next
	}
}

// next reads a piece at at, and tells where the one behind it begins; nil when something is not as it should be.
func (a *ahead) next(run *segment.Run, at int64) (p *piece, next int64) {
	left := run.Start(at) + run.FileSize() - at
	if p, _ = a.pieces.Get().(*piece); p == nil {
		p = &piece{checked: make(chan struct{}, 1)}
	}
	p.at, p.messages, p.ended = at, p.messages[:0], false
	for n := min(scanSize, left); ; {
		if int64(cap(p.buf)) < n {
			p.buf = make([]byte, n)
		}
		p.buf = p.buf[:n]
		if run.ReadAt(p.buf, at) != nil {
			return nil, 0
		}
		whole, need, blank := wholeRecords(p.buf, left)
		p.buf = p.buf[:whole]
		switch {
		case blank:
			return p, at + left
		case whole > 0:
			return p, at + int64(whole)
		case need == 0:
			return nil, 0
		}
		n = need
	}
}

// wholeRecords tells how many bytes of b look like whole records, and whether a blank is behind them. need is the size of
// the first one if b is too short for it. left is how many bytes the file has from b's beginning on.
func wholeRecords(b []byte, left int64) (n int, need int64, blank bool) {
	for n+record.BlankSize <= len(b) {
		size, magic := int64(int32(binary.BigEndian.Uint32(b[n:]))), binary.BigEndian.Uint32(b[n+4:])
		if magic == record.MagicBlank {
			return n, 0, true
		}
		if magic != record.MagicV1 && magic != record.MagicV2 || size <= record.BlankSize || size > left-int64(n) {
			return n, 0, false
		}
		if int64(n)+size > int64(len(b)) {
			return n, size, false
		}
		n += int(size)
	}
	return n, 0, int64(n) == left // so full that not even a blank fits
}

// verify looks at the records of pieces.
func (a *ahead) verify() {
	for p := range a.work {
		for n := 0; n < len(p.buf); {
			m, size, err := record.Decode(p.buf[n:])
			if err == nil && int64(m.LogOffset) != p.at+int64(n) {
				err = record.ErrCorrupt
			}
			if err == nil {
				err = a.r.verify(p.buf[n:n+size], &m)
			}
			if err != nil {
				p.ended = true
				break
			}
			p.messages = append(p.messages, m)
			n += size
		}
		p.checked <- struct{}{}
	}
}

// restore makes the queue entries of the pieces, in order.
func (a *ahead) restore() error {
	r := a.r
	for p := range a.order {
		<-p.checked
		for i := range p.messages {
			m := &p.messages[i]
			if err := r.s.restore(m); err != nil {
				return err
			}
			at := int64(m.LogOffset)
			r.end = layout.Position{End: at + int64(m.Size), Last: at, Time: max(r.end.Time, m.StoreTime)}
		}
		r.progress()
		if p.ended {
			return nil
		}
		a.pieces.Put(p)
	}
	return nil
}

// How often a start tells how far it is.
const (
	progressFirst = time.Second
	progressEvery = 3 * time.Second
)

// progress logs how far the scan is, now and then, when it takes long.
func (r *recovery) progress() {
	now := time.Now()
	if r.began.IsZero() {
		r.began, r.report = now, now.Add(progressFirst)
	}
	if now.Before(r.report) {
		return
	}
	r.report = now.Add(progressEvery)
	_, stop := r.s.log.run.Bounds()
	done, all := r.end.End-r.from.End, max(stop-r.from.End, 1)
	if done <= 0 {
		return
	}
	left := time.Duration(float64(now.Sub(r.began)) * float64(all-done) / float64(done))
	r.s.o.Log.Info("the start reads the commit log", "percent", fmt.Sprintf("%.0f", 100*float64(done)/float64(all)),
		"left at most", left.Round(time.Second).String(), "log offset", r.end.End)
}
