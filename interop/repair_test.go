package interop

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/process"
	"github.com/skuamq/skua/interop/remoting"
)

// damaged is how much of the log is made garbage, bytes.
const damaged = 20_000

// A log that is damaged in the middle: Skua does not start, and says what to do. Repaired, it serves all but the messages
// that were hit, and so does Java.
func TestRepairedStore(t *testing.T) {
	if !needSkua() {
		t.Skip("repairs with Skua")
	}
	t.Parallel()
	for _, writer := range []cluster.Side{cluster.Skua, cluster.Java} {
		t.Run(string(writer), func(t *testing.T) {
			_, broker := private(t, cluster.Skua, writer, smallFiles...)
			c := dial(t, broker.Addr)
			l := newLedger("StoreA", "StoreB")
			for _, name := range l.topics {
				if err := c.CreateTopic(name, ledgerQueues); err != nil {
					t.Fatal(err)
				}
			}
			l.write(t, c, 2000)
			l.checkAround(t, c, "before")
			if err := broker.Stop(); err != nil {
				t.Fatal(err)
			}
			// One place that a start does not read, and one that it does: the last file, without Skua's own checkpoint.
			var paths []string
			for _, near := range []int64{1<<20 + 300_000, 3<<20 + 20_000} {
				at := int(l.behind(near)) + 8 // in properties, at the end of a record, nobody would see it
				paths = append(paths, filepath.Join(broker.Store, "commitlog", fmt.Sprintf("%020d", at>>20<<20)))
				l.lose(t, int64(at), int64(at+damaged))
				spoil(t, paths[len(paths)-1], at%(1<<20), damaged)
			}
			if err := os.RemoveAll(filepath.Join(broker.Store, "skua")); err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			broker = broker.With(cluster.Skua)
			if err := broker.Start(ctx); err == nil || !strings.Contains(err.Error(), "skua store repair") {
				t.Fatalf("Skua starts on a damaged log, or does not name the cure: %v", err)
			}
			if out, err := process.Run(ctx, nil, ".", *binary, "store", "verify", broker.Store); err == nil || !strings.Contains(out, paths[0]) || !strings.Contains(out, paths[1]) {
				t.Errorf("verify: %v\n%s", err, out)
			}
			if out, err := process.Run(ctx, nil, ".", *binary, "store", "repair", broker.Store, "--yes"); err != nil {
				t.Fatalf("repair: %v\n%s", err, out)
			}
			for i, side := range []cluster.Side{cluster.Skua, cluster.Java, cluster.Skua} {
				broker = broker.With(side)
				if err := broker.Start(ctx); err != nil {
					t.Fatal(err)
				}
				c := dial(t, broker.Addr)
				l.checkAround(t, c, fmt.Sprintf("%s, start %d", side, i))
				l.write(t, c, 100)
				verifyStore(t, fmt.Sprintf("%s runs", side), broker)
				if err := broker.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			verifyStore(t, "all have stopped", broker)
		})
	}
}

// spoil makes a part of a file garbage.
func spoil(t *testing.T, path string, at, size int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("garbage ", size/8)), int64(at)); err != nil {
		t.Fatal(err)
	}
}

// behind is the log offset of the first message at or behind a place in the log.
func (l *ledger) behind(place int64) int64 {
	first := int64(math.MaxInt64)
	for _, q := range l.queues {
		for _, e := range q {
			if e.logOffset >= place {
				first = min(first, e.logOffset)
			}
		}
	}
	return first
}

// lose takes the messages out of the ledger whose records reach into a part of the log.
func (l *ledger) lose(t *testing.T, from, to int64) {
	t.Helper()
	lost := 0
	for name, q := range l.queues {
		n := len(q)
		l.queues[name] = slices.DeleteFunc(q, func(e entry) bool { return e.logOffset < to && e.logOffset+int64(e.size) > from })
		lost += n - len(l.queues[name])
	}
	if lost == 0 {
		t.Fatal("nothing is lost")
	}
}

// checkAround reads all queues and finds what is in the ledger, no more and no less.
func (l *ledger) checkAround(t *testing.T, c *remoting.Conn, who string) {
	t.Helper()
	for _, name := range l.topics {
		for queue := range ledgerQueues {
			want := l.queues[place(name, queue)]
			got, err := c.ReadAround(name, queue, 0)
			if err != nil || len(got) != len(want) {
				t.Errorf("%s: %s-%d: read %d of %d messages: %v", who, name, queue, len(got), len(want), err)
				continue
			}
			for i, r := range got {
				want[i].logOffset, want[i].size = r.LogOffset, r.Size
				if r.Offset != want[i].offset || string(r.Body) != want[i].body || r.Properties["UNIQ_KEY"] != want[i].id {
					t.Fatalf("%s: %s-%d message %d is %.200v, was %.200v", who, name, queue, i, r, want[i])
				}
			}
		}
	}
}

// verifyStore lets Skua verify the store of a broker, which must be without findings.
func verifyStore(t *testing.T, when string, broker *cluster.Server) {
	t.Helper()
	if *binary == "" {
		return
	}
	if out, err := process.Run(context.Background(), nil, ".", *binary, "store", "verify", broker.Store); err != nil {
		t.Errorf("verify when %s: %v\n%s", when, err, out)
	}
}
