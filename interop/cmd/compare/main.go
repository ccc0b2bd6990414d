// Command compare measures Skua beside Apache's Java broker on this machine: the load of "skua bench" on both, in turn,
// and what cannot be seen from a load: start, memory at rest, many connections, many topics, start after a crash.
//
//	go run ./cmd/compare [-rounds 3] [-duration 10s] [-only load|kinds|figures]
//
// Every run gets a fresh server with empty data. It prints one JSON object a run, then a table of medians. Rates on a shared
// machine drift; only ratios of runs of the same minute say something.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/process"
)

var (
	rounds   = flag.Int("rounds", 3, "runs of each case on each side")
	duration = flag.Duration("duration", 10*time.Second, "length of each load")
	only     = flag.String("only", "", "load, kinds (of messages) or figures; default all")
	binary   = flag.String("skua", "", "skua program to measure (default: built from the sources)")
	scratch  = flag.String("scratch", "", "folder for the servers' data (default: a temporary one); needs 6 GiB")
)

// sides take turns; the second is the one that the first is compared with.
var sides = []cluster.Side{cluster.Skua, cluster.Java}

// result is one measured run. Fields that a case has no value for are left out.
type result struct {
	Case  string             `json:"case"`
	Side  cluster.Side       `json:"side"`
	Round int                `json:"round"`
	Value map[string]float64 `json:"value"`
}

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp(*scratch, "skua-compare-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = filepath.Join(dir, "skua")
		if _, err := process.Run(ctx, []string{"CGO_ENABLED=0"}, "..", "go", "build", "-trimpath", "-o", *binary, "./cmd/skua"); err != nil {
			return err
		}
	}
	var all []result
	measure := func(c measurement, round int, side cluster.Side) error {
		h := cluster.Host{Dir: filepath.Join(dir, "run"), Binary: *binary, Measured: true}
		value, err := c.run(ctx, h, side)
		err = errors.Join(err, os.RemoveAll(h.Dir))
		if err != nil {
			return fmt.Errorf("%s on %s: %w", c.name, side, err)
		}
		r := result{c.name, side, round, value}
		all = append(all, r)
		return json.NewEncoder(os.Stdout).Encode(r)
	}
	for _, c := range measurements() {
		for round := range *rounds {
			order := slices.Clone(sides)
			if round%2 == 1 {
				slices.Reverse(order) // a drift of the machine hits both alike
			}
			for _, side := range order {
				if err := measure(c, round, side); err != nil {
					return err
				}
			}
		}
	}
	table(all)
	return nil
}

// measurement is one thing to measure on a side.
type measurement struct {
	name string
	run  func(context.Context, cluster.Host, cluster.Side) (map[string]float64, error)
}

func measurements() []measurement {
	load := []measurement{
		{"send sync, 64 clients", bench("produce", "--conns", "64", "--window", "1")},
		{"send pipelined, 8 x 32", bench("produce", "--conns", "8", "--window", "32")},
		{"consume", consume},
		{"end to end, 1000/s", bench("e2e", "--rate", "1000", "--conns", "2")},
	}
	figures := []measurement{
		{"start", start},
		{"idle", idle},
		{"10,000 connections", connections},
		{"1,000 topics x 8", topics},
		{"start after kill, 2 GiB", crash},
	}
	kinds := []measurement{
		{"transactions, 8 x 8", bench("transactions", "--conns", "8", "--window", "8")},
		{"orderly, 64 queues", orderly},
		{"timed, 10,000/s", bench("e2e", "--rate", "10000", "--conns", "4", "--delay", "3s")},
		{"1,000,000 timed, pending", pending},
	}
	switch *only {
	case "load":
		return load
	case "kinds":
		return kinds
	case "figures":
		return figures
	default:
		return slices.Concat(load, kinds, figures)
	}
}

// table prints the medians of both sides and their ratio.
func table(all []result) {
	type cell struct{ name, field string }
	values := map[cell]map[cluster.Side][]float64{}
	var order []cell
	for _, r := range all {
		for field, v := range r.Value {
			c := cell{r.Case, field}
			if values[c] == nil {
				values[c] = map[cluster.Side][]float64{}
				order = append(order, c)
			}
			values[c][r.Side] = append(values[c][r.Side], v)
		}
	}
	slices.SortStableFunc(order, func(a, b cell) int {
		if a.name != b.name {
			return 0 // cases stay in the order they ran in
		}
		return map[bool]int{true: -1, false: 1}[a.field < b.field]
	})
	fmt.Printf("%-26s %-22s %14s %14s %10s\n", "case", "value", sides[0], sides[1], "ratio")
	for _, c := range order {
		a, b := median(values[c][sides[0]]), median(values[c][sides[1]])
		fmt.Printf("%-26s %-22s %14.4g %14.4g %10.3g\n", c.name, c.field, a, b, a/b)
	}
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}
