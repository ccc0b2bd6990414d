package inspect

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/layout"
)

// Summary is what a store directory is.
type Summary struct {
	Dir      string         `json:"dir"`
	State    string         `json:"state"`    // "running", "stopped" or "crashed"
	LastUser string         `json:"lastUser"` // "Skua", "Java" or "unknown"
	PID      string         `json:"pid,omitempty"`
	Session  string         `json:"session,omitempty"` // of Skua, hexadecimal
	Log      LogSummary     `json:"log"`
	Topics   []TopicSummary `json:"topics"`
	Index    []IndexSummary `json:"index"`

	Checkpoint JavaMarks `json:"checkpoint"`
	Own        *OwnMarks `json:"skuaCheckpoint,omitempty"`
	Disk       Disk      `json:"disk"`
	Repairs    []string  `json:"repairs,omitempty"` // folders with the copies of repairs
}

// LogSummary is the commit log.
type LogSummary struct {
	Dirs     []string `json:"dirs"`
	Files    int      `json:"files"`
	FileSize int64    `json:"fileSize"` // bytes
	Begin    int64    `json:"begin"`    // offset of the first record
	End      int64    `json:"end"`      // offset behind the last one
	Staged   int64    `json:"staged"`   // bytes of it that only the staging ring has
	First    int64    `json:"first"`    // store time of the first record, ms; 0 if there is none
	Last     int64    `json:"last"`     // store time of the last record, ms
	Damage   string   `json:"damage,omitempty"`
}

// TopicSummary is a topic as the queues have it.
type TopicSummary struct {
	Topic    string         `json:"topic"`
	Messages int64          `json:"messages"`
	Queues   []QueueSummary `json:"queues"`
}

// QueueSummary is a queue.
type QueueSummary struct {
	ID    int32  `json:"id"`
	Kind  string `json:"kind,omitempty"` // "batch" for queues of batches
	Min   int64  `json:"min"`
	Max   int64  `json:"max"`
	Files int    `json:"files"`
}

// IndexSummary is an index file.
type IndexSummary struct {
	File     string `json:"file"`
	Items    int64  `json:"items"`
	Capacity int64  `json:"capacity"`
	Begin    int64  `json:"begin"` // ms
	End      int64  `json:"end"`   // ms
	Error    string `json:"error,omitempty"`
}

// JavaMarks are Java's checkpoint.
type JavaMarks struct {
	Log       int64 `json:"log"`    // ms
	Queues    int64 `json:"queues"` // ms
	Index     int64 `json:"index"`  // ms
	QueuesEnd int64 `json:"queuesEnd"`
}

// OwnMarks are Skua's checkpoint: log offsets.
type OwnMarks struct {
	Durable int64 `json:"durable"`
	Written int64 `json:"written"`
	Synced  int64 `json:"synced"`
	Indexed int64 `json:"indexed"`
}

// Disk is the file system of the store, bytes.
type Disk struct {
	Size  int64 `json:"size"`
	Free  int64 `json:"free"`
	Store int64 `json:"store"` // what the store takes
}

// Summarize reads heads and ends of files, not all of them.
func (d *Dir) Summarize() (*Summary, error) {
	s := &Summary{Dir: d.Path, State: "stopped", Topics: []TopicSummary{}, Index: []IndexSummary{}}
	switch {
	case d.Running:
		s.State = "running"
	case d.crashed():
		s.State = "crashed"
	}
	if d.abort != nil {
		s.PID = d.abort.PID
		if d.abort.Session != (layout.Session{}) {
			s.Session = fmt.Sprintf("%x", d.abort.Session[:])
		}
	}
	s.Checkpoint = JavaMarks{d.java.Log, d.java.Queues, d.java.Index, d.java.QueuesEnd}
	if d.ownOK {
		s.Own = &OwnMarks{d.own.Durable.End, d.own.Written.End, d.own.Synced.End, d.own.Indexed}
	}
	if err := errors.Join(d.summarizeLog(&s.Log), d.summarizeQueues(s), d.summarizeIndex(s)); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s.LastUser = d.lastUser(s.Log.End)
	s.Repairs, _ = filepath.Glob(filepath.Join(d.Path, layout.OwnDir, journalPrefix+"*"))
	s.Disk = d.disk()
	return s, nil
}

// lastUser tells whose broker ran last, as far as the files say.
func (d *Dir) lastUser(end int64) string {
	switch {
	case d.abort != nil && d.abort.Session != (layout.Session{}), d.abort == nil && d.ownOK && d.own.Written.End == end:
		return "Skua"
	case d.abort != nil, d.ownOK, exists(filepath.Join(d.Path, "abort.bak")), exists(filepath.Join(d.Path, "rocksdbstore")):
		return "Java"
	}
	return "unknown"
}

// summarizeLog finds the first record and, from the last place that is known to be between two, the last one.
func (d *Dir) summarizeLog(l *LogSummary) error {
	l.Dirs, l.Files, l.FileSize, l.Begin, l.Staged = d.o.LogDirs, len(d.log.files), d.log.size, d.log.begin(), int64(len(d.staged))
	r := d.reader()
	defer r.close()
	ps := d.parts()
	for _, p := range ps {
		if s, err := r.record(p.from, p.to); err == nil && s.why == nil {
			l.First = s.msg.StoreTime
			break
		}
	}
	l.End = l.Begin
	for _, p := range slices.Backward(ps) {
		from, found := p.from, false
		if k := d.own.Written.Last; d.ownOK && k >= p.from && k < p.to {
			if s, err := r.record(k, p.to); err == nil && s.why == nil {
				from = k
			}
		}
		err := r.walk(from, p.to, p.file.start+d.log.size, func(s stretch) bool {
			switch s.kind {
			case stretchRecord:
				l.End, l.Last, found = s.off+s.n, s.msg.StoreTime, true
			case stretchBlank:
				l.End, found = s.off+s.n, true
			case stretchGap:
				l.Damage = fmt.Sprintf("%s at byte %d: %v; skua store verify tells more", p.file.path, s.off-p.file.start, s.why)
			case stretchTail:
				return false
			}
			return true
		})
		if err != nil || found && l.Last > 0 {
			return err
		}
	}
	return nil
}

func (d *Dir) summarizeQueues(s *Summary) error {
	qs, err := d.queues()
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	topics := map[string]*TopicSummary{}
	for _, q := range qs {
		if err := q.bounds(buf, d.log.begin()); err != nil {
			return err
		}
		t := topics[q.topic]
		if t == nil {
			t = &TopicSummary{Topic: q.topic}
			topics[q.topic] = t
		}
		kind := ""
		if q.batch {
			kind = "batch"
		}
		t.Messages += q.max - q.min
		t.Queues = append(t.Queues, QueueSummary{q.id, kind, q.min, q.max, len(q.files.files)})
	}
	for _, t := range topics {
		slices.SortFunc(t.Queues, func(a, b QueueSummary) int { return int(a.ID) - int(b.ID) })
		s.Topics = append(s.Topics, *t)
	}
	slices.SortFunc(s.Topics, func(a, b TopicSummary) int { return strings.Compare(a.Topic, b.Topic) })
	return nil
}

// bounds finds min and max of a queue by searching, as a start does.
func (q *queue) bounds(buf []byte, logBegin int64) error {
	var err error
	if q.files, err = findChain(0, q.dir); err != nil {
		return err
	}
	q.summarize(logBegin)
	size := q.unitSize()
	q.first, q.end = q.files.begin()/size, q.files.begin()/size
	var p pool
	defer p.close()
	read := func(n int64) (unit, bool) {
		if u, ok := q.pending.unit(n); ok {
			return u, true
		}
		b := buf[:size]
		if f, ok := q.files.at(n * size); ok {
			if got, _ := p.readAt(f.path, b, n*size-f.start); int64(got) == size {
				return q.decode(b, n)
			}
		}
		return unit{}, false
	}
	for _, f := range slices.Backward(q.files.files) {
		from, count := f.start/size, f.size/size
		if _, ok := read(from); !ok {
			continue
		}
		q.end = from + int64(sort.Search(int(count), func(i int) bool { _, ok := read(from + int64(i)); return !ok }))
		break
	}
	q.loadPending(func(int64, unit) {}, func(_, _ int64) {})
	if q.end == q.first {
		q.min = 0
		return nil
	}
	live := q.first + int64(sort.Search(int(q.end-q.first), func(i int) bool {
		u, ok := read(q.first + int64(i))
		return ok && !u.skip && u.log >= logBegin
	}))
	if u, ok := read(q.end - 1); ok {
		q.max = u.off + u.count
	}
	if q.min = q.max; live < q.end {
		if u, ok := read(live); ok {
			q.min = u.off
		}
	}
	return nil
}

func (d *Dir) summarizeIndex(s *Summary) error {
	files, unknown, err := d.indexFiles()
	if err != nil {
		return err
	}
	for _, x := range files {
		s.Index = append(s.Index, IndexSummary{x.path, x.count - 1, int64(x.items) - 1, x.head.BeginTime(), x.head.EndTime(), ""})
	}
	for path, err := range unknown {
		s.Index = append(s.Index, IndexSummary{File: path, Error: err.Error()})
	}
	slices.SortFunc(s.Index, func(a, b IndexSummary) int { return strings.Compare(a.File, b.File) })
	return nil
}

// disk tells how full the file system is, and what the store takes of it.
func (d *Dir) disk() (out Disk) {
	var st unix.Statfs_t
	if unix.Statfs(d.Path, &st) == nil {
		out.Size, out.Free = int64(st.Blocks)*st.Bsize, int64(st.Bavail)*st.Bsize
	}
	dirs := append([]string{d.Path}, d.o.LogDirs...)
	seen := map[string]bool{}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || seen[path] {
				return nil
			}
			seen[path] = true
			var st unix.Stat_t
			if unix.Stat(path, &st) == nil {
				out.Store += st.Blocks * 512
			}
			return nil
		})
	}
	return out
}

// Print writes the summary for people. Of more queues than maxQueues only the first ones are listed; 0 lists all.
func (s *Summary) Print(w io.Writer, maxQueues int) error {
	state := s.State
	if s.PID != "" {
		state += ", process " + s.PID
	}
	fmt.Fprintf(w, "%s: %s; last used by %s\n", s.Dir, state, s.LastUser)
	if s.Session != "" {
		fmt.Fprintf(w, "session      %s\n", s.Session)
	}
	fmt.Fprintf(w, "disk         %d of %d bytes free, the store takes %d\n", s.Disk.Free, s.Disk.Size, s.Disk.Store)
	l := &s.Log
	fmt.Fprintf(w, "commit log   offsets %d to %d, %d files of %d bytes in %s\n", l.Begin, l.End, l.Files, l.FileSize, strings.Join(l.Dirs, ", "))
	if l.First > 0 {
		fmt.Fprintf(w, "messages     from %s to %s\n", stamp(l.First), stamp(l.Last))
	}
	if l.Staged > 0 {
		fmt.Fprintf(w, "staged       %d bytes at the end of the log are in the staging ring only\n", l.Staged)
	}
	if l.Damage != "" {
		fmt.Fprintf(w, "damage       %s\n", l.Damage)
	}
	fmt.Fprintf(w, "checkpoint   log %s, queues %s (offset %d), index %s\n", mark(s.Checkpoint.Log), mark(s.Checkpoint.Queues), s.Checkpoint.QueuesEnd, mark(s.Checkpoint.Index))
	if o := s.Own; o != nil {
		fmt.Fprintf(w, "             of Skua: on disk %d, queues written %d and on disk %d, indexed %d\n", o.Durable, o.Written, o.Synced, o.Indexed)
	}
	for _, r := range s.Repairs {
		fmt.Fprintf(w, "repair       %s\n", r)
	}
	for _, x := range s.Index {
		if x.Error != "" {
			fmt.Fprintf(w, "index        %s: %s\n", x.File, x.Error)
			continue
		}
		fmt.Fprintf(w, "index        %s: %d of %d entries, %s to %s\n", x.File, x.Items, x.Capacity, mark(x.Begin), mark(x.End))
	}
	return s.printQueues(w, maxQueues)
}

func (s *Summary) printQueues(w io.Writer, maxQueues int) error {
	if maxQueues <= 0 {
		maxQueues = math.MaxInt
	}
	count := 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "TOPIC\tQUEUE\tMIN\tMAX\tMESSAGES\tFILES\t\n")
	for _, topic := range s.Topics {
		for _, q := range topic.Queues {
			if count++; count <= maxQueues {
				fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\n", topic.Topic, q.ID, q.Min, q.Max, q.Max-q.Min, q.Files, q.Kind)
			}
		}
	}
	if count > maxQueues {
		fmt.Fprintf(t, "... and %d more queues\n", count-maxQueues)
	}
	return t.Flush()
}

// mark is a time of a checkpoint, which may be unknown.
func mark(ms int64) string {
	if ms <= 0 {
		return "unknown"
	}
	return stamp(ms)
}
