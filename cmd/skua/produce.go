package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/skuamq/skua/client"
)

// defaultNameServer is where skua server listens.
const defaultNameServer = "127.0.0.1:9876"

// clusterFlags are the flags of all commands that talk to a cluster.
type clusterFlags struct {
	nameServer string
	topic      string
	tlsFile    string
}

// add adds the flags. Without a default topic one has to be given.
func (f *clusterFlags) add(cmd *cobra.Command, topic string) {
	cmd.Flags().StringVarP(&f.nameServer, "namesrv", "n", cmp.Or(os.Getenv("NAMESRV_ADDR"), defaultNameServer), "name servers, `host:port`, several separated by semicolons")
	cmd.Flags().StringVar(&f.tlsFile, "tls", "", "connect with TLS, by the tls.client.* keys of this `file`")
	cmd.Flags().StringVarP(&f.topic, "topic", "t", topic, "`topic`")
	if topic == "" {
		_ = cmd.MarkFlagRequired("topic") // fails only if there is no such flag
	}
}

// client opens a client that tells of trouble on the command's error output.
func (f *clusterFlags) client(cmd *cobra.Command) (*client.Client, error) {
	return client.Open(cmd.Context(), client.Options{NameServers: []string{f.nameServer}, TLSFile: f.tlsFile, Log: warnings(cmd)})
}

func warnings(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// produceSettings are the flags of skua produce.
type produceSettings struct {
	clusterFlags
	tag, key string
	sharding string
	trace    bool
	rate     float64
	quiet    bool
}

func newProduceCommand() *cobra.Command {
	var s produceSettings
	cmd := &cobra.Command{
		Use:   "produce -t TOPIC [flags]",
		Short: "Send the lines of standard input as messages",
		Long: `Send the lines of standard input as messages. Empty lines are left out: a message needs a body.

The exit code is 0 only if the broker has stored each of them.`,
		Example: "  echo hello | skua produce -t greetings\n  tail -F app.log | skua produce -t logs --tag web --rate 100",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.add(cmd, "")
	cmd.Flags().StringVar(&s.tag, "tag", "", "`tag` of each message")
	cmd.Flags().StringVar(&s.key, "key", "", "`key` by which the messages can be found")
	cmd.Flags().StringVar(&s.sharding, "sharding-key", "", "`key` of all messages: they go to one queue, in order")
	cmd.Flags().BoolVar(&s.trace, "trace", false, "write message traces to RMQ_SYS_TRACE_TOPIC, for mqadmin queryMsgTraceById and the dashboard")
	cmd.Flags().Float64Var(&s.rate, "rate", 0, "`messages` a second at most; 0: no limit")
	cmd.Flags().BoolVarP(&s.quiet, "quiet", "q", false, "no progress line")
	return cmd
}

func (s *produceSettings) run(cmd *cobra.Command) (err error) {
	if s.rate < 0 {
		return fmt.Errorf("--rate %v is no rate: choose messages a second, or 0 for no limit", s.rate)
	}
	c, err := s.client(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	p, err := c.Producer(client.ProducerOptions{Group: "skua-produce", Window: 256, Trace: s.trace})
	if err != nil {
		return err
	}
	progress := newProgress(cmd.ErrOrStderr(), s.quiet)
	err = s.send(cmd, p, progress)
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	sent, failed, first := progress.end()
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d messages failed; the first one: %w", failed, sent+failed, first)
	}
	return err
}

// maxLine is the longest line that makes a message, in bytes: brokers by default take no larger ones.
const maxLine = 4 << 20

// send sends line by line until the end of the input, the end of the command's context, or what no further line can
// mend.
func (s *produceSettings) send(cmd *cobra.Command, p *client.Producer, progress *progress) error {
	ctx := cmd.Context()
	lines, failed := readLines(ctx, cmd.InOrStdin())
	start := time.Now()
	for n := 0; ; n++ {
		var line []byte
		var ok bool
		select {
		case line, ok = <-lines:
		case <-ctx.Done():
			return nil
		}
		if !ok {
			return <-failed
		}
		if s.rate > 0 {
			due := start.Add(time.Duration(float64(n) / s.rate * float64(time.Second)))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return nil
			}
		}
		if len(line) > maxLine {
			progress.note(client.Sent{}, fmt.Errorf("line %d has %d bytes, a message can have %d", n+1, len(line), maxLine))
			continue
		}
		m := &client.Message{Topic: s.topic, Body: line, Tag: s.tag, ShardingKey: s.sharding}
		if s.key != "" {
			m.Keys = []string{s.key}
		}
		if err := p.SendAsync(context.WithoutCancel(ctx), m, progress.note); err != nil {
			return err
		}
	}
}

// readLines reads lines in the background: a read of a terminal or pipe cannot be interrupted, so it must not keep the
// command from ending. Errors come after the last line; none is nil.
func readLines(ctx context.Context, r io.Reader) (<-chan []byte, <-chan error) {
	lines, failed := make(chan []byte, 64), make(chan error, 1)
	go func() { // ends with the input or, at the latest, with the program
		defer close(lines)
		in := bufio.NewReaderSize(r, 64<<10)
		for {
			line, err := in.ReadBytes('\n')
			if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
				select {
				case lines <- line:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				failed <- err
				return
			}
		}
	}()
	return lines, failed
}

// progress counts messages, and shows a line that is renewed each second if somebody watches.
type progress struct {
	out   io.Writer
	quiet bool
	live  bool
	begun time.Time

	mu     sync.Mutex // guards the following
	sent   int
	failed int
	first  error
	shown  time.Time
}

func newProgress(out io.Writer, quiet bool) *progress {
	now := time.Now()
	return &progress{out: out, quiet: quiet, live: !quiet && terminal(out), begun: now, shown: now}
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// note counts a message that was sent, or not.
func (p *progress) note(_ client.Sent, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed++
		p.first = cmp.Or(p.first, err)
	} else {
		p.sent++
	}
	if now := time.Now(); p.live && now.Sub(p.shown) >= time.Second {
		p.shown = now
		fmt.Fprintf(p.out, "\r%s ", p.line())
	}
}

func (p *progress) line() string {
	took := time.Since(p.begun)
	return fmt.Sprintf("%d messages sent, %d failed, %.1f s, %.0f/s", p.sent, p.failed, took.Seconds(), float64(p.sent)/max(took.Seconds(), 0.001))
}

// end shows the last line and returns the counts.
func (p *progress) end() (sent, failed int, first error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live {
		fmt.Fprint(p.out, "\r")
	}
	if !p.quiet {
		fmt.Fprintln(p.out, p.line())
	}
	return p.sent, p.failed, p.first
}
