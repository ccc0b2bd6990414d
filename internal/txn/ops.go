package txn

import (
	"bytes"
	"strconv"

	"github.com/skuamq/skua"
)

// AppendOp appends a place to the body of an op message.
func AppendOp(body []byte, at skua.QueueOffset) []byte {
	return append(strconv.AppendInt(body, int64(at), 10), ',')
}

// EachOp calls yield for each place in the body of an op message. Older brokers wrote one, without the comma; what is no
// number is left out.
func EachOp(body []byte, yield func(at skua.QueueOffset)) {
	for len(body) > 0 {
		var text []byte
		text, body, _ = bytes.Cut(body, []byte(","))
		if n := number(text); n > 0 || string(text) == "0" {
			yield(skua.QueueOffset(n))
		}
	}
}

// CutOp cuts the body of an op message of about size bytes off the places in bodies, whole ones, at least one.
func CutOp(bodies []byte, size int) (body, rest []byte) {
	if len(bodies) <= size {
		return bodies, nil
	}
	n := bytes.LastIndexByte(bodies[:size], ',') + 1
	if n == 0 {
		n = bytes.IndexByte(bodies, ',') + 1
	}
	return bodies[:n], bodies[n:]
}

// OpQueue knows which messages of the queue of ops are still of use: those that tell of a place that is not before First.
type OpQueue struct {
	next skua.QueueOffset // behind the last one
	list []opMessage
}

// opMessage is an op message, and the last place that it tells of.
type opMessage struct{ at, last skua.QueueOffset }

// NewOpQueue returns the state of a queue of which nothing before next is of use.
func NewOpQueue(next skua.QueueOffset) *OpQueue { return &OpQueue{next: next} }

// Add notes the op message at at, the next one of the queue, with a body.
func (q *OpQueue) Add(at skua.QueueOffset, body []byte) {
	last := skua.QueueOffset(-1)
	EachOp(body, func(place skua.QueueOffset) { last = max(last, place) })
	q.list = append(q.list, opMessage{at, last})
	q.next = at + 1
}

// Of returns the first message that is of use if all places before first are done, or behind the last if none is.
func (q *OpQueue) Of(first skua.QueueOffset) skua.QueueOffset {
	n := 0
	for n < len(q.list) && q.list[n].last < first {
		n++
	}
	q.list = q.list[n:]
	if len(q.list) == 0 {
		q.list = nil
		return q.next
	}
	return q.list[0].at
}
