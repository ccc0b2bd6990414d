package store

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// filesOnly returns a store whose n messages in queue 0 of topic T are in files, not in the ring.
func filesOnly(t *testing.T, n int) (*Store, *Queue) {
	t.Helper()
	o := small(t.TempDir())
	s := open(t, o)
	appendN(t, s, "T", 0, 0, n)
	closed(t, s)
	s = open(t, o)
	begin, end := s.log.run.Bounds()
	for at := begin; at < end; at += s.o.SegmentSize { // brings it into memory
		if _, err := os.ReadFile(s.log.run.Path(at)); err != nil {
			t.Fatal(err)
		}
	}
	return s, s.Queue("T", 0)
}

// warmUp reads so often that the files are mapped.
func warmUp(s *Store, q *Queue, r ReadRequest, out *ReadResult) {
	for range 10 {
		readBoth(s, q, r, out)
	}
}

func TestMappedReadOutlivesRetention(t *testing.T) {
	s, q := filesOnly(t, 2000)
	var got ReadResult
	warmUp(s, q, ReadRequest{Offset: 10, MaxMessages: 5, NoWait: true, Mapped: true}, &got)
	if len(got.pins) == 0 || got.buf != nil {
		t.Errorf("%d mappings, buffer %v: nothing is mapped", len(got.pins), got.buf != nil)
	}
	want := make([][]byte, len(got.Records))
	for i, b := range got.Records {
		want[i] = bytes.Clone(b)
	}
	if n := s.DeleteExpired(); n != 0 {
		t.Fatal(n)
	}
	if _, err := s.log.run.DropBefore(s.o.SegmentSize); err != nil {
		t.Fatal(err)
	}
	s.logDisk.Relax()
	s.logDisk.Relax()
	for i, b := range got.Records {
		if m, _, err := record.Decode(b); !bytes.Equal(b, want[i]) || err != nil || string(m.Body) != fmt.Sprint(10+i) {
			t.Errorf("record %d changed: %v", i, err)
		}
	}
	got.Release()
	if len(got.pins) != 0 {
		t.Error("mappings stay pinned")
	}
}

func TestMappedFaultFallsBack(t *testing.T) {
	s, q := filesOnly(t, 2000)
	r := ReadRequest{Offset: 100, MaxMessages: 32, NoWait: true, Mapped: true}
	var got ReadResult
	warmUp(s, q, r, &got)
	e, _ := q.Entry(110)
	start := s.log.run.Start(int64(e.LogOffset))
	if err := os.Truncate(s.log.run.Path(start), 4096); err != nil {
		t.Fatal(err)
	}
	if err := Guard(func() { bytes.Clone(got.Records[20]) }); err == nil {
		t.Error("no error for a record whose file was cut")
	}
	s.Read(q, r, &got)
	if got.Status != WouldWait || len(got.Records) > 0 || got.Next != 100 {
		t.Errorf("%v with %d records, next %d", got.Status, len(got.Records), got.Next)
	}
	r.NoWait = false
	got.Release()
	s.Read(q, r, &got)
	if got.Err == nil || int(got.Next) > 100+len(got.Records) {
		t.Errorf("%v, %d records, next %d, %v: a message would be passed over", got.Status, len(got.Records), got.Next, got.Err)
	}
	got.Release()
}

func TestMappedReadDoesNotAllocate(t *testing.T) {
	s, q := filesOnly(t, 2000)
	var out ReadResult
	off := skua.QueueOffset(0)
	read := func() {
		readBoth(s, q, ReadRequest{Offset: off, MaxMessages: 32, NoWait: true, Mapped: true}, &out)
		off = (off + 32) % 1900
	}
	for range 200 {
		read()
	}
	if n := testing.AllocsPerRun(1000, read); n >= 1 && !raceEnabled {
		t.Errorf("%v allocations per read", n)
	}
	out.Release()
}
