package inspect

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/skuamq/skua/internal/layout"
)

// indexFile is an index file whose sizes are known.
type indexFile struct {
	path         string
	slots, items int32 // capacity
	head         layout.Index
	count        int64   // number of the next item when the file was found
	starts       []int64 // for each part of the log, the first item that points into it or behind it
	bad          atomic.Bool
}

// Sizes of index files by default.
const (
	defaultSlots = 5_000_000
	defaultItems = 20_000_000
)

// indexFiles lists the index files, oldest first. Those whose sizes cannot be found out come with an error each.
func (d *Dir) indexFiles() (files []*indexFile, unknown map[string]error, err error) {
	dir := filepath.Join(d.Path, layout.IndexDir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	unknown = map[string]error{}
	for _, e := range entries {
		if e.IsDir() || len(e.Name()) != len("20060102150405000") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		x, err := d.openIndex(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			unknown[path] = err
			continue
		}
		files = append(files, x)
	}
	slices.SortFunc(files, func(a, b *indexFile) int { return int(min(max(a.head.EndOffset()-b.head.EndOffset(), -1), 1)) })
	return files, unknown, nil
}

// openIndex reads the head of an index file and finds out how many slots it has.
func (d *Dir) openIndex(path string) (*indexFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	head := make([]byte, layout.IndexHeadSize)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("has %d bytes, an index file has more", info.Size())
	}
	x := &indexFile{path: path, head: layout.Index{Mem: head}}
	x.count = int64(x.head.Count())
	slots, items, ok := d.indexSizes(f, info.Size(), x.head)
	if !ok {
		return nil, fmt.Errorf("its head does not fit its %d bytes; if maxHashSlotNum is not the default, give it", info.Size())
	}
	x.slots, x.items = slots, items
	x.head.Slots, x.head.Items = slots, items
	return x, nil
}

// indexSizes finds numbers of slots and items that fit a file. Of those that give its size the right one has, where its
// items would be, a first and a last item that the head agrees with, the last one also being the newest of its slot.
func (d *Dir) indexSizes(f io.ReaderAt, size int64, head layout.Index) (slots, items int32, ok bool) {
	if d.o.IndexSlots > 0 && d.o.IndexItems > 0 {
		return d.o.IndexSlots, d.o.IndexItems, layout.IndexFileSize(d.o.IndexSlots, d.o.IndexItems) == size
	}
	if size == layout.IndexFileSize(defaultSlots, defaultItems) {
		return defaultSlots, defaultItems, true
	}
	count := int64(head.Count())
	room := size - layout.IndexHeadSize
	if count <= 1 { // empty: any sizes do
		slots = int32(room % layout.IndexItemSize / layout.IndexSlotSize)
		return max(slots, 1), int32((room - 4*int64(slots)) / layout.IndexItemSize), true
	}
	try := func(s int64) bool {
		if s <= 0 || (room-4*s)%layout.IndexItemSize != 0 || (room-4*s)/layout.IndexItemSize < count {
			return false
		}
		at := func(n int64) (layout.IndexItem, bool) {
			b := make([]byte, layout.IndexItemSize)
			_, err := f.ReadAt(b, layout.IndexHeadSize+4*s+layout.IndexItemSize*n)
			return decodeItem(b), err == nil
		}
		first, ok1 := at(1)
		last, ok2 := at(count - 1)
		if !ok1 || !ok2 || first.Log != head.BeginOffset() || first.Before != 0 || last.Log != head.EndOffset() || last.Hash < 0 ||
			int64(last.Before) >= count {
			return false
		}
		var b [4]byte
		_, err := f.ReadAt(b[:], layout.IndexHeadSize+4*int64(int64(last.Hash)%s))
		return err == nil && int64(binary.BigEndian.Uint32(b[:])) >= count-1
	}
	if s := room / (layout.IndexSlotSize + 4*layout.IndexItemSize); try(s) { // four items for a slot, as by default
		return int32(s), int32((room - 4*s) / layout.IndexItemSize), true
	}
	for s := room % layout.IndexItemSize / 4; s <= room/4; s += 5 {
		if try(s) {
			return int32(s), int32((room - 4*s) / layout.IndexItemSize), true
		}
	}
	return 0, 0, false
}

func decodeItem(b []byte) layout.IndexItem {
	e := binary.BigEndian
	return layout.IndexItem{Hash: int32(e.Uint32(b)), Log: int64(e.Uint64(b[4:])), Seconds: int32(e.Uint32(b[12:])), Before: int32(e.Uint32(b[16:]))}
}

// itemAt is the place of an item in the file.
func (x *indexFile) itemAt(n int64) int64 {
	return layout.IndexHeadSize + layout.IndexSlotSize*int64(x.slots) + layout.IndexItemSize*n
}

// scan calls yield with the items from number from on, until it returns false.
func (x *indexFile) scan(f io.ReaderAt, from int64, yield func(n int64, i layout.IndexItem) bool) error {
	r := bufio.NewReaderSize(io.NewSectionReader(f, x.itemAt(from), x.itemAt(x.count)-x.itemAt(from)), 256<<10)
	var b [layout.IndexItemSize]byte
	for n := from; n < x.count; n++ {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return err
		}
		if !yield(n, decodeItem(b[:])) {
			return nil
		}
	}
	return nil
}
