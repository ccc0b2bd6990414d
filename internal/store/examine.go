package store

import (
	"sync"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Limits of what one read looks at for the sake of ReadRequest.MatchProperties, bytes of records.
const (
	examineStep     = 256 << 10 // at a time; one record at least
	maxExamined     = 8 << 20   // in all
	maxExaminedHere = 1 << 20   // in all, of a read that must not wait
)

// probes are results of reads that only serve to look at records.
var probes = sync.Pool{New: func() any { return new(ReadResult) }}

// examine looks at the records of the entries in b, of which the first is that of offset from, as far as their tags codes and
// extensions let them pass, and notes which are not wanted. It looks at some of them only if they are large: n is how many
// entries can be taken. over means that the read ends behind them. The only error is errWouldWait.
func (sel *selection) examine(b []byte, from int64) (n int, over bool, err error) {
	probe := probes.Get().(*ReadResult)
	defer func() {
		probe.Release()
		probe.Err = nil
		probes.Put(probe)
	}()
	n = sel.candidates(probe, b, from)
	if len(probe.spans) == 0 {
		return n, false, nil
	}
	r := sel.r
	if !sel.s.load(probe, &r) {
		return 0, true, errWouldWait
	}
	if r.Mapped && segment.Guard(func() { sel.judge(probe, from) }) != nil {
		if r.NoWait {
			return 0, true, errWouldWait
		}
		probe.Release()
		r.Mapped = false
		sel.s.load(probe, &r) // which waits
		sel.judge(probe, from)
	} else if !r.Mapped {
		sel.judge(probe, from)
	}
	if probe.Err != nil { // the disk failed; what lies behind is not passed over
		sel.out.Err = probe.Err
		return int(int64(probe.Next) - from), true, nil
	}
	if r.NoWait {
		return n, sel.examined >= maxExaminedHere, nil
	}
	return n, sel.examined >= maxExamined, nil
}

// candidates makes the spans of probe those records that have to be looked at, no more than the read may still return, and
// tells how many entries it got through.
func (sel *selection) candidates(probe *ReadResult, b []byte, from int64) int {
	sel.unwanted = 0
	probe.spans = probe.spans[:0]
	begin, last, bytes := int64(sel.s.Min()), sel.last, 0
	n, most := len(b)/layout.UnitSize, max(min(sel.r.MaxMessages, sel.s.o.MaxTransferCountInMemory)-sel.count, 1)
	for i := range n {
		u, ok := layout.DecodeUnit(b[i*layout.UnitSize:])
		off := from + int64(i)
		switch {
		case !ok || off >= sel.stop:
			return n // take ends there
		case u.Filler() || u.Log < begin || sel.q.batch && u.Log == last && off > int64(sel.r.Offset) || sel.r.Match != nil && !sel.matches(u):
			continue
		case sel.r.MatchExtension != nil && !sel.extensionMatches(u):
			sel.unwanted |= 1 << i
			continue
		case len(probe.spans) == most || bytes > 0 && bytes+int(u.Size) > examineStep:
			return i
		}
		last = u.Log
		bytes += int(u.Size)
		sel.examined += int(u.Size)
		probe.spans = append(probe.spans, span{u.Log, u.Size, off})
	}
	return n
}

// judge notes which of the records of probe are not wanted. One that is lost counts as wanted: the read will find it missing.
func (sel *selection) judge(probe *ReadResult, from int64) {
	at := 0
	for _, b := range probe.Records {
		m, _, err := record.Decode(b)
		if err != nil {
			continue
		}
		for at < len(probe.spans) && skua.LogOffset(probe.spans[at].log) != m.LogOffset {
			at++
		}
		if at < len(probe.spans) && !sel.r.MatchProperties(m.Properties) {
			sel.unwanted |= 1 << (probe.spans[at].off - from)
		}
	}
}

// extensionMatches reports whether the extension of an entry lets it pass. It does if there is none.
func (sel *selection) extensionMatches(u layout.Unit) bool {
	at, far := layout.ExtOffset(u.Tags)
	if !far {
		return true
	}
	unit, size := sel.q.extensionAt(at, true)
	return size <= 0 || sel.r.MatchExtension(Extension{StoreTime: unit.Time, Filter: unit.Filter})
}
