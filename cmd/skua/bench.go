package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/skuamq/skua/internal/bench"
)

// benchSettings are the flags of skua bench.
type benchSettings struct {
	clusterFlags
	o    bench.Options
	json bool
}

func newBenchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a cluster: rates and latencies",
		Long: `Measure a cluster that speaks RocketMQ's protocol. The topic is created by the first message if the brokers allow it.

With --rate, messages are due at fixed times, and latency counts from when a message was due.`,
	}
	for _, run := range []struct {
		use, short string
		measure    func(context.Context, bench.Options) (*bench.Report, error)
	}{
		{"produce", "Send, and measure until messages are acknowledged", bench.Produce},
		{"consume", "Read what the topic holds, from the oldest message on", bench.Consume},
		{"transactions", "Send and commit, and measure until consumers can have the messages", bench.Transactions},
		{"e2e", "Send at a rate (1000/s), and measure until messages are received", bench.EndToEnd},
	} {
		cmd.AddCommand(newBenchRun(run.use, run.short, run.measure))
	}
	return cmd
}

// benchCollection is how much the heap of a generator may grow between collections, in percent: it is small, and collecting
// it a hundred times a second would take from the servers what they are measured with.
const benchCollection = 1000

func newBenchRun(use, short string, measure func(context.Context, bench.Options) (*bench.Report, error)) *cobra.Command {
	var s benchSettings
	cmd := &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(benchCollection)
			}
			s.o.NameServers, s.o.TLSFile, s.o.Topic, s.o.Log = []string{s.nameServer}, s.tlsFile, s.topic, warnings(cmd)
			r, err := measure(cmd.Context(), s.o)
			if err != nil {
				return err
			}
			return s.print(cmd, r)
		},
	}
	s.add(cmd, "BenchmarkSkua")
	flags := cmd.Flags()
	flags.IntVar(&s.o.Clients, "conns", 4, "`clients`, each with its own connections")
	flags.Int64Var(&s.o.Count, "count", 0, "end after `N` messages; 0: by time")
	flags.DurationVar(&s.o.Duration, "duration", 0, "how `long`; 10s unless there is a count")
	flags.BoolVar(&s.json, "json", false, "print the report as one JSON object")
	if use != "consume" {
		flags.IntVar(&s.o.Size, "size", 1024, "of a body in `bytes`")
		flags.IntVar(&s.o.Window, "window", 32, "`messages` of a client that may wait for their answer")
		flags.Float64Var(&s.o.Rate, "rate", 0, "`messages` a second, of all clients; 0: as many as possible")
	}
	switch use {
	case "consume":
		flags.BoolVar(&s.o.Orderly, "orderly", false, "by consumers that lock their queues and handle the messages of each in order")
	case "e2e":
		flags.DurationVar(&s.o.Delay, "delay", 0, "have messages delivered so `long` after they are due, and count latency from then")
	}
	return cmd
}

// print prints the report. Messages that failed are an error.
func (s *benchSettings) print(cmd *cobra.Command, r *bench.Report) error {
	if s.json {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprint(cmd.OutOrStdout(), r)
	}
	if r.Errors > 0 {
		return fmt.Errorf("%d messages failed; the first one: %s", r.Errors, r.Error)
	}
	return nil
}
