package client

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression is how a producer compresses large bodies. Consumers find it in the message.
type Compression int32

// The kinds of compression. Zlib is the one that clients of all languages read.
const (
	Zlib Compression = 3 << 8
	LZ4  Compression = 1 << 8
	Zstd Compression = 2 << 8
)

const (
	compressedFlag  = 1      // bit of the system flag: the body is compressed
	compressionMask = 7 << 8 // bits of the system flag: how; 0 is zlib of old
)

// maxInflated limits what a body may grow to, so that a small hostile message cannot exhaust the memory.
const maxInflated = 64 << 20

// codec compresses with one kind and level. Its writers are reused.
type codec struct {
	kind    Compression
	writers sync.Pool
}

// resettable is what the writers of the three kinds have in common.
type resettable interface {
	io.WriteCloser
	Reset(io.Writer)
}

// newCodec returns a codec. level is 1 (fast) to 9 (small) and counts for Zlib only.
func newCodec(kind Compression, level int) (*codec, error) {
	var fresh func() any
	switch kind {
	case Zlib:
		if _, err := zlib.NewWriterLevel(io.Discard, level); err != nil {
			return nil, fmt.Errorf("compression level %d is not one of zlib's, 1 to 9", level)
		}
		fresh = func() any { w, _ := zlib.NewWriterLevel(io.Discard, level); return w }
	case LZ4:
		fresh = func() any { return lz4.NewWriter(io.Discard) }
	case Zstd:
		fresh = func() any { w, _ := zstd.NewWriter(io.Discard, zstd.WithEncoderConcurrency(1)); return w }
	default:
		return nil, fmt.Errorf("compression %#x is none of Zlib, LZ4, Zstd", int32(kind))
	}
	return &codec{kind: kind, writers: sync.Pool{New: fresh}}, nil
}

// compress returns body compressed, or nil if that would not make it smaller.
func (c *codec) compress(body []byte) []byte {
	w := c.writers.Get().(resettable)
	defer c.writers.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	_, err := w.Write(body)
	if err == nil {
		err = w.Close()
	}
	if err != nil || out.Len() >= len(body) {
		return nil
	}
	return out.Bytes()
}

// decompress returns the body of a message whose system flag says that it is compressed. One that would have more than
// limit bytes is an error.
func decompress(body []byte, sysFlag int32, limit int64) ([]byte, error) {
	var r io.Reader
	switch kind := Compression(sysFlag & compressionMask); kind {
	case 0, Zlib:
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		r = z
	case LZ4:
		r = lz4.NewReader(bytes.NewReader(body))
	case Zstd:
		z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxInflated))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, fmt.Errorf("unknown compression %#x", int32(kind))
	}
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(out)) > limit {
		err = fmt.Errorf("more than %d bytes when decompressed", limit)
	}
	return out, err
}
