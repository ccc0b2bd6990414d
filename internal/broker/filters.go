package broker

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// wants tells which messages are wanted, as a store.ReadRequest asks. The zero value wants all.
type wants struct {
	tags       func(tagsCode int64) bool
	properties func(properties []byte) bool
	extension  func(store.Extension) bool
}

// Limits of the expressions that are remembered; beyond them the memory begins anew.
const (
	maxFilters    = 10_000
	maxFilterText = 4 << 20 // bytes
)

// filters turns the expressions that pulls carry into wants, and remembers them. The zero value is ready; it is safe for
// concurrent use.
type filters struct {
	mu    sync.RWMutex
	tags  map[string]wants // by expression; guarded by mu
	sql   map[string]wants // likewise
	bytes int              // of all expressions; guarded by mu
}

// tagged returns what a tag expression wants.
func (f *filters) tagged(expression []byte) (wants, error) {
	if len(expression) == 0 || string(expression) == "*" {
		return wants{}, nil
	}
	f.mu.RLock()
	w, ok := f.tags[string(expression)]
	f.mu.RUnlock()
	if ok {
		return w, nil
	}
	match, err := parseTags(string(expression))
	if err != nil {
		return wants{}, err
	}
	w.tags = match
	f.remember(&f.tags, string(expression), w)
	return w, nil
}

// selected returns what an expression of another type wants.
func (f *filters) selected(expressionType, expression []byte, maxCost int) (wants, error) {
	f.mu.RLock()
	w, ok := f.sql[string(expression)]
	f.mu.RUnlock()
	if ok && string(expressionType) == command.ExpressionSQL92 {
		return w, nil
	}
	x, err := compileFilter(string(expressionType), string(expression), maxCost)
	if err != nil {
		return wants{}, unparsable(err)
	}
	w.properties = x.Match
	f.remember(&f.sql, string(expression), w)
	return w, nil
}

func (f *filters) remember(known *map[string]wants, expression string, w wants) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bytes += len(expression); f.tags == nil || len(f.tags)+len(f.sql) >= maxFilters || f.bytes > maxFilterText {
		f.tags, f.sql, f.bytes = map[string]wants{}, map[string]wants{}, len(expression)
	}
	(*known)[expression] = w
}

// unparsable refuses an expression.
func unparsable(err error) error {
	return refusalf(command.StatusSubscriptionParseFailed, "parse the consumer's subscription failed: %v", err)
}

// parseTags reads tags separated by ||. A message passes if the hash of its tag is that of one of them; consumers look at
// the tag itself.
func parseTags(expression string) (func(int64) bool, error) {
	var codes []int32
	for _, tag := range strings.Split(expression, "||") {
		if tag = strings.TrimSpace(tag); tag != "" {
			codes = append(codes, record.HashString([]byte(tag)))
		}
	}
	if len(codes) == 0 {
		return nil, refusalf(command.StatusSubscriptionParseFailed, "parse the consumer's subscription failed: %q has no tag, want one, several joined by ||, or *", expression)
	}
	return func(code int64) bool { return slices.Contains(codes, int32(code)) }, nil
}

// selection is which messages a pull wants. view is what the members of its group say, nil if it has none.
func (b *Broker) selection(h *command.PullHeader, g *group, view *consumerOutlook) (wants, error) {
	if !g.mayRead(h.Topic) {
		return wants{}, forbidf(forbiddenToRead, "the consumer group[%s] is forbidden for topic[%s]", g.Name, h.Topic)
	}
	if view != nil && view.model == command.Broadcasting && !g.ConsumeBroadcastEnable {
		return wants{}, forbidf(forbiddenToBroadcast, "the consumer group[%s] can not consume by broadcast way: its consumeBroadcastEnable is false", g.Name)
	}
	if h.SysFlag&command.PullSubscription == 0 {
		return b.groupSelection(h, view)
	}
	if t := h.ExpressionType; len(t) == 0 || string(t) == command.ExpressionTag {
		return b.filters.tagged(h.Subscription)
	}
	o := b.options.Load()
	if !o.EnablePropertyFilter {
		return wants{}, unfilterable(string(h.ExpressionType))
	}
	return b.filters.selected(h.ExpressionType, h.Subscription, int(o.MaxFilterCost))
}

// groupSelection is which messages the group of a pull wants that brings no subscription.
func (b *Broker) groupSelection(h *command.PullHeader, view *consumerOutlook) (wants, error) {
	if view == nil {
		return wants{}, refusalf(command.StatusSubscriptionNotExist, "the consumer's group info not exist%s", faq)
	}
	in := view.topics[string(h.Topic)]
	switch {
	case in == nil:
		return wants{}, refusalf(command.StatusSubscriptionNotExist, "the consumer's subscription not exist%s", faq)
	case in.Version < h.SubVersion:
		return wants{}, refusalf(command.StatusSubscriptionNotLatest, "the consumer's subscription not latest")
	case in.Tagged(), in.ClassFilterMode:
		return wants{tags: in.match}, nil
	}
	o := b.options.Load()
	f := b.groupFilters.get(h.Topic, h.Group)
	switch {
	case f == nil:
		return wants{}, refusalf(command.StatusFilterDataNotExist, "The broker's consumer filter data is not exist!Your expression may be wrong! None has been registered for group %s and topic %s", h.Group, h.Topic)
	case f.err != nil:
		return wants{}, refusalf(command.StatusFilterDataNotExist, "The broker's consumer filter data is not exist!Your expression may be wrong! %v", f.err)
	case f.Version < h.SubVersion:
		return wants{}, refusalf(command.StatusFilterDataNotLatest, "the consumer's consumer filter data not latest: its version is %d, the pull's %d", f.Version, h.SubVersion)
	case !o.EnablePropertyFilter:
		return wants{}, unfilterable(in.ExpressionType)
	case o.FilterSupportRetry && bytes.HasPrefix(h.Topic, []byte(skua.RetryPrefix)):
		return wants{properties: b.retriesWanted(h.Topic)}, nil
	}
	return f.wants, nil
}

// retriesWanted tells which messages of the retry topic of a group it wants: those that pass the filter that it has for the
// topic from which they came.
func (b *Broker) retriesWanted(topic []byte) func(properties []byte) bool {
	group := bytes.Clone(topic[len(skua.RetryPrefix):])
	return func(properties []byte) bool {
		from, _ := record.Property(properties, skua.PropRetryTopic)
		f := b.groupFilters.get(from, group)
		return f == nil || f.err != nil || f.expression.Match(properties)
	}
}

func unfilterable(expressionType string) error {
	return refusalf(command.StatusSystemError, "The broker does not support consumer to filter message by %s: enablePropertyFilter=false", expressionType)
}

// registerFilters notes the filters of a consumer. It may block unless filtersKnown.
func (b *Broker) registerFilters(d *command.ConsumerData) {
	for i := range d.Subscriptions {
		s := &d.Subscriptions[i]
		if b.groupFilters.knows(d.Group, s) {
			continue
		}
		if err := b.groupFilters.register(d.Group, s, b.now(), b.store.LastTime()); err != nil {
			b.log.Warn("filter of a consumer group is not taken", "group", d.Group, "topic", s.Topic, "error", err)
		}
	}
}

// filtersKnown reports whether registerFilters has nothing to do.
func (b *Broker) filtersKnown(d *command.ConsumerData) bool {
	for i := range d.Subscriptions {
		if !b.groupFilters.knows(d.Group, &d.Subscriptions[i]) {
			return false
		}
	}
	return true
}

// filterSweep is how often it is looked for filters that nobody has any more.
const filterSweep = 10 * time.Second

// sweepFilters looks for filters that nobody has any more.
func (b *Broker) sweepFilters(now time.Time) {
	b.groupFilters.sweep(now, time.Duration(b.options.Load().FilterDataCleanTimeSpan)*time.Millisecond, func(topic, group string) bool {
		view := b.clients.outlook([]byte(group))
		return view != nil && view.topics[topic] != nil && !view.topics[topic].Tagged()
	})
}
