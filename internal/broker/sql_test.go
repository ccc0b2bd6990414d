package broker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/skuamq/skua"
	"github.com/skuamq/skua/internal/command"
	"github.com/skuamq/skua/internal/fastjson"
	"github.com/skuamq/skua/internal/wire"
)

func sqlOf(topic, expression string, version int64) command.SubscriptionData {
	return command.SubscriptionData{Topic: topic, Expression: expression, ExpressionType: command.ExpressionSQL92, Version: version}
}

// sqlPull is a pull with a condition of its own.
func sqlPull(topic string, off int64, expression string) *command.PullHeader {
	h := pullHeader(topic, off)
	h.Subscription, h.ExpressionType = []byte(expression), []byte(command.ExpressionSQL92)
	return h
}

// groupPull is a pull that goes by what its group has subscribed to.
func groupPull(topic, group string, off, version int64) *command.PullHeader {
	return &command.PullHeader{Group: []byte(group), Topic: []byte(topic), QueueOffset: off, MaxMessages: 32, SubVersion: version,
		ExpressionType: []byte(command.ExpressionSQL92)}
}

// pullAll pulls a queue to its end, and returns the bodies.
func (p *peer) pullAll(h *command.PullHeader) []string {
	p.t.Helper()
	var all []string
	for {
		answer := p.call(command.PullMessage, h, nil)
		next := pullResponse(p.t, answer).NextOffset
		switch status := command.Status(answer.Code); {
		case status == command.StatusPullNotFound:
			return all
		case status != command.StatusSuccess && status != command.StatusPullRetryImmediately, next <= h.QueueOffset:
			p.t.Fatalf("pull at %d: %s %s, next %d", h.QueueOffset, status, answer.Remark, next)
		}
		all = append(all, bodies(p.t, answer.Body)...)
		h.QueueOffset = next
	}
}

func TestPullBySQL(t *testing.T) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			d := openDoor(t, "flushDiskType", flush)
			for i := range 100 {
				d.peer.send("T", fmt.Sprint(i), "n", fmt.Sprint(i), "TAGS", string(rune('A'+i%3)))
			}
			const expression = "n BETWEEN 40 AND 50 AND TAGS IN ('A', 'C')"
			const want = "[41 42 44 45 47 48 50]"
			if got := d.peer.pullAll(sqlPull("T", 0, expression)); fmt.Sprint(got) != want {
				t.Errorf("with a condition of its own: %v", got)
			}
			d.peer.subscribe("G", sqlOf("T", expression, 7))
			if got := d.peer.pullAll(groupPull("T", "G", 0, 7)); fmt.Sprint(got) != want {
				t.Errorf("by the group's: %v", got)
			}
			d.restart() // what was in memory is read from files now
			if got := d.peer.pullAll(sqlPull("T", 0, expression)); fmt.Sprint(got) != want {
				t.Errorf("after a restart: %v", got)
			}
			h := sqlPull("T", 0, "n < 5")
			h.MaxMessages = 2
			answer := d.peer.must(command.PullMessage, h, nil)
			if got := bodies(t, answer.Body); fmt.Sprint(got) != "[0 1]" || pullResponse(t, answer).NextOffset != 2 {
				t.Errorf("at most two: %v", got)
			}
			if answer := d.peer.call(command.PullMessage, sqlPull("T", 60, "n < 5"), nil); answer.Code != 20 || pullResponse(t, answer).NextOffset != 100 {
				t.Errorf("nothing matches: %d %s, next %d", answer.Code, answer.Remark, pullResponse(t, answer).NextOffset)
			}
		})
	}
}

// A pull looks at so many queue entries at most, and its answer tells where to go on.
func TestPullBySQLIsBounded(t *testing.T) {
	d := openDoor(t, "maxFilterMessageSize", "2000")
	for i := range 250 {
		d.peer.send("T", fmt.Sprint(i), "n", fmt.Sprint(i))
	}
	answer := d.peer.call(command.PullMessage, sqlPull("T", 0, "n = 249"), nil)
	if next := pullResponse(t, answer).NextOffset; answer.Code != 20 || next < 90 || next > 110 {
		t.Errorf("%d %s, next %d", answer.Code, answer.Remark, next)
	}
	if got := d.peer.pullAll(sqlPull("T", 0, "n = 249")); fmt.Sprint(got) != "[249]" {
		t.Errorf("pulled %v", got)
	}
}

func TestSQLRefusals(t *testing.T) {
	d := openDoor(t, "maxFilterCost", "20")
	d.peer.send("T", "x")
	const parse = "parse the consumer's subscription failed: "
	costly := "a = 1" + strings.Repeat(" OR a = 2", 20)
	for expression, want := range map[string]string{
		"a >":  `SQL92 expression "a >", line 1, column 4: found the end, want a property`,
		costly: `SQL92 expression "` + costly[:100] + `", line 1, column 1: the expression costs 21, at most 20 are allowed`,
		strings.Repeat("(", 300) + "a" + strings.Repeat(")", 300): `SQL92 expression "` + strings.Repeat("(", 100) + `", line 1, column 201: parentheses`,
	} {
		d.peer.refused(23, parse+want, command.PullMessage, sqlPull("T", 0, expression), nil)
		d.peer.refused(23, parse+want, command.CheckClientConfig, nil, command.CheckClient{Subscription: sqlOf("T", expression, 1)})
	}
	h := sqlPull("T", 0, "a = 1")
	h.ExpressionType = []byte("XPATH")
	d.peer.refused(23, parse+`expressionType "XPATH" is unknown, want TAG or SQL92`, command.PullMessage, h, nil)
	d.peer.must(command.CheckClientConfig, nil, command.CheckClient{Subscription: sqlOf("T", "a = 1", 1)})
	d.peer.must(command.CheckClientConfig, nil, command.CheckClient{Subscription: command.SubscriptionData{Expression: "a || b", ExpressionType: "TAG"}})

	// Of a group whose condition does not compile, or is older than the pull says.
	d.peer.subscribe("Bad", sqlOf("T", "a = ", 5))
	const missing = "The broker's consumer filter data is not exist!Your expression may be wrong!"
	d.peer.refused(27, missing+` SQL92 expression "a = ", line 1, column 5: found the end`, command.PullMessage, groupPull("T", "Bad", 0, 5), nil)
	if n := d.log.count("does not compile"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	d.peer.subscribe("Bad", sqlOf("T", "a = ", 5))
	if n := d.log.count("does not compile"); n != 1 {
		t.Errorf("logged again: %d times", n)
	}
	d.peer.subscribe("Bad", sqlOf("T", "a = 1", 6))
	d.peer.refused(25, "the consumer's subscription not latest", command.PullMessage, groupPull("T", "Bad", 0, 7), nil)
	if answer := d.peer.call(command.PullMessage, groupPull("T", "Bad", 0, 6), nil); answer.Code != 20 {
		t.Errorf("mended: %d %s", answer.Code, answer.Remark)
	}
	d.peer.subscribe("Bad", sqlOf("T", "a = 2 b", 8))
	if n := d.log.count("passed over"); n != 2 { // message and attribute
		t.Errorf("what is passed over is logged %d times", n)
	}
	d.peer.subscribe("Bad", sqlOf("T", "a =", 9)) // and what it had is gone
	d.peer.refused(27, missing, command.PullMessage, groupPull("T", "Bad", 0, 9), nil)

	// Clients that say nothing of the type mean tags; a condition without text is none.
	d.peer.subscribe("Empty", sqlOf("T", "", 1))
	d.peer.refused(27, missing+" None has been registered for group Empty and topic T", command.PullMessage, groupPull("T", "Empty", 0, 1), nil)
}

func TestSQLSwitchedOff(t *testing.T) {
	d := openDoor(t, "enablePropertyFilter", "false")
	d.peer.send("T", "x", "a", "1")
	const off = "The broker does not support consumer to filter message by SQL92"
	d.peer.subscribe("G", sqlOf("T", "a = 1", 1))
	d.peer.refused(1, off, command.PullMessage, sqlPull("T", 0, "a = 1"), nil)
	d.peer.refused(1, off, command.PullMessage, groupPull("T", "G", 0, 1), nil)
	d.peer.refused(1, off, command.CheckClientConfig, nil, command.CheckClient{Subscription: sqlOf("T", "a = 1", 1)})
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("enablePropertyFilter=true"))
	if got := d.peer.pullAll(groupPull("T", "G", 0, 1)); fmt.Sprint(got) != "[x]" {
		t.Errorf("switched on: %v", got)
	}
}

// held sends a pull that is to be held, and returns where its answer arrives.
func (d *door) held(h *command.PullHeader) chan *wire.Frame {
	h.SysFlag |= command.PullSuspend
	h.SuspendTimeout = 15_000
	p := d.connect(nil)
	answers := make(chan *wire.Frame, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		answer, err := p.pool.Call(ctx, p.addr, &wire.Request{Code: command.PullMessage, Header: h})
		if err != nil {
			d.t.Error(err)
		}
		answers <- answer
	}()
	return answers
}

// A pull that is held is woken by messages that it wants, and by no others.
func TestHeldPullsWakeBySQL(t *testing.T) {
	for _, flush := range []string{"ASYNC_FLUSH", "SYNC_FLUSH"} {
		t.Run(flush, func(t *testing.T) {
			d := openDoor(t, "flushDiskType", flush)
			d.peer.send("T", "0", "n", "0")
			before := d.b.HeldPulls()
			answers := d.held(sqlPull("T", 1, "n > 5"))
			until(t, "held", func() bool { return d.b.HeldPulls() == before+1 })
			for i := 1; i <= 5; i++ {
				d.peer.send("T", fmt.Sprint(i), "n", fmt.Sprint(i))
			}
			d.peer.send("T", "none")
			d.peer.send("T", "no number", "n", "x")
			if n := d.b.HeldPulls(); n != before+1 {
				t.Errorf("%d pulls are held, want %d", n, before+1)
			}
			d.peer.send("T", "6", "n", "6")
			answer := <-answers
			if got := bodies(t, answer.Body); fmt.Sprint(got) != "[6]" || pullResponse(t, answer).NextOffset != 9 {
				t.Errorf("%d %s, pulled %v, next %d", answer.Code, answer.Remark, got, pullResponse(t, answer).NextOffset)
			}
		})
	}
}

// filterFile is consumerFilter.json.
func (d *door) filterFile() command.ConsumerFilters {
	d.t.Helper()
	var file command.ConsumerFilters
	data, err := os.ReadFile(filepath.Join(d.o.StorePathRootDir, "config", "consumerFilter.json"))
	if err == nil {
		err = fastjson.Unmarshal(data, &file)
	}
	if err != nil && !os.IsNotExist(err) {
		d.t.Fatal(err)
	}
	return file
}

func TestFiltersAreSaved(t *testing.T) {
	d := openDoor(t)
	d.peer.subscribe("G", sqlOf("T", "n > 5", 10), sqlOf("U", "a IS NULL", 11))
	f := d.filterFile().Topics["T"].Groups["G"]
	if f.Expression != "n > 5" || f.ExpressionType != "SQL92" || f.Version != 10 || f.Group != "G" || f.Topic != "T" || f.Dead || f.DeadTime != 0 ||
		f.BornTime < time.Now().UnixMilli() || f.Bloom.Bits != 112 || len(f.Bloom.Positions) != 3 {
		t.Errorf("saved %+v", f)
	}
	// A newer version of the same is the same; an older one, or one without a number, changes nothing.
	d.peer.subscribe("G", sqlOf("T", "n > 5", 12))
	d.peer.subscribe("G", sqlOf("T", "n > 7", 11))
	d.peer.subscribe("G", sqlOf("T", "n > 8", 0))
	d.restart()
	saved := d.filterFile()
	if again := saved.Topics["T"].Groups["G"]; again.Expression != "n > 5" || again.BornTime != f.BornTime {
		t.Errorf("after a restart %+v", again)
	}
	d.peer.subscribe("G", sqlOf("T", "n > 7", 13))
	d.restart()
	g := d.filterFile().Topics["T"].Groups["G"]
	if g.Expression != "n > 7" || g.BornTime <= f.BornTime || g.Version != 13 {
		t.Errorf("after a change %+v", g)
	}
}

// Filters that nobody has are kept for a while, and are forgotten then.
func TestFiltersDie(t *testing.T) {
	d := openDoor(t, "filterDataCleanTimeSpan", "3600000")
	member := d.connect(nil)
	member.subscribe("G", sqlOf("T", "n > 5", 10))
	d.peer.subscribe("H", sqlOf("T", "n > 6", 10))
	now := time.Now()
	groups := func() map[string]command.ConsumerFilter { return d.filterFile().Topics["T"].Groups }
	until(t, "both saved", func() bool { return len(groups()) == 2 })
	d.b.SweepFilters(now)
	if groups()["G"].Dead || groups()["H"].Dead {
		t.Errorf("dead at once: %+v", groups())
	}
	member.pool.Close()
	until(t, "the member is gone", func() bool {
		return d.peer.call(command.GetConsumerListByGroup, &command.ConsumerGroupHeader{Group: "G"}, nil).Code != 0
	})
	d.peer.subscribe("H", sqlOf("T", "n > 6", 11))
	until(t, "one is dead after a minute", func() bool { // the file is not written again and again
		d.b.SweepFilters(now.Add(time.Minute))
		return groups()["G"].Dead
	})
	if groups()["G"].DeadTime != now.Add(time.Minute).UnixMilli() || groups()["H"].Dead {
		t.Errorf("after a minute: %+v", groups())
	}
	d.b.SweepFilters(now.Add(time.Hour))
	if len(groups()) != 2 {
		t.Error("forgotten too soon")
	}
	d.b.SweepFilters(now.Add(2 * time.Hour))
	if f := groups(); len(f) != 1 || f["H"].Group != "H" {
		t.Errorf("after two hours: %+v", f)
	}
	d.connect(nil).subscribe("G", sqlOf("T", "n > 5", 10)) // it may come back all the same
	until(t, "it is back", func() bool { return len(groups()) == 2 && !groups()["G"].Dead })
}

// A group whose members are restarted while the broker runs keeps its filter and its birth.
func TestFilterComesBack(t *testing.T) {
	d := openDoor(t)
	member := d.connect(nil)
	member.subscribe("G", sqlOf("T", "n > 5", 10))
	born := d.filterFile().Topics["T"].Groups["G"].BornTime
	member.pool.Close()
	until(t, "the member is gone", func() bool {
		return d.peer.call(command.GetConsumerListByGroup, &command.ConsumerGroupHeader{Group: "G"}, nil).Code != 0
	})
	saved := func() command.ConsumerFilter { return d.filterFile().Topics["T"].Groups["G"] }
	until(t, "it is dead", func() bool { d.b.SweepFilters(time.Now()); return saved().Dead })
	d.connect(nil).subscribe("G", sqlOf("T", "n > 5", 20))
	until(t, "it is alive", func() bool { d.b.SweepFilters(time.Now().Add(time.Hour)); return !saved().Dead })
	if f := saved(); f.Version != 20 || f.BornTime != born {
		t.Errorf("%+v, was born at %d", f, born)
	}
}

// With bit maps beside the queue, messages that do not pass are not even read, and all that pass are found: those from before
// the filter, those after it, with another filter, and after a restart.
func TestBitMaps(t *testing.T) {
	d := openDoor(t, "enableConsumeQueueExt", "true", "enableCalcFilterBitMap", "true", "osPageCacheBusyTimeOutMills", "1")
	n := 0
	send := func() {
		for range 20 {
			d.peer.send("T", fmt.Sprint(n), "n", fmt.Sprint(n%10))
			n++
		}
	}
	check := func(when, group string, version int64, digits string) {
		t.Helper()
		want := 0
		for i := range n {
			if strings.Contains(digits, fmt.Sprint(i%10)) {
				want++
			}
		}
		got := d.peer.pullAll(groupPull("T", group, 0, version))
		if len(got) != want {
			t.Fatalf("%s: group %s got %d messages, want %d: %v", when, group, len(got), want, got)
		}
	}
	born := func(group string) { // waits until a filter is born
		f := d.filterFile().Topics["T"].Groups[group]
		until(t, "birth", func() bool { return time.Now().UnixMilli() > f.BornTime })
	}
	send()
	d.peer.subscribe("A", sqlOf("T", "n IN ('1', '2')", 1))
	d.peer.subscribe("B", sqlOf("T", "n >= 5", 1))
	send()
	born("B")
	send()
	check("at first", "A", 1, "12")
	check("at first", "B", 1, "56789")
	d.peer.subscribe("A", sqlOf("T", "n IN ('7')", 2))
	send()
	born("A")
	send()
	check("after a change", "A", 2, "7")
	d.restart()
	d.peer.subscribe("A", sqlOf("T", "n IN ('7')", 2))
	d.peer.subscribe("B", sqlOf("T", "n >= 5", 3))
	send()
	check("after a restart", "A", 2, "7")
	check("after a restart", "B", 3, "56789")

	slice := ask[command.ConsumeQueueSlice](d.peer, command.QueryConsumeQueue, &command.QueryQueueHeader{Topic: "T", Index: skua.QueueOffset(n - 20), Count: 20, Group: "A"}, nil)
	if !strings.Contains(slice.FilterData, `"expression":"n IN ('7')"`) {
		t.Errorf("filter data %s", slice.FilterData)
	}
	for i, e := range slice.Entries {
		if e.Eval != (i == 7 || i == 17) { // 20 % of the others may pass by chance; these do not
			t.Errorf("entry %d passes: %t", i, e.Eval)
		}
	}
	d.close()
	d.o.MaxErrorRateOfBloomFilter = 5 // other maps: what is there says nothing
	d.start()
	d.peer.subscribe("A", sqlOf("T", "n IN ('7')", 2))
	send()
	check("with other bit maps", "A", 2, "7")
}

// The filter of a retry topic can be that of the topic from which a message came.
func TestFilterSupportRetry(t *testing.T) {
	d := openDoor(t, "filterSupportRetry", "true")
	d.peer.subscribe("G", sqlOf("T", "n > 5", 1), sqlOf("%RETRY%G", "n > 100", 1))
	for _, n := range []string{"3", "7"} {
		d.peer.send("%RETRY%G", n, "n", n, "RETRY_TOPIC", "T")
		d.peer.send("%RETRY%G", "other "+n, "n", n, "RETRY_TOPIC", "Other")
	}
	if got := d.peer.pullAll(groupPull("%RETRY%G", "G", 0, 1)); fmt.Sprint(got) != "[other 3 7 other 7]" {
		t.Errorf("pulled %v", got)
	}
	d.peer.must(command.UpdateBrokerConfig, nil, []byte("filterSupportRetry=false"))
	if got := d.peer.pullAll(groupPull("%RETRY%G", "G", 0, 1)); len(got) != 0 {
		t.Errorf("switched off: %v", got)
	}
}

// unpack extracts an archive of a store directory.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+h.Name))
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

// Bit maps that are made anew, with the filters that a Java broker saved, are those that it made.
func TestBitMapsAreJavas(t *testing.T) {
	dir := t.TempDir()
	unpack(t, "../store/testdata/java/kinds.tar.gz", dir)
	saved, err := os.ReadFile("testdata/consumerFilter.json") // by the same broker
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Join(dir, "config"), 0o755), os.WriteFile(filepath.Join(dir, "config", "consumerFilter.json"), saved, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	maps := func() (all [2][]byte) {
		for i := range all {
			path := filepath.Join(dir, "consumequeue_ext", "Sql", fmt.Sprint(i), "00000000000000000000")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[i] = bytes.TrimRight(data, "\x00")
		}
		return all
	}
	want := maps()
	for _, lost := range []string{"consumequeue", "consumequeue_ext"} {
		if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
	}
	d := openDoor(t, "storePathRootDir", dir, "enableConsumeQueueExt", "true", "mappedFileSizeConsumeQueueExt", "65536", "enableCalcFilterBitMap", "true",
		"mappedFileSizeCommitLog", "262144", "mappedFileSizeConsumeQueue", "1000", "mapperFileSizeBatchConsumeQueue", "920", "maxHashSlotNum", "500")
	d.peer.subscribe("G_sql", sqlOf("Sql", "a > 5 AND colour IS NOT NULL", 1795225335515))
	f := d.filterFile().Topics["Sql"].Groups["G_sql"]
	if f.BornTime != 1795225334991 || fmt.Sprint(f.Bloom) != "{112 [102 64 87]}" {
		t.Errorf("the filter that Java saved is now %+v", f)
	}
	d.close()
	if got := maps(); !bytes.Equal(got[0], want[0]) || !bytes.Equal(got[1], want[1]) || len(want[0]) < 100 {
		t.Errorf("bit maps of queue 0\n%x\nin Java\n%x\nof queue 1\n%x\nin Java\n%x", got[0], want[0], got[1], want[1])
	}
}
