package broker

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/metrics"
	"github.com/skuamq/skua/internal/store"
	"github.com/skuamq/skua/internal/timer"
)

// Metrics have the names, labels and units of Java's, but for those that begin with skua_. All are figures that are there
// anyway, read when somebody looks.

// Keys of labels.
const (
	keyTopic       = "topic"
	keyGroup       = "consumer_group"
	keySystem      = "is_system"
	keyRetry       = "is_retry"
	keyMessageType = "message_type"
	keyLanguage    = "language"
	keyVersion     = "version"
	keyProtocol    = "protocol_type"
	keyMode        = "consume_mode"
	keyProcessor   = "processor"
	keyStorage     = "storage_type"
	keyMedium      = "storage_medium"
	keyBound       = "timer_bound_s"
	keyReason      = "reason"
)

// metricKeys are the keys of labels that metrics have of their own.
var metricKeys = []string{keyTopic, keyGroup, keySystem, keyRetry, keyMessageType, keyLanguage, keyVersion, keyProtocol, keyMode, keyProcessor, keyStorage,
	keyMedium, keyBound, keyReason}

// openMetrics binds the port of the metrics exporter, if there is to be one.
func (b *Broker) openMetrics(o *Options) error {
	if o.MetricsExporterType != exporterProm {
		return nil
	}
	labels, err := o.metricsLabels()
	if err != nil {
		return err
	}
	host := cmp.Or(o.MetricsPromExporterHost, o.BindAddress)
	b.exporter, err = metrics.New(net.JoinHostPort(host, strconv.Itoa(int(o.MetricsPromExporterPort))),
		metrics.Options{Labels: labels, Limit: int(o.MetricsOtelCardinalityLimit), Log: b.log}, b.metrics(o))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("metricsPromExporterPort=%d: the port is in use by another program: stop it, or set another port (%w)", o.MetricsPromExporterPort, err)
	case err != nil:
		return fmt.Errorf("metricsPromExporterHost=%s, metricsPromExporterPort=%d: cannot listen at %s: %w", o.MetricsPromExporterHost, o.MetricsPromExporterPort, host, err)
	}
	b.log.Info("metrics are shown to Prometheus", "at", "http://"+b.exporter.Addr()+"/metrics")
	return nil
}

// serveMetrics serves until the broker stops. Without metrics it goes on.
func (b *Broker) serveMetrics() {
	if err := b.exporter.Serve(); err != nil {
		b.log.Error("metrics are not shown any more", "error", err)
	}
}

// metrics are all that are wanted.
func (b *Broker) metrics(o *Options) []metrics.Metric {
	all := b.refusalMetrics()
	for _, part := range []struct {
		wanted  bool
		metrics func() []metrics.Metric
	}{
		{o.EnableMessageStoreMetrics, b.storeMetrics},
		{o.EnableMessageStoreMetrics && o.TimerWheelEnable, b.timerMetricsShown},
		{o.EnableStatsMetrics, b.sizeMetrics},
		{o.EnableRequestMetrics, b.trafficMetrics},
		{o.EnableConnectionMetrics, b.connectionMetrics},
		{o.EnableLagAndDlqMetrics, b.lagMetrics},
		{o.EnableTransactionMetrics, b.transactionMetrics},
	} {
		if part.wanted {
			all = append(all, part.metrics()...)
		}
	}
	return all
}

// gauge is a gauge with one value.
func gauge(name, help string, value func() int64) metrics.Metric {
	return metrics.Metric{Name: name, Kind: metrics.Gauge, Help: help, Values: func(tell metrics.Tell) { tell(value()) }}
}

// count is a counter with one value.
func count(name, help string, value func() int64) metrics.Metric {
	m := gauge(name, help, value)
	m.Kind = metrics.Counter
	return m
}

// onDisk are the labels of what is told of a store, as Java's tell that it is not a tiered one.
var onDisk = []string{"local", "disk"}

// stored makes a metric one of the store.
func stored(m metrics.Metric) metrics.Metric {
	m.Keys = append([]string{keyStorage, keyMedium}, m.Keys...)
	values := m.Values
	m.Values = func(tell metrics.Tell) {
		values(func(value int64, labels ...string) { tell(value, append(slices.Clip(onDisk), labels...)...) })
	}
	return m
}

// lasting are the reasons for which a store refuses everything for some time.
var lasting = []store.Reason{store.DiskFull, store.Failed, store.ReadOnly}

func (b *Broker) refusalMetrics() []metrics.Metric {
	return []metrics.Metric{
		{Name: "skua_store_refuses", Kind: metrics.Gauge, Help: "1 for the reason for which the store refuses all messages now, 0 for the others.", Keys: []string{keyReason},
			Values: func(tell metrics.Tell) {
				now := b.store.Refused()
				for _, r := range lasting {
					refuses := int64(0)
					if now != nil && now.Reason == r {
						refuses = 1
					}
					tell(refuses, r.String())
				}
			}},
		count("skua_refused_messages_total", "Messages that the store did not take, for whatever reason.", b.stats.putFailed.Load),
	}
}

func (b *Broker) storeMetrics() []metrics.Metric {
	size := func(of func(store.Sizes) int64) func() int64 {
		return func() int64 { return of(b.store.Sizes()) }
	}
	return []metrics.Metric{
		stored(gauge("rocketmq_storage_size_bytes", "What the commit log takes on the disk.", size(func(s store.Sizes) int64 { return s.Log }))),
		stored(gauge("rocketmq_storage_flush_behind_bytes", "What of the commit log is not on the disk yet.", size(func(s store.Sizes) int64 { return s.Unflushed }))),
		stored(gauge("rocketmq_storage_dispatch_behind_bytes", "What of the commit log is not indexed yet.", func() int64 { return b.store.IndexBehind() })),
		stored(metrics.Metric{Name: "rocketmq_storage_message_reserve_time_milliseconds", Kind: metrics.Gauge, Help: "Age of the oldest message.", Values: func(tell metrics.Tell) {
			if at, ok := b.store.EarliestTime(); ok {
				tell(max(b.now().UnixMilli()-at, 0))
			}
		}}),
		gauge("skua_staged_bytes", "What waits in the staging ring to be written to the commit log.", size(func(s store.Sizes) int64 { return s.Staged })),
		gauge("skua_staging_size_bytes", "What the staging ring holds; messages wait when it is full.", size(func(s store.Sizes) int64 { return s.Ring })),
		count("skua_append_waits_total", "Sends that had to wait for the disk.", func() int64 { return b.store.Stats().Waits }),
		count("skua_append_wait_milliseconds_total", "How long sends had to wait for the disk, all together.", func() int64 { return b.store.Stats().WaitTime / 1e6 }),
	}
}

func (b *Broker) timerMetricsShown() []metrics.Metric {
	return []metrics.Metric{
		stored(gauge("rocketmq_timer_enqueue_lag", "Timed messages that are not in the timer wheel yet.", func() int64 { return int64(max(b.wheel.queue.Max()-b.wheel.Queue(), 0)) })),
		stored(gauge("rocketmq_timer_dequeue_lag", "Timed messages that wait in the timer wheel.", func() int64 { return b.wheel.Pending() })),
		stored(gauge("rocketmq_timer_dequeue_latency_milliseconds", "How long the first message that is due has waited.", func() int64 { return b.wheel.Behind(b.now().UnixMilli()) })),
		stored(metrics.Metric{Name: "rocketmq_timing_messages", Kind: metrics.Gauge, Help: "Timed messages that wait, by topic.", Keys: []string{keyTopic}, Values: func(tell metrics.Tell) {
			topics, _ := b.wheel.Counts()
			for _, name := range slices.Sorted(maps.Keys(topics)) {
				tell(topics[name].Count, name)
			}
		}}),
		stored(metrics.Metric{Name: "rocketmq_timer_message_snapshot", Kind: metrics.Gauge, Help: "Timed messages that are due within so many seconds, and not within the next lower bound.",
			Keys: []string{keyBound}, Values: func(tell metrics.Tell) {
				n, err := b.wheel.ByDistance(b.now().UnixMilli())
				if err != nil {
					return // the timer itself meets it, and tells
				}
				for i, bound := range timer.Distances {
					tell(n[i], strconv.FormatInt(bound, 10))
				}
			}}),
	}
}

func (b *Broker) sizeMetrics() []metrics.Metric {
	return []metrics.Metric{
		gauge("rocketmq_broker_permission", "brokerPermission.", func() int64 { return int64(b.options.Load().BrokerPermission) }),
		gauge("rocketmq_topic_number", "Topics, those of the broker's own included.", func() int64 { return int64(b.topics.number()) }),
		gauge("rocketmq_consumer_group_number", "Consumer groups, connected or not.", func() int64 { return int64(b.groups.number()) }),
		{Name: "rocketmq_processor_watermark", Kind: metrics.Gauge, Help: "Requests that wait for a goroutine: of pulls those that read the disk.", Keys: []string{keyProcessor},
			Values: func(tell metrics.Tell) {
				tell(int64(b.admin.waiting()), "admin")
				tell(int64(b.cold.waiting()), "pull")
			}},
	}
}

func (b *Broker) trafficMetrics() []metrics.Metric {
	in := func(name, help string, of func(*topicStats) *counter) metrics.Metric {
		return metrics.Metric{Name: name, Kind: metrics.Counter, Help: help, Keys: []string{keyTopic, keyMessageType, keySystem}, Values: func(tell metrics.Tell) {
			for _, t := range b.stats.countedTopics() {
				tell(of(t.stats).sum.Load(), t.name, b.kindOf(t.name), strconv.FormatBool(b.topics.isSystem(t.name)))
			}
		}}
	}
	out := func(name, help string, of func(*groupStats) *counter) metrics.Metric {
		return metrics.Metric{Name: name, Kind: metrics.Counter, Help: help, Keys: []string{keyTopic, keyGroup, keySystem}, Values: b.groupCounts(of)}
	}
	return []metrics.Metric{
		in("rocketmq_messages_in_total", "Messages stored.", func(t *topicStats) *counter { return &t.put }),
		in("rocketmq_throughput_in_total", "Bytes of messages stored.", func(t *topicStats) *counter { return &t.putSize }),
		out("rocketmq_messages_out_total", "Messages handed to consumers.", func(g *groupStats) *counter { return &g.get }),
		out("rocketmq_throughput_out_total", "Bytes of messages handed to consumers.", func(g *groupStats) *counter { return &g.getSize }),
	}
}

// groupCounts tells a counter of each group and topic.
func (b *Broker) groupCounts(of func(*groupStats) *counter) func(metrics.Tell) {
	return func(tell metrics.Tell) {
		for _, g := range b.stats.countedGroups() {
			if c := of(g.stats); c.times.Load() > 0 {
				tell(c.sum.Load(), g.topic, g.group, b.system(g.topic, g.group))
			}
		}
	}
}

// system says whether a topic or a group belongs to the servers.
func (b *Broker) system(topic, group string) string {
	return strconv.FormatBool(b.topics.isSystem(topic) || skua.IsSystemGroup(group))
}

// kindOf is what kind of messages a topic is for, as a label. Messages are not counted by kind.
func (b *Broker) kindOf(topic string) string {
	kind := messageNormal
	switch t := b.topics.find(topic); {
	case topic == skua.ScheduleTopic, topic == skua.TimerTopic, skua.IsRetryTopic(topic):
		kind = messageDelay
	case topic == skua.HalfTopic, topic == skua.OpHalfTopic:
		kind = messageTransaction
	case t != nil:
		kind = cmp.Or(t.messageType, kind)
	}
	return strings.ToLower(kind)
}

func (b *Broker) connectionMetrics() []metrics.Metric {
	return []metrics.Metric{
		{Name: "rocketmq_producer_connections", Kind: metrics.Gauge, Help: "Connected producers, once for each of their groups.", Keys: []string{keyLanguage, keyVersion, keyProtocol},
			Values: func(tell metrics.Tell) {
				producers, _ := b.clients.census()
				for _, c := range producers {
					tell(int64(c.clients), strings.ToLower(c.language.String()), strings.ToLower(command.VersionName(c.version)), "remoting")
				}
			}},
		{Name: "rocketmq_consumer_connections", Kind: metrics.Gauge, Help: "Connected consumers, by group.",
			Keys: []string{keyGroup, keyLanguage, keyVersion, keyMode, keyProtocol, keySystem},
			Values: func(tell metrics.Tell) {
				_, consumers := b.clients.census()
				for _, c := range consumers {
					tell(int64(c.clients), c.group, strings.ToLower(c.language.String()), strings.ToLower(command.VersionName(c.version)), modes[c.kind], "remoting",
						strconv.FormatBool(skua.IsSystemGroup(c.group)))
				}
			}},
	}
}

// modes are the labels of how consumers get their messages.
var modes = map[command.ConsumeType]string{command.ConsumeActively: "pull", command.ConsumePassively: "push", command.ConsumePop: "pop"}

func (b *Broker) lagMetrics() []metrics.Metric {
	lag := func(name, help string, of func(groupLag) int64) metrics.Metric {
		return metrics.Metric{Name: name, Kind: metrics.Gauge, Help: help, Keys: []string{keyGroup, keyTopic, keyRetry, keySystem}, Values: func(tell metrics.Tell) {
			for _, s := range b.clients.subscribed() {
				if l, ok := b.lagOf(s.topic, s.group); ok {
					tell(of(l), s.group, s.topic, "false", b.system(s.topic, s.group))
				}
			}
		}}
	}
	return []metrics.Metric{
		lag("rocketmq_consumer_lag_messages", "Messages that a connected group has not consumed.", func(l groupLag) int64 { return l.ready + l.inflight }),
		lag("rocketmq_consumer_inflight_messages", "Messages that a connected group has got and not consumed.", func(l groupLag) int64 { return l.inflight }),
		lag("rocketmq_consumer_ready_messages", "Messages that a connected group has not got.", func(l groupLag) int64 { return l.ready }),
		{Name: "rocketmq_send_to_dlq_messages_total", Kind: metrics.Counter, Help: "Messages that groups gave up.", Keys: []string{keyTopic, keyGroup, keySystem},
			Values: b.groupCounts(func(g *groupStats) *counter { return &g.deadLetter })},
	}
}

// groupLag is how far a group is behind.
type groupLag struct{ inflight, ready int64 }

// lagOf is how far a group is behind with a topic, by offsets: messages that its condition leaves out count. It is false if
// there is no such topic, or the offsets are those of logical queues, of which others have a part.
func (b *Broker) lagOf(topic, group string) (l groupLag, ok bool) {
	t := b.topics.find(topic)
	if t == nil || t.mapping != nil || skua.IsRetryTopic(topic) {
		return l, false
	}
	for id := range t.WriteQueues {
		q := b.store.Find(t.bytes, id)
		if q == nil {
			continue // no message
		}
		end := q.Max()
		p := b.offsets.progress(t.bytes, []byte(group), id)
		if p.committed < 0 {
			continue // it keeps its offsets itself, or has not begun
		}
		pulled := min(max(p.pulled, p.committed), end)
		l.inflight += int64(max(pulled-p.committed, 0))
		l.ready += int64(end - pulled)
	}
	return l, true
}

func (b *Broker) transactionMetrics() []metrics.Metric {
	return []metrics.Metric{{Name: "rocketmq_half_messages", Kind: metrics.Gauge, Help: "Half messages that wait for their end, by topic.", Keys: []string{keyTopic}, Values: func(tell metrics.Tell) {
		for _, n := range b.transactions.counts.all() {
			tell(n.waiting, n.topic)
		}
	}}}
}
