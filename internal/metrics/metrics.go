// Package metrics shows the figures of a server to Prometheus, at GET /metrics. It hides the text format, the bounds and the HTTP
// server. Figures are functions that are called when somebody looks: nothing is counted for them, and nothing runs while nobody
// does.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Kind says what the values of a metric are.
type Kind string

// The kinds.
const (
	Counter Kind = "counter" // a sum since the start
	Gauge   Kind = "gauge"   // as it is now
)

// Metric is a figure, or several that differ in their labels.
type Metric struct {
	Name string // with its unit and, for a counter, _total
	Kind Kind
	Help string
	Keys []string // of the labels of its values, besides Options.Labels
	// Values calls tell for each value, always in the same order: of too many the first are shown. It may be called by several
	// goroutines at a time, and must not keep tell.
	Values func(tell Tell)
}

// Tell takes a value, with a label for each of Metric.Keys.
type Tell func(value int64, labels ...string)

// Label is a label and its value.
type Label struct{ Key, Value string }

// Options are the settings of an exporter.
type Options struct {
	Labels []Label // of all values
	Limit  int     // values of one metric; of a counter the rest is added up in one more, the rest of a gauge is left out
	Log    *slog.Logger
}

// Bounds on who looks.
const (
	maxLooks  = 4                // at a time
	readTime  = 10 * time.Second // for a request
	writeTime = time.Minute      // for an answer
	idleTime  = 5 * time.Minute  // between the requests of a connection
	maxHeader = 16 << 10         // bytes
)

// Exporter serves metrics on a port of its own. The methods of a nil one do nothing.
type Exporter struct {
	listener net.Listener
	server   http.Server
	page     page
	looks    chan struct{} // has an element for each look in progress
}

// New binds addr, "host:port". The exporter serves from Serve on.
func New(addr string, o Options, all []Metric) (*Exporter, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	e := &Exporter{listener: l, page: newPage(o, all), looks: make(chan struct{}, maxLooks)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", e.look)
	e.server = http.Server{Handler: mux, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn)}
	return e, nil
}

// Addr is where the exporter listens, "host:port"; "" if there is none.
func (e *Exporter) Addr() string {
	if e == nil {
		return ""
	}
	return e.listener.Addr().String()
}

// Serve serves until Shutdown is called, and then returns nil, or until the port fails.
func (e *Exporter) Serve() error {
	if e == nil {
		return nil
	}
	if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %s: %w", e.Addr(), err)
	}
	return nil
}

// Shutdown lets looks end until ctx does, and cuts off the others. When it returns none of Metric.Values is called any more.
func (e *Exporter) Shutdown(ctx context.Context) {
	if e == nil {
		return
	}
	if e.server.Shutdown(ctx) != nil {
		e.server.Close()
	}
	e.listener.Close()   // for one that never served
	for range maxLooks { // handlers of connections that were cut off
		e.looks <- struct{}{}
	}
}

func (e *Exporter) look(w http.ResponseWriter, _ *http.Request) {
	select {
	case e.looks <- struct{}{}:
		defer func() { <-e.looks }()
	default:
		http.Error(w, fmt.Sprintf("%d others are looking", maxLooks), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_ = e.page.write(w) // the other side has gone
}
