// Package txn keeps book of half messages: messages that are stored and not yet seen by anybody, until whoever sent them
// says what becomes of them. It decides which ones of a queue still wait for that, which are to be asked about and when,
// and finds out from what is stored what became of them before a restart. It hides how little memory that takes, and how
// a half message is known as the same one when it was stored again.
//
// Nothing here does I/O, reads a clock or runs beside its caller, and no value may be used from two goroutines at a time.
//
// # Words
//
// A half message has a place in the queue of halves. It is done when nothing more is to be done about that place:
// it was ended by a commit or a rollback, given up after too many checks, or stored again behind, where it waits on. The
// places that it had before are names for it, too: who sent it knows the first one only, who was asked about it one of the
// others. What ends it once ends it under all its names.
//
// An op message tells which places are done, as their offsets in decimal, each followed by a comma:
//
//	12,13,17,
//
// A half that was stored again says in the property SKUA_HALF where and when it was stored first (offset, ms):
//
//	SKUA_HALF = 12,1700000000000
//
// The files, in reading order: half.go (what a half message says of itself, and what is to be done about one), book.go
// (which of them wait), look.go (which of them are to be looked at), asked.go (how many are asked about at a time),
// ops.go (op messages), walk.go (after a restart), clock.go.
package txn
