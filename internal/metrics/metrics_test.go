package metrics

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func text(o Options, all ...Metric) string {
	p := newPage(o, all)
	var b strings.Builder
	_ = p.write(&b)
	return b.String()
}

func numbered(kind Kind, n int) Metric {
	return Metric{Name: "sizes", Kind: kind, Help: "Several.", Keys: []string{"n"}, Values: func(tell Tell) {
		for i := range n {
			tell(int64(i), fmt.Sprint(i))
		}
	}}
}

func TestText(t *testing.T) {
	odd := Metric{Name: "odd_total", Kind: Counter, Help: "With \\ and\nline feed.", Keys: []string{"a", "b"}, Values: func(tell Tell) {
		tell(-1_500_000_000_000, "quoted \"\\\n", "not UTF-8 \xff")
	}}
	none := Metric{Name: "none", Kind: Gauge, Values: func(Tell) {}}
	got := text(Options{Labels: []Label{{"cluster", "c"}}, Limit: 10}, none, odd, numbered(Gauge, 2))
	want := `# HELP odd_total With \\ and\nline feed.
# TYPE odd_total counter
odd_total{cluster="c",a="quoted \"\\\n",b="not UTF-8 ` + "\uFFFD" + `",} -1500000000000
# HELP sizes Several.
# TYPE sizes gauge
sizes{cluster="c",n="0",} 0
sizes{cluster="c",n="1",} 1
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Of too many values the first are shown; of a counter nothing is lost from the sum.
func TestLimit(t *testing.T) {
	for _, c := range []struct {
		kind   Kind
		values int
		want   string
	}{
		{Counter, 2, `sizes{n="0",} 0 sizes{n="1",} 1`},
		{Counter, 5, `sizes{n="0",} 0 sizes{n="1",} 1 sizes{otel_metric_overflow="true",} 9`},
		{Gauge, 5, `sizes{n="0",} 0 sizes{n="1",} 1`},
	} {
		got := strings.Split(strings.TrimSpace(text(Options{Limit: 3}, numbered(c.kind, c.values))), "\n")
		if shown := strings.Join(got[2:], " "); shown != c.want {
			t.Errorf("%s, %d values: %s, want %s", c.kind, c.values, shown, c.want)
		}
	}
}

func get(t *testing.T, method, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b)
}

// Others than GET /metrics are refused, and so is who looks while enough others do; Shutdown waits for them.
func TestServe(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := Metric{Name: "slow", Kind: Gauge, Values: func(tell Tell) {
		asked <- struct{}{}
		<-answer
		tell(7)
	}}
	e, err := New("127.0.0.1:0", Options{Limit: 10, Log: slog.New(slog.DiscardHandler)}, []Metric{slow})
	if err != nil {
		t.Fatal(err)
	}
	served, url := make(chan error), "http://"+e.Addr()
	go func() { served <- e.Serve() }()
	if s, _ := get(t, "POST", url+"/metrics"); s != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", s)
	}
	if s, _ := get(t, "GET", url+"/"); s != http.StatusNotFound {
		t.Errorf("another path: %d", s)
	}
	looks := make(chan string)
	for range maxLooks {
		go func() {
			_, body := get(t, "GET", url+"/metrics")
			looks <- body
		}()
		<-asked
	}
	if s, _ := get(t, "GET", url+"/metrics"); s != http.StatusServiceUnavailable {
		t.Errorf("one more: %d", s)
	}
	stopped := make(chan struct{})
	go func() {
		e.Shutdown(context.Background())
		close(stopped)
	}()
	if err := <-served; err != nil {
		t.Error(err)
	}
	select {
	case <-stopped:
		t.Error("stopped while a figure was asked for")
	default:
	}
	close(answer)
	<-stopped
	for range maxLooks {
		if body := <-looks; !strings.Contains(body, "\nslow{} 7\n") {
			t.Errorf("%q", body)
		}
	}
}

// One that never served can be shut down, and its port is free.
func TestNeverServed(t *testing.T) {
	o := Options{Limit: 10, Log: slog.New(slog.DiscardHandler)}
	e, err := New("127.0.0.1:0", o, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.Shutdown(context.Background())
	again, err := New(e.Addr(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Shutdown(context.Background())
	(*Exporter)(nil).Shutdown(context.Background())
}
