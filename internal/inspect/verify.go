package inspect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skuamq/skua/internal/layout"
)

// VerifyOptions say how a store is verified.
type VerifyOptions struct {
	Workers  int           // files that are read at a time; the number of processors
	Found    func(Finding) // called for each finding, from any goroutine, one call at a time; may be nil
	Progress func(Progress)
}

// Progress tells how far Verify is. It is told a few times a second, from a goroutine of its own.
type Progress struct {
	Pass        string // what is being read
	Done, Total int64  // bytes
	Findings    int
}

// Verified is what Verify has read.
type Verified struct {
	Findings int   `json:"findings"` // what is damaged
	Notes    int   `json:"notes"`    // what the next start deals with
	Records  int64 `json:"records"`
	Bytes    int64 `json:"bytes"` // of records
	Queues   int64 `json:"queues"`
	Units    int64 `json:"units"` // queue entries that point into the log
	Items    int64 `json:"items"` // of index files
	// Records that compacted queues have copies of.
	Compacted int64 `json:"compacted"`
	// Records without a queue: those of deleted topics, or older than the queue that bears their name.
	Deleted int64 `json:"deleted"`

	gaps     []gap
	end      int64 // of the log
	torn     bool  // something that is no record lies behind end
	queues   []*queue
	lastTime int64    // greatest store time, ms
	lostKeys bool     // there are keys without items
	absent   []*queue // those of which there are records, but no files
	index    []*indexFile
	badIndex string // path of the first index file with findings, "" if there is none
}

// gap is a damaged stretch of the log with something good behind it.
type gap struct {
	off, n    int64
	toFileEnd bool
	why       error
}

// verifier is one run of Verify.
type verifier struct {
	d     *Dir
	o     VerifyOptions
	found findings

	queues []*queue
	table  map[string]map[int32]*queue
	index  []*indexFile

	records, bytes, deleted atomic.Int64
	compacted               atomic.Int64 // records
	lastTime                atomic.Int64 // greatest store time, ms
	lostKeys                atomic.Bool  // there are keys without items
	pass                    atomic.Pointer[string]
	done, total             atomic.Int64

	mu      sync.Mutex
	tails   []tail
	gaps    []gap
	missing map[string]*queue // queues that are not there, reported once
	end     int64
	torn    bool
}

// tail is how the records of a part end.
type tail struct {
	part part
	off  int64 // behind the last record
	last bool  // whether there was one, or a blank
	full bool  // it ends in a blank, or with the file
	why  error // what is there instead of a record; nil for zeros
}

// Verify checks the files of the store against one another. It stops early with the error of ctx, or one of reading.
func (d *Dir) Verify(ctx context.Context, o VerifyOptions) (*Verified, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verifier{d: d, o: o, table: map[string]map[int32]*queue{}, missing: map[string]*queue{}}
	v.found.yield = o.Found
	stop := v.report()
	defer stop()
	for _, f := range d.log.problems() {
		v.found.add(f)
	}
	if d.ringCut {
		v.found.add(Finding{Kind: "size", File: filepath.Join(d.Path, layout.OwnDir, layout.StagingFile), Offset: -1,
			Detail: "is not as long as its head says: messages that only it holds are lost"})
	}
	for _, step := range []func(context.Context) error{v.readQueues, v.readIndex, v.readLog, v.lookBack, v.readCompacted} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	v.checkMarks()
	return v.result(), nil
}

// report calls Progress until the returned function is called, which waits for the last call.
func (v *verifier) report() (stop func()) {
	if v.o.Progress == nil {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				if p := v.pass.Load(); p != nil {
					v.found.mu.Lock()
					n := v.found.count
					v.found.mu.Unlock()
					v.o.Progress(Progress{*p, v.done.Load(), v.total.Load(), n})
				}
			}
		}
	}()
	return func() { close(quit); <-done }
}

// begin starts a pass over total bytes.
func (v *verifier) begin(pass string, total int64) {
	v.done.Store(0)
	v.total.Store(total)
	v.pass.Store(&pass)
}

// each calls f with all items, several at a time, and returns the first error. Each goroutine makes a T for itself.
func each[T any, I any](ctx context.Context, workers int, items []I, open func() (T, func()), f func(T, I) error) error {
	var next atomic.Int64
	var work sync.WaitGroup
	errs := make([]error, workers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for w := range min(workers, len(items)) {
		work.Go(func() {
			mine, free := open()
			defer free()
			for i := next.Add(1) - 1; i < int64(len(items)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if errs[w] = f(mine, items[i]); errs[w] != nil {
					cancel()
					return
				}
			}
		})
	}
	work.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// readQueues is the first pass.
func (v *verifier) readQueues(ctx context.Context) error {
	qs, err := v.d.queues()
	if err != nil {
		return err
	}
	v.queues = qs
	for _, q := range qs {
		if v.table[q.topic] == nil {
			v.table[q.topic] = map[int32]*queue{}
		}
		v.table[q.topic][q.id] = q
	}
	v.begin("queues", int64(len(qs)))
	return each(ctx, v.o.Workers, qs, func() ([]byte, func()) { return make([]byte, 64<<10), func() {} },
		func(buf []byte, q *queue) error {
			v.done.Add(1)
			return v.readQueue(q, buf)
		})
}

func (v *verifier) readQueue(q *queue, buf []byte) error {
	q.summarize(v.d.log.begin())
	err := q.load(buf, q.count, func(from, to int64) {
		path, at := q.place(from)
		q.bad.Store(true)
		v.found.add(Finding{Kind: "hole", File: path, Offset: at,
			Detail: fmt.Sprintf("queue %s has no entries from number %d to %d, but goes on behind", q.name(), from, to)})
	})
	for _, f := range q.files.problems() {
		q.bad.Store(true)
		v.found.add(f)
	}
	return err
}

// checkMarks looks at the checkpoints.
func (v *verifier) checkMarks() {
	d := v.d
	note := d.crashed()
	path := filepath.Join(d.Path, layout.OwnDir, layout.CheckpointFile)
	switch {
	case d.ownOK && d.own.Durable.End > v.end:
		v.found.add(Finding{Kind: "checkpoint", File: path, Offset: -1, Log: v.end,
			Detail: fmt.Sprintf("the log was whole up to %d, but ends at %d", d.own.Durable.End, v.end)})
	case !d.ownOK && exists(path):
		v.found.add(Finding{Kind: "checkpoint", File: path, Offset: -1, Note: note, Detail: "is damaged; a start then reads more of the log"})
	}
	path = filepath.Join(d.Path, layout.JavaCheckpointFile)
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		v.found.add(Finding{Kind: "checkpoint", File: path, Offset: -1, Note: true, Detail: "is missing; a start then reads more of the log"})
	} else if err == nil && info.Size() < 48 {
		v.found.add(Finding{Kind: "checkpoint", File: path, Offset: -1, Detail: fmt.Sprintf("has %d bytes instead of 4096", info.Size())})
	}
	if last := v.lastTime.Load(); d.java.Log > last && !d.Running && v.records.Load() > 0 {
		v.found.add(Finding{Kind: "checkpoint", File: path, Offset: 0, Note: note,
			Detail: fmt.Sprintf("says that messages up to %s are on the disk, but the newest is of %s", stamp(d.java.Log), stamp(last))})
	}
}

func (v *verifier) result() *Verified {
	r := &Verified{Findings: v.found.count, Notes: v.found.notes, Records: v.records.Load(), Bytes: v.bytes.Load(),
		Queues: int64(len(v.queues)), Deleted: v.deleted.Load(), Compacted: v.compacted.Load(), gaps: v.gaps, end: v.end, torn: v.torn, lastTime: v.lastTime.Load()}
	slices.SortFunc(r.gaps, func(a, b gap) int { return int(min(max(a.off-b.off, -1), 1)) })
	for _, q := range v.queues {
		r.Units += q.live
	}
	r.queues, r.index, r.lostKeys = v.queues, v.index, v.lostKeys.Load()
	for _, name := range slices.Sorted(maps.Keys(v.missing)) {
		r.absent = append(r.absent, v.missing[name])
	}
	for _, x := range v.index {
		r.Items += x.count - 1
		if x.bad.Load() && r.badIndex == "" {
			r.badIndex = x.path
		}
	}
	return r
}

// stamp is a time, ms, for people.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
