package broker

import (
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 993: "993 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB"} {
		if got := humanSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
	if got := uptime(26*time.Hour + 61*time.Second); got != "[ 1 days, 2 hours, 1 minutes, 1 seconds ]" {
		t.Error(got)
	}
}
