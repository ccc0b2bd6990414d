package inspect

import (
	"fmt"
	"strconv"
	"strings"
)

// delayLevels are the delays of Java, level 1 first.
const delayLevels = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h"

// parseLevels reads messageDelayLevel: delays in seconds, minutes, hours or days. The result is in ms.
func parseLevels(s string) ([]int64, error) {
	if s == "" {
		s = delayLevels
	}
	units := map[byte]int64{'s': 1000, 'm': 60_000, 'h': 3_600_000, 'd': 86_400_000}
	var levels []int64
	for _, f := range strings.Fields(s) {
		unit := units[f[len(f)-1]]
		n, err := strconv.ParseInt(f[:len(f)-1], 10, 64)
		if err != nil || unit == 0 {
			return nil, fmt.Errorf("store: messageDelayLevel: %q is no delay such as 10s, 5m, 2h or 1d", f)
		}
		levels = append(levels, n*unit)
	}
	return levels, nil
}
