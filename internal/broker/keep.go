package broker

import (
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/store"
)

// KeepOptions are the settings of how long messages are kept and how much of them is read at a time.
type KeepOptions struct {
	// How long messages are kept: files of the commit log that were not written to for so long are deleted.
	FileReservedTime int32 `key:"fileReservedTime" default:"72" unit:"h" min:"0" max:"1048576" live:"true"`
	// Hours of the day at which such files are deleted, two digits each, separated by semicolons.
	DeleteWhen string `key:"deleteWhen" default:"04" live:"true"`
	// Part of the disk in use above which such files are deleted at any hour.
	DiskMaxUsedSpaceRatio int32 `key:"diskMaxUsedSpaceRatio" default:"75" unit:"percent" min:"1" max:"100" live:"true"`
	// Part of the disk in use above which files are deleted before fileReservedTime, the oldest first.
	DiskSpaceCleanForciblyRatio int32 `key:"diskSpaceCleanForciblyRatio" default:"85" unit:"percent" min:"1" max:"100" live:"true"`
	// Part of the disk in use above which sends are refused.
	DiskSpaceWarningLevelRatio int32 `key:"diskSpaceWarningLevelRatio" default:"90" unit:"percent" min:"1" max:"100" live:"true"`
	// Whether files may be deleted before fileReservedTime because a disk is full. maxStoreSize holds all the same.
	CleanFileForciblyEnable bool `key:"cleanFileForciblyEnable" default:"true" live:"true"`
	// Most files that are deleted in ten seconds.
	DeleteFileBatchMax int32 `key:"deleteFileBatchMax" default:"10" min:"1" max:"1048576" live:"true"`
	// Pause between two of them.
	DeleteCommitLogFilesInterval int32 `key:"deleteCommitLogFilesInterval" default:"100" unit:"ms" min:"0" max:"10000" live:"true"`
	// Free space of the disk below which sends are refused, whatever diskSpaceWarningLevelRatio says. 0: none is asked for.
	MinFreeDiskSpace int64 `key:"minFreeDiskSpace" default:"0" unit:"bytes" min:"0" max:"1048576TB" live:"true"`
	// Free space of the disk below which files are deleted before fileReservedTime. 0: half as much again as minFreeDiskSpace.
	CleanFreeDiskSpace int64 `key:"cleanFreeDiskSpace" default:"0" unit:"bytes" min:"0" max:"1048576TB" live:"true"`
	// Most disk space of the commit log: beyond it the oldest files are deleted before fileReservedTime. At least twice
	// mappedFileSizeCommitLog, as the file that is written to always stays. Queues take some percent more. 0: no limit.
	MaxStoreSize int64 `key:"maxStoreSize" default:"0" unit:"bytes" min:"0" live:"true"`

	// Most bytes of a pull of messages that are taken to be in memory; the first message is returned whatever its size.
	MaxTransferBytesOnMessageInMemory int32 `key:"maxTransferBytesOnMessageInMemory" default:"262144" unit:"bytes" min:"1" max:"128MB"`
	// Most of them.
	MaxTransferCountOnMessageInMemory int32 `key:"maxTransferCountOnMessageInMemory" default:"32" min:"1" max:"100000"`
	// Most bytes of a pull of older messages.
	MaxTransferBytesOnMessageInDisk int32 `key:"maxTransferBytesOnMessageInDisk" default:"65536" unit:"bytes" min:"1" max:"128MB"`
	// Most of them.
	MaxTransferCountOnMessageInDisk int32 `key:"maxTransferCountOnMessageInDisk" default:"8" min:"1" max:"100000"`
	// Bytes of queue entries, 20 each, that a pull looks at for messages that pass its filter; more if it asks for more messages.
	MaxFilterMessageSize int32 `key:"maxFilterMessageSize" default:"16000" unit:"bytes" min:"1" max:"1GB"`
	// Part of the machine's memory that is taken to hold the newest messages.
	AccessMessageInMemoryMaxRatio int32 `key:"accessMessageInMemoryMaxRatio" default:"40" unit:"percent" min:"1" max:"100"`
	// Most messages of a query by key.
	MaxMsgsNumBatch int32 `key:"maxMsgsNumBatch" default:"64" min:"1" max:"10000" live:"true"`
	// Most messages of a query by unique key, whatever it asks for.
	DefaultQueryMaxNum int32 `key:"defaultQueryMaxNum" default:"32" min:"1" max:"10000" live:"true"`
}

// check is Options.Check for these settings. fileSize is that of the log's files.
func (o *KeepOptions) check(fileSize int64) error {
	if o.CleanFreeDiskSpace != 0 && o.CleanFreeDiskSpace < o.MinFreeDiskSpace {
		return conf.Misfit(o, "cleanFreeDiskSpace", "0 or at least minFreeDiskSpace, %d bytes", o.MinFreeDiskSpace)
	}
	if o.MaxStoreSize != 0 && o.MaxStoreSize < 2*fileSize {
		return conf.Misfit(o, "maxStoreSize", "0 or at least twice mappedFileSizeCommitLog, %d bytes", 2*fileSize)
	}
	if o.retention().Check() != nil {
		return conf.Misfit(o, "deleteWhen", "hours of the day from 00 to 23, separated by semicolons")
	}
	return nil
}

func (o *KeepOptions) retention() store.Retention {
	return store.Retention{
		ReservedTime: max(time.Duration(o.FileReservedTime)*time.Hour, 1), // 0 is a time, not the default
		DeleteWhen:   o.DeleteWhen,
		MaxUsedRatio: int(o.DiskMaxUsedSpaceRatio),
		ForceRatio:   float64(o.DiskSpaceCleanForciblyRatio) / 100,
		WarnRatio:    float64(o.DiskSpaceWarningLevelRatio) / 100,
		NoForce:      !o.CleanFileForciblyEnable,
		MaxDrops:     int(o.DeleteFileBatchMax),
		DropPause:    time.Duration(o.DeleteCommitLogFilesInterval) * time.Millisecond,
		MinFree:      o.MinFreeDiskSpace,
		CleanFree:    o.CleanFreeDiskSpace,
		MaxSize:      o.MaxStoreSize,
	}
}

func (o *KeepOptions) transfer() store.Transfer {
	return store.Transfer{
		MaxTransferBytesInMemory: int(o.MaxTransferBytesOnMessageInMemory),
		MaxTransferCountInMemory: int(o.MaxTransferCountOnMessageInMemory),
		MaxTransferBytesOnDisk:   int(o.MaxTransferBytesOnMessageInDisk),
		MaxTransferCountOnDisk:   int(o.MaxTransferCountOnMessageInDisk),
		MaxFilterBytes:           int(o.MaxFilterMessageSize),
		AccessInMemoryRatio:      int(o.AccessMessageInMemoryMaxRatio),
	}
}

// Preset is a key that a value of durability stands for.
type Preset struct{ Key, Value string }

// Presets are the keys that o.Durability stands for. New does not set them: what is configured beside them wins, and New
// cannot tell what is.
func (o *Options) Presets() []Preset {
	switch o.Durability {
	case "fast":
		return []Preset{{"flushDiskType", "ASYNC_FLUSH"}, {"flushIntervalCommitLog", "500"}}
	case "safe":
		return []Preset{{"flushDiskType", "ASYNC_FLUSH"}, {"flushIntervalCommitLog", "100"}}
	case "strict":
		return []Preset{{"flushDiskType", "SYNC_FLUSH"}}
	}
	return nil
}

// logDurability says what acknowledged messages survive.
func (o *Options) logDurability(log *slog.Logger) {
	power := fmt.Sprintf("messages of the last %d ms or so may be lost", o.FlushIntervalCommitLog)
	if o.FlushDiskType == "SYNC_FLUSH" {
		power = "nothing is lost, but for sends that ask not to wait (WAIT=false) or are answered FLUSH_DISK_TIMEOUT"
	}
	log.Info("durability of acknowledged messages", "durability", o.Durability, "flushDiskType", o.FlushDiskType, "process is killed", "nothing is lost",
		"power is cut", power, "disk is lost", "everything is lost: there are no replicas")
}

// keepTime is what the attribute reserve.time of a topic says: for how long its messages can be read, in hours as in
// Java's tiered store. 0: as long as the log has them.
func keepTime(attributes map[string]string) time.Duration {
	hours, err := strconv.ParseInt(attributes[attrReserveTime], 10, 64)
	if err != nil || hours <= 0 || hours > maxKeepHours {
		return 0
	}
	return time.Duration(hours) * time.Hour
}

// maxKeepHours is longer than any log is kept.
const maxKeepHours = 1_000_000
