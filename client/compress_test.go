package client

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestCodecs(t *testing.T) {
	text := bytes.Repeat([]byte("the quick brown fox "), 500)
	for name, kind := range map[string]Compression{"zlib": Zlib, "lz4": LZ4, "zstd": Zstd} {
		c, err := newCodec(kind, 5)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // writers are reused
			small := c.compress(text)
			if len(small) == 0 || len(small) > len(text)/5 {
				t.Errorf("%s: %d bytes became %d", name, len(text), len(small))
			}
			got, err := decompress(small, compressedFlag|int32(kind), maxInflated)
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%s: %d bytes came back, %v", name, len(got), err)
			}
			if kind == Zlib {
				if got, err := decompress(small, compressedFlag, maxInflated); err != nil || !bytes.Equal(got, text) {
					t.Errorf("zlib of old: %d bytes came back, %v", len(got), err)
				}
			}
		}
		noise := make([]byte, 5000)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		if got := c.compress(noise); got != nil {
			t.Errorf("%s: noise of %d bytes became %d", name, len(noise), len(got))
		}
	}
}

func TestDecompressRefuses(t *testing.T) {
	for name, kind := range map[string]Compression{"zlib": Zlib, "lz4": LZ4, "zstd": Zstd} {
		c, err := newCodec(kind, 9)
		if err != nil {
			t.Fatal(err)
		}
		const limit = 1 << 20
		bomb := c.compress(make([]byte, limit+1))
		if _, err := decompress(bomb, compressedFlag|int32(kind), limit); err == nil {
			t.Errorf("%s: %d bytes inflated to more than %d", name, len(bomb), limit)
		}
		if got, err := decompress(bomb, compressedFlag|int32(kind), limit+1); err != nil || len(got) != limit+1 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := decompress([]byte("x"), compressedFlag|4<<8, 10); err == nil {
		t.Error("an unknown compression was read")
	}
	if _, err := newCodec(5, 5); err == nil {
		t.Error("an unknown compression was made")
	}
	if _, err := newCodec(Zlib, 20); err == nil {
		t.Error("level 20 was taken")
	}
}

func FuzzDecompress(f *testing.F) {
	for _, kind := range []Compression{Zlib, LZ4, Zstd} {
		c, err := newCodec(kind, 5)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c.compress(bytes.Repeat([]byte("a"), 1000)), int32(kind))
	}
	f.Fuzz(func(t *testing.T, body []byte, flag int32) {
		const limit = 100_000
		out, err := decompress(body, flag, limit)
		if err == nil && len(out) > limit {
			t.Errorf("%d bytes", len(out))
		}
	})
}
