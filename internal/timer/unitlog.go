package timer

import (
	"fmt"

	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/segment"
)

// unitLog is the timer log: units of 52 bytes in files of one size. A unit never crosses the end of a file, and leaves
// room behind it for the mark that the rest is blank. It is used by one goroutine, but for sync and drop.
type unitLog struct {
	disk *segment.Disk
	run  *segment.Run
	end  int64 // behind the last unit

	block     [4096]byte // a part of the log
	blockFrom int64
	blockSize int
}

func openUnitLog(dir string, fileSize int64, faults segment.Faults) (*unitLog, error) {
	disk := segment.NewDisk(16, faults)
	run, err := segment.Open(disk, fileSize, dir)
	if err != nil {
		return nil, fmt.Errorf("timer log: %w", err)
	}
	return &unitLog{disk: disk, run: run}, nil
}

// room is where a unit stands that is to follow at, which is at or in front of it: the next file if it does not fit.
func (l *unitLog) room(at int64) int64 {
	size := l.run.FileSize()
	if at%size+layout.TimerUnitSize+layout.TimerBlankSize > size {
		return at - at%size + size
	}
	return at
}

// append appends units behind the end; b is memory of the caller, which is returned grown. The first goes to room(end),
// each further one to room of the end of the one before it.
func (l *unitLog) append(units []layout.TimerUnit, b []byte) ([]byte, error) {
	b = b[:0]
	at := l.end
	for _, u := range units {
		if to := l.room(at); to > at {
			b = layout.AppendTimerBlank(b, to-at)
			if n := to - at - layout.TimerBlankSize; n > 0 {
				b = append(b, make([]byte, n)...)
			}
			at = to
		}
		b = u.Append(b)
		at += layout.TimerUnitSize
	}
	if err := l.run.WriteAt(b, l.end); err != nil {
		return b, fmt.Errorf("timer log: %w", err)
	}
	if l.blockFrom+int64(l.blockSize) > l.end {
		l.blockSize = 0
	}
	l.end = at
	return b, nil
}

// unit reads the unit at pos. With back, those before it are likely to be read next, else those behind it.
func (l *unitLog) unit(pos int64, back bool) (layout.TimerUnit, error) {
	if pos < l.blockFrom || pos+layout.TimerUnitSize > l.blockFrom+int64(l.blockSize) {
		if err := l.fill(pos, back); err != nil {
			return layout.TimerUnit{}, err
		}
	}
	u, ok := layout.DecodeTimerUnit(l.block[pos-l.blockFrom:])
	if !ok {
		return u, fmt.Errorf("timer log: there is no unit at %d of %s", pos, l.run.Path(l.run.Start(pos)))
	}
	return u, nil
}

func (l *unitLog) fill(pos int64, back bool) error {
	start := l.run.Start(pos)
	from, to := pos, min(pos+int64(len(l.block)), start+l.run.FileSize(), max(l.end, pos+layout.TimerUnitSize))
	if back {
		from, to = max(start, pos+layout.TimerUnitSize-int64(len(l.block))), pos+layout.TimerUnitSize
	}
	l.blockSize = 0
	if err := l.run.ReadAt(l.block[:to-from], from); err != nil {
		return fmt.Errorf("timer log: %w", err)
	}
	l.blockFrom, l.blockSize = from, int(to-from)
	return nil
}

// each calls f for the units from from on, which is where one stands or the log ends, up to the first place without one,
// and returns that place. f may end it.
func (l *unitLog) each(from int64, f func(pos int64, u layout.TimerUnit) bool) (end int64, err error) {
	begin, stop := l.run.Bounds()
	size := l.run.FileSize()
	chunk := make([]byte, min(1<<20/layout.TimerUnitSize*layout.TimerUnitSize, size))
	for pos := max(from, begin); pos < stop; {
		n := min(int64(len(chunk)), size-pos%size)
		if err := l.run.ReadAt(chunk[:n], pos); err != nil {
			return pos, fmt.Errorf("timer log: %w", err)
		}
		for b := chunk[:n]; len(b) > 0; {
			if len(b) < layout.TimerUnitSize && int64(len(b)) == size-pos%size || len(b) >= layout.TimerBlankSize && layout.TimerBlank(b) {
				if len(b) < layout.TimerBlankSize || !layout.TimerBlank(b) {
					return pos, nil
				}
				pos = pos - pos%size + size
				break
			}
			if len(b) < layout.TimerUnitSize {
				break // the rest of the chunk is the beginning of the next
			}
			u, ok := layout.DecodeTimerUnit(b)
			if !ok || !f(pos, u) {
				return pos, nil
			}
			pos, b = pos+layout.TimerUnitSize, b[layout.TimerUnitSize:]
		}
	}
	return stop, nil
}

// cut makes end, which lies in the last files, the end of the log, for good: what was behind it must not be back after a
// loss of power, between units that are newer.
func (l *unitLog) cut(end int64) error {
	begin, stop := l.run.Bounds()
	l.end, l.blockSize = end, 0
	if end == stop {
		return nil
	}
	err := l.run.Truncate(max(end, begin))
	if _, stop = l.run.Bounds(); err == nil && end < stop {
		err = l.run.Sync(end, stop)
	}
	if err != nil {
		return fmt.Errorf("timer log: %w", err)
	}
	return nil
}

// drop removes the first files as long as all their units are of messages before offset least of the log of messages,
// which are gone, and returns how many it removed.
func (l *unitLog) drop(least int64) (n int, err error) {
	for {
		begin, end := l.run.Bounds()
		size := l.run.FileSize()
		if end-begin <= size {
			return n, nil
		}
		u, ok, err := l.lastOf(begin)
		if err != nil || ok && u.Log >= least {
			return n, err
		}
		m, err := l.run.DropBefore(begin + size)
		if n += m; err != nil || m == 0 {
			return n, err
		}
	}
}

// lastOf reads the last unit of the file that starts at start and is full.
func (l *unitLog) lastOf(start int64) (u layout.TimerUnit, ok bool, err error) {
	size := l.run.FileSize()
	last := start + (size-layout.TimerBlankSize)/layout.TimerUnitSize*layout.TimerUnitSize - layout.TimerUnitSize
	var b [layout.TimerUnitSize]byte
	if err := l.run.ReadAt(b[:], last); err != nil {
		return u, false, fmt.Errorf("timer log: %w", err)
	}
	u, ok = layout.DecodeTimerUnit(b[:])
	return u, ok, nil
}
