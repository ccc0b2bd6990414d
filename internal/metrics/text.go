package metrics

import (
	"io"
	"strconv"
	"strings"
)

// overflow is the label of what is beyond Options.Limit, as OpenTelemetry has it.
const overflow = "otel_metric_overflow"

// page is what is shown: metrics in Prometheus' text format 0.0.4, which is made here, since the libraries that make it would be a
// quarter of the program.
//
//	# HELP name text
//	# TYPE name kind
//	name{key="value",key="value"} number
//
// In label values and help \, line feed and, in the former, " are escaped.
type page struct {
	common []byte // Options.Labels
	limit  int
	all    []Metric
}

func newPage(o Options, all []Metric) page {
	p := page{limit: o.Limit, all: all}
	for _, l := range o.Labels {
		p.common = appendLabel(p.common, l.Key, l.Value)
	}
	return p
}

// write writes the page, one metric after the other. While a figure is asked for nothing is written: who tells it may hold a lock.
func (p *page) write(w io.Writer) error {
	var b []byte
	for i := range p.all {
		b = p.append(b[:0], &p.all[i])
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// append appends a metric, nothing if it has no values.
func (p *page) append(b []byte, m *Metric) []byte {
	n, rest := 0, int64(0)
	m.Values(func(value int64, labels ...string) {
		if n++; n == 1 {
			b = append(b, "# HELP "+m.Name+" "+helpEscapes.Replace(m.Help)+"\n# TYPE "+m.Name+" "+string(m.Kind)+"\n"...)
		}
		if n >= p.limit {
			rest += value
			return
		}
		b = p.begin(b, m)
		for i, key := range m.Keys {
			b = appendLabel(b, key, labels[i])
		}
		b = end(b, value)
	})
	if n >= p.limit && m.Kind == Counter {
		b = end(appendLabel(p.begin(b, m), overflow, "true"), rest)
	}
	return b
}

func (p *page) begin(b []byte, m *Metric) []byte {
	return append(append(append(b, m.Name...), '{'), p.common...)
}

func end(b []byte, value int64) []byte {
	return append(strconv.AppendInt(append(b, "} "...), value, 10), '\n')
}

var (
	helpEscapes  = strings.NewReplacer("\\", `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`)
)

// appendLabel appends a label and a comma, which may also stand behind the last one.
func appendLabel(b []byte, key, value string) []byte {
	b = append(append(b, key...), '=', '"')
	b = append(b, labelEscapes.Replace(strings.ToValidUTF8(value, "\uFFFD"))...)
	return append(b, '"', ',')
}
