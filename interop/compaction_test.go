package interop

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/remoting"
)

// smallCompaction makes files of compacted topics full after some 30 messages, and a pass due every second or two.
var smallCompaction = []string{"compactionMappedFileSize=9200", "compactionCqMappedFileSize=1840", "compactionScheduleInternal=1000"}

// The directory of a compacted topic goes from hand to hand: each side serves the state that the others left, and compacts it further.
func TestCompactionGoesBetweenJavaAndSkua(t *testing.T) {
	for _, sides := range [][]cluster.Side{
		{cluster.Skua, cluster.Java, cluster.Skua},
		{cluster.Java, cluster.Skua, cluster.Java},
	} {
		t.Run(fmt.Sprint(sides), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				sides = []cluster.Side{cluster.Java, cluster.Java, cluster.Java}
			}
			names, broker := private(t, cluster.Side(*namesSide), sides[0], append(smallCompaction, smallFiles...)...)
			mqadmin(t, "updateTopic", "-n", names.Addr, "-b", broker.Addr, "-t", "Compacted", "-r", "1", "-w", "1", "-a", "+cleanup.policy=COMPACTION")
			last, sent := map[string]string{}, 0
			for i, side := range sides {
				if i > 0 {
					broker = handOver(t, broker, side)
				}
				c := dial(t, broker.Addr)
				who := fmt.Sprintf("%s after %v", side, sides[:i])
				if i > 0 {
					checkCompacted(t, c, side, who, last, sent, 120)
				}
				if _, err := c.Send("Compacted", 0, nil, []byte("no key")); err == nil || !strings.Contains(err.Error(), "CODE 13: Required message key is missing") {
					t.Errorf("%s: a message without a key: %v", who, err)
				}
				for n := range 200 {
					key := fmt.Sprint("key", n%(7+i))
					last[key] = fmt.Sprintf("%s round %d message %d %s", key, i, n, strings.Repeat("x", n*37%100))
					off, err := c.Send("Compacted", 0, map[string]string{"KEYS": key, "TAGS": "T"}, []byte(last[key]))
					if err != nil || off != int64(sent) {
						t.Fatalf("%s: offset %d, %v", who, off, err)
					}
					sent++
				}
				checkCompacted(t, c, side, who+", its own", last, sent, 60)
				verifyStore(t, who+" runs", broker)
			}
			if err := broker.Stop(); err != nil {
				t.Error(err)
			}
			verifyStore(t, "all have stopped", broker)
		})
	}
}

// checkCompacted waits until a topic has so many messages at most, and compares the state that they make with the one that was sent.
// A Java broker that replaces files at that moment may leave out the newest messages; it is asked again.
func checkCompacted(t *testing.T, c *remoting.Conn, side cluster.Side, who string, want map[string]string, end, most int) {
	t.Helper()
	var all []remoting.Record
	var state map[string]string
	eventually(t, time.Minute, fmt.Sprintf("%s: at most %d messages", who, most), func() bool {
		all, state = nil, map[string]string{}
		for from := int64(0); from < int64(end); {
			got, next, err := c.PullOnce("Compacted", 0, from, 32)
			if err != nil || next <= from {
				t.Logf("%s: at %d: next %d, %v", who, from, next, err)
				return false
			}
			all, from = append(all, got...), next
		}
		for _, r := range all {
			state[r.Properties["KEYS"]] = string(r.Body)
		}
		if side == cluster.Java && !maps.Equal(state, want) {
			t.Logf("%s: not all is there", who)
			return false
		}
		return len(all) <= most
	})
	before := int64(-1)
	for _, r := range all {
		if r.Offset <= before {
			t.Errorf("%s: message %d after %d", who, r.Offset, before)
		}
		before = r.Offset
	}
	t.Logf("%s: %d messages of %d are left", who, len(all), end)
	if !maps.Equal(state, want) {
		t.Errorf("%s: the state is %v, want %v", who, state, want)
	}
}
