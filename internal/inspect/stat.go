package inspect

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"text/tabwriter"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/record"
)

// Select says which records are looked at. The zero value takes all.
type Select struct {
	From, To int64  // log offsets, To 0 for no end
	Since    int64  // store times, ms; 0 for no bound
	Until    int64  // ms, included
	Topic    string // "" for all
	Queue    int32  // -1 for all; only with Topic
	Key      string // a key, or a unique key; "" for all
}

// matches reports whether a record is wanted.
func (s *Select) matches(r *stretch) bool {
	m := &r.msg
	switch {
	case r.off < s.From, s.To > 0 && r.off >= s.To:
		return false
	case m.StoreTime < s.Since, s.Until > 0 && m.StoreTime > s.Until:
		return false
	case s.Topic != "" && (string(m.Topic) != s.Topic || s.Queue >= 0 && m.QueueID != s.Queue):
		return false
	}
	return s.Key == "" || hasKey(m, s.Key)
}

func hasKey(m *record.Message, key string) bool {
	if id, ok := record.Property(m.Properties, skua.PropUniqueKey); ok && string(id) == key {
		return true
	}
	keys, _ := record.Property(m.Properties, skua.PropKeys)
	for len(keys) > 0 {
		i := 0
		for i < len(keys) && keys[i] != ' ' {
			i++
		}
		if string(keys[:i]) == key {
			return true
		}
		keys = keys[min(i+1, len(keys)):]
	}
	return false
}

// Count is a number of records and their bytes.
type Count struct {
	Messages int64 `json:"messages"`
	Bytes    int64 `json:"bytes"` // of whole records
}

func (c *Count) add(n int64) { c.Messages++; c.Bytes += n }

// Stat counts the records of a log.
type Stat struct {
	All    Count             `json:"all"`
	Topics map[string]*Topic `json:"topics"`
	Sizes  []Size            `json:"sizes"` // bodies by size, smallest first
	Times  []Time            `json:"times"` // by store time, earliest first; empty ones left out
	Step   int64             `json:"step"`  // length of a Time, ms

	sizes [33]Count
	times map[int64]*Count
}

// Topic counts the records of a topic.
type Topic struct {
	Count
	Queues map[int32]*Count  `json:"queues"`
	Tags   map[string]*Count `json:"tags"` // "" for those without, "..." for those beyond the first maxTags
}

// Size counts records whose bodies have at most Max bytes and more than the Size before.
type Size struct {
	Max int64 `json:"max"`
	Count
}

// Time counts records that were stored from Begin on.
type Time struct {
	Begin int64 `json:"begin"` // ms
	Count
}

const (
	maxTags  = 1000 // that are told apart in a topic
	maxTimes = 1 << 16
)

// Stat counts the records of the log that are selected, by topic, size and time in steps of step ms. Several files are
// read at a time.
func (d *Dir) Stat(ctx context.Context, sel Select, step int64, progress func(Progress)) (*Stat, error) {
	v := &verifier{d: d, o: VerifyOptions{Progress: progress}}
	stop := v.report()
	defer stop()
	parts := d.parts()
	total := int64(0)
	for _, p := range parts {
		total += p.to - p.from
	}
	v.begin("log", total)
	sum := newStat(max(step, 1))
	var mu sync.Mutex
	err := each(ctx, runtime.GOMAXPROCS(0), parts, v.newWorker, func(w *worker, p part) error {
		mine := newStat(sum.Step)
		err := w.log.walk(p.from, p.to, p.file.start+d.log.size, func(s stretch) bool {
			v.done.Add(min(s.n, p.to-s.off))
			if s.kind == stretchRecord && sel.matches(&s) {
				mine.add(&s)
			}
			return s.kind != stretchTail && ctx.Err() == nil
		})
		mu.Lock()
		defer mu.Unlock()
		sum.merge(mine)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	sum.finish()
	return sum, nil
}

func newStat(step int64) *Stat {
	return &Stat{Topics: map[string]*Topic{}, Step: step, times: map[int64]*Count{}}
}

func (s *Stat) topic(name string) *Topic {
	t := s.Topics[name]
	if t == nil {
		t = &Topic{Queues: map[int32]*Count{}, Tags: map[string]*Count{}}
		s.Topics[name] = t
	}
	return t
}

func counter[K comparable](m map[K]*Count, k K) *Count {
	c := m[k]
	if c == nil {
		c = &Count{}
		m[k] = c
	}
	return c
}

func (s *Stat) add(r *stretch) {
	m := &r.msg
	s.All.add(r.n)
	t := s.topic(string(m.Topic))
	t.add(r.n)
	counter(t.Queues, m.QueueID).add(r.n)
	tag, _ := record.Property(m.Properties, skua.PropTags)
	t.tag(string(tag)).add(r.n)
	s.sizes[bits.Len(uint(max(len(m.Body)-1, 0)))].add(r.n)
	at := m.StoreTime / s.Step
	if s.times[at] == nil && len(s.times) >= maxTimes {
		return
	}
	counter(s.times, at).add(r.n)
}

func (t *Topic) tag(tag string) *Count {
	if t.Tags[tag] == nil && len(t.Tags) >= maxTags {
		tag = "..."
	}
	return counter(t.Tags, tag)
}

func (c *Count) merge(o Count) { c.Messages += o.Messages; c.Bytes += o.Bytes }

func (s *Stat) merge(o *Stat) {
	s.All.merge(o.All)
	for name, ot := range o.Topics {
		t := s.topic(name)
		t.merge(ot.Count)
		for id, c := range ot.Queues {
			counter(t.Queues, id).merge(*c)
		}
		for tag, c := range ot.Tags {
			t.tag(tag).merge(*c)
		}
	}
	for i := range s.sizes {
		s.sizes[i].merge(o.sizes[i])
	}
	for at, c := range o.times {
		counter(s.times, at).merge(*c)
	}
}

func (s *Stat) finish() {
	s.Sizes, s.Times = []Size{}, []Time{}
	for i, c := range s.sizes {
		if c.Messages > 0 {
			s.Sizes = append(s.Sizes, Size{1 << i, c})
		}
	}
	for _, at := range slices.Sorted(maps.Keys(s.times)) {
		s.Times = append(s.Times, Time{at * s.Step, *s.times[at]})
	}
}

// Print writes the counts for people; of topics, tags and times the limit greatest are listed, 0 for all.
func (s *Stat) Print(w io.Writer, limit int) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "TOPIC\tQUEUE\tTAG\tMESSAGES\tBYTES\n")
	fmt.Fprintf(t, "all\t\t\t%d\t%d\n", s.All.Messages, s.All.Bytes)
	for _, name := range largest(s.Topics, func(t *Topic) Count { return t.Count }, limit) {
		topic := s.Topics[name]
		fmt.Fprintf(t, "%s\t\t\t%d\t%d\n", name, topic.Messages, topic.Bytes)
		for _, id := range slices.Sorted(maps.Keys(topic.Queues)) {
			c := topic.Queues[id]
			fmt.Fprintf(t, "\t%d\t\t%d\t%d\n", id, c.Messages, c.Bytes)
		}
		for _, tag := range largest(topic.Tags, func(c *Count) Count { return *c }, limit) {
			if c := topic.Tags[tag]; tag != "" {
				fmt.Fprintf(t, "\t\t%s\t%d\t%d\n", tag, c.Messages, c.Bytes)
			}
		}
	}
	fmt.Fprintf(t, "\t\t\t\t\nBODY UP TO\t\t\tMESSAGES\tBYTES\n")
	for _, z := range s.Sizes {
		fmt.Fprintf(t, "%d\t\t\t%d\t%d\n", z.Max, z.Messages, z.Bytes)
	}
	fmt.Fprintf(t, "\t\t\t\t\nSTORED FROM\t\tA SECOND\tMESSAGES\tBYTES\n")
	times := s.Times
	if limit > 0 && len(times) > limit {
		times = times[len(times)-limit:]
	}
	for _, x := range times {
		fmt.Fprintf(t, "%s\t\t%.1f\t%d\t%d\n", stamp(x.Begin), float64(x.Messages)*1000/float64(s.Step), x.Messages, x.Bytes)
	}
	return t.Flush()
}

// largest are the keys of m with the most bytes, at most limit if that is not 0.
func largest[V any](m map[string]V, count func(V) Count, limit int) []string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(count(m[b]).Bytes, count(m[a]).Bytes), cmp.Compare(a, b))
	})
	if limit > 0 && len(names) > limit {
		names = names[:limit]
	}
	return names
}
