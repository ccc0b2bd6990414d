package wire

import "sync"

// Sizes of pooled buffers in bytes: two for the tail of a read that holds the beginning of a frame, one for a read or
// write of many small frames, and greater ones for great frames.
var bufferSizes = [...]int{tailSize, 4 * tailSize, burstSize, 512 << 10, 4 << 20, 16 << 20}

const (
	tailSize  = 2 << 10
	burstSize = 64 << 10
)

// buffers holds the free buffers of each size. A buffer travels inside its *[]byte, so that the pools need no
// allocation to keep it.
var buffers [len(bufferSizes)]sync.Pool

// buffer is a slice of pooled memory; the zero value has none.
type buffer struct {
	b     []byte
	class int
	box   *[]byte
}

// getBuffer returns an empty buffer of at least size bytes.
func getBuffer(size int) buffer {
	for class, n := range bufferSizes {
		if size > n {
			continue
		}
		if box, ok := buffers[class].Get().(*[]byte); ok {
			return buffer{b: (*box)[:0], class: class, box: box}
		}
		box := new([]byte)
		*box = make([]byte, n)
		return buffer{b: (*box)[:0], class: class, box: box}
	}
	return buffer{b: make([]byte, 0, size)}
}

// free gives the memory back and leaves b empty. If appends have moved b.b elsewhere, that memory is dropped.
func (b *buffer) free() {
	if b.box != nil {
		buffers[b.class].Put(b.box)
	}
	*b = buffer{}
}

// reserve makes room for n more bytes, so that appending them does not move b.b.
func (b *buffer) reserve(n int) {
	if n <= cap(b.b)-len(b.b) {
		return
	}
	greater := getBuffer(max(len(b.b)+n, burstSize))
	greater.b = append(greater.b, b.b...)
	b.free()
	*b = greater
}
