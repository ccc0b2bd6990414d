package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
)

// Subscription is what a consumer wants of a topic. All members of a group must want the same.
type Subscription struct {
	Topic string
	Tags  string // "", "*": all messages; "a || b": those with one of the tags
	SQL   string // instead of Tags, a condition on properties, for brokers with enablePropertyFilter
}

// subscription is a Subscription made ready to be announced and applied.
type subscription struct {
	topic      string
	kind       string // command.ExpressionTag or ExpressionSQL92
	expression string
	tags       map[string]bool // nil: all
	version    int64           // ms
}

func newSubscription(s Subscription, now time.Time) (*subscription, error) {
	if err := skua.ValidateTopic(s.Topic); err != nil {
		return nil, err
	}
	sub := &subscription{topic: s.Topic, kind: command.ExpressionTag, expression: "*", version: now.UnixMilli()}
	switch {
	case s.SQL != "" && s.Tags != "":
		return nil, errors.New("a subscription has either Tags or SQL, not both")
	case s.SQL != "":
		sub.kind, sub.expression = command.ExpressionSQL92, s.SQL
	case s.Tags != "" && strings.TrimSpace(s.Tags) != "*":
		sub.expression, sub.tags = s.Tags, map[string]bool{}
		for tag := range strings.SplitSeq(s.Tags, "||") {
			if tag = strings.TrimSpace(tag); tag != "" {
				sub.tags[tag] = true
			}
		}
		if len(sub.tags) == 0 {
			return nil, fmt.Errorf("tags %q name no tag; they are written a || b", s.Tags)
		}
	}
	return sub, nil
}

// matches reports whether a message is wanted. Brokers compare hashes of tags, so some come that are not.
func (s *subscription) matches(m *Received) bool {
	return s.tags == nil || s.tags[m.Tag()]
}

// data is the subscription in a heartbeat.
func (s *subscription) data() command.SubscriptionData {
	d := command.SubscriptionData{
		Topic: s.topic, ExpressionType: s.kind, Expression: s.expression, Version: s.version, Tags: []string{}, Codes: []int32{},
	}
	for tag := range s.tags {
		d.Tags = append(d.Tags, tag)
		d.Codes = append(d.Codes, record.HashString([]byte(tag)))
	}
	return d
}

// Start is where a group begins that has not yet consumed from a queue. The zero value is StartLatest. A queue that
// appears after the consumer began is read from its first message in any case.
type Start struct {
	first bool
	at    time.Time
}

// The usual beginnings: with the messages that arrive from now on, or with the oldest that is there.
var (
	StartLatest   = Start{}
	StartEarliest = Start{first: true}
)

// StartAt begins with the first message that was stored at t or later.
func StartAt(t time.Time) Start { return Start{at: t} }

// where is the beginning as heartbeats tell it.
func (s Start) where() command.ConsumeFromWhere {
	switch {
	case s.first:
		return command.FromFirstOffset
	case !s.at.IsZero():
		return command.FromTimestamp
	}
	return command.FromLastOffset
}
