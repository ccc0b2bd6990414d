package broker

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/skuamq/skua/internal/store"
)

// putClasses are the classes of put times that runtime information shows: name and upper bound, ms.
var putClasses = [...]struct {
	name  string
	limit int64
}{
	{"<=0ms", 0}, {"0~10ms", 10}, {"10~50ms", 50}, {"50~100ms", 100}, {"100~200ms", 200}, {"200~500ms", 500}, {"500ms~1s", 1000},
	{"1~2s", 2000}, {"2~3s", 3000}, {"3~4s", 4000}, {"4~5s", 5000}, {"5~10s", 10_000}, {"10s~", math.MaxInt64},
}

// latencies remembers how long puts took in the minute before.
type latencies struct {
	mu     sync.Mutex
	rolled time.Time
	whole  bool           // a minute has passed
	before store.PutTimes // at the start of the window
	now    store.PutTimes // at its end
}

// roll begins a new window each minute. It is to be called each second.
func (l *latencies) roll(now time.Time, of *store.Store) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.rolled.IsZero():
		l.rolled = now
	case now.Sub(l.rolled) >= time.Minute:
		l.rolled, l.whole, l.before, l.now = now, true, l.now, of.PutTimes()
	}
}

// counts are the puts of the last whole minute by store.PutBounds; of the time since the start if there was none yet.
func (l *latencies) counts(of *store.Store) (classes [len(store.PutBounds) + 1]int64, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now
	if !l.whole {
		now = of.PutTimes()
	}
	for i := range classes {
		classes[i] = now.Classes[i] - l.before.Classes[i]
		total += classes[i]
	}
	return classes, total
}

// add adds what runtime information tells of put times.
func (l *latencies) add(t map[string]string, of *store.Store) {
	classes, total := l.counts(of)
	t["putMessageDistributeTime"] = distribution(classes[:])
	t["putMessageEntireTimeMax"] = strconv.FormatInt(of.PutTimes().Max.Milliseconds(), 10)
	t["putLatency99"] = fmt.Sprintf("%.2f", percentile(classes[:], total, 0.99))
	t["putLatency999"] = fmt.Sprintf("%.2f", percentile(classes[:], total, 0.999))
}

// distribution spells counts by store.PutBounds in the classes that tools know.
func distribution(counts []int64) string {
	var b strings.Builder
	at := 0
	for _, c := range putClasses {
		n := int64(0)
		for ; at < len(counts) && (c.limit == math.MaxInt64 || at < len(store.PutBounds) && store.PutBounds[at] <= c.limit); at++ {
			n += counts[at]
		}
		fmt.Fprintf(&b, "[%s]:%d ", c.name, n)
	}
	return b.String()
}

// percentile is the upper bound, ms, of the class in which the p-th part of total ends.
func percentile(classes []int64, total int64, p float64) float64 {
	left := int64(float64(total) * p)
	for i, n := range classes {
		if left -= n; left <= 0 {
			return float64(store.PutBounds[min(i, len(store.PutBounds)-1)])
		}
	}
	return 0
}

// readCold is attempt for messages that are to be read from the disk. Others take no time worth measuring.
func (b *Broker) readCold(p *pull, mayHold bool) {
	begin := time.Now()
	b.cold.run(p.call, func() {
		p.attempt(mayHold)
		took := int64(time.Since(begin))
		for old := b.slowest.Load(); took > old && !b.slowest.CompareAndSwap(old, took); old = b.slowest.Load() {
		}
	})
}
