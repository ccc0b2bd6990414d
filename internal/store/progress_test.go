package store

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/internal/layout"
)

// A start that takes longer than a second tells how far it is, and not more often than every three.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	o := small(quickDir(t))
	o.Log = slog.New(slog.NewTextHandler(&out, nil))
	s := open(t, o)
	appendN(t, s, "T", 0, 0, 1000)
	if err := s.log.drain(); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	_, end := s.log.run.Bounds()
	r := &recovery{s: s, from: layout.Position{}, end: layout.Position{End: end / 4}}
	r.progress()
	if out.Len() > 0 {
		t.Errorf("said at once: %s", &out)
	}
	r.began, r.report = time.Now().Add(-10*time.Second), time.Now()
	for range 10 {
		r.progress()
	}
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "percent=25") || !strings.Contains(got, `left at most"=30s`) {
		t.Errorf("said: %s", got)
	}
}
