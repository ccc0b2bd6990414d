package layout

// Deletion notes that a topic was deleted. The records of the topic that lie before End and are not newer than Time are of
// the one that was deleted, all others of a topic of the same name that was made since. In a file it is a Chunk:
//
//	kind ChunkGone | topic | log: End | min: Time | all else 0
type Deletion struct {
	End  int64 // log offset
	Time int64 // newest store time in the log at that moment, ms
}

// Covers reports whether a record of the topic at log offset off is of the topic that was deleted. The time tells where End
// does not any more: another broker may have cut the log since, and gone on with it.
func (d Deletion) Covers(off, storeTime int64) bool { return off < d.End && storeTime <= d.Time }

// AppendDeletion appends the note of a topic, of 255 bytes at most, to b.
func AppendDeletion(b []byte, topic string, d Deletion) []byte {
	return (&Chunk{Kind: ChunkGone, Topic: []byte(topic), Log: d.End, Min: d.Time}).Append(b)
}

// Deletions reads notes, the last one of each topic, and returns how many bytes they take: what follows is none.
func Deletions(b []byte) (notes map[string]Deletion, size int) {
	notes = map[string]Deletion{}
	for {
		c, n := DecodeChunk(b[size:])
		if n == 0 || n > len(b)-size || c.Kind != ChunkGone {
			return notes, size
		}
		notes[string(c.Topic)] = Deletion{End: c.Log, Time: c.Min}
		size += n
	}
}
