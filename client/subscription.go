package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/filter"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/wire"
)

// Subscription is what a consumer wants of a topic. All members of a group must want the same.
type Subscription struct {
	Topic string
	Tags  string // "", "*": all messages; "a || b": those with one of the tags
	// SQL is, instead of Tags, an SQL92 condition on the properties of messages, such as
	//
	//	amount BETWEEN 10 AND 500 AND region IN ('north', 'south') OR vip = TRUE
	//
	// with AND, OR, NOT, =, <>, <, <=, >, >=, BETWEEN, IN, IS NULL, CONTAINS, STARTSWITH and ENDSWITH. Values of properties
	// are strings, and are read as numbers, or TRUE and FALSE, where they are compared with such; a message on which that
	// fails is not wanted. The tag is the property TAGS, the keys are KEYS. Brokers evaluate the condition: Skua's always do
	// unless they are told not to, Java's need enablePropertyFilter=true.
	SQL string
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
		if _, err := filter.Compile(s.SQL, 0); err != nil {
			return nil, fmt.Errorf("subscription to topic %s: SQL %.100q, %w", s.Topic, s.SQL, err)
		}
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

// checkFilters asks the brokers whether they filter by the conditions that the member has. One that cannot be reached is not
// an error: pulls will tell.
func (m *member) checkFilters(ctx context.Context) error {
	m.mu.Lock()
	var subs []*subscription
	for _, sub := range m.subs {
		if sub.kind != command.ExpressionTag {
			subs = append(subs, sub)
		}
	}
	m.mu.Unlock()
	for _, sub := range subs {
		body, err := fastjson.Marshal(command.CheckClient{ClientID: m.c.id, Group: m.group, Subscription: sub.data()})
		if err != nil {
			return err
		}
		r := m.c.routes.topic(sub.topic).current.Load()
		if r == nil {
			continue
		}
		for name := range r.brokers {
			addr, ok := r.master(name)
			if !ok {
				continue
			}
			_, err := m.c.call(ctx, "subscribe to topic "+sub.topic+" by SQL", addr, &wire.Request{Code: command.CheckClientConfig, Body: body})
			if code := codeOf(err); code == command.StatusSystemError || code == command.StatusSubscriptionParseFailed {
				return fmt.Errorf("client: consumer group %s: %w", m.group, err)
			}
		}
	}
	return nil
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
