package layout

import "encoding/binary"

// StagingHead is the head of the staging file, whose bytes behind StagingHeadSize are a ring: the byte of the log at
// offset o is at o modulo Size. It is little-endian, as processors that map it are.
//
//	 0 8s  "SKUARING"       64 i64 end: every byte of the log before it is in the ring or in the segments
//	 8 i64 size            128 i64 drained: every byte before it was written to the segments
//	16 16s session, the one in the abort file; zeros if the ring is of no use
//	32 16s boot id of the machine
type StagingHead struct {
	Size          int64
	Session, Boot Session
	End, Drained  int64
}

// Places in the staging file, bytes.
const (
	StagingHeadSize  = 64 << 10 // a multiple of every page size in use
	StagingEndAt     = 64
	StagingDrainedAt = 128
	StagingMax       = 256 << 20 // the most that Size may be

	stagingMagic     = "SKUARING"
	stagingSizeAt    = 8
	stagingSessionAt = 16
	stagingBootAt    = 32
)

// DecodeStagingHead reads the head of a staging file of fileSize bytes; ok is false if it is none, or of another size.
func DecodeStagingHead(b []byte, fileSize int64) (h StagingHead, ok bool) {
	if len(b) < StagingDrainedAt+8 || string(b[:8]) != stagingMagic {
		return h, false
	}
	e := binary.LittleEndian
	h.Size = int64(e.Uint64(b[stagingSizeAt:]))
	h.Session, h.Boot = Session(b[stagingSessionAt:stagingBootAt]), Session(b[stagingBootAt:])
	h.End, h.Drained = int64(e.Uint64(b[StagingEndAt:])), int64(e.Uint64(b[StagingDrainedAt:]))
	return h, h.Size > 0 && h.Size <= StagingMax && h.Size%StagingHeadSize == 0 && fileSize == StagingHeadSize+h.Size
}

// PutIdentity writes magic, size, boot id and session, the session last; End and Drained have to be there before, as the
// session makes the ring count.
func (h StagingHead) PutIdentity(b []byte) {
	copy(b, stagingMagic)
	binary.LittleEndian.PutUint64(b[stagingSizeAt:], uint64(h.Size))
	copy(b[stagingBootAt:], h.Boot[:])
	copy(b[stagingSessionAt:], h.Session[:])
}
