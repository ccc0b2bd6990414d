package store

import "github.com/skuamq/skua"

// Place is where a record stands in the log.
type Place struct {
	Log  skua.LogOffset
	Size int32 // bytes
}

// ReadPlaces reads the records at places into out, in their order. Those that are not there, or no more, are left out: a
// record tells its own place. If the disk fails, out.Err tells, and what is behind it is left out, too. It may wait for the
// disk, which is asked for all of them at once.
func (s *Store) ReadPlaces(places []Place, out *ReadResult) {
	out.Release()
	out.SuggestSlave, out.Err = false, nil
	out.Status, out.spans = MessageWasRemoving, out.spans[:0]
	for _, p := range places {
		out.spans = append(out.spans, span{log: int64(p.Log), size: p.Size})
	}
	if len(out.spans) == 0 {
		return
	}
	if s.load(out, &ReadRequest{}); len(out.Records) > 0 {
		out.Status = Found
	}
}
