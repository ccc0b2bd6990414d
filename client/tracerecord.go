package client

import (
	"strconv"

	"github.com/skuamq/skua/internal/command"
)

// traceKind is what a trace record is about.
type traceKind string

// The kinds of RocketMQ.
const (
	tracePub            traceKind = "Pub"            // a message was sent
	traceSubBefore      traceKind = "SubBefore"      // a message is about to be consumed
	traceSubAfter       traceKind = "SubAfter"       // it was
	traceEndTransaction traceKind = "EndTransaction" // a transaction was ended
	traceRecall         traceKind = "Recall"         // a timed message was called back
)

// Kinds of messages, as trace records number them.
const (
	tracedNormal = 0
	tracedHalf   = 1
	tracedCommit = 2
	tracedDelay  = 3
)

// Results of consumption, as trace records number them.
const (
	consumedWell     = 0
	consumedTooLong  = 1
	consumerPanicked = 2
	consumerFailed   = 4
)

// defaultRegion is that of brokers that name none.
const defaultRegion = "DefaultRegion"

// traceRecord is one step of a message. Which fields count depends on kind, see append.
type traceRecord struct {
	kind    traceKind
	at      int64 // ms
	region  string
	group   string
	request string // pairs SubBefore and SubAfter
	took    int64  // ms
	success bool
	result  int // of consumption

	topic      string
	id         string
	tag        string
	keys       string // separated by blanks
	store      string // address of the broker
	offsetID   string
	bodyLength int
	retries    int
	message    int // its kind

	transaction string // its id
	state       string // what became of it
	checked     bool   // the broker asked
}

const (
	traceField = '\x01' // ends a field
	traceEnd   = '\x02' // ends a record
)

// append appends the record as Java writes it; absent tags and keys are "null" there. Fields end with \x01, the record with
// \x02:
//
//	Pub             at region group topic id tag keys store bodyLength took message offsetID success
//	SubBefore       at region group request id retries keys
//	SubAfter        request id took success keys result at group
//	EndTransaction  at region group topic id tag keys store message transaction state checked
//	Recall          at region group topic id success
func (r *traceRecord) append(dst []byte) []byte {
	text := func(fields ...string) {
		for _, f := range fields {
			dst = append(append(dst, f...), traceField)
		}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	text(string(r.kind))
	if r.kind != traceSubAfter {
		text(number(r.at), r.region, r.group)
	}
	tag, keys := orNull(r.tag), orNull(r.keys)
	switch r.kind {
	case tracePub:
		text(r.topic, r.id, tag, keys, r.store, number(int64(r.bodyLength)), number(r.took), number(int64(r.message)), r.offsetID, strconv.FormatBool(r.success))
	case traceSubBefore:
		text(r.request, r.id, number(int64(r.retries)), keys)
	case traceSubAfter:
		text(r.request, r.id, number(r.took), strconv.FormatBool(r.success), keys, number(int64(r.result)), number(r.at), r.group)
	case traceEndTransaction:
		text(r.topic, r.id, tag, keys, r.store, number(int64(r.message)), r.transaction, r.state, strconv.FormatBool(r.checked))
	case traceRecall:
		text(r.topic, r.id, strconv.FormatBool(r.success))
	}
	dst[len(dst)-1] = traceEnd
	return dst
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return s
}

// regionOf is the region of an answer to a send.
func regionOf(h *command.SendResponse) string {
	if h.Region == "" {
		return defaultRegion
	}
	return h.Region
}
