package static

import "github.com/skuamq/skua/internal/command"

// Answer is what a pull of a queue is answered besides messages.
type Answer struct {
	Status command.Status // StatusSuccess, StatusPullNotFound, StatusPullRetryImmediately, StatusPullOffsetMoved
	Next   int64          // where to go on
	Min    int64          // of the queue
	Max    int64
	Delta  int64 // to be added to the offsets in the messages
}

// Room is how many messages from a physical offset on may be read of the stretch, of most that are wanted.
func (it *Item) Room(physical int64, most int32) int32 {
	if !it.ended() {
		return most
	}
	return int32(min(max(it.EndOffset-physical, 1), int64(most)))
}

// Translate makes of the answer to a pull of the stretch it, in which an offset was asked for, the answer to the pull of the
// logical queue. A reader at the end of a stretch is sent to the next one; one for whom messages are gone, to those that are
// there.
//
// It departs from Java in one case: a reader far behind the end of a queue that was never moved is sent back, as in any
// other topic. Java holds its pull.
func (q *Queue) Translate(it *Item, asked int64, a Answer) Answer {
	if a.Status != command.StatusSuccess {
		it, a = q.redirect(it, asked, a)
	}
	return q.Shift(it, a)
}

// Shift gives the answer to a pull of a stretch the offsets of the logical queue, and leaves it as it is otherwise.
func (q *Queue) Shift(it *Item, a Answer) Answer {
	if it.ended() {
		a.Next = min(a.Next, it.EndOffset)
	}
	a.Next, a.Min = it.Logical(a.Next), it.Logical(a.Min)
	a.Max = max(it.Logical(a.Max), q.Leader().End())
	a.Delta = it.delta()
	return a
}

// redirect decides where a reader that got nothing from a stretch goes on: in the stretch that it returns.
func (q *Queue) redirect(it *Item, asked int64, a Answer) (*Item, Answer) {
	oldest, newest := it.Gen == q.First().Gen, it.Gen == q.Leader().Gen
	switch {
	case asked < a.Min && oldest:
		a.Status, a.Next = command.StatusPullOffsetMoved, a.Min
	case asked < a.Min: // the middle was deleted
		a.Status, a.Next = command.StatusPullRetryImmediately, a.Min
	case newest:
		if asked > a.Max && a.Status == command.StatusPullOffsetMoved {
			a.Next = a.Max
		}
	case asked >= a.Max || it.ended() && asked >= it.EndOffset:
		next := q.after(it)
		if next == nil {
			a.Status = command.StatusPullNotFound
			return it, a
		}
		a.Status = command.StatusPullRetryImmediately
		a.Next, a.Min, a.Max = next.StartOffset, next.StartOffset, next.StartOffset
		return next, a
	}
	return it, a
}
