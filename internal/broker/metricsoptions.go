package broker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/skuamq/skua/internal/conf"
	"github.com/skuamq/skua/internal/metrics"
)

// MetricsOptions are the settings of the metrics exporter.
type MetricsOptions struct {
	// How the broker shows its metrics. DISABLE: not at all. PROM: to Prometheus, at GET /metrics of a port of its own. OTLP_GRPC
	// and LOG: a later release.
	MetricsExporterType string `key:"metricsExporterType" default:"DISABLE" oneOf:"DISABLE PROM OTLP_GRPC LOG"`
	// Port for that. 0: a free one, which the log names.
	MetricsPromExporterPort int32 `key:"metricsPromExporterPort" default:"5557" min:"0" max:"65535"`
	// Address to listen on for that. Empty: as bindAddress.
	MetricsPromExporterHost string `key:"metricsPromExporterHost" default:""`
	// Labels that all metrics get besides their own: key:value pairs separated by commas.
	MetricsLabel string `key:"metricsLabel" default:""`
	// Most values of one metric, such as topics. The counters of further ones are added up in one value with the label
	// otel_metric_overflow.
	MetricsOtelCardinalityLimit int32 `key:"metricsOtelCardinalityLimit" default:"50000" min:"2"`

	// Whether rocketmq_broker_permission, rocketmq_topic_number, rocketmq_consumer_group_number and
	// rocketmq_processor_watermark are shown.
	EnableStatsMetrics bool `key:"enableStatsMetrics" default:"true"`
	// Whether messages and bytes of topics and groups are shown, rocketmq_messages_in_total and the like.
	EnableRequestMetrics bool `key:"enableRequestMetrics" default:"true"`
	// Whether the numbers of connected producers and consumers are shown.
	EnableConnectionMetrics bool `key:"enableConnectionMetrics" default:"true"`
	// Whether it is shown how far consumer groups are behind, and their dead letters.
	EnableLagAndDlqMetrics bool `key:"enableLagAndDlqMetrics" default:"true"`
	// Whether rocketmq_half_messages is shown.
	EnableTransactionMetrics bool `key:"enableTransactionMetrics" default:"true"`
	// Whether the state of the store and of timed messages is shown, but for skua_store_refuses, which always is.
	EnableMessageStoreMetrics bool `key:"enableMessageStoreMetrics" default:"true"`
}

// exporterProm is the metricsExporterType of Prometheus.
const exporterProm = "PROM"

// checkMetrics returns an error for the first of the settings that makes no sense.
func (o *Options) checkMetrics() error {
	if o.MetricsExporterType == "OTLP_GRPC" || o.MetricsExporterType == "LOG" {
		return conf.Misfit(o, "metricsExporterType", "DISABLE or PROM: the others are not in this release")
	}
	if _, err := o.metricsLabels(); err != nil {
		return conf.Misfit(o, "metricsLabel", "key:value pairs separated by commas: %v", err)
	}
	return nil
}

// metricsLabels are the labels of all metrics.
func (o *Options) metricsLabels() ([]metrics.Label, error) {
	all := []metrics.Label{{Key: "cluster", Value: o.BrokerClusterName}, {Key: "node_type", Value: "broker"}, {Key: "node_id", Value: o.BrokerName},
		{Key: "otel_scope_name", Value: "broker-meter"}} // the last is there because Java's library adds it
	taken := slices.Clone(metricKeys)
	for _, l := range all {
		taken = append(taken, l.Key)
	}
	for pair := range strings.SplitSeq(o.MetricsLabel, ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, ":")
		switch key = strings.TrimSpace(key); {
		case !ok:
			return nil, fmt.Errorf("%q has no colon", pair)
		case !labelKey(key):
			return nil, fmt.Errorf("%q cannot be a key, which has letters, digits and _ and does not begin with a digit or __", key)
		case slices.Contains(taken, key):
			return nil, fmt.Errorf("%q is the key of another label", key)
		}
		all, taken = append(all, metrics.Label{Key: key, Value: strings.TrimSpace(value)}), append(taken, key)
	}
	return all, nil
}

// labelKey reports whether Prometheus takes a key that users can choose.
func labelKey(key string) bool {
	for i, c := range []byte(key) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return key != "" && !strings.HasPrefix(key, "__")
}
