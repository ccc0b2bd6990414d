package broker

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/filter"
	"github.com/skuamq/skua/internal/jsonfile"
	"github.com/skuamq/skua/internal/record"
	"github.com/skuamq/skua/internal/store"
)

// Limits of the filters of groups.
const (
	maxGroupFilters    = 100_000
	maxGroupFilterText = 16 << 20 // bytes of all expressions; compiled they take some twenty times as much
	maxBitsCost        = 20_000   // of all filters of a topic, beyond which its messages get no bit map
)

// groupFilter is the SQL92 filter of a consumer group for a topic. It is immutable.
type groupFilter struct {
	command.ConsumerFilter
	expression *filter.Expression
	wants      wants
	err        error // why there is none after all; nothing but topic, group and version counts then
}

// consumerFilters are the SQL92 filters of consumer groups, and consumerFilter.json. It is safe for concurrent use. Looking
// up a filter does not allocate.
//
// A filter whose group is gone stays for a day (filterDataCleanTimeSpan): the bit maps beside the messages go on to speak of
// it, so that its group need not look at each message when it comes back.
//
// Crash argument: bits count for a filter only with messages that were stored after its birth, and all of those must have
// its bits, or none at all. So a filter is born a while after it was shown, as a message may be on its way to the log with
// bits that do not know of it, and later than any message that is there, whatever the clock says. And a filter that is saved
// must not come back when another took its place, or when it was dropped: before that is shown, the journal says that what the
// file has of the group does not hold any more. What replaced it may be forgotten: the group brings it again when it connects,
// and it is born anew. So may be that a filter died, or that its version grew.
type consumerFilters struct {
	file    *jsonfile.File
	log     *slog.Logger
	bloom   filter.Bloom
	maxCost int
	late    int64 // ms between showing and birth

	change  sync.Mutex // held while a filter is changed
	mu      sync.RWMutex
	table   map[string]map[string]*groupFilter // by topic and group; guarded by mu, and for writers by change
	count   int                                // of filters; guarded by change
	text    int                                // bytes of their expressions; guarded by change
	changed bool                               // the file differs in what may be forgotten; guarded by change
	full    bool                               // it was logged that there are too many; guarded by change
}

// filterChange says that what the file has of a group does not hold any more: a line of the journal.
type filterChange struct {
	Group string `json:"group"`
	Topic string `json:"topic"`
}

// openConsumerFilters reads the filters of a store. As nobody is connected yet, all of them are dead.
func openConsumerFilters(at jsonfile.Place, o *Options, now time.Time, log *slog.Logger) (*consumerFilters, error) {
	bloom, err := filter.NewBloom(int(o.MaxErrorRateOfBloomFilter), int(o.ExpectConsumerNumUseFilter))
	if err != nil {
		return nil, fmt.Errorf("maxErrorRateOfBloomFilter, expectConsumerNumUseFilter: %w", err)
	}
	file, changes, err := jsonfile.ReadChanged[command.ConsumerFilters, filterChange](at, log)
	if err != nil {
		return nil, err
	}
	at.Synced = true // the journal must not fall behind the messages
	fs := &consumerFilters{log: log, bloom: bloom, maxCost: int(o.MaxFilterCost), late: o.OsPageCacheBusyTimeOutMills + 1000, table: map[string]map[string]*groupFilter{}}
	fs.file = jsonfile.NewFile(at, log, func() any { return fs.saved(nil, nil) })
	left := len(changes)
	if _, err := jsonfile.ReadCurrent[command.ConsumerFilters](at.Path); err != nil && file != nil {
		log.Warn("the previous version of a config file may have filters that were replaced since: none is taken from it", "file", at.Path)
		file, left = nil, left+1
	}
	if file != nil {
		for _, c := range changes {
			delete(file.Topics[c.Topic].Groups, c.Group)
		}
		for topic, t := range file.Topics {
			for group, f := range t.Groups {
				f.Topic, f.Group = topic, group
				if err := fs.load(f, now); err != nil {
					log.Info("saved filter of a group is left out", "group", f.Group, "topic", f.Topic, "error", err)
					left++
				}
			}
		}
	}
	return fs, fs.file.Replayed(left)
}

// load takes a filter from the file. One that was made with other settings of the bit maps is left out, as in Java: its group
// brings it again when it connects.
func (fs *consumerFilters) load(f command.ConsumerFilter, now time.Time) error {
	x, err := compileFilter(f.ExpressionType, f.Expression, fs.maxCost)
	if err != nil {
		return err
	}
	if !fs.bloom.Valid(int(f.Bloom.Bits), f.Bloom.Positions) {
		return fmt.Errorf("expectConsumerNumUseFilter or maxErrorRateOfBloomFilter was another: it has %d bits of %d", len(f.Bloom.Positions), f.Bloom.Bits)
	}
	if f.DeadTime == 0 {
		f.DeadTime = now.UnixMilli() - 30_000 // it cannot have been silent for longer
	}
	f.DeadTime, f.Dead = max(f.DeadTime, f.BornTime), true
	fs.show(fs.compiled(f, x))
	return nil
}

// compiled is a filter whose expression is x.
func (fs *consumerFilters) compiled(c command.ConsumerFilter, x *filter.Expression) *groupFilter {
	f := &groupFilter{ConsumerFilter: c, expression: x}
	f.wants.properties = x.Match
	f.wants.extension = func(e store.Extension) bool {
		return e.StoreTime <= c.BornTime || fs.bloom.Marked(e.Filter, c.Bloom.Positions)
	}
	return f
}

// get returns the filter of a group for a topic, nil if it has none.
func (fs *consumerFilters) get(topic, group []byte) *groupFilter {
	fs.mu.RLock()
	f := fs.table[string(topic)][string(group)]
	fs.mu.RUnlock()
	return f
}

// saved is what is to be in the file when put, if it is not nil, has taken the place of what its group had before, and those in
// old are forgotten.
func (fs *consumerFilters) saved(put *groupFilter, old map[*groupFilter]bool) *command.ConsumerFilters {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	all := &command.ConsumerFilters{Topics: make(map[string]command.TopicFilters, len(fs.table))}
	add := func(f *groupFilter) {
		t, ok := all.Topics[f.Topic]
		if !ok {
			t = command.TopicFilters{Groups: map[string]command.ConsumerFilter{}, Topic: f.Topic}
			all.Topics[f.Topic] = t
		}
		t.Groups[f.Group] = f.ConsumerFilter
	}
	for _, groups := range fs.table {
		for _, f := range groups {
			if replaced := put != nil && put.Topic == f.Topic && put.Group == f.Group; f.err == nil && !old[f] && !replaced {
				add(f)
			}
		}
	}
	if put != nil && put.err == nil {
		add(put)
	}
	return all
}

// show puts a filter into the table. change must be held, unless nobody knows the table yet.
func (fs *consumerFilters) show(f *groupFilter) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	groups := fs.table[f.Topic]
	if groups == nil {
		groups = map[string]*groupFilter{}
		fs.table[f.Topic] = groups
	}
	if old := groups[f.Group]; old != nil {
		fs.count, fs.text = fs.count-1, fs.text-len(old.Expression)
	}
	fs.count, fs.text = fs.count+1, fs.text+len(f.Expression)
	groups[f.Group] = f
}

// knows reports whether register has nothing to do for a subscription.
func (fs *consumerFilters) knows(group string, s *command.SubscriptionData) bool {
	if s.Tagged() || s.Expression == "" {
		return true
	}
	f := fs.get([]byte(s.Topic), []byte(group))
	return f != nil && s.Version <= f.Version && f.DeadTime == 0
}

// same reports whether the filter is that of a subscription, whatever its version.
func (f *groupFilter) same(s *command.SubscriptionData) bool {
	return f.err == nil && f.Expression == s.Expression && f.ExpressionType == s.ExpressionType
}

// register notes the filter that a member of a group has for a topic. As in Java the newest version counts, and of one that
// does not compile nothing remains but that. last is the time of the newest message. It may block. The error tells that the filter
// cannot be saved, or that there are too many.
func (fs *consumerFilters) register(group string, s *command.SubscriptionData, now time.Time, last int64) error {
	if fs.knows(group, s) {
		return nil
	}
	fs.change.Lock()
	defer fs.change.Unlock()
	old := fs.get([]byte(s.Topic), []byte(group))
	if old != nil && (s.Version <= old.Version || old.same(s)) {
		fs.revive(old, s.Version)
		return nil
	}
	if fs.count >= maxGroupFilters || fs.text+len(s.Expression) > maxGroupFilterText {
		if !fs.full {
			fs.full = true
			fs.log.Error("filters of further groups are not taken", "filters", fs.count, "most", maxGroupFilters, "bytes", fs.text, "mostBytes", maxGroupFilterText)
		}
		return fmt.Errorf("there are %d filters with %d bytes of expressions; at most %d and %d are allowed", fs.count, fs.text, maxGroupFilters, maxGroupFilterText)
	}
	fs.full = false
	c := command.ConsumerFilter{Topic: s.Topic, Group: group, Version: s.Version}
	x, err := compileFilter(s.ExpressionType, s.Expression, fs.maxCost)
	if err != nil {
		fs.log.Warn("filter of a consumer group does not compile, so the group gets nothing of the topic", "group", group, "topic", s.Topic, "error", err)
		return fs.put(&groupFilter{ConsumerFilter: c, err: err})
	}
	c.Expression, c.ExpressionType = s.Expression, s.ExpressionType
	c.BornTime = max(now.UnixMilli(), last) + fs.late
	c.Bloom = command.BloomData{Bits: int32(fs.bloom.Bits()), Positions: fs.bloom.Positions(group, s.Topic)}
	fs.log.Info("filter of a consumer group", "group", group, "topic", s.Topic, "expression", s.Expression, "cost", x.Cost())
	if ignored := x.Ignored(); ignored != "" {
		fs.log.Warn("the end of a filter is not understood and passed over, as in Java; look for a key word that is missing or misspelt",
			"group", group, "topic", s.Topic, "passed over", ignored)
	}
	return fs.put(fs.compiled(c, x))
}

// put saves and shows a filter. change must be held.
func (fs *consumerFilters) put(f *groupFilter) error {
	err := fs.file.Save(&filterChange{Group: f.Group, Topic: f.Topic}, func() any { return fs.saved(f, nil) }, func() { fs.show(f) })
	if err != nil {
		return fmt.Errorf("filter of group %s for topic %s cannot be saved: %w", f.Group, f.Topic, err)
	}
	return nil
}

// revive notes that a group still has its filter, in a newer version perhaps. change must be held.
func (fs *consumerFilters) revive(f *groupFilter, version int64) {
	if f.DeadTime == 0 && version <= f.Version {
		return
	}
	again := *f
	again.Version, again.DeadTime, again.Dead = max(version, f.Version), 0, false
	fs.show(&again)
	fs.changed = true
}

// sweep notes which filters are dead, as alive tells, and forgets those that have been for longer than span.
func (fs *consumerFilters) sweep(now time.Time, span time.Duration, alive func(topic, group string) bool) {
	fs.change.Lock()
	defer fs.change.Unlock()
	old := map[*groupFilter]bool{}
	for topic, groups := range fs.table { // nobody else changes it
		for group, f := range groups {
			switch here := alive(topic, group); {
			case here:
				fs.revive(f, f.Version)
			case f.DeadTime == 0:
				dead := *f
				dead.DeadTime, dead.Dead = max(now.UnixMilli(), f.BornTime), true
				fs.show(&dead)
				fs.changed = true
			case now.UnixMilli()-f.DeadTime >= span.Milliseconds():
				old[f] = true
			}
		}
	}
	if len(old) == 0 && (!fs.changed || !fs.file.Idle()) {
		return
	}
	if err := fs.file.Rewrite(func() any { return fs.saved(nil, old) }, func() { fs.forget(old) }); err != nil {
		fs.log.Warn("filters of consumer groups cannot be saved; trying again", "file", fs.file.Path(), "error", err)
		return
	}
	fs.changed = false
}

// forget takes filters out of the table. change must be held.
func (fs *consumerFilters) forget(old map[*groupFilter]bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for f := range old {
		fs.log.Info("filter of a consumer group is forgotten, which has not had it for long", "group", f.Group, "topic", f.Topic, "expression", f.Expression)
		fs.count, fs.text = fs.count-1, fs.text-len(f.Expression)
		if delete(fs.table[f.Topic], f.Group); len(fs.table[f.Topic]) == 0 {
			delete(fs.table, f.Topic)
		}
	}
}

// bits appends the bit map of a message to dst: the store's Options.FilterBits. It does not allocate. It appends nothing, which
// says nothing, if there is no filter for the topic, or if there are so many that looking at all would delay the send.
func (fs *consumerFilters) bits(dst []byte, m *record.Message) []byte {
	fs.mu.RLock()
	defer fs.mu.RUnlock()
	groups := fs.table[string(m.Topic)]
	if len(groups) == 0 {
		return dst
	}
	n := len(dst)
	dst = append(dst, make([]byte, fs.bloom.Bits()/8)...)
	cost := 0
	for _, f := range groups {
		if f.err != nil {
			continue
		}
		if cost += 1 + f.expression.Cost(); cost > maxBitsCost {
			return dst[:n]
		}
		if f.expression.Match(m.Properties) {
			fs.bloom.Mark(dst[n:], f.Bloom.Positions)
		}
	}
	return dst
}

// compileFilter compiles an expression of a type other than tags.
func compileFilter(expressionType, expression string, maxCost int) (*filter.Expression, error) {
	if expressionType != command.ExpressionSQL92 {
		return nil, fmt.Errorf("expressionType %q is unknown, want %s or %s", expressionType, command.ExpressionTag, command.ExpressionSQL92)
	}
	x, err := filter.Compile(expression, maxCost)
	if err != nil {
		return nil, fmt.Errorf("SQL92 expression %.100q, %w", expression, err)
	}
	return x, nil
}
