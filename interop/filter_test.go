package interop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/skuamq/skua/interop/cluster"
	"github.com/skuamq/skua/interop/java"
	"github.com/skuamq/skua/interop/process"
)

// The results that the tests of package filter compare with are Java's.
func TestFilterResultsAreJavas(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../internal/filter/testdata/java.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var cases, want []string
	for line := range strings.Lines(string(data)) {
		if result, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok && line[0] != '#' {
			cases, want = append(cases, rest), append(want, result)
		}
	}
	got, err := java.Filters(t.TempDir(), cases)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if got[i] != want[i] {
			t.Errorf("%s: %s in Java, %s in the table", c, got[i], want[i])
		}
	}
	t.Logf("%d cases", len(cases))
}

// filtered sends messages with numbers from from on, and adds to want the bodies of those that meet sqlCondition.
func filtered(t *testing.T, broker *cluster.Server, name string, from, to int, want []string) []string {
	t.Helper()
	c := dial(t, broker.Addr)
	for i := from; i < to; i++ {
		properties := map[string]string{"n": fmt.Sprint(i), "TAGS": string(rune('A' + i%4))}
		if i%5 == 0 {
			properties = map[string]string{"n": "no number"}
		}
		body := fmt.Sprint("m", i)
		if _, err := c.Send(name, i%2, properties, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if i%5 != 0 && i >= 30 && (i%4 == 1 || i%4 == 3) {
			want = append(want, body)
		}
	}
	return want
}

const sqlCondition = "n >= 30 AND TAGS IN ('B', 'D')"

// gotAll waits until a group has gone through a topic, and checks which messages a consumer of it printed.
func gotAll(t *testing.T, broker *cluster.Server, p *process.Process, name, group string, want []string) {
	t.Helper()
	c := dial(t, broker.Addr)
	eventually(t, programLimit, "everything is consumed or passed over", func() bool {
		for q := range 2 {
			_, end, err := c.Bounds(name, q)
			if err != nil {
				t.Fatal(err)
			}
			if committed, err := c.Committed(group, name, q); err != nil || committed != end {
				return false
			}
		}
		return true
	})
	var got []string
	for line := range strings.Lines(p.Output()) {
		if body, ok := strings.CutPrefix(strings.TrimSpace(line), "got "); ok {
			got = append(got, body)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %d messages, want %d\n%v\n%v\n%s", len(got), len(want), got, want, p.Tail())
	}
}

// Java's push consumer with a condition gets exactly what meets it: of what was there before, what comes while its pulls are
// held, and what came while the broker was down, with bit maps beside the queues and without.
func TestJavaConsumerBySQL(t *testing.T) {
	for _, maps := range []string{"false", "true"} {
		t.Run("bit maps "+maps, func(t *testing.T) {
			t.Parallel()
			names, broker := private(t, cluster.Side(*namesSide), cluster.Side(*brokerSide), "enablePropertyFilter=true",
				"enableConsumeQueueExt="+maps, "enableCalcFilterBitMap="+maps)
			const name, group = "BySQL", "BySQLGroup"
			topic(t, names, broker, name, 2)
			want := filtered(t, broker, name, 0, 100, nil)
			argv, err := java.SQLConsumer(t.TempDir(), names.Addr, name, group, sqlCondition)
			if err != nil {
				t.Fatal(err)
			}
			p, err := process.Start("SqlConsumer", t.TempDir(), nil, argv...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			if err := p.WaitFor(within(t), "started"); err != nil {
				t.Fatal(err)
			}
			gotAll(t, broker, p, name, group, want)
			want = filtered(t, broker, name, 100, 160, want)
			gotAll(t, broker, p, name, group, want)
			broker.Kill()
			if err := broker.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			want = filtered(t, broker, name, 160, 200, want)
			gotAll(t, broker, p, name, group, want)
		})
	}
}

// Skua's client with a condition gets exactly what meets it from brokers of both sides.
func TestSkuaConsumerBySQL(t *testing.T) {
	for _, side := range []cluster.Side{cluster.Skua, cluster.Java} {
		t.Run(string(side), func(t *testing.T) {
			t.Parallel()
			if !needSkua() {
				t.Skip("asked for Java alone")
			}
			names, broker := private(t, cluster.Skua, side, "enablePropertyFilter=true")
			const name = "SkuaBySQL"
			topic(t, names, broker, name, 2)
			want := filtered(t, broker, name, 0, 100, nil)
			p, err := process.Start("consume", t.TempDir(), nil, *binary, "consume", "-n", names.Addr, "-t", name, "--from", "earliest", "--sql", sqlCondition,
				"--json", "--count", fmt.Sprint(len(want)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			if err := p.Wait(within(t)); err != nil {
				t.Fatal(err)
			}
			for _, body := range want {
				if n := strings.Count(p.Output(), `"`+body+`"`); n != 1 {
					t.Errorf("%s came %d times\n%s", body, n, p.Tail())
				}
			}
			p, err = process.Start("refused", t.TempDir(), nil, *binary, "consume", "-n", names.Addr, "-t", name, "--sql", "n ==")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Kill)
			if err := p.WaitFor(within(t), "line 1, column 4"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A directory with filters and bit maps goes from one side's broker to the other's: each goes on with what the other saved, also
// for messages that come while nobody of the group is there.
func TestFiltersChangeSides(t *testing.T) {
	if !needSkua() {
		t.Skip("asked for Java alone")
	}
	t.Parallel()
	names, broker := private(t, cluster.Skua, cluster.Java, "enablePropertyFilter=true", "enableConsumeQueueExt=true", "enableCalcFilterBitMap=true")
	const name, group = "Sides", "SidesGroup"
	topic(t, names, broker, name, 2)
	for i, side := range []cluster.Side{cluster.Java, cluster.Skua, cluster.Java} {
		if i > 0 {
			broker = handOver(t, broker, side)
		}
		want := filtered(t, broker, name, 100*i, 100*i+50, nil)
		argv, err := java.SQLConsumer(t.TempDir(), names.Addr, name, group, sqlCondition)
		if err != nil {
			t.Fatal(err)
		}
		p, err := process.Start("SqlConsumer", t.TempDir(), nil, argv...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if err := p.WaitFor(within(t), "started"); err != nil {
			t.Fatal(err)
		}
		gotAll(t, broker, p, name, group, want)
		want = filtered(t, broker, name, 100*i+50, 100*i+100, want)
		gotAll(t, broker, p, name, group, want)
		p.Kill()
	}
}
