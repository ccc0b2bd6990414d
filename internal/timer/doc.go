// Package timer keeps messages back until a time of their own, in Java's files. It hides the timing wheel and its log, where
// a message is between its arrival and its delivery, and how that survives a crash. It runs nothing and reads no clock: its
// owner calls Step, with the time, whenever Step has asked for it or a message has arrived. Of messages it knows a few
// properties; where they are stored is for Messages to know.
//
// # The way of a message
//
//	topic rmq_sys_wheel_timer ──take──► timer log, and a slot of the wheel ──deliver──► its own topic
//	(the broker put it there,             (a unit of 52 bytes,                      └──► rmq_sys_wheel_timer once more,
//	TIMER_OUT_MS says when)               linked to the one before                       if it was due beyond the roll window
//	                                      it in the slot)
//
// The wheel is an array of slots, one for each moment, which is a time in units of the precision (1 s). A slot tells of
// which moment it is, how many messages it has, and where in the timer log the newest of their units stands; each unit tells
// where the one before it stands:
//
//	timerwheel  ┌──────────┬──────────┬──────────┬───      slot: moment, first, last, count
//	            │ 17:00:01 │ 17:00:02 │ 17:00:03 │ ...
//	            └──────────┴────│─────┴──────────┴───
//	                            └───────last─────────┐
//	timerlog    ...[unit]◄───before───[unit]◄──before──[unit] ...      unit: place of the message, ms, kind
//
// A message with TIMER_OUT_MS in the moment m is delivered when m is over: at (m+1) * precision. One that is due further
// ahead than the roll window is put at the window's end, and from there into the queue again, so that the messages that are
// waited for are never older than that in the log. A recall is a message with TIMER_DEL_UNIQKEY that is put into the slot
// of the message which it recalls; a slot's recalls are read before its messages are delivered.
//
// A message that arrives when its moment is over is delivered at once. The clock may be set forward, which makes messages
// due, and back, which empties the slots that will be passed once more (see follow).
//
// # Files
//
//	timerwheel              38,707,200 bytes, see layout.TimerSlot; sparse; made when it is first needed
//	timerlog/<20 digits>    units, see layout.TimerUnit; the rest of a file that is full is marked blank
//	config/timercheck       layout.TimerCheckpoint
//	skua/timer              layout.TimerMark, Skua's own
//
// The wheel is written in pages, with pwrite, some at a time. A shared mapping would need no code for that, but all of its
// 38.7 MB would come to count as memory of the process in two weeks, and a store to a page that is being written to disk
// may wait for the file system. So pages are memory of the process until Flush has written them, and the timer log,
// written before, is what a crash is mended from. A page that is not needed is not in memory.
//
// # What survives
//
// The promise: a message that the store has acknowledged in the queue of timed messages is delivered at least once, however
// the process or the machine ends. A killed process delivers at most those in hand again, up to deliverAtOnce of a slot and
// takeAtOnce that were late when they arrived; a Java broker may deliver again all of the last second and the whole slot.
// After a loss of power it is what was delivered since the checkpoint, in Java's and in ours.
//
// Killed at any point, with all that was written with pwrite still there:
//
//   - Taking. Of some messages of the queue, the late ones are delivered; then the units of the others are written to the
//     timer log, with one write; then the mark says that the queue's offset is behind them. Killed before the write, they
//     are taken again: only late ones were delivered. Killed between write and mark, a start finds units of messages that
//     are in front of the offset (known), and does not take these again.
//   - A torn write leaves units up to the first that is not whole, where the log then ends; the others are taken again.
//   - Slots. They point to units that are in the log, as pages are copied for writing under the lock that is held from the
//     time when a unit is in its slot until it is in the log (parking). Units behind the checkpoint are put into their slots
//     by the start, unless a slot's last says that they are there. So a slot never misses a unit, nor counts one twice.
//   - Delivering. The copies of some messages are stored; then the mark says how many of the slot are done. When all are, the
//     mark names the next moment. The list of a slot in delivery does not change any more, so that its first units, counted
//     from the oldest, are the same ones after a restart.
//
// When the machine goes down, files come back in any mixture of old and new, and the mark, which names the boot that it was
// written in, does not count. What does is the checkpoint. It is written, and synced, after:
//
//   - the log of messages was on disk up to all messages in the timer log, and all delivered copies, that it counts on;
//   - the timer log was synced up to all units that the pages speak of which are then written;
//   - the wheel was synced.
//
// So all before the checkpoint is there. The start goes on from its moment and offset. Units behind it count as long as they
// follow one another and their messages are in the log of messages; then the timer log is cut. If the wheel speaks of
// something behind that place, or lacks one of the last units before the checkpoint, or is missing, or was made with
// another precision, it is made again from all of the timer log.
//
// A sync that failed is never tried again: nothing more is noted until the next start, which reads what is there.
//
// A Java broker writes the same files. It knows neither mark nor the order of ours, so that a checkpoint that the mark does
// not know is treated as Java does: after a stop that was not clean, messages are taken from behind the last unit in the
// log, if that is less.
package timer
