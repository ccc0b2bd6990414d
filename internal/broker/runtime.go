package broker

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/wire"
)

// runtimeInfo serves GET_BROKER_RUNTIME_INFO: a table of figures that mqadmin, the dashboard and exporters parse. Figures
// of thread pools, which Skua has none of, are there with the value of an idle pool.
func (b *Broker) runtimeInfo(f *wire.Frame) {
	answer(f, command.KVTable{Table: b.runtimeTable(b.now())})
}

func (b *Broker) runtimeTable(now time.Time) map[string]string {
	t := map[string]string{
		"brokerVersionDesc": "V5_5_0",
		"brokerVersion":     strconv.Itoa(command.V5_5_0),
		"brokerActive":      "true",
		"bootTimestamp":     strconv.FormatInt(b.stats.started.UnixMilli(), 10),
		"runtime":           uptime(now.Sub(b.stats.started)),

		"startAcceptSendRequestTimeStamp": strconv.FormatInt(b.options.Load().StartAcceptSendRequestTimeStamp, 10),
	}
	b.addTraffic(t)
	b.addStore(t)
	b.latencies.add(t, b.store)
	b.addSchedule(t)
	b.addTransactions(t)
	b.addBlockages(t, now)
	b.wheel.addRuntime(t, now)
	t["pullThreadPoolQueueSize"] = strconv.Itoa(b.cold.waiting())
	t["queryThreadPoolQueueSize"] = strconv.Itoa(b.admin.waiting())
	b.addIdlePools(t)
	return t
}

// uptime spells a duration as Java does.
func uptime(d time.Duration) string {
	s := int64(d / time.Second)
	return fmt.Sprintf("[ %d days, %d hours, %d minutes, %d seconds ]", s/86400, s/3600%24, s/60%60, s%60)
}

func (b *Broker) addTraffic(t map[string]string) {
	s := b.stats
	number := func(key string, n int64) { t[key] = strconv.FormatInt(n, 10) }
	yesterday, today := s.mornings()
	put, bytes := s.put.sum.Load(), s.putBytes.Load()
	number("msgPutTotalYesterdayMorning", yesterday.put)
	number("msgPutTotalTodayMorning", today.put)
	number("msgPutTotalTodayNow", put)
	number("msgGetTotalYesterdayMorning", yesterday.got)
	number("msgGetTotalTodayMorning", today.got)
	number("msgGetTotalTodayNow", s.got.sum.Load())
	number("putMessageTimesTotal", put)
	number("putMessageFailedTimes", s.putFailed.Load())
	number("putMessageSizeTotal", bytes)
	t["putMessageAverageSize"] = strconv.FormatFloat(float64(bytes)/float64(max(put, 1)), 'f', -1, 64)

	t["putTps"] = s.rate(func(t totals) int64 { return t.put }).String()
	t["getFoundTps"] = s.rate(func(t totals) int64 { return t.getFound }).String()
	t["getMissTps"] = s.rate(func(t totals) int64 { return t.getMiss }).String()
	t["getTotalTps"] = s.rate(func(t totals) int64 { return t.getFound + t.getMiss }).String()
	t["getTransferredTps"] = s.rate(func(t totals) int64 { return t.got }).String()
}

func (b *Broker) addStore(t map[string]string) {
	number := func(key string, n int64) { t[key] = strconv.FormatInt(n, 10) }
	number("commitLogMinOffset", int64(b.store.Min()))
	number("commitLogMaxOffset", int64(b.store.Max()))
	number("dispatchBehindBytes", b.store.IndexBehind())
	t["storeState"] = storeState(b.store.Refused())
	t["remainHowManyDataToFlush"] = humanSize(int64(b.store.Max() - b.store.Durable()))
	earliest, ok := b.store.EarliestTime()
	if !ok {
		earliest = -1
	}
	number("earliestMessageTimeStamp", earliest)
	ratio := func(u store.DiskUsage) string { return strconv.FormatFloat(u.Ratio(), 'f', 2, 64) }
	for _, u := range b.store.Usages() {
		t["commitLogDiskRatio_"+u.Path] = ratio(u)
	}
	u := b.store.Usage()
	t["commitLogDiskRatio"], t["consumeQueueDiskRatio"] = ratio(u), ratio(b.store.QueueUsage())
	t["commitLogDirCapacity"] = fmt.Sprintf("Total : %s, Free : %s.", humanSize(u.Total), humanSize(u.Total-u.Used))
}

// storeState is what runtime information tells of the store, in a key that Java does not have: that it takes messages, or
// why it does not and what to do.
func storeState(r *store.RefusedError) string {
	if r == nil {
		return "accepting messages"
	}
	return "refusing messages: " + strings.TrimPrefix(r.Error(), "store: refused, ")
}

func (b *Broker) addSchedule(t map[string]string) {
	for i := range b.schedule.next {
		if next, end := b.schedule.progress(i); end > 0 {
			t["scheduleMessageOffset_"+strconv.Itoa(i+1)] = fmt.Sprintf("%d,%d", next, end)
		}
	}
}

// addTransactions adds, in keys that Java does not have, how many half messages wait, and the producer groups that nobody
// can be asked for about theirs.
func (b *Broker) addTransactions(t map[string]string) {
	halves, alone := b.transactions.waiting()
	t["halfMessages"] = strconv.FormatInt(halves, 10)
	slices.Sort(alone)
	t["transactionGroupsWithoutProducer"] = strings.Join(alone, ",")
}

// addIdlePools adds what tools look for and what has no counterpart here.
func (b *Broker) addIdlePools(t map[string]string) {
	idle := func(key, value string) {
		if t[key] == "" {
			t[key] = value
		}
	}
	for pool, capacity := range map[string]string{"send": "10000", "pull": "100000", "litePull": "100000", "query": "20000", "ack": "100000"} {
		idle(pool+"ThreadPoolQueueSize", "0")
		idle(pool+"ThreadPoolQueueCapacity", capacity)
		idle(pool+"ThreadPoolQueueHeadWaitTimeMills", "0")
	}
	for key, value := range map[string]string{
		"EndTransactionQueueSize": "0", "EndTransactionThreadPoolQueueCapacity": "100000", "dispatchMaxBuffer": "0",
		"remainTransientStoreBufferNumbs": "2147483647", "pageCacheLockTimeMills": "0", "timerReadBehind": "0",
		"timerOffsetBehind": "0", "timerCongestNum": "0", "timerEnqueueTps": "0.0", "timerDequeueTps": "0.0",
		"getMessageEntireTimeMax": strconv.FormatInt(time.Duration(b.slowest.Load()).Milliseconds(), 10),
	} {
		idle(key, value)
	}
}

// humanSize spells a number of bytes in the largest unit that leaves at least 1.
func humanSize(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
