package store

import "fmt"

// checkIndexFile compares what an index file says of itself with what it holds and with the log, which it must not reach
// beyond: its head, its first item and its last, and the record of the last, if the log still has it. before is the file
// in front of it, nil for the first one. It returns what is wrong.
func (r *recovery) checkIndexFile(f, before *indexFile) error {
	count := f.Count()
	switch {
	case count > f.Items || f.SlotsUsed() < 0 || f.SlotsUsed() > count:
		return fmt.Errorf("its head counts %d items of %d, in %d slots", count-1, f.Items, f.SlotsUsed())
	case f.BeginOffset() < 0 || f.EndOffset() < f.BeginOffset() || f.EndTime() < f.BeginTime():
		return fmt.Errorf("its head says that it goes from log offset %d to %d, from time %d to %d", f.BeginOffset(), f.EndOffset(),
			f.BeginTime(), f.EndTime())
	case f.EndOffset() >= max(r.end.End, 1):
		return fmt.Errorf("it reaches to log offset %d, the log ends at %d", f.EndOffset(), r.end.End)
	case before != nil && f.EndOffset() < before.EndOffset():
		return fmt.Errorf("it reaches to log offset %d, the file before it to %d", f.EndOffset(), before.EndOffset())
	case count == 1:
		return nil
	}
	if first, last := f.Item(1).Log, f.Item(count-1).Log; first != f.BeginOffset() || last != f.EndOffset() {
		return fmt.Errorf("its items go from log offset %d to %d, its head says %d to %d", first, last, f.BeginOffset(), f.EndOffset())
	}
	if begin, _ := r.s.log.run.Bounds(); f.EndOffset() < begin {
		return nil
	}
	if _, _, err := r.read.record(f.EndOffset()); err != nil {
		return fmt.Errorf("its last item is of log offset %d, where there is no record: %w", f.EndOffset(), err)
	}
	return nil
}
