package interop

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/skuamq/skua/interop/cluster"
)

// notMeasured are the metrics of Java's that Skua does not have; docs/differences.md names them.
var notMeasured = []string{
	"rocketmq_consumer_group_create_execution_time_milliseconds", "rocketmq_consumer_lag_latency_milliseconds", "rocketmq_consumer_queueing_latency_milliseconds",
	"rocketmq_delay_message_latency_seconds", "rocketmq_message_size", "rocketmq_pop_buffer_scan_time_consume_milliseconds", "rocketmq_pop_checkpoint_buffer_size",
	"rocketmq_pop_offset_buffer_size", "rocketmq_pop_revive_lag_milliseconds", "rocketmq_pop_revive_latency_milliseconds", "rocketmq_rpc_latency_milliseconds",
	"rocketmq_timer_enqueue_latency_milliseconds", "rocketmq_timer_enqueue_total", "rocketmq_topic_create_execution_time_milliseconds", "target_info",
}

// measured starts a broker that shows metrics, does a little of everything, and returns what it shows when want is there.
func measured(t *testing.T, side cluster.Side, want string) map[string]*dto.MetricFamily {
	port := cluster.FreePort()
	names, broker := private(t, side, side, "metricsExporterType=PROM", fmt.Sprintf("metricsPromExporterPort=%d", port), "metricsLabel=rack:r1,zone:z2",
		"timerWheelEnable=true", "autoCreateTopicEnable=true", "transactionTimeOut=600000")
	name := topic(t, names, broker, "Measured", 1)
	p := javaProgram(t, names, "Measured", nil, name, "MeasuredGroup")
	if err := p.WaitFor(within(t), "READY"); err != nil {
		t.Fatal(err)
	}
	var shown map[string]*dto.MetricFamily
	eventually(t, time.Minute, want+", and all offsets are committed", func() bool {
		shown = look(t, port)
		lag, known := labelled(shown["rocketmq_consumer_lag_messages"], "topic", "consumer_group")[name+" MeasuredGroup"]
		return shown[want] != nil && known && lag == 0
	})
	return shown
}

// look reads the metrics at a port as Prometheus does.
func look(t *testing.T, port int) map[string]*dto.MetricFamily {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatal(resp.Status, resp.Header)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// keys are the keys of the labels that the values of a metric have, sorted, each combination once.
func keys(f *dto.MetricFamily) []string {
	seen := map[string]bool{}
	for _, m := range f.Metric {
		var list []string
		for _, l := range m.Label {
			list = append(list, l.GetName())
		}
		slices.Sort(list)
		seen[strings.Join(list, " ")] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// labelled are the values of a metric by the labels of the given keys.
func labelled(f *dto.MetricFamily, wanted ...string) map[string]float64 {
	values := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, key := range wanted {
			for _, l := range m.Label {
				if l.GetName() == key {
					labels = append(labels, l.GetValue())
				}
			}
		}
		values[strings.Join(labels, " ")] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return values
}

// Metrics have Java's names, types, units and labels, and tell the same of the same work.
func TestMetrics(t *testing.T) {
	t.Parallel()
	const last = "rocketmq_send_to_dlq_messages_total"
	java, ours := measured(t, cluster.Java, last), measured(t, cluster.Skua, last)
	for name, f := range ours {
		if strings.HasPrefix(name, "skua_") {
			continue
		}
		theirs := java[name]
		if theirs == nil {
			t.Errorf("Java has no %s", name)
			continue
		}
		if f.GetType() != theirs.GetType() || !slices.Equal(keys(f), keys(theirs)) {
			t.Errorf("%s: %s with %v, in Java %s with %v", name, f.GetType(), keys(f), theirs.GetType(), keys(theirs))
		}
	}
	for name := range java {
		if ours[name] == nil && !slices.Contains(notMeasured, name) {
			t.Errorf("Skua has no %s", name)
		}
	}
	for _, c := range []struct {
		name, labels string
		keys         []string
	}{
		{"rocketmq_messages_in_total", "Measured normal false", []string{"topic", "message_type", "is_system"}},
		{"rocketmq_messages_in_total", "rmq_sys_wheel_timer delay true", []string{"topic", "message_type", "is_system"}},
		{"rocketmq_messages_in_total", "RMQ_SYS_TRANS_HALF_TOPIC transaction true", []string{"topic", "message_type", "is_system"}},
		{"rocketmq_messages_out_total", "Measured MeasuredGroup false", []string{"topic", "consumer_group", "is_system"}},
		{"rocketmq_consumer_lag_messages", "Measured MeasuredGroup false false", []string{"topic", "consumer_group", "is_retry", "is_system"}},
		{"rocketmq_consumer_connections", "MeasuredGroup java v5_5_0 push remoting false", []string{"consumer_group", "language", "version", "consume_mode", "protocol_type", "is_system"}},
		{"rocketmq_half_messages", "Measured", []string{"topic"}},
		{"rocketmq_timing_messages", "Measured", []string{"topic"}},
		{"rocketmq_timer_message_snapshot", "3600", []string{"timer_bound_s"}},
		{"rocketmq_broker_permission", "DefaultCluster broker broker-a broker-meter r1 z2", []string{"cluster", "node_type", "node_id", "otel_scope_name", "rack", "zone"}},
		{last, "Measured MeasuredGroup false", []string{"topic", "consumer_group", "is_system"}},
	} {
		a, b := labelled(java[c.name], c.keys...), labelled(ours[c.name], c.keys...)
		if _, ok := a[c.labels]; !ok || a[c.labels] != b[c.labels] {
			t.Errorf("%s: %v, in Java %v", c.name, b, a)
		}
	}
}
