// Package bench loads a cluster, Skua's or Apache's, with the public client and reports rates and latencies. It hides
// how the load is generated: clients, windows, pacing and histograms.
//
// With a rate, messages are due at fixed times whether or not earlier ones were answered, and latency counts from then:
// a server that stalls is not flattered. Without one, each client keeps its window full.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/skuamq/skua/client"
)

// Options say what is to be measured. Zero values are defaults, where there is one.
type Options struct {
	NameServers []string
	TLSFile     string        // as client.Options has it
	Topic       string        // needed
	Size        int           // 1024: of a body in bytes, at least 8
	Clients     int           // 4: each has its own connections
	Window      int           // 32: messages of a client that may wait for their answer
	Rate        float64       // messages a second, of all clients; 0: as many as possible, EndToEnd takes 1000
	Count       int64         // messages to send or receive; 0: no limit
	Duration    time.Duration // 10 s, unless Count is set; Consume may end before, with the last message
	Delay       time.Duration // of EndToEnd: how long after it is due a message is to be delivered; it then counts from there
	Orderly     bool          // of Consume: by consumers that lock their queues
	Log         *slog.Logger

	epoch time.Time // from which the stamps in bodies count
}

func (o Options) withDefaults() (Options, error) {
	o.epoch = time.Now()
	for _, n := range []struct {
		value *int
		or    int
	}{{&o.Size, 1024}, {&o.Clients, 4}, {&o.Window, 32}} {
		if *n.value == 0 {
			*n.value = n.or
		}
	}
	switch {
	case o.Size < stampSize || o.Clients < 1 || o.Window < 1 || o.Rate < 0 || o.Count < 0 || o.Duration < 0 || o.Delay < 0:
		return o, fmt.Errorf("bench: size must be at least %d, clients and window at least 1, and nothing negative", stampSize)
	case o.Duration == 0 && o.Count == 0:
		o.Duration = 10 * time.Second
	}
	return o, nil
}

// within bounds ctx by Duration.
func (o Options) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.Duration == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, o.Duration)
}

// clients opens the clients of a run.
func (o Options) clients(ctx context.Context) ([]*client.Client, error) {
	var list []*client.Client
	for range o.Clients {
		c, err := client.Open(ctx, client.Options{NameServers: o.NameServers, TLSFile: o.TLSFile, Log: o.Log})
		if err != nil {
			return nil, errors.Join(err, closeAll(list))
		}
		list = append(list, c)
	}
	return list, nil
}

// run completes the options, opens the clients and closes them when measure, which gets both, is over.
func run(ctx context.Context, o Options, measure func(o Options, clients []*client.Client) (*Report, error)) (r *Report, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	clients, err := o.clients(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(clients)) }()
	return measure(o, clients)
}

func closeAll(list []*client.Client) error {
	var wg sync.WaitGroup
	errs := make([]error, len(list))
	for i, c := range list {
		wg.Go(func() { errs[i] = c.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Latency are percentiles in milliseconds.
type Latency struct {
	Min  float64 `json:"min"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// Report is what a run found.
type Report struct {
	Mode     string   `json:"mode"` // produce, consume, e2e, transactions
	Topic    string   `json:"topic"`
	Size     int      `json:"size"` // bytes of a body
	Clients  int      `json:"clients"`
	Window   int      `json:"window,omitzero"`
	Messages int64    `json:"messages"`
	Errors   int64    `json:"errors"`
	Error    string   `json:"error,omitzero"` // the first one
	Seconds  float64  `json:"seconds"`
	Rate     float64  `json:"rate"`             // messages a second
	MBps     float64  `json:"mb_per_s"`         // of bodies, in millions of bytes
	Send     *Latency `json:"send_ms,omitzero"` // from when a message was due until it was acknowledged
	EndToEnd *Latency `json:"e2e_ms,omitzero"`  // from when it was due, or to be delivered, until it was received
}

// String is the report for people.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d messages of %d bytes in %.1f s, %d clients", r.Mode, r.Topic, r.Messages, r.Size, r.Seconds, r.Clients)
	if r.Window > 0 {
		fmt.Fprintf(&b, ", window %d", r.Window)
	}
	fmt.Fprintf(&b, "\n  rate      %.0f messages/s, %.1f MB/s\n", r.Rate, r.MBps)
	for _, l := range []struct {
		name string
		*Latency
	}{{"send ms  ", r.Send}, {"end to end", r.EndToEnd}} {
		if l.Latency != nil {
			fmt.Fprintf(&b, "  %-9s min %.3f  p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  max %.3f\n", l.name, l.Min, l.P50, l.P90, l.P99, l.P999, l.Max)
		}
	}
	if r.Errors > 0 {
		fmt.Fprintf(&b, "  errors    %d, the first one: %s\n", r.Errors, r.Error)
	}
	return b.String()
}

// tally collects results of many goroutines.
type tally struct {
	messages, errors, bytes atomic.Int64

	mu    sync.Mutex // guards the following
	times *hdrhistogram.Histogram
	first error
	last  time.Time // of the last message
}

// A time is kept in µs, up to ten minutes, to three digits.
const longest = int64(10 * time.Minute / time.Microsecond)

func newTally() *tally { return &tally{times: hdrhistogram.New(1, longest, 3)} }

func (t *tally) fail(err error) {
	t.errors.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first == nil {
		t.first = err
	}
}

// add merges the times of one goroutine.
func (t *tally) add(times *hdrhistogram.Histogram) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times.Merge(times)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), longest)) // cannot fail within the range
}

func (t *tally) latency() *Latency {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times.TotalCount() == 0 {
		return nil
	}
	ms := func(us int64) float64 { return float64(us) / 1000 }
	at := func(p float64) float64 { return ms(t.times.ValueAtQuantile(p)) }
	return &Latency{Min: ms(t.times.Min()), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: ms(t.times.Max())}
}

func (t *tally) report(mode string, o Options, took time.Duration) *Report {
	r := &Report{
		Mode: mode, Topic: o.Topic, Size: o.Size, Clients: o.Clients, Messages: t.messages.Load(), Errors: t.errors.Load(),
		Seconds: took.Seconds(),
	}
	if t.first != nil {
		r.Error = t.first.Error()
	}
	if r.Seconds > 0 {
		r.Rate, r.MBps = float64(r.Messages)/r.Seconds, float64(t.bytes.Load())/1e6/r.Seconds
	}
	return r
}
