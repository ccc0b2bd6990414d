package broker_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/store"
)

// openMeasured starts a broker that shows its metrics.
func openMeasured(t *testing.T, set ...string) *door {
	return openDoor(t, append([]string{"metricsExporterType", "PROM", "metricsPromExporterPort", "0"}, set...)...)
}

// metrics are what the broker shows: values by name and labels, without those that all have.
func (d *door) metrics() map[string]string {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "http://"+d.b.MetricsAddr()+"/metrics", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatal(resp.Status, err)
	}
	all := map[string]string{}
	const common = `cluster="DefaultCluster",node_type="broker",node_id="b",otel_scope_name="broker-meter",`
	for line := range strings.Lines(string(body)) {
		if line[0] == '#' {
			continue
		}
		if !strings.Contains(line, common) {
			d.t.Errorf("labels are missing: %s", line)
		}
		name, value, _ := strings.Cut(strings.Replace(line, common, "", 1), "} ")
		all[name+"}"] = strings.TrimSpace(value)
	}
	return all
}

// shows compares some metrics with what they should be.
func (d *door) shows(want map[string]string) {
	d.t.Helper()
	got := d.metrics()
	for name, value := range want {
		if got[name] != value {
			d.t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	if d.t.Failed() {
		d.t.Logf("%q", got)
	}
}

// The reason for which the store refuses messages is shown while it does.
func TestMetricsOfFullDisk(t *testing.T) {
	d := openMeasured(t)
	d.close()
	var full atomic.Bool
	d.o.EditStore(func(o *store.Options) {
		o.Usage = func(dir string) (store.DiskUsage, error) {
			u := store.DiskUsage{Path: dir, Used: 10, Total: 1 << 40}
			if full.Load() {
				u.Used = u.Total - 1
			}
			return u, nil
		}
	})
	d.start()
	refuses := func(reason string) string { return d.metrics()[fmt.Sprintf("skua_store_refuses{reason=%q,}", reason)] }
	d.peer.send("T", "first")
	d.shows(map[string]string{`skua_store_refuses{reason="disk full",}`: "0", `skua_refused_messages_total{}`: "0"})
	full.Store(true)
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("fileReservedTime=71")) // has the broker look at the disk
	until(t, "the reason is shown", func() bool { return refuses("disk full") == "1" })
	if answer := d.peer.call(command.SendMessageV2, sendHeader("T"), []byte("x")); answer.Code == 0 {
		t.Error("a send succeeded")
	}
	d.shows(map[string]string{`skua_store_refuses{reason="disk failed",}`: "0", `skua_refused_messages_total{}`: "1"})
	full.Store(false)
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("fileReservedTime=72"))
	until(t, "it is gone", func() bool { return refuses("disk full") == "0" })
	d.peer.send("T", "second")
}

func TestMetricsOfFailedDisk(t *testing.T) {
	disk := new(slowDisk)
	d := openMeasured(t)
	d.close()
	d.o.FlushDiskType = "SYNC_FLUSH"
	d.o.EditStore(func(o *store.Options) { o.Faults.Sync = disk.sync })
	d.start()
	d.peer.send("T", "first")
	disk.set(nil, syscall.EIO)
	if answer := d.peer.call(command.SendMessageV2, sendHeader("T"), []byte("x")); answer.Code == 0 {
		t.Error("a send succeeded")
	}
	d.shows(map[string]string{`skua_store_refuses{reason="disk failed",}`: "1", `skua_store_refuses{reason="disk full",}`: "0", `skua_store_refuses{reason="read-only",}`: "0"})
	if err := d.b.Shutdown(t.Context()); err == nil {
		t.Error("the stop says that all is well")
	}
	<-d.done
	d.done = nil
	d.peer.pool.Close()
}

// Messages, groups, clients and what waits are shown as they are.
func TestMetrics(t *testing.T) {
	d := openMeasured(t, "metricsLabel", "rack:r1, zone : z2")
	before := d.metrics()
	d.peer.send("T", "a")
	d.peer.send("T", "b")
	d.peer.send("T", "later", "TIMER_DELAY_SEC", "1000")
	d.peer.send("T", "half", skua.PropTransactionPrepared, "true", skua.PropUniqueKey, "U")
	d.peer.must(command.UpdateAndCreateSubscriptiongroup, nil, command.DefaultGroupConfig("G"))
	beat := command.HeartbeatData{ClientID: "c", Producers: []command.ProducerData{{Group: "P"}, {Group: "P2"}},
		Consumers: []command.ConsumerData{{Group: "G", Type: command.ConsumePassively, Model: command.Clustering, FromWhere: command.FromFirstOffset,
			Subscriptions: []command.SubscriptionData{{Topic: "T", Expression: "*", Version: 1}}}}}
	d.peer.must(command.HeartBeat, nil, beat)
	if got := d.peer.must(command.PullMessage, &command.PullHeader{Group: []byte("G"), Topic: []byte("T"), MaxMessages: 32, Subscription: []byte("*")}, nil); len(got.Body) == 0 {
		t.Error("nothing pulled")
	}
	d.peer.must(command.UpdateConsumerOffset, &command.OffsetHeader{Group: []byte("G"), Topic: []byte("T"), CommitOffset: 1, HasCommit: true, HasQueueID: true}, nil)
	d.peer.send("T", "c")
	until(t, "the timed message is in the wheel", func() bool {
		return d.metrics()[`rocketmq_timer_dequeue_lag{rack="r1",zone="z2",storage_type="local",storage_medium="disk",}`] == "1"
	})
	const all, disk = `rack="r1",zone="z2",`, `rack="r1",zone="z2",storage_type="local",storage_medium="disk",`
	version := strings.ToLower(command.VersionName(command.V5_5_0))
	d.shows(map[string]string{
		`rocketmq_messages_in_total{` + all + `topic="T",message_type="normal",is_system="false",}`:                                                                            "3",
		`rocketmq_messages_in_total{` + all + `topic="rmq_sys_wheel_timer",message_type="delay",is_system="true",}`:                                                            "1",
		`rocketmq_messages_in_total{` + all + `topic="RMQ_SYS_TRANS_HALF_TOPIC",message_type="transaction",is_system="true",}`:                                                 "1",
		`rocketmq_messages_out_total{` + all + `topic="T",consumer_group="G",is_system="false",}`:                                                                              "2",
		`rocketmq_consumer_lag_messages{` + all + `consumer_group="G",topic="T",is_retry="false",is_system="false",}`:                                                          "2",
		`rocketmq_consumer_inflight_messages{` + all + `consumer_group="G",topic="T",is_retry="false",is_system="false",}`:                                                     "1",
		`rocketmq_consumer_ready_messages{` + all + `consumer_group="G",topic="T",is_retry="false",is_system="false",}`:                                                        "1",
		`rocketmq_producer_connections{` + all + `language="go",version="` + version + `",protocol_type="remoting",}`:                                                          "2",
		`rocketmq_consumer_connections{` + all + `consumer_group="G",language="go",version="` + version + `",consume_mode="push",protocol_type="remoting",is_system="false",}`: "1",
		`rocketmq_half_messages{` + all + `topic="T",}`:                                                                                                                        "1",
		`rocketmq_timing_messages{` + disk + `topic="T",}`:                                                                                                                     "1",
		`rocketmq_timer_message_snapshot{` + disk + `timer_bound_s="3600",}`:                                                                                                   "1",
		`rocketmq_timer_message_snapshot{` + disk + `timer_bound_s="60",}`:                                                                                                     "0",
		`rocketmq_broker_permission{` + all + `}`:                                                                                                                              "6",
		`rocketmq_processor_watermark{` + all + `processor="pull",}`:                                                                                                           "0",
		`skua_staging_size_bytes{` + all + `}`:                                                                                                                                 fmt.Sprint(32 << 20),
		`skua_append_waits_total{` + all + `}`:                                                                                                                                 "0",
	})
	after := d.metrics()
	if from, to := before[`rocketmq_topic_number{`+all+`}`], after[`rocketmq_topic_number{`+all+`}`]; from == to || from == "" {
		t.Errorf("%s topics, then %s", from, to)
	}
	for _, name := range []string{"storage_size_bytes", "storage_flush_behind_bytes", "storage_dispatch_behind_bytes", "storage_message_reserve_time_milliseconds", "timer_enqueue_lag"} {
		if after["rocketmq_"+name+"{"+disk+"}"] == "" {
			t.Errorf("no %s", name)
		}
	}
	if d.restart(); d.metrics()[`rocketmq_consumer_connections{`+all+`consumer_group="G",}`] != "" {
		t.Error("a connection is left")
	}
}

// Nothing listens unless asked to, and parts can be switched off.
func TestMetricsSwitches(t *testing.T) {
	if at := openDoor(t).b.MetricsAddr(); at != "" {
		t.Errorf("metrics at %s", at)
	}
	d := openMeasured(t, "enableStatsMetrics", "false", "enableRequestMetrics", "false", "enableConnectionMetrics", "false", "enableLagAndDlqMetrics", "false",
		"enableTransactionMetrics", "false", "enableMessageStoreMetrics", "false")
	d.peer.send("T", "x")
	if got := d.metrics(); len(got) != len(lastingReasons)+1 {
		t.Errorf("%v", got)
	}
}

var lastingReasons = []string{"disk full", "disk failed", "read-only"}

// A start that cannot show metrics says which key is wrong, its value, and what would do.
func TestMetricsThatCannotBeShown(t *testing.T) {
	d := openDoor(t)
	d.close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := other.Addr().(*net.TCPAddr).Port
	for _, c := range []struct {
		kind, host, label string
		port              int
		want              []string
	}{
		{kind: "PROM", port: taken, want: []string{fmt.Sprintf("metricsPromExporterPort=%d", taken), "in use by another program", "set another port"}},
		{kind: "PROM", host: "192.0.2.1", want: []string{"metricsPromExporterHost=192.0.2.1", "cannot"}},
		{kind: "OTLP_GRPC", want: []string{"metricsExporterType=OTLP_GRPC", "DISABLE or PROM", "not in this release"}},
		{kind: "LOG", want: []string{"metricsExporterType=LOG"}},
		{kind: "PROM", label: "a:b,c", want: []string{"metricsLabel=a:b,c", `"c" has no colon`}},
		{kind: "PROM", label: "topic:b", want: []string{`"topic" is the key of another label`}},
		{kind: "PROM", label: "a:b,a:c", want: []string{`"a" is the key of another label`}},
		{kind: "PROM", label: "k8s.pod:b", want: []string{`"k8s.pod" cannot be a key`}},
	} {
		d.o.MetricsExporterType, d.o.MetricsPromExporterHost, d.o.MetricsPromExporterPort, d.o.MetricsLabel = c.kind, c.host, int32(c.port), c.label
		err := d.failsToStart()
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing in: %v", want, err)
			}
		}
	}
	d.o.MetricsExporterType, d.o.MetricsPromExporterHost, d.o.MetricsPromExporterPort, d.o.MetricsLabel = "PROM", "", 0, ""
	d.start() // what failed has left nothing open
	d.metrics()
}
