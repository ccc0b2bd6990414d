package store

import (
	"encoding/binary"
	"os"
	"testing"
	"unsafe"
)

// After memory of the ring went back to the system, the writer takes what comes next before appenders need it.
func TestPrime(t *testing.T) {
	s := open(t, small(t.TempDir()))
	appendN(t, s, "T", 0, 0, 1)
	ring := s.log.ring.Load()
	ahead := ring.slice(s.log.end.Load()+ring.size/2, 1)
	if s.log.end.Load() > ring.size/2 {
		t.Fatal("the ring is too small for this test")
	}
	ring.relax()
	if present(t, ahead) {
		t.Skip("the system keeps the page")
	}
	var p primer
	p.prime(s.log)
	if !p.off && !present(t, ahead) {
		t.Error("the page is not there")
	}
}

// present reports whether the page of b is in the memory of this process.
func present(t *testing.T, b []byte) bool {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	var entry [8]byte
	page := uintptr(unsafe.Pointer(unsafe.SliceData(b))) / uintptr(os.Getpagesize())
	if _, err := f.ReadAt(entry[:], int64(page)*8); err != nil {
		t.Skip(err)
	}
	return binary.NativeEndian.Uint64(entry[:])>>63 == 1
}
