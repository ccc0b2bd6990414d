package inspect

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/skuamq/skua/internal/layout"
)

// readIndex is the pass over the index files alone: heads, chains and the order of items.
func (v *verifier) readIndex(ctx context.Context) error {
	files, unknown, err := v.d.indexFiles()
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Keys(unknown)) {
		if v.d.Running {
			continue // it is being made
		}
		v.found.add(Finding{Kind: "index", File: path, Offset: -1, Note: v.d.crashed(), Detail: unknown[path].Error()})
		if v.d.crashed() {
			continue
		}
		// It takes part in nothing else, but is a reason to make the index again.
		x := &indexFile{path: path, count: 1}
		x.bad.Store(true)
		v.index = append(v.index, x)
	}
	v.index = append(v.index, files...)
	slices.SortStableFunc(v.index, func(a, b *indexFile) int { return slices.Compare([]byte(a.path), []byte(b.path)) })
	total := int64(0)
	for _, x := range files {
		total += layout.IndexItemSize * x.count
	}
	v.begin("index", total)
	parts := v.d.parts()
	return each(ctx, v.o.Workers, files, func() (struct{}, func()) { return struct{}{}, func() {} },
		func(_ struct{}, x *indexFile) error { return v.readIndexFile(x, parts) })
}

// indexNote reports whether findings in x are none: a start after a crash makes such a file again.
func (v *verifier) indexNote(x *indexFile) bool {
	return v.d.crashed() && !v.d.Running && x.head.EndTime() > v.d.java.Index
}

func (v *verifier) addIndex(x *indexFile, f Finding) {
	f.Kind, f.File, f.Note = "index", x.path, f.Note || v.indexNote(x)
	if !f.Note {
		x.bad.Store(true)
	}
	v.found.add(f)
}

func (v *verifier) readIndexFile(x *indexFile, parts []part) error {
	f, err := os.Open(x.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if x.count > int64(x.items) {
		v.addIndex(x, Finding{Offset: 36, Detail: fmt.Sprintf("counts %d items, but has room for %d", x.count-1, x.items-1)})
		x.count = 1
		return nil
	}
	newest := make([]int32, x.slots)
	x.starts = make([]int64, len(parts))
	for i := range x.starts {
		x.starts[i] = x.count
	}
	last, next := int64(-1), 0
	err = x.scan(f, 1, func(n int64, i layout.IndexItem) bool {
		if n%(1<<16) == 0 {
			v.done.Add(layout.IndexItemSize << 16)
		}
		if why := itemFault(n, i, last, newest); why != "" {
			v.addIndex(x, Finding{Offset: x.itemAt(n), Log: i.Log, Detail: fmt.Sprintf("item %d %s", n, why)})
		} else {
			for last = i.Log; next < len(parts) && i.Log >= parts[next].from; next++ {
				x.starts[next] = n
			}
		}
		if i.Hash >= 0 {
			newest[i.Hash%x.slots] = int32(n)
		}
		return true
	})
	if err != nil {
		return err
	}
	return v.checkSlots(x, f, newest, last)
}

// itemFault tells what is wrong with item n; last is the log offset of the item before it.
func itemFault(n int64, i layout.IndexItem, last int64, newest []int32) string {
	switch {
	case i.Hash < 0:
		return fmt.Sprintf("has the hash %d, hashes are not negative", i.Hash)
	case i.Before != newest[int(i.Hash)%len(newest)]:
		return fmt.Sprintf("is chained to item %d, but item %d is the one before it in its slot", i.Before, newest[int(i.Hash)%len(newest)])
	case i.Log < last:
		return fmt.Sprintf("points to %d, the item before it to %d", i.Log, last)
	case i.Seconds < 0:
		return fmt.Sprintf("is of %d s after the first", i.Seconds)
	}
	return ""
}

// checkSlots compares the slots and the head with the items.
func (v *verifier) checkSlots(x *indexFile, f io.ReaderAt, newest []int32, last int64) error {
	r := bufio.NewReaderSize(io.NewSectionReader(f, layout.IndexHeadSize, layout.IndexSlotSize*int64(x.slots)), 256<<10)
	used := int32(0)
	for s := range newest {
		var b [layout.IndexSlotSize]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		got := int32(binary.BigEndian.Uint32(b[:]))
		if newest[s] != 0 {
			used++
		}
		if got != newest[s] && !(v.d.Running && int64(got) >= x.count) {
			v.addIndex(x, Finding{Offset: layout.IndexHeadSize + layout.IndexSlotSize*int64(s),
				Detail: fmt.Sprintf("slot %d leads to item %d, its newest is %d", s, got, newest[s])})
		}
	}
	if x.count <= 1 || v.d.Running {
		return nil
	}
	switch {
	case x.head.EndOffset() != last:
		v.addIndex(x, Finding{Offset: 24, Detail: fmt.Sprintf("the head says that the last item points to %d, it points to %d", x.head.EndOffset(), last)})
	case x.head.SlotsUsed() != used:
		v.addIndex(x, Finding{Offset: 32, Detail: fmt.Sprintf("the head counts %d slots in use, there are %d", x.head.SlotsUsed(), used)})
	case x.head.BeginTime() > x.head.EndTime():
		v.addIndex(x, Finding{Offset: 0, Detail: fmt.Sprintf("begins at %s, but ends at %s", stamp(x.head.BeginTime()), stamp(x.head.EndTime()))})
	}
	return nil
}

// indexCursor walks over the items of all index files that point into one part of the log.
type indexCursor struct {
	v     *verifier
	part  int
	to    int64
	files []*indexFile
	open  *os.File
	r     *bufio.Reader
	n     int64
	item  layout.IndexItem
	ok    bool  // item is the next one
	err   error // what reading ended with
}

func (v *verifier) cursor(p int, to int64) *indexCursor {
	c := &indexCursor{v: v, part: p, to: to}
	for _, x := range v.index {
		if x.count > 1 && x.starts != nil {
			c.files = append(c.files, x)
		}
	}
	c.begin()
	return c
}

func (c *indexCursor) close() {
	if c.open != nil {
		c.open.Close()
		c.open = nil
	}
}

// begin goes to the first item of the next file.
func (c *indexCursor) begin() {
	c.close()
	for c.ok = false; len(c.files) > 0; c.files = c.files[1:] {
		x := c.files[0]
		if x.starts[c.part] >= x.count {
			continue
		}
		if c.open, c.err = os.Open(x.path); c.err != nil {
			return
		}
		c.n = x.starts[c.part]
		c.r = bufio.NewReaderSize(io.NewSectionReader(c.open, x.itemAt(c.n), x.itemAt(x.count)-x.itemAt(c.n)), 64<<10)
		c.n--
		c.next()
		return
	}
}

// next goes to the next item; items that are out of order were found before and are left out.
func (c *indexCursor) next() {
	x := c.files[0]
	last := int64(-1)
	if c.ok {
		last = c.item.Log
	}
	var b [layout.IndexItemSize]byte
	for c.n++; c.n < x.count; c.n++ {
		if _, c.err = io.ReadFull(c.r, b[:]); c.err != nil {
			c.ok = false
			return
		}
		if c.item = decodeItem(b[:]); c.item.Log < last || c.item.Hash < 0 {
			continue
		}
		if ahead, err := c.r.Peek(12); err == nil && decodeLog(ahead) < c.item.Log && decodeLog(ahead) >= last {
			x.bad.Store(true) // this one is too great, not the next one too small
			c.v.addIndex(x, Finding{Offset: x.itemAt(c.n), Log: c.item.Log, Detail: fmt.Sprintf("item %d points to %d, the item behind it to %d", c.n, c.item.Log, decodeLog(ahead))})
			continue
		}
		c.ok = c.item.Log < c.to
		if !c.ok {
			c.files = nil
			c.close()
		}
		return
	}
	c.files = c.files[1:]
	c.begin()
}

func decodeLog(item []byte) int64 { return int64(binary.BigEndian.Uint64(item[4:])) }
