package timer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"sync"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// Figures of the wheel.
const (
	turn      = layout.TimerSlots // moments of one turn of the wheel
	reach     = turn / 2          // how far ahead of the present a message may be put into it
	pageSize  = 4096              // what is read and written at once, bytes
	pageSlots = pageSize / layout.TimerSlotSize
	pageCount = turn / pageSlots
	keptPages = 2048 // pages that are kept in memory though they are the same in the file
)

// wheel is the file of slots. A moment is a time in units of the precision; the slot of moment m stands at place m modulo
// turn, and tells which moment it is of, so that what is left from earlier turns counts as empty.
//
// In memory is a bit for each slot that has units which are not delivered, and those pages of the file that were asked for:
// a wheel with nothing in it takes 150 KiB. Pages that were changed are written by write, many at a time. What a killed
// process has not written is in the timer log.
type wheel struct {
	path   string
	faults segment.Faults

	mu      sync.Mutex // guards the following
	file    *os.File   // nil until there is one
	fresh   bool       // the file was made, and its name may not be on disk
	pages   map[int32]*page
	dirty   int      // pages that are to be written
	pending []uint64 // a bit for each place
	total   int64    // messages in the slots that are pending
}

type page struct {
	dirty   bool // it is to be written
	writing bool // it is being written
	b       [pageSize]byte
}

func place(moment int64) int64 { return moment % turn }

// openWheel opens the file, which need not exist.
func openWheel(path string, faults segment.Faults) (*wheel, error) {
	w := &wheel{path: path, faults: faults, pages: map[int32]*page{}, pending: make([]uint64, turn/64)}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != 0 && info.Size() != layout.TimerWheelSize {
		err = fmt.Errorf("%s has %d bytes, but a timer wheel has %d; move it away, it is made again from the timer log", path, info.Size(), int64(layout.TimerWheelSize))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	if w.file = f; info.Size() == 0 {
		err = f.Truncate(layout.TimerWheelSize)
	}
	return w, err
}

// reset empties the wheel and removes its file, for good: an old one must not be back after a loss of power.
func (w *wheel) reset() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file != nil {
		w.file.Close()
		w.file = nil
		if err := w.faults.Remove(w.path); err != nil {
			return err
		}
		if err := w.faults.SyncDir(filepath.Dir(w.path)); err != nil {
			return err
		}
	}
	clear(w.pages)
	clear(w.pending)
	w.dirty, w.total = 0, 0
	return nil
}

func (w *wheel) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}

// scan calls found for the slots of the moments from first up to last, last excluded, that the file has, in no order.
// Parts of the file that were never written are passed over. first and last lie less than a turn apart.
func (w *wheel) scan(first, last int64, found func(layout.TimerSlot)) error {
	if w.file == nil {
		return nil
	}
	b := make([]byte, 64*pageSize)
	for first < last {
		at := place(first) * layout.TimerSlotSize
		data, err := segment.NextData(w.file, at)
		if err != nil {
			return err
		}
		if skip := min(data, layout.TimerWheelSize)/layout.TimerSlotSize - place(first); skip > 0 {
			first += skip
			continue
		}
		n := min(int64(len(b)), layout.TimerWheelSize-at, (last-first)*layout.TimerSlotSize)
		if _, err := w.file.ReadAt(b[:n], at); err != nil {
			return err
		}
		for i := int64(0); i < n; i += layout.TimerSlotSize {
			if int64(binary.BigEndian.Uint64(b[i:])) == first {
				found(layout.DecodeTimerSlot(b[i:]))
			}
			first++
		}
	}
	return nil
}

// pageLocked returns the page of a place.
func (w *wheel) pageLocked(at int64) (*page, error) {
	n := int32(at / pageSlots)
	if p := w.pages[n]; p != nil {
		return p, nil
	}
	p := new(page)
	if w.file != nil {
		if _, err := w.file.ReadAt(p.b[:], int64(n)*pageSize); err != nil {
			return nil, err
		}
	}
	w.shrinkLocked()
	w.pages[n] = p
	return p, nil
}

// shrinkLocked forgets pages that are the same in the file if there are too many.
func (w *wheel) shrinkLocked() {
	if len(w.pages)-w.dirty < keptPages {
		return
	}
	for n, p := range w.pages {
		if !p.dirty && !p.writing {
			delete(w.pages, n)
		}
	}
}

// get returns the slot of a moment; ok is false if it holds nothing.
func (w *wheel) get(moment int64) (s layout.TimerSlot, ok bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.getLocked(moment)
}

func (w *wheel) getLocked(moment int64) (s layout.TimerSlot, ok bool, err error) {
	at := place(moment)
	p, err := w.pageLocked(at)
	if err != nil {
		return s, false, err
	}
	s = layout.DecodeTimerSlot(p.b[at%pageSlots*layout.TimerSlotSize:])
	if s.Moment != moment || s.Last < 0 {
		return layout.TimerSlot{Moment: moment, First: -1, Last: -1}, false, nil
	}
	return s, true, nil
}

// put replaces a slot, which is pending from now on.
func (w *wheel) put(s layout.TimerSlot) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, _, err := w.getLocked(s.Moment)
	if err != nil {
		return err
	}
	at := place(s.Moment)
	if w.pending[at/64]&(1<<(at%64)) != 0 {
		w.total -= int64(old.Count)
	}
	w.pending[at/64] |= 1 << (at % 64)
	w.total += int64(s.Count)
	return w.storeLocked(s)
}

// undo brings back what a slot was before a put that failed.
func (w *wheel) undo(s layout.TimerSlot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := place(s.Moment)
	if now, ok, err := w.getLocked(s.Moment); err == nil && ok {
		w.total -= int64(now.Count)
	}
	if s.Last < 0 {
		w.pending[at/64] &^= 1 << (at % 64)
		s = layout.TimerSlot{}
	}
	w.total += int64(s.Count)
	w.storeAtLocked(at, s)
}

func (w *wheel) storeLocked(s layout.TimerSlot) error { return w.storeAtLocked(place(s.Moment), s) }

func (w *wheel) storeAtLocked(at int64, s layout.TimerSlot) error {
	p, err := w.pageLocked(at)
	if err != nil {
		return err
	}
	s.Append(p.b[at%pageSlots*layout.TimerSlotSize:][:0])
	if !p.dirty {
		p.dirty = true
		w.dirty++
	}
	return nil
}

// known makes a slot that the file has pending.
func (w *wheel) known(s layout.TimerSlot) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := place(s.Moment)
	w.pending[at/64] |= 1 << (at % 64)
	w.total += int64(s.Count)
}

// pass ends the slot of a moment: what it holds was dealt with. Its bytes stay, as in Java.
func (w *wheel) pass(moment int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := place(moment)
	if w.pending[at/64]&(1<<(at%64)) == 0 {
		return
	}
	w.pending[at/64] &^= 1 << (at % 64)
	if s, ok, err := w.getLocked(moment); err == nil && ok {
		w.total -= int64(s.Count)
	}
}

// clear empties the slot of a moment.
func (w *wheel) clear(moment int64) error {
	w.pass(moment)
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok, err := w.getLocked(moment)
	if err != nil || !ok {
		return err
	}
	return w.storeAtLocked(place(moment), layout.TimerSlot{})
}

// next returns the first moment from first up to last, last excluded, whose slot is pending. first and last lie less than
// a turn apart.
func (w *wheel) next(first, last int64) (moment int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := first; m < last; {
		at := place(m)
		word := w.pending[at/64] >> (at % 64)
		if word != 0 {
			m += int64(bits.TrailingZeros64(word))
			return m, m < last
		}
		m += 64 - at%64
	}
	return 0, false
}

// last returns the last moment within a turn from first on whose slot is pending.
func (w *wheel) last(first int64) (moment int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for m := first + turn - 1; m >= first; {
		at := place(m)
		word := w.pending[at/64] << (63 - at%64)
		if word != 0 {
			m -= int64(bits.LeadingZeros64(word))
			return m, m >= first
		}
		m -= at%64 + 1
	}
	return 0, false
}

// count is how many messages the slot of a moment holds.
func (w *wheel) count(moment int64) (int64, error) {
	s, _, err := w.get(moment)
	return int64(s.Count), err
}

// messages is how many messages all slots hold.
func (w *wheel) messages() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

// between counts the messages that are due from moment first up to last, last excluded.
func (w *wheel) between(first, last int64) (n int64, err error) {
	for {
		m, ok := w.next(first, last)
		if !ok {
			return n, nil
		}
		c, err := w.count(m)
		if err != nil {
			return n, err
		}
		n, first = n+c, m+1
	}
}

// changed reports whether there is something to write.
func (w *wheel) changed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dirty > 0
}

// chunkPages is how many pages write writes between two calls of before.
const chunkPages = 256

// write writes the pages that were changed, and syncs the file. It calls before when it has taken copies of some of them
// and before it writes these: what they speak of must be on disk. still is locked while the copies are taken. It runs
// beside all else but itself.
func (w *wheel) write(still sync.Locker, before func() error) error {
	for {
		still.Lock()
		taken, bytes, err := w.takeDirty()
		still.Unlock()
		if err != nil {
			return err
		}
		if len(taken) == 0 {
			break
		}
		if err = before(); err == nil {
			err = w.writePages(taken, bytes)
		}
		w.wrote(taken, err == nil)
		if err != nil {
			return err
		}
	}
	if w.file == nil {
		return nil
	}
	return w.sync()
}

// takeDirty copies some of the pages that are to be written, and makes the file if there is none.
func (w *wheel) takeDirty() (taken []int32, bytes []byte, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dirty == 0 {
		return nil, nil, nil
	}
	if w.file == nil {
		if err := w.createLocked(); err != nil {
			return nil, nil, err
		}
	}
	for n, p := range w.pages {
		if !p.dirty {
			continue
		}
		p.dirty, p.writing = false, true
		w.dirty--
		taken, bytes = append(taken, n), append(bytes, p.b[:]...)
		if len(taken) == chunkPages {
			break
		}
	}
	return taken, bytes, nil
}

func (w *wheel) createLocked() error {
	if err := w.faults.Changing("create", w.path); err != nil {
		return err
	}
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := f.Truncate(layout.TimerWheelSize); err != nil {
		f.Close()
		return err
	}
	w.file, w.fresh = f, true
	return nil
}

func (w *wheel) writePages(taken []int32, bytes []byte) error {
	for i, n := range taken {
		if err := w.faults.WriteAt(w.file, bytes[i*pageSize:][:pageSize], int64(n)*pageSize); err != nil {
			return err
		}
	}
	return nil
}

// wrote ends the writing of pages; those of which it failed are to be written again.
func (w *wheel) wrote(taken []int32, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range taken {
		p := w.pages[n]
		p.writing = false
		if !ok && !p.dirty {
			p.dirty = true
			w.dirty++
		}
	}
}

func (w *wheel) sync() error {
	if err := w.faults.Syncing(w.path); err != nil {
		return syncError{err}
	}
	if err := w.file.Sync(); err != nil {
		return syncError{err}
	}
	w.mu.Lock()
	fresh := w.fresh
	w.fresh = false
	w.mu.Unlock()
	if !fresh {
		return nil
	}
	return w.faults.SyncDir(filepath.Dir(w.path))
}
