package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skuamq/skua/internal/inspect"
)

// printJSON writes v as one line of JSON.
func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

func newInspectCommand(f *storeFlags) *cobra.Command {
	var queues int
	cmd := &cobra.Command{
		Use:   "inspect DIR",
		Short: "Tell what a store directory is and holds",
		Args:  oneOperand,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := f.open(args[0])
			if err != nil {
				return err
			}
			s, err := d.Summarize()
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return s.Print(cmd.OutOrStdout(), queues)
		},
	}
	cmd.Flags().IntVar(&queues, "queues", 200, "most queues that are listed; 0: all")
	return cmd
}

// selectFlags are the flags that select records.
type selectFlags struct {
	s            inspect.Select
	since, until string
}

func (f *selectFlags) add(p *pflag.FlagSet) {
	p.Int64Var(&f.s.From, "from", 0, "first `offset`: of the log or, of other files, the number of an entry")
	p.Int64Var(&f.s.To, "to", 0, "`offset` to end before; 0: none")
	p.StringVar(&f.since, "since", "", "first store `time`, as 2026-01-02T15:04:05Z or in ms since 1970")
	p.StringVar(&f.until, "until", "", "last store `time`")
	p.StringVar(&f.s.Topic, "topic", "", "records of this topic only")
	p.Int32Var(&f.s.Queue, "queue", -1, "records of this queue of the topic only")
	p.StringVar(&f.s.Key, "key", "", "records with this key or unique key only")
}

// selection is what the flags say.
func (f *selectFlags) selection() (s inspect.Select, err error) {
	s = f.s
	if s.Since, err = timeFlag("since", f.since); err == nil {
		s.Until, err = timeFlag("until", f.until)
	}
	return s, err
}

func timeFlag(name, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	var ms int64
	if n, err := fmt.Sscanf(text+"\n", "%d\n", &ms); n == 1 && err == nil {
		return ms, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("--%s %q is no time such as 2026-01-02T15:04:05Z", name, text)
	}
	return t.UnixMilli(), nil
}

func newStatCommand(f *storeFlags) *cobra.Command {
	var sel selectFlags
	var step time.Duration
	var limit int
	cmd := &cobra.Command{
		Use:   "stat DIR",
		Short: "Count the messages of a store by topic, queue, tag, size and time",
		Args:  oneOperand,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := sel.selection()
			if err != nil {
				return err
			}
			if step < time.Millisecond {
				return fmt.Errorf("--step %s is less than a millisecond", step)
			}
			d, err := f.open(args[0])
			if err != nil {
				return err
			}
			b := newBar(cmd.ErrOrStderr())
			stat, err := d.Stat(cmd.Context(), s, step.Milliseconds(), b.show)
			b.clear()
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(cmd.OutOrStdout(), stat)
			}
			return stat.Print(cmd.OutOrStdout(), limit)
		},
	}
	sel.add(cmd.Flags())
	cmd.Flags().DurationVar(&step, "step", time.Minute, "length of the intervals for rates by time")
	cmd.Flags().IntVar(&limit, "limit", 50, "most topics, tags and intervals that are listed; 0: all")
	return cmd
}

func newDumpCommand(f *storeFlags) *cobra.Command {
	var sel selectFlags
	var o inspect.DumpOptions
	var body string
	cmd := &cobra.Command{
		Use:   "dump FILE|DIR",
		Short: "Write the content of files of a store as text or JSON",
		Long: `Write the content of a file as text or JSON, a line for each entry; or of all files of a folder. Of the root of a store
the records of the commit log are written, with those that only the staging ring has.

Known are the files of the commit log, of consume queues, their extensions and batch queues, index files, checkpoints, abort,
the staging ring, timer files and the JSON of config/. What a file is, is found out by its name and folder, or told by --kind.`,
		Args: oneOperand,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if o.Options, err = f.options(); err != nil {
				return err
			}
			if o.Select, err = sel.selection(); err != nil {
				return err
			}
			o.JSON, o.Body = f.json, inspect.BodyFormat(body)
			return inspect.Dump(cmd.OutOrStdout(), args[0], o)
		},
	}
	sel.add(cmd.Flags())
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "most entries that are written; 0: all")
	cmd.Flags().StringVar(&o.Kind, "kind", "", "what the files are: "+strings.Join(inspect.Kinds, ", "))
	cmd.Flags().StringVar(&body, "body", string(inspect.BodyText), "how bodies are shown: text, hex, base64 or none")
	cmd.Flags().IntVar(&o.MaxBody, "max-body", 256, "most bytes of a body that are shown; 0: all")
	return cmd
}
