// Package store keeps messages: the commit log, consume queues and index of one broker, in Java's files. It hides where
// bytes are at any moment - in the staging ring, in files, on disk - and how they come back after a crash. It knows
// messages as records and the few fields that it indexes; topics, permissions and consumers are not its business.
//
// # The way of a message
//
//	Append ──encode──► [log lock: place, copy] ──► staging ring ──writer──► segment files ──fdatasync──► disk
//	                              │                (shared mapping)
//	                              └─► queue entry in memory ──flusher──► queue files
//	                                             log ──indexer──► index files (mapped)
//
// An appender encodes its record without a lock. Under the one lock of the log the record gets its offsets and time, is
// copied into the ring, and gets its queue entry. The ring is a shared mapping of skua/staging: its bytes belong to the
// system, not to the process. One goroutine, the writer, moves them to the segment files with large writes; another one
// flushes, every FlushInterval, queue entries and then the log; a third builds the index, from keys that the appenders hand
// over, and from the log where they have not.
//
// # What survives
//
// The promise: a message whose Append returned survives the end of the process, however it ends, once and only once; one
// whose WhenDurable said nil in SyncFlush survives the end of the machine.
//
// The four offsets durable <= drained <= end <= reserved only grow. Step by step, with the process killed at any point:
//
//   - Copy into the ring. The word end in the ring's header is stored after the bytes, and Append returns after that. A
//     killed process leaves all its stores, in order. So the bytes of every acknowledged record are before end, complete;
//     a half-copied record is behind end and does not exist.
//   - Drain. The word drained is stored after pwrite has returned. Bytes before it are in the files; bytes from it to end
//     are in the ring. A torn pwrite is behind drained: the start writes the same bytes again to the same place.
//     A direct write, past the cache, is of whole pages; its first may have a beginning that is drained, and gets the same
//     bytes again. The system keeps cache and direct writes apart, as one goroutine does both, one after the other.
//     In SyncFlush the last page is cleared before it is written, but never one that begins before drained.
//   - Ring wrap. An appender overwrites the place of offset o only when o + size of the ring < its own offset, for which
//     it waits until drained has passed o, with all of its page. So the ring never loses what the files do not have, nor
//     what a direct write begins with.
//   - Segment roll. A record that does not fit is preceded by a blank up to the end of the file; both are bytes of the log
//     like any others. Files are made, and their space is reserved, before anything is put into the ring for them
//     (reserved): a full disk refuses messages, it never loses one. In SyncFlush the space is also filled with zeros, always
//     ahead of what is drained: zeros are no record, so that a start takes them for the end.
//   - Seals. The checksum of a whole record is computed when its offsets are known, before its bytes count as staged.
//   - Queue entries. They are written from memory, behind the log bytes that they speak of; the checkpoint tells a place
//     (written) before which all of them are in files or in the journal of queues. The start reads the log from there and
//     makes the missing ones; one that is there already is left alone. One that is of another record is replaced, with all
//     behind it; so are those behind one in place that are of older records: the topic was deleted and made again.
//   - Light queues. A record names all queues in which it has an entry, with its offset in each: these are written into it
//     under the lock, before its bytes count as staged. A start makes what entries are missing from the record, those of all
//     its queues or none. Queues that retention removes have no record in the log.
//   - Journal of queues. Its chunks are written before the checkpoint that counts on them; each has a CRC, and the first
//     one that is not whole is the end. It is read only when it is of the very session that died, on a machine that has
//     not been down since, or of a clean stop after which nobody has used the directory. In all other cases the start goes by
//     the files, and by synced, a place before which all entries were in files and on disk.
//   - Shared log of queues (storeType=defaultRocksDB). The chunks of a flush are followed by a mark, which names the place
//     in the log before which all entries are there, and tells a start from where to read the log. Chunks that are not whole,
//     and all behind them, are cut off; entries that go with them are in front of no mark that is left.
//   - Notes of deleted topics. One is on disk before the first entry goes, and says that all records of the topic before the end
//     of the log at that moment stay without entries; the start goes on where a deletion was broken off. A start makes the notes
//     end where the log ends, before anything is appended.
//   - Batch queues and extensions. Their entries go to files with each flush, never to the journal. An extension is
//     written before the entry that tells its address; an entry without it is made again. With extensions there is no
//     journal, and a start after a kill reads from synced.
//   - fdatasync. durable is stored after it returned. In SyncFlush only then messages become visible, WhenDurable
//     answers and the queue's Max grows. A sync that failed is never tried again: the kernel may have dropped the pages, so
//     that a second one would lie. The store refuses everything until it is opened again and has read what is there.
//   - Checkpoint. Written in place, with a CRC. A lost or torn one is an old one, or none: the start reads more.
//   - The start itself. It writes the rest of the ring to the files, cuts what is torn, mends the queues, and only then
//     takes the ring for itself; until then its death leaves everything for the next start to do again. Files are made by
//     growing them from nothing to their size at once, and cut by punching a hole: at no moment has one a size that Java, or
//     the next start, would refuse (an empty last file is removed).
//
// When the machine goes down, memory is lost: files and ring come back in any mixture of old and new. Before durable all is
// there. Behind it the start takes records as long as they prove themselves: each tells its own log offset, lengths must
// add up, the body must match its CRC, with seals the whole record; when the files have no more, the ring may. The checkpoint's synced place, rather
// than written, tells from where queue entries are made again. The system's boot id tells the two cases apart.
//
// The abort file carries the session that the ring and the checkpoint carry, too. If it is another, a Java broker has used
// the directory since, and the ring is of no use once that has written to the log. After a clean stop everything is in Java's files; the ring is gone and
// the folder skua/ may be deleted.
//
// Readers see the log in three ways: as copies from the ring, in which an appender may come round meanwhile, so that the
// word claimed is looked at after the copy; with pread; and as views of segment files that are mapped for reading only.
// Views are of bytes before drained, which nobody writes any more, in pages that were seen in memory within the last
// seconds, and they pin the file until ReadResult.Release: retention may remove it meanwhile, but not the memory. No file is
// ever made shorter. If a page is gone nevertheless, because the disk fails or somebody else has cut the file, the fault
// becomes an error in Guard, and the read is done again with pread.
//
// What is older than that must be known to be on disk, too: the abort file, without which a stop counts as clean; the
// directories of new files; the checkpoint, when it was written behind a sync of queue files, since a deleted topic would come
// back by an older one; and the ring is made anew after a loss of power, since records in it that were not found then must not
// be found later.
//
// Damage is not a torn tail: when the log ends before a place up to which it is known to have been whole, or good records
// follow that must have been there, Open refuses, and names file, offset, what is lost and what to do. docs/store.md has a
// table of faults, each with what happens and the test that shows it.
package store
