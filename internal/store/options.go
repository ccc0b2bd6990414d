package store

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/layout"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/segment"
)

// Options configure a store. Zero values are Java's defaults.
type Options struct {
	Dir            string        // storePathRootDir
	CommitLogDirs  []string      // storePathCommitLog, see segment.Dirs; Dir/commitlog
	ReadOnlyDirs   []string      // readOnlyCommitLogStorePaths: hold files of the log, but get no new ones
	SegmentSize    int64         // mappedFileSizeCommitLog, bytes; 1 GiB
	QueueFileSize  int64         // mappedFileSizeConsumeQueue, bytes; 6,000,000; rounded up to whole units of 20
	IndexSlots     int32         // maxHashSlotNum; 5,000,000
	IndexItems     int32         // maxIndexNum; 20,000,000
	NoIndex        bool          // messageIndexEnable=false
	SyncFlush      bool          // flushDiskType=SYNC_FLUSH
	FlushInterval  time.Duration // between background flushes; 500 ms
	MaxMessageSize int32         // body, bytes; 4 MiB
	MaxWait        time.Duration // osPageCacheBusyTimeOutMills: appends wait so long for a disk that cannot keep up; 1 s
	Retention                    // how long messages are kept, until SetRetention says otherwise
	Transfer                     // how much one read returns
	CheckCRC       bool          // checkCRCOnRecover
	Seal           bool          // enabledAppendPropCRC: each record carries a checksum of all its bytes
	CheckSeals     bool          // forceVerifyPropCRC: look at these checksums at the start; Seal implies it
	DirectIO       DirectIO      // commitLogDirectIO; DirectAuto
	StagingSize    int64         // bytes of <Dir>/skua/staging; 32 MiB, more if MaxMessageSize asks for it
	BatchQueueSize int64         // mapperFileSizeBatchConsumeQueue, bytes; 13,800,000; rounded up to whole units of 46
	Shared         bool          // storeType=defaultRocksDB: the entries of all queues are in one log, see sharedLog
	Light          bool          // enableLmq: messages may ask for entries in light queues, see record.Message
	MaxLight       int           // how many light queues appends may make there be; 1,000,000
	Extend         bool          // enableConsumeQueueExt: queue entries get an Extension
	ExtensionSize  int64         // mappedFileSizeConsumeQueueExt, bytes; 48 MiB
	// TagsCode returns what the consume queue stores as tags code of a message; nil means hash, which is record.TagsCode of
	// its properties. The broker uses it to give delayed messages their delivery time. It is called at append and during
	// recovery with the store time.
	TagsCode func(m *record.Message, hash int64) int64
	// Batched reports whether a topic has queue.type=BatchCQ. It is asked when a queue is found or made; nil: only the files
	// tell. It must not call the store.
	Batched func(topic string) bool
	// FilterBits appends to dst the bit map that the extension of a message's entry is to hold; nil: none does. It is called at
	// append, some time before the message gets its store time, and during recovery.
	FilterBits func(dst []byte, m *record.Message) []byte
	// Arrived is called after entries became visible to readers: on the appending goroutine, or on the flushing one in
	// SyncFlush. It must not block or call Append.
	Arrived func(a Arrival)
	// Settled is called in SyncFlush whenever those who waited for durability have been told, many of them perhaps: what
	// they have to say can leave together. It must not block.
	Settled func()
	// LightGone is called when light queues were forgotten: they were never written to, or all of their messages have left the
	// log. What is appended to them later is numbered from 0 on. It is called by a goroutine of retention or of DropUnused.
	LightGone func(names map[string]bool)
	// Flushed is called once by Close, when everything is on disk, and before the directory is given back to others. Its
	// error is that of Close, and leaves the store as one that was killed.
	Flushed func() error
	// Hold is asked before a file of the log is removed: what is there from this offset on is still needed by somebody, and
	// stays, however full the disk is. nil: nothing is. It may read queues.
	Hold func() skua.LogOffset
	Now  func() time.Time // time.Now
	Log  *slog.Logger
	// Usage tells how full the file system of a directory is; nil asks the system. Tests fill disks with it.
	Usage  func(dir string) (DiskUsage, error)
	pace   pace           // of the flusher; tests change it
	Faults segment.Faults // makes the disk fail in tests
}

// Sizes that do not depend on options, bytes.
const (
	recordExtra  = 64 << 10 // what a record may have beyond MaxMessageSize
	reserveStep  = 32 << 20 // disk space is taken in such steps,
	prewriteStep = 4 << 20  // and in these if it is written, too
)

// withDefaults fills in what is zero and checks the rest.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, fmt.Errorf("store: no directory given (storePathRootDir)")
	}
	if len(o.CommitLogDirs) == 0 {
		o.CommitLogDirs = []string{filepath.Join(o.Dir, "commitlog")}
	}
	setDefault(&o.SegmentSize, 1<<30)
	setDefault(&o.QueueFileSize, 6_000_000)
	setDefault(&o.ExtensionSize, 48<<20)
	setDefault(&o.BatchQueueSize, 13_800_000)
	o.BatchQueueSize = (o.BatchQueueSize + layout.BatchUnitSize - 1) / layout.BatchUnitSize * layout.BatchUnitSize
	setDefault(&o.IndexSlots, 5_000_000)
	setDefault(&o.IndexItems, 20_000_000)
	setDefault(&o.FlushInterval, 500*time.Millisecond)
	setDefault(&o.MaxMessageSize, 4<<20)
	setDefault(&o.MaxWait, time.Second)
	setDefault(&o.StagingSize, 32<<20)
	o.Transfer = o.Transfer.withDefaults()
	if !slices.ContainsFunc(o.CommitLogDirs, func(dir string) bool { return !slices.Contains(o.ReadOnlyDirs, dir) }) {
		return o, fmt.Errorf("store: all directories of storePathCommitLog are in readOnlyCommitLogStorePaths, too: %v; leave one writable",
			o.CommitLogDirs)
	}
	setDefault(&o.DirectIO, DirectAuto)
	o.QueueFileSize = (o.QueueFileSize + layout.UnitSize - 1) / layout.UnitSize * layout.UnitSize
	setDefault(&o.pace.few, fewQueues)
	setDefault(&o.pace.late, leastInTime)
	setDefault(&o.pace.shared, sharedFile)
	setDefault(&o.pace.kept, keepBytes)
	setDefault(&o.pace.delay, drainDelay)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LightGone == nil {
		o.LightGone = func(map[string]bool) {}
	}
	if o.Settled == nil {
		o.Settled = func() {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Usage == nil {
		o.Usage = diskUsage
	}
	o.StagingSize = max(o.StagingSize, 4*(int64(o.MaxMessageSize)+recordExtra))
	o.StagingSize = (o.StagingSize + layout.StagingHeadSize - 1) / layout.StagingHeadSize * layout.StagingHeadSize
	var err error
	if o.Retention, err = o.Retention.withDefaults(); err != nil {
		return o, err
	}
	if err := o.DirectIO.check(); err != nil {
		return o, err
	}
	switch {
	case o.SegmentSize < 4096:
		return o, fmt.Errorf("store: mappedFileSizeCommitLog is %d, the least is 4096 bytes", o.SegmentSize)
	case o.MaxMessageSize < 0 || o.StagingSize > layout.StagingMax:
		return o, fmt.Errorf("store: maxMessageSize is %d, it must be between 1 and %d bytes", o.MaxMessageSize, layout.StagingMax/4-recordExtra)
	}
	return o, nil
}

func setDefault[T int | int32 | int64 | float64 | ~string | time.Duration](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Transfer bounds what one read returns, in bytes and messages. Which of the two pairs counts depends on where a message
// is taken to be; the first message is returned whatever its size. Zero values are Java's defaults.
type Transfer struct {
	MaxTransferBytesInMemory int // maxTransferBytesOnMessageInMemory; 256 KiB
	MaxTransferCountInMemory int // maxTransferCountOnMessageInMemory; 32
	MaxTransferBytesOnDisk   int // maxTransferBytesOnMessageInDisk; 64 KiB
	MaxTransferCountOnDisk   int // maxTransferCountOnMessageInDisk; 8
	MaxFilterBytes           int // maxFilterMessageSize: of queue entries that are looked at; 16,000
	AccessInMemoryRatio      int // accessMessageInMemoryMaxRatio: so many percent of the memory hold the newest messages; 40
}

func (t Transfer) withDefaults() Transfer {
	setDefault(&t.MaxTransferBytesInMemory, 256<<10)
	setDefault(&t.MaxTransferCountInMemory, 32)
	setDefault(&t.MaxTransferBytesOnDisk, 64<<10)
	setDefault(&t.MaxTransferCountOnDisk, 8)
	setDefault(&t.MaxFilterBytes, 16_000)
	setDefault(&t.AccessInMemoryRatio, 40)
	return t
}

// Arrival tells of a message that became visible.
type Arrival struct {
	Queue      *Queue
	Offset     skua.QueueOffset
	TagsCode   int64
	Properties []byte // valid during the call; nil in SyncFlush, where they are to be read
}
