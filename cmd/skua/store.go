package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/skuamq/skua/internal/inspect"
)

// storeFlags are the flags that all commands on a store have.
type storeFlags struct {
	config  string
	logDirs []string
	o       inspect.Options
	json    bool
}

func newStoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "Look at, check and repair a store directory",
		Long: `Look at, check and repair a store directory: what storePathRootDir names, made by Skua or by RocketMQ.

All but "repair --yes" and "repair --undo" only read, and work while a broker runs. Sizes of files are found out from the
files; settings that differ from the defaults and cannot be found out are taken from the flags, or from a broker.conf.`,
		Args: cobra.NoArgs, // tells of a command that there is not
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var f storeFlags
	p := cmd.PersistentFlags()
	p.StringVarP(&f.config, "config", "c", "", "configuration `file` of the broker")
	p.StringSliceVar(&f.logDirs, "log-dir", nil, "`directories` of the commit log (storePathCommitLog)")
	p.Int64Var(&f.o.SegmentSize, "log-file-size", 0, "size of a commit log file (mappedFileSizeCommitLog)")
	p.Int32Var(&f.o.IndexSlots, "index-slots", 0, "slots of an index file (maxHashSlotNum)")
	p.Int32Var(&f.o.IndexItems, "index-items", 0, "entries of an index file (maxIndexNum)")
	p.StringVar(&f.o.DelayLevels, "delay-levels", "", "delays of the levels (messageDelayLevel)")
	p.BoolVar(&f.json, "json", false, "print JSON")
	cmd.AddCommand(newInspectCommand(&f), newStatCommand(&f), newDumpCommand(&f), newVerifyCommand(&f), newRepairCommand(&f))
	return cmd
}

// oneOperand sees to it that a command gets the file or directory that it is about.
func oneOperand(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%s takes one file or directory, not %d: %s", cmd.CommandPath(), len(args), cmd.UseLine())
}

// options are what the flags and the configuration file say.
func (f *storeFlags) options() (inspect.Options, error) {
	o := f.o
	o.LogDirs = f.logDirs
	if f.config == "" {
		return o, nil
	}
	src, err := fileSource(f.config)
	if err != nil {
		return o, &exitError{exitBadConfig, err}
	}
	set := map[string]string{}
	for _, p := range src.Pairs {
		set[p.Key] = strings.TrimSpace(p.Value)
	}
	number := func(key string, bits int) (n int64) {
		if text := set[key]; text != "" && err == nil {
			if n, err = strconv.ParseInt(text, 10, bits); err != nil {
				err = fmt.Errorf("configuration: %s: %s=%s is no number", f.config, key, text)
			}
		}
		return n
	}
	if len(o.LogDirs) == 0 {
		for dir := range strings.SplitSeq(set["storePathCommitLog"], ",") {
			if dir = strings.TrimSpace(dir); dir != "" {
				o.LogDirs = append(o.LogDirs, dir)
			}
		}
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = number("mappedFileSizeCommitLog", 64)
	}
	if o.IndexSlots == 0 {
		o.IndexSlots = int32(number("maxHashSlotNum", 32))
	}
	if o.IndexItems == 0 {
		o.IndexItems = int32(number("maxIndexNum", 32))
	}
	if o.DelayLevels == "" {
		o.DelayLevels = set["messageDelayLevel"]
	}
	if err != nil {
		err = &exitError{exitBadConfig, err}
	}
	return o, err
}

// open looks at the store in dir.
func (f *storeFlags) open(dir string) (*inspect.Dir, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	return inspect.Open(dir, o)
}

func newVerifyCommand(f *storeFlags) *cobra.Command {
	var limit, workers int
	var notes bool
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Check the files of a store against one another",
		Long: `Check the files of a store against one another: every record, queue entry and index entry.

What a running broker is about to write, and what the next start deals with by itself, is no finding. The command ends
with 1 if there are findings.`,
		Args: oneOperand,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := f.open(args[0])
			if err != nil {
				return err
			}
			l := &listing{out: bufio.NewWriter(cmd.OutOrStdout()), bar: newBar(cmd.ErrOrStderr()), limit: limit, notes: notes, json: f.json}
			v, err := d.Verify(cmd.Context(), inspect.VerifyOptions{Workers: workers, Found: l.found, Progress: l.bar.show})
			l.bar.clear()
			if err != nil {
				return errors.Join(err, l.out.Flush())
			}
			return l.end(args[0], v)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, "most findings that are listed; 0: all")
	cmd.Flags().IntVar(&workers, "workers", 0, "files read at a time; 0: as many as processors")
	cmd.Flags().BoolVar(&notes, "notes", false, "also list what the next start deals with")
	return cmd
}

// errFindings ends a command that found damage.
var errFindings = errors.New("the store is damaged")

// listing prints findings.
type listing struct {
	out    *bufio.Writer
	bar    *bar
	limit  int
	notes  bool
	json   bool
	listed int
	more   int
}

func (l *listing) found(f inspect.Finding) {
	if f.Note && !l.notes {
		return
	}
	if l.limit > 0 && l.listed >= l.limit {
		l.more++
		return
	}
	l.listed++
	l.bar.clear()
	if l.json {
		b, _ := json.Marshal(f)
		l.out.Write(append(b, '\n'))
	} else {
		fmt.Fprintln(l.out, f)
	}
	l.out.Flush()
}

// end prints the sum of v; the error tells whether there were findings.
func (l *listing) end(dir string, v *inspect.Verified) error {
	if l.json {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		l.out.Write(append(b, '\n'))
	} else {
		if l.more > 0 {
			fmt.Fprintf(l.out, "... and %d more; --limit 0 lists all\n", l.more)
		}
		compacted := ""
		if v.Compacted > 0 {
			compacted = fmt.Sprintf(", %d records of compacted queues", v.Compacted)
		}
		fmt.Fprintf(l.out, "%d records (%s), %d queues with %d entries, %d index entries%s: %d findings\n",
			v.Records, bytesText(v.Bytes), v.Queues, v.Units, v.Items, compacted, v.Findings)
		if v.Notes > 0 && !l.notes {
			fmt.Fprintf(l.out, "%d more things will be dealt with by the next start; --notes lists them\n", v.Notes)
		}
		if v.Findings > 0 {
			fmt.Fprintf(l.out, "skua store repair %s shows how they can be mended\n", dir)
		}
	}
	if err := l.out.Flush(); err != nil {
		return err
	}
	if v.Findings > 0 {
		return errFindings
	}
	return nil
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// bar shows progress: a line that is written over on a terminal, else a line now and then.
type bar struct {
	w        io.Writer
	terminal bool

	mu    sync.Mutex
	shown bool
	last  time.Time
}

func newBar(w io.Writer) *bar {
	b := &bar{w: w, last: time.Now()}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		b.terminal = err == nil
	}
	return b
}

const barLines = 10 * time.Second // between lines where there is no terminal

func (b *bar) show(p inspect.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Total <= 0 || !b.terminal && time.Since(b.last) < barLines {
		return
	}
	b.last = time.Now()
	line := fmt.Sprintf("%-8s %3d %%", p.Pass, 100*p.Done/p.Total)
	if p.Findings > 0 {
		line += fmt.Sprintf("  %d findings", p.Findings)
	}
	if b.terminal {
		const width = 30
		full := int(width * p.Done / p.Total)
		fmt.Fprintf(b.w, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", width-full), line)
		b.shown = true
		return
	}
	fmt.Fprintln(b.w, line)
}

// clear takes the bar off the terminal.
func (b *bar) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

func newRepairCommand(f *storeFlags) *cobra.Command {
	var yes, cut bool
	var undo string
	cmd := &cobra.Command{
		Use:   "repair DIR",
		Short: "Mend a damaged store; without --yes only tell how",
		Long: `Mend a damaged store. Without --yes nothing is changed; the steps are told.

A damaged stretch of the commit log is made one that brokers walk over, so that the messages behind it stay; or, with --cut,
the log is cut there. Queues that do not agree with the log are made again, index files are moved away. All that is changed or
removed is first copied to a folder below DIR/skua, from which --undo puts it back.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			told := func(step string) { fmt.Fprintln(out, step) }
			switch {
			case undo != "" && len(args) == 0:
				return inspect.Undo(undo, told)
			case undo != "":
				return errors.New("--undo takes the folder of the copies and no other directory")
			case len(args) == 0:
				return oneOperand(cmd, args)
			}
			o, err := f.options()
			if err != nil {
				return err
			}
			b := newBar(cmd.ErrOrStderr())
			tell := func(step string) { b.clear(); told(step) }
			r, err := inspect.Repair(cmd.Context(), args[0], o, inspect.RepairOptions{
				Cut: cut, Do: yes, Told: tell, Now: time.Now(), Verify: inspect.VerifyOptions{Progress: b.show},
			})
			b.clear()
			if err != nil {
				return err
			}
			switch {
			case r.Steps == 0 && r.Verified.Findings == 0:
				fmt.Fprintln(out, "nothing to repair")
			case r.Steps == 0:
				fmt.Fprintf(out, "%d findings, none of which can be mended; skua store verify %s lists them\n", r.Verified.Findings, args[0])
			case !yes:
				fmt.Fprintln(out, "nothing was changed; --yes does this")
			default:
				fmt.Fprintf(out, "done; what was changed or removed is in %s; to put it back: skua store repair --undo %s\n", r.Copies, r.Copies)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "change the store; no broker may run on it")
	cmd.Flags().BoolVar(&cut, "cut", false, "cut the log at the first damage: all messages behind it are lost")
	cmd.Flags().StringVar(&undo, "undo", "", "put back what the repair with this `folder` of copies changed")
	return cmd
}
