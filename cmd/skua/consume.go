package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/client"
)

// consumeSettings are the flags of skua consume.
type consumeSettings struct {
	clusterFlags
	group string
	from  string
	tags  string
	sql   string
	count int
	json  bool
}

func newConsumeCommand() *cobra.Command {
	var s consumeSettings
	cmd := &cobra.Command{
		Use:   "consume -t TOPIC [flags]",
		Short: "Print messages, and those that come",
		Long: `Print the messages of a topic as lines, and go on with those that come.

Without a group all queues are read and nothing is remembered. A group goes on where it stopped; --from says where a
group begins that is new. TIME is a time such as 2026-11-21T04:15:00Z or "2026-11-21 04:15:00" (local), the milliseconds
since 1970, or how long ago, such as 90m.`,
		Example: "  skua consume -t greetings --from earliest\n  skua consume -t orders --group audit --count 10 --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.add(cmd, "")
	cmd.Flags().StringVar(&s.group, "group", "", "consumer `group`, whose offsets are kept by the broker")
	cmd.Flags().StringVar(&s.from, "from", "latest", "where to begin: earliest, latest or a `TIME`")
	cmd.Flags().StringVar(&s.tags, "tag", "", "only messages with one of these `tags`: a || b")
	cmd.Flags().StringVar(&s.sql, "sql", "", "only messages whose properties meet this SQL92 `condition`, such as \"amount > 10 AND region = 'north'\"")
	cmd.Flags().IntVar(&s.count, "count", 0, "end after `N` messages; 0: never")
	cmd.Flags().BoolVar(&s.json, "json", false, "print a JSON object for each message, one a line")
	return cmd
}

// parseStart reads the value of --from.
func parseStart(text string, now time.Time) (client.Start, error) {
	switch text {
	case "earliest":
		return client.StartEarliest, nil
	case "latest":
		return client.StartLatest, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return client.StartAt(now.Add(-ago)), nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return client.StartAt(time.UnixMilli(ms)), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return client.StartAt(t), nil
		}
	}
	return client.Start{}, fmt.Errorf("--from %q is neither earliest nor latest nor a time such as 2026-11-21T04:15:00Z, 1763698500000 or 90m", text)
}

func (s *consumeSettings) run(cmd *cobra.Command) (err error) {
	start, err := parseStart(s.from, time.Now())
	if err != nil {
		return err
	}
	if s.count < 0 {
		return fmt.Errorf("--count %d is no number of messages", s.count)
	}
	c, err := s.client(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	batch := 32
	if s.count > 0 {
		batch = min(batch, s.count)
	}
	p, err := c.PullConsumer(client.PullOptions{Group: s.group, Start: start, AutoCommit: true, Batch: batch})
	if err != nil {
		return err
	}
	if err := p.Subscribe(cmd.Context(), client.Subscription{Topic: s.topic, Tags: s.tags, SQL: s.sql}); err != nil {
		return err
	}
	return s.print(cmd, p)
}

// print prints messages until there are enough or the command's context ends, which is no error.
func (s *consumeSettings) print(cmd *cobra.Command, p *client.PullConsumer) error {
	out := bufio.NewWriter(cmd.OutOrStdout())
	for n := 0; s.count == 0 || n < s.count; {
		messages, err := p.Poll(cmd.Context())
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return err
		}
		for i, m := range messages {
			if s.count > 0 && n == s.count {
				if err := putBack(p, messages[i:]); err != nil {
					return err
				}
				break
			}
			if err := s.write(out, m); err != nil {
				return err
			}
			n++
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if s.group == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 3*time.Second)
	defer cancel()
	return p.Commit(ctx)
}

// putBack leaves messages, which were polled but not printed, to the next consumer of the group.
func putBack(p *client.PullConsumer, messages []*client.Received) error {
	first := map[skua.Queue]skua.QueueOffset{}
	for _, m := range messages {
		if off, ok := first[m.Queue]; !ok || m.Offset < off {
			first[m.Queue] = m.Offset
		}
	}
	for q, off := range first {
		if err := p.Seek(q, off); err != nil {
			return err
		}
	}
	return nil
}

// printed is a message in JSON.
type printed struct {
	Topic          string            `json:"topic"`
	Tag            string            `json:"tag,omitzero"`
	Keys           []string          `json:"keys,omitempty"`
	ID             string            `json:"id"`
	OffsetID       string            `json:"offsetId"`
	Broker         string            `json:"broker"`
	Queue          int32             `json:"queue"`
	Offset         skua.QueueOffset  `json:"offset"`
	Born           time.Time         `json:"born"`
	BornHost       string            `json:"bornHost"`
	Stored         time.Time         `json:"stored"`
	StoreHost      string            `json:"storeHost"`
	ReconsumeTimes int               `json:"reconsumeTimes,omitzero"`
	Properties     map[string]string `json:"properties"`
	Body           *string           `json:"body,omitzero"`
	Base64         []byte            `json:"bodyBase64,omitzero"` // of a body that is not text
}

// write prints a message.
func (s *consumeSettings) write(out io.Writer, m *client.Received) error {
	if !s.json {
		_, err := fmt.Fprintf(out, "%s\n", m.Body)
		return err
	}
	v := printed{
		Topic: m.Topic, Tag: m.Tag(), Keys: m.Keys(), ID: m.ID(), OffsetID: m.OffsetID(), Broker: m.Queue.Broker, Queue: m.Queue.ID,
		Offset: m.Offset, Born: m.BornTime.UTC(), BornHost: m.BornHost.String(), Stored: m.StoreTime.UTC(), StoreHost: m.StoreHost.String(),
		ReconsumeTimes: m.ReconsumeTimes, Properties: m.Properties(),
	}
	if text := string(m.Body); utf8.ValidString(text) {
		v.Body = &text
	} else {
		v.Base64 = m.Body
	}
	return json.NewEncoder(out).Encode(v)
}
