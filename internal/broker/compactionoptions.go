package broker

// CompactionOptions are the settings of topics with cleanup.policy=COMPACTION, of whose messages the last one of each key is
// kept.
type CompactionOptions struct {
	// Whether topics with cleanup.policy=COMPACTION are compacted. If not, their messages are kept like those of other topics,
	// and go with the commit log.
	EnableCompaction bool `key:"enableCompaction" default:"true"`
	// Size of a file of compacted messages, rounded to a multiple of compactionCqMappedFileSize, at least five times that. A
	// message must fit into it. Only files that are full are compacted. A directory must be opened with the sizes that it was
	// made with.
	CompactionMappedFileSize int32 `key:"compactionMappedFileSize" default:"104857600" unit:"bytes" min:"4096"`
	// Size of a file of their queue entries, 46 bytes each.
	CompactionCqMappedFileSize int32 `key:"compactionCqMappedFileSize" default:"10485760" unit:"bytes" min:"460"`
	// How often messages are looked for that have been superseded. The key is spelled as in Java.
	CompactionScheduleInternal int32 `key:"compactionScheduleInternal" default:"900000" unit:"ms" min:"1"`
	// Most memory that this takes: 24 bytes for each key of the messages that have come since the last time, and a quarter
	// more. With more keys a queue is read several times.
	MaxOffsetMapSize int32 `key:"maxOffsetMapSize" default:"104857600" unit:"bytes" min:"0"`
	// Most queues that are compacted at a time, not more than there are processors. They share maxOffsetMapSize.
	CompactionThreadNum int32 `key:"compactionThreadNum" default:"6" min:"1" max:"1024"`
}
