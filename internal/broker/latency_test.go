package broker

import (
	"testing"

	"github.com/skuamq/skua/internal/store"
)

func TestPutTimesInRuntimeInfo(t *testing.T) {
	var l latencies
	l.whole = true
	l.now.Classes[0] = 980
	l.now.Classes[3] = 10                   // 3 ms
	l.now.Classes[7] = 9                    // 10 to 20 ms
	l.now.Classes[len(store.PutBounds)] = 1 // above 10 s
	classes, total := l.counts(nil)
	if total != 1000 {
		t.Errorf("%d puts", total)
	}
	for p, want := range map[float64]float64{0.5: 0, 0.98: 0, 0.99: 3, 0.999: 20, 1: 10_000} {
		if got := percentile(classes[:], total, p); got != want {
			t.Errorf("percentile %v: %v, want %v", p, got, want)
		}
	}
	if got := percentile(classes[:], 0, 0.99); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	if got, want := distribution(classes[:]), "[<=0ms]:980 [0~10ms]:10 [10~50ms]:9 [50~100ms]:0 [100~200ms]:0 [200~500ms]:0 [500ms~1s]:0 [1~2s]:0 "+
		"[2~3s]:0 [3~4s]:0 [4~5s]:0 [5~10s]:0 [10s~]:1 "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
