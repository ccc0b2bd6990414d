// Package layout describes what lies in a store directory beside the records of the log: the names of files and folders,
// and the bytes of queue entries, index files, checkpoints, the abort file and the head of the staging ring. It hides
// where a field stands; it does no I/O and keeps nothing. All integers are big-endian unless a layout says otherwise.
//
//	commitlog/<20 digits>                     records, see package record
//	consumequeue/<topic>/<queue>/<20 digits>  Unit
//	consumequeue_ext/<topic>/<queue>/<..>     ExtUnit
//	batchconsumequeue/<topic>/<queue>/<..>    BatchUnit
//	timerwheel, timerlog/<20 digits>          TimerSlot, TimerUnit
//	index/<17 digits of local time>           Index
//	checkpoint                                JavaCheckpoint
//	abort                                     Abort; exists while a broker runs
//	lock                                      locked while a broker runs
//	config/                                   JSON files of the broker
//	config/timercheck                         TimerCheckpoint
//	skua/checkpoint                           Checkpoint
//	skua/staging                              StagingHead, then the ring
//	skua/queues/<20 digits>                   Chunk
//	skua/timer                                TimerMark
//	skua/shared/<20 digits>                   Chunk, with the entries of all queues
//	skua/shared.0, skua/shared.1              Chunk; where the queues end in it
//	skua/deleted                              Deletion
//	compaction/compactionLog/<topic>/<queue>/<20 digits>   records of a topic of which the newest of each key stay
//	compaction/compactionCq/<topic>/<queue>/<20 digits>    BatchUnit
//	compaction/position-checkpoint                         JSON
package layout

// Names in a store directory.
const (
	LogDir             = "commitlog"
	QueueDir           = "consumequeue"
	ExtDir             = "consumequeue_ext"
	BatchQueueDir      = "batchconsumequeue"
	TimerLogDir        = "timerlog"
	TimerWheelFile     = "timerwheel"
	IndexDir           = "index"
	ConfigDir          = "config"
	TimerCheckFile     = "timercheck" // in ConfigDir
	JavaCheckpointFile = "checkpoint"
	AbortFile          = "abort"
	LockFile           = "lock"
	OwnDir             = "skua"       // everything that Java does not know
	StagingFile        = "staging"    // in OwnDir
	CheckpointFile     = "checkpoint" // in OwnDir
	JournalDir         = "queues"     // in OwnDir
	SharedDir          = "shared"     // in OwnDir
	DeletedFile        = "deleted"    // in OwnDir
	TimerMarkFile      = "timer"      // in OwnDir

	CompactionDir       = "compaction"
	CompactionLogDir    = "compactionLog"       // in CompactionDir
	CompactionUnitDir   = "compactionCq"        // in CompactionDir
	CompactionPositions = "position-checkpoint" // in CompactionDir
	CompactingDir       = "compacting"          // beside the files that a pass replaces, and in OwnDir
)

// SharedStates are the files in OwnDir, used in turns, that tell where queues end in SharedDir.
func SharedStates() [2]string { return [2]string{SharedDir + ".0", SharedDir + ".1"} }

// OwnFiles are the files in OwnDir that a start does without after a repair, since everything in them is also told by
// Java's files, or made again from the log.
func OwnFiles() []string {
	states := SharedStates()
	return []string{StagingFile, CheckpointFile, JournalDir, SharedDir, states[0], states[1]}
}

// Storable reports whether a topic can be the name of a folder: 1 to 255 bytes without separators.
func Storable(topic string) bool {
	if topic == "" || topic == "." || topic == ".." || len(topic) > 255 {
		return false
	}
	for i := range len(topic) {
		if c := topic[i]; c == '/' || c == '\\' || c == 0 {
			return false
		}
	}
	return true
}
