package layout

import (
	"bytes"
	"testing"
)

func FuzzUnit(f *testing.F) {
	f.Add(AppendUnit(nil, 5, 100, -7))
	f.Add(make([]byte, UnitSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < UnitSize {
			return
		}
		if u, ok := DecodeUnit(b); ok && !bytes.Equal(AppendUnit(nil, u.Log, u.Size, u.Tags), b[:UnitSize]) {
			t.Fatalf("%+v is written differently", u)
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	f.Add(Checkpoint{Indexed: 7}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := DecodeCheckpoint(b); ok && !bytes.Equal(c.Encode(), b) {
			t.Fatalf("%+v is written differently", c)
		}
		DecodeJavaCheckpoint(b)
		DecodeAbort(b)
	})
}

func FuzzStagingHead(f *testing.F) {
	b := make([]byte, 256)
	StagingHead{Size: StagingHeadSize, Session: Session{1}}.PutIdentity(b)
	f.Add(b, int64(2*StagingHeadSize))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		h, ok := DecodeStagingHead(b, size)
		if !ok {
			return
		}
		again := make([]byte, len(b))
		h.PutIdentity(again)
		if !bytes.Equal(again[:StagingEndAt-16], b[:StagingEndAt-16]) {
			t.Fatalf("%+v is written differently", h)
		}
	})
}

// FuzzIndex gives the index a file of any content: it may find anything, but must come to an end inside the file.
func FuzzIndex(f *testing.F) {
	const slots, items = 4, 8
	f.Add(make([]byte, IndexFileSize(slots, items)), int32(3))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 1}, int(IndexFileSize(slots, items)/4)), int32(1))
	f.Fuzz(func(t *testing.T, b []byte, hash int32) {
		x := Index{Mem: make([]byte, IndexFileSize(slots, items)), Slots: slots, Items: items}
		copy(x.Mem, b)
		n := 0
		x.Find(max(hash, 0), 0, 1<<62, func(int64) bool { n++; return true })
		if n > items {
			t.Fatalf("found %d of %d", n, items)
		}
		if !x.Full() && x.Count() < items {
			x.Put(max(hash, 0), 1, 1000)
		}
	})
}

func FuzzChunk(f *testing.F) {
	c := Chunk{Kind: ChunkUnits, Topic: []byte("T"), Queue: 3, From: 7, Log: 9, Units: AppendUnit(nil, 5, 100, -7)}
	f.Add(c.Append(nil))
	f.Add((&Chunk{Kind: ChunkWhole}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, size := DecodeChunk(b)
		if size <= 0 || size > len(b) {
			return
		}
		if again := c.Append(nil); len(again) != size {
			t.Fatalf("%+v is written differently", c)
		}
	})
}

func FuzzDeletions(f *testing.F) {
	f.Add(AppendDeletion(AppendDeletion(nil, "T", Deletion{End: 5, Time: 7}), "U", Deletion{End: 9, Time: 8}))
	f.Fuzz(func(t *testing.T, b []byte) {
		notes, n := Deletions(b)
		if n > len(b) || len(notes) > n/chunkHead {
			t.Fatalf("%d notes in %d of %d bytes", len(notes), n, len(b))
		}
		for topic, d := range notes {
			again, _ := Deletions(AppendDeletion(nil, topic, d))
			if again[topic] != d {
				t.Fatalf("%+v of %q is read as %+v", d, topic, again)
			}
		}
	})
}

func FuzzTimerCheckpoint(f *testing.F) {
	f.Add(TimerCheckpoint{Read: 1, Counter: 7}.Append(nil))
	f.Add((&TimerMark{Boot: Session{1}, Precision: 1000, Clean: true}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := DecodeTimerCheckpoint(b); ok && !bytes.Equal(c.Append(nil), b[:TimerCheckpointUsed]) {
			t.Fatalf("checkpoint %+v is written differently", c)
		}
		if m, ok := DecodeTimerMark(b); ok && m.Clean && !bytes.Equal(m.Append(nil), b) {
			t.Fatalf("mark %+v is written differently", m)
		}
	})
}
