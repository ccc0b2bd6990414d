// Package inspect looks at store directories, Java's and Skua's, stopped or running: it tells what is in them, checks
// their files against one another, writes them out as text, and repairs what is damaged. It hides how the files are
// found and measured, and where the newest bytes of the log are. Only Repair and Undo write; all else takes no lock and
// changes nothing, so that a broker may run meanwhile.
//
// # What is looked at
//
// Open finds the files and takes one look at what moves: the abort file, the checkpoints and, when the last user was
// Skua and did not stop cleanly, the bytes of the log that only the staging ring has. These are copied, so that the log
// ends for a Dir where it ended at that moment. What a running broker adds later is not seen; what it had in memory only
// is no finding.
//
// # How a store is verified
//
// Three passes, each of which reads files from front to back, several at a time, in bounded memory:
//
//  1. the queues: units are counted, empty places between them found, their end noted;
//  2. the log: each record is decoded, and its checksums and offsets are checked; its unit is looked up (units follow one
//     another as the records of a queue do, so that nearly all lookups hit a block in memory), and so are its keys in the
//     index files, whose items stand in the order of the log;
//  3. a queue of which fewer units were met than counted has units that point nowhere: these are looked up one by one.
//
// Records without an entry are of lost queues, unless their topic was deleted; see the type topics.
//
// Then the files of compacted queues: each entry against its record, in the order of both.
//
// The chains of an index file are checked by following its items once, with the last item of each slot in memory.
//
// # How a store is repaired
//
// A damaged stretch of the log between good records is filled with records of the topic SKUA_LOST that are marked as
// rolled back, which brokers of both kinds walk over: such records have no place in a queue or index. A stretch that goes
// to the end of its file becomes a blank. Queues with findings are made again from the log, and put in place of the old
// ones. Index files are moved away from the first damaged one on; the next start of Skua makes them again.
//
// What is overwritten is copied, and synced, to skua/repair-<time>/ before; what is removed is moved there. The journal
// there tells each step before it is done, so that Undo also works after a repair that was interrupted.
package inspect
