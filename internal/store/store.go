// Package store keeps messages: the commit log, consume queues and index of one broker, in Java's files.
package store

import (
	"log/slog"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// Options configure a store. Zero values are Java's defaults.
type Options struct {
	Dir            string   // storePathRootDir
	CommitLogDirs  []string // storePathCommitLog; Dir/commitlog
	SegmentSize    int64    // mappedFileSizeCommitLog, bytes; 1 GiB
	QueueFileSize  int64    // mappedFileSizeConsumeQueue, bytes; 6,000,000
	IndexSlots     int32    // maxHashSlotNum; 5,000,000
	IndexItems     int32    // maxIndexNum; 20,000,000
	NoIndex        bool     // messageIndexEnable=false
	SyncFlush      bool     // flushDiskType=SYNC_FLUSH
	FlushInterval  time.Duration
	MaxMessageSize int32         // body, bytes; 4 MiB
	ReservedTime   time.Duration // fileReservedTime; 72 h
	DeleteWhen     string        // hours, "04"
	MaxUsedRatio   int           // diskMaxUsedSpaceRatio, percent; 75
	WarnRatio      float64       // diskSpaceWarningLevelRatio: above it writes are refused; 0.90
	ForceRatio     float64       // diskSpaceCleanForciblyRatio; 0.85
	CheckCRC       bool          // checkCRCOnRecover
	// TagsCode returns what the consume queue stores as tags code of a message; nil means record.TagsCode. The broker uses
	// it to give delayed messages their delivery time. It is called at append and during recovery with the store time.
	TagsCode func(m *record.Message) int64
	// Arrived is called after entries became visible to readers: on the appending goroutine, or on the flushing one in
	// SyncFlush. It must not block or call Append.
	Arrived func(a Arrival)
	Now     func() time.Time // time.Now
	Log     *slog.Logger
}

// Arrival tells of a message that became visible.
type Arrival struct {
	Queue    *Queue
	Offset   skua.QueueOffset
	TagsCode int64
}

// Store is an open store. All methods may be called concurrently.
type Store struct{}

// Open opens or creates the store in o.Dir, recovers it and starts its goroutines. The error names file, offset and
// cure.
func Open(o Options) (*Store, error) { panic("skeleton") }

// Close flushes, marks a clean stop, and joins all goroutines.
func (s *Store) Close() error { panic("skeleton") }

// Queue returns the queue of a topic, which need not hold messages yet. The handle stays valid until DeleteTopic.
func (s *Store) Queue(topic string, id int32) *Queue { panic("skeleton") }

// Queue is a queue of a topic.
type Queue struct{}

// Topic is the topic's name.
func (q *Queue) Topic() string { panic("skeleton") }

// ID is the queue's number.
func (q *Queue) ID() int32 { panic("skeleton") }

// Min is the first offset that can be read.
func (q *Queue) Min() skua.QueueOffset { panic("skeleton") }

// Max is the offset of the next message to become visible.
func (q *Queue) Max() skua.QueueOffset { panic("skeleton") }

// Receipt tells where messages were stored.
type Receipt struct {
	LogOffset   skua.LogOffset   // of the first record
	End         skua.LogOffset   // behind the last record
	QueueOffset skua.QueueOffset // of the first message
	StoreTime   int64            // ms
}

// Append stores the messages ms one behind the other in q and fills in their LogOffset, QueueOffset and StoreTime. When
// it returns the bytes are in memory that outlives the process; see WhenDurable for the disk. Messages whose SysFlag
// says prepared or rollback get no queue entry. It blocks for microseconds at most. Errors: *RefusedError.
func (s *Store) Append(q *Queue, ms ...*record.Message) (Receipt, error) { panic("skeleton") }

// WhenDurable calls done once: with nil when everything before end is on disk, with ErrFlushTimeout when wait has
// passed, or with the error that stopped the store. It does not block; done must not either. In asynchronous flush it
// calls done before it returns.
func (s *Store) WhenDurable(end skua.LogOffset, wait time.Duration, done func(error)) {
	panic("skeleton")
}

// Status is the outcome of a Read; its String is Java's GetMessageStatus.
type Status int

// ReadRequest asks for messages of a queue.
type ReadRequest struct {
	Offset      skua.QueueOffset
	MaxMessages int
	MaxBytes    int
	Match       func(tagsCode int64) bool // nil: all
}

// ReadResult holds records. It is reused by passing it again.
type ReadResult struct {
	Status         Status
	Next, Min, Max skua.QueueOffset
	Records        [][]byte // views, valid until Release
	SuggestSlave   bool
}

// Release gives the records back.
func (r *ReadResult) Release() { panic("skeleton") }

// Hot reports whether a Read at off will be served from memory, so that it may run where blocking is not allowed.
func (s *Store) Hot(q *Queue, off skua.QueueOffset) bool { panic("skeleton") }

// Read reads messages of q into out. It may block on the disk unless Hot.
func (s *Store) Read(q *Queue, r ReadRequest, out *ReadResult) { panic("skeleton") }
