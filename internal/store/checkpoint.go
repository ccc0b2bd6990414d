package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// checkpoint is Skua's own, in <Dir>/skua/checkpoint. It bounds what a start has to read.
//
//	0 8s "SKUACKP1" | 8 16s session | 24 16s boot id
//	40, 64, 88 position each of: the log that is on disk, the queue entries in files, the queue entries on disk
//	112 i64 log offset before which everything is indexed | 120 u32 CRC-32 of the bytes before
//
// A position is i64 end, i64 offset of the record that ends there, i64 its store time. It is written over in place: it is
// shorter than a disk sector, and a torn one fails its CRC, which only makes the start longer.
type checkpoint struct {
	session, boot            session
	durable, written, synced position
	indexed                  int64
}

// position is a place between two records.
type position struct {
	End  int64 // the place
	Last int64 // offset of the record before it, -1 if unknown
	Time int64 // store time of that record, ms
}

const (
	checkpointMagic = "SKUACKP1"
	checkpointSize  = 124
)

func (c checkpoint) encode() []byte {
	b := append(make([]byte, 0, checkpointSize), checkpointMagic...)
	b = append(b, c.session[:]...)
	b = append(b, c.boot[:]...)
	e := binary.BigEndian
	for _, p := range []position{c.durable, c.written, c.synced} {
		b = e.AppendUint64(b, uint64(p.End))
		b = e.AppendUint64(b, uint64(p.Last))
		b = e.AppendUint64(b, uint64(p.Time))
	}
	b = e.AppendUint64(b, uint64(c.indexed))
	return e.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// decodeCheckpoint reads a checkpoint; ok is false if it is none, or torn.
func decodeCheckpoint(b []byte) (c checkpoint, ok bool) {
	if len(b) != checkpointSize || string(b[:8]) != checkpointMagic {
		return c, false
	}
	e := binary.BigEndian
	if crc32.ChecksumIEEE(b[:checkpointSize-4]) != e.Uint32(b[checkpointSize-4:]) {
		return c, false
	}
	copy(c.session[:], b[8:])
	copy(c.boot[:], b[24:])
	for i, p := range []*position{&c.durable, &c.written, &c.synced} {
		f := b[40+24*i:]
		p.End, p.Last, p.Time = int64(e.Uint64(f)), int64(e.Uint64(f[8:])), int64(e.Uint64(f[16:]))
	}
	c.indexed = int64(e.Uint64(b[112:]))
	return c, true
}

// javaTimes is Java's checkpoint file: how far which files are flushed, by store time of the last message, ms.
type javaTimes struct {
	log, queues, index     int64
	masterFlushed, confirm int64 // log offsets
	queuesEnd              int64 // log offset before which queues are flushed
}

const javaCheckpointSize = 4096

func (j javaTimes) encode() []byte {
	b := make([]byte, 0, javaCheckpointSize)
	for _, v := range []int64{j.log, j.queues, j.index, j.masterFlushed, j.confirm, j.queuesEnd} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	return b[:javaCheckpointSize]
}

func decodeJavaTimes(b []byte) (j javaTimes) {
	for i, v := range []*int64{&j.log, &j.queues, &j.index, &j.masterFlushed, &j.confirm, &j.queuesEnd} {
		if len(b) >= 8*i+8 {
			*v = int64(binary.BigEndian.Uint64(b[8*i:]))
		}
	}
	return j
}

// writeCheckpoints notes how far everything is, for Java and for ourselves.
func (s *Store) writeCheckpoints() error {
	f := &s.flusher
	f.mu.Lock()
	c := checkpoint{session: s.session, boot: bootID(), durable: f.durable, written: f.written, synced: f.synced}
	f.mu.Unlock()
	c.indexed = s.index.position()
	j := javaTimes{log: c.durable.Time, queues: c.synced.Time, index: s.index.flushedTime(), queuesEnd: c.synced.End}
	if s.java.log > j.log {
		j.log = s.java.log
	}
	j.masterFlushed, j.confirm = s.java.masterFlushed, s.java.confirm
	return errors.Join(overwrite(s.own(ownCheckpoint), c.encode()),
		overwrite(filepath.Join(s.o.Dir, javaCheckpoint), j.encode()))
}

// overwrite writes a small file in place, so that a full disk cannot keep it from being updated.
func overwrite(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// readCheckpoints reads both checkpoint files; what is missing is zero.
func (s *Store) readCheckpoints() (own checkpoint, ok bool, err error) {
	b, err := os.ReadFile(s.own(ownCheckpoint))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, false, fmt.Errorf("store: %w", err)
	}
	if own, ok = decodeCheckpoint(b); !ok && len(b) > 0 {
		s.o.Log.Warn("checkpoint is damaged, the start reads more of the log", "file", s.own(ownCheckpoint))
	}
	b, err = os.ReadFile(filepath.Join(s.o.Dir, javaCheckpoint))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, false, fmt.Errorf("store: %w", err)
	}
	s.java = decodeJavaTimes(b)
	return own, ok, nil
}
