// Package compact keeps the newest message of each key of a queue, in Java's files. It hides where a message is between the
// commit log and these files, how those that were superseded are removed, and how that survives a crash. It runs nothing and
// reads no clock: its owner copies messages from the commit log (Append), puts them on disk (Sync), and calls Pass
// now and then. Which records survive a pass is for Choice to say.
//
// # Files
//
//	compaction/compactionLog/<topic>/<queue>/   00000000000000000000  00000000000000115368  00000000000000461472
//	compaction/compactionCq/<topic>/<queue>/    00000000000000000000  00000000000000115368  00000000000000461472
//	                                            └───── left by passes ──────┘               └ what is copied now
//
// A part is two files of one name: records as in the commit log, but for the place that each tells, which is its place
// here; and an entry of 46 bytes for each record (layout.BatchUnit), in the order of queue offsets, which have gaps where
// records were removed. The rest of a part that is full is marked: an entry that says -1, and a blank. A name is a multiple of
// the size of a file of records. The files that a pass leaves are named from 0 on, so that there is a gap before those
// that have come since.
//
// A pass looks at all parts but the last. It is told up to which queue offset the passes before it came (the position, which
// its owner keeps in compaction/position-checkpoint), makes a table of the keys of what is newer, and leaves out what
// that table, or an empty body, says is superseded. What is behind the last record that fitted into the table stays.
//
// # What survives
//
// The promise: a record that was copied and synced is there, or has been superseded in a pass, however the process or the
// machine ends. The owner sees to it that the commit log keeps what was not, and copies only what is on disk there,
// so that nothing here is ahead of it.
//
//   - Copying. Records are written first, then their entries. A start takes what has an entry; the next is copied again. A
//     machine that lost its power may have kept entries without records: then the start cuts off the last part what can be
//     copied again, and all from the first record on that is not whole (Trust). Earlier parts were synced before the next began.
//   - A pass writes new files into a directory beside the old ones, and syncs them. Until then a start removes them.
//   - Then a plan is put on disk that says which files come and which go. From then on the replacing is finished, by this
//     process or by a start, and each step of it can be done twice: a file that is no more in the pass's directory has been moved.
//     The plan's removal is synced before the pass ends, so that it cannot come back beside the files of another one.
//   - The position is saved last. One that is too low costs a pass that removes nothing.
//   - What a step fails at is done again by the next call, by way of load, which makes the state what the files say.
//   - A Java broker that is killed while it replaces files cannot start on them. A start here can: the old files are there
//     until all new ones of records were moved, and entries are made again from records.
package compact
