// Package static is the arithmetic of static topics, of which the queues are logical: each is a chain of stretches, and
// each stretch is a queue of some broker. Clients know logical queues and offsets only; the broker that leads a queue, the
// one that has its last stretch, translates. The package hides how.
//
//	logical queue 7       offset 0                 10000             20000
//	                      ├── gen 0 ───────┤ gap   ├── gen 1 ──┤ gap ├── gen 2 ──────▶
//	on                    broker-a, queue 3        broker-b, 0       broker-a, 9
//	                      0 ... 4321               0 ... 17          0 ... (written here)
//
// A stretch begins at a logical offset that is a good way behind the end of the one before, so that what comes late there
// has room. A reader that has reached the end of a stretch is sent over the gap to the next one. While a queue is being
// moved, its new last stretch has no logical offset yet (below 0): it is written to already, and not read.
//
// Nothing here talks to brokers or knows the time; values do not change once they are made. The form on the wire and in
// topicQueueMapping.json is that of package command.
package static
